"""CSV, semicolon and tab separated text: encoding, separator and decimal mark found from the content."""

import csv
import io
import re
from collections.abc import Sequence

from bayesmeta.errors import DataError, option
from bayesmeta.formats.limits import check_shape, check_size
from bayesmeta.formats.raw import Cell, RawTable, from_rows, header_and_rows

SEPARATORS = {",": "CSV", ";": "CSV (semicolon)", "\t": "TSV", " ": "text separated by spaces"}
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_COMMA_NUMBER = re.compile(r"[+\-−]?\d*,\d+([eE][+-]?\d+)?")
_POINT_NUMBER = re.compile(r"[+\-−]?\d*\.\d+([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+\-−]?[1-9]\d{0,2}(,\d{3})+")


def decode(data: bytes, name: str) -> tuple[str, str]:
    """Return the text and the encoding it was read with.

    Raises
    ------
    DataError
        If the bytes are not text.
    """
    encoding = next((e for bom, e in _BOMS if data.startswith(bom)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        if encoding != "utf-8":
            raise DataError(
                f"{name} starts like a {encoding} text but is not valid {encoding}: it is damaged or cut off. "
                "Export it again as CSV, UTF-8."
            ) from None
        # Western European single-byte text: Windows adds printable characters at 0x80-0x9f.
        encoding = "cp1252" if any(0x80 <= b <= 0x9F for b in data) else "latin-1"
        text = data.decode(encoding, errors="replace")
        if "�" in text:
            raise DataError(
                f"{name} is neither UTF-8, UTF-16 nor Latin-1 text. Export it again as CSV, UTF-8."
            ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(
            f"{name}, line {line}: a NUL byte, so this is not a text file (or it is UTF-16 without its mark). "
            "Export it again as CSV, UTF-8."
        )
    return text, encoding


def read_text(
    data: bytes,
    name: str,
    *,
    decimal: str | None = None,
    thousands: str | None = None,
    header_lines: tuple[int, int] = (0, 0),
) -> RawTable:
    """Return the table in a separated text file.

    Parameters
    ----------
    data
        The file's bytes.
    name
        The file's name, for messages.
    decimal
        ``"."`` or ``","``; found from the content when None.
    thousands
        The mark between thousands, where the user stated one.
    header_lines
        First and last line of the column names, counted from 1; ``(0, 0)`` where they are the first line that is
        not blank.

    Raises
    ------
    DataError
        If the text is not a table, a row is ragged, or the decimal mark is ambiguous.
    """
    check_size(name, len(data))
    text, encoding = decode(data, name)
    stated = re.match(r'"?sep=(.)"?\r?\n', text)
    separator = stated.group(1) if stated else _separator(text[:100_000].splitlines(), header_lines[0])
    lines = _parse(text, separator, name)[1 if stated else 0 :]
    start = next((i for i, (_, cells) in enumerate(lines) if any(c.strip() for c in cells)), len(lines))
    if start == len(lines):
        raise DataError(f"{name} is empty. Give a header line and one row per study.")
    kind = SEPARATORS.get(separator, f"text ({separator!r} separated)")
    filled: list[tuple[int, list[Cell]]] = [(line, list(cells)) for line, cells in lines[start:]]
    header, rows = header_and_rows(name, filled, header_lines, kind)
    if len(rows) > 1 and all(len(cells) == len(header) + 1 for _, cells in rows):
        # R's write.table names the rows and gives that column no header.
        header = ["row name", *header]
    if separator == " ":
        _check_spaces(name, header, rows)
    headers, columns, row, notes = from_rows(name, header, rows, kind=kind)
    known = decimal or {",": ".", ".": ","}.get(thousands or "")
    mark = known or ("." if separator == "," else _decimal(columns, name))
    notes = (f"encoding {encoding}", *((f"decimal mark {mark!r}",) if mark != "." else ()), *notes)
    return RawTable(headers, columns, row, kind, encoding=encoding, decimal=mark, notes=notes)


def _separator(lines: list[str], header: int) -> str:
    """Return the separator of the header line, or, where that is a title, of the lines below it."""
    filled = [line for line in lines if line.strip()][:10]
    first = lines[header - 1] if 0 < header <= len(lines) else (filled or [""])[0]
    own = separator_of(first)
    return own if own in re.sub(r'"[^"]*"', "", first) and own != " " else separator_of("\n".join([first, *filled[1:]]))


def separator_of(header: str) -> str:
    """Return the separator of a header line: the one that occurs most often outside quotation marks."""
    unquoted = re.sub(r'"[^"]*"', "", header)
    best = max((s for s in SEPARATORS if s != " "), key=unquoted.count)
    return " " if best not in unquoted and len(unquoted.split()) > 2 else best


def _check_spaces(name: str, header: list[Cell], rows: list[tuple[int, list[Cell]]]) -> None:
    for line, cells in rows:
        if len(cells) != len(header):
            raise DataError(
                f"{name}, line {line}: the file is separated by spaces, and this line has {len(cells)} words where the "
                f"header has {len(header)}. Put names that contain a space in quotation marks, or export it as CSV."
            )


def _parse(text: str, separator: str, name: str) -> list[tuple[int, list[str]]]:
    spaces = separator == " "
    if spaces:
        text = "\n".join(line.strip() for line in text.splitlines())
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=spaces)
    lines: list[tuple[int, list[str]]] = []
    start = 1
    try:
        for cells in reader:
            if cells:
                check_shape(name, len(lines), len(cells))
                lines.append((start, cells))
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{name}, line {start}: {error}. Check the quotation marks on this line, or export the file again as CSV."
        ) from None
    return lines


def _decimal(columns: Sequence[Sequence[Cell]], name: str) -> str:
    cells = [c.strip() for column in columns for c in column if isinstance(c, str)]
    commas = [c for c in cells if _COMMA_NUMBER.fullmatch(c) or _THOUSANDS.fullmatch(c)]
    if not commas:
        return "."
    points = [c for c in cells if _POINT_NUMBER.fullmatch(c)]
    if points:
        raise DataError(
            f"{name} has numbers with a comma ({commas[0]!r}) and with a point ({points[0]!r}): which is the decimal "
            f"mark? Use one throughout, or state it with {option('decimal', ',')} or {option('decimal', '.')}."
        )
    if all(_THOUSANDS.fullmatch(c) for c in commas):
        raise DataError(
            f"{name}: {commas[0]!r} may be {commas[0].replace(',', '.')} (decimal comma) or "
            f"{commas[0].replace(',', '')} (thousands): state it with {option('decimal', ',')} or "
            f"{option('thousands', ',')}."
        )
    return ","
