"""How much a file may hold: the bounds that keep a damaged or hostile file from filling the memory.

They are far above any table of studies, and low enough that the worst file under them stays below 1 GiB
when every cell is a Python object.
"""

from bayesmeta.errors import DataError

MAX_BYTES = 16 * 2**20  # of a table: text, XML, Parquet, or one unpacked member of an archive
MAX_ARCHIVE = 64 * 2**20  # of a zip file as it lies on disk (data packages carry figures and PDFs)
MAX_MEMBERS = 5_000
MAX_RATIO = 200  # unpacked to packed; spreadsheets reach about 20, a bomb 1,000 and more
MAX_ROWS = 200_000
MAX_COLUMNS = 2_000
MAX_CELLS = 4_000_000


def check_size(name: str, size: int, limit: int = MAX_BYTES) -> None:
    """Raise a DataError if a table of `size` bytes is more than is read."""
    if size > limit:
        raise DataError(
            f"{name} holds {size / 2**20:.0f} MiB; a table of studies of up to {limit // 2**20} MiB is read. "
            "For many meta-analyses in one CSV or Parquet file use read_many(path, by=...)."
        )


def check_shape(name: str, rows: int, columns: int) -> None:
    """Raise a DataError if a table has more rows, columns or cells than are read."""
    if rows > MAX_ROWS or columns > MAX_COLUMNS or rows * columns > MAX_CELLS:
        raise DataError(
            f"{name} has {rows:,} rows or more and {columns:,} columns; a table of studies of up to {MAX_ROWS:,} rows, "
            f"{MAX_COLUMNS:,} columns and {MAX_CELLS:,} cells is read. "
            "For many meta-analyses in one CSV or Parquet file use read_many(path, by=...)."
        )
