"""From the text of a cell to a number, and the rules a number in each column must obey."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import DataError
from bayesmeta.formats import Cell, is_missing
from bayesmeta.values import Array

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

type _Bad = Callable[[Array], NDArray[np.bool_]]

_COUNT = "a count must be a whole number >= 0; give patients, not a percentage or a rate"
_SIZE = "a sample size must be a whole number >= 1; correct it, or leave the row's cells blank to exclude the study"
_SD = "a standard deviation cannot be negative"
_TIME = "person-time must be > 0"


def _no_count(x: Array) -> NDArray[np.bool_]:
    return np.asarray((x < 0) | (x != np.floor(x)))


def _no_size(x: Array) -> NDArray[np.bool_]:
    return np.asarray((x < 1) | (x != np.floor(x)))


def _negative(x: Array) -> NDArray[np.bool_]:
    return x < 0


def _not_positive(x: Array) -> NDArray[np.bool_]:
    return x <= 0


def _no_correlation(x: Array) -> NDArray[np.bool_]:
    return np.abs(x) > 1


# bayesmeta's name -> which values are impossible, and the rule they break.
RULES: Mapping[str, tuple[_Bad, str]] = MappingProxyType(
    {
        **dict.fromkeys(
            ("events_treatment", "events_control", "nonevents_treatment", "nonevents_control", "events"),
            (_no_count, _COUNT),
        ),
        **dict.fromkeys(("n_treatment", "n_control", "n"), (_no_size, _SIZE)),
        **dict.fromkeys(("sd_treatment", "sd_control", "sd"), (_negative, _SD)),
        **dict.fromkeys(("time_treatment", "time_control", "time"), (_not_positive, _TIME)),
        "sei": (_not_positive, "a standard error must be > 0"),
        "vi": (_not_positive, "a variance must be > 0"),
        "v_o_e": (_not_positive, "the variance of O-E must be > 0"),
        "ri": (_no_correlation, "a correlation lies between -1 and 1"),
    }
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cell stands, for messages: file, line, study and column."""

    name: str
    line: int
    study: str
    header: str
    unit: str = "line"

    def __str__(self) -> str:
        study = f", study {self.study!r}" if self.study else ""
        return f"{self.name}, {self.unit} {self.line}{study}, column {self.header!r}"


def parse_number(cell: Cell, decimal: str) -> float | None:
    """Return the number in a cell, or None where there is none to be had.

    Examples
    --------
    >>> parse_number("1,5", ","), parse_number("12a", "."), parse_number("\u22120.2", ".")
    (1.5, None, -0.2)
    >>> parse_number("1.234", ",") is None
    True
    """
    if isinstance(cell, bool):
        return None
    if not isinstance(cell, str):
        return None if cell is None else float(cell)
    text = cell.strip().replace("−", "-")
    if decimal == ",":
        # Beside a decimal comma a point separates thousands, or is a slip: never guessed.
        text = text.replace(".", "?").replace(",", ".")
    # \d matches digits of every script; only the ASCII ones are meant.
    return float(text) if text.isascii() and _NUMBER.fullmatch(text) else None


def number(cell: Cell, decimal: str, place: Callable[[], Place]) -> float:
    """Return the finite number in a cell, NaN where the cell is blank.

    Raises
    ------
    DataError
        If the cell is neither blank nor a finite number.
    """
    if is_missing(cell):
        return math.nan
    value = parse_number(cell, decimal)
    if value is None:
        comma = isinstance(cell, str) and "," in cell
        hint = " A comma is read as neither decimal mark nor thousands separator here." if comma else ""
        raise DataError(
            f"{place()}: {cell!r} is not a number.{hint} Correct the cell, or leave it blank if the value is unknown."
        )
    if not math.isfinite(value):
        raise DataError(
            f"{place()}: {cell!r} is not finite. Correct the cell, or leave it blank if the value is unknown."
        )
    return value


def check_rule(canonical: str, values: Array, place: Callable[[int], Place]) -> None:
    """Raise a DataError at the first of `values` that cannot be true in the column `canonical`.

    Parameters
    ----------
    canonical
        bayesmeta's name of the column.
    values
        ``(k,)`` numbers; NaN is a blank and passes.
    place
        From a position, where the cell stands.
    """
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        i = int(infinite[0])
        raise DataError(f"{place(i)}: {values[i]} is not finite. Correct the cell, or leave it blank.")
    if canonical not in RULES:
        return
    impossible, rule = RULES[canonical]
    bad = np.flatnonzero(impossible(values) & ~np.isnan(values))
    if len(bad):
        i = int(bad[0])
        raise DataError(f"{place(i)}: {values[i]:g} is impossible: {rule}.")
