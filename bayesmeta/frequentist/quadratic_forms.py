r"""Distribution of :math:`\sum_j \lambda_j \chi^2_1`, positive weights, to about 12 digits."""

import numpy as np

from bayesmeta.values import Array

_NODES = 32
"""Contour nodes for few terms; the error falls as 3.89^-N until rounding, about 1e-14, takes over near N = 26."""
_NODES_PER_ROOT = 8
"""More nodes for many terms: the integrand's width grows as the square root of the number of terms."""


def cdf(x: float, weights: Array) -> float:
    r"""Return :math:`P(\sum_j \lambda_j Z_j^2 \le x)` for independent standard normal Z.

    The Laplace transform of the distribution function, :math:`s^{-1} \prod (1 + 2 \lambda_j s)^{-1/2}`, has all
    its singularities on the negative real axis, so the Bromwich integral on Talbot's contour wrapped around
    that axis converges geometrically in the number of nodes, whatever the spread of the weights.

    References
    ----------
    Weideman & Trefethen (2007), Math. Comput. 76:1341-1356.
    """
    lam = weights[weights > 0.0]
    if x <= 0.0 or len(lam) == 0:
        return 0.0 if x <= 0.0 else 1.0
    effective = float(lam.sum()) ** 2 / float(lam @ lam)
    nodes = max(_NODES, 2 * int(_NODES_PER_ROOT * np.sqrt(effective) / 2.0))
    theta = (2.0 * np.arange(nodes // 2) + 1.0) * np.pi / nodes
    cot = 1.0 / np.tan(0.6407 * theta)
    z = nodes * (0.5017 * theta * cot - 0.6122 + 0.2645j * theta)
    slope = nodes * (0.5017 * (cot - 0.6407 * theta * (1.0 + cot**2)) + 0.2645j)
    s = z / x
    # Log of each factor keeps the branch continuous: no factor crosses the negative axis on this contour.
    transform = np.exp(z - 0.5 * np.log1p(2.0 * np.multiply.outer(s, lam)).sum(axis=1)) / z
    value = 2.0 * float((transform * slope).imag.sum()) / nodes
    return min(1.0, max(0.0, value))
