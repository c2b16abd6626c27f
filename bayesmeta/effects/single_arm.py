"""Effect measures of single groups: proportions (PR PLN PLO PAS PFT), incidence rates (IR IRLN IRS IRFT), means (MN).

Formulas of proportions take events ``x`` and non-events ``m``; those of rates take events ``x`` and
person-time ``t``.
"""

from math import pi

import numpy as np
from scipy.special import expit, logit

from bayesmeta.effects.measure import IDENTITY, Compute, Measure, Options, Scale, group_mean, register
from bayesmeta.values import Array


def _average_proportion(x: Array, m: Array, how: Options) -> Array:
    n = x + m
    return group_mean(x / n, n, how.group)


def proportion(x: Array, m: Array, how: Options) -> tuple[Array, Array]:
    """Raw proportion; variance ``p q / n`` (``"UB"``: ``n - 1``; ``"AV"``: p averaged over studies)."""
    n = x + m
    p = x / n
    if how.vtype == "AV":
        average = _average_proportion(x, m, how)
        return p, average * (1 - average) / n
    return p, p * (m / n) / (n - 1 if how.vtype == "UB" else n)


def log_proportion(x: Array, m: Array, how: Options) -> tuple[Array, Array]:
    """Log proportion; variance ``1/x - 1/n`` (``"AV"``: p averaged over studies)."""
    n = x + m
    if how.vtype == "AV":
        average = _average_proportion(x, m, how)
        return np.log(x / n), (1 - average) / (n * average)
    return np.log(x / n), m / (x * n)


def logit_proportion(x: Array, m: Array, how: Options) -> tuple[Array, Array]:
    """Log odds; variance ``1/x + 1/(n - x)`` (``"AV"``: p averaged over studies)."""
    if how.vtype == "AV":
        average = _average_proportion(x, m, how)
        return np.log(x / m), 1 / ((x + m) * average * (1 - average))
    return np.log(x / m), 1 / x + 1 / m


def arcsine_proportion(x: Array, m: Array, how: Options) -> tuple[Array, Array]:
    """Arcsine square-root proportion; variance ``1 / (4 n)``."""
    n = x + m
    return np.arcsin(np.sqrt(x / n)), 1 / (4 * n)


def freeman_tukey_proportion(x: Array, m: Array, how: Options) -> tuple[Array, Array]:
    """Freeman-Tukey double arcsine of a proportion; variance ``1 / (4 n + 2)``.

    References
    ----------
    Freeman & Tukey (1950), Ann. Math. Stat. 21:607-611.
    """
    n = x + m
    return _double_arcsine(x, n), 1 / (4 * n + 2)


def _double_arcsine(x: Array, n: Array) -> Array:
    return np.asarray((np.arcsin(np.sqrt(x / (n + 1))) + np.arcsin(np.sqrt((x + 1) / (n + 1)))) / 2)


def _inverse_double_arcsine(y: Array, n: Array | None) -> Array:
    """Invert the double arcsine (Miller 1978, Am. Stat. 32:138); beyond its range the answer is 0 or 1."""
    assert n is not None
    zero = np.zeros_like(n)
    low, high = _double_arcsine(zero, n), _double_arcsine(n, n)
    z = 2 * np.clip(y, low, high)
    sine = np.sin(z)
    inner = sine + (sine - 1 / sine) / n
    p = (1 - np.sign(np.cos(z)) * np.sqrt(np.maximum(1 - inner**2, 0.0))) / 2
    return np.where(y <= low, 0.0, np.where(y >= high, 1.0, p))


def rate(x: Array, t: Array, how: Options) -> tuple[Array, Array]:
    """Incidence rate; variance ``x / t^2``."""
    return x / t, x / t**2


def log_rate(x: Array, t: Array, how: Options) -> tuple[Array, Array]:
    """Log incidence rate; variance ``1 / x``."""
    return np.log(x / t), 1 / x


def root_rate(x: Array, t: Array, how: Options) -> tuple[Array, Array]:
    """Square root of the incidence rate; variance ``1 / (4 t)``."""
    return np.sqrt(x / t), 1 / (4 * t)


def freeman_tukey_rate(x: Array, t: Array, how: Options) -> tuple[Array, Array]:
    """Freeman-Tukey transformed incidence rate; variance ``1 / (4 t)``.

    References
    ----------
    Freeman & Tukey (1950), Ann. Math. Stat. 21:607-611.
    """
    return _double_root(x / t, t), 1 / (4 * t)


def _double_root(r: Array, t: Array) -> Array:
    return np.asarray((np.sqrt(r) + np.sqrt(r + 1 / t)) / 2)


def _inverse_double_root(y: Array, t: Array | None) -> Array:
    """Solve ``2 y = sqrt(r) + sqrt(r + 1/t)`` for the rate; below the value of r = 0 the answer is 0."""
    assert t is not None
    low = 1 / (2 * np.sqrt(t))
    at = np.maximum(y, low)
    return np.maximum(at - 1 / (4 * at * t), 0.0) ** 2


def _needs(n: Array | None) -> Array:
    assert n is not None
    return n


_PROPORTIONS: dict[str, tuple[Compute, str, Scale, tuple[str, ...]]] = {
    "PR": (proportion, "proportion", Scale(lambda y, n: y, lambda p, n: p, None, low=0, high=1), ("LS", "UB", "AV")),
    "PLN": (
        log_proportion,
        "log proportion",
        Scale(lambda y, n: np.exp(y), lambda p, n: np.log(p), None, low=0),
        ("LS", "AV"),
    ),
    "PLO": (
        logit_proportion,
        "log odds",
        Scale(lambda y, n: expit(y), lambda p, n: logit(p), None, low=0, high=1),
        ("LS", "AV"),
    ),
    "PAS": (
        arcsine_proportion,
        "arcsine square-root proportion",
        Scale(
            lambda y, n: np.sin(np.clip(y, 0, pi / 2)) ** 2,
            lambda p, n: np.arcsin(np.sqrt(p)),
            None,
            low=0,
            high=1,
        ),
        ("LS",),
    ),
    "PFT": (
        freeman_tukey_proportion,
        "Freeman-Tukey double arcsine proportion",
        Scale(
            _inverse_double_arcsine,
            lambda p, n: _double_arcsine(p * _needs(n), _needs(n)),
            None,
            needs_n=True,
            low=0,
            high=1,
        ),
        ("LS",),
    ),
}

for _name, (_compute, _analysis, _scale, _vtypes) in _PROPORTIONS.items():
    register(
        Measure(
            _name,
            "proportion",
            ("events", "n"),
            "Proportion",
            _analysis,
            _scale,
            _compute,
            vtypes=_vtypes,
            default_add=0.0 if _name in ("PAS", "PFT") else 0.5,
        )
    )

_RATES: dict[str, tuple[Compute, str, Scale]] = {
    "IR": (rate, "incidence rate", Scale(lambda y, t: y, lambda r, t: r, None, low=0)),
    "IRLN": (log_rate, "log incidence rate", Scale(lambda y, t: np.exp(y), lambda r, t: np.log(r), None, low=0)),
    "IRS": (
        root_rate,
        "square-root incidence rate",
        Scale(lambda y, t: np.maximum(y, 0.0) ** 2, lambda r, t: np.sqrt(r), None, low=0),
    ),
    "IRFT": (
        freeman_tukey_rate,
        "Freeman-Tukey incidence rate",
        Scale(_inverse_double_root, lambda r, t: _double_root(r, _needs(t)), None, needs_n=True, low=0),
    ),
}

for _name, (_compute, _analysis, _scale) in _RATES.items():
    register(
        Measure(
            _name,
            "rate",
            ("events", "time"),
            "Incidence rate",
            _analysis,
            _scale,
            _compute,
            default_add=0.0 if _name in ("IRS", "IRFT") else 0.5,
        )
    )


def mean(m: Array, s: Array, n: Array, how: Options) -> tuple[Array, Array]:
    """Mean of one group; variance ``sd^2 / n``."""
    return m, s**2 / n


register(
    Measure(
        "MN", "mean", ("mean", "sd", "n"), "Mean", "mean", Scale(IDENTITY.to_natural, IDENTITY.from_natural, None), mean
    )
)
