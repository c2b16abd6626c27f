"""Weights that are a smooth function of the p-value, and the integral of each over what could have been seen."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr, ndtri

from bayesmeta.values import Array

type LogWeight = Callable[[Array, Array, Array], Array]
"""log weight from log p, log(1 - p) and delta."""

_REACH = 37.0
"""Nodes reach at least to this |z|: beyond it p is below the smallest double."""
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(12)


def _halfnorm(log_p: Array, _: Array, delta: Array) -> Array:
    return np.asarray(-delta[0] * np.exp(2.0 * log_p))


def _negexp(log_p: Array, _: Array, delta: Array) -> Array:
    return np.asarray(-delta[0] * np.exp(log_p))


def _logistic(log_p: Array, _: Array, delta: Array) -> Array:
    x = delta[0] * np.exp(log_p)
    return np.asarray(np.log(2.0) - np.logaddexp(0.0, x))


def _power(_: Array, log_q: Array, delta: Array) -> Array:
    return np.asarray(delta[0] * log_q)


def _beta(log_p: Array, log_q: Array, delta: Array) -> Array:
    return np.asarray((delta[0] - 1.0) * log_p + (delta[1] - 1.0) * log_q)


def _with_floor(one: LogWeight) -> LogWeight:
    """Return the two-parameter form (delta_0 + w(p; delta_1)) / (1 + delta_0): some results appear whatever their p."""

    def floored(log_p: Array, log_q: Array, delta: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.asarray(np.logaddexp(np.log(delta[0]), one(log_p, log_q, delta[1:])) - np.log1p(delta[0]))

    return floored


_ONE = {"halfnorm": _halfnorm, "negexp": _negexp, "logistic": _logistic, "power": _power}
CURVES: dict[str, LogWeight] = {
    **_ONE,
    **{f"{name}2": _with_floor(one) for name, one in _ONE.items()},
    "beta": _beta,
}


def _log_density(z: Array, mean: Array, sd: Array) -> Array:
    """Return ``(k, nodes)`` log normal densities."""
    standard = (z[None, :] - mean[:, None]) / sd[:, None]
    return np.asarray(-0.5 * standard**2 - 0.5 * np.log(2.0 * np.pi) - np.log(sd)[:, None])


@dataclass(frozen=True, slots=True, eq=False)
class CurvedWeights:
    """A smooth weight function on the p-values of `k` results.

    Parameters
    ----------
    z
        ``(k,)`` results over their standard errors, positive in the favoured direction.
    name
        A key of :data:`CURVES`.
    between
        p below the first and above the second counts as these (``(0, 1)``: as it is).
    two_sided
        Whether p is two-sided.
    """

    z: Array
    name: str
    between: tuple[float, float]
    two_sided: bool

    @property
    def starts(self) -> tuple[tuple[float, ...], ...]:
        """Values of the free parameters to start from."""
        if self.name == "beta":
            return ((1.0, 1.0), (0.8, 1.5), (0.5, 4.0))
        if self.name.endswith("2"):
            return ((1.0, 1.0), (0.1, 5.0), (0.03, 35.0))
        return ((0.5,), (5.0,))

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """Lower and upper bound of each free parameter."""
        return ((1e-5, 1000.0),) * 2 if self.name == "beta" else ((0.0, 1000.0),) * len(self.starts[0])

    def delta(self, free: Array) -> Array:
        """Return the parameters of the weight function."""
        return free

    def log_weight(self, free: Array) -> float:
        """Return the sum over studies of the log weight of what was observed."""
        return float(self._at(self.z, free).sum())

    def log_normaliser(self, free: Array, mean: Array, sd: Array) -> Array:
        """Return ``(k,)`` logs of the average weight of z ~ N(mean, sd^2); inf where the integral diverges.

        Gauss-Legendre on panels of width 2 in z: the density of z is never narrower than a standard normal, so 12 nodes
        a panel are exact to rounding, and the same nodes serve every study. Beyond the nodes the density is negligible
        or the weight constant; where neither holds (a beta weight whose pole outweighs the density) the average is
        infinite, and these parameters are impossible.
        """
        nodes, log_width = self._panels()
        if self.name == "beta" and self.between == (0.0, 1.0):
            raw = self._at(nodes, free) + _log_density(nodes, mean, sd)
            top = raw.max(axis=1)
            total = top + np.log(np.exp(raw - top[:, None]) @ np.exp(log_width))
            # Each tail is the exponential of a parabola: it must bend down, and be past its top, at the last node.
            poles = 1.0 / sd**2 <= 1.0 - min(free[0], free[1])
            rising = (raw[:, 0] > raw[:, 1]) | (raw[:, -1] > raw[:, -2])
            heavy = np.maximum(raw[:, 0], raw[:, -1]) > total - 30.0
            return np.where(poles | rising | heavy, np.inf, total)
        seen = (nodes > (mean - 9.0 * sd).min()) & (nodes < (mean + 9.0 * sd).max())
        nodes, log_width = nodes[seen], log_width[seen]
        with np.errstate(divide="ignore"):
            total = np.log(np.exp(_log_density(nodes, mean, sd)) @ np.exp(self._at(nodes, free) + log_width))
        reach = np.array([-self._reach(), self._reach()])
        ends = self._at(reach, free)
        below = log_ndtr((reach[0] - mean) / sd) + ends[0]
        above = log_ndtr((mean - reach[1]) / sd) + ends[1]
        return np.asarray(np.logaddexp(total, np.logaddexp(below, above)))

    def _at(self, z: Array, free: Array) -> Array:
        if self.two_sided:
            log_p = np.log(2.0) + log_ndtr(-np.abs(z))
            with np.errstate(divide="ignore"):
                log_q = np.log(-np.expm1(np.minimum(log_p, 0.0)))
        else:
            log_p, log_q = log_ndtr(-z), log_ndtr(z)
        low, high = self.between
        if low > 0.0 or high < 1.0:
            p = np.clip(np.exp(log_p), low, high)
            log_p, log_q = np.log(p), np.log1p(-p)
        return CURVES[self.name](log_p, log_q, free)

    def _reach(self) -> float:
        least = 60.0 if self.name == "beta" else _REACH  # a beta weight widens the tails of the density
        return max(least, float(np.abs(self.z).max()) + 10.0)

    def _panels(self) -> tuple[Array, Array]:
        """Return nodes and log weights; panels break where the weight has a kink."""
        reach = self._reach()
        inner = np.array([p for p in self.between if 0.0 < p < 1.0])
        kinks = -ndtri(inner / 2.0) if self.two_sided else -ndtri(inner)
        kinks = np.concatenate([kinks, -kinks]) if self.two_sided else kinks
        cuts = np.unique(np.concatenate([[-reach, reach, 0.0], np.arange(-reach, reach, 2.0), kinks]))
        half = np.diff(cuts) / 2.0
        nodes = (cuts[:-1] + half)[:, None] + half[:, None] * _NODES
        return nodes.ravel(), np.log((half[:, None] * _NODE_WEIGHTS).ravel())
