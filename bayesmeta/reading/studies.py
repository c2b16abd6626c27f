"""`read_studies`: one table of studies, from whatever the user has."""

import hashlib
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import DataError
from bayesmeta.formats import RawTable, is_missing, read_bytes, read_path
from bayesmeta.reading.cells import Place, check_rule, number, parse_number
from bayesmeta.reading.mapping import available, map_columns, nothing_usable
from bayesmeta.reading.names import TEXT
from bayesmeta.studies import Exclusion, StudyTable
from bayesmeta.values import Array

type Duplicates = Literal["error", "number"]


def read_studies(
    source: str | os.PathLike[str],
    *,
    outcome: str | None = None,
    columns: Mapping[str, str] | None = None,
    duplicates: Duplicates = "error",
    decimal: str | None = None,
) -> StudyTable:
    """Return the studies in a file or a data frame, one row a study, checked cell by cell."""
    data, name = read_path(source)
    raw = read_bytes(data, name)
    return table_from_raw(
        raw, name, outcome=outcome, columns=columns, duplicates=duplicates, sha256=hashlib.sha256(data).hexdigest()
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Sheet:
    """A raw table with its mapping, and the rows that belong to the outcome chosen."""

    raw: RawTable
    name: str
    mapping: Mapping[str, str]
    study: tuple[str, ...]
    rows: tuple[int, ...]

    def cells(self, header: str) -> list[Any]:
        column = self.raw.columns[self.raw.headers.index(header)]
        return [column[i] for i in self.rows]

    def place(self, i: int, header: str) -> Place:
        return Place(self.name, self.raw.row[self.rows[i]], self.study[i], self.raw.origin.get(header, header))


def table_from_raw(
    raw: RawTable,
    name: str,
    *,
    outcome: str | None = None,
    columns: Mapping[str, str] | None = None,
    duplicates: Duplicates = "error",
    sha256: str = "",
) -> StudyTable:
    """Return the study table in a raw one."""
    mapping = map_columns(raw.headers, columns, name)
    families = available(mapping)
    if not families:
        raise nothing_usable(raw.headers, mapping, name)
    rows, chosen = _choose_outcome(raw, mapping, outcome, name)
    study = _study_labels(raw, mapping, rows, name)
    sheet = _Sheet(raw, name, mapping, study, rows)
    values = {
        canonical: _values(sheet, canonical, header)
        for canonical, header in mapping.items()
        if canonical not in ("study", "outcome")
    }
    _check_arms(sheet, values)
    keep, excluded = _complete(sheet, values, families)
    taken = set(mapping.values())
    values |= {header: _own(sheet, header) for header in raw.headers if header not in taken}
    kept = np.flatnonzero(keep)
    if not len(kept):
        raise DataError(f"{name}: none of the {len(study)} rows has the numbers it needs ({excluded[0].reason}).")
    labels = _unique(sheet, kept, values.get("year"), duplicates)
    return StudyTable(
        labels,
        {canonical: column[kept] for canonical, column in values.items()},
        source=name,
        sha256=sha256,
        outcome=chosen,
        mapping={c: raw.origin.get(h, h) for c, h in mapping.items()},
        row=tuple(raw.row[rows[i]] for i in kept),
        excluded=tuple(excluded),
    )


def _text(cell: Any) -> str:
    if is_missing(cell):
        return ""
    if isinstance(cell, float) and cell == math.floor(cell):
        return str(int(cell))
    return str(cell).strip()


def _choose_outcome(
    raw: RawTable, mapping: Mapping[str, str], outcome: str | None, name: str
) -> tuple[tuple[int, ...], str | None]:
    every = tuple(range(len(raw.row)))
    if "outcome" not in mapping:
        if outcome is not None:
            raise DataError(
                f"{name} has no outcome column, so outcome={outcome!r} cannot be chosen. Leave outcome out, or state "
                f"the column: columns={{'outcome': ...}}. Columns: {', '.join(raw.headers)}."
            )
        return every, None
    labels = [_text(cell) for cell in raw.columns[raw.headers.index(mapping["outcome"])]]
    known = list(dict.fromkeys(label for label in labels if label))
    if outcome is None:
        if len(known) > 1:
            raise DataError(
                f"{name} holds {len(known)} outcomes: {', '.join(map(repr, known))}. Choose one with outcome=..."
            )
        return every, known[0] if known else None
    if outcome not in known:
        close = get_close_matches(outcome, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise DataError(f"{name} has no outcome {outcome!r}.{hint} Outcomes: {', '.join(known)}.")
    return tuple(i for i in every if labels[i] == outcome), outcome


def _study_labels(raw: RawTable, mapping: Mapping[str, str], rows: Sequence[int], name: str) -> tuple[str, ...]:
    if "study" not in mapping:
        raise DataError(
            f"{name} has no study column. Columns: {', '.join(raw.headers)}. "
            f"State it: columns={{'study': {raw.headers[0]!r}}}."
        )
    column = raw.columns[raw.headers.index(mapping["study"])]
    labels = tuple(_text(column[i]) for i in rows)
    for i, label in zip(rows, labels, strict=True):
        if not label:
            raise DataError(f"{name}, line {raw.row[i]}: the study has no name. Give every study a label of its own.")
    return labels


def _values(sheet: _Sheet, canonical: str, header: str) -> NDArray[Any]:
    cells = sheet.cells(header)
    if canonical in TEXT:
        return np.array([_text(c) for c in cells], dtype=object)
    out = np.empty(len(cells))
    for i, cell in enumerate(cells):
        place = sheet.place(i, header)
        out[i] = number(cell, sheet.raw.decimal, place)
        check_rule(canonical, float(out[i]), place)
    return out


def _own(sheet: _Sheet, header: str) -> NDArray[Any]:
    """Return a column bayesmeta has no name for: numbers if every cell is one or blank, else text."""
    cells = sheet.cells(header)
    numbers = [math.nan if is_missing(c) else parse_number(c, sheet.raw.decimal) for c in cells]
    if all(n is not None for n in numbers) and not all(is_missing(c) for c in cells):
        return np.array(numbers, dtype=np.float64)
    return np.array([_text(c) for c in cells], dtype=object)


def _check_arms(sheet: _Sheet, values: Mapping[str, NDArray[Any]]) -> None:
    for events, n in (("events_treatment", "n_treatment"), ("events_control", "n_control"), ("events", "n")):
        if events in values and n in values:
            above = np.flatnonzero(values[events] > values[n])
            if len(above):
                i = int(above[0])
                raise DataError(
                    f"{sheet.place(i, sheet.mapping[events])}: {values[events][i]:g} events among "
                    f"{values[n][i]:g} patients (column {sheet.mapping[n]!r}): events cannot exceed patients. "
                    "Check whether the columns are swapped."
                )


def _complete(
    sheet: _Sheet, values: Mapping[str, Array], families: Mapping[str, tuple[str, ...]]
) -> tuple[NDArray[np.bool_], list[Exclusion]]:
    """Return which rows have every number of one family, and the others with what they lack."""
    keep = np.zeros(len(sheet.study), dtype=bool)
    for needed in families.values():
        keep |= np.all([np.isfinite(values[name]) for name in needed], axis=0)
    first = next(iter(families.values()))
    excluded = [
        Exclusion(
            sheet.study[i],
            f"no value for {', '.join(n for n in first if not np.isfinite(values[n][i]))}",
            sheet.raw.row[sheet.rows[i]],
        )
        for i in np.flatnonzero(~keep)
    ]
    return keep, excluded


def _unique(
    sheet: _Sheet, kept: NDArray[np.intp], year: NDArray[Any] | None, duplicates: Duplicates
) -> tuple[str, ...]:
    """Return unique labels: the year tells two studies of the same authors apart, nothing else does by itself."""
    labels = [sheet.study[i] for i in kept]
    if year is not None:
        repeated = {label for label, count in Counter(labels).items() if count > 1}
        labels = [
            f"{label} {year[i]:g}" if label in repeated and np.isfinite(year[i]) else label
            for label, i in zip(labels, kept, strict=True)
        ]
    if duplicates == "number":
        return _numbered(labels)
    lines: dict[str, int] = {}
    for label, i in zip(labels, kept, strict=True):
        line = sheet.raw.row[sheet.rows[i]]
        if label in lines:
            raise DataError(
                f"{sheet.name}, lines {lines[label]} and {line}: study {label!r} appears twice. "
                "If the rows are different outcomes, name the column (columns={'outcome': ...}) and choose one with "
                "outcome=...; if they are separate samples, give them different labels or pass duplicates='number'."
            )
        lines[label] = line
    return tuple(labels)


def _numbered(labels: Sequence[str]) -> tuple[str, ...]:
    total, seen, taken = Counter(labels), Counter[str](), set(labels)
    out = []
    for label in labels:
        name = label
        while total[label] > 1 and name in taken:
            seen[label] += 1
            name = f"{label} ({seen[label]})"
        taken.add(name)
        out.append(name)
    return tuple(out)
