"""The meta-analysis with the next study in it, for every estimate that the study may bring."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, roots_legendre

from bayesmeta.planning.known import Known
from bayesmeta.values import Array

# Estimates are scanned at so many places for where an answer turns; their quantiles are known at fewer, out to here
# in standard normal scores.
SCAN, LEVELS, LAST = 601, 61, 6.0
# Effects of less probability than this do not decide how far out an estimate may be.
NEGLIGIBLE, FAR = 1e-13, 9.0
BISECTIONS = 48
# Estimates over which updated limits are averaged.
AVERAGED = 24


@dataclass(frozen=True, eq=False)
class Updated:
    """The updated analysis as a function of the next study's estimate.

    Parameters
    ----------
    known
        Before the study.
    se
        ``(n,)`` standard error of the study's estimate at each true effect of `known`.
    """

    known: Known
    se: Array

    def quantiles(self, q: Array) -> Array:
        """Return the estimates that are exceeded with probabilities ``1 - q``, by bisection."""
        at = self.known
        seen = at.weight > NEGLIGIBLE
        # A standard error may be huge where a risk is next to 0 or 1: the bracket is wide, and soon narrow.
        low = np.full(len(q), float(np.min((at.theta - FAR * self.se)[seen])))
        high = np.full(len(q), float(np.max((at.theta + FAR * self.se)[seen])))
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            below = ndtr((middle[:, None] - at.theta) / self.se) @ at.weight < q
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray(0.5 * (low + high))

    @cached_property
    def likely(self) -> Array:
        """Estimates to come, in rising order, closest where they are likely; the first and last are next to never."""
        score = np.linspace(-LAST, LAST, LEVELS)
        fine = np.linspace(-LAST, LAST, SCAN)
        return np.asarray(np.interp(fine, score, self.quantiles(ndtr(score))))

    @cached_property
    def _at_likely(self) -> Array:
        return self.weights(self.likely)

    def weights(self, y: Array) -> Array:
        """Return ``(m, n)`` probabilities of the true effects given each of ``(m,)`` estimates."""
        at = self.known
        with np.errstate(divide="ignore"):
            log = np.log(at.weight) - np.log(self.se) - 0.5 * ((y[:, None] - at.theta) / self.se) ** 2
        found = np.exp(log - log.max(axis=1, keepdims=True))
        return np.asarray(found / found.sum(axis=1, keepdims=True))

    def given(self, y: Array, values: Array) -> Array:
        """Return the mean, given each of ``(m,)`` estimates, of what has ``(n,)`` values given the true effects."""
        return np.asarray(self.weights(np.atleast_1d(y)) @ values)

    def where(self, values: Array, above: float) -> list[tuple[float, float]]:
        """Return the intervals of the estimate in which the mean of `values` is greater than a bound."""
        y = self.likely
        f: Callable[[float], float] = lambda x: float(self.given(np.array([x]), values)[0]) - above  # noqa: E731
        level = self._at_likely @ values - above
        sign = level > 0.0
        turns = np.flatnonzero(sign[1:] != sign[:-1])
        ends = [float(brentq(f, y[i], y[i + 1], xtol=1e-12)) for i in turns]
        edges = [-np.inf, *ends, np.inf]
        first = 0 if sign[0] else 1
        return [(float(edges[i]), float(edges[i + 1])) for i in range(first, len(edges) - 1, 2)]

    def chance(self, intervals: list[tuple[float, float]]) -> Array:
        """Return ``(n,)`` probabilities of an estimate in the intervals, given each true effect."""
        total = np.zeros(len(self.known.theta))
        for low, high in intervals:
            total += ndtr((high - self.known.theta) / self.se) - ndtr((low - self.known.theta) / self.se)
        return total

    def value(self, gain: Array) -> float:
        """Return the expected gain when, after the study, the treatment is adopted where its mean gain is positive."""
        adopted = self.chance(self.where(gain, 0.0))
        return float(np.sum(self.known.weight * gain * adopted))

    def quantiles_of(self, values: Array, q: tuple[float, ...]) -> tuple[float, ...]:
        """Return quantiles, over the estimates to come, of the mean of `values`."""
        y = self.likely
        p = ndtr((y[:, None] - self.known.theta) / self.se) @ self.known.weight
        # An estimate far out on the side of benefit may speak for differences between studies more than for benefit,
        # so what it leads to does not always rise with it: all that it may lead to is put in order.
        at = self._at_likely @ values
        scan, mass = 0.5 * (at[1:] + at[:-1]), np.diff(p)
        order = np.argsort(scan)
        total = np.cumsum(mass[order]) - 0.5 * mass[order]
        return tuple(np.interp(np.array(q) * mass.sum(), total, scan[order]).tolist())

    def expected_interval(self, level: float, x: Array, below: Array) -> tuple[float, float]:
        """Return the mean, over the estimates to come, of the ends of the updated interval of mu.

        Parameters
        ----------
        level
            Of the equal-tailed interval.
        x, below
            ``(g,)`` values of mu, and ``(n, g)`` probabilities of less given each true effect.
        """
        nodes, mass = roots_legendre(AVERAGED)
        q, mass = 0.5 * (1.0 + nodes), 0.5 * mass
        found = self.quantiles(q)
        tables = self.weights(found) @ below
        tail = ndtri(0.5 * (1.0 - level))
        ends = np.array([[_crossing(x, table, z) for z in (tail, -tail)] for table in tables])
        low, high = mass @ ends
        return float(low), float(high)


def _crossing(x: Array, table: Array, z: float) -> float:
    """Return where a tabulated distribution function passes the normal one at `z`."""
    score = ndtri(np.clip(table, 1e-15, 1.0 - 1e-15))
    inside = np.flatnonzero((table > 1e-12) & (table < 1.0 - 1e-12))
    inside = inside[np.concatenate([[True], np.diff(score[inside]) > 1e-9])]
    if len(inside) < 4:
        return float(np.interp(z, score, x))
    smooth = CubicSpline if np.all(np.diff(score[inside]) > 1e-3) else PchipInterpolator
    return float(smooth(score[inside], x[inside])(z))
