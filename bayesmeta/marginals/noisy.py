"""A quantity plus an independent normal error: what an estimate of it, yet to be made, will be."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, roots_legendre

from bayesmeta.errors import ConvergenceError
from bayesmeta.marginals.average import Average
from bayesmeta.marginals.density import Density
from bayesmeta.marginals.mixture import NormalMixture
from bayesmeta.marginals.search import Searched
from bayesmeta.marginals.sinc import SincDensity
from bayesmeta.values import Array, IntervalKind

type Function = Callable[[Array], Array]

# A normal error is larger than this many of its standard deviations with probability 1e-19.
REACH = 9.0
_WINDOW = np.linspace(-REACH, REACH, 13)
_X, _W = (np.asarray(a) for a in roots_legendre(16))
# A panel is settled when its halves change it by this share of the whole, or by what rounding of the density does.
SETTLED, ROUNDING = 1e-11, 1e-14
MOST_ROUNDS, MOST_PANELS = 40, 5000
# Grid points of a tabulated density in one panel: each wave that the grid can hold has two of them, a rule 16 nodes.
_STRIDE = 4
_LEVELS = np.array([1e-12, 1e-9, 1e-6, 1e-4, 1e-3, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5])
# Quantiles are searched until they are known to this share of the distribution's width.
QUANTILE = 1e-11


@dataclass(frozen=True, slots=True, eq=False)
class Noisy(Searched):
    """The sum of a quantity that has a density and a normal error with mean 0.

    Every value is an integral over the quantity, within reach of the error, on panels that are halved until
    that changes nothing: neither a density much wider than the error nor one much narrower is missed.

    Parameters
    ----------
    base
        The quantity, a marginal of this package.
    se
        Standard deviation of the error, ``> 0``.
    edges
        ``(n,)`` ascending; between them the density is as smooth as a rule of a panel takes.
    """

    base: Any
    se: float
    edges: Array
    kind: IntervalKind = "posterior prediction"

    @property
    def support(self) -> tuple[float, float]:  # type: ignore[override]
        """The whole line."""
        return (-math.inf, math.inf)

    def _averages(self, x: Array, weight: Function) -> Array:
        """Return for each value the integral of the density times ``weight((value - theta) / se)`` within reach."""

        def average(at: float) -> float:
            inner = panel_edges(self.edges, at + self.se * _WINDOW)
            return integral(lambda theta: np.asarray(self.base.pdf(theta)) * weight((at - theta) / self.se), inner)

        return np.array([average(float(at)) for at in x])

    def _cdf(self, x: Array) -> Array:
        below = np.asarray(self.base.cdf(x - REACH * self.se))
        return np.clip(below + self._averages(x, ndtr), 0.0, 1.0)

    def _sf(self, x: Array) -> Array:
        above = np.asarray(self.base.sf(x + REACH * self.se))
        return np.clip(above + self._averages(x, lambda z: np.asarray(ndtr(-z))), 0.0, 1.0)

    def _logpdf(self, x: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.log(self._averages(x, lambda z: np.exp(-0.5 * z * z))) - math.log(self.se * math.sqrt(math.tau))

    def mean(self) -> float:
        """Return the mean: that of the quantity."""
        return float(self.base.mean())

    def sd(self) -> float:
        """Return the standard deviation; infinite where the quantity's is."""
        return math.hypot(float(self.base.sd()), self.se)

    def _ppf(self, q: Array) -> Array:
        return np.array([self._quantile(float(p)) for p in q])

    def _quantile(self, q: float) -> float:
        if q in (0.0, 1.0):
            return -math.inf if q == 0.0 else math.inf
        # The sum lies beyond a value only if the quantity or the error lies beyond its share of it: quantiles at half
        # of the tail probability, added up, enclose that of the sum.
        tail = min(q, 1.0 - q)
        sign, far = (1.0 if q <= 0.5 else -1.0), float(ndtri(0.5 * tail))
        outer = float(self.base.ppf(0.5 * tail if sign > 0 else 1.0 - 0.5 * tail)) + sign * self.se * far
        inner = float(self.base.ppf(0.5 * (1.0 + tail) if sign > 0 else 0.5 * (1.0 - tail)))
        inner += sign * self.se * float(ndtri(0.5 * (1.0 + tail)))
        function = self._cdf if sign > 0 else self._sf
        width = math.hypot(float(self.base.ppf(0.75) - self.base.ppf(0.25)), self.se)
        return float(
            brentq(lambda x: float(function(np.array([x]))[0]) - tail, outer, inner, xtol=QUANTILE * width, rtol=1e-14)
        )


def with_error(marginal: Any, se: float) -> Searched:
    """Return the distribution of a quantity plus an independent normal error.

    Parameters
    ----------
    marginal
        The quantity: a marginal made by quadrature.
    se
        Standard deviation of the error.

    Returns
    -------
    NormalMixture, Average or Noisy
        A mixture of normals stays one, and a known value becomes one; an average of posteriors is the average of each
        with error.
    """
    if isinstance(marginal, NormalMixture):
        return NormalMixture(
            marginal.weights,
            marginal.means,
            np.hypot(marginal.sds, se),
            marginal.origin,
            marginal.infinite_sd,
            marginal.notes,
            "posterior prediction",
            marginal.extra_variance,
        )
    if isinstance(marginal, Average):
        parts = [with_error(part, se) for part in marginal.parts]
        return Average(marginal.weights, parts, kind="posterior prediction")
    return Noisy(marginal, float(se), smooth_between(marginal))


def smooth_between(marginal: Any) -> Array:
    """Return places between which a density is as smooth as a rule of 16 nodes takes, ascending."""
    if isinstance(marginal, SincDensity):
        return np.append(marginal.x[:-1:_STRIDE], marginal.x[-1])
    breaks = np.asarray(getattr(marginal, "breaks", ()), dtype=float)
    if isinstance(marginal, Density):
        return np.unique(np.concatenate([marginal.edge, [float(marginal.x.max())], breaks]))
    return np.unique(np.concatenate([np.asarray(marginal.ppf(np.concatenate([_LEVELS, 1.0 - _LEVELS]))), breaks]))


def panel_edges(edges: Array, window: Array) -> Array:
    """Return the ends of panels that cover a window: its own places, and those edges that lie inside."""
    return np.unique(np.concatenate([window, edges[(edges > window[0]) & (edges < window[-1])]]))


def integral(function: Function, edges: Array) -> float:
    """Return the integral of a function that is not negative, by Gauss-Legendre on panels halved until they settle.

    Raises
    ------
    ConvergenceError
        If they do not settle.
    """
    low, high = edges[:-1], edges[1:]
    whole, top = _panels(function, low, high)
    done = 0.0
    for _ in range(MOST_ROUNDS):
        middle = 0.5 * (low + high)
        left, tallest = _panels(function, low, middle)
        right, taller = _panels(function, middle, high)
        top, halves = max(top, tallest, taller), left + right
        allowed = SETTLED * (done + float(halves.sum())) + ROUNDING * top * (high - low)
        open_ = np.abs(halves - whole) > allowed
        done += float(halves[~open_].sum())
        if not open_.any():
            return done
        low, high = np.concatenate([low[open_], middle[open_]]), np.concatenate([middle[open_], high[open_]])
        whole = np.concatenate([left[open_], right[open_]])
        if len(low) > MOST_PANELS:
            break
    raise ConvergenceError(
        f"A prediction was not resolved between {edges[0]:.4g} and {edges[-1]:.4g}. "
        "Use engine='nuts', and report the data and priors as a bug."
    )


def _panels(function: Function, low: Array, high: Array) -> tuple[Array, float]:
    """Return the integral over each panel, and the largest value met."""
    half = 0.5 * (high - low)
    x = (low + half)[:, None] + half[:, None] * _X
    value = function(x.ravel()).reshape(x.shape)
    return (value @ _W) * half, float(value.max())
