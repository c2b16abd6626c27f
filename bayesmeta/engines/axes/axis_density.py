"""A parameter whose density is known at evenly spaced places of its axis, which is all that is needed of it."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr, roots_legendre, sici

from bayesmeta.engines.axes.parameter_axis import ParameterAxis
from bayesmeta.marginals.search import Searched
from bayesmeta.values import Array, IntervalKind

_X, _W = (np.asarray(a) for a in roots_legendre(12))
# Steps of the grid that one stretch of Gauss-Legendre nodes covers.
STRETCH = 3.0
# Where, in steps, expectations go over from the interpolated density to the places, and how gradually: the step is flat
# to 1e-17 at the fold and far out, and smooth enough for the sums to be exact to 1e-12.
BEND, BLUR = 10.2, 1.2


@dataclass(frozen=True, eq=False)
class AxisDensity(Searched):
    """A parameter with a smooth density on its axis, tabulated there.

    Between the places the density is its sinc interpolant, and its integral a sum of sine integrals (Stenger 1993,
    Numerical Methods Based on Sinc and Analytic Functions, ch. 3-4).

    Parameters
    ----------
    axis
        The axis.
    v
        ``(n,)`` evenly spaced places; both halves of a folded axis.
    probability
        ``(n,)`` probabilities of the places, adding up to one.
    infinite_mean, infinite_sd
        Whether the moment does not exist.
    notes
        What does not exist, and why.
    """

    axis: ParameterAxis
    v: Array
    probability: Array
    infinite_mean: float = 0.0
    infinite_sd: bool = False
    notes: tuple[str, ...] = ()
    kind: IntervalKind = "credible"

    @property
    def support(self) -> tuple[float, float]:  # type: ignore[override]
        """Ends of the support."""
        return self.axis.low, self.axis.high

    @property
    def step(self) -> float:
        """Spacing of the places."""
        return float(self.v[1] - self.v[0])

    def _below(self, t: Array) -> Array:
        """Return the integral up to places of the axis."""
        return np.asarray((0.5 + sici(np.pi * (t[:, None] - self.v) / self.step)[0] / np.pi) @ self.probability)

    def _cdf(self, x: Array) -> Array:
        t = self._place(x)
        value = self._below(t) - self._below(-t) if self.axis.folded else self._below(t)
        return np.clip(value, 0.0, 1.0)

    def _sf(self, x: Array) -> Array:
        t = self._place(x)
        above = (0.5 - sici(np.pi * (t[:, None] - self.v) / self.step)[0] / np.pi) @ self.probability
        return np.clip(2.0 * above if self.axis.folded else above, 0.0, 1.0)

    def _place(self, x: Array) -> Array:
        # Beyond the places there is nothing, and sine integrals of infinite arguments are no numbers.
        return np.clip(self.axis.t(np.clip(x, *self.support)), self.v[0] - self.step, self.v[-1] + self.step)

    def _per_t(self, t: Array) -> Array:
        return np.asarray(np.maximum(np.sinc((t[:, None] - self.v) / self.step) @ self.probability, 0.0) / self.step)

    def _logpdf(self, x: Array) -> Array:
        t = self.axis.t(np.clip(x, *self.support))
        inside = (x >= self.support[0]) & (x <= self.support[1]) & (t >= self.v[0]) & (t <= self.v[-1])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            value = np.log(self._per_t(t)) - self.axis.log_slope(t) + (math.log(2.0) if self.axis.folded else 0.0)
        return np.where(inside, value, -np.inf)

    @cached_property
    def nodes(self) -> tuple[Array, Array]:
        """Values of the parameter and weights, for the expectation of any smooth function of it.

        Sums over the places are exact, however far out they reach, unless the axis is folded: there an odd function has
        a kink at 0. Near it the interpolated density is integrated on one side, and a smooth step leads from that to
        the places; further out its error, small as it is, would be multiplied by values of any size.
        """
        if not self.axis.folded:
            return self.axis.x(self.v), self.probability
        out = self.v > 0.0
        far = 2.0 * self.probability[out] * self._from_the_fold(self.v[out])
        high = min(2.0 * BEND * self.step, self.v[-1] + self.step)
        edges = np.linspace(0.0, high, max(2, math.ceil(high / (STRETCH * self.step)) + 1))
        half = 0.5 * np.diff(edges)
        t = ((edges[:-1] + half)[:, None] + half[:, None] * _X).ravel()
        near = 2.0 * self._per_t(t) * (half[:, None] * _W).ravel() * (1.0 - self._from_the_fold(t))
        return self.axis.x(np.concatenate([t, self.v[out]])), np.concatenate([near, far])

    def _from_the_fold(self, t: Array) -> Array:
        """Return a smooth step from 0, at the fold, to 1."""
        return np.asarray(ndtr((t / self.step - BEND) / BLUR))

    @property
    def x(self) -> Array:
        """Values of the parameter at the nodes of its moments."""
        return self.nodes[0]

    @property
    def mass(self) -> Array:
        """Probabilities of those nodes."""
        return self.nodes[1]

    def mean(self) -> float:
        """Return the mean; infinite where the notes say so."""
        return self.infinite_mean or float(self.mass @ self.x)

    def sd(self) -> float:
        """Return the standard deviation; infinite where the notes say so."""
        return math.inf if self.infinite_sd else math.sqrt(float(self.mass @ (self.x - float(self.mass @ self.x)) ** 2))

    def _ppf(self, q: Array) -> Array:
        low, high = (
            np.full(len(q), 0.0 if self.axis.folded else self.v[0] - self.step),
            np.full(len(q), self.v[-1] + self.step),
        )
        for _ in range(60):
            middle = 0.5 * (low + high)
            over = self._cdf(self.axis.x(middle)) > q
            low, high = np.where(over, low, middle), np.where(over, middle, high)
        value = self.axis.x(0.5 * (low + high))
        return np.where(q <= 0.0, self.support[0], np.where(q >= 1.0, self.support[1], value))

    def isf(self, q: float) -> float:
        """Return x with ``sf(x) = q``."""
        return float(self._ppf(np.array([1.0 - q]))[0])
