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
from bayesmeta.marginals.orthants import three_below, two_below
from bayesmeta.values import Array

if TYPE_CHECKING:
    import pandas as pd

# Scrambled Sobol points: so many sets of so many. The sets differ by their scrambling, which is what the error is from.
SETS, POINTS = 8, 2**13
BENEFITS = ("lower", "higher")
EXACT = 4
"""Up to so many treatments rank probabilities are sums of orthant probabilities, without points."""


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

    def near_best(self, margin: float, benefit: str) -> "pd.DataFrame":
        """Return the probability that each treatment is within `margin` of the best; see `Posterior.near_best`."""
        import pandas as pd

        _check_benefit(benefit)
        if not np.isfinite(margin) or margin < 0.0:
            raise ModelError(f"margin is {margin!r}; it is a difference, a number >= 0 on the analysis scale.")
        sign = 1.0 if benefit == "lower" else -1.0
        sets = [sign * values for values in self._sets(list(self.names))]
        each = np.array([(x - x.min(axis=1, keepdims=True) <= margin).mean(axis=0) for x in sets])
        error = each.std(axis=0, ddof=1) / np.sqrt(len(each))
        return pd.DataFrame({"treatment": list(self.names), "probability": each.mean(axis=0), "error": error})

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
        if T <= EXACT and self._integrated:
            return self._exact_ranks(benefit), 0.0
        # In the order of the SUCRAs, so that names and reference change nothing.
        order = np.argsort(-np.nansum(better, axis=1), kind="stable")
        sets = self._sets([self.names[i] for i in order])
        sign = 1.0 if benefit == "lower" else -1.0
        known = 1.0 + np.nansum(better.T, axis=1)[order]
        each = []
        for values in sets:
            rank = np.argsort(np.argsort(sign * values, axis=1, kind="stable"), axis=1, kind="stable")
            of = np.eye(T)[rank].reshape(len(rank), T * T)
            each.append(
                _controlled(of, np.asarray(rank + 1.0, dtype=float), known) if self._integrated else of.mean(axis=0)
            )
        found = np.array(each).reshape(len(sets), T, T)
        mean = np.empty((T, T))
        mean[order] = _doubly_stochastic(found.mean(axis=0))
        return mean, float(found.std(axis=0, ddof=1).max() / np.sqrt(len(sets)))

    def _exact_ranks(self, benefit: str) -> Array:
        """Return ``(T, T)`` probabilities of ranks, of three or four treatments, from orthants."""
        T, sign = len(self.names), 1.0 if benefit == "lower" else -1.0
        weight, mean, cov = self.details.joint(np.array([self._x(name) for name in self.names[1:]]))
        mean, cov = sign * np.pad(mean, ((0, 0), (1, 0))), np.pad(cov, ((0, 0), (1, 0), (1, 0)))
        found = np.empty((T, T))
        for i in range(T):
            D = np.array([np.eye(T)[j] - np.eye(T)[i] for j in range(T) if j != i])
            C = D @ cov @ D.T
            sd = np.sqrt(np.diagonal(C, axis1=1, axis2=2))
            b, R = -(mean @ D.T) / sd, C / (sd[:, :, None] * sd[:, None, :])
            one = float(weight @ ndtr(b).sum(axis=1))
            pairs = [two_below(b[:, j], b[:, k], R[:, j, k]) for j in range(T - 1) for k in range(j)]
            two = float(weight @ np.sum(pairs, axis=0))
            three = float(weight @ three_below(b, R)) if T == EXACT else 0.0
            # Of the others, so many are better: inclusion and exclusion.
            better = [1.0 - one + two - three, one - 2.0 * two + 3.0 * three, two - 3.0 * three, three]
            found[i] = better[:T]
        return found

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


def _controlled(of: Array, rank: Array, known: Array) -> Array:
    """Return means of indicators, corrected by the mean ranks, which are known: a control variate.

    Mean ranks are then those known, and sums over ranks and treatments stay 1.
    """
    away = rank - rank.mean(axis=0)
    slope = np.linalg.lstsq(away.T @ away, away.T @ (of - of.mean(axis=0)), rcond=1e-10)[0]
    return np.asarray(of.mean(axis=0) + (known - rank.mean(axis=0)) @ slope)


def _doubly_stochastic(probability: Array) -> Array:
    """Return probabilities that add up to 1 by ranks and by treatments, where a correction went below 0."""
    if probability.min() >= 0.0:
        return probability
    found = np.maximum(probability, 0.0)
    for _ in range(200):
        found = found / found.sum(axis=0)
        found = found / found.sum(axis=1, keepdims=True)
    return np.asarray(found)


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

    def near_best(self, margin: float, benefit: str) -> "pd.DataFrame":
        """Return the probability that each treatment of a network is the best or within a margin of it.

        Parameters
        ----------
        margin
            Largest difference from the best treatment, analysis scale.
        benefit
            ``"lower"`` or ``"higher"``: which effects are better.

        Returns
        -------
        pandas.DataFrame
            ``treatment``, ``probability`` and ``error``, the numerical standard error of the probability.
        """
        return self._treatments.near_best(margin, benefit)

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
