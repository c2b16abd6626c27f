"""Gauss-Hermite rules: averages over a normal distribution that is narrow beside what is averaged."""

from functools import lru_cache

import numpy as np

from bayesmeta.values import Array


@lru_cache
def hermite(points: int) -> tuple[Array, Array]:
    """Return nodes of the standard normal distribution and weights that add up to one."""
    z, weight = np.polynomial.hermite_e.hermegauss(points)
    return np.asarray(z), np.asarray(weight / weight.sum())


def exponent(ratio: float) -> float:
    """Return how many nodes it takes where the function is as smooth as a normal `1 / ratio` times as wide.

    The error of n nodes is about ``(ratio^2 / (1 + ratio^2))^n``, written without the ratio's square, which
    underflows where tau is next to nothing.
    """
    return float(15.0 / (np.log(np.hypot(1.0, ratio)) - np.log(ratio)))
