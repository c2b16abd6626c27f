"""Cells that hold two numbers of one arm, as papers print them: ``12/120 (10%)``, ``12 (10%)``, ``5.1 (1.2)``."""

import re
from collections.abc import Mapping
from dataclasses import replace

from bayesmeta.errors import DataError
from bayesmeta.formats import Cell, RawTable, holds_no_number
from bayesmeta.reading.names import normalise

_NUMBER = r"[+\-\u2212]?\d+(?:[.,\u00b7]\d+)?"
_PERCENT = r"[\[(]\s*(?P<percent>\d+(?:[.,\u00b7]\d+)?)\s*%?\s*[\])]"
_EVENTS_OF_N = re.compile(rf"\s*(?P<events>\d+)\s*(?:/|of|out of)\s*(?P<n>\d+)\s*(?:{_PERCENT})?\s*")
_EVENTS = re.compile(rf"\s*(?P<events>\d+)\s*{_PERCENT}\s*")
_MEAN_AND_SD = re.compile(
    rf"\s*(?P<mean>{_NUMBER})\s*(?:[\[(]\s*(?:SD\s*[:=]?)?\s*(?P<sd>{_NUMBER})\s*[\])]|(?:\u00b1|\+/-|\+-)\s*(?P<sd2>{_NUMBER}))\s*",
    re.IGNORECASE,
)
_NOT_OF_AN_ARM = frozenset(
    [
        "date",
        "year",
        "years",
        "month",
        "months",
        "period",
        "page",
        "pages",
        "age",
        "ages",
        "duration",
        "follow",
        "followup",
    ]
)
_SAID = re.compile(
    r"n\s*/\s*n|n\s*\(\s*%\s*\)|\(?\s*%\s*\)?|no\.?\s+of|number\s+of|\b(events?|deaths?|totals?|means?|sds?|n|"
    r"std\.?\s*dev\.?|standard\s+deviations?)\b|\u00b1|\+/-",
    re.IGNORECASE,
)
"""What such a header says of its numbers; the rest is the arm."""


def with_pairs_split(raw: RawTable, stated: Mapping[str, str]) -> tuple[RawTable, dict[str, str]]:
    """Return the table with every such column made one of its own for each number, and the user's columns in it.

    Means with standard deviations need a header that says so: the number in brackets may as well be a standard error.

    Raises
    ------
    DataError
        If a printed percentage is not that of the counts beside it.
    """
    headers, columns, notes, words = list(raw.headers), list(raw.columns), list(raw.notes), dict(stated)
    for header, cells in zip(raw.headers, raw.columns, strict=True):
        parts = _parts(raw, header, cells)
        if not parts:
            continue
        arm = _SAID.sub(" ", header).strip(" ,;:()[]/-")
        names = {quantity: " ".join(f"{quantity} {arm}".split()) for quantity in parts}
        if {*names.values()} & ({*headers} - {header}):
            continue
        at = headers.index(header)
        headers[at : at + 1] = names.values()
        columns[at : at + 1] = parts.values()
        what = {"events": "events with their percentages", "n": "events and patients"}
        last = [*parts][-1]
        notes.append(
            f"column {header!r} holds {what.get(last, 'means with standard deviations')}, read as "
            + " and ".join(map(repr, names.values()))
        )
        for canonical, chosen in stated.items():
            quantity, _, role = canonical.partition("_")
            if chosen == header and quantity in names:
                words |= {"_".join(filter(None, (q, role))): name for q, name in names.items()} | words
                words[canonical] = names[quantity]
    return replace(raw, headers=tuple(headers), columns=tuple(columns), notes=tuple(notes)), words


def _parts(raw: RawTable, header: str, cells: tuple[Cell, ...]) -> dict[str, tuple[Cell, ...]]:
    """Return quantity to cells; empty where a cell of the column is anything else."""
    said = {*normalise(header).split("_")}
    if said & _NOT_OF_AN_ARM:
        return {}
    counts = _matches(cells, _EVENTS_OF_N)
    if counts and all(m is None or int(m["events"]) <= int(m["n"]) for m in counts):
        _check_percentages(raw, header, cells, counts)
        return {q: tuple(m and m[q] for m in counts) for q in ("events", "n")}
    events = _matches(cells, _EVENTS)
    if events and ("%" in header or all(m is None or "%" in m[0] for m in events)):
        return {"events": tuple(m and m["events"] for m in events)}
    means = _matches(cells, _MEAN_AND_SD)
    if means and (said & {"sd", "sds"} or {"standard", "deviation"} <= said):
        pairs = [(None, None) if m is None else (m["mean"], m["sd"] or m["sd2"]) for m in means]
        return {q: tuple(pair[i] and _plain(pair[i]) for pair in pairs) for i, q in enumerate(("mean", "sd"))}
    return {}


def _matches(cells: tuple[Cell, ...], form: re.Pattern[str]) -> list[re.Match[str] | None]:
    """Return the match of each cell, None for a blank one; empty where a cell is anything else, or all are blank."""
    found = [form.fullmatch(cell) if isinstance(cell, str) else None for cell in cells]
    fits = all(m is not None or holds_no_number(cell) for m, cell in zip(found, cells, strict=True))
    return found if fits and any(found) else []


def _plain(number: str | None) -> str:
    return (number or "").replace("\u00b7", ".")


def _check_percentages(raw: RawTable, header: str, cells: tuple[Cell, ...], counts: list[re.Match[str] | None]) -> None:
    for row, cell, m in zip(raw.row, cells, counts, strict=True):
        if m is None or m["percent"] is None or not int(m["n"]):
            continue
        printed = _plain(m["percent"]).replace(",", ".")
        share = 100.0 * int(m["events"]) / int(m["n"])
        # Half a unit of the last digit printed, and as much again for a table that cut digits off.
        if abs(share - float(printed)) > 10.0 ** -len(printed.partition(".")[2]):
            raise DataError(
                f"{raw.unit} {row}, column {header!r}, {cell!r}: {m['events']} of {m['n']} is {share:.3g}%, not "
                f"{printed}%. Correct the cell, or leave the percentage out."
            )
