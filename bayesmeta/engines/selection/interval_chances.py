"""How probable it is that a result falls in each interval of p, and the sum over studies of a function of it."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from bayesmeta.model import Selection
from bayesmeta.values import Array

# From here on the sum over studies is a rule in their log standard errors.
MANY, NODES = 40, 24
# Chances below this are as good as none, and products of a few of them are still numbers.
LEAST = 1e-38


@dataclass(frozen=True, slots=True, eq=False)
class Chances:
    """The chances of intervals at standard errors that stand for all studies.

    Parameters
    ----------
    sei
        ``(m,)`` standard errors.
    weight
        ``(m,)`` how many studies each stands for.
    edges
        ``(m, J - 1)`` effects at the cut points, rising, in the favoured direction.
    two_sided
        Whether intervals are of the absolute effect.
    """

    sei: Array
    weight: Array
    edges: Array
    two_sided: bool

    @classmethod
    def of(cls, stated: Selection) -> "Chances":
        """Return the chances of a model; of many studies, at the nodes of a rule."""
        sei, weight = stated.sei, np.ones(len(stated.sei))
        if len(sei) > MANY:
            sei, weight = gauss_rule(np.log(sei), NODES)
            sei = np.exp(sei)
        return cls(sei, weight, stated.omega.edges(sei), stated.omega.side == "two-sided")

    def at(self, mu: Array, tau: Array) -> Array:
        """Return ``(n, m, J)`` chances, the least significant interval first, at ``(n,)`` values of mu and tau."""
        sd = np.sqrt(self.sei**2 + tau[:, None] ** 2)[..., None]
        low = np.concatenate([np.full((len(self.sei), 1), -np.inf), self.edges], axis=1)
        high = np.concatenate([self.edges, np.full((len(self.sei), 1), np.inf)], axis=1)
        if not self.two_sided:
            found = _between((low - mu[:, None, None]) / sd, (high - mu[:, None, None]) / sd)
        else:
            low[:, 0] = 0.0
            found = _between((low - mu[:, None, None]) / sd, (high - mu[:, None, None]) / sd)
            found += _between((-high - mu[:, None, None]) / sd, (-low - mu[:, None, None]) / sd)
        return np.maximum(found, LEAST)


def _between(a: Array, b: Array) -> Array:
    """Return Phi(b) - Phi(a) for a < b, without loss in the upper tail."""
    upper = a > 0.0
    return np.asarray(np.where(upper, ndtr(-a) - ndtr(-b), ndtr(b) - ndtr(a)))


def gauss_rule(x: Array, m: int) -> tuple[Array, Array]:
    """Return the m-point Gauss rule of an empirical distribution: exact sums of polynomials of degree ``2 m - 1``.

    Parameters
    ----------
    x
        ``(k,)`` values.

    Returns
    -------
    tuple
        Nodes, and weights that add up to k.

    References
    ----------
    Golub & Welsch (1969), Math. Comput. 23:221-230; Lanczos' recurrence with full reorthogonalisation.
    """
    low, high = float(x.min()), float(x.max())
    if high - low < 1e-12:
        return x[:1], np.array([float(len(x))])
    t = (2.0 * x - low - high) / (high - low)
    vectors = [np.full(len(x), len(x) ** -0.5)]
    diagonal, off = [], []
    for _ in range(m):
        v = t * vectors[-1]
        diagonal.append(float(v @ vectors[-1]))
        for _again in range(2):
            for u in vectors:
                v = v - (v @ u) * u
        size = float(np.linalg.norm(v))
        if size < 1e-12 or len(diagonal) == m:
            break
        off.append(size)
        vectors.append(v / size)
    off = off[: len(diagonal) - 1]
    nodes, Q = np.linalg.eigh(np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1))
    return 0.5 * (nodes * (high - low) + low + high), len(x) * Q[0] ** 2
