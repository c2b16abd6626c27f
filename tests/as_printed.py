"""Published tables hold numbers as text: how many digits were printed is part of what they say."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.resources import data_dir

DATA = Path(data_dir())


def assert_printed(values: ArrayLike, printed: str) -> None:
    """Assert that numbers are those printed, up to half a unit of the last digit that was printed of each."""
    found, words = np.atleast_1d(np.asarray(values, dtype=float)).ravel(), printed.split()
    assert len(found) == len(words) > 0
    for value, word in zip(found, words, strict=True):
        digits = len(word.partition(".")[2])
        assert abs(value - float(word)) <= 0.5000001 * 10.0**-digits, f"{value} is not printed as {word}"


def columns(name: str, **only: str) -> dict[str, np.ndarray]:
    """Return the columns of a data set, numbers where all of a column are, of the rows that have these values."""
    with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if all(row[key] == value for key, value in only.items())]
    assert rows
    found = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    return {key: _numbers(column) for key, column in found.items()}


def _numbers(column: np.ndarray) -> np.ndarray:
    try:
        return column.astype(float)
    except ValueError:
        return column
