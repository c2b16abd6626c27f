"""`compare_network`: the classical and the Bayesian analysis of one network of treatments, side by side."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bayesmeta.compare.network_text import comparison_text, prior_texts
from bayesmeta.effects import find_measure
from bayesmeta.errors import ModelError, unknown
from bayesmeta.fit import fit
from bayesmeta.frequentist.networks.network_fit import NetworkFit, network
from bayesmeta.network import NodeSplits, node_split
from bayesmeta.posterior import Posterior
from bayesmeta.studies import Contrasts
from bayesmeta.values import Travels

if TYPE_CHECKING:
    import pandas as pd

MODEL = "network_consistency"
BENEFITS = ("lower", "higher")


@dataclass(frozen=True, eq=False)
class NetworkComparison(Travels):
    """Both schools' analysis of one network.

    Parameters
    ----------
    contrasts
        What was analysed.
    reference
        The treatment that others are compared with.
    benefit
        Which effects are better, ``"lower"`` or ``"higher"``.
    benefit_given
        Whether that was said, or is the default.
    level
        Of the intervals.
    classical
        Generalised least squares.
    posterior
        Of the model ``network_consistency``.
    splits
        Direct against indirect evidence, Bayesian; None where a measure has no default prior of their difference.
    """

    contrasts: Contrasts
    reference: str
    benefit: str
    benefit_given: bool
    level: float
    classical: NetworkFit
    posterior: Posterior
    splits: NodeSplits | None

    @property
    def measure(self) -> str:
        """Effect measure."""
        return self.contrasts.measure

    @property
    def sparse(self) -> tuple[str, ...]:
        """Studies with a cell below 5, where the normal approximation is doubtful."""
        return self.contrasts.sparse

    @property
    def others(self) -> tuple[str, ...]:
        """The treatments without the reference."""
        return tuple(t for t in self.contrasts.treatments if t != self.reference)

    @cached_property
    def relatives(self) -> "pd.DataFrame":
        """Every treatment against the reference, both schools, analysis scale; one row a treatment and school.

        ``estimate`` is the classical estimate or the posterior median, ``se`` standard error or posterior SD,
        ``new_low`` and ``new_high`` the prediction interval of a new study.
        """
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for name in self.others:
            c = self.classical.relative(name, self.reference)
            low, high = (np.nan, np.nan) if c.prediction is None else (c.prediction.low, c.prediction.high)
            head = {"treatment": name, "reference": self.reference}
            rows.append(
                {**head, "school": "classical", "estimate": c.estimate, "se": c.se, "low": c.ci.low, "high": c.ci.high}
                | {"new_low": low, "new_high": high, "p_value": c.p_value, "p_benefit": np.nan}
            )
            m = self.posterior.relative(name, self.reference)
            low, high = m.eti(self.level)
            ends = self.posterior.relative_new(name, self.reference).eti(self.level)
            better = float(m.cdf(0.0)) if self.benefit == "lower" else float(m.sf(0.0))
            rows.append(
                {**head, "school": "bayesian", "estimate": float(m.median()), "se": float(m.sd())}
                | {"low": low, "high": high, "new_low": ends[0], "new_high": ends[1]}
                | {"p_value": np.nan, "p_benefit": better}
            )
        return pd.DataFrame(rows)

    @cached_property
    def ranks(self) -> "pd.DataFrame":
        """SUCRA, mean rank, P(best) and rank probabilities, and the P-score beside them; the best first."""
        frame = self.posterior.ranks(self.benefit)
        scores = self.classical.p_scores(self.benefit)
        about = dict(frame.attrs)
        frame.insert(1, "p_score", [scores[name] for name in frame["treatment"]])
        frame.attrs = about
        return frame

    @property
    def order(self) -> tuple[str, ...]:
        """The treatments by SUCRA, the best first."""
        return tuple(self.ranks["treatment"])

    def pairs(self) -> Iterator[tuple[str, str, tuple[float, float, float], tuple[float, float, float]]]:
        """Yield every pair in the order of the ranks, with estimate and limits of both schools, analysis scale."""
        for i, b in enumerate(self.order):
            for a in self.order[i + 1 :]:
                c, m = self.classical.relative(b, a), self.posterior.relative(b, a)
                low, high = m.eti(self.level)
                yield b, a, (c.estimate, c.ci.low, c.ci.high), (float(m.median()), low, high)

    @cached_property
    def league(self) -> "pd.DataFrame":
        """League table, natural scale: classical below the diagonal, Bayesian above, in the order of the ranks.

        Both cells of a pair say the same comparison, that of the better ranked treatment against the other: above the
        diagonal row against column, below it column against row.
        """
        import pandas as pd

        natural = find_measure(self.measure).to_natural
        table = pd.DataFrame("", index=list(self.order), columns=list(self.order))
        for b, a, classical, bayesian in self.pairs():
            for place, values in (((a, b), classical), ((b, a), bayesian)):
                middle, low, high = (float(natural(x)) for x in values)
                table.loc[place] = f"{middle:.3g} [{low:.3g}, {high:.3g}]"
        return table

    @cached_property
    def q(self) -> "pd.DataFrame":
        """Q total, within and between designs; see :meth:`NetworkFit.q_decomposition`."""
        return self.classical.q_decomposition()

    @cached_property
    def node_splits(self) -> "pd.DataFrame":
        """Direct against indirect evidence of both schools, one row a comparison, analysis scale.

        Columns without a suffix are classical; ``bayesian_difference`` is a posterior mean, ``bayesian_p`` both
        tails of it, ``bayes_factor`` of no difference against one.
        """
        frame = self.classical.node_split()
        own = {} if self.splits is None else {frozenset((s.treatment, s.reference)): s for s in self.splits.splits}
        for name in ("bayesian_difference", "bayesian_difference_sd", "bayesian_p", "bayes_factor"):
            frame[name] = np.nan
        for i, (b, a) in enumerate(zip(frame["treatment"], frame["reference"], strict=True)):
            s = own.get(frozenset((b, a)))
            if s is None:
                continue
            sign = 1.0 if s.treatment == b else -1.0
            frame.loc[i, "bayesian_difference"] = sign * float(s.difference.mean())
            frame.loc[i, "bayesian_difference_sd"] = float(s.difference.sd())
            frame.loc[i, "bayesian_p"] = s.p
            frame.loc[i, "bayes_factor"] = np.nan if s.bayes_factor is None else s.bayes_factor
        return frame

    def to_frame(self) -> "pd.DataFrame":
        """Return `relatives`."""
        return self.relatives

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as tables and numbers, analysis scale but the league table."""
        fit = self.classical
        tau = self.posterior.tau
        low, high = tau.eti(self.level)
        ranks = self.ranks
        return {
            "studies": self.contrasts.k,
            "treatments": list(self.contrasts.treatments),
            "reference": self.reference,
            "benefit": self.benefit,
            "benefit_given": self.benefit_given,
            "level": self.level,
            "notes": list(self.contrasts.notes),
            "normal_approximation_doubtful": list(self.sparse),
            "priors": prior_texts(self),
            "relative_effects": self.relatives.to_dict(orient="records"),
            "league": {"order": list(self.order), "cells": self.league.to_dict(orient="index")},
            "ranks": ranks.to_dict(orient="records"),
            "rank_probability_error": ranks.attrs["error"],
            "poth": ranks.attrs["poth"],
            "heterogeneity": {
                "classical": {
                    "method": fit.method,
                    "tau": fit.tau,
                    "tau2": fit.tau2,
                    "I2_percent": fit.I2,
                    "Q": fit.Q,
                    "df": fit.Q_df,
                    "p_value": fit.Q_p,
                },
                "bayesian": {"tau": {"median": float(tau.median()), "mean": tau.mean(), "low": low, "high": high}},
            },
            "inconsistency": {
                "q_decomposition": self.q.to_dict(orient="records"),
                "node_split": self.node_splits.to_dict(orient="records"),
            },
        }

    def __repr__(self) -> str:
        c = self.contrasts
        return (
            f"<NetworkComparison: {c.measure}, {len(c.treatments)} treatments, {c.k} studies, against {self.reference}>"
        )

    def __str__(self) -> str:
        return comparison_text(self)


def compare_network(
    contrasts: Contrasts,
    *,
    reference: str | None = None,
    benefit: Literal["lower", "higher"] | None = None,
    priors: Mapping[str, Any] | None = None,
    method: Literal["DL", "REML", "ML", "common"] = "REML",
    level: float = 0.95,
) -> NetworkComparison:
    """Return the classical and the Bayesian analysis of a network side by side.

    Parameters
    ----------
    contrasts
        Of a connected network, from :func:`bayesmeta.contrasts`.
    reference
        Treatment that others are compared with; the first by name when not given.
    benefit
        Whether lower or higher effects are better, for the ranks. When not given ``"lower"``, which the answer says.
    priors
        Of ``mu`` (every relative effect) and ``tau``; the defaults of the measure when not given.
    method
        Estimator of the classical tau2.
    level
        Of confidence and credible intervals.

    Raises
    ------
    ModelError
        If a name is unknown, or the data are no contrasts.
    """
    if not isinstance(contrasts, Contrasts):
        raise ModelError(
            f"compare_network takes contrasts, not {type(contrasts).__name__}: use bm.contrasts(bm.read_network(...), "
            'measure="OR") first.'
        )
    chosen = contrasts.treatments[0] if reference is None else reference
    if chosen not in contrasts.treatments:
        raise unknown("treatment", chosen, contrasts.treatments)
    if benefit is not None and benefit not in BENEFITS:
        raise unknown("benefit", benefit, BENEFITS)
    classical = network(contrasts, method=method, level=level)
    posterior = fit(contrasts, MODEL, priors=priors)
    return NetworkComparison(
        contrasts,
        chosen,
        benefit or "lower",
        benefit is not None,
        level,
        classical,
        posterior,
        _splits(contrasts, posterior),
    )


def _splits(contrasts: Contrasts, posterior: Posterior) -> NodeSplits | None:
    """Return the Bayesian node splits; their difference has twice the scale of a half-normal prior of tau."""
    prior = posterior.priors["tau"]
    if find_measure(contrasts.measure).name == "GEN":
        # No unit, so no default: a half-normal prior of tau has told it.
        scale = getattr(prior, "scale", None) if getattr(prior, "name", "") == "half_normal" else None
        if scale is None:
            return None
        return node_split(contrasts, priors=posterior.priors, difference=f"normal(0, {2.0 * float(scale)!r})")
    return node_split(contrasts, priors=posterior.priors)
