"""What a grid of mu may get wrong: the averages on it, a peak between its nodes, and the values between them."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bayesmeta.engines.counts.grid.integrand import Grid, Posed
from bayesmeta.marginals.sinc import sinc_basis
from bayesmeta.priors.mixtures import parts_of
from bayesmeta.values import Array

# Quantiles of tau at which the interpolation of mu is checked.
SINC_CHECKS = (1e-6, 1e-3, 0.05, 0.3, 0.5, 0.7, 0.95, 1.0 - 1e-3, 1.0 - 1e-6, 1.0 - 1e-8)
# Probabilities of mu given tau at which sums over the random effects are checked: a normal's at -3, -1.5, ..., 3 SDs.
PROBES = (0.00135, 0.067, 0.5, 0.933, 0.99865)
# A peak that all nodes missed can be too large for a number beside them: this much (log scale) is enough to tell.
LARGEST = 300.0


def average_error(posed: Posed, grid: Grid) -> float:
    """Compare sums over the random effects with finer ones, at typical values of mu and tau."""
    rows, extreme = typical(grid.mass)
    share = np.cumsum(grid.mass[rows], axis=1) / grid.mass[rows].sum(axis=1, keepdims=True)
    columns = np.unique([np.searchsorted(row, PROBES) for row in share]).clip(0, len(grid.u) - 1)
    known = replace(posed, averages=posed.averages.finer()).log_density(rows, grid.u[columns])
    height = grid.mass[np.ix_(rows, columns)] / grid.mass[rows].max(axis=1)[:, None]
    away = np.subtract(grid.log[np.ix_(rows, columns)], known, where=height > 0.0, out=np.zeros(height.shape))
    return float(np.max(np.abs(away) * height * extreme[:, None]))


def missed(posed: Posed, grid: Grid) -> float:
    """Compare the sinc interpolant with the density where parts of the prior lie, which may fall between all nodes."""
    if len(parts_of(posed.prior)) <= 1:
        return 0.0
    rows, extreme = typical(grid.mass)
    mass, step = grid.mass[rows], grid.step
    u, log = posed.log_masses(rows, step, posed.averages.grid)
    inside = (u > grid.u[0]) & (u < grid.u[-1])
    guess = np.einsum("rpm,rm->rp", sinc_basis(u / step, np.rint(grid.u / step)), mass)
    known = np.exp(np.minimum(log - grid.top, LARGEST))
    error = np.where(inside, np.abs(guess - known), 0.0).max(axis=1) / mass.max(axis=1)
    return float(np.max(error * extreme))


def sinc_error(posed: Posed, grid: Grid) -> float:
    """Compare the sinc interpolant half-way between nodes with the density itself, for typical values of tau.

    The sums over even and over odd nodes, which differ by as much as an interpolant errs, are compared for all tau.
    """
    rows, extreme = typical(grid.mass)
    mass, step = grid.mass[rows], grid.step
    between = grid.u[:-1] + 0.5 * step
    shift = (posed.log_weight[rows] + np.log(step))[:, None] - grid.top
    known = np.exp(posed.log_density(rows, between) + shift)
    guess = mass @ sinc_basis(between / step, np.rint(grid.u / step)).T
    error = np.max(np.abs(guess - known), axis=1) / mass.max(axis=1)
    return max(float(np.max(error * extreme)), _uneven(grid))


def _uneven(grid: Grid) -> float:
    """Return the difference of sums over even and over odd nodes, of all tau, relative to the whole."""
    return float(np.abs(grid.mass @ (1.0 - 2.0 * (np.arange(len(grid.u)) % 2))).sum() / grid.mass.sum())


def typical(mass: Array) -> tuple[NDArray[np.intp], Array]:
    """Return rows of the plane from all over the posterior of tau, and how much an error there counts."""
    weight = mass.sum(axis=1)
    share = np.cumsum(weight) / weight.sum()
    rows = np.unique(np.searchsorted(share, SINC_CHECKS).clip(0, len(share) - 1))
    # A value of tau counts as much as the probability of values as extreme as it, in full from 0.05 on.
    tail = np.minimum(share[rows], 1.0 - share[rows] + weight[rows] / weight.sum())
    return rows, np.minimum(1.0, 20.0 * tail)
