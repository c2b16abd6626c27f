"""From the text of a cell to a number, and the rules a number in each column must obey."""

import math
import re
from dataclasses import dataclass

from bayesmeta.errors import DataError
from bayesmeta.formats import Cell, is_missing

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

_COUNT = "a count must be a whole number >= 0; give patients, not a percentage or a rate"
_SIZE = "a sample size must be a whole number >= 1; correct it, or leave the row's cells blank to exclude the study"
_COUNTS = ("events_treatment", "events_control", "nonevents_treatment", "nonevents_control", "events")
_SIZES = ("n_treatment", "n_control", "n")
_POSITIVE = {
    "sei": "a standard error must be > 0",
    "vi": "a variance must be > 0",
    "time_treatment": "person-time must be > 0",
    "time_control": "person-time must be > 0",
    "time": "person-time must be > 0",
    "v_o_e": "the variance of O-E must be > 0",
}
_NOT_NEGATIVE = {
    "sd_treatment": "a standard deviation cannot be negative",
    "sd_control": "a standard deviation cannot be negative",
    "sd": "a standard deviation cannot be negative",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cell stands, for messages: file, line, study and column."""

    name: str
    line: int
    study: str
    header: str

    def __str__(self) -> str:
        study = f", study {self.study!r}" if self.study else ""
        return f"{self.name}, line {self.line}{study}, column {self.header!r}"


def parse_number(cell: Cell, decimal: str) -> float | None:
    """Return the number in a cell, or None where there is none to be had.

    Examples
    --------
    >>> parse_number("1,5", ","), parse_number("12a", "."), parse_number("\u22120.2", ".")
    (1.5, None, -0.2)
    """
    if isinstance(cell, bool):
        return None
    if not isinstance(cell, str):
        return None if cell is None else float(cell)
    text = cell.strip().replace("−", "-")
    if decimal == ",":
        text = text.replace(",", ".")
    # \d matches digits of every script; only the ASCII ones are meant.
    return float(text) if text.isascii() and _NUMBER.fullmatch(text) else None


def number(cell: Cell, decimal: str, place: Place) -> float:
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
            f"{place}: {cell!r} is not a number.{hint} Correct the cell, or leave it blank if the value is unknown."
        )
    if not math.isfinite(value):
        raise DataError(
            f"{place}: {cell!r} is not finite. Correct the cell, or leave it blank if the value is unknown."
        )
    return value


def check_rule(canonical: str, value: float, place: Place) -> None:
    """Raise a DataError if `value` is impossible in the column `canonical`; NaN is a blank and passes."""
    if math.isnan(value):
        return
    whole = value == math.floor(value)
    rule = ""
    if canonical in _COUNTS and (value < 0 or not whole):
        rule = _COUNT
    elif canonical in _SIZES and (value < 1 or not whole):
        rule = _SIZE
    elif canonical in _POSITIVE and value <= 0:
        rule = _POSITIVE[canonical]
    elif canonical in _NOT_NEGATIVE and value < 0:
        rule = _NOT_NEGATIVE[canonical]
    elif canonical == "ri" and not -1 <= value <= 1:
        rule = "a correlation lies between -1 and 1"
    if rule:
        raise DataError(f"{place}: {value:g} is impossible: {rule}.")
