"""Functions given on one uniform grid, a row each, as tables of polynomials that are fast to look up."""

from dataclasses import dataclass
from math import factorial

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from bayesmeta.marginals.sinc import sinc_basis
from bayesmeta.values import Array

DEGREE = 7
# A sinc interpolant between points 0.42 widths of a Gaussian apart, sampled this much finer, is a spline to 1e-14.
OVERSAMPLED = 8
# A density is in its tails where it is less than this beside its peak.
FAINT = 1e-8

type Index = NDArray[np.intp]


def taylor(values: Array, degree: int = DEGREE) -> list[Array]:
    """Return the Taylor coefficients of splines through rows of values, about every cell's left end.

    Parameters
    ----------
    values
        ``(n, m + 1)`` on a uniform grid.
    degree
        Of the splines, odd.

    Returns
    -------
    ``degree + 1`` arrays ``(n, m)``, from the constant term on; the variable runs from 0 to 1 across a cell.
    """
    points = np.arange(float(values.shape[1]))
    spline = make_interp_spline(points, values, k=degree, axis=1)
    left = points[:-1]
    return [(spline.derivative(r)(left) if r else spline(left)) / factorial(r) for r in range(degree + 1)]


@dataclass(frozen=True, slots=True, eq=False)
class RowSplines:
    """``n`` functions on one uniform grid of ``u``; constant beyond its ends.

    Parameters
    ----------
    first, step
        Start and spacing of the grid.
    table
        Coefficients in the cell coordinate, highest power first, ``(n, cells)`` each.
    """

    first: float
    step: float
    table: tuple[Array, ...]

    def __call__(self, row: Index, u: Array) -> Array:
        """Return the functions of the given rows at `u`; the two are broadcast together."""
        cells = self.table[0].shape[1]
        cell = np.clip((u - self.first) / self.step, 0.0, cells)
        at = np.minimum(cell.astype(np.intp), cells - 1)
        cell -= at
        at += row * cells
        value: Array = self.table[0].take(at)
        for column in self.table[1:]:
            value *= cell
            value += column.take(at)
        return value


def through(values: Array, u: Array, degree: int = DEGREE) -> RowSplines:
    """Return splines through ``(n, M)`` values on the uniform grid `u`."""
    return RowSplines(float(u[0]), float(u[1] - u[0]), tuple(taylor(values, degree)[::-1]))


def oversampled(values: Array, u: Array, times: int) -> tuple[Array, Array]:
    """Return a grid that many times finer, and on it the sinc interpolants of ``(n, M)`` densities.

    Zero is one of the points of the uniform grid `u`. A sinc interpolant errs everywhere by as much as in the middle;
    in the tails, where a density has no peaks, it lies between its neighbours on the grid.
    """
    fine = np.linspace(u[0], u[-1], times * (len(u) - 1) + 1)
    step = float(u[1] - u[0])
    found = values @ sinc_basis(fine / step, np.rint(u / step)).T
    cell = np.minimum(np.arange(len(fine)) // times, len(u) - 2)
    smaller, larger = (pick(values[:, :-1], values[:, 1:])[:, cell] for pick in (np.minimum, np.maximum))
    faint = larger < FAINT * values.max(axis=1)[:, None]
    return fine, np.where(faint, np.clip(found, smaller, larger), found)


def band_limited(values: Array, u: Array) -> RowSplines:
    """Return the sinc interpolants of ``(n, M)`` densities on the uniform grid `u`, whose zero is one of its points."""
    fine, found = oversampled(values, u, OVERSAMPLED)
    return through(found, fine)
