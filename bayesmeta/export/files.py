"""Data frames to files, whole or not at all; the extension says which format."""

import io
import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesmeta.errors import DataError, unknown

if TYPE_CHECKING:
    import pandas as pd

type Tables = Mapping[str, "pd.DataFrame"]
type About = Mapping[str, Any]

# Characters that XML, and so XLSX, cannot hold.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")


def write_bytes(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write `content` so that `path` holds either what it held before or all of it.

    Raises
    ------
    DataError
        If the file cannot be written; an existing file is then untouched.
    """
    target = Path(path)
    if target.is_dir():
        raise DataError(f"Cannot write {str(target)!r}: it is a folder. Give a file name.")
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.absolute().parent)
    except OSError as error:
        raise DataError(f"Cannot write {str(target)!r}: {error.strerror}. Check the folder.") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        # mkstemp makes the file private; an export is to be read like any other new file.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, target)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise DataError(f"Cannot write {str(target)!r}: {error.strerror}. Check the disk and the folder.") from None
    except BaseException:
        # Ctrl-C between the two steps must leave no half-written file behind.
        Path(temporary).unlink(missing_ok=True)
        raise
    return target


def write_tables(path: str | os.PathLike[str], tables: Tables, *, about: About | None = None) -> Path:
    """Write data frames to one file, its format chosen by the extension.

    Parameters
    ----------
    path
        Ends in ``.csv``, ``.tsv``, ``.xlsx``, ``.json`` or ``.parquet``.
    tables
        Name to frame, e.g. ``{"studies": ..., "results": ...}``. CSV, TSV and Parquet hold one.
    about
        Provenance: a sheet of the workbook, a key of the JSON. CSV, TSV and Parquet hold none.

    Raises
    ------
    DataError
        If the extension is unknown, the format holds one table and several are given, or the file
        cannot be written.
    """
    extension = Path(path).suffix.lower()
    if extension not in WRITERS:
        raise unknown(f"file extension of {os.fspath(path)!r}:", extension, WRITERS, DataError)
    return write_bytes(path, WRITERS[extension](tables, about or {}))


def _only(tables: Tables, kind: str) -> "pd.DataFrame":
    if len(tables) != 1:
        raise DataError(f"{kind} holds one table, not {', '.join(tables)}. Use .xlsx or .json, or write two files.")
    return next(iter(tables.values()))


def _csv(tables: Tables, about: About) -> bytes:
    return _only(tables, "A CSV file").to_csv(index=False, lineterminator="\n").encode()


def _tsv(tables: Tables, about: About) -> bytes:
    return _only(tables, "A TSV file").to_csv(index=False, sep="\t", lineterminator="\n").encode()


def _parquet(tables: Tables, about: About) -> bytes:
    buffer = io.BytesIO()
    _only(tables, "A Parquet file").to_parquet(buffer, index=False)
    return buffer.getvalue()


def _json(tables: Tables, about: About) -> bytes:
    content = {name: [_plain(row) for row in frame.to_dict(orient="records")] for name, frame in tables.items()}
    text = json.dumps({"provenance": _plain(about), **content}, ensure_ascii=False, indent=2, allow_nan=False)
    return f"{text}\n".encode()


def _plain(value: Any) -> Any:
    """Return `value` as JSON has it; what is not a number is null there, never NaN."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    if type(value).__name__ == "NAType":
        return None
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _xlsx(tables: Tables, about: About) -> bytes:
    from openpyxl import Workbook

    book = Workbook()
    for sheet in book.worksheets:
        book.remove(sheet)
    for name, frame in tables.items():
        records = [list(frame.columns), *frame.itertuples(index=False, name=None)]
        _fill(book.create_sheet(name[:31]), records)
    if about:
        lines = [[key, item] for key, value in _plain(about).items() for item in _lines(value)]
        _fill(book.create_sheet("provenance"), lines)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _lines(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [f"{k} <- {v}" for k, v in value.items()]
    if isinstance(value, list):
        return [json.dumps(v, ensure_ascii=False) if isinstance(v, Mapping) else v for v in value] or [""]
    return [value]


def _fill(sheet: Any, rows: list[Any]) -> None:
    for i, row in enumerate(rows, start=1):
        for j, value in enumerate(row, start=1):
            plain = _plain(value)
            if plain is None:
                continue
            cell = sheet.cell(row=i, column=j)
            if isinstance(plain, str):
                # A text is a text, also where it begins with "=" and a spreadsheet would compute it.
                cell.value, cell.data_type = _CONTROL.sub("\ufffd", plain), "s"
            else:
                cell.value = plain


WRITERS: dict[str, Callable[[Tables, About], bytes]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".xlsx": _xlsx,
    ".json": _json,
    ".parquet": _parquet,
}
