"""Small frozen values that every layer shares: arrays and mappings that cannot be written to, and intervals."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

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


class FrozenMap[K, V](Mapping[K, V]):
    """A mapping that cannot be written to, and that can be pickled: `types.MappingProxyType` cannot.

    Parameters
    ----------
    items
        A mapping, or pairs of keys and values, that is copied.

    Examples
    --------
    >>> FrozenMap({"tau": 0.5})
    {'tau': 0.5}
    """

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[K, V] | Iterable[tuple[K, V]] = ()) -> None:
        self._items = dict(items)

    def __getitem__(self, key: K) -> V:
        return self._items[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __or__(self, other: Mapping[K, V]) -> dict[K, V]:
        return {**self._items, **other}

    def __repr__(self) -> str:
        return repr(self._items)


class Travels:
    """A frozen dataclass whose arrays are read-only on arrival too, when it was pickled or copied.

    Numpy makes every array that it unpickles writeable. What is computed later and kept (cached properties) stays
    behind.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (type(self), tuple(getattr(self, f.name) for f in fields(self)))  # type: ignore[arg-type]


def _arrived(kind: type, contents: tuple[Any, ...]) -> Any:
    """Return a value of this kind with these fields: they were checked when it was made."""
    value: Any = object.__new__(kind)
    for field, content in zip(fields(kind), contents, strict=True):
        for array in content.values() if isinstance(content, FrozenMap) else (content,):
            if isinstance(array, np.ndarray):
                array.setflags(write=False)
        object.__setattr__(value, field.name, content)
    return value


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
