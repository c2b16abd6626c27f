"""A weight of a selection model: a product of shares whose joint density is known at Gauss-Legendre nodes."""

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre

from bayesmeta.marginals.search import Searched
from bayesmeta.values import Array, IntervalKind


@dataclass(frozen=True, slots=True, eq=False)
class ShareProduct(Searched):
    """The distribution of ``u^2 others``, u on a window and smooth given what the others are.

    Parameters
    ----------
    low, high
        Window of u, in [0, 1].
    x
        ``(n,)`` Gauss-Legendre nodes on [-1, 1], which stand for the window.
    others
        ``(m,)`` values that u squared is multiplied with.
    mass
        ``(n, m)`` probabilities, adding up to one.
    """

    low: float
    high: float
    x: Array
    others: Array
    mass: Array
    kind: IntervalKind = "credible"

    @property
    def support(self) -> tuple[float, float]:  # type: ignore[override]
        """A weight lies between 0 and 1."""
        return (0.0, 1.0)

    def _series(self) -> Array:
        """Return ``(n, m)`` coefficients of the density on [-1, 1] in Legendre polynomials."""
        degrees = np.arange(len(self.x))
        return np.asarray(
            (2.0 * degrees[:, None] + 1.0) / 2.0 * (legendre.legvander(self.x, len(self.x) - 1).T @ self.mass)
        )

    def _on_window(self, value: Array) -> Array:
        """Return ``(p, m)`` places on [-1, 1] at which the product has these values."""
        u = np.sqrt(np.maximum(value[:, None], 0.0) / self.others)
        return np.asarray(np.clip(2.0 * (u - self.low) / (self.high - self.low) - 1.0, -1.0, 1.0))

    def _cdf(self, x: Array) -> Array:
        cumulative = legendre.legint(self._series(), lbnd=-1.0)
        at = self._on_window(x)
        value = np.einsum("pml,lm->p", legendre.legvander(at, len(cumulative) - 1), cumulative)
        return np.asarray(np.clip(value, 0.0, 1.0))

    def _sf(self, x: Array) -> Array:
        return 1.0 - self._cdf(x)

    def _logpdf(self, x: Array) -> Array:
        at, series = self._on_window(x), self._series()
        per_u = np.einsum("pml,lm->pm", legendre.legvander(at, len(series) - 1), series)
        inside = (at > -1.0) & (at < 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            # du / dx = 1 / (2 sqrt(x others)), and the window is mapped from a length of 2.
            slope = 1.0 / np.sqrt(x[:, None] * self.others) / (self.high - self.low)
            density = np.where(inside, np.maximum(per_u, 0.0) * slope, 0.0).sum(axis=1)
            return np.log(density)

    def _values(self) -> Array:
        u = self.low + 0.5 * (self.high - self.low) * (self.x + 1.0)
        return np.asarray(u[:, None] ** 2 * self.others)

    def mean(self) -> float:
        """Return the mean."""
        return float((self.mass * self._values()).sum())

    def sd(self) -> float:
        """Return the standard deviation."""
        return float(np.sqrt(max((self.mass * (self._values() - self.mean()) ** 2).sum(), 0.0)))

    def _ppf(self, q: Array) -> Array:
        low, high = np.zeros(len(q)), np.ones(len(q))
        for _ in range(52):
            middle = 0.5 * (low + high)
            over = self._cdf(middle) > q
            low, high = np.where(over, low, middle), np.where(over, middle, high)
        return 0.5 * (low + high)


def weight_marginals(u: tuple[Array, ...], windows: tuple[tuple[float, float], ...], mass: Array) -> list[ShareProduct]:
    """Return the distributions of all weights that are not known, the least significant interval's first.

    Parameters
    ----------
    u
        Nodes of each share's root.
    windows
        Their ends.
    mass
        Probabilities of the nodes, with one dimension for each share.
    """
    found = []
    for j in range(len(u)):
        table = mass.sum(axis=tuple(range(j)))
        rest = np.meshgrid(*u[j + 1 :], indexing="ij") if j + 1 < len(u) else []
        others = np.ones(1)
        if rest:
            others = np.prod([axis.ravel() ** 2 for axis in rest], axis=0)
        low, high = windows[j]
        x = 2.0 * (u[j] - low) / (high - low) - 1.0
        found.append(ShareProduct(low, high, x, others, table.reshape(len(u[j]), -1)))
    return found
