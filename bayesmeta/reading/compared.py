"""Which treatments the rows compare, where the table names them: the second arm first, or several comparisons."""

import re
from collections.abc import Callable, Mapping, Sequence

from bayesmeta.errors import DataError, option
from bayesmeta.formats import RawTable, holds_no_number
from bayesmeta.reading.labels import column_of, text
from bayesmeta.reading.names import normalise

_NUMBERED = re.compile(r"(group|arm|treatment|treat|trt|trtmt|tx|intervention|drug|condition|comparison|t)_?([12])")
_SIDES = {
    **dict.fromkeys(("treatment", "intervention", "experimental", "active"), "first"),
    **dict.fromkeys(("control", "comparator", "comparison", "reference"), "second"),
}
CONTROLS = frozenset(
    {
        *("placebo", "control", "controls", "control group", "usual care", "standard care", "standard of care", "soc"),
        *("standard", "standard treatment", "conventional", "no treatment", "none", "nothing", "untreated", "sham"),
        *("observation", "waitlist", "wait list", "waiting list", "tau", "treatment as usual", "care as usual", "pbo"),
    }
)
"""What the arm that others are compared with is called."""


def _named_arms(raw: RawTable) -> tuple[str, str] | None:
    """Return the headers of the two columns of words that name the arms of each row."""
    found: dict[str, dict[str, str]] = {}
    for header, cells in zip(raw.headers, raw.columns, strict=True):
        filled = [cell for cell in cells if not holds_no_number(cell)]
        if not filled or not all(isinstance(c, str) and not re.fullmatch(r"[\s\d.,+-]*", c) for c in filled):
            continue
        name = normalise(header)
        if numbered := _NUMBERED.fullmatch(name):
            found.setdefault(numbered[1], {})[{"1": "first", "2": "second"}[numbered[2]]] = header
        elif name in _SIDES:
            found.setdefault("", {}).setdefault(_SIDES[name], header)
    pairs = [(sides["first"], sides["second"]) for sides in found.values() if len(sides) == 2]
    return pairs[0] if len(pairs) == 1 else None


def check_compared(
    raw: RawTable,
    rows: Sequence[int],
    study: Sequence[str],
    mapping: Mapping[str, str],
    place: Callable[[int, str], object],
) -> None:
    """Raise a DataError where the arms that a table names are not those it is read as.

    Parameters
    ----------
    raw, rows
        The table, and the rows of the outcome chosen.
    study
        ``(k,)`` labels of these rows.
    mapping
        bayesmeta's name to the header it was read from.
    place
        From a position among `rows` and a header, where the cell stands.
    """
    arms = _named_arms(raw)
    if arms is None:
        return
    first, second = ([text(column_of(raw, header)[i]) for i in rows] for header in arms)
    folded = ([label.casefold() for label in first], [label.casefold() for label in second])
    both = sorted({*folded[0]} & {*folded[1]} - {""})
    if both:
        i, j = folded[0].index(both[0]), folded[1].index(both[0])
        raise DataError(
            f"{place(i, arms[0])}: {first[i]!r} is compared with {second[i]!r}, and study {study[j]!r} compares "
            f"{first[j]!r} with {second[j]!r}. Rows of several comparisons, or of one in both directions, cannot be "
            "pooled as one question: they are a network of treatments. Keep the rows of one comparison, each with its "
            "arms in the same order."
        )
    numbered = {name: header for name, header in mapping.items() if _is_first(header)}
    for i, (a, b) in enumerate(zip(*folded, strict=True)):
        if numbered and a in CONTROLS and b not in CONTROLS:
            name, header = next(iter(numbered.items()))
            say = option("columns", re.sub(r"1(?!.*1)", "2", header), key=name)
            raise DataError(
                f"{place(i, arms[0])}: the first arm is {first[i]!r}, but the columns of the first arm "
                f"({', '.join(map(repr, numbered.values()))}) would be read as those of the treated one. State which "
                f"columns are which, e.g. {say}."
            )


def _is_first(header: str) -> bool:
    """Return whether a header names the first of two arms by its number."""
    return bool(re.search(r"(?<!\d)1(i|_|$)|(?<![a-z])1_", normalise(header)))
