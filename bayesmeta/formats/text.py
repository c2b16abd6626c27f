"""CSV, semicolon and tab separated text: encoding, separator and decimal mark found from the content."""

import csv
import io
import re
from collections.abc import Sequence

from bayesmeta.errors import DataError
from bayesmeta.formats.limits import check_shape, check_size
from bayesmeta.formats.raw import Cell, RawTable, from_rows

SEPARATORS = {",": "CSV", ";": "CSV (semicolon)", "\t": "TSV"}
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


def read_text(data: bytes, name: str, *, decimal: str | None = None) -> RawTable:
    """Return the table in a separated text file.

    Parameters
    ----------
    data
        The file's bytes.
    name
        The file's name, for messages.
    decimal
        ``"."`` or ``","``; found from the content when None.

    Raises
    ------
    DataError
        If the text is not a table, a row is ragged, or the decimal mark is ambiguous.
    """
    check_size(name, len(data))
    text, encoding = decode(data, name)
    stated = re.match(r'"?sep=(.)"?\r?\n', text)
    separator = stated.group(1) if stated else separator_of(text.lstrip()[:100_000].split("\n", 1)[0])
    lines = _parse(text, separator, name)[1 if stated else 0 :]
    start = next((i for i, (_, cells) in enumerate(lines) if any(c.strip() for c in cells)), len(lines))
    if start == len(lines):
        raise DataError(f"{name} is empty. Give a header line and one row per study.")
    kind = SEPARATORS.get(separator, f"text ({separator!r} separated)")
    header: list[Cell] = list(lines[start][1])
    rows: list[tuple[int, list[Cell]]] = [(line, list(cells)) for line, cells in lines[start + 1 :]]
    headers, columns, row, notes = from_rows(name, header, rows, kind=kind)
    mark = decimal or ("." if separator == "," else _decimal(columns, name))
    notes = (f"encoding {encoding}", *((f"decimal mark {mark!r}",) if mark != "." else ()), *notes)
    return RawTable(headers, columns, row, kind, encoding=encoding, decimal=mark, notes=notes)


def separator_of(header: str) -> str:
    """Return the separator of a header line: the one that occurs most often outside quotation marks."""
    unquoted = re.sub(r'"[^"]*"', "", header)
    return max(SEPARATORS, key=unquoted.count)


def _parse(text: str, separator: str, name: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
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
            "mark? Use one throughout, or state it with decimal=',' or decimal='.'."
        )
    if all(_THOUSANDS.fullmatch(c) for c in commas):
        raise DataError(
            f"{name}: {commas[0]!r} may be {commas[0].replace(',', '.')} (decimal comma) or "
            f"{commas[0].replace(',', '')} (thousands): state it with decimal=',', or write it without separators."
        )
    return ","
