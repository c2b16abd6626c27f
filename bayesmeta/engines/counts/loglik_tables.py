"""The studies' log likelihoods as one table of polynomials that is fast to look up."""

from dataclasses import dataclass
from math import factorial

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from bayesmeta.engines.counts.row_splines import DEGREE, Index, taylor
from bayesmeta.errors import ConvergenceError
from bayesmeta.model import StudyLikelihoods
from bayesmeta.values import Array

# The table is refined until it is this good, absolutely, where the likelihood is near its maximum.
TOLERANCE = 1e-11
# On a spline of degree 7 half the spacing gains a factor 2^8; a quarter of that is counted on.
GAIN = 64.0
# A table of more cells than this is not refined any further.
MAX_CELLS = 2**14
# A table of so many cells whose error is largest next to a crease is given up: smooth likelihoods take at most half as
# many, and at a crease twice as many gain a factor 2 to 4, not 2^8. Going on would end the same way, only later.
CREASED_CELLS = 2**11
# How many points count as next to it: errors of plain creases lie within 2 of them, of faint ones within 22.
NEXT_TO = 32.0
# A crease where the likelihood is this far below its peak (log scale) may stay: twice the cells hold it, and posteriors
# agree with those on panels to 1e-12 in a third of the time.
LOW = 16.0
# A table of so many cells may hold a crease so faint that it passes, with which sums over random effects as narrow as
# the crease fail. Risk ratios of likely events (29 of 30, 27 of 31) take twice as many; without it they were declined.
SUSPECT_CELLS = 2**10


class RoughError(ConvergenceError):
    """Likelihoods that no smooth table represents.

    Parameters
    ----------
    message
        In words.
    rough
        ``(k,)`` which studies' they are.
    """

    def __init__(self, message: str, rough: NDArray[np.bool_]) -> None:
        super().__init__(message)
        self.rough = rough


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

    @property
    def suspect(self) -> NDArray[np.bool_]:
        """``(k,)`` which likelihoods may have a crease, by how many cells it took to tabulate them."""
        return np.asarray(self.cells >= SUSPECT_CELLS)

    def take(self, index: Index) -> "Curves":
        """Return the tables of the studies at `index` alone."""
        return Curves(
            self.center[index],
            self.scale[index],
            self.low[index],
            self.step[index],
            self.first[index],
            self.cells[index],
            self.tables,
        )

    def one(self, i: int) -> "Curves":
        """Return the table of study `i` alone."""
        return self.take(np.array([i]))


def tabulate(likelihoods: StudyLikelihoods, low: Array, high: Array, *, max_cells: int = MAX_CELLS) -> Curves:
    """Return the studies' log likelihoods as checked tables, each on its own ``[low, high]``, ``(k,)``.

    Raises
    ------
    RoughError
        If a likelihood is too rough to be represented; the message names the study.
    """
    scale = np.where(np.isfinite(likelihoods.scale), likelihoods.scale, 1.0)
    center = np.clip(likelihoods.center, low, high)
    axes = _Axes(likelihoods, center, scale, np.arcsinh((np.stack([low, high]) - center) / scale))
    parts, cells = _resolved(axes, max_cells)
    tables = tuple(tuple(np.concatenate([p[d][r] for p in parts]) for r in range(DEGREE - d + 1)) for d in range(3))
    first = np.concatenate([[0.0], np.cumsum(cells)[:-1]])
    return Curves(center, scale, axes.ends[0], (axes.ends[1] - axes.ends[0]) / cells, first, cells, tables)


# A study's coefficients per derivative, highest power first.
type Columns = list[list[Array]]


@dataclass(frozen=True, slots=True, eq=False)
class _Axes:
    """Log likelihoods on the axes of their tables: ``u = asinh((theta - center) / scale)``, whose ends are x = 0, 1.

    ``center`` and ``scale`` are ``(k,)``, ``ends`` ``(2, k)``.
    """

    given: StudyLikelihoods
    center: Array
    scale: Array
    ends: Array

    def at(self, x: Array) -> Array:
        """Return ``(k, n)`` log likelihoods at ``(n,)`` places."""
        u = self.ends[0] + (self.ends[1] - self.ends[0]) * x[:, None]
        return self.given.loglik(np.ascontiguousarray((self.center + self.scale * np.sinh(u)).T))

    def creases(self) -> Array:
        """Return the ``(C, k)`` places at which likelihoods may have creases."""
        u = np.arcsinh((np.array(self.given.creases)[:, None] - self.center) / self.scale)
        return np.asarray((u - self.ends[0]) / (self.ends[1] - self.ends[0]))


def _resolved(axes: _Axes, max_cells: int) -> tuple[list[Columns], Array]:
    """Return the coefficients of every study on a grid that is fine enough for it, and ``(k,)`` numbers of cells."""
    k = len(axes.center)
    parts: list[Columns] = [[]] * k
    cells, pending, m = np.zeros(k), np.arange(k), 128
    values = axes.at(np.linspace(0.0, 1.0, 2 * m + 1))
    while True:
        fine = _represented(values[pending])
        for i, part in zip(pending[fine], _columns(values[pending[fine]]), strict=True):
            parts[i], cells[i] = part, 2 * m
        pending = pending[~fine]
        if not pending.size:
            return parts, cells
        _check_refinable(axes, values, pending, max_cells)
        m *= 2
        # Half of a grid twice as fine is known already.
        finer = np.empty((k, 2 * m + 1))
        finer[:, ::2], finer[:, 1::2] = values, axes.at((np.arange(m) + 0.5) / m)
        values = finer


def _check_refinable(axes: _Axes, values: Array, pending: NDArray[np.intp], max_cells: int) -> None:
    """Refuse the studies that a table with these ``(k, cells + 1)`` values does not represent, if no finer one will.

    Raises
    ------
    RoughError
        If there are creases, or more cells than `max_cells` already.
    """
    cells = values.shape[1] - 1
    if cells >= CREASED_CELLS:
        rough = pending[_next_to_crease(values[pending], axes.creases()[:, pending])]
        if rough.size:
            raise _rough(axes.given, rough, "its likelihood has a crease that no table holds")
    if cells > max_cells:
        raise _rough(axes.given, pending, "its likelihood is too rough to be tabulated")


def _rough(given: StudyLikelihoods, which: NDArray[np.intp], why: str) -> RoughError:
    """Return the error that says so of the first of some studies."""
    message = f"Study {given.study[which[0]]!r}: {why}. Use engine='nuts'."
    return RoughError(message, np.isin(np.arange(len(given.study)), which))


def _represented(values: Array) -> NDArray[np.bool_]:
    """Judge which of the studies with these ``(k, 2 m + 1)`` values are resolved."""
    return np.asarray((_misfit(values) <= 1.0).all(axis=1))


def _misfit(values: Array) -> Array:
    """Fit the even points of ``(k, 2 m + 1)`` values and return the errors at the odd ones, relative to what may be."""
    points = np.arange(float(values.shape[1]))
    if not len(values):
        return np.zeros((0, len(points) // 2))
    trial = make_interp_spline(points[::2], values[:, ::2], k=DEGREE, axis=1)
    # Far below its maximum a likelihood hardly counts, and its own rounding grows with its size.
    allowed = GAIN * TOLERANCE * (1.0 + np.maximum(0.0, values.max(axis=1)[:, None] - values[:, 1::2]))
    return np.asarray(np.abs(trial(points[1::2]) - values[:, 1::2]) / allowed)


def _next_to_crease(values: Array, creases: Array) -> NDArray[np.bool_]:
    """Return whose error is largest next to a place, of ``(C, k)`` from 0 to 1, where likelihoods may have creases."""
    worst = 2.0 * np.argmax(_misfit(values), axis=1) + 1.0
    place = creases * (values.shape[1] - 1.0)
    at = np.clip(np.rint(place), 0, values.shape[1] - 1).astype(np.intp)
    counts = values.max(axis=1) - np.take_along_axis(values, at.T, axis=1).T < LOW
    return np.asarray((counts & (np.abs(place - worst) <= NEXT_TO)).any(axis=0))


def _columns(values: Array) -> list[Columns]:
    """Return per study and derivative the coefficients in the cell coordinate, highest power first."""
    if not len(values):
        return []
    terms = taylor(values)
    return [
        [[terms[r][i] * (factorial(r) // factorial(r - d)) for r in range(DEGREE, d - 1, -1)] for d in range(3)]
        for i in range(len(values))
    ]
