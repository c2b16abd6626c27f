"""Study labels: unique, one for each value, and a mask of those that stay."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import DataError


def check_lengths(study: Sequence[str], lengths: Mapping[str, int]) -> None:
    """Raise a DataError unless there is a label for each value of every column."""
    k = len(study)
    if k == 0:
        raise DataError("No studies: a meta-analysis needs at least one study with usable data.")
    for name, length in lengths.items():
        if length != k:
            raise DataError(f"{name} has {length} values for {k} studies: give one value per study, in the same order.")


def check_labels(study: Sequence[str], lengths: Mapping[str, int]) -> None:
    """Raise a DataError unless the labels are unique and there is one for each value of every column."""
    check_lengths(study, lengths)
    seen: set[str] = set()
    for label in study:
        if label in seen:
            raise DataError(
                f"Study {label!r} appears more than once: study labels must be unique within an analysis. "
                "If the rows are different outcomes, choose one with outcome=...; "
                "if they are different studies, give them different labels."
            )
        seen.add(label)


def labels(study: Sequence[str] | None, k: int) -> tuple[str, ...]:
    """Return the labels as text, numbered where none are given."""
    if isinstance(study, str):
        raise DataError(f"study is the text {study!r}: give a list with one label per study.")
    if study is None or len(study) == 0:
        return tuple(f"Study {i + 1}" for i in range(k))
    return tuple(str(s) for s in study)


def kept(study: Sequence[str], drop: Iterable[str]) -> NDArray[np.bool_]:
    """Return a mask of the studies that stay when those named are dropped."""
    names = set(drop)
    absent = names - set(study)
    if absent:
        raise DataError(f"No study {sorted(absent)[0]!r} to drop. Studies: {', '.join(study)}.")
    return np.array([s not in names for s in study])
