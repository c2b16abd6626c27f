"""What the raw numbers of each kind of study must obey, checked before any formula sees them."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bayesmeta.effects.measure import Measure
from bayesmeta.effects.standard_errors import refuse
from bayesmeta.values import Array

type Rule = tuple[Callable[[Array], NDArray[np.bool_]], str]

_COUNT: Rule = (lambda x: (x >= 0) & (x == np.floor(x)), "a count must be a whole number >= 0")
_SIZE: Rule = (lambda x: x >= 1, "a sample size must be >= 1")
_MEAN_SIZE: Rule = (lambda x: x > 1, "a mean with a standard deviation needs a sample size > 1")
_SD: Rule = (lambda x: x >= 0, "a standard deviation cannot be negative")
_TIME: Rule = (lambda x: x > 0, "person-time must be > 0")
_R: Rule = (lambda x: np.abs(x) <= 1, "a correlation lies between -1 and 1")

RULES: Mapping[str, Rule] = {
    "events": _COUNT,
    "events_treatment": _COUNT,
    "events_control": _COUNT,
    "time": _TIME,
    "time_treatment": _TIME,
    "time_control": _TIME,
    "sd": _SD,
    "sd_treatment": _SD,
    "sd_control": _SD,
    "ri": _R,
    "n": _SIZE,
    "n_treatment": _SIZE,
    "n_control": _SIZE,
}
# Columns of events, and of the patients they cannot exceed.
ARMS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "two_by_two": (("events_treatment", "n_treatment"), ("events_control", "n_control")),
    "proportion": (("events", "n"),),
}
_WITH_SD = frozenset({"means", "paired", "mean"})


def check_columns(measure: Measure, columns: Mapping[str, Array], study: Sequence[str]) -> None:
    """Raise for the first study whose raw numbers are impossible.

    Parameters
    ----------
    measure
        Decides which columns are looked at.
    columns
        Canonical name to ``(k,)`` numbers.
    study
        ``(k,)`` labels.

    Raises
    ------
    DataError
        If a number is missing, infinite or impossible, or events exceed patients; the message names study,
        column, value and rule.
    """
    for name in measure.columns:
        values = columns[name]
        refuse(
            study,
            ~np.isfinite(values),
            lambda i, name=name, values=values: (  # type: ignore[misc]
                f"{name} is {values[i]:g}, but {measure.name} needs a finite number there. Fill it in, or drop the "
                "study with table.drop([...])."
            ),
        )
        rule = RULES.get(name)
        if rule is None:
            continue
        allowed, words = _MEAN_SIZE if rule is _SIZE and measure.family in _WITH_SD else rule
        refuse(
            study,
            ~allowed(values),
            lambda i, name=name, values=values, words=words: f"{name} = {values[i]:g}: {words}.",  # type: ignore[misc]
        )
    for events, size in ARMS.get(measure.family, ()):
        x, n = columns[events], columns[size]
        refuse(study, x > n, _excess(events, size, x, n))


def _excess(events: str, size: str, x: Array, n: Array) -> Callable[[int], str]:
    return lambda i: (
        f"{events} is {x[i]:g} but {size} is {n[i]:g}; events cannot exceed patients. "
        "Check whether the columns are swapped."
    )
