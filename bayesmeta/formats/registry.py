"""The registry of readers, and the one function that picks a reader from a file's content."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bayesmeta.errors import DataError
from bayesmeta.formats.raw import RawTable
from bayesmeta.formats.text import read_text

# Larger text files are for read_many, which does not hold every cell as a Python object.
MAX_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Reader:
    """One file format.

    Parameters
    ----------
    label
        The format's name as users know it.
    applies
        From the file's bytes, whether it is this format.
    read
        Bytes and file name to a table; raises DataError for everything that is wrong.
    """

    label: str
    applies: Callable[[bytes], bool]
    read: Callable[[bytes, str], RawTable]


READERS: dict[str, Reader] = {
    "text": Reader("CSV, TSV or semicolon separated text", lambda data: True, read_text),
}


def read_bytes(data: bytes, name: str) -> RawTable:
    """Return the table in `data`, read by the first reader that recognises it.

    Raises
    ------
    DataError
        If the bytes are empty or no table.
    """
    if not data.strip():
        raise DataError(f"{name} is empty. Give a header line and one row per study.")
    return next(reader for reader in READERS.values() if reader.applies(data)).read(data, name)


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
        if file.stat().st_size > MAX_BYTES:
            raise DataError(
                f"{name} has {file.stat().st_size / 2**20:.0f} MiB; read_studies takes up to {MAX_BYTES // 2**20}. "
                "For many meta-analyses in one file use read_many(path, by=...)."
            )
        return file.read_bytes(), name
    except FileNotFoundError:
        raise DataError(f"{name}: no such file. {_nearby(file)}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(f"{name!r} cannot be opened: {reason}. Check the path and its permissions.") from None


def _nearby(file: Path) -> str:
    from difflib import get_close_matches

    folder = file.parent
    if not folder.is_dir():
        return f"There is no folder {os.fspath(folder)!r} either: check the path."
    close = get_close_matches(file.name, [p.name for p in folder.iterdir()], n=1)
    return f"Did you mean {close[0]!r}?" if close else "Check the path."
