"""`read_studies`: one table of studies, from whatever the user has."""

import hashlib
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayesmeta.errors import DataError
from bayesmeta.formats import Cell, Options, RawTable, as_cell, check_shape, from_rows, read_bytes, read_path
from bayesmeta.reading.labels import Duplicates
from bayesmeta.reading.table import table_from_raw
from bayesmeta.studies import StudyTable

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame


def read_studies(
    source: "str | os.PathLike[str] | IntoDataFrame",
    *,
    outcome: str | None = None,
    columns: Mapping[str, str] | None = None,
    duplicates: Duplicates = "error",
    decimal: str | None = None,
    sheet: str | None = None,
) -> StudyTable:
    """Return the studies in a file or a data frame, one row a study, checked cell by cell.

    Parameters
    ----------
    source
        Path of a CSV, TSV, semicolon separated, XLSX or Parquet file, of a RevMan Web data package
        (zip), a RevMan 5 file (``.rm5``) or a RevMan 5 CSV export, recognised by content; or a pandas,
        polars or pyarrow data frame.
    outcome
        Which one, where the table holds several (an ``outcome`` column, the analyses of a review). The
        analyses of a review are named by number (``"1.2"``), by name, or by both.
    columns
        bayesmeta's name to the header that holds it, e.g. ``{"sei": "se"}``, for columns whose name is
        unknown or ambiguous. The rest is found by the spellings of metafor, R meta and RevMan.
    duplicates
        ``"error"`` refuses a label that appears twice (after its year told two studies of the same
        authors apart); ``"number"`` makes them ``"Smith 2001 (1)"``, ``"Smith 2001 (2)"``.
    decimal
        The decimal mark of a text file, ``"."`` or ``","``; found from its content when None.
    sheet
        Of a workbook with several filled sheets.

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
    if decimal not in (None, ".", ","):
        raise DataError(f"decimal={decimal!r}: the decimal mark is '.' or ','.")
    if not isinstance(source, str | os.PathLike):
        return read_frame(source, outcome=outcome, columns=columns, duplicates=duplicates)
    data, name = read_path(source)
    raw = read_bytes(data, name, Options(decimal=decimal, sheet=sheet))
    digest = hashlib.sha256(data).hexdigest()
    return table_from_raw(raw, name, outcome=outcome, columns=columns, duplicates=duplicates, sha256=digest)


def read_frame(
    frame: "IntoDataFrame",
    *,
    outcome: str | None = None,
    columns: Mapping[str, str] | None = None,
    duplicates: Duplicates = "error",
    name: str = "the data frame",
) -> StudyTable:
    """Return the studies in a pandas, polars or pyarrow data frame; see `read_studies`.

    Parameters
    ----------
    frame
        Anything that narwhals takes for an eager data frame.
    outcome, columns, duplicates
        As in `read_studies`.
    name
        What messages call the frame.

    Raises
    ------
    DataError
        If it is no data frame, or for the reasons of `read_studies`; rows are counted from 1.
    """
    raw = _raw_frame(frame, name)
    return table_from_raw(raw, name, outcome=outcome, columns=columns, duplicates=duplicates)


def _raw_frame(frame: Any, name: str) -> RawTable:
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
