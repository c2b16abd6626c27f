"""`read_studies`: one table of studies, from whatever the user has."""

import hashlib
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayesmeta.errors import DataError
from bayesmeta.formats import Cell, Options, RawTable, as_cell, check_shape, from_rows, read_bytes, read_path
from bayesmeta.reading.options import NOTHING_STATED, Duplicates, ReadingOptions, TotalRows
from bayesmeta.reading.table import table_from_raw
from bayesmeta.studies import StudyTable

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame


def read_studies(
    source: "str | os.PathLike[str] | IntoDataFrame",
    *,
    outcome: str | None = None,
    subgroup: str | None = None,
    columns: Mapping[str, str] | None = None,
    sheet: str | None = None,
    header_row: int | str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    duplicates: Duplicates = "error",
    number_duplicates: bool = False,
    total_rows: TotalRows = "refuse",
    ci_level: float | None = None,
) -> StudyTable:
    """Return the studies in a file or a data frame, one row a study, checked cell by cell.

    Parameters
    ----------
    source
        Path of a CSV, TSV, semicolon or space separated, XLSX or Parquet file, of a RevMan Web data package
        (zip), a RevMan 5 file (``.rm5``) or a RevMan 5 CSV export, recognised by content; or a pandas,
        polars or pyarrow data frame.
    outcome
        Which one, where the table holds several (an ``outcome`` column, the analyses of a review). The
        analyses of a review are named by number (``"1.2"``), by name, or by both.
    subgroup
        Only the studies of this subgroup.
    columns
        bayesmeta's name to the header that holds it, e.g. ``{"sei": "se"}``, for columns whose name is
        unknown or ambiguous. The rest is found by the spellings people use.
    sheet
        Of a workbook with several filled sheets.
    header_row
        Line of the column names, counted from 1, where it is not the first; ``"1-2"`` joins two lines.
    decimal
        The decimal mark of a text file, ``"."`` or ``","``; found from its content when None.
    thousands
        The mark between thousands. ``1,234`` patients are read without it; ``2,000`` and ``2.000`` may be two, and are
        refused until it, or `decimal`, is stated.
    duplicates
        ``"error"`` refuses a study that has several rows (after its year told two studies of the same authors apart);
        ``"cluster"`` keeps them as rows of one study, in the column ``cluster``; ``"number"`` takes them for
        independent studies ``"Smith 2001 (1)"``, ``"Smith 2001 (2)"``, which makes the answer look surer than it is.
    number_duplicates
        The same as ``duplicates="number"``.
    total_rows
        A row that is the total of the others is refused; ``"exclude"`` leaves it out, ``"study"`` says it is none.
    ci_level
        Level of the confidence limits in the file; what their headers say (``"90% CI lower"``), or 0.95, when None.

    Returns
    -------
    StudyTable
        Printing it shows what was read as what. Rows without the numbers an effect needs are in
        ``excluded``, pooled results the file carries in ``published``.

    Raises
    ------
    DataError
        If the source cannot be read, a column is missing or ambiguous, or a cell is impossible; the
        message names file, line, study, column, value and rule, and says what to do.

    Examples
    --------
    >>> from bayesmeta.resources import data_dir
    >>> read_studies(data_dir() / "rescue_stenting.csv", outcome="mortality").study[0]
    'Cornelissen 2019'
    """
    options = ReadingOptions(
        outcome=outcome,
        subgroup=subgroup,
        columns=columns or {},
        sheet=sheet,
        header_row=header_row,
        decimal=decimal,
        thousands=thousands,
        duplicates="number" if number_duplicates else duplicates,
        total_rows=total_rows,
        ci_level=ci_level,
    )
    return read_with(source, options)


def read_with(source: "str | os.PathLike[str] | IntoDataFrame", options: ReadingOptions) -> StudyTable:
    """Return the studies in a file or a data frame, read as `options` say; see `read_studies`."""
    if not isinstance(source, str | os.PathLike):
        return read_frame(source, options)
    data, name = read_path(source)
    about = Options(options.decimal, options.sheet, options.thousands, options.header_lines)
    raw = read_bytes(data, name, about)
    return table_from_raw(raw, name, options, sha256=hashlib.sha256(data).hexdigest())


# What messages call a frame without a name.
FRAME = "the data frame"


def read_frame(frame: "IntoDataFrame", options: ReadingOptions = NOTHING_STATED, *, name: str = FRAME) -> StudyTable:
    """Return the studies in a pandas, polars or pyarrow data frame; see `read_studies`.

    Parameters
    ----------
    frame
        Anything that narwhals takes for an eager data frame.
    options
        What `read_studies` takes.
    name
        What messages call the frame.

    Raises
    ------
    DataError
        If it is no data frame, or for the reasons of `read_studies`; rows are counted from 1.
    """
    raw = raw_frame(frame, name)
    return table_from_raw(raw, name, options)


def raw_frame(frame: Any, name: str) -> RawTable:
    """Return the cells of a data frame as they stand."""
    import narwhals as nw

    try:
        data = nw.from_native(frame, eager_only=True)
    except TypeError:
        raise DataError(
            f"read_studies takes a path or a pandas, polars or pyarrow data frame, not {type(frame).__name__}. "
            "Collect a lazy frame first."
        ) from None
    headers: list[Cell] = [str(label) for label in data.columns]
    check_shape(name, data.shape[0], len(headers))
    columns = [[_scalar(value) for value in data[:, j].to_list()] for j in range(len(headers))]
    rows = [(i, list(cells)) for i, cells in enumerate(zip(*columns, strict=True), start=1)]
    heads, cells, row, notes = from_rows(name, headers, rows, kind="data frame", unit="row")
    return RawTable(heads, cells, row, "data frame", unit="row", notes=notes)


def _scalar(value: Any) -> Cell:
    import numpy as np

    if isinstance(value, np.generic):
        value = value.item()
    # pandas.NA and NaT are neither None nor NaN; both are absent values, by their own str.
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    cell = as_cell(value)
    return None if isinstance(cell, float) and math.isnan(cell) else cell
