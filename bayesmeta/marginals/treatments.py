"""Treatments of a network: any pair against each other, and their ranks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr, ndtri

from bayesmeta.effects import find_measure
from bayesmeta.errors import ModelError, unknown
from bayesmeta.marginals.draws import DrawsMarginal
from bayesmeta.marginals.measured import with_measure
from bayesmeta.values import Array

if TYPE_CHECKING:
    import pandas as pd

# Scrambled Sobol points: so many sets of so many. The sets differ by their scrambling, which is what the error is from.
SETS, POINTS = 8, 2**13
BENEFITS = ("lower", "higher")


@dataclass(frozen=True, slots=True, eq=False)
class Treatments:
    """The joint posterior of a network's relative effects.

    Parameters
    ----------
    names
        ``(T,)`` the treatments; the first is the reference of ``mu[...]``.
    marginals
        Of the posterior, ``mu[treatment]`` among them.
    details
        What the engine knows: a function of any combination where the posterior was integrated.
    measure
        Of the effects.
    """

    names: tuple[str, ...]
    marginals: Mapping[str, Any]
    details: Any
    measure: str

    def relative(self, b: str, a: str) -> Any:
        """Return the posterior of `b` against `a`."""
        self._check(b, a)
        if self._integrated:
            return with_measure(self.details.linear(self._x(b) - self._x(a)), self.measure)
        return with_measure(DrawsMarginal(self._drawn(b) - self._drawn(a)), self.measure)

    def relative_new(self, b: str, a: str) -> Any:
        """Return the posterior predictive distribution of `b` against `a` in a new study."""
        self._check(b, a)
        if self._integrated:
            return with_measure(self.details.new_contrast(self._x(b) - self._x(a)), self.measure)
        tau = np.asarray(self.marginals["tau"].draws)
        # The same noise for every pair, so that b against a is minus a against b.
        noise = np.random.default_rng(0).standard_normal(tau.shape) * (1.0 if b > a else -1.0)
        drawn = self._drawn(b) - self._drawn(a) + tau * noise
        return with_measure(DrawsMarginal(drawn, kind="posterior prediction"), self.measure)

    def relatives(self, level: float, *, new: bool = False) -> "pd.DataFrame":
        """Return every pair, one row each: ``treatment`` against ``reference``, analysis scale."""
        import pandas as pd

        pair = self.relative_new if new else self.relative
        rows = []
        for b in self.names:
            for a in self.names:
                if a != b:
                    m = pair(b, a)
                    low, high = m.eti(level)
                    rows.append((b, a, m.mean(), m.sd(), m.median(), low, high, float(m.sf(0.0))))
        names = ["treatment", "reference", "mean", "sd", "median", "eti_low", "eti_high", "p_above_0"]
        return pd.DataFrame(rows, columns=names)

    def beyond(self, threshold: float, benefit: str) -> "pd.DataFrame":
        """Return P(row better than column by more than `threshold`, analysis scale); NaN on the diagonal."""
        import pandas as pd

        _check_benefit(benefit)
        if not np.isfinite(threshold) or threshold < 0.0:
            raise ModelError(f"threshold is {threshold!r}; it is how much better, a number >= 0 on the analysis scale.")
        return pd.DataFrame(self._better(threshold, benefit), index=list(self.names), columns=list(self.names))

    def ranks(self, benefit: str) -> "pd.DataFrame":
        """Return SUCRA, mean rank and the probabilities of each rank; see `Posterior.ranks`."""
        import pandas as pd

        _check_benefit(benefit)
        better, T = self._better(0.0, benefit), len(self.names)
        sucra = np.nansum(better, axis=1) / (T - 1)
        probability, error = self._rank_probabilities(benefit, better)
        frame = pd.DataFrame(
            {
                "treatment": list(self.names),
                "sucra": sucra,
                "mean_rank": 1.0 + np.nansum(better.T, axis=1),
                "p_best": probability[:, 0],
                **{f"rank_{r + 1}": probability[:, r] for r in range(T)},
            }
        )
        frame.attrs = {
            "benefit": benefit,
            "error": error,
            # Wigle et al. (2024): the variance of the SUCRAs over the largest that it can be.
            "poth": float(12.0 * (T - 1) / (T + 1) * np.mean((sucra - 0.5) ** 2)),
        }
        return frame.sort_values("sucra", ascending=False, kind="stable").reset_index(drop=True)

    @property
    def _integrated(self) -> bool:
        return hasattr(self.details, "new_contrast")

    def _check(self, b: str, a: str) -> None:
        for name in (b, a):
            if name not in self.names:
                raise unknown("treatment", name, self.names)
        if a == b:
            raise ModelError(f"{a!r} against itself is no comparison: name two treatments.")

    def _x(self, treatment: str) -> Array:
        """Return the combination of coefficients that is a treatment against the reference."""
        if treatment == self.names[0]:
            return np.zeros(len(self.details.given.terms))
        return np.asarray(self.details.given.means[f"mu[{treatment}]"])

    def _drawn(self, treatment: str) -> Array:
        if treatment == self.names[0]:
            return np.zeros_like(self.marginals[f"mu[{self.names[1]}]"].draws)
        return np.asarray(self.marginals[f"mu[{treatment}]"].draws)

    def _better(self, threshold: float, benefit: str) -> Array:
        """Return ``(T, T)`` probabilities that the row is better than the column by more than `threshold`."""
        T = len(self.names)
        below = np.full((T, T), np.nan)
        if self._integrated:
            weight, mean, cov = self.details.joint(np.array([self._x(name) for name in self.names[1:]]))
            mean, cov = np.pad(mean, ((0, 0), (1, 0))), np.pad(cov, ((0, 0), (1, 0), (1, 0)))
            for i in range(T):
                for j in (j for j in range(T) if j != i):
                    sd = np.sqrt(cov[:, i, i] + cov[:, j, j] - 2.0 * cov[:, i, j])
                    below[i, j] = weight @ ndtr((-threshold - mean[:, i] + mean[:, j]) / sd)
        else:
            for i, b in enumerate(self.names):
                for j in (j for j in range(T) if j != i):
                    below[i, j] = float(self.relative(b, self.names[j]).cdf(-threshold))
        return below if benefit == "lower" else below.T

    def _rank_probabilities(self, benefit: str, better: Array) -> tuple[Array, float]:
        """Return ``(T, T)`` probabilities of treatment by rank, and the largest standard error among them."""
        T = len(self.names)
        if T == 2:
            first = np.array([better[0, 1], better[1, 0]])
            return np.column_stack([first, 1.0 - first]), 0.0
        # In the order of the SUCRAs, so that names and reference change nothing.
        order = np.argsort(-np.nansum(better, axis=1), kind="stable")
        names = [self.names[i] for i in order]
        sets = self._sets(names)
        sign = 1.0 if benefit == "lower" else -1.0
        found = []
        for values in sets:
            rank = np.argsort(np.argsort(sign * values, axis=1, kind="stable"), axis=1, kind="stable")
            found.append([np.bincount(rank[:, i], minlength=T) / len(values) for i in range(T)])
        each = np.array(found)
        mean = np.empty((T, T))
        mean[order] = each.mean(axis=0)
        return mean, float(each.std(axis=0, ddof=1).max() / np.sqrt(len(each)))

    def _sets(self, names: list[str]) -> list[Array]:
        """Return sets of points ``(n, T)`` of the joint posterior, effects against the first of `names`."""
        if not self._integrated:
            drawn = np.stack([self._drawn(name) for name in names], axis=-1).reshape(-1, len(names))
            return np.array_split(drawn, SETS)
        from scipy.stats import qmc

        base = self._x(names[0])
        weight, mean, cov = self.details.joint(np.array([self._x(name) - base for name in names[1:]]))
        root = np.linalg.cholesky(cov)
        edges = np.cumsum(weight)
        found = []
        for seed in range(SETS):
            points = qmc.Sobol(len(names), rng=np.random.default_rng(seed)).random(POINTS)
            node = np.minimum(np.searchsorted(edges, points[:, 0] * edges[-1]), len(edges) - 1)
            z = ndtri(np.clip(points[:, 1:], 1e-12, 1.0 - 1e-12))
            away = mean[node] + np.einsum("nij,nj->ni", root[node], z)
            found.append(np.column_stack([np.zeros(POINTS), away]))
        return found


class ComparesTreatments:
    """What the posterior of a network answers."""

    __slots__ = ()

    @property
    def _treatments(self) -> Treatments:
        raise NotImplementedError

    def relative(self, b: str, a: str) -> Any:
        """Return the posterior of treatment `b` against `a` of a network, analysis scale.

        Raises
        ------
        ModelError
            If a treatment is unknown, or the posterior is not of a network.
        """
        return self._treatments.relative(b, a)

    def relative_new(self, b: str, a: str) -> Any:
        """Return the posterior predictive distribution of treatment `b` against `a` in a new study of a network."""
        return self._treatments.relative_new(b, a)

    def relatives(self, level: float = 0.95, *, new: bool = False) -> "pd.DataFrame":
        """Return every pair of a network's treatments, one row each, analysis scale; with `new`, of a new study."""
        return self._treatments.relatives(level, new=new)

    def league(self, level: float = 0.95, *, new: bool = False) -> "pd.DataFrame":
        """Return the league table: row against column, posterior median and credible limits, natural scale.

        Parameters
        ----------
        level
            Posterior probability of the equal-tailed intervals.
        new
            Whether cells are of a new study instead of the mean.
        """
        pairs, treatments = self._treatments.relatives(level, new=new), self._treatments
        columns = (pairs[name].tolist() for name in ("treatment", "reference", "median", "eti_low", "eti_high"))
        return league_table(treatments.names, zip(*columns, strict=True), treatments.measure)

    def beyond(self, threshold: float, *, benefit: str) -> "pd.DataFrame":
        """Return P(row better than column by more than `threshold`) of a network; analysis scale."""
        return self._treatments.beyond(threshold, benefit)

    def ranks(self, benefit: str) -> "pd.DataFrame":
        """Return how a network's treatments rank, the best first.

        SUCRA and mean rank follow from the probabilities of all pairs and are as exact as these. Probabilities of each
        rank are integrals over orthants: by scrambled Sobol points, their largest standard error in ``attrs["error"]``
        (0 for two treatments). ``attrs["poth"]`` is the precision of the hierarchy, 0 where nothing is known of it and
        1 where it is certain.

        Parameters
        ----------
        benefit
            Whether ``"lower"`` or ``"higher"`` effects are better.

        Returns
        -------
        pandas.DataFrame
            ``treatment, sucra, mean_rank, p_best, rank_1, ...``.

        References
        ----------
        Salanti, Ades & Ioannidis (2011), J. Clin. Epidemiol. 64:163-171.
        """
        return self._treatments.ranks(benefit)


def _check_benefit(benefit: str) -> None:
    if benefit not in BENEFITS:
        raise unknown("benefit", benefit, BENEFITS)


def league_table(names: tuple[str, ...], cells: Iterable[tuple[Any, ...]], measure: str) -> "pd.DataFrame":
    """Return a square pandas DataFrame of texts, row against column, on the natural scale.

    Parameters
    ----------
    names
        The treatments.
    cells
        Treatment, reference, estimate and limits of each pair, analysis scale.
    measure
        Of the effects.
    """
    import pandas as pd

    to_natural = find_measure(measure).to_natural
    table = pd.DataFrame("", index=list(names), columns=list(names))
    for treatment, reference, *values in cells:
        middle, low, high = (float(to_natural(value)) for value in values)
        table.loc[treatment, reference] = f"{middle:.3g} [{low:.3g}, {high:.3g}]"
    return table
