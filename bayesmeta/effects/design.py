"""The design matrix of a meta-regression from the moderator columns of a study table."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import DataError
from bayesmeta.studies import PersonTime, StudyTable, TwoByTwo
from bayesmeta.values import Array


def design(
    data: StudyTable | TwoByTwo | PersonTime, moderators: str | Sequence[str] | None
) -> tuple[Array | None, tuple[str, ...]]:
    """Return the design matrix with its intercept, and the names of its columns.

    Parameters
    ----------
    data
        The table that holds the moderators.
    moderators
        Column names. Numbers enter as they are; text is dummy-coded against its first level in
        alphabetical order (treatment coding), the terms named like ``"alloc[random]"``.

    Returns
    -------
    tuple
        ``(k, p)`` matrix and ``p`` names; ``(None, ())`` without moderators.

    Raises
    ------
    DataError
        If there is no such column, a value is missing, or a factor has only one level.
    """
    names = (moderators,) if isinstance(moderators, str) else tuple(moderators or ())
    if not names:
        return None, ()
    if not isinstance(data, StudyTable):
        raise DataError("Counts carry no moderators: give the StudyTable they came from.")
    columns, terms = [np.ones(data.k)], ["intercept"]
    for name in names:
        for term, column in _code(data, name):
            terms.append(term)
            columns.append(column)
    return np.column_stack(columns), tuple(terms)


def _code(data: StudyTable, name: str) -> list[tuple[str, Array]]:
    if name not in data.columns:
        raise DataError(
            f"{data.source or 'The table'} has no moderator column {name!r}. Columns: {', '.join(data.columns)}."
        )
    values = data.columns[name]
    if values.dtype.kind in "fiub":
        numbers = values.astype(np.float64)
        _require(data, name, ~np.isfinite(numbers))
        return [(name, numbers)]
    texts = ["" if _is_missing(v) else str(v).strip() for v in values]
    _require(data, name, np.array([t == "" for t in texts]))
    levels = sorted(set(texts))
    if len(levels) == 1:
        raise DataError(
            f"Moderator {name!r} is {levels[0]!r} in every study: it explains nothing. Leave it out of moderators."
        )
    return [(f"{name}[{level}]", np.array([float(t == level) for t in texts])) for level in levels[1:]]


def _require(data: StudyTable, name: str, missing: NDArray[np.bool_]) -> None:
    if missing.any():
        study = data.study[int(np.flatnonzero(missing)[0])]
        raise DataError(
            f"Study {study!r}: moderator {name!r} has no value. Fill it in, or drop the study with table.drop([...])."
        )


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))
