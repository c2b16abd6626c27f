"""Effect measures of two-arm studies with events and person-time: IRR, IRD, IRSD.

Every formula takes events ``x1, x2`` and person-time ``t1, t2``; 1 is the treatment arm.
"""

import numpy as np

from bayesmeta.effects.measure import IDENTITY, LOG, Measure, Options, register
from bayesmeta.values import Array

COLUMNS = ("events_treatment", "time_treatment", "events_control", "time_control")


def log_rate_ratio(x1: Array, t1: Array, x2: Array, t2: Array, how: Options) -> tuple[Array, Array]:
    """Log incidence rate ratio; variance ``1/x1 + 1/x2`` (Rothman, Greenland & Lash 2008, Modern Epidemiology)."""
    return np.log(x1 / t1 / (x2 / t2)), 1 / x1 + 1 / x2


def rate_difference(x1: Array, t1: Array, x2: Array, t2: Array, how: Options) -> tuple[Array, Array]:
    """Incidence rate difference; variance ``x1/t1^2 + x2/t2^2``."""
    return x1 / t1 - x2 / t2, x1 / t1**2 + x2 / t2**2


def root_rate_difference(x1: Array, t1: Array, x2: Array, t2: Array, how: Options) -> tuple[Array, Array]:
    """Difference of square-root incidence rates; variance ``1/(4 t1) + 1/(4 t2)``."""
    return np.sqrt(x1 / t1) - np.sqrt(x2 / t2), 1 / (4 * t1) + 1 / (4 * t2)


register(
    Measure(
        "IRR",
        "person_time",
        COLUMNS,
        "Incidence rate ratio",
        "log incidence rate ratio",
        LOG,
        log_rate_ratio,
        ratio=True,
        default_add=0.5,
    )
)
register(
    Measure(
        "IRD",
        "person_time",
        COLUMNS,
        "Incidence rate difference",
        "incidence rate difference",
        IDENTITY,
        rate_difference,
        default_add=0.5,
    )
)
register(
    Measure(
        "IRSD",
        "person_time",
        COLUMNS,
        "Difference of square-root incidence rates",
        "square-root incidence rate difference",
        IDENTITY,
        root_rate_difference,
        default_add=0.0,
    )
)
