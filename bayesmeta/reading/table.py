"""From the cells of a raw table to a `StudyTable`: every number parsed, every rule applied, nothing lost."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import DataError, option
from bayesmeta.formats import Cell, RawTable, holds_no_number, is_missing
from bayesmeta.reading.cells import (
    COUNT_RULES,
    RULES,
    Place,
    check_rule,
    number,
    parse_number,
    refuse_unclear_times,
    thousands_mark,
)
from bayesmeta.reading.compared import check_compared
from bayesmeta.reading.consistency import check_between, derived, without_counts_of_another_n
from bayesmeta.reading.headers import held_measures, level_of, refuse_percentages
from bayesmeta.reading.interval_cells import with_intervals_split
from bayesmeta.reading.labels import choose_outcome, choose_subgroup, column_of, study_labels, text, unique_labels
from bayesmeta.reading.mapping import (
    available,
    data_columns,
    further_arms,
    map_columns,
    needed_columns,
    nothing_usable,
    possible,
    unread,
)
from bayesmeta.reading.names import CANONICAL, ONE_ARM, TEXT
from bayesmeta.reading.options import NOTHING_STATED, ReadingOptions
from bayesmeta.reading.totals import refused_totals, total_rows
from bayesmeta.reading.two_in_a_cell import with_pairs_split
from bayesmeta.studies import Exclusion, PublishedResult, StudyTable
from bayesmeta.values import Array


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """A raw table with its mapping, and the rows that belong to the outcome chosen."""

    raw: RawTable
    name: str
    mapping: Mapping[str, str]
    study: tuple[str, ...]
    rows: tuple[int, ...]
    options: ReadingOptions = NOTHING_STATED

    def cells(self, header: str) -> list[Cell]:
        """Return the chosen rows' cells under a header."""
        column = column_of(self.raw, header)
        return [column[i] for i in self.rows]

    def line(self, i: int) -> int:
        """Return the line of the i-th chosen row."""
        return self.raw.row[self.rows[i]]

    def place(self, i: int, name: str) -> Place:
        """Return where the i-th study's cell of a header, or of one of our names, stands."""
        header = self.mapping.get(name, name)
        return Place(self.name, self.line(i), self.study[i], self.raw.origin.get(header, header), self.raw.unit)


def table_from_raw(
    raw: RawTable,
    name: str,
    options: ReadingOptions = NOTHING_STATED,
    *,
    sha256: str = "",
) -> StudyTable:
    """Return the study table in a raw one; see `read_studies` for what `options` hold.

    Raises
    ------
    DataError
        If a column is missing or ambiguous, a cell is impossible, or no row can be used.
    """
    columns: Mapping[str, str] = options.columns
    level = ""
    if not raw.canonical:
        raw, columns = with_pairs_split(raw, columns)
        raw, split, level = with_intervals_split(raw, columns)
        columns = {**split, **columns} | {c: split[c] for c in ("estimate", "yi") if c in split}
    mapping = data_columns(map_columns(raw.headers, columns, name), columns)
    lacking_all = nothing_usable(raw.headers, mapping, name) if not possible(mapping) else None
    if lacking_all is not None:
        raise lacking_all
    rows, chosen = choose_outcome(raw, mapping, options.outcome, name)
    rows = choose_subgroup(raw, mapping, rows, options.subgroup, name)
    sheet = Sheet(raw, name, mapping, study_labels(raw, mapping, rows, name), rows, options)
    if not raw.canonical:
        found = {c: h for c, h in mapping.items() if c.endswith("_treatment") and c not in options.columns}
        refuse_percentages(mapping, options.columns, name)
        check_compared(raw, rows, sheet.study, found, sheet.place)
    values = _numbers(sheet)
    values, other_n = without_counts_of_another_n(values)
    check_between(sheet.place, values)
    extra, notes = derived(sheet.place, values)
    values |= extra
    families = available(values)
    if not families:
        raise nothing_usable(raw.headers, {c: h for c, h in mapping.items() if c in values}, name)
    keep, excluded = _complete(sheet, values, families)
    keep, excluded = _without_totals(sheet, values, keep, excluded)
    kept = np.flatnonzero(keep)
    if not len(kept):
        lacking = excluded[0]
        raise DataError(
            f"{name}: none of the {len(keep)} rows has the numbers it needs (study {lacking.study!r}: "
            f"{lacking.reason}). Fill them in."
        )
    labels, repeated = _unique(sheet, values, kept)
    values |= _others(sheet)
    if options.duplicates == "cluster" and repeated and "cluster" not in values:
        values["cluster"] = np.array(sheet.study, dtype=object)
    return StudyTable(
        labels,
        {canonical: column[kept] for canonical, column in values.items()},
        source=name,
        sha256=sha256,
        outcome=chosen,
        mapping={c: raw.origin.get(h, h) for c, h in mapping.items() if c in values or c in ("study", "outcome")},
        row=tuple(sheet.line(int(i)) for i in kept),
        excluded=tuple(excluded),
        published=tuple(_published(p, name) for p in raw.published if p["outcome"] == chosen and "estimate" in p),
        notes=(
            f"read as {raw.format}",
            *_relevant(raw, chosen),
            *notes,
            *other_n,
            *_dependent(repeated, options),
            *unread(raw.headers, mapping),
            *further_arms(raw.headers, mapping),
        ),
        ci_level=_ci_level(sheet, level),
        holds=() if raw.canonical else held_measures(mapping, options.columns),
    )


def _ci_level(sheet: Sheet, said: str) -> float:
    """Return the level of the limits: the user's word, else what headers or cells say, else 0.95."""
    if sheet.options.ci_level is not None:
        return sheet.options.ci_level
    headers = {sheet.mapping[name] for name in ("ci_low", "ci_high") if name in sheet.mapping}
    return level_of([*headers, *said.split(" and ")]) or 0.95


def _relevant(raw: RawTable, outcome: str | None) -> tuple[str, ...]:
    if not raw.canonical:
        return raw.notes
    return tuple(note for note in raw.notes if note.startswith(f"{outcome}: "))


def _numbers(sheet: Sheet) -> dict[str, NDArray[Any]]:
    """Return the columns bayesmeta knows, in its own order; those blank throughout are left out."""
    out: dict[str, NDArray[Any]] = {}
    for canonical in CANONICAL:
        header = sheet.mapping.get(canonical)
        if header is None or canonical in ("study", "outcome"):
            continue
        cells = sheet.cells(header)
        if sheet.raw.canonical and all(is_missing(c) for c in cells):
            continue
        if canonical in TEXT:
            out[canonical] = np.array([text(c) for c in cells], dtype=object)
        elif canonical == "year":
            # A year may be free text ("in press"): it labels a study, and enters no calculation unless it is a number.
            out[canonical] = _own(sheet, header)
        else:
            out[canonical] = _checked(sheet, canonical, header, cells)
    return out


def _checked(sheet: Sheet, canonical: str, header: str, cells: list[Cell]) -> Array:
    decimal, thousands = sheet.raw.decimal, sheet.options.thousands
    if thousands is None and sheet.options.decimal is None:
        texts = [c if isinstance(c, str) else "" for c in cells]
        if RULES.get(canonical) in COUNT_RULES:
            thousands = thousands_mark(texts, decimal, lambda i: sheet.place(i, header))
        elif canonical.startswith("time"):
            refuse_unclear_times(texts, sheet.raw.columns, lambda i: sheet.place(i, header))
    if canonical == "ri" and sheet.options.columns.get(canonical) != header:
        _refuse_events_as_correlations(sheet, header, cells)
    column = np.array([number(c, decimal, partial(sheet.place, i, header), thousands) for i, c in enumerate(cells)])
    if canonical != "n" or "n" in needed_columns(sheet.mapping):
        # Beside ready effects n may be an effective sample size, which need not be whole.
        check_rule(canonical, column, lambda i: sheet.place(i, header))
    return column


def _refuse_events_as_correlations(sheet: Sheet, header: str, cells: list[Cell]) -> None:
    """Raise where a column named ``r`` holds what events would be."""
    filled = [c for c in cells if not holds_no_number(c)]
    if filled and all(parse_number(c, sheet.raw.decimal) in (-1.0, 0.0, 1.0) for c in filled):
        raise DataError(
            f"{sheet.name}: column {header!r} holds whole numbers only; it may be events or correlations. Say which: "
            f"{option('columns', header, key='events')} or {option('columns', header, key='ri')}."
        )


def _others(sheet: Sheet) -> dict[str, NDArray[Any]]:
    taken = set(sheet.mapping.values())
    return {h: _own(sheet, h) for h in sheet.raw.headers if h not in taken and (h not in CANONICAL or h in ONE_ARM)}


def _own(sheet: Sheet, header: str) -> NDArray[Any]:
    """Return a column bayesmeta has no name for: numbers if every cell is one or blank, else text."""
    cells = sheet.cells(header)
    if any(not is_missing(c) for c in cells):
        numbers = [math.nan if holds_no_number(c) else parse_number(c, sheet.raw.decimal) for c in cells]
        if all(n is not None and not math.isinf(n) for n in numbers) and not all(map(holds_no_number, cells)):
            return np.array(numbers, dtype=np.float64)
    return np.array([text(c) for c in cells], dtype=object)


def _complete(
    sheet: Sheet, values: Mapping[str, NDArray[Any]], families: Mapping[str, tuple[str, ...]]
) -> tuple[NDArray[np.bool_], list[Exclusion]]:
    """Return which rows have every number of one family, and the others with what they lack."""
    keep = np.zeros(len(sheet.study), dtype=bool)
    for needed in families.values():
        keep |= np.all([np.isfinite(values[name]) for name in needed], axis=0)
    reasons = {i: sheet.raw.skip[row] for i, row in enumerate(sheet.rows) if row in sheet.raw.skip}
    first = next(iter(families.values()))
    for i in np.flatnonzero(~keep):
        lacking = ", ".join(n for n in first if not np.isfinite(values[n][i]))
        reasons.setdefault(int(i), f"no value for {lacking}")
    keep[list(reasons)] = False
    return keep, [Exclusion(sheet.study[i], reasons[i], sheet.line(i)) for i in sorted(reasons)]


def _without_totals(
    sheet: Sheet, values: Mapping[str, NDArray[Any]], keep: NDArray[np.bool_], excluded: list[Exclusion]
) -> tuple[NDArray[np.bool_], list[Exclusion]]:
    """Return the same without rows of totals, where the user says that they are none; else refuse them."""
    if sheet.raw.canonical or sheet.options.total_rows == "study":
        return keep, excluded
    # A total may hold what a study lacks, so rows that are not analysed are among those it is the sum of.
    at = np.arange(len(keep))
    found = {i: why for i, why in total_rows(sheet.study, values).items() if keep[i]}
    if not found:
        return keep, excluded
    if sheet.options.total_rows == "refuse":
        lines = [sheet.line(int(i)) for i in at]
        raise refused_totals(found, [sheet.study[i] for i in at], lines, f"{sheet.name}, {sheet.raw.unit}")
    keep = keep.copy()
    keep[at[list(found)]] = False
    out = [Exclusion(sheet.study[at[j]], f"a row of totals: {why}", sheet.line(int(at[j]))) for j, why in found.items()]
    return keep, [*excluded, *out]


def _dependent(repeated: tuple[str, ...], options: ReadingOptions) -> tuple[str, ...]:
    """Return what a reader must know of studies that have several rows."""
    if not repeated:
        return ()
    names = ", ".join(repeated[:5]) + (f" and {len(repeated) - 5} more" if len(repeated) > 5 else "")
    if options.duplicates == "number":
        return (
            f"several rows of one study ({names}) are taken for independent studies, which makes the answer "
            "look surer than it is; kept together as clusters they can be analysed with the model 'multilevel'",
        )
    return (f"several rows of one study ({names}) are kept as rows of one cluster: analyse them with 'multilevel'",)


def _unique(
    sheet: Sheet, values: Mapping[str, NDArray[Any]], kept: NDArray[np.intp]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return unique labels, and the names of studies that have several rows."""
    year, subgroup = values.get("year"), values.get("subgroup")
    if "cluster" in values and sheet.options.duplicates == "error":
        # The file says itself which rows belong together.
        return unique_labels([sheet.study[i] for i in kept], None, None, [], "number", "")[0], ()
    return unique_labels(
        [sheet.study[i] for i in kept],
        None if year is None else [text(year[i]) for i in kept],
        None if subgroup is None or not sheet.raw.canonical else [str(subgroup[i]) for i in kept],
        [sheet.line(int(i)) for i in kept],
        sheet.options.duplicates,
        f"{sheet.name}, {sheet.raw.unit}",
    )


def _published(fields: Mapping[str, str], name: str) -> PublishedResult:
    return PublishedResult(
        source=f"{name} ({fields['source']})",
        measure=fields["measure"],
        method=fields["method"],
        level=float(fields["level"]),
        outcome=fields["outcome"],
        **{key: fields.get(key) for key in ("estimate", "low", "high", "p", "i2", "tau2")},
    )
