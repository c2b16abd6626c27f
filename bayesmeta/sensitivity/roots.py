"""Where a curve of probabilities crosses a target: a scan, then ever finer grids, each computed in one batch."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from scipy.optimize import brentq

from bayesmeta.values import Array

# Relative width at which a crossing is known well enough to print; far finer than anything shown.
NARROW = 1e-7
MOST_ROUNDS = 30
# Of each finer grid.
POINTS = 33


def crossing(curve: Callable[[Array], Array], x: Array, target: float) -> float | None:
    """Return the first place along `x` where the curve falls from at least `target` to below it.

    Parameters
    ----------
    curve
        Maps ``(n,)`` places to ``(n,)`` values, nan where there is none.
    x
        ``(n,)`` places of the scan, increasing or decreasing; a crossing back between two neighbours is not seen.
    target
        Value crossed.

    Returns
    -------
    float or None
        None where the curve never falls through the target along the scan.
    """
    value = curve(x)
    found = _first_fall(value, target)
    if found is None:
        return None
    for _ in range(MOST_ROUNDS):
        left, right = float(x[found]), float(x[found + 1])
        if abs(right - left) <= NARROW * max(abs(left), abs(right)):
            break
        x = np.linspace(left, right, POINTS)
        value = curve(x)
        inner = _first_fall(value, target)
        if inner is None:
            break
        found = inner
    else:
        left, right = float(x[found]), float(x[found + 1])
    return (left + right) / 2.0


def crossing_one_by_one(curve: Callable[[Array], Array], x: Array, target: float) -> float | None:
    """Return what `crossing` does, where every value of the curve takes a while: the scan ends at the first fall.

    Parameters
    ----------
    curve
        Maps ``(n,)`` places to ``(n,)`` values; asked for one at a time.
    x
        ``(n,)`` places of the scan, increasing or decreasing.
    target
        Value crossed.

    Returns
    -------
    float or None
        None where the curve never falls through the target along the scan.
    """

    def above(at: float) -> float:
        return float(curve(np.array([at]))[0]) - target

    before = above(float(x[0]))
    for left, right in pairwise(x.tolist()):
        after = above(right)
        if before >= 0.0 > after:
            return float(brentq(above, left, right, xtol=1e-300, rtol=NARROW))
        before = after
    return None


def _first_fall(value: Array, target: float) -> int | None:
    falls = np.flatnonzero((value[:-1] >= target) & (value[1:] < target))
    return int(falls[0]) if falls.size else None


def first_below(curve: Callable[[Array], Array], target: float, most: int) -> int | None:
    """Return the smallest whole number from 1 to `most` where a falling curve is below `target`; None where none is.

    Parameters
    ----------
    curve
        Maps ``(n,)`` whole numbers to ``(n,)`` values; taken to fall.
    target
        Value to get below.
    most
        Largest number tried.
    """
    reach = np.unique(np.minimum(2 ** np.arange(int(np.ceil(np.log2(most))) + 1), most)).astype(float)
    below = np.flatnonzero(curve(reach) < target)
    if not below.size:
        return None
    high = int(reach[below[0]])
    low = int(reach[below[0] - 1]) if below[0] else 0
    while high - low > 1:
        inner = np.unique(np.linspace(low + 1, high - 1, min(16, high - low - 1)).round())
        under = np.flatnonzero(curve(inner) < target)
        if not under.size:
            low = int(inner[-1])
            continue
        high = int(inner[under[0]])
        low = int(inner[under[0] - 1]) if under[0] else low
    return high


def first_below_one_by_one(curve: Callable[[Array], Array], target: float, most: int) -> int | None:
    """Return what `first_below` does, where every value of the curve takes a while, and the longer the further out.

    Parameters
    ----------
    curve
        Maps ``(1,)`` whole numbers to ``(1,)`` values; taken to fall.
    target, most
        As there.
    """

    def below(n: int) -> bool:
        return bool(curve(np.array([float(n)]))[0] < target)

    low, high = 0, 1
    while not below(high):
        if high == most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if below(middle) else (middle, high)
    return high
