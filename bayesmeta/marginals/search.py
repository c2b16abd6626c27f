"""Quantiles, modes and shortest intervals of a continuous distribution, from its cdf and density."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from bayesmeta.errors import ConvergenceError, ModelError
from bayesmeta.values import Array, Interval

type Function = Callable[[Array], Array]

# Log densities this close are equal: large sums of logs round at about this size.
FLAT = 1e-11
_DEGREE = 16
_CHEB = np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
_TO_CHEB = np.linalg.inv(np.polynomial.chebyshev.chebvander(_CHEB, _DEGREE))
# Levels at which a density is first looked at: both tails, and 1% steps between.
_LEVELS = np.concatenate(
    [10.0 ** np.arange(-9.0, -2.0), np.linspace(0.01, 0.99, 99), 1.0 - 10.0 ** np.arange(-3.0, -10.0, -1.0)]
)


def check_level(level: float) -> float:
    """Return `level`, a probability strictly between 0 and 1.

    Raises
    ------
    ModelError
        If it is not.
    """
    if not 0.0 < level < 1.0:
        raise ModelError(f"level={level}: a probability between 0 and 1 is needed, e.g. 0.95.")
    return float(level)


def check_probabilities(q: ArrayLike) -> Array:
    """Return `q` as an array of probabilities in [0, 1].

    Raises
    ------
    ModelError
        If one lies outside.
    """
    q = np.asarray(q, dtype=float)
    if not np.all((q >= 0.0) & (q <= 1.0)):
        raise ModelError(f"Quantiles exist for probabilities from 0 to 1, not {q[~((q >= 0) & (q <= 1))][0]:g}.")
    return q


def pointwise(function: Function, x: ArrayLike) -> Any:
    """Apply a function of a flat array to `x` of any shape; a scalar gives a scalar."""
    x = np.asarray(x, dtype=float)
    if x.size == 0:
        return np.empty(x.shape)
    return function(x.ravel()).reshape(x.shape)[()]


def invert(
    tail: Function,
    density: Function,
    log_target: Array,
    rising: bool,
    bracket: tuple[Array, Array],
    start: Array,
    scale: float,
) -> Array:
    """Solve ``log tail(x) = log_target`` for each target, Newton's steps kept inside a shrinking bracket.

    Parameters
    ----------
    tail
        Cumulative probability from the left (`rising`) or from the right.
    density
        Its absolute derivative.
    bracket
        Lower and upper ends that surely enclose each solution.
    start
        First guesses.
    scale
        Width of the distribution, the yardstick for large brackets and tolerance.

    Raises
    ------
    ConvergenceError
        If a solution is not pinned down to a few units in the last place.
    """
    low, high = bracket[0].copy(), bracket[1].copy()
    x = np.clip(start, low, high)
    live = np.flatnonzero(high > low)
    x[high <= low] = low[high <= low]
    for iteration in range(400):
        if live.size == 0:
            return x
        at = x[live]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            value = np.log(tail(at)) - log_target[live]
            above = value > 0 if rising else value < 0
            low[live], high[live] = np.where(above, low[live], at), np.where(above, at, high[live])
            slope = density(at) / tail(at)
            step = np.where(rising, -value / slope, value / slope)
        new = at + step
        # From the eighth step on every third one halves the bracket: Newton alone may creep.
        inside = (new > low[live]) & (new < high[live]) & (iteration < 8 or iteration % 3 != 0)
        new = np.where(inside, new, _middle(low[live], high[live], scale))
        tiny = 16.0 * np.finfo(float).eps * np.maximum(np.abs(at), scale)
        settled = (np.abs(step) <= tiny) | (value == 0)
        done = settled | (high[live] - low[live] <= tiny)
        x[live] = np.where(settled, at, new)
        live = live[~done]
    raise ConvergenceError("A quantile was not pinned down. Report the data and priors as a bug.")


def _middle(low: Array, high: Array, scale: float) -> Array:
    """Return a point between, halfway on an arcsinh axis, so brackets of many orders of magnitude shrink fast."""
    centre = np.where((low < 0) & (high > 0), 0.0, np.where(np.abs(low) < np.abs(high), low, high))
    return centre + scale * np.sinh(0.5 * (np.arcsinh((low - centre) / scale) + np.arcsinh((high - centre) / scale)))


def peak(log_density: Function, low: float, high: float) -> float | None:
    """Return where `log_density` has its maximum inside ``(low, high)``, or None if that is at an end.

    The derivative of a Chebyshev interpolant is solved, which loses no digits where comparing values loses
    half. The interval shrinks as long as that brings the root closer; below some width rounding takes over.
    """
    found, error, worse = None, math.inf, 0
    for _ in range(40):
        centre, half = 0.5 * (low + high), 0.5 * (high - low)
        values = log_density(centre + half * _CHEB)
        if not np.isfinite(values).all():
            low, high = _shrink_to_finite(values, centre, half)
            continue
        coefficients = _TO_CHEB @ values
        roots = np.polynomial.chebyshev.chebroots(np.polynomial.chebyshev.chebder(coefficients))
        real = np.real(roots[(np.abs(roots.imag) < 1e-6) & (np.abs(roots.real) <= 1.0)])
        spread = max(float(np.max(np.abs(coefficients[1:]))), 1e-300)
        tail = float(np.max(np.abs(coefficients[-3:])))
        if real.size == 0 and (tail <= 1e-9 * spread or spread < FLAT or worse > 2):
            return found
        place = _CHEB[int(np.argmax(values))]
        if real.size:
            place = float(real[np.argmax(np.polynomial.chebyshev.chebval(real, coefficients))])
        now = half * tail / spread if real.size else math.inf
        if now < error:
            found, error, worse = float(centre + half * place), now, 0
        else:
            worse += 1
        if worse > 2 or error <= 1e-15 * max(abs(low), abs(high)):
            return found
        low, high = centre + half * max(-1.0, place - 0.4), centre + half * min(1.0, place + 0.4)
    return found


def _shrink_to_finite(values: Array, centre: float, half: float) -> tuple[float, float]:
    finite = _CHEB[np.isfinite(values)]
    if finite.size == 0:
        raise ConvergenceError("The density is nowhere finite near its mode. Report the data and priors as a bug.")
    return centre + half * float(finite.min()), centre + half * float(finite.max())


def mode(log_density: Function, ppf: Function, support: tuple[float, float]) -> float:
    """Return the highest point of a density, which may be an end of its support."""
    x = np.unique(np.concatenate([[e for e in support if math.isfinite(e)], ppf(_LEVELS)]))
    with np.errstate(divide="ignore", invalid="ignore"):
        values = log_density(x)
    values = np.where(np.isnan(values), -np.inf, values)
    best = int(np.argmax(values))
    if np.isposinf(values[best]) or len(x) < 3:
        return float(x[best])
    # Within rounding of the density at an end of the support, that end is the mode.
    if x[0] == support[0] and values[0] >= values[best] - FLAT:
        return float(x[0])
    # Ten percent to each side: wide enough for a derivative to stand out of rounding.
    low, high = float(x[max(best - 10, 0)]), float(x[min(best + 10, len(x) - 1)])
    found = peak(log_density, low, high)
    if found is not None and float(log_density(np.array([found]))[0]) >= values[best] - FLAT:
        return found
    # No turning point between the neighbours: the highest of them, the leftmost of equals (rounding aside).
    near = slice(max(best - 1, 0), best + 2)
    return float(x[near][np.flatnonzero(values[near] >= values[best] - FLAT)[0]])


def shortest(ppf: Function, density: Function, level: float, support: tuple[float, float]) -> tuple[float, float]:
    """Return the shortest interval that holds `level`: equal density at both ends, or an end of the support."""
    room = 1.0 - level
    grid = room * np.concatenate([[1e-9, 1e-6, 1e-4], np.linspace(0.0, 1.0, 49)[1:-1], [1 - 1e-4, 1 - 1e-6, 1 - 1e-9]])
    low, high = ppf(grid), ppf(grid + level)
    best = int(np.argmin(high - low))

    def tilt(p: float) -> float:
        ends = density(ppf(np.array([p, min(p + level, 1.0)])))
        return float(ends[1] - ends[0])

    a, b = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, len(grid) - 1)])
    # At the shortest interval the density at the upper end falls below that at the lower end as p grows.
    if best == 0 and tilt(a) <= 0.0:
        edge = float(ppf(np.array([0.0 if math.isfinite(support[0]) else a]))[0])
        return edge, float(ppf(np.array([level if math.isfinite(support[0]) else a + level]))[0])
    if best == len(grid) - 1 and tilt(b) >= 0.0:
        edge = float(ppf(np.array([1.0 if math.isfinite(support[1]) else b + level]))[0])
        return float(ppf(np.array([room if math.isfinite(support[1]) else b]))[0]), edge
    for _ in range(4):
        if tilt(a) * tilt(b) <= 0.0:
            break
        # Several turning points lie between the neighbours: look more closely.
        near = np.linspace(a, b, 41)
        best = int(np.argmin(ppf(near + level) - ppf(near)))
        a, b = float(near[max(best - 1, 0)]), float(near[min(best + 1, 40)])
    else:
        raise ConvergenceError(
            f"The shortest {level:g} interval was not found: the density has several peaks. Use eti()."
        )
    p = float(brentq(tilt, a, b, xtol=1e-15, rtol=1e-14))
    return float(ppf(np.array([p]))[0]), float(ppf(np.array([p + level]))[0])


class Searched:
    """The words that follow from ``_cdf``, ``_ppf``, ``_logpdf`` and ``support``: the same for every marginal."""

    __slots__ = ()
    support: tuple[float, float]
    kind: Any

    @property
    def breaks(self) -> tuple[float, ...]:
        """Where the density may jump or have a kink, in rising order; finite ends of the support are among them."""
        return tuple(end for end in self.support if math.isfinite(end))

    @property
    def atoms(self) -> dict[float, float]:
        """Values with a probability of their own, which is not part of the density, and that probability."""
        return {}

    def _cdf(self, x: Array) -> Array:
        raise NotImplementedError

    def _sf(self, x: Array) -> Array:
        raise NotImplementedError

    def _ppf(self, q: Array) -> Array:
        raise NotImplementedError

    def _logpdf(self, x: Array) -> Array:
        raise NotImplementedError

    def cdf(self, x: ArrayLike) -> Any:
        """Return P(quantity <= x), accurate in the lower tail."""
        return pointwise(self._cdf, x)

    def sf(self, x: ArrayLike) -> Any:
        """Return P(quantity > x), accurate in the upper tail."""
        return pointwise(self._sf, x)

    def pdf(self, x: ArrayLike) -> Any:
        """Return the density, per unit of the quantity."""
        return pointwise(lambda z: np.exp(self._logpdf(z)), x)

    def logpdf(self, x: ArrayLike) -> Any:
        """Return the log density."""
        return pointwise(self._logpdf, x)

    def ppf(self, q: ArrayLike) -> Any:
        """Return the quantiles at probabilities `q`."""
        return pointwise(self._ppf, check_probabilities(q))

    def median(self) -> float:
        """Return the median."""
        return float(self.ppf(0.5))

    def mode(self) -> float:
        """Return where the density is highest; an end of the support where it is highest there."""
        return mode(self._logpdf, self._ppf, self.support)

    def eti(self, level: float = 0.95) -> Interval:
        """Return the equal-tailed interval."""
        tail = 0.5 * (1.0 - check_level(level))
        low, high = self._ppf(np.array([tail, 1.0 - tail]))
        return Interval(float(low), float(high), level, self.kind, "eti")

    def hdi(self, level: float = 0.95) -> Interval:
        """Return the shortest interval."""
        low, high = shortest(self._ppf, lambda x: np.exp(self._logpdf(x)), check_level(level), self.support)
        return Interval(low, high, level, self.kind, "hdi")
