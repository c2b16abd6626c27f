"""Cells that hold an estimate and its interval together, as papers print them: ``0.75 (0.55-1.02)``."""

import re
from collections.abc import Mapping
from dataclasses import replace

from bayesmeta.formats import Cell, RawTable, holds_no_number
from bayesmeta.reading.names import normalise

_NUMBER = r"[+\-\u2212\u2013]?\d+(?:[.,\u00b7]\d+)?"
_CELL = re.compile(
    rf"\s*({_NUMBER})\s*[\[(]\s*(?:(?P<level>80|90|95|98|99)\s*%\s*(?:CI|CrI|confidence interval)[:,]?\s*)?"
    rf"({_NUMBER})\s*(?:to|;|,\s|-|\u2013|\u2014|\u2212)\s*({_NUMBER})\s*[\])]\s*",
    re.IGNORECASE,
)
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

    Only where every cell of exactly one column is an estimate with its interval, or is blank, and the table has no
    limits in columns of their own; the column that the user states as ``estimate`` goes before all others.
    """
    found = [
        j
        for j, (header, cells) in enumerate(zip(raw.headers, raw.columns, strict=True))
        if not _OF_PATIENTS & {*normalise(header).split("_")} and _split(cells) is not None
    ]
    wanted = stated.get("estimate") or stated.get("yi")
    if wanted in raw.headers:
        found = [j for j in found if raw.headers[j] == wanted]
    if len(found) != 1 or {"ci_low", "ci_high"} & set(stated):
        return raw, {}, ""
    parts = _split(raw.columns[found[0]])
    assert parts is not None
    *split, levels = parts
    header = raw.headers[found[0]]
    center = "yi" if stated.get("yi") == header else "estimate"
    names = (header, f"{header}, lower limit", f"{header}, upper limit")
    columns = list(raw.columns)
    columns[found[0]] = split[0]
    note = f"column {header!r} holds estimates with their intervals, and was split into three"
    said = " and ".join(dict.fromkeys(f"{level}%" for level in levels if level))
    wider = replace(
        raw,
        headers=(*raw.headers, *names[1:]),
        columns=(*columns, *split[1:]),
        notes=(*raw.notes, note),
    )
    return wider, dict(zip((center, *PARTS[1:]), names, strict=True)), said


def _split(cells: tuple[Cell, ...]) -> tuple[tuple[Cell, ...], ...] | None:
    """Return three columns and the levels stated in the cells, or None where a cell is anything else."""
    rows: list[tuple[Cell, ...]] = []
    for cell in cells:
        match = _CELL.fullmatch(cell) if isinstance(cell, str) else None
        if match is None and not holds_no_number(cell):
            return None
        parts = (None, None, None, None) if match is None else (match[1], match[3], match[4], match["level"])
        rows.append(tuple(part and part.replace("\u00b7", ".") for part in parts))
    if all(row[0] is None for row in rows):
        return None
    return tuple(zip(*rows, strict=True))
