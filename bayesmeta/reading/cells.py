"""From the text of a cell to a number, and the rules a number in each column must obey."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import DataError, option
from bayesmeta.formats import Cell, holds_no_number
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


COUNT_RULES = (RULES["events"], RULES["n"])
"""Of columns that hold whole numbers of people or events."""


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


# Minus signs and spaces as word processors write them.
_SIGNS = str.maketrans({"\u2212": "-", "\u2013": "-", "\u2012": "-", "\ufe63": "-", "\uff0d": "-"})
_SPACES = str.maketrans(dict.fromkeys("\u00a0\u2007\u2009\u202f", " "))


def parse_number(cell: Cell, decimal: str, thousands: str | None = None) -> float | None:
    """Return the number in a cell, or None where there is none to be had.

    Examples
    --------
    >>> parse_number("1,5", ","), parse_number("12a", "."), parse_number("\u22120.2", ".")
    (1.5, None, -0.2)
    >>> parse_number("1.234", ",") is None
    True
    >>> parse_number("1.234,5", ",", thousands="."), parse_number("12,500", ".", thousands=",")
    (1234.5, 12500.0)
    """
    if isinstance(cell, bool):
        return None
    if not isinstance(cell, str):
        return None if cell is None else float(cell)
    text = cell.translate(_SPACES).strip()
    text = text[:1].translate(_SIGNS) + text[1:]
    if thousands is not None:
        mark, point = re.escape(thousands), re.escape(decimal)
        if re.fullmatch(rf"[+-]?[0-9]{{1,3}}({mark}[0-9]{{3}})+({point}[0-9]+)?", text):
            text = text.replace(thousands, "")
    if decimal == ",":
        # Beside a decimal comma a point separates thousands, or is a slip: never guessed.
        text = text.replace(".", "?").replace(",", ".")
    # \d matches digits of every script; only the ASCII ones are meant.
    return float(text) if text.isascii() and _NUMBER.fullmatch(text) else None


def number(cell: Cell, decimal: str, place: Callable[[], Place], thousands: str | None = None) -> float:
    """Return the finite number in a cell, NaN where the cell is blank.

    Raises
    ------
    DataError
        If the cell is neither blank nor a finite number.
    """
    if holds_no_number(cell):
        return math.nan
    value = parse_number(cell, decimal, thousands)
    if value is None:
        hint = _marks_hint(cell, decimal) if isinstance(cell, str) else ""
        raise DataError(
            f"{place()}: {cell!r} is not a number.{hint} Correct the cell, or leave it blank if the value is unknown."
        )
    if not math.isfinite(value):
        raise DataError(
            f"{place()}: {cell!r} is not finite. Correct the cell, or leave it blank if the value is unknown."
        )
    return value


def _marks_hint(cell: str, decimal: str) -> str:
    """Return what to say of a mark that the number may have between its thousands."""
    other = next((mark for mark in (",", ".", "'", " ") if mark in cell.strip() and mark != decimal), None)
    if other is None or not re.fullmatch(r"[+-]?[0-9]{1,3}([,.' ][0-9]{3})+([,.][0-9]+)?", cell.strip()):
        return " A comma is no decimal mark in this file." if "," in cell and decimal == "." else ""
    return f" If {other!r} stands between thousands, say {option('thousands', other)}."


def thousands_mark(texts: Sequence[str], decimal: str, place: Callable[[int], Place]) -> str | None:
    """Return the mark between thousands in a column of counts, None where there is none.

    A count is whole, so ``1,234`` can only be 1234; but ``2,000`` and ``2.000`` may be two or two thousand, unless
    another count of the column shows what the mark is.

    Parameters
    ----------
    texts
        The column's cells, "" for those that are no text.
    decimal
        The file's decimal mark.
    place
        From a position, where the cell stands.

    Raises
    ------
    DataError
        If a number may be read in two ways.
    """
    marked = [(i, t.strip()) for i, t in enumerate(texts) if re.fullmatch(r"[0-9]{1,3}([,.][0-9]{3})+", t.strip())]
    if not marked:
        return None
    marks = {mark for _, t in marked for mark in ",." if mark in t}
    for i, t in marked:
        mark = next(m for m in ",." if m in t)
        proof = [u for _, u in marked if mark in u and (u.count(mark) > 1 or not u.endswith(f"{mark}000"))]
        if len(marks) > 1 or (not proof and not _whole_decimals(texts, mark)):
            raise DataError(
                f"{place(i)}: {t!r} may be {t.replace(mark, '.', 1)} or {t.replace(mark, '')} patients. "
                f"If the mark stands between thousands, say {option('thousands', mark)}; if it is the decimal mark, "
                f"say {option('decimal', mark)}."
            )
        if proof and mark == decimal and _has_fractions(texts, mark):
            raise DataError(
                f"{place(i)}: {proof[0]!r} is no whole number of patients if {mark!r} is the decimal mark, and "
                f"{proof[0].replace(mark, '')} if it stands between thousands. Say which: {option('thousands', mark)}, "
                "or correct the cell."
            )
    return None if _whole_decimals(texts, next(iter(marks))) else next(iter(marks))


def refuse_unclear_times(
    texts: Sequence[str], elsewhere: Iterable[Sequence[Cell]], place: Callable[[int], Place]
) -> None:
    """Raise a DataError where person-times may be thousands: ``2.000`` beside ``950``.

    Times may have decimals; but where every one that has a mark has just three digits after it, and others are whole,
    the mark may stand between thousands, unless `elsewhere`, the cells of the whole table, have it as a decimal mark.
    """
    marked = [(i, t.strip()) for i, t in enumerate(texts) if re.search("[,.]", t)]
    whole = [t for t in texts if t.strip().isdigit()]
    if not marked or not (whole or any(t.endswith("000") for _, t in marked)):
        return
    if all(re.fullmatch(r"[1-9][0-9]{0,2}([,.])[0-9]{3}", t) for _, t in marked):
        i, t = marked[0]
        mark = next(m for m in ",." if m in t)
        if any(_has_fractions([c for c in cells if isinstance(c, str)], mark) for cells in elsewhere):
            return
        raise DataError(
            f"{place(i)}: {t!r} may be {t.replace(mark, '.')} or {t.replace(mark, '')}. If the mark stands between "
            f"thousands, say {option('thousands', mark)}; if it is the decimal mark, say {option('decimal', mark)}."
        )


def _whole_decimals(texts: Sequence[str], mark: str) -> bool:
    """Return whether counts are written with decimals, all of them 0, as in "1234.000"."""
    return any(re.fullmatch(rf"[0-9]{{4,}}{re.escape(mark)}0+", t.strip()) for t in texts)


def _has_fractions(texts: Sequence[str], mark: str) -> bool:
    """Return whether the mark is a decimal one somewhere in the column."""
    return any(re.fullmatch(rf"[0-9]+{re.escape(mark)}([0-9]{{1,2}}|[0-9]{{4,}})", t.strip()) for t in texts)


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
