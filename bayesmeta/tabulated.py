"""Log likelihoods as tables of polynomials: made once from exact values, looked up in a PyMC program.

What takes an integral to compute costs a program a few products this way, and so does its derivative.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev

from bayesmeta.errors import ConvergenceError
from bayesmeta.values import Array

# Cells to either side of 0 at first and at most, and the degree of each cell's polynomial.
CELLS, MOST, DEGREE = 32, 256, 10
# Asked of the last terms of a cell's series, wherever a row is within exp(-FALL) of its largest value.
TOLERANCE, FALL = 1e-5, 50.0


def tabulate(function: Callable[[Array], Array], reach: Array, study: tuple[str, ...]) -> Array:
    """Return a table of log likelihoods of x between ``-reach`` and ``reach``, smooth but for a crease at 0.

    Each half is divided into equal cells, each of which has the polynomial through its Chebyshev points (Trefethen
    2013, Approximation Theory and Approximation Practice, SIAM, chapters 4 and 8).

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
    cells = CELLS
    while True:
        series, error = _series(function, reach, cells)
        if error.max() < TOLERANCE:
            return np.asarray(series @ _POWERS)
        cells *= 2
        if cells > MOST:
            raise ConvergenceError(
                f"Study {study[int(error.argmax())]!r}: its log likelihood bends too sharply for a table. "
                "Use smooth priors for what is integrated out of it, such as normal(0, 10)."
            )


_POINTS = chebyshev.chebpts1(DEGREE + 1)
_TO_SERIES = np.linalg.inv(chebyshev.chebvander(_POINTS, DEGREE)).T
# The powers of u in each Chebyshev polynomial.
_POWERS = np.array([np.pad(chebyshev.cheb2poly(row), (0, DEGREE))[: DEGREE + 1] for row in np.eye(DEGREE + 1)])


def _series(function: Callable[[Array], Array], reach: Array, cells: int) -> tuple[Array, Array]:
    """Return every cell's Chebyshev coefficients, and the largest of each row's last terms, ``(k,)``."""
    middle = (np.arange(-cells, cells) + 0.5) / cells
    x = reach[:, None] * (middle[:, None] + _POINTS * 0.5 / cells).ravel()
    value = function(x).reshape(len(reach), 2 * cells, DEGREE + 1)
    # Relative to the largest: far below it a log likelihood is huge, and so are its rounding errors.
    top = value.max(axis=(1, 2), keepdims=True)
    series = (value - top) @ _TO_SERIES
    matters = (value.max(axis=2) > top[:, :, 0] - FALL)[..., None]
    error = np.where(matters, np.abs(series[..., -2:]), 0.0).max(axis=(1, 2))
    series[..., 0] += top[..., 0]
    return series, error


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
