"""What a reader hands on: the cells of a table as they stand in the file, not yet judged."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from bayesmeta.errors import DataError, option

# Text formats give strings, spreadsheets and data frames give numbers; None is a blank cell.
type Cell = str | float | bool | None

# A cell that stands for "no value" in the files people have (R, Excel, SAS and hand-made tables).
MISSING_TEXTS = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", ".", "nr", "not reported"})
# Where a number is expected these stand for none, too; as the name of a study or a group they may mean something.
NO_NUMBER = MISSING_TEXTS | frozenset(
    {"-", "–", "—", "--", "ne", "nd", "n.a.", "n.a", "n.d.", "n.r.", "n.e.", "nk", "n/r", "n/e", "missing", "unknown"}
    | {"not available", "not estimable", "not applicable", "no data", "unclear", "..", "...", "#value!", "#div/0!"}
)


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


def header_and_rows(
    name: str, lines: list[tuple[int, list[Cell]]], header_lines: tuple[int, int], kind: str
) -> tuple[list[Cell], list[tuple[int, list[Cell]]]]:
    """Return the column names and the rows below them.

    Parameters
    ----------
    name, kind
        Of the file and its format, for messages.
    lines
        Line number and cells of every line that is not blank.
    header_lines
        First and last line of the names, ``(0, 0)`` where the user did not say. Several are joined word by word, a
        blank cell of all but the last standing for its neighbour on the left (merged cells).

    Raises
    ------
    DataError
        If there is no such line, or the first line looks like a title or like the upper of two lines of names.
    """
    first, last = header_lines
    if first:
        chosen = [cells for line, cells in lines if first <= line <= last]
        if not chosen:
            raise DataError(f"{name} has no line {first}: it ends at line {lines[-1][0] if lines else 0}.")
        return _joined_names(chosen), [(line, cells) for line, cells in lines if line > last]
    (line, header), rows = lines[0], lines[1:]
    names = [cell for cell in header if not is_blank(cell)]
    if len(rows) > 1:
        (below, under), (_, third) = rows[0], rows[1]
        filled = sum(not is_blank(cell) for cell in under)
        if len(names) == 1 < filled <= sum(not is_blank(cell) for cell in third) + 1:
            raise DataError(
                f"{name}: line {line} ({str(names[0])[:40]!r}) looks like a title above the table, so that this {kind} "
                f"file has no column names where they are expected. Say where they are: {option('header_row', below)}."
            )
        if len(names) < len(header) and _names_only(under) and filled > len(names) and not _names_only(third):
            raise DataError(
                f"{name} has two lines of column names ({line} and {below}): {', '.join(map(str, names))} above "
                f"{', '.join(str(c) for c in under if not is_blank(c))}. Join them with "
                f"{option('header_row', f'{line}-{below}')}, or take one with {option('header_row', below)}."
            )
    return header, rows


def _names_only(cells: list[Cell]) -> bool:
    return not any(isinstance(c, float) or (isinstance(c, str) and any(d.isdigit() for d in c[:1])) for c in cells)


def _joined_names(lines: list[list[Cell]]) -> list[Cell]:
    width = max(map(len, lines))
    words: list[list[str]] = [[] for _ in range(width)]
    for depth, cells in enumerate(lines):
        left = ""
        for j in range(width):
            cell = cells[j] if j < len(cells) else None
            own = "" if is_blank(cell) else str(cell).strip()
            left = own or (left if depth < len(lines) - 1 else "")
            if left:
                words[j].append(left)
    return [" ".join(word) for word in words]


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


def holds_no_number(cell: Cell) -> bool:
    """Return whether a cell in a column of numbers stands for an unknown one."""
    return is_missing(cell) or (isinstance(cell, str) and cell.strip().lower() in NO_NUMBER)


def is_blank(cell: Cell) -> bool:
    """Return whether there is nothing at all in a cell."""
    return (
        cell is None or (isinstance(cell, str) and not cell.strip()) or (isinstance(cell, float) and math.isnan(cell))
    )
