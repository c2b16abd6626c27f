"""Events of two-arm studies: 2x2 tables, and events over person-time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from bayesmeta.errors import DataError
from bayesmeta.studies.labels import check_labels, kept, labels
from bayesmeta.values import Array, Travels, column


@dataclass(frozen=True, slots=True, eq=False)
class TwoByTwo(Travels):
    """Events and patients of ``k`` two-arm studies.

    Parameters
    ----------
    events_treatment, n_treatment, events_control, n_control
        ``(k,)`` whole numbers, ``0 <= events <= n`` and ``n > 0``.
    study
        ``(k,)`` unique labels; numbered when not given.
    status
        ``(k,)`` provenance of the counts (``"reported"``, ``"derived"``, ``"reconstructed"``, ``""``).

    Raises
    ------
    DataError
        If a count is negative, fractional, not finite, exceeds its arm, or an arm is empty.
    """

    events_treatment: Array
    n_treatment: Array
    events_control: Array
    n_control: Array
    study: tuple[str, ...] = ()
    status: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        study, arrays = _settle(self, ("events_treatment", "n_treatment", "events_control", "n_control"))
        for arm in ("treatment", "control"):
            _check_arm(study, arm, arrays[f"events_{arm}"], arrays[f"n_{arm}"])

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(self.study)

    def drop(self, study: Iterable[str]) -> "TwoByTwo":
        """Return the counts without the studies named."""
        return TwoByTwo(**_without(self, study))


def _settle(counts: "TwoByTwo | PersonTime", names: Sequence[str]) -> tuple[tuple[str, ...], dict[str, Array]]:
    """Put checked columns, labels and provenance in their place; return labels and columns."""
    arrays = {name: column(name, getattr(counts, name)) for name in names}
    k = len(arrays[names[0]])
    study = labels(counts.study, k)
    check_labels(study, {name: len(a) for name, a in arrays.items()})
    status = tuple(str(s) for s in counts.status) or ("",) * k
    for name, value in [*arrays.items(), ("study", study), ("status", status)]:
        object.__setattr__(counts, name, value)
    return study, arrays


def _without(counts: "TwoByTwo | PersonTime", drop: Iterable[str]) -> dict[str, Any]:
    """Return the fields without the studies to drop; their types are mixed, hence Any."""
    keep = kept(counts.study, drop)
    return {f.name: tuple(np.array(getattr(counts, f.name), dtype=object)[keep]) for f in fields(counts)}


def _check_arm(study: Sequence[str], arm: str, events: Array, n: Array) -> None:
    for label, e, total in zip(study, events, n, strict=True):
        for name, value in ((f"events_{arm}", e), (f"n_{arm}", total)):
            if not np.isfinite(value):
                raise DataError(f"Study {label!r}: {name} is {value}; a count must be a whole number >= 0.")
            if value < 0 or value != np.floor(value):
                raise DataError(
                    f"Study {label!r}: {name} is {value:g}; a count must be a whole number >= 0. "
                    "Give the number of patients, not a percentage or a rate."
                )
        if total == 0:
            raise DataError(
                f"Study {label!r}: n_{arm} is 0; both arms need at least one patient. "
                "Remove the study or correct the arm size."
            )
        if e > total:
            raise DataError(
                f"Study {label!r}: events_{arm} is {e:g} but n_{arm} is {total:g}; "
                "events cannot exceed patients. Check whether the columns are swapped."
            )


@dataclass(frozen=True, slots=True, eq=False)
class PersonTime(Travels):
    """Events and person-time of ``k`` two-arm studies.

    Parameters
    ----------
    events_treatment, events_control
        ``(k,)`` whole numbers ``>= 0``.
    time_treatment, time_control
        ``(k,)`` person-time at risk, ``> 0``, one unit for all studies.
    study
        ``(k,)`` unique labels; numbered when not given.
    status
        ``(k,)`` provenance of the counts, as in `TwoByTwo`.

    Raises
    ------
    DataError
        If a count is negative, fractional or not finite, or a time is not finite and positive.
    """

    events_treatment: Array
    time_treatment: Array
    events_control: Array
    time_control: Array
    study: tuple[str, ...] = ()
    status: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        study, arrays = _settle(self, ("events_treatment", "time_treatment", "events_control", "time_control"))
        for name, values in arrays.items():
            for label, value in zip(study, values, strict=True):
                _check_events_or_time(label, name, value)

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(self.study)

    def drop(self, study: Iterable[str]) -> "PersonTime":
        """Return the counts without the studies named."""
        return PersonTime(**_without(self, study))


def _check_events_or_time(label: str, name: str, value: float) -> None:
    if name.startswith("events") and not (np.isfinite(value) and value >= 0 and value == np.floor(value)):
        raise DataError(
            f"Study {label!r}: {name} is {value:g}; a count must be a whole number >= 0. "
            "Give the number of events, not a rate."
        )
    if name.startswith("time") and not (np.isfinite(value) and value > 0):
        raise DataError(
            f"Study {label!r}: {name} is {value:g}; person-time at risk must be finite and > 0, "
            "in one unit for all studies."
        )
