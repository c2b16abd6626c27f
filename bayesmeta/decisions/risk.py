"""From a relative effect and a baseline risk to the difference in risk, and its exact distribution."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize.elementwise import find_root

from bayesmeta.decisions.baseline import LEVELS, SHARES, Baseline, finer
from bayesmeta.errors import ConvergenceError, ModelError, unknown
from bayesmeta.marginals.average import Average
from bayesmeta.marginals.draws import DrawsMarginal
from bayesmeta.marginals.search import Searched
from bayesmeta.posterior import Marginal
from bayesmeta.values import Array, Interval, IntervalKind
from bayesmeta.words import joined

type Pair = Callable[[Array, Array], Array]

# A risk cut with a probability as small as this is not missed in a density.
NEXT_TO_NOTHING = 1e-9
# The steps that 64 times as many baseline risks leave are a ten-thousandth of the quartiles of their distribution.
MOST_TIMES = 64
# Where risks are cut: what is interpolated between this many times as many nodes errs by less than 1e-6.
CUT_TIMES = 8
_QUARTILES = np.array([0.25, 0.5, 0.75])


@dataclass(frozen=True, slots=True, eq=False)
class RiskMap:
    """How an effect changes a risk.

    Parameters
    ----------
    forward
        Effect on the analysis scale and baseline risk to the difference in risk; not cut to what is possible.
    inverse
        Difference in risk and baseline risk to the effect.
    log_slope
        Difference in risk and baseline risk to ``log |d effect / d difference|``.
    """

    forward: Pair
    inverse: Pair
    log_slope: Pair

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel by the name of a measure: functions without a name cannot."""
        return risk_map, (next(name for name, known in RISK_MAPS.items() if known is self),)


def _odds(theta: Array, b: Array) -> Array:
    # b OR / (1 - b + b OR) - b, written so that neither small risks nor small effects lose digits.
    grown = np.expm1(np.minimum(theta, 700.0))
    return np.asarray(b * (1.0 - b) * grown / (1.0 + b * grown))


_ODDS = RiskMap(
    _odds,
    lambda d, b: np.log1p(np.maximum(d / (b * (1.0 - b - d)), -1.0)),
    lambda d, b: -np.log(b + d) - np.log1p(-b - d),
)

# Difference in risk = treated risk - baseline risk b: OR p/(1-p) = OR b/(1-b); RR p = RR b; RD p = b + RD;
# HR 1 - p = (1 - b)^HR, proportional hazards up to the time of the baseline risk.
RISK_MAPS: dict[str, RiskMap] = {
    "OR": _ODDS,
    "PETO": _ODDS,
    "RR": RiskMap(
        lambda theta, b: b * np.expm1(np.minimum(theta, 700.0)),
        lambda d, b: np.log1p(np.maximum(d / b, -1.0)),
        lambda d, b: -np.log(b + d),
    ),
    "HR": RiskMap(
        lambda theta, b: -(1.0 - b) * np.expm1(np.expm1(np.minimum(theta, 700.0)) * np.log1p(-b)),
        lambda d, b: np.log1p(np.maximum(np.log1p(-d / (1.0 - b)) / np.log1p(-b), -1.0)),
        lambda d, b: -np.log1p(-b - d) - np.log(-np.log1p(-b - d)),
    ),
    "RD": RiskMap(lambda theta, b: theta + 0.0 * b, lambda d, b: d + 0.0 * b, lambda d, b: 0.0 * d * b),
}


def risk_map(measure: str) -> RiskMap:
    """Return how effects of a measure change a risk.

    Raises
    ------
    ModelError
        If they do not: a mean difference, say.
    """
    if measure not in RISK_MAPS:
        raise unknown("measure of an absolute effect (it takes one about risks):", measure, RISK_MAPS)
    return RISK_MAPS[measure]


def risk_difference(
    base: Marginal, mapping: RiskMap, baseline: Baseline, *, cut: float, kind: IntervalKind, seed: int | None
) -> Marginal:
    """Return the posterior of the difference in risk, the baseline risk independent of the effect.

    Draws stay draws; anything else is transformed exactly (a number) or by quadrature (a distribution).

    Parameters
    ----------
    base
        The effect on the analysis scale.
    mapping
        Of the measure.
    baseline
        The risk without treatment.
    cut
        Probability that the risk is cut, of `impossible`.
    kind
        Of its intervals.
    seed
        Of the pairing of draws with baseline risks.
    """
    if not isinstance(base, DrawsMarginal):
        if baseline.fixed:
            return RiskDifference(base, mapping, baseline.risk, baseline.weight, np.full(1, 0.5), cut, kind)
        times = max(_refinement(base, mapping, baseline), CUT_TIMES if cut > NEXT_TO_NOTHING else 1)
        return RiskDifference(base, mapping, *finer(baseline, times), cut, kind)
    risk = _spread(baseline, base.draws.size, seed).reshape(base.draws.shape)
    draws = np.clip(mapping.forward(base.draws, risk), -risk, 1.0 - risk)
    return DrawsMarginal(draws, support=_ends(baseline.risk), kind=kind)


def _refinement(base: Marginal, mapping: RiskMap, baseline: Baseline) -> int:
    """Return how many times more baseline risks it takes for their steps not to show, however precise the effect.

    The nodes of a baseline suffice where the effect moves the difference as much as half the baseline does.
    """
    # No effect gives the same difference at every baseline.
    parts = [part for _, part in _parts(base) if 0.0 not in getattr(part, "atoms", {})]
    return max([1, *(_times(part, mapping, baseline) for part in parts)])


def _parts(base: Marginal) -> list[tuple[float, Marginal]]:
    """Return the parts of an average with their weights, or what is none with weight 1."""
    return list(zip(base.weights.tolist(), base.parts, strict=True)) if isinstance(base, Average) else [(1.0, base)]


def _times(base: Marginal, mapping: RiskMap, baseline: Baseline) -> int:
    effect = np.asarray(base.ppf(_QUARTILES))
    risk: Array = np.interp(_QUARTILES, LEVELS, baseline.risk)
    by_effect = float(np.ptp(mapping.forward(effect, risk[1:2])))
    by_baseline = float(np.ptp(mapping.forward(effect[1:2], risk)))
    if 0.5 * by_baseline <= by_effect:
        return 1
    return MOST_TIMES if 0.5 * by_baseline >= MOST_TIMES * by_effect else math.ceil(0.5 * by_baseline / by_effect)


def _spread(baseline: Baseline, n: int, seed: int | None) -> Array:
    """Return `n` baseline risks, evenly spread over their distribution and shuffled."""
    if baseline.fixed:
        return np.full(n, baseline.risk[0])
    even = np.interp((np.arange(n) + 0.5) / n, LEVELS, baseline.risk)
    return np.random.default_rng(seed).permutation(even)


def _ends(risk: Array) -> tuple[float, float]:
    return -float(risk.max()), 1.0 - float(risk.min())


@dataclass(frozen=True, slots=True, eq=False)
class RiskDifference(Searched):
    """Difference in risk between treatment and none; a risk beyond 0 or 1 is cut to it.

    Parameters
    ----------
    base
        The effect on the analysis scale.
    mapping
        Of its measure.
    risk, weight, level
        ``(n,)`` baseline risks, their probabilities, and the probability of a lower one.
    cut
        Probability that a risk was cut.
    """

    base: Marginal
    mapping: RiskMap
    risk: Array
    weight: Array
    level: Array
    cut: float
    kind: IntervalKind = "credible"

    @property
    def support(self) -> tuple[float, float]:  # type: ignore[override]
        """Ends of the support."""
        return _ends(self.risk)

    @property
    def atoms(self) -> dict[float, float]:
        """Differences with a probability of their own: of effects that have one, no effect whatever the risk is."""
        found: dict[float, float] = {}
        for effect, share in getattr(self.base, "atoms", {}).items():
            if len(self.risk) == 1 or effect == 0.0:
                value = float(self._cut(np.array(effect), self.risk[:1])[0])
                found[value] = found.get(value, 0.0) + share
        return found

    def _effect(self, x: Array) -> Array:
        """Return ``(len(x), n)`` effects that give these differences; infinite where none does."""
        d = x[:, None]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            value = self.mapping.inverse(np.clip(d, -self.risk, 1.0 - self.risk), self.risk)
        return np.where(d < -self.risk, -np.inf, np.where(d >= 1.0 - self.risk, np.inf, value))

    def _tail(self, x: Array, word: str) -> Array:
        effect = self._effect(x)
        value = np.where(effect > 0, 1.0, 0.0) if word == "cdf" else np.where(effect < 0, 1.0, 0.0)
        finite = np.isfinite(effect)
        value[finite] = getattr(self.base, word)(effect[finite])
        total = value @ self.weight
        if len(self.risk) > 1 and self.cut > NEXT_TO_NOTHING:
            total += self._between_nodes(x, word)
        return np.clip(total, 0.0, 1.0)

    def _between_nodes(self, x: Array, word: str) -> Array:
        """Return what the sum over baseline risks misses, because at the risk where a difference is cut it jumps.

        The jump lies between two nodes; the sum counts it at one of them.
        """
        missed = np.zeros(len(x))
        for end, outside in ((0.0, -math.inf), (1.0, math.inf)):
            at = end - x
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                effect = self.mapping.inverse(x, at)
            use = (at > self.risk[0]) & (at < self.risk[-1]) & np.isfinite(effect)
            inside, there = (np.asarray(getattr(self.base, word)(e)) for e in (effect[use], np.array([outside])))
            counted = (self.risk < at[use][:, None]) @ self.weight
            lower = np.interp(at[use], self.risk, self.level) - counted
            # Below the first end a difference is impossible, and beyond the second certain.
            missed[use] += (lower if end else -lower) * (inside - there)
        return missed

    def _cdf(self, x: Array) -> Array:
        return self._tail(x, "cdf")

    def _sf(self, x: Array) -> Array:
        return self._tail(x, "sf")

    def _logpdf(self, x: Array) -> Array:
        self._check_uncut()
        effect = self._effect(x)
        finite = np.isfinite(effect)
        d, risk = (a[finite] for a in np.broadcast_arrays(x[:, None], self.risk))
        density = np.zeros(effect.shape)
        with np.errstate(divide="ignore"):
            density[finite] = self.base.pdf(effect[finite]) * np.exp(self.mapping.log_slope(d, risk))
            return np.asarray(np.log(density @ self.weight))

    def _check_uncut(self) -> None:
        """Refuse a density of which the risks that were cut are a part, at places that depend on the baseline."""
        if len(self.risk) > 1 and self.cut > NEXT_TO_NOTHING:
            raise ModelError(
                f"The risk is cut at 0 or 1 with probability {self.cut:.3g}, at baseline risks that are uncertain "
                "themselves: its difference has probabilities and quantiles, but no density is known here. Use eti(), "
                "or one baseline risk."
            )

    def _cut(self, effect: Array, risk: Array) -> Array:
        return np.clip(self.mapping.forward(effect, risk), -risk, 1.0 - risk)

    def _ppf(self, q: Array) -> Array:
        if len(self.risk) == 1:
            with np.errstate(over="ignore"):
                return self._cut(np.asarray(self.base.ppf(q)), self.risk)
        inside = (q > 0.0) & (q < 1.0)
        out = np.where(q <= 0.0, self.support[0], self.support[1])
        for value, share in self.atoms.items():
            at = np.array([value])
            # A level within a jump of the probability has this very value, beside which a search would end.
            held = inside & (q > self._cdf(at) - share) & (1.0 - q >= self._sf(at))
            out[held], inside = value, inside & ~held
        if inside.any():
            out[inside] = self._search(q[inside])
        return out

    def _search(self, q: Array) -> Array:
        def excess(x: Array, level: Array) -> Array:
            value = np.empty(len(x))
            upper = level > 0.5
            value[upper] = (1.0 - level[upper]) - self._sf(x[upper])
            value[~upper] = self._cdf(x[~upper]) - level[~upper]
            return value

        # A hair beyond the support, so that the signs at the ends differ even where a risk was cut.
        low, high = self.support
        found = find_root(excess, (low - 1e-9, high + 1e-9), args=(q,))
        if not np.all(found.success):
            raise ConvergenceError("A quantile of the risk difference was not pinned down. Report the data as a bug.")
        solved: Array = np.asarray(found.x, dtype=float)
        return np.clip(solved, low, high)

    def mode(self) -> float:
        """Return where the density is highest: the most probable single value, if there is one."""
        atoms = self.atoms
        return max(atoms, key=lambda value: atoms[value]) if atoms else Searched.mode(self)

    def hdi(self, level: float = 0.95) -> Interval:
        """Return the shortest interval.

        Raises
        ------
        ModelError
            If there are values with a probability of their own.
        """
        if self.atoms:
            values = joined([f"{value:g}" for value in self.atoms])
            raise ModelError(
                f"The difference in risk has a probability of exactly {values}: its shortest interval is not known "
                "here. Use eti()."
            )
        return Searched.hdi(self, level)

    def _given_effect(self, about: float, power: int) -> float:
        def moment(part: Marginal) -> float:
            effect = np.asarray(part.ppf(LEVELS))[:, None]
            value = (self._cut(effect, self.risk) - about) ** power @ self.weight
            return float(SHARES @ value / SHARES.sum())

        # The quantile function of an average jumps at its atoms; those of its parts do not.
        return math.fsum(weight * moment(part) for weight, part in _parts(self.base) if weight > 0.0)

    def mean(self) -> float:
        """Return the mean."""
        return self._given_effect(0.0, 1)

    def sd(self) -> float:
        """Return the standard deviation."""
        return math.sqrt(self._given_effect(self.mean(), 2))


def impossible(base: Marginal, mapping: RiskMap, baseline: Baseline) -> float:
    """Return the probability that the effect takes the risk beyond 0 or 1, where it is cut."""
    ends: Any = np.stack([-baseline.risk, 1.0 - baseline.risk])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        low, high = mapping.inverse(ends[0], baseline.risk), mapping.inverse(ends[1], baseline.risk)
    outside = np.where(np.isfinite(low), base.cdf(np.where(np.isfinite(low), low, 0.0)), 0.0)
    outside = outside + np.where(np.isfinite(high), base.sf(np.where(np.isfinite(high), high, 0.0)), 0.0)
    return float(outside @ baseline.weight)
