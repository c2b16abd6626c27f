"""The studies' log likelihoods as one table of polynomials that is fast to look up."""

from dataclasses import dataclass
from math import factorial

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from bayesmeta.errors import ConvergenceError
from bayesmeta.model import StudyLikelihoods
from bayesmeta.values import Array

# The table is refined until it is this good, absolutely, where the likelihood is near its maximum.
TOLERANCE = 1e-11
DEGREE = 7
# On a spline of degree 7 half the spacing gains a factor 2^8; a quarter of that is counted on.
GAIN = 64.0
MAX_CELLS = 2**14


type Index = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Log likelihoods of ``k`` studies as functions of theta, with two derivatives.

    Polynomials on a uniform grid in ``u = asinh((theta - center) / scale)``, study after study.
    ``tables[d]`` holds the d-th derivative's coefficients in the cell coordinate, one contiguous
    column a power: looked up that way a value costs about 10 ns, a tenth of a general spline's.

    Parameters
    ----------
    center, scale
        ``(k,)`` rough place and width of each likelihood.
    low, step
        ``(k,)`` start and spacing of the grid in u.
    first, cells
        ``(k,)`` place of each study's cells in the tables, and their number.
    """

    center: Array
    scale: Array
    low: Array
    step: Array
    first: Array
    cells: Array
    tables: tuple[tuple[Array, ...], ...]

    def _place(self, u: Array) -> tuple[Index, Array]:
        """Return the table row and the cell coordinate; constant beyond the range of the grid."""
        shape = (-1,) + (1,) * (u.ndim - 1)
        cells = self.cells.reshape(shape)
        cell = np.clip((u - self.low.reshape(shape)) / self.step.reshape(shape), 0.0, cells)
        row = np.minimum(np.floor(cell), cells - 1)
        cell -= row
        return (row + self.first.reshape(shape)).astype(np.intp), cell

    def _at(self, row: Index, cell: Array, derivative: int) -> Array:
        table = self.tables[derivative]
        value: Array = table[0].take(row)
        for column in table[1:]:
            value *= cell
            value += column.take(row)
        return value

    def _z(self, theta: Array) -> Array:
        shape = (-1,) + (1,) * (theta.ndim - 1)
        return np.asarray((theta - self.center.reshape(shape)) / self.scale.reshape(shape))

    def __call__(self, theta: Array) -> Array:
        """Return the log likelihoods at `theta`, ``(k, ...)``, one row a study."""
        return self._at(*self._place(np.arcsinh(self._z(theta))), 0)

    def derivatives(self, theta: Array) -> tuple[Array, Array]:
        """Return the first and second derivatives with respect to theta, ``(k, ...)`` each."""
        z = self._z(theta)
        place = self._place(np.arcsinh(z))
        first, second = self._at(*place, 1), self._at(*place, 2)
        shape = (-1,) + (1,) * (theta.ndim - 1)
        step = self.step.reshape(shape)
        root = 1.0 + z * z
        du = 1.0 / (self.scale.reshape(shape) * np.sqrt(root))
        return first / step * du, (second / step**2 - first / step * z / np.sqrt(root)) * du**2

    def one(self, i: int) -> "Curves":
        """Return the table of study `i` alone."""
        index = slice(i, i + 1)
        return Curves(
            self.center[index],
            self.scale[index],
            self.low[index],
            self.step[index],
            self.first[index],
            self.cells[index],
            self.tables,
        )


def tabulate(likelihoods: StudyLikelihoods, low: float, high: float, *, max_cells: int = MAX_CELLS) -> Curves:
    """Return the studies' log likelihoods on ``[low, high]`` as checked tables.

    Raises
    ------
    ConvergenceError
        If a likelihood is too rough to be represented; the message names the study.
    """
    k = len(likelihoods.study)
    scale = np.where(np.isfinite(likelihoods.scale), likelihoods.scale, 1.0)
    center = np.clip(likelihoods.center, low, high)
    ends = np.arcsinh((np.array([low, high])[:, None] - center) / scale)
    found: list[tuple[float, list[list[Array]]] | None] = [None] * k
    m = 128
    while any(f is None for f in found):
        if m > max_cells:
            study = likelihoods.study[found.index(None)]
            raise ConvergenceError(f"Study {study!r}: its likelihood is too rough to be tabulated. Use engine='nuts'.")
        u = np.linspace(ends[0], ends[1], 2 * m + 1)
        values = likelihoods.loglik(np.ascontiguousarray((center + scale * np.sinh(u)).T))
        for i in range(k):
            if found[i] is None:
                found[i] = _spline(u[:, i], values[i])
        m *= 2
    parts = [f for f in found if f is not None]
    cells = np.array([len(p[1][0][0]) for p in parts], dtype=float)
    tables = tuple(tuple(np.concatenate([p[1][d][r] for p in parts]) for r in range(DEGREE - d + 1)) for d in range(3))
    first = np.concatenate([[0.0], np.cumsum(cells)[:-1]])
    return Curves(center, scale, ends[0], np.array([p[0] for p in parts]), first, cells, tables)


def _spline(u: Array, value: Array) -> tuple[float, list[list[Array]]] | None:
    """Fit the even points and judge by the odd ones; None when they disagree.

    Returns the spacing, and per derivative the Taylor coefficients about every cell's left end,
    highest power first.
    """
    trial = make_interp_spline(u[::2], value[::2], k=DEGREE)
    # Far below its maximum a likelihood hardly counts, and its own rounding grows with its size.
    allowed = GAIN * TOLERANCE * (1.0 + np.maximum(0.0, value.max() - value[1::2]))
    if not (np.abs(trial(u[1::2]) - value[1::2]) <= allowed).all():
        return None
    spline = make_interp_spline(u, value, k=DEGREE)
    step = float(u[1] - u[0])
    left = u[:-1]
    taylor = [(spline.derivative(r)(left) if r else spline(left)) * step**r / factorial(r) for r in range(DEGREE + 1)]
    # Coefficients of the d-th derivative in the cell coordinate c, (u - left) / step.
    return step, [[taylor[r] * (factorial(r) // factorial(r - d)) for r in range(DEGREE, d - 1, -1)] for d in range(3)]
