"""Rows that are the total of the others: pooled as a study they count every patient twice."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import DataError, option

# What a row of totals or of a pooled result is called; the name of a study goes on after such a word.
_CALLED = re.compile(
    r"(sub|grand)?[ -]?totals?|sum|overall( (effect|estimate|result))?|pooled( (effect|estimate|result))?|summary|"
    r"(meta-?analysis|combined)( (effect|estimate|result))?|(random|fixed|common)[- ]effects?( model)?|"
    r"(total|overall|pooled|summary|subtotal)\s*[\[(].*[\])]",
    re.IGNORECASE,
)
_COUNTS = ("events_treatment", "n_treatment", "events_control", "n_control", "events", "n")


def is_called_total(label: str) -> bool:
    """Return whether a row's name says that it is a total or a pooled result.

    Examples
    --------
    >>> is_called_total("Total (95% CI)"), is_called_total("Pooled estimate"), is_called_total("Totaro 2001")
    (True, True, False)
    """
    return bool(_CALLED.fullmatch(label.strip().rstrip(":").strip()))


def total_rows(study: Sequence[str], values: Mapping[str, NDArray[Any]]) -> dict[int, str]:
    """Return the rows that are no study, by position, and how that is known.

    Parameters
    ----------
    study
        ``(k,)`` names of the rows.
    values
        bayesmeta's name to ``(k,)`` numbers, NaN where blank.
    """
    found = {i: f"it is called {label!r}" for i, label in enumerate(study) if is_called_total(label)}
    for i in _sums(values, exclude=set(found)):
        found[i] = "its counts are the sums of those of the other rows"
    return found


def _sums(values: Mapping[str, NDArray[Any]], exclude: set[int]) -> list[int]:
    """Return the rows whose counts are the sum of all others in every column of counts, at least two of them."""
    columns = [values[name] for name in _COUNTS if name in values and values[name].dtype.kind == "f"]
    # A row named a total is none of those that others are the sum of.
    kept = [i for i in range(len(columns[0]) if columns else 0) if i not in exclude]
    if len(kept) < 3 or len(columns) < 2:
        return []
    table = np.array([column[kept] for column in columns])
    twice = 2.0 * table == np.nansum(table, axis=1, keepdims=True)
    # Rows of zeros are the sum of nothing.
    return [kept[j] for j in np.flatnonzero(twice.all(axis=0) & (table > 0).any(axis=0))]


def refused_totals(found: Mapping[int, str], study: Sequence[str], lines: Sequence[int], place: str) -> DataError:
    """Return the error for rows of totals that the user has said nothing about."""
    rows = "; ".join(f"{place} {lines[i]}, {study[i]!r}: {why}" for i, why in found.items())
    return DataError(
        f"{rows}. Pooled as a study, a total counts every patient twice. Leave it out with "
        f"{option('total_rows', 'exclude')}, or, if it is a study, say {option('total_rows', 'study')}."
    )
