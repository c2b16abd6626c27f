"""The normal distribution between two limits: its mass and its quantiles, stable however far out its centre lies."""

import math
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev
from scipy import special

from bayesmeta.values import Array

# A smaller tau is none, and its square would underflow.
LEAST_TAU = 1e-140
# Gauss-Legendre nodes for a normal that hardly bends between the limits, where differences of its cdf would cancel.
_X, _W = (np.asarray(a) for a in special.roots_legendre(24))
# (1 + 2 x) exp(x^2) erfc(x) is a polynomial of (x - K) / (x + K), to 1e-14, for all x >= 0 (Shepherd & Laframboise
# 1981, Mathematics of Computation 36:249-253).
K, DEGREE = 3.75, 20


def log_mass(mu: Array, tau: Array, limits: tuple[float, float]) -> Array:
    """Return ``log P(low < x < high)`` of ``x ~ N(mu, tau^2)``, elementwise; both limits are finite or neither is."""
    if np.isinf(limits).all():
        return np.zeros(np.broadcast_shapes(np.shape(mu), np.shape(tau)))
    mu, tau = np.asarray(mu), np.maximum(np.asarray(tau), LEAST_TAU)
    return log_mass_near(mu, tau, limits) - 0.5 * ((mu - np.clip(mu, *limits)) / tau) ** 2


def log_mass_near(mu: Array, tau: Array, limits: tuple[float, float]) -> Array:
    """Return `log_mass` less the log density, relative to its peak, at the point between the limits nearest to mu.

    The difference stays moderate where both are huge. Mirrored about the middle of the limits the mean is above it,
    and both lower tails keep their digits.
    """
    middle, half = 0.5 * (limits[0] + limits[1]), 0.5 * (limits[1] - limits[0])
    spread = np.maximum(np.asarray(tau) / half, LEAST_TAU)
    m, s = np.broadcast_arrays(np.abs(np.asarray(mu) - middle) / half, spread)
    a, b = (1.0 + m) / s / math.sqrt(2.0), (1.0 - m) / s / math.sqrt(2.0)
    beyond = b < 0.0
    tail, near = special.erfcx(a), special.erfcx(np.maximum(-b, 0.0))
    # The tail below the low limit relative to all below the high one, whose exponents differ by 2 m / s^2.
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(beyond, tail / near * np.exp(-2.0 * m / s / s), special.erfc(a) / special.erfc(-b))
        rest = np.log(-np.expm1(np.log(np.minimum(share, 1.0))))
        out = np.asarray(np.where(beyond, np.log(0.5 * near), np.log(0.5 * special.erfc(-b))) + rest)
    flat = (s > 1.0) & (m < 2.0 * s * s)
    if flat.any():
        z = (_X - m[flat, None]) / s[flat, None]
        # Relative to the density at the middle nothing under- or overflows.
        center = -0.5 * (m[flat] / s[flat]) ** 2
        total = np.exp(-0.5 * z * z - center[:, None]) @ _W
        out[flat] = np.where(m[flat] > 1.0, (0.5 - m[flat]) / s[flat] ** 2, center)
        out[flat] += np.log(total / (s[flat] * math.sqrt(2.0 * math.pi)))
    return out


def quantile(mu: Array, tau: Array, limits: tuple[float, float], probability: Array) -> Array:
    """Return the quantiles of ``N(mu, tau^2)`` cut to the limits; elementwise."""
    middle, half = 0.5 * (limits[0] + limits[1]), 0.5 * (limits[1] - limits[0])
    m, s = (np.asarray(mu) - middle) / half, np.asarray(tau) / half
    # Seen from a mean above the middle, the limits are in the lower tail, where logs of the cdf keep their digits.
    below = np.where(m >= 0.0, probability, 1.0 - probability)
    start, width = special.log_ndtr((-1.0 - np.abs(m)) / s), log_mass(mu, tau, limits)
    with np.errstate(divide="ignore"):
        place = np.abs(m) + s * special.ndtri_exp(np.minimum(np.logaddexp(start, np.log(below) + width), 0.0))
    return np.asarray(np.clip(middle + half * np.where(m >= 0.0, place, -place), *limits))


def scaled_erfc(x: Any) -> Any:
    """Return ``exp(x^2) erfc(x)`` of a number ``x >= 0`` other than K, plain or in a PyTensor graph, by powers alone.

    A graph with SciPy's function in it has an address of this process in its machine code, which cannot be stored.
    """

    points = chebyshev.chebpts1(DEGREE + 1)
    places = K * (1.0 + points) / (1.0 - points)
    fitted = chebyshev.chebfit(points, (1.0 + 2.0 * places) * special.erfcx(places), DEGREE)
    coefficients = chebyshev.cheb2poly(fitted)
    y = (x - K) / (x + K)
    # One sum of powers compiles in a third of the time that twenty products one after the other take.
    return (coefficients * y ** np.arange(DEGREE + 1.0)).sum() / (1.0 + 2.0 * x)


def symbolic_log_mass(mu: Any, tau: Any) -> Any:
    """Return the log of the mass of ``N(mu, tau^2)`` between -1 and 1 in a PyMC program, with finite gradients.

    Raises
    ------
    ValueError
        If mu or tau is a vector.
    """
    import pytensor.tensor as pt

    if pt.as_tensor(mu).ndim or pt.as_tensor(tau).ndim:
        raise ValueError("symbolic_log_mass takes one mu and one tau. Call it once for each element of a vector.")

    def log_ndtr(z: Any) -> Any:
        # Each branch is given only what it can take: 0 times infinity would spoil the other's gradient.
        low, high = pt.minimum(z, -1.0), pt.maximum(z, -1.0)
        far = pt.log(0.5 * scaled_erfc(-low / math.sqrt(2.0))) - 0.5 * low**2
        return pt.switch(z < -1.0, far, pt.log1p(-0.5 * pt.erfc(high / math.sqrt(2.0))))

    above = log_ndtr((1.0 - pt.abs(mu)) / tau)
    return above + pt.log(-pt.expm1(log_ndtr((-1.0 - pt.abs(mu)) / tau) - above))
