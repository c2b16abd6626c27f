"""A data frame given where studies are wanted, read as `read_studies` reads it; rows without labels are numbered."""

from typing import Any

from bayesmeta.reading.names import ALIASES, normalise
from bayesmeta.reading.sources import read_frame
from bayesmeta.studies import StudyTable


def table_of_frame(data: Any) -> StudyTable | None:
    """Return the studies of a pandas, polars or pyarrow data frame; None where `data` is no data frame.

    Raises
    ------
    DataError
        For the reasons of `read_studies`.
    """
    import narwhals as nw

    frame = nw.from_native(data, eager_only=True, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        return None
    if "study" not in {ALIASES.get(normalise(str(name))) for name in frame.columns}:
        numbered = [f"Study {i + 1}" for i in range(frame.shape[0])]
        frame = frame.with_columns(nw.new_series("study", numbered, nw.String, backend=frame.implementation))
    return read_frame(frame.to_native())
