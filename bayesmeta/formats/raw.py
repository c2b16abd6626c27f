"""What a reader hands on: the cells of a table as they stand in the file, not yet judged."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from bayesmeta.errors import DataError

# Text formats give strings, spreadsheets and data frames give numbers; None is a blank cell.
type Cell = str | float | bool | None

# A cell that stands for "no value" in the files people have (R, Excel, SAS and hand-made tables).
MISSING_TEXTS = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", ".", "nr", "not reported"})


@dataclass(frozen=True, slots=True, eq=False)
class RawTable:
    """A table as it stands in its file.

    Parameters
    ----------
    headers
        ``(p,)`` unique column names.
    columns
        ``p`` tuples of ``k`` cells.
    row
        ``(k,)`` line of each row in the file, 1-based and header included.
    format
        What the file is, e.g. ``"CSV"``.
    encoding
        Of a text file, as found.
    decimal
        The decimal mark of text cells, ``"."`` or ``","``.
    canonical
        Whether `headers` are bayesmeta's own names already (the reader knew what each cell means).
    unit
        What `row` counts: ``"line"`` of a file or ``"row"`` of a data frame.
    skip
        Position of a row that is not to be analysed, and why.
    origin
        What the file calls a column, where it differs from the header.
    notes
        What was assumed or left out, one sentence each.
    published
        Pooled results the file carries, one mapping of field name to text each.
    """

    headers: tuple[str, ...]
    columns: tuple[tuple[Cell, ...], ...]
    row: tuple[int, ...]
    format: str
    encoding: str = ""
    decimal: str = "."
    canonical: bool = False
    unit: str = "line"
    skip: Mapping[int, str] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    published: tuple[Mapping[str, str], ...] = ()


def is_missing(cell: Cell) -> bool:
    """Return whether a cell holds no value."""
    if cell is None:
        return True
    if isinstance(cell, str):
        return cell.strip().lower() in MISSING_TEXTS
    return isinstance(cell, float) and math.isnan(cell)


def from_rows(
    name: str, header: list[Cell], rows: list[tuple[int, list[Cell]]], *, kind: str, unit: str = "line"
) -> tuple[tuple[str, ...], tuple[tuple[Cell, ...], ...], tuple[int, ...], tuple[str, ...]]:
    """Return headers, columns, lines and notes of a rectangular table.

    Blank lines are passed over; a column without a header is left out and noted (R's row numbers).

    Parameters
    ----------
    name
        Of the file, for messages.
    header
        Cells of the header line.
    rows
        Line number and cells of each further line.
    kind
        The format's name, for messages.
    unit
        What the line numbers count.

    Raises
    ------
    DataError
        If a row has another number of cells than the header, two columns share a name, or there is no row.
    """
    labels = ["" if is_blank(cell) else str(cell).strip() for cell in header]
    while labels and not labels[-1]:
        labels.pop()
    filled = [(line, cells) for line, cells in rows if not all(is_blank(c) for c in cells)]
    if not any(labels) or not filled:
        raise DataError(f"{name}: this {kind} file has no data rows. Give a header line and one row per study.")
    width = len(header)
    for line, cells in filled:
        if len(cells) != width:
            raise DataError(
                f"{name}, {unit} {line} (starts {str(cells[0])[:40]!r}): "
                f"{len(cells)} cells, but the header has {width}. "
                "Quote cells that contain the separator, or add the missing ones."
            )
    seen: dict[str, int] = {}
    for position, label in enumerate(labels, start=1):
        if label and label in seen:
            raise DataError(
                f"{name}: columns {seen[label]} and {position} are both called {label!r}. "
                "Give each column its own name."
            )
        seen[label] = position
    kept = [j for j, label in enumerate(labels) if label]
    notes = tuple(
        f"column {j + 1} has no header and was not read"
        for j in range(width)
        if j not in kept and any(not is_blank(cells[j]) for _, cells in filled)
    )
    columns = tuple(tuple(cells[j] for _, cells in filled) for j in kept)
    return tuple(labels[j] for j in kept), columns, tuple(line for line, _ in filled), notes


def is_blank(cell: Cell) -> bool:
    """Return whether there is nothing at all in a cell."""
    return (
        cell is None or (isinstance(cell, str) and not cell.strip()) or (isinstance(cell, float) and math.isnan(cell))
    )
