"""Which rows belong to the outcome chosen, and what each study is called."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from bayesmeta.errors import DataError, option
from bayesmeta.formats import Cell, RawTable, is_missing
from bayesmeta.reading.names import FALLBACK_LABELS, normalise
from bayesmeta.reading.options import Duplicates


def text(cell: Cell) -> str:
    """Return a cell as text, whole numbers without a point, absent as empty."""
    if is_missing(cell):
        return ""
    if isinstance(cell, float) and math.isfinite(cell) and cell == math.floor(cell):
        return f"{cell:.0f}"
    return str(cell).strip()


def column_of(raw: RawTable, header: str) -> tuple[Cell, ...]:
    """Return the cells under a header."""
    return raw.columns[raw.headers.index(header)]


def choose_outcome(
    raw: RawTable, mapping: Mapping[str, str], outcome: str | None, name: str
) -> tuple[tuple[int, ...], str | None]:
    """Return the positions of the rows of one outcome, and its name as the file has it.

    Raises
    ------
    DataError
        If there are several and none is chosen, or the one chosen does not exist.
    """
    every = tuple(range(len(raw.row)))
    if "outcome" not in mapping:
        if outcome is not None:
            raise DataError(
                f"{name} has no outcome column, so {option('outcome', outcome)} cannot be chosen. Leave it out, or "
                f"state the column: {option('columns', ..., key='outcome')}. Columns: {', '.join(raw.headers)}."
            )
        return every, None
    labels = [text(cell) for cell in column_of(raw, mapping["outcome"])]
    known = list(dict.fromkeys(label for label in labels if label))
    if outcome is None:
        if len(known) > 1:
            listed = ", ".join(map(repr, known[:50])) + (", ..." if len(known) > 50 else "")
            raise DataError(f"{name} holds {len(known)} outcomes: {listed}. Choose one with {option('outcome')}.")
        if known and "" in labels:
            line = raw.row[labels.index("")]
            raise DataError(
                f"{name}, {raw.unit} {line}: no outcome, while other rows have {known[0]!r}. Fill in the outcome of "
                "every row."
            )
        return every, known[0] if known else None
    chosen = outcome if outcome in known else _by_part(raw, known, outcome)
    if chosen is None:
        close = get_close_matches(outcome, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise DataError(f"{name} has no outcome {outcome!r}.{hint} Outcomes: {', '.join(map(repr, known[:50]))}.")
    return tuple(i for i in every if labels[i] == chosen), chosen


def choose_subgroup(
    raw: RawTable, mapping: Mapping[str, str], rows: tuple[int, ...], subgroup: str | None, name: str
) -> tuple[int, ...]:
    """Return those of some rows that belong to one subgroup; all of them where none is chosen.

    Raises
    ------
    DataError
        If there is no such subgroup.
    """
    if subgroup is None:
        return rows
    if "subgroup" not in mapping:
        raise DataError(
            f"{name} has no subgroup column, so {option('subgroup', subgroup)} cannot be chosen. State the column: "
            f"{option('columns', ..., key='subgroup')}. Columns: {', '.join(raw.headers)}."
        )
    labels = [text(cell) for cell in column_of(raw, mapping["subgroup"])]
    found = tuple(i for i in rows if labels[i] == subgroup)
    if not found:
        known = list(dict.fromkeys(labels[i] for i in rows if labels[i]))
        raise DataError(f"{name} has no subgroup {subgroup!r}. Subgroups: {', '.join(map(repr, known[:50]))}.")
    return found


def _by_part(raw: RawTable, known: Sequence[str], outcome: str) -> str | None:
    """Return the one analysis of a review with that number or that name."""
    if not raw.canonical:
        return None
    found = [label for label in known if outcome in label.split(" ", 1)]
    return found[0] if len(found) == 1 else None


def study_labels(raw: RawTable, mapping: Mapping[str, str], rows: Sequence[int], name: str) -> tuple[str, ...]:
    """Return a label for each row: the study column, or the authors with the year, or a trial name.

    Raises
    ------
    DataError
        If there is no such column or a label is blank.
    """
    source, headers = _label_headers(raw, mapping, name)
    parts = [[text(cell) for cell in column_of(raw, header)] for header in headers]
    labels = tuple(_joined([part[i] for part in parts]) for i in rows)
    for i, label in zip(rows, labels, strict=True):
        if not label:
            raise DataError(
                f"{name}, {raw.unit} {raw.row[i]}, column {source!r}: the study has no name. "
                "Give every study a label of its own."
            )
    return labels


def _joined(parts: Sequence[str]) -> str:
    label = ""
    for part in parts:
        # "Smith 2001" needs no second 2001.
        if part and part not in label:
            label = f"{label} {part}".strip()
    return label


def _label_headers(raw: RawTable, mapping: Mapping[str, str], name: str) -> tuple[str, tuple[str, ...]]:
    if "study" in mapping:
        return mapping["study"], (mapping["study"],)
    if "author" in mapping:
        return mapping["author"], tuple(mapping[key] for key in ("author", "year") if key in mapping)
    for wanted in FALLBACK_LABELS:
        for header in raw.headers:
            if normalise(header) == wanted and header not in mapping.values():
                return header, (header,)
    raise DataError(
        f"{name} has no study column. Columns: {', '.join(raw.headers)}. "
        f"Say which column names the studies: {option('columns', ..., key='study')}."
    )


def unique_labels(
    labels: Sequence[str],
    year: Sequence[str] | None,
    subgroup: Sequence[str] | None,
    lines: Sequence[int],
    duplicates: Duplicates,
    place: str,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return unique labels, and those that were not unique.

    The year tells two studies of the same authors apart, nothing else does by itself.

    Parameters
    ----------
    labels, year, lines
        ``(k,)`` each; `year` is empty where unknown.
    subgroup
        Given for reviews, whose own analysis counts the parts of a split study as rows of their own.
    duplicates
        What to do with labels that are still the same.
    place
        File and unit of `lines`, for messages.

    Raises
    ------
    DataError
        If a label appears twice and `duplicates` is ``"error"``.
    """
    out = list(labels)
    if year is not None:
        out = _extended(out, list(year))
    if subgroup is not None:
        out = _extended(out, [f"({s})" if s else "" for s in subgroup])
    repeated = tuple(label for label, count in Counter(out).items() if count > 1)
    if duplicates != "error":
        return _numbered(out), repeated
    seen: dict[str, int] = {}
    for label, line in zip(out, lines, strict=True):
        if label in seen:
            raise DataError(
                f"{place}s {seen[label]} and {line}: study {label!r} appears twice. "
                "Rows of one study are not independent, and pooling them as studies makes the answer look surer than "
                f"it is. If they are several effects of the study, keep them together with "
                f"{option('duplicates', 'cluster')} for the model 'multilevel'; if they are different outcomes, name "
                f"their column ({option('columns', ..., key='outcome')}) and choose one with {option('outcome')}; if "
                f"they are separate samples, say {option('duplicates', 'number')}; if one is a copy, delete it."
            )
        seen[label] = line
    return tuple(out), ()


def _extended(labels: list[str], extra: list[str]) -> list[str]:
    repeated = {label for label, count in Counter(labels).items() if count > 1}
    return [f"{a} {b}" if a in repeated and b and b not in a else a for a, b in zip(labels, extra, strict=True)]


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
