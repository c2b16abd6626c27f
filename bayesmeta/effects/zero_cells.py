"""Zero cells: what is added to which counts, and which studies are dropped, as metafor's escalc does it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import DataError, unknown
from bayesmeta.values import Array

RULES = ("only0", "all", "if0all", "none")
# What `add` goes to, by family of measure.
ADDED_TO = {
    "two_by_two": "each of the four cells",
    "person_time": "the events of both arms",
    "proportion": "events and non-events",
    "rate": "the events",
}


@dataclass(frozen=True, slots=True, eq=False)
class Corrected:
    """Counts after the zero-cell rule.

    Parameters
    ----------
    cells
        The counts, with the constant added where the rule says so, NaN for dropped studies.
    zero, added, dropped
        ``(k,)`` which studies have a zero cell, had something added, were dropped.
    """

    cells: tuple[Array, ...]
    zero: NDArray[np.bool_]
    added: NDArray[np.bool_]
    dropped: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ZeroRule:
    """What to do about zero cells.

    Parameters
    ----------
    add
        Constant added to every cell of a study, ``>= 0``.
    to
        ``"only0"``: to studies with a zero cell; ``"all"``: to all; ``"if0all"``: to all studies of a
        meta-analysis with a zero cell anywhere; ``"none"``: to none.
    drop00
        Whether double-zero studies are dropped (before `to` looks for zeros).

    Raises
    ------
    DataError
        If `add` is negative or not finite, or `to` is unknown.
    """

    add: float = 0.5
    to: str = "only0"
    drop00: bool = False

    def __post_init__(self) -> None:
        if self.to not in RULES:
            raise unknown("zero-cell rule to =", self.to, RULES, DataError)
        if not np.isfinite(self.add) or self.add < 0:
            raise DataError(f"add = {self.add} cannot be added to counts: it must be a number >= 0 (0.5 is usual).")


def correct_zeros(
    cells: tuple[Array, ...],
    rule: ZeroRule,
    *,
    double_zero: NDArray[np.bool_] | None = None,
    group: NDArray[np.intp] | None = None,
) -> Corrected:
    """Return `cells` with zeros dealt with.

    Parameters
    ----------
    cells
        ``(k,)`` arrays of counts, all cells of a table.
    rule
        What to add where, and what to drop.
    double_zero
        ``(k,)`` studies with no event (or only events) in both arms; None where that cannot be.
    group
        ``(k,)`` index of each study's meta-analysis; None when all are one.
    """
    k = len(cells[0])
    none = np.zeros(k, dtype=bool)
    dropped = double_zero.copy() if rule.drop00 and double_zero is not None else none
    zero = np.any([cell == 0 for cell in cells], axis=0) & ~dropped
    if rule.to == "all":
        added = ~none
    elif rule.to == "only0":
        added = zero.copy()
    elif rule.to == "if0all":
        added = np.full(k, zero.any()) if group is None else (np.bincount(group, zero) > 0)[group]
    else:
        added = none
    added = added & ~dropped & (rule.add > 0)
    constant = np.where(dropped, np.nan, np.where(added, rule.add, 0.0))
    return Corrected(tuple(cell + constant for cell in cells), zero, added, dropped)


def describe(rule: ZeroRule, zeros: int, added: int, where: str) -> str:
    """Return one clause that says what was done about zero cells.

    Parameters
    ----------
    rule
        The rule applied.
    zeros, added
        Number of studies with a zero cell, and of those that had something added.
    where
        What it was added to.
    """
    if added:
        which = {
            "only0": f"the {added} {'study' if added == 1 else 'studies'} with a zero cell, and no others",
            "all": "every study",
            "if0all": f"every study, because {zeros} of them {'has' if zeros == 1 else 'have'} a zero cell",
        }[rule.to]
        return f"{rule.add:g} was added to {where} of {which}"
    if zeros:
        return f"nothing was added to the zero cells of {zeros} {'study' if zeros == 1 else 'studies'}"
    return "no study has a zero cell, and nothing was added"
