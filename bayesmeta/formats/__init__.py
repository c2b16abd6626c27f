"""Readers of file formats: bytes in, cells of a table out.

A reader is a function of the file's bytes and its name; a *probe* says from the content whether it applies.
`READERS` is in the order in which they are asked, so the general text reader comes last.
"""

from bayesmeta.formats.raw import Cell, RawTable, is_blank, is_missing
from bayesmeta.formats.registry import READERS, Reader, read_bytes, read_path

__all__ = ["READERS", "Cell", "RawTable", "Reader", "is_blank", "is_missing", "read_bytes", "read_path"]
