"""Probabilities that two or three correlated normals are all below 0, many at once, without sampling."""

from math import pi

import numpy as np
from scipy.special import ndtr

from bayesmeta.values import Array

# Nodes of the double exponential rule on (0, 1), with step 1/16: correlations near 1 make steep ends.
_T = np.arange(-64, 65) / 16.0
_U = 0.5 * (1.0 + np.tanh(0.5 * pi * np.sinh(_T)))
_W = 0.25 * pi * np.cosh(_T) / np.cosh(0.5 * pi * np.sinh(_T)) ** 2 / 16.0
# The largest correlation that formulas divide by.
_MOST = 1.0 - 1e-14


def two_below(h: Array, k: Array, rho: Array) -> Array:
    r"""Return :math:`P(X < h, Y < k)` of standard normals with correlation `rho`, shape ``(n,)``.

    References
    ----------
    Plackett (1954), Biometrika 41:351-360; Genz (2004), Stat. Comput. 14:251-260 (equation 3).
    """
    end = np.arcsin(np.clip(rho, -_MOST, _MOST))
    theta = end[:, None] * _U
    s, c2 = np.sin(theta), np.cos(theta) ** 2
    inner = np.exp(-0.5 * ((h * h + k * k)[:, None] - 2.0 * (h * k)[:, None] * s) / c2)
    return np.asarray(ndtr(h) * ndtr(k) + end * (inner @ _W) / (2.0 * pi))


def three_below(b: Array, R: Array) -> Array:
    r"""Return :math:`P(X_1 < b_1, X_2 < b_2, X_3 < b_3)` of standard normals.

    Parameters
    ----------
    b
        ``(n, 3)`` limits.
    R
        ``(n, 3, 3)`` correlations.

    References
    ----------
    Genz (2004), Stat. Comput. 14:251-260 (Plackett's formula for three).
    """
    r12, r13, r23 = (np.clip(R[:, i, j], -_MOST, _MOST) for i, j in ((0, 1), (0, 2), (1, 2)))
    found = ndtr(b[:, 0]) * two_below(b[:, 1], b[:, 2], r23)
    for own, other, limit, rest in ((r12, r13, b[:, 1], b[:, 2]), (r13, r12, b[:, 2], b[:, 1])):
        end = np.arcsin(own)
        r = np.sin(end[:, None] * _U)
        # The other correlation grows with this one, as a share of its value.
        share = np.divide(r, own[:, None], out=np.broadcast_to(_U, r.shape).copy(), where=own[:, None] != 0.0)
        o, both, c2 = other[:, None] * share, r23[:, None], 1.0 - r * r
        h, k, z = b[:, 0, None], limit[:, None], rest[:, None]
        density = np.exp(-0.5 * (h * h + k * k - 2.0 * r * h * k) / c2)
        var = np.maximum(c2 * (c2 - o * o - both * both + 2.0 * r * o * both), 1e-300)
        beyond = (z * c2 - h * (o - r * both) - k * (both - r * o)) / np.sqrt(var)
        found = found + end * ((density * ndtr(beyond)) @ _W) / (2.0 * pi)
    return np.asarray(found)
