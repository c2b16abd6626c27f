"""Log likelihoods as tables of polynomials: made once from exact values, looked up in a PyMC program.

What takes an integral to compute costs a program a few products this way, and so does its derivative.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from bayesmeta.errors import ConvergenceError
from bayesmeta.values import Array

# Cells to either side of 0 at first and at most, and the degree of each cell's polynomial.
CELLS, MOST, DEGREE = 32, 1024, 10
# Asked of the last terms of a cell's series where a row is within exp(-FALL) of its largest value. Farther down, where
# only studies that contradict this one can lead, it is as much more as the square of how much farther that is.
TOLERANCE, FALL = 1e-5, 50.0


def tabulate(function: Callable[[Array], Array], reach: Array, study: tuple[str, ...]) -> Array:
    """Return a table of log likelihoods of x between ``-reach`` and ``reach``, smooth but for a crease at 0.

    Each half is divided into equal cells, each of which has the polynomial through its Chebyshev points (Trefethen
    2013, Approximation Theory and Approximation Practice, SIAM, chapters 4 and 8). Cells are halved until polynomials
    follow; where they do already, their halves are the same polynomials.

    Parameters
    ----------
    function
        Maps ``(k, m)`` values of x, one row a study, to values of that shape.
    reach
        ``(k,)``, positive.
    study
        ``(k,)`` labels, for messages.

    Returns
    -------
    ndarray
        ``(k, cells, DEGREE + 1)`` coefficients of the powers of u, which goes from -1 to 1 in a cell.

    Raises
    ------
    ConvergenceError
        If polynomials do not follow a function to about 1e-5 where it is within exp(-50) of its largest value.
    """
    cells, columns = CELLS, np.arange(2 * CELLS)
    value = _values(function, reach, cells, columns)
    # Relative to the largest: far below it a log likelihood is huge, and so are its rounding errors.
    top = value.max(axis=(1, 2), keepdims=True)
    series = (value - top) @ _TO_SERIES
    bad = _unresolved(series, value - top)
    while bad.any():
        if 2 * cells > MOST:
            label = study[int(bad.any(axis=1).argmax())]
            raise ConvergenceError(
                f"Study {label!r}: its log likelihood bends too sharply for a table. "
                "Use smooth priors for what is integrated out of it, such as normal(0, 10)."
            )
        some = bad.any(axis=0)
        cells, columns = 2 * cells, np.stack([2 * columns[some], 2 * columns[some] + 1], axis=1).ravel()
        series = np.stack([series @ half for half in _HALVES], axis=2).reshape(len(reach), 2 * cells, DEGREE + 1)
        again = np.repeat(bad[:, some], 2, axis=1)
        fresh = _values(function, reach, cells, columns) - top
        # Only where a row asks for it: next to the ends theta is rounded, and finer cells would see nothing else.
        series[:, columns] = np.where(again[..., None], fresh @ _TO_SERIES, series[:, columns])
        bad = again & _unresolved(series[:, columns], fresh)
    series[..., 0] += top[..., 0]
    return np.asarray(series @ _POWERS)


_POINTS = chebyshev.chebpts1(DEGREE + 1)
_TO_SERIES = np.linalg.inv(chebyshev.chebvander(_POINTS, DEGREE)).T
# From a cell's series to those of its left and right halves.
_HALVES = tuple(chebyshev.chebvander(0.5 * (_POINTS + side), DEGREE).T @ _TO_SERIES for side in (-1.0, 1.0))
# The powers of u in each Chebyshev polynomial.
_POWERS = np.array([np.pad(chebyshev.cheb2poly(row), (0, DEGREE))[: DEGREE + 1] for row in np.eye(DEGREE + 1)])


def _values(function: Callable[[Array], Array], reach: Array, cells: int, columns: NDArray[np.intp]) -> Array:
    """Return ``(k, columns, DEGREE + 1)`` values at the points of some cells."""
    middle = (columns + 0.5) / cells - 1.0
    x = reach[:, None] * (middle[:, None] + _POINTS * 0.5 / cells).ravel()
    return function(x).reshape(len(reach), len(columns), DEGREE + 1)


def _unresolved(series: Array, value: Array) -> NDArray[np.bool_]:
    """Return ``(k, columns)`` where a series has not come to its end; values are relative to a row's largest."""
    depth = np.maximum(-value.max(axis=2) / FALL, 1.0)
    return np.asarray(np.abs(series[..., -2:]).max(axis=2) > TOLERANCE * depth**2)


def symbolic_look_up(table: Any, reach: Any, x: Any) -> Any:
    """Return what a table says at x, ``(k,)``, in a PyMC program.

    Parameters
    ----------
    table, reach
        What `tabulate` returned and was given.
    x
        ``(k,)``, between ``-reach`` and ``reach``.
    """
    import pytensor.tensor as pt

    cells = table.shape[1] // 2
    place = (x / reach + 1.0) * cells
    cell = pt.clip(pt.floor(place), 0, 2 * cells - 1)
    u = 2.0 * (place - cell) - 1.0
    row = table[pt.arange(table.shape[0]), cell.astype("int64")]
    value = row[:, DEGREE]
    for power in reversed(range(DEGREE)):
        value = value * u + row[:, power]
    return value
