"""The data sets that ship with bayesmeta."""

import csv
from typing import TYPE_CHECKING

from bayesmeta.errors import DataError, unknown
from bayesmeta.resources import data_dir

if TYPE_CHECKING:
    import pandas as pd

_INDEX = "INDEX.csv"


def list_datasets() -> tuple[str, ...]:
    """Return the names that `load_dataset` knows, in alphabetical order.

    Examples
    --------
    >>> "rescue_stenting" in list_datasets()
    True
    """
    return tuple(sorted(path.stem for path in data_dir().glob("*.csv") if path.name != _INDEX))


def load_dataset(name: str) -> "pd.DataFrame":
    """Return a data set that ships with bayesmeta.

    Parameters
    ----------
    name
        One of `list_datasets`, with or without ``.csv``.

    Returns
    -------
    pandas.DataFrame
        The file's rows and columns. ``frame.attrs`` holds the name, and from the index: kind,
        measure, citation, DOI and note.

    Raises
    ------
    DataError
        If there is no such data set; the message names the nearest.

    Examples
    --------
    >>> load_dataset("snedecor_cochran_bulls").attrs["kind"]
    'yi/sei'
    """
    import pandas as pd

    stem = name.removesuffix(".csv")
    if stem not in list_datasets():
        raise unknown("data set", name, list_datasets(), DataError)
    frame = pd.read_csv(data_dir() / f"{stem}.csv")
    frame.attrs.update({"name": stem, **_index().get(stem, {})})
    return frame


def _index() -> dict[str, dict[str, str]]:
    with (data_dir() / _INDEX).open(encoding="utf-8", newline="") as file:
        return {
            row["file"].removesuffix(".csv"): {
                key: row[key] for key in ("kind", "measure", "citation", "doi", "via", "note")
            }
            for row in csv.DictReader(file)
        }
