"""XLSX workbooks: the cells of one sheet, dates and errors told apart from numbers."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from xml.etree.ElementTree import Element

from bayesmeta.errors import DataError, option, unknown
from bayesmeta.formats.archive import Archive, open_archive
from bayesmeta.formats.hardened_xml import parse_xml
from bayesmeta.formats.limits import MAX_COLUMNS, MAX_ROWS, check_shape
from bayesmeta.formats.raw import Cell, RawTable, from_rows, header_and_rows, is_blank

# What this package calls the table of studies in the workbooks it writes, beside results and provenance.
OWN_SHEET = "studies"
_WORKBOOK = "xl/workbook.xml"
_REFERENCE = re.compile(r"([A-Z]{1,3})([1-9][0-9]{0,6})")
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_DATE_FORMATS = {*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)}  # built in, ECMA-376 part 1, 18.8.30


def is_xlsx(archive: Archive) -> bool:
    """Return whether the archive is a workbook."""
    return _WORKBOOK in archive.sizes


def read_xlsx(data: bytes, name: str, *, sheet: str | None = None, header_lines: tuple[int, int] = (0, 0)) -> RawTable:
    """Return the table in a workbook's only filled sheet, or in the one named.

    Raises
    ------
    DataError
        If the workbook is damaged, has several filled sheets and none is named, or holds a formula
        whose value was never computed.
    """
    archive = open_archive(data, name)
    sheets = _sheets(archive)
    if sheet is not None and sheet not in sheets:
        raise unknown(f"sheet in {name}:", sheet, sheets, DataError)
    strings, dates = _strings(archive), _date_styles(archive)
    wanted = {sheet: sheets[sheet]} if sheet is not None else sheets
    filled = {}
    for title, path in wanted.items():
        grid = _grid(archive, path, strings, dates)
        if any(not is_blank(cell) for _, cells in grid for cell in cells):
            filled[title] = grid
    if len(filled) > 1 and OWN_SHEET in filled:
        filled = {OWN_SHEET: filled[OWN_SHEET]}
    if len(filled) > 1:
        raise DataError(
            f"{name} has {len(filled)} sheets with data: {', '.join(map(repr, filled))}. "
            f"Choose one with {option('sheet')}."
        )
    if not filled:
        raise DataError(f"{name} is empty. Give a header line and one row per study.")
    title, grid = next(iter(filled.items()))
    width = max(len(cells) for _, cells in grid)
    while width and all(len(cells) < width or is_blank(cells[width - 1]) for _, cells in grid):
        width -= 1
    grid = [(line, (cells + [None] * width)[:width]) for line, cells in grid]
    header, rows = header_and_rows(name, grid, header_lines, "XLSX")
    check_shape(name, len(rows), width)
    padded = [(line, (cells + [None] * width)[:width]) for line, cells in rows]
    headers, columns, row, notes = from_rows(name, (header + [None] * width)[:width], padded, kind="XLSX")
    beyond = [f"sheet {title!r}"]
    return RawTable(headers, columns, row, "XLSX", notes=(*beyond, *notes))


def _sheets(archive: Archive) -> dict[str, str]:
    """Return sheet title to member path, hidden sheets left out."""
    relations = {}
    if (path := "xl/_rels/workbook.xml.rels") in archive.sizes:
        for item in parse_xml(archive.read(path), archive.name, {"Relationship"}):
            target = item.get("Target", "").lstrip("/")
            relations[item.get("Id", "")] = target if target.startswith("xl/") else f"xl/{target}"
    sheets = {}
    for item in parse_xml(archive.read(_WORKBOOK), archive.name, {"sheets", "sheet"}).iter("sheet"):
        path = relations.get(item.get(_RELATION, ""), "")
        if item.get("state", "visible") == "visible" and path in archive.sizes and "worksheets" in path:
            sheets[item.get("name", "")] = path
    if not sheets:
        raise DataError(f"{archive.name} is a workbook without a readable sheet. Save it again as XLSX, or as CSV.")
    return sheets


def _text(item: Element) -> str:
    # Phonetic hints (rPh) are pruned away by the parser, so every t is part of the text.
    return "".join(t.text or "" for t in item.iter("t"))


def _strings(archive: Archive) -> list[str]:
    path = "xl/sharedStrings.xml"
    if path not in archive.sizes:
        return []
    return [_text(item) for item in parse_xml(archive.read(path), archive.name, {"si", "r", "t"}).iter("si")]


def _date_styles(archive: Archive) -> set[str]:
    """Return the indices of the cell styles that show a number as a date or a time."""
    path = "xl/styles.xml"
    if path not in archive.sizes:
        return set()
    root = parse_xml(archive.read(path), archive.name, {"numFmts", "numFmt", "cellXfs", "xf"})
    custom = {
        item.get("numFmtId", "")
        for item in root.iter("numFmt")
        if re.search(r"[ymdhs]", re.sub(r'"[^"]*"|\[[^\]]*\]|\\.|General', "", item.get("formatCode", "")), re.I)
    }
    dates = custom | {str(i) for i in _DATE_FORMATS}
    cell_styles = root.find("cellXfs")
    return {
        str(i) for i, xf in enumerate(cell_styles if cell_styles is not None else ()) if xf.get("numFmtId") in dates
    }


def _grid(archive: Archive, path: str, strings: list[str], dates: set[str]) -> list[tuple[int, list[Cell]]]:
    root = parse_xml(archive.read(path), archive.name, {"sheetData", "row", "c", "v", "f", "is", "r", "t"})
    grid: list[tuple[int, list[Cell]]] = []
    cells_seen = 0
    for line, row in enumerate(root.iter("row"), start=1):
        cells: list[Cell] = []
        number = line
        for column, number_, cell in _cells(row, line, archive.name, strings, dates):
            number = number_
            cells_seen += max(column + 1 - len(cells), 0)
            check_shape(archive.name, cells_seen // max(column + 1, 1), column + 1)
            cells.extend([None] * (column + 1 - len(cells)))
            cells[column] = cell
        if any(not is_blank(cell) for cell in cells):
            grid.append((number, cells))
    return grid


def _cells(row: Element, line: int, name: str, strings: list[str], dates: set[str]) -> Iterator[tuple[int, int, Cell]]:
    position = -1
    declared = row.get("r", "")
    number = int(declared) if declared.isascii() and declared.isdigit() and len(declared) < 8 else line
    for item in row.iter("c"):
        reference = _REFERENCE.fullmatch(item.get("r", ""))
        position = _column_index(reference.group(1)) if reference else position + 1
        if position >= MAX_COLUMNS or number > 2**20 or line > MAX_ROWS:
            check_shape(name, max(number, line, MAX_ROWS + 1), position + 1)
        yield position, number, _value(item, f"{name}, cell {item.get('r', '?')}", strings, dates)


def _column_index(letters: str) -> int:
    index = 0
    for letter in letters:
        index = 26 * index + ord(letter) - ord("A") + 1
    return index - 1


def _value(item: Element, place: str, strings: list[str], dates: set[str]) -> Cell:
    kind, text = item.get("t", "n"), item.findtext("v")
    if kind == "inlineStr":
        return _text(item)
    if text is None or not text.strip():
        if item.find("f") is not None and kind == "n":
            raise DataError(
                f"{place} holds a formula whose value was not saved. "
                "Open the file in a spreadsheet program and save it."
            )
        return None
    try:
        if kind == "s":
            return strings[int(text)] if int(text) >= 0 else None
        if kind == "b":
            return bool(int(text))
        if kind == "n":
            value = float(text)
            return _date(value) if item.get("s") in dates else value
    except (ValueError, IndexError):
        raise DataError(f"{place}: {text[:40]!r} is not a valid cell of type {kind!r}. Save the file again.") from None
    return text


def _date(serial: float) -> str:
    """Return a date serial as text, so that it is never taken for a number."""
    try:
        return (datetime(1899, 12, 30) + timedelta(days=serial)).isoformat(sep=" ").removesuffix(" 00:00:00")
    except (OverflowError, ValueError):
        return f"date {serial:g}"
