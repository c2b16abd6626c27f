"""Cells that hold an interval, with or without its estimate, as papers print them: ``0.75 (0.55-1.02)``."""

import re
from collections.abc import Mapping
from dataclasses import replace

from bayesmeta.formats import Cell, RawTable, holds_no_number
from bayesmeta.reading.names import normalise

_NUMBER = r"[+\-\u2212\u2013]?\d+(?:[.,\u00b7]\d+)?"
_LIMITS = (
    r"(?:(?P<level>80|90|95|98|99)\s*%\s*(?:CI|CrI|confidence interval)[:,]?\s*)?"
    rf"(?P<low>{_NUMBER})\s*(?:to|;|,\s|-|\u2013|\u2014|\u2212|(?<=\d[.\u00b7]\d),|(?<=[.\u00b7]\d\d),|"
    rf"(?<=[.\u00b7]\d\d\d),)\s*(?P<high>{_NUMBER})"
)
_CELL = re.compile(rf"\s*(?P<center>{_NUMBER})\s*[\[(]\s*{_LIMITS}\s*[\])]\s*", re.IGNORECASE)
_INTERVAL = re.compile(rf"\s*[\[(]?\s*{_LIMITS}\s*[\])]?\s*", re.IGNORECASE)
_OF_AN_INTERVAL = re.compile(
    r"(.*_)?((80|90|95|98|99)?_?(ci|cri)(_?(80|90|95|98|99))?|(confidence|credible)_(interval|limits?)s?|interval)(_.*)?"
)
"""Headers, normalised, of a column that may hold intervals without their estimates."""
_OF_PATIENTS = frozenset(
    [
        "median",
        "medians",
        "iqr",
        "range",
        "quartile",
        "quartiles",
        "q1",
        "q3",
        "min",
        "max",
        "sd",
        "age",
        "ages",
        "bmi",
        "duration",
    ]
)
"""Words of headers of what describes patients, which is printed in the same way: ``61 (54-68)``."""
PARTS = ("estimate", "ci_low", "ci_high")


def with_intervals_split(raw: RawTable, stated: Mapping[str, str]) -> tuple[RawTable, dict[str, str], str]:
    """Return the table with such a column made three, what the three are, and the level that the cells state, or "".

    Only where every cell of exactly one column is an estimate with its interval, or an interval beneath a header that
    says so, or is blank, and the table has no limits in columns of their own; the column that the user states as
    ``estimate`` goes before all others.
    """
    if {"ci_low", "ci_high"} & set(stated):
        return raw, {}, ""
    found = {j: parts for j in _candidates(raw) if (parts := _split(raw.columns[j], _CELL)) is not None}
    wanted = stated.get("estimate") or stated.get("yi")
    if wanted in raw.headers:
        found = {j: parts for j, parts in found.items() if raw.headers[j] == wanted}
    if len(found) == 1:
        ((j, parts),) = found.items()
        center = "yi" if stated.get("yi") == raw.headers[j] else "estimate"
        wider, names = _with_columns(raw, j, parts[:3], "estimates with their intervals")
        return wider, dict(zip((center, *PARTS[1:]), names, strict=True)), _levels(parts[3])
    alone = {
        j: parts
        for j in _candidates(raw)
        if _OF_AN_INTERVAL.fullmatch(normalise(raw.headers[j]))
        and (parts := _split(raw.columns[j], _INTERVAL)) is not None
    }
    if found or len(alone) != 1:
        return raw, {}, ""
    ((j, parts),) = alone.items()
    wider, names = _with_columns(raw, j, (raw.columns[j], *parts[1:3]), "intervals")
    return wider, dict(zip(PARTS[1:], names[1:], strict=True)), _levels(parts[3])


def _candidates(raw: RawTable) -> list[int]:
    return [j for j, header in enumerate(raw.headers) if not _OF_PATIENTS & {*normalise(header).split("_")}]


def _levels(stated: tuple[Cell, ...]) -> str:
    return " and ".join(dict.fromkeys(f"{level}%" for level in stated if level))


def _with_columns(
    raw: RawTable, j: int, split: tuple[tuple[Cell, ...], ...], what: str
) -> tuple[RawTable, tuple[str, str, str]]:
    """Return the table with column ``j`` made the first of three, the others at the end, and their headers."""
    header = raw.headers[j]
    names = (header, f"{header}, lower limit", f"{header}, upper limit")
    columns = list(raw.columns)
    columns[j] = split[0]
    note = f"column {header!r} holds {what}, and was split into {'three' if what.startswith('est') else 'two'}"
    wider = replace(raw, headers=(*raw.headers, *names[1:]), columns=(*columns, *split[1:]), notes=(*raw.notes, note))
    return wider, names


def _split(cells: tuple[Cell, ...], form: re.Pattern[str]) -> tuple[tuple[Cell, ...], ...] | None:
    """Return centre, limits and the levels stated in cells of that form, or None where a cell is anything else."""
    rows: list[tuple[Cell, ...]] = []
    for cell in cells:
        match = form.fullmatch(cell) if isinstance(cell, str) else None
        if match is None and not holds_no_number(cell):
            return None
        said = {} if match is None else match.groupdict()
        parts = (said.get("center"), said.get("low"), said.get("high"), said.get("level"))
        rows.append(tuple(part and part.replace("\u00b7", ".") for part in parts))
    if all(row[1] is None for row in rows):
        return None
    return tuple(zip(*rows, strict=True))
