"""`bias_average`: ways in which results may have come to be reported, weighted by how well they predict them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from bayesmeta.bias.ensembles import GROUPS, Member, read_ensemble
from bayesmeta.bias.fisher_z import as_fisher_z
from bayesmeta.errors import DataError, ModelError, unknown
from bayesmeta.evidence.averaging import Averaged, model_average
from bayesmeta.fit import fit
from bayesmeta.posterior import Posterior
from bayesmeta.studies import EffectSizes
from bayesmeta.words import counted

if TYPE_CHECKING:
    import pandas as pd

# Models are first fitted so; those that hold less than NEGLIGIBLE then are left at it.
FIRST_LOOK, NEGLIGIBLE = 1e-3, 1e-8
TOLERANCE = 1e-6
# Families whose posterior probability is within this factor of the prior one can hardly be told apart.
TOLD_APART = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class BiasAveraged(Averaged):
    """How an average over models of reporting was made.

    Parameters
    ----------
    members
        The models, in the order of `posteriors`.
    direction
        Which results the models take to be favoured.
    """

    members: tuple[Member, ...] = ()
    direction: str = ""

    @property
    def models(self) -> "pd.DataFrame":
        """One row a model: its groups, log evidence, prior and posterior probability."""
        import pandas as pd

        return pd.DataFrame(
            {
                "effect": [m.effect for m in self.members],
                "heterogeneity": [m.heterogeneity for m in self.members],
                "bias": [m.bias for m in self.members],
                "group": [_group(m) for m in self.members],
                "model": [m.model for m in self.members],
                "reporting": [repr(m.priors.get("omega", m.priors.get("bias", ""))) for m in self.members],
                "log_evidence": [f.log_evidence for f in self.posteriors],
                "prior": self.prior_weights,
                "posterior": self.weights,
            }
        )

    def probability(self, group: str) -> float:
        """Return the posterior probability of an effect, of heterogeneity or of reporting bias."""
        return float(self.weights[self._mask(group)].sum())

    def inclusion_bayes_factor(self, included: str | Sequence[bool]) -> float:
        """Return the Bayes factor of the models with something against those without: posterior odds over prior odds.

        Parameters
        ----------
        included
            ``"effect"``, ``"heterogeneity"`` or ``"bias"``; or one value for each model.

        Raises
        ------
        ModelError
            If it is another name, or not one value per model.
        """
        mask = self._mask(included).tolist() if isinstance(included, str) else included
        return Averaged.inclusion_bayes_factor(self, mask)

    def conditional(self, group: str) -> Posterior:
        """Return the average over the models that have an effect, heterogeneity, or reporting bias."""
        return self._average(self._mask(group))

    def everything(self) -> Posterior:
        """Return the average over all models."""
        return self._average(np.ones(len(self.members), dtype=bool))

    def family(self, bias: str) -> Posterior:
        """Return the average over the models of one family: ``"none"``, ``"weights"``, ``"PET"``, ``"PEESE"``."""
        names = tuple(dict.fromkeys(m.bias for m in self.members))
        if bias not in names:
            raise unknown("family of models of reporting:", bias, names)
        return self._average(np.array([m.bias == bias for m in self.members]))

    def families(self, level: float = 0.95) -> "pd.DataFrame":
        """Return mu by family of models of reporting, the unadjusted ones first, then all together.

        Columns: ``bias, models, prior, posterior, p_effect, mean, median, eti_low, eti_high``; analysis scale.
        """
        import pandas as pd

        rows = []
        for name in dict.fromkeys(m.bias for m in self.members):
            mask = np.array([m.bias == name for m in self.members])
            rows.append(self._row(name, mask, level))
        rows.append(self._row("all", np.ones(len(self.members), dtype=bool), level))
        return pd.DataFrame(rows)

    def _row(self, name: str, mask: "np.ndarray[tuple[int], np.dtype[np.bool_]]", level: float) -> dict[str, object]:
        mu = self._average(mask).mu
        low, high = mu.eti(level)
        with_effect = mask & self._mask("effect")
        return {
            "bias": name,
            "models": int(mask.sum()),
            "prior": float(self.prior_weights[mask].sum()),
            "posterior": float(self.weights[mask].sum()),
            "p_effect": float(self.weights[with_effect].sum() / self.weights[mask].sum()),
            "mean": mu.mean(),
            "median": mu.median(),
            "eti_low": low,
            "eti_high": high,
        }

    def _average(self, mask: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> Posterior:
        chosen = [f for f, keep in zip(self.posteriors, mask, strict=True) if keep]
        return model_average(chosen, self.prior_weights[mask])

    def _mask(self, group: str) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        if group not in GROUPS:
            raise unknown("group of models:", group, GROUPS)
        return np.array([m.has(group) for m in self.members])

    def __str__(self) -> str:
        said = self.families()
        lines = [f"Average over {counted(len(self.members), 'model')} of reporting, results {self.direction} favoured"]
        lines.append(
            f"{'models':10}{'n':>4}{'before':>9}{'after':>9}{'P(effect)':>11}{'median':>10}{'2.5%':>10}{'97.5%':>10}"
        )
        for row in said.to_dict("records"):
            lines.append(
                f"{row['bias']:10}{row['models']:>4}{row['prior']:>9.3f}{row['posterior']:>9.3f}"
                f"{row['p_effect']:>11.3f}{row['median']:>10.3f}{row['eti_low']:>10.3f}{row['eti_high']:>10.3f}"
            )
        factors = ", ".join(f"{g} {self.inclusion_bayes_factor(g):.4g}" for g in GROUPS if self._told(g))
        return "\n".join([*lines, f"Inclusion Bayes factors: {factors}", *self.sentences()])

    def _told(self, group: str) -> bool:
        mask = self._mask(group)
        return bool(mask.any() and not mask.all())

    def sentences(
        self, natural: Callable[[float], float] = float, name: str = "mu (analysis scale)"
    ) -> tuple[str, ...]:
        """Return what the average says and what it rests on, as sentences.

        Parameters
        ----------
        natural
            What turns values into those that are read.
        name
            What they are called.
        """
        said = self.families().set_index("bias")
        k = self.posteriors[0].k
        found = []
        if "none" in said.index and self._told("bias"):
            factor = self.inclusion_bayes_factor("bias")
            adjusted = natural(self.conditional("bias").mu.median())
            plain = natural(self.family("none").mu.median())
            how = f"favour such selection by a factor of {factor:.3g}"
            if factor < 1.0:
                how = f"speak against such selection by a factor of {1.0 / factor:.3g}"
            found.append(
                "If results were more likely to be reported when significant or from small studies, as these models "
                f"assume, the pooled {name} would be {adjusted:.3g} instead of {plain:.3g} (posterior medians); the "
                f"data {how}."
            )
        moved = said.drop(index="all")["posterior"] / said.drop(index="all")["prior"]
        if float(moved.max()) < TOLD_APART and float(moved.min()) > 1.0 / TOLD_APART:
            found.append(f"With k = {k} these data can hardly tell the models apart.")
        if self._told("effect"):
            low, high = sorted(natural(limit) for limit in self.conditional("effect").mu.eti(0.95))
            found.append(
                f"P(no effect) = {1.0 - self.probability('effect'):.3f}; given an effect the pooled {name} lies in "
                f"[{low:.3g}, {high:.3g}] with probability 95%."
            )
        if k < 10:
            found.append(f"With {counted(k, 'study')}, slopes and weights are driven by their priors.")
        return tuple(found)


def _group(member: Member) -> str:
    parts = [name for name in ("effect", "heterogeneity") if member.has(name)]
    return " + ".join([*parts, *([] if member.bias == "none" else [member.bias])]) or "none"


def bias_average(
    effects: EffectSizes,
    *,
    direction: Literal["greater", "less"],
    ensemble: str | Path = "psma",
    scale: float = 1.0,
    tolerance: float = TOLERANCE,
) -> Posterior:
    """Return the average over an ensemble of models of how results came to be reported.

    Parameters
    ----------
    effects
        Independent effects on the analysis scale, without moderators.
    direction
        Whether results ``"greater"`` or ``"less"`` than 0 are favoured. It has no default: the data cannot say it.
    ensemble
        ``"psma"``: no bias, six step weight functions, PET and PEESE, each with and without effect and heterogeneity;
        ``"6w"``: without PET and PEESE; ``"2w"``: two two-sided weight functions; ``"pp"``: PET and PEESE alone;
        ``"robma3"``: psma as the R package RoBMA 3 has it, on Fisher's z. Or the path of a table like theirs.
    scale
        What the priors of effect and heterogeneity, which are meant for standardised mean differences, are multiplied
        with, e.g. ``math.pi / math.sqrt(3)`` for log odds ratios.
    tolerance
        Largest error of each log evidence that is accepted.

    Returns
    -------
    Posterior
        Its `details` has the models, the inclusion Bayes factors, and averages by group and family. Its mu may have a
        probability of being 0.

    Raises
    ------
    DataError
        With fewer than 2 studies, several rows a study, or moderators.
    ModelError
        If an option is unknown.

    References
    ----------
    Maier, Bartoš & Wagenmakers (2023), Psychol. Methods 28:107-122; Bartoš, Maier, Wagenmakers, Doucouliagos &
    Stanley (2023), Res. Synth. Methods 14:99-116.
    """
    if not isinstance(effects, EffectSizes):
        raise DataError(
            f"bias_average takes effect sizes, not {type(effects).__name__}: use bm.effect_sizes(table, measure=...)."
        )
    if direction not in ("greater", "less"):
        raise unknown("direction", direction, ("greater", "less"))
    if effects.k < 2:
        raise DataError(f"An average over models of reporting needs at least 2 studies; there is {effects.k}.")
    if not (np.isfinite(scale) and scale > 0.0):
        raise ModelError(f"scale is {scale!r}; it is a number above 0.")
    critical = "z"
    if ensemble == "robma3":
        effects, critical = as_fisher_z(effects)
    members = read_ensemble(ensemble, direction, scale=scale, critical=critical)
    first = [_fitted(effects, member, max(FIRST_LOOK, tolerance)) for member in members]
    prior = np.array([member.probability for member in members])
    log = np.array([f.log_evidence for f in first]) + np.log(prior)
    share = np.exp(log - np.logaddexp.reduce(log))
    fits = [
        _fitted(effects, member, tolerance) if p > NEGLIGIBLE else look
        for member, look, p in zip(members, first, share, strict=True)
    ]
    average = model_average(fits, prior)
    details = average.details
    kept = BiasAveraged(details.posteriors, details.prior_weights, details.weights, members, direction)
    return replace(average, details=kept)


def _fitted(effects: EffectSizes, member: Member, tolerance: float) -> Posterior:
    if member.model == "normal_normal":
        return fit(effects, member.model, priors=member.priors)
    return fit(effects, member.model, priors=member.priors, tolerance=tolerance)
