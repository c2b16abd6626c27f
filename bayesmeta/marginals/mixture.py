"""A quantity that is normal given each node: its posterior is a mixture of normals."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from bayesmeta.marginals.search import Searched, invert
from bayesmeta.values import Array, IntervalKind

# Elements of a (points, nodes) table held at once: 16 MB.
CHUNK = 2_000_000
_LOG_ROOT_2PI = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True, slots=True, eq=False)
class NormalMixture(Searched):
    """Mixture of normals.

    Parameters
    ----------
    weights
        ``(n,)`` nonnegative, summing to one.
    means, sds
        ``(n,)`` of the normals, measured from `origin`.
    origin
        Added to everything; apart from the means, so that effects of 1e8 lose no digits.
    infinite_sd
        True where the second moment does not exist, although every node has one.
    notes
        What does not exist, and why.
    kind
        ``"posterior prediction"`` for a new study's effect.
    extra_variance
        Share of the variance beyond the last node, where the tail is a known power.
    measure
        Effect measure whose analysis scale the quantity is on; empty for other quantities.
    """

    weights: Array
    means: Array
    sds: Array
    origin: float = 0.0
    infinite_sd: bool = False
    notes: tuple[str, ...] = ()
    kind: IntervalKind = "credible"
    extra_variance: float = 0.0
    measure: str = ""

    @property
    def support(self) -> tuple[float, float]:  # type: ignore[override]
        """The whole line."""
        return (-math.inf, math.inf)

    def _table(self, x: Array, term: str) -> Array:
        step = max(1, CHUNK // len(self.means))
        out = np.empty(len(x))
        for i in range(0, len(x), step):
            z = (x[i : i + step, None] - self.origin - self.means) / self.sds
            if term == "pdf":
                value = np.exp(-0.5 * z**2 - _LOG_ROOT_2PI) / self.sds
            else:
                value = ndtr(z if term == "cdf" else -z)
            out[i : i + step] = value @ self.weights
        return out

    def _cdf(self, x: Array) -> Array:
        return self._table(x, "cdf")

    def _sf(self, x: Array) -> Array:
        return self._table(x, "sf")

    def _logpdf(self, x: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.log(self._table(x, "pdf"))

    def mean(self) -> float:
        """Return the mean."""
        return self.origin + float(self.weights @ self.means)

    def sd(self) -> float:
        """Return the standard deviation; infinite where the notes say so."""
        if self.infinite_sd:
            return math.inf
        m = float(self.weights @ self.means)
        return math.sqrt(float(self.weights @ (self.sds**2 + (self.means - m) ** 2)) + self.extra_variance)

    def _ppf(self, q: Array) -> Array:
        out = np.where(q <= 0.0, -np.inf, np.inf)
        lower = (q > 0.0) & (q <= 0.5)
        upper = (q > 0.5) & (q < 1.0)
        for mask, rising, tail, term in ((lower, True, q, "cdf"), (upper, False, 1.0 - q, "sf")):
            if mask.any():
                out[mask] = self.origin + self._tail_quantile(tail[mask], rising, term)
        return out

    def isf(self, q: float) -> float:
        """Return x with ``sf(x) = q``, accurate however small `q` is."""
        return self.origin + float(self._tail_quantile(np.array([float(q)]), False, "sf")[0])

    def _tail_quantile(self, tail: Array, rising: bool, term: str) -> Array:
        centred = NormalMixture(self.weights, self.means, self.sds)
        z = ndtri(tail) if rising else -ndtri(tail)
        heavy = self.weights > 0
        m, s = self.means[heavy], self.sds[heavy]
        # The mixture's quantile lies between the smallest and the largest of its components' quantiles.
        each = m + s * z[:, None]
        low, high = each.min(axis=1), each.max(axis=1)
        # Where the SD is infinite most nodes lie far out and hold next to nothing: what is typical is weighed.
        typical = int(_weighted_medians(s[None], self.weights[heavy])[0])
        scale = float(self.weights @ self.sds) if not self.infinite_sd else float(s[typical])
        middle = _weighted_medians(each, self.weights[heavy])
        pad = 1e-12 * (np.abs(low) + np.abs(high)) + 1e-300
        return invert(
            lambda x: centred._table(x, term),
            lambda x: centred._table(x, "pdf"),
            np.log(tail),
            rising,
            (low - pad, high + pad),
            np.clip(each @ self.weights[heavy], low, high)
            if not self.infinite_sd
            else np.take_along_axis(each, middle[:, None], axis=1)[:, 0],
            scale,
        )


def _weighted_medians(values: Array, weights: Array) -> NDArray[np.intp]:
    """Return for each row of ``(q, n)`` values the index of its weighted median."""
    order = np.argsort(values, axis=1)
    total = np.cumsum(weights[order], axis=1)
    at = np.argmax(total >= 0.5 * total[:, -1:], axis=1)
    return np.asarray(np.take_along_axis(order, at[:, None], axis=1)[:, 0])
