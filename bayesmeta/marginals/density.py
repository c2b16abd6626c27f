"""A positive quantity whose density was integrated on panels, and monotone functions of it."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import roots_legendre

from bayesmeta.errors import ConvergenceError
from bayesmeta.marginals.axis import from_axis, log_jacobian, to_axis
from bayesmeta.marginals.search import Searched
from bayesmeta.values import Array, IntervalKind

# Its square root is a value of tau that no data tell from 0.
NEXT_TO_0 = 1e-300
_X, _W = (np.asarray(a) for a in roots_legendre(16))


@dataclass(frozen=True, slots=True, eq=False)
class Density(Searched):
    """A quantity with a known normalised density, and the mass of each panel of its axis.

    Parameters
    ----------
    log_density
        Maps ``(n,)`` values to the normalised log density per unit of the quantity.
    x, mass
        ``(n,)`` nodes and their probabilities.
    lower, upper, left, right
        ``(P,)`` panels, as in `bayesmeta.engines.axes.panels.Panels`: each lies on the log axis of
        ``(lower, inf)`` or the logit axis of ``(lower, upper)``.
    panel_mass
        ``(P,)`` probability of each panel.
    support
        Ends of the support.
    infinite_mean
        Minus infinity or infinity where the mean is that, else 0.
    infinite_sd
        True where the second moment does not exist.
    notes
        What does not exist, and why.
    extra_first, extra_second
        Share of the first and second moment beyond the last node, where the tail is a known power.
    measure
        Effect measure whose analysis scale the quantity is on; empty for other quantities.
    """

    log_density: Callable[[Array], Array]
    x: Array
    mass: Array
    lower: Array
    upper: Array
    left: Array
    right: Array
    panel_mass: Array
    support: tuple[float, float] = (0.0, math.inf)
    infinite_mean: float = 0.0
    infinite_sd: bool = False
    notes: tuple[str, ...] = ()
    kind: IntervalKind = "credible"
    extra_first: float = 0.0
    extra_second: float = 0.0
    measure: str = ""
    below: Array = field(init=False)
    above: Array = field(init=False)
    edge: Array = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "below", np.concatenate([[0.0], np.cumsum(self.panel_mass)]))
        object.__setattr__(self, "above", np.concatenate([np.cumsum(self.panel_mass[::-1])[::-1], [0.0]]))
        object.__setattr__(self, "edge", from_axis(self.left, self.lower, self.upper))

    @property
    def breaks(self) -> tuple[float, ...]:
        """Where the density may jump or have a kink: panels were laid between these."""
        ends = np.unique(np.concatenate([self.lower, self.upper, self.support]))
        return tuple(ends[np.isfinite(ends)].tolist())

    def _logpdf(self, x: Array) -> Array:
        out = np.full(len(x), -np.inf)
        inside = (x >= self.support[0]) & (x <= self.support[1])
        if inside.any():
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                out[inside] = self.log_density(x[inside])
        return out

    def _between(self, u0: Array, u1: Array, panel: NDArray[np.intp]) -> Array:
        """Return the probability between two places of one panel's axis, by Gauss-Legendre on that stretch."""
        half = 0.5 * (u1 - u0)
        u = (u0 + half)[:, None] + half[:, None] * _X
        lower, upper = self.lower[panel][:, None], self.upper[panel][:, None]
        x = from_axis(u, lower, upper)
        with np.errstate(divide="ignore", over="ignore"):
            g = np.exp(self.log_density(x.ravel()).reshape(x.shape) + log_jacobian(u, lower, upper))
        return np.asarray((g @ _W) * half)

    def _locate(self, x: Array) -> tuple[NDArray[np.intp], Array]:
        """Return the panel of each value and its place there, cut to the panel's ends."""
        panel = np.clip(np.searchsorted(self.edge, x, side="right") - 1, 0, len(self.left) - 1)
        with np.errstate(invalid="ignore"):
            u = to_axis(np.clip(x, self.lower[panel], self.upper[panel]), self.lower[panel], self.upper[panel])
        return panel, np.clip(u, self.left[panel], self.right[panel])

    def _tails(self, x: Array, rising: bool) -> Array:
        panel, u = self._locate(x)
        if rising:
            value = self.below[panel] + self._between(self.left[panel], u, panel)
        else:
            value = self.above[panel + 1] + self._between(u, self.right[panel], panel)
        return np.clip(value, 0.0, 1.0)

    def _cdf(self, x: Array) -> Array:
        return self._tails(x, rising=True)

    def _sf(self, x: Array) -> Array:
        return self._tails(x, rising=False)

    def mean(self) -> float:
        """Return the mean; infinite where the notes say so."""
        return self.infinite_mean or float(self.mass @ self.x) + self.extra_first

    def sd(self) -> float:
        """Return the standard deviation; infinite where the notes say so."""
        if self.infinite_sd:
            return math.inf
        # In units of the mean, so that squares neither overflow nor vanish.
        m = self.mean()
        return m * math.sqrt(float(self.mass @ (self.x / m - 1.0) ** 2) + self.extra_second / m / m)

    def _ppf(self, q: Array) -> Array:
        out = np.where(q <= 0.0, self.support[0], self.support[1])
        for mask, rising in (((q > 0.0) & (q <= 0.5), True), ((q > 0.5) & (q < 1.0), False)):
            if mask.any():
                out[mask] = self._tail_quantile(q[mask] if rising else 1.0 - q[mask], rising)
        return out

    def isf(self, q: float) -> float:
        """Return x with ``sf(x) = q``, accurate however small `q` is."""
        return float(self._tail_quantile(np.array([float(q)]), rising=False)[0])

    def _tail_quantile(self, tail: Array, rising: bool) -> Array:
        """Solve for the place within the panel that holds the quantile: Newton, halved when it strays."""
        if rising:
            panel = np.searchsorted(self.below, tail, side="left") - 1
        else:
            panel = len(self.above) - 1 - np.searchsorted(self.above[::-1], tail, side="left")
        panel = np.clip(panel, 0, len(self.left) - 1)
        low, high = self.left[panel].copy(), self.right[panel].copy()
        known = self.below[panel] if rising else self.above[panel + 1]
        u = 0.5 * (low + high)
        for _ in range(200):
            ends = (self.left[panel], u) if rising else (u, self.right[panel])
            excess = known + self._between(*ends, panel) - tail
            too_far = excess > 0 if rising else excess < 0
            low, high = np.where(too_far, low, u), np.where(too_far, u, high)
            lower, upper = self.lower[panel], self.upper[panel]
            x = from_axis(u, lower, upper)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                step = excess / np.exp(self.log_density(x) + log_jacobian(u, lower, upper))
            new = u - step if rising else u + step
            inside = (new > low) & (new < high)
            new = np.where(inside, new, 0.5 * (low + high))
            # A step this small is rounding, and may well lead out of the bracket, whose end is the place itself.
            settled = (np.abs(step) <= 4e-15 * np.maximum(1.0, np.abs(u))) | (excess == 0.0)
            done = settled | (np.abs(new - u) <= 1e-15 * np.maximum(1.0, np.abs(u)))
            u = np.where(settled, u, new)
            if done.all():
                return np.asarray(from_axis(u, self.lower[panel], self.upper[panel]))
        raise ConvergenceError("A quantile of tau was not pinned down. Report the data and priors as a bug.")


@dataclass(frozen=True, slots=True, eq=False)
class Transformed(Searched):
    """An increasing function of a quantity with a `Density`.

    Parameters
    ----------
    base
        The quantity itself.
    forward, inverse
        The function and its inverse, on arrays.
    log_slope
        Maps values of the function to ``log |d base / d value|``.
    infinite_mean, infinite_sd, notes
        As in `Density`.
    """

    base: Density
    forward: Callable[[Array], Array]
    inverse: Callable[[Array], Array]
    log_slope: Callable[[Array], Array]
    infinite_mean: float = 0.0
    infinite_sd: bool = False
    notes: tuple[str, ...] = ()
    kind: IntervalKind = "credible"
    extra_first: float = 0.0
    extra_second: float = 0.0

    @property
    def support(self) -> tuple[float, float]:  # type: ignore[override]
        """Ends of the support."""
        low, high = self.forward(np.array(self.base.support))
        return float(low), float(high)

    @property
    def breaks(self) -> tuple[float, ...]:
        """Where the density may jump or have a kink: at those of the quantity itself."""
        ends = self.forward(np.array([*self.base.breaks, *self.base.support]))
        return tuple(np.unique(ends[np.isfinite(ends)]).tolist())

    def _inside(self, x: Array) -> Array:
        return np.clip(x, *self.support)

    def _cdf(self, x: Array) -> Array:
        return self.base._cdf(self.inverse(self._inside(x)))

    def _sf(self, x: Array) -> Array:
        return self.base._sf(self.inverse(self._inside(x)))

    def _ppf(self, q: Array) -> Array:
        return self.forward(self.base._ppf(q))

    def isf(self, q: float) -> float:
        """Return x with ``sf(x) = q``, accurate however small `q` is."""
        return float(self.forward(np.array([self.base.isf(q)]))[0])

    def _logpdf(self, x: Array) -> Array:
        inside = (x >= self.support[0]) & (x <= self.support[1])
        at = self._inside(x)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = self.base._logpdf(self.inverse(at)) + self.log_slope(at)
            # 0 times infinity: the limit, as it is next to 0.
            edge = np.isnan(value) & (at == 0.0)
            if edge.any():
                near = np.full(int(edge.sum()), NEXT_TO_0)
                value[edge] = self.base._logpdf(self.inverse(near)) + self.log_slope(near)
        return np.where(inside & ~np.isnan(value), value, -np.inf)

    def mean(self) -> float:
        """Return the mean; infinite where the notes say so."""
        return self.infinite_mean or float(self.base.mass @ self.forward(self.base.x)) + self.extra_first

    def sd(self) -> float:
        """Return the standard deviation; infinite where the notes say so."""
        if self.infinite_sd:
            return math.inf
        value = self.forward(self.base.x)
        return math.sqrt(float(self.base.mass @ (value - self.mean()) ** 2) + self.extra_second)
