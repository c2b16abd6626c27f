"""Parquet files, their declared size checked before a row is read."""

import io
from decimal import Decimal
from typing import Any

from bayesmeta.errors import DataError
from bayesmeta.formats.limits import check_shape, check_size
from bayesmeta.formats.raw import Cell, RawTable, from_rows

_LIMIT = 2**20  # strings and lists in the file's own metadata


def is_parquet(data: bytes) -> bool:
    """Return whether the bytes start as a Parquet file does."""
    return data.startswith(b"PAR1")


def read_parquet(data: bytes, name: str) -> RawTable:
    """Return the table in a Parquet file.

    Raises
    ------
    DataError
        If the file is damaged or holds more than a table of studies.
    """
    import pyarrow as pa
    from pyarrow import parquet

    check_size(name, len(data))
    try:
        file = parquet.ParquetFile(
            io.BytesIO(data), thrift_string_size_limit=_LIMIT, thrift_container_size_limit=_LIMIT, pre_buffer=False
        )
        meta = file.metadata
        check_shape(name, meta.num_rows, meta.num_columns)
        unpacked = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
        check_size(name, max(unpacked, 0), 8 * 2**24)
        table = file.read(use_threads=False)
        headers: list[Cell] = list(map(str, table.column_names))
        columns = [[as_cell(value) for value in column.to_pylist()] for column in table.columns]
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{name} is a damaged Parquet file ({reason[:200]}). Write it again.") from None
    rows = [(i, list(cells)) for i, cells in enumerate(zip(*columns, strict=True), start=1)]
    heads, cells, row, notes = from_rows(name, headers, rows, kind="Parquet")
    return RawTable(heads, cells, row, "Parquet", unit="row", notes=notes)


def as_cell(value: Any) -> Cell:
    """Return a value of a data frame as a cell: numbers as float, absent as None, the rest as text."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int | float | Decimal):
        try:
            return float(value)
        except OverflowError:
            return str(value)
    return str(value)
