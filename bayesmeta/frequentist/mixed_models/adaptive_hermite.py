r"""Integrals over a study's one or two normal random effects: adaptive Gauss-Hermite, or Laplace with one point.

With standard normal u, :math:`\int p(y \mid u)\, \varphi(u)\, du` is computed about the mode of the integrand, in units
of its expected curvature there.

References
----------
Pinheiro & Bates (1995), Journal of Computational and Graphical Statistics 4:12-35.
"""

from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from bayesmeta.values import Array

# Of ``(q, k, m)`` standard normal effects: ``(k, m)`` values, ``(q, k, m)`` slopes, ``(q, q, k, m)`` information.
type Conditional = Callable[[Array], tuple[Array, Array, Array]]
STEPS, HALVINGS, CONVERGED = 60, 30, 1e-11


def log_integrals(conditional: Conditional, k: int, q: int, points: int) -> Array:
    """Return ``(k,)`` log integrals of ``exp(conditional(u))`` over q standard normal effects u."""
    mode = _modes(conditional, k, q)
    information = conditional(mode[:, :, None])[2][..., 0]
    precision = np.moveaxis(information, -1, 0) + np.eye(q)
    # Columns of `unit` span one unit of the integrand's curvature each.
    unit = np.linalg.inv(np.linalg.cholesky(precision)).swapaxes(-1, -2)
    node, weight = hermegauss(points)
    z = np.array(list(product(node, repeat=q))).T
    log_w = np.log(np.array([np.prod(w) for w in product(weight, repeat=q)])) - 0.5 * q * np.log(2.0 * np.pi)
    u = mode[:, :, None] + np.einsum("kij,jm->ikm", unit, z)
    log = conditional(u)[0] - 0.5 * (u**2).sum(axis=0) + 0.5 * (z**2).sum(axis=0) + log_w
    top = log.max(axis=1, keepdims=True)
    return np.asarray(top[:, 0] + np.log(np.exp(log - top).sum(axis=1)) - 0.5 * np.linalg.slogdet(precision)[1])


def _modes(conditional: Conditional, k: int, q: int) -> Array:
    """Return ``(q, k)`` modes of the integrands, by scoring with halved steps."""
    u = np.zeros((q, k))

    def height(u: Array) -> Array:
        return np.asarray(conditional(u[:, :, None])[0][:, 0] - 0.5 * (u**2).sum(axis=0))

    now = height(u)
    for _ in range(STEPS):
        _, slope, information = conditional(u[:, :, None])
        precision = np.moveaxis(information[..., 0], -1, 0) + np.eye(q)
        move = np.linalg.solve(precision, (slope[..., 0] - u).T[..., None])[..., 0].T
        share = np.ones(k)
        for _ in range(HALVINGS):
            new = height(u + share * move)
            worse = ~(new >= now - 1e-12 * np.abs(now))
            if not worse.any():
                break
            share = np.where(worse, 0.5 * share, share)
        u, now = u + share * move, new
        if np.abs(share * move).max(initial=0.0) < CONVERGED:
            break
    return u
