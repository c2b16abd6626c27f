"""The classical analysis: pooling, two-by-two methods, small-study effects, influence.

Names load on first use, so that ``pool`` costs no import of what it does not need.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayesmeta.frequentist.pool import CI_RULES as CI_RULES
    from bayesmeta.frequentist.pool import pool as pool
    from bayesmeta.frequentist.prediction import prediction_interval as prediction_interval
    from bayesmeta.frequentist.result import PooledFit as PooledFit
    from bayesmeta.frequentist.tau2 import TAU2_ESTIMATORS as TAU2_ESTIMATORS
    from bayesmeta.frequentist.two_by_two import mantel_haenszel as mantel_haenszel
    from bayesmeta.frequentist.two_by_two import peto as peto

# Public name -> module of this package that defines it.
_PUBLIC: dict[str, str] = {
    "CI_RULES": "pool",
    "PooledFit": "result",
    "TAU2_ESTIMATORS": "tau2",
    "mantel_haenszel": "two_by_two",
    "peto": "two_by_two",
    "prediction_interval": "prediction",
}

__all__ = sorted([*_PUBLIC, "pool"])  # noqa: PLE0605  (names are strings, built from the table above)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'bayesmeta.frequentist' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"bayesmeta.frequentist.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)


# The module `pool` and the function `pool` share a name: importing the module binds it here, so the
# function must be bound after it, once.
from bayesmeta.frequentist.pool import pool  # noqa: E402
