"""The registry of readers, and the functions that pick a reader from a file's content."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from bayesmeta.errors import DataError
from bayesmeta.formats.archive import is_zip, open_archive
from bayesmeta.formats.limits import MAX_ARCHIVE, check_size
from bayesmeta.formats.parquet import is_parquet, read_parquet
from bayesmeta.formats.raw import RawTable
from bayesmeta.formats.revman5_csv import is_revman5_csv, read_revman5_csv
from bayesmeta.formats.revman5_xml import is_xml, read_revman5_xml
from bayesmeta.formats.revman_web import read_revman_web
from bayesmeta.formats.text import read_text
from bayesmeta.formats.xlsx import is_xlsx, read_xlsx


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may state about a file: the marks of its numbers, the sheet of a workbook, where its header is."""

    decimal: str | None = None
    sheet: str | None = None
    thousands: str | None = None
    header_lines: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Reader:
    """One file format.

    Parameters
    ----------
    label
        The format's name as users know it.
    applies
        From the file's bytes and name, whether it is this format.
    read
        Bytes, file name and options to a table; raises DataError for everything that is wrong.
    """

    label: str
    applies: Callable[[bytes, str], bool]
    read: Callable[[bytes, str, Options], RawTable]


# In the order in which they are asked: the text reader takes what no other recognises.
READERS: dict[str, Reader] = {
    "xlsx": Reader(
        "Excel workbook (XLSX)",
        lambda data, name: is_zip(data) and is_xlsx(open_archive(data, name)),
        lambda data, name, options: read_xlsx(data, name, sheet=options.sheet, header_lines=options.header_lines),
    ),
    "revman_web": Reader(
        "RevMan Web data package (zip)",
        lambda data, name: is_zip(data),
        lambda data, name, options: read_revman_web(data, name),
    ),
    "parquet": Reader(
        "Parquet", lambda data, name: is_parquet(data), lambda data, name, options: read_parquet(data, name)
    ),
    "revman5_xml": Reader(
        "RevMan 5 (.rm5)", lambda data, name: is_xml(data), lambda data, name, options: read_revman5_xml(data, name)
    ),
    "revman5_csv": Reader(
        "RevMan 5 CSV export",
        lambda data, name: is_revman5_csv(data),
        lambda data, name, options: read_revman5_csv(data, name),
    ),
    "text": Reader(
        "CSV, TSV or semicolon separated text",
        lambda data, name: True,
        lambda data, name, options: read_text(
            data, name, decimal=options.decimal, thousands=options.thousands, header_lines=options.header_lines
        ),
    ),
}

# Files people try that hold no table we can read, by their first bytes.
_OTHER = {
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file (.xls, .doc): save it as .xlsx or CSV",
    b"%PDF": "a PDF: copy the table into a spreadsheet and save it as CSV or .xlsx",
    b"\x1f\x8b": "a gzip archive: unpack it first",
    b"7z\xbc\xaf": "a 7z archive: unpack it first",
    b"{\\rtf": "an RTF document: copy the table into a spreadsheet and save it as CSV or .xlsx",
}


def read_bytes(data: bytes, name: str, options: Options = Options()) -> RawTable:
    """Return the table in `data`, read by the first reader that recognises it.

    Raises
    ------
    DataError
        If the bytes are empty or no table.
    """
    if not data.strip():
        raise DataError(f"{name} is empty. Give a header line and one row per study.")
    for magic, advice in _OTHER.items():
        if data.startswith(magic):
            raise DataError(f"{name} is {advice}.")
    return find_reader(data, name).read(data, name, options)


def find_reader(data: bytes, name: str) -> Reader:
    """Return the reader of the bytes' format, by their content."""
    return next(reader for reader in READERS.values() if reader.applies(data, name))


def read_path(path: str | os.PathLike[str]) -> tuple[bytes, str]:
    """Return the bytes of a file and the name to use for it in messages.

    Raises
    ------
    DataError
        If there is no such file, it is a folder, cannot be opened, or is too large.
    """
    file, name = Path(path), os.fspath(path)
    try:
        if file.is_dir():
            raise DataError(f"{name} is a folder. Give the file in it that holds the studies.")
        if file.exists() and not file.is_file():
            raise DataError(f"{name} is not a regular file. Give a file that holds the studies.")
        check_size(name, file.stat().st_size, MAX_ARCHIVE)
        return file.read_bytes(), name
    except FileNotFoundError:
        raise DataError(f"{name}: no such file. {_nearby(file)}") from None
    except DataError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(f"{name!r} cannot be opened: {reason}. Check the path and its permissions.") from None


def _nearby(file: Path) -> str:
    folder = file.parent
    if not folder.is_dir():
        return f"There is no folder {os.fspath(folder)!r} either: check the path."
    close = get_close_matches(file.name, [p.name for p in folder.iterdir()], n=1)
    return f"Did you mean {close[0]!r}?" if close else "Check the path."
