"""Person-time counts of two-arm studies, for incidence rate ratios and differences."""

from dataclasses import dataclass

import numpy as np

from bayesmeta.errors import DataError
from bayesmeta.values import Array, frozen_array


@dataclass(frozen=True, slots=True, eq=False)
class PersonTime:
    """Events and person-time of ``k`` two-arm studies.

    Parameters
    ----------
    events_treatment, events_control
        ``(k,)`` whole numbers of events, ``>= 0``.
    time_treatment, time_control
        ``(k,)`` person-time at risk, ``> 0``, one unit throughout.
    study
        ``(k,)`` unique labels; numbered when not given.

    Raises
    ------
    DataError
        If lengths differ, labels repeat, an event count is impossible or a time is not positive.
    """

    events_treatment: Array
    time_treatment: Array
    events_control: Array
    time_control: Array
    study: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = ("events_treatment", "time_treatment", "events_control", "time_control")
        arrays = {name: frozen_array(np.atleast_1d(getattr(self, name))) for name in names}
        k = len(arrays["events_treatment"])
        study = tuple(str(s) for s in self.study) or tuple(f"Study {i + 1}" for i in range(k))
        if k == 0 or len(study) != k or any(len(a) != k for a in arrays.values()):
            lengths = ", ".join(f"{name} {len(a)}" for name, a in arrays.items())
            raise DataError(f"Person-time counts need one value per study: {lengths}, study {len(study)}.")
        if len(set(study)) != k:
            twice = next(s for s in study if study.count(s) > 1)
            raise DataError(f"Study {twice!r} appears more than once: study labels must be unique.")
        for name, values in arrays.items():
            for label, value in zip(study, values, strict=True):
                _check(label, name, float(value))
            object.__setattr__(self, name, values)
        object.__setattr__(self, "study", study)

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(self.study)


def _check(study: str, name: str, value: float) -> None:
    if name.startswith("events"):
        if not (np.isfinite(value) and value >= 0 and value == np.floor(value)):
            raise DataError(f"Study {study!r}: {name} is {value:g}; a count must be a whole number >= 0.")
    elif not (np.isfinite(value) and value > 0):
        raise DataError(f"Study {study!r}: {name} is {value:g}; person-time must be a finite number > 0.")
