"""Quantiles of densities on uniform grids, many at once."""

import numpy as np
from scipy.special import sici

from bayesmeta.values import Array


def quantiles(mass: Array, uniform: Array) -> Array:
    """Return, in grid steps from the first point, the quantiles of tabulated densities.

    Parameters
    ----------
    mass
        ``(n, M)`` densities on a uniform grid, a row each.
    uniform
        ``(n,)`` probabilities.
    """
    n, size = mass.shape
    mass = mass / mass.sum(axis=1, keepdims=True)
    grid = np.arange(float(size))
    low, high = np.zeros(n), np.full(n, size - 1.0)
    place = np.minimum((np.cumsum(mass, axis=1) < uniform[:, None]).sum(axis=1).astype(float), size - 1.0)
    for _ in range(60):
        angle = np.pi * (place[:, None] - grid)
        excess = np.einsum("ij,ij->i", mass, 0.5 + sici(angle)[0] / np.pi) - uniform
        slope = np.einsum("ij,ij->i", mass, np.sinc(angle / np.pi))
        low, high = np.where(excess > 0, low, place), np.where(excess > 0, place, high)
        new = place - excess / np.maximum(slope, 1e-300)
        new = np.where((new > low) & (new < high), new, 0.5 * (low + high))
        moved, place = np.max(np.abs(new - place)), new
        if moved < 1e-9:
            break
    return np.asarray(place)
