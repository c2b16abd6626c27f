"""Rules between the cells of one row, and the columns that follow from others."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import DataError
from bayesmeta.reading.cells import Place

type Values = Mapping[str, NDArray[Any]]
type Where = Callable[[int, str], Place]

# Rounding to two significant digits moves a standard error by at most 5%, its square by about 10%.
_ROUNDING = 0.15


def without_counts_of_another_n(values: Values) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    """Return the columns without counts that are not of the patients whose means the table gives, and a note on it.

    A table may hold the means of all patients and the events among some of them: pooled as risks, the events would be
    divided by the wrong number.
    """
    if "mean_treatment" not in values and "mean_control" not in values:
        return dict(values), ()
    counted = [
        f"{kind}_{arm}"
        for arm in ("treatment", "control")
        for kind in ("events", "nonevents")
        if f"{kind}_{arm}" in values
    ]
    for arm in ("treatment", "control"):
        parts = [values.get(f"{kind}_{arm}") for kind in ("events", "nonevents")]
        n = values.get(f"n_{arm}")
        if (
            n is not None
            and parts[0] is not None
            and parts[1] is not None
            and (np.abs(parts[0] + parts[1] - n) > 0).any()
        ):
            kept = {name: column for name, column in values.items() if name not in counted}
            note = (
                f"{', '.join(counted)}: left out, since events and non-events do not add up to n_{arm}, the patients "
                "of the means; to analyse the events leave the columns of the means out"
            )
            return kept, (note,)
    return dict(values), ()


def check_between(place: Where, values: Values) -> None:
    """Raise a DataError at the first row whose cells contradict each other.

    Parameters
    ----------
    place
        From a row's position and a column's name, where the cell stands.
    values
        bayesmeta's name to ``(k,)`` numbers, NaN where blank.
    """
    for events, n in (("events_treatment", "n_treatment"), ("events_control", "n_control"), ("events", "n")):
        for i in _where(values, events, n, np.greater):
            raise DataError(
                f"{place(i, events)}: {values[events][i]:g} events among {values[n][i]:g} patients "
                f"(column {place(i, n).header!r}): events cannot exceed patients. Check whether columns are swapped."
            )
    # Limits beside an estimate are the estimate's, on its natural scale; yi may then be its log.
    of_yi = () if "estimate" in values else (("ci_low", "yi"), ("yi", "ci_high"))
    for low, high in (("ci_low", "ci_high"), ("ci_low", "estimate"), ("estimate", "ci_high"), *of_yi):
        for i in _where(values, low, high, np.greater):
            raise DataError(
                f"{place(i, low)}: {values[low][i]:g} is above {values[high][i]:g} (column "
                f"{place(i, high).header!r}): an estimate lies between its limits. Check for swapped or mistyped cells."
            )
    if "vi" in values and "sei" in values:
        vi, sei = values["vi"], values["sei"]
        for row in np.flatnonzero(np.abs(vi - sei**2) > _ROUNDING * np.maximum(vi, sei**2)):
            i = int(row)
            raise DataError(
                f"{place(i, 'sei')}: the standard error {sei[i]:g} and the variance {vi[i]:g} (column "
                f"{place(i, 'vi').header!r}) contradict each other: a variance is the square of its standard "
                "error. State which column is which with columns=..."
            )


def _where(values: Values, low: str, high: str, compare: Callable[..., Any]) -> list[int]:
    if low not in values or high not in values:
        return []
    return [int(i) for i in np.flatnonzero(compare(values[low], values[high]))]


def derived(place: Where, values: Values) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    """Return columns that follow from others without a choice, and a note on each.

    Arm sizes from events and non-events, standard errors from variances.

    Raises
    ------
    DataError
        If an arm is empty.
    """
    extra: dict[str, NDArray[Any]] = {}
    notes: list[str] = []
    for arm in ("treatment", "control"):
        events, non, n = f"events_{arm}", f"nonevents_{arm}", f"n_{arm}"
        if events in values and non in values:
            total = values[events] + values[non]
            _check_total(place, values, n, total)
            if n not in values:
                for i in np.flatnonzero(total == 0):
                    raise DataError(
                        f"{place(int(i), events)}: the arm has no patients. Remove the study or correct it."
                    )
                extra[n] = total
                notes.append(f"{n} = {place(0, events).header} + {place(0, non).header}")
    if "vi" in values and "sei" not in values:
        extra["sei"] = np.sqrt(values["vi"])
        notes.append(f"column {place(0, 'vi').header!r} is a variance: sei is its square root")
    return extra, tuple(notes)


def _check_total(place: Where, values: Values, n: str, total: NDArray[Any]) -> None:
    if n not in values:
        return
    for i in np.flatnonzero(np.abs(total - values[n]) > 0):
        raise DataError(
            f"{place(int(i), n)}: {values[n][i]:g} patients, but events and non-events add up to {total[i]:g}. "
            "Correct the cell."
        )
