"""Small frozen values that every layer shares: arrays that cannot be written to, and intervals."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesmeta.errors import DataError

type Array = NDArray[np.float64]
type IntervalKind = Literal["confidence", "credible", "prediction", "posterior prediction"]


def frozen_array(values: ArrayLike) -> Array:
    """Return a read-only float64 copy of `values`."""
    array = np.array(values, dtype=np.float64, copy=True)
    array.setflags(write=False)
    return array


def column(name: str, values: ArrayLike) -> Array:
    """Return a read-only ``(k,)`` float64 copy of one value per study; a single number is one study.

    Raises
    ------
    DataError
        If something in it is no number, or it is not one-dimensional.
    """
    try:
        array = np.atleast_1d(np.array(values, dtype=np.float64))
    except (TypeError, ValueError):
        raise DataError(f"{name} holds what is no number: {values!r:.80}. Give one number per study.") from None
    if array.ndim != 1:
        raise DataError(f"{name} has shape {array.shape}: give a flat list with one number per study.")
    array.setflags(write=False)
    return array


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval that knows what it is.

    Unpacks and indexes like the pair ``(low, high)``.

    Parameters
    ----------
    low, high
        Limits, on the analysis scale (log for ratio measures).
    level
        Nominal coverage or posterior probability, e.g. ``0.95``.
    kind
        ``"confidence"`` and ``"prediction"`` are classical, ``"credible"`` and
        ``"posterior prediction"`` are Bayesian.
    rule
        How the limits were computed, e.g. ``"wald"``, ``"hksj"``, ``"eti"``, ``"hdi"``.

    Examples
    --------
    >>> low, high = Interval(-0.1, 0.7, 0.95, "credible", "eti")
    >>> high
    0.7
    """

    low: float
    high: float
    level: float
    kind: IntervalKind
    rule: str = ""

    def __iter__(self) -> Iterator[float]:
        return iter((self.low, self.high))

    def __getitem__(self, index: int) -> float:
        return (self.low, self.high)[index]

    def __len__(self) -> int:
        return 2

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high
