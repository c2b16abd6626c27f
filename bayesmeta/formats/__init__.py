"""Readers of file formats: bytes in, the cells of a table out.

A reader is a function of the file's bytes and its name; a probe says from the content whether it applies.
"""

from bayesmeta.formats.limits import check_shape
from bayesmeta.formats.parquet import as_cell, is_parquet
from bayesmeta.formats.raw import MISSING_TEXTS, Cell, RawTable, from_rows, holds_no_number, is_blank, is_missing
from bayesmeta.formats.registry import READERS, Options, Reader, find_reader, read_bytes, read_path
from bayesmeta.formats.text import separator_of

__all__ = [
    "MISSING_TEXTS",
    "READERS",
    "Cell",
    "Options",
    "RawTable",
    "Reader",
    "as_cell",
    "check_shape",
    "find_reader",
    "from_rows",
    "holds_no_number",
    "is_blank",
    "is_missing",
    "is_parquet",
    "read_bytes",
    "read_path",
    "separator_of",
]
