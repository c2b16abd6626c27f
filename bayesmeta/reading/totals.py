"""Rows that are the total of the others: pooled as a study they count every patient twice."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import DataError, option

# What a row of totals or of a pooled result is called; the name of a study goes on after such a word.
_CALLED = re.compile(
    r"(\d{1,3}[.)]\s+|\d+(\.\d+)+\.?\s+|[-*\u2022]\s*)?"  # as a row of a list: "3. Total", "1.1.2 Subtotal"
    r"((sub|grand)?[ -]?totals?|sums?|all (studies|trials|patients|participants)|"
    r"(overall|pooled|summary|combined|meta-?analysis|total)( (effects?|estimates?|results?|odds ratio|risk ratio|"
    r"relative risk|hazard ratio|mean difference|smd|or|rr|hr|md|events?))?|"
    r"(random|fixed|common|mixed)[- ]effects?( (model|estimate|meta-?analysis|pooled|overall|result))*|"
    r"(re|fe|ce|reml|dl) model|heterogeneity|test for (heterogeneity|overall effect|subgroup differences)|"
    r"prediction interval)"
    r"(\s*[:,;(\[].*)?",
    re.IGNORECASE,
)
_COUNTS = ("events_treatment", "n_treatment", "events_control", "n_control", "events", "n")


_NONE = np.array([], dtype=np.intp)


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
        ``(k,)`` names of the rows, rows that lack a number among them.
    values
        bayesmeta's name to ``(k,)`` numbers, NaN where blank.
    """
    found = {i: f"it is called {label!r}" for i, label in enumerate(study) if is_called_total(label)}
    columns = [values[name] for name in _COUNTS if name in values and values[name].dtype.kind == "f"]
    if len(columns) < 2:
        return found
    table = np.array(columns)
    # A row named a total is none of those that others are the sum of.
    kept = np.array([i for i in range(table.shape[1]) if i not in found], dtype=np.intp)
    # Sizes alone add up by chance: small experiments have few.
    blocks = _sums_of_a_block(table[:, kept]) if any(name.startswith("events") for name in values) else _NONE
    for i in kept[blocks]:
        found[int(i)] = "its counts are the sums of those of the rows above it, or below"
    kept = np.array([i for i in kept if i not in found], dtype=np.intp)
    for i in kept[_sums_of_all(table[:, kept])]:
        found[int(i)] = "its counts are the sums of those of the other rows"
    return dict(sorted(found.items()))


def _sums_of_all(table: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the columns of a ``(q, k)`` table of counts that are the sum of all others, at least two of them."""
    if table.shape[1] < (3 if len(np.unique(table, axis=0)) > 1 else 6):
        return _NONE
    twice = 2.0 * table == np.nansum(table, axis=1, keepdims=True)
    # Rows of zeros are the sum of nothing.
    return np.flatnonzero(twice.all(axis=0) & (table > 0).any(axis=0))


def _sums_of_a_block(table: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the columns of a ``(q, k)`` table of counts that are the sum of those next to them, on one side.

    Few kinds of counts add up by chance: one kind, as sizes of equal arms are, says nothing, two need four rows.
    """
    q, k = table.shape
    kinds = len(np.unique(table, axis=0))
    least = {2: 4, 3: 3}.get(kinds, 2)
    if kinds == 1 or k < least + 1:
        return _NONE
    found = np.zeros(k, dtype=bool)
    widest = table[np.argmax(np.nansum(table, axis=1))]
    for turned in (False, True):
        rows, wide = (table[:, ::-1], widest[::-1]) if turned else (table, widest)
        until = np.concatenate([np.zeros((q, 1)), np.nancumsum(rows, axis=1)], axis=1)
        rising = np.concatenate([[0.0], np.nancumsum(wide)])
        # The block that ends before row i begins where the sum until i exceeds the sum until there by row i.
        start = np.searchsorted(rising, rising[:-1] - np.nan_to_num(wide, nan=-1.0))
        start = np.clip(start, 0, k)
        long_enough = np.arange(k) - start >= least
        hits = long_enough & (until[:, :-1] - until[:, start] == rows).all(axis=0) & (rows > 0).any(axis=0)
        found |= hits[::-1] if turned else hits
    return np.flatnonzero(found)


def refused_totals(found: Mapping[int, str], study: Sequence[str], lines: Sequence[int], place: str) -> DataError:
    """Return the error for rows of totals that the user has said nothing about."""
    rows = "; ".join(f"{place} {lines[i]}, {study[i]!r}: {why}" for i, why in found.items())
    return DataError(
        f"{rows}. Pooled as a study, a total counts every patient twice. Leave it out with "
        f"{option('total_rows', 'exclude')}, or, if it is a study, say {option('total_rows', 'study')}."
    )
