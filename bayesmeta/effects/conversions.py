"""Conversions between what papers print and what a meta-analysis needs, each with its source.

All functions take numbers or arrays and return arrays of the broadcast shape. Those for standard errors
(`se_from_ci`, `se_from_p`, `se_from_variance`) are shared with `effect_sizes`.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import pi, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from bayesmeta.effects.standard_errors import as_floats, refuse, se_from_ci, se_from_p, se_from_variance
from bayesmeta.errors import DataError
from bayesmeta.values import Array

__all__ = [
    "combine_groups",
    "correlation_from_change_sd",
    "log_or_to_smd",
    "mean_from_quantiles",
    "or_to_rr",
    "rr_to_or",
    "sd_from_ci",
    "sd_from_quantiles",
    "sd_from_se",
    "se_from_ci",
    "se_from_p",
    "se_from_variance",
    "smd_to_log_or",
]


def _require(study: Sequence[str] | None, name: str, values: Array, ok: NDArray[np.bool_], rule: str) -> None:
    bad = ~(ok & np.isfinite(values))
    flat = np.atleast_1d(values)
    refuse(study, bad, lambda i: f"{name} = {float(flat[i]):g}: {rule}.")


def _sizes(n: ArrayLike, study: Sequence[str] | None) -> Array:
    size = as_floats("n", n)
    _require(study, "n", size, size > 1, "a sample size must be > 1")
    return size


def sd_from_se(se: ArrayLike, n: ArrayLike, *, study: Sequence[str] | None = None) -> Array:
    """Return the standard deviation of a group from the standard error of its mean, ``se sqrt(n)``.

    Parameters
    ----------
    se
        ``(k,)`` standard errors of means, ``>= 0``.
    n
        ``(k,)`` sample sizes, ``> 1``.
    study
        ``(k,)`` labels for messages.

    Raises
    ------
    DataError
        If a number is impossible.

    References
    ----------
    Cochrane Handbook, section 6.5.2.2.

    Examples
    --------
    >>> float(sd_from_se(0.5, 100))
    5.0
    """
    error, size = as_floats("se", se), _sizes(n, study)
    _require(study, "se", error, error >= 0, "a standard error cannot be negative")
    return np.asarray(error * np.sqrt(size))


def sd_from_ci(
    low: ArrayLike,
    high: ArrayLike,
    n: ArrayLike,
    *,
    mean: ArrayLike | None = None,
    level: float = 0.95,
    distribution: str = "t",
    study: Sequence[str] | None = None,
) -> Array:
    """Return the standard deviation of a group from the confidence interval of its mean.

    Parameters
    ----------
    low, high
        ``(k,)`` confidence limits of the mean.
    n
        ``(k,)`` sample sizes, ``> 1``.
    mean
        ``(k,)`` means; when given, the intervals' symmetry is checked.
    level
        Of the interval.
    distribution
        ``"t"`` (``n - 1`` degrees of freedom, what software prints) or ``"z"``.
    study
        ``(k,)`` labels for messages.

    Raises
    ------
    DataError
        If a number is impossible, the limits are not in order, or the mean lies outside.

    Warns
    -----
    DataWarning
        If a mean is not in the middle of its interval.

    References
    ----------
    Cochrane Handbook, section 6.5.2.2.
    """
    if distribution not in ("t", "z"):
        raise DataError(f"distribution = {distribution!r}: the interval of a mean is from 't' or from 'z'.")
    size = _sizes(n, study)
    df = size - 1 if distribution == "t" else None
    return np.asarray(se_from_ci(low, high, estimate=mean, level=level, df=df, study=study) * np.sqrt(size))


def _range_width(n: Array) -> Array:
    """Return the expected range of `n` standard normal draws (Wan et al. 2014)."""
    return np.asarray(2 * ndtri((n - 0.375) / (n + 0.25)))


def _iqr_width(n: Array) -> Array:
    """Return the expected interquartile range of `n` standard normal draws (Wan et al. 2014)."""
    return np.asarray(2 * ndtri((0.75 * n - 0.125) / (n + 0.25)))


def _ordered(study: Sequence[str] | None, **values: Array | None) -> None:
    given = [(name, v) for name, v in values.items() if v is not None]
    for name, v in given:
        _require(study, name, v, np.ones_like(v, dtype=bool), "it must be a finite number")
    for (name1, v1), (name2, v2) in pairwise(given):
        a, b = (np.atleast_1d(x) for x in np.broadcast_arrays(v1, v2))
        refuse(study, a > b, _disorder(name1, name2, a, b))


def _disorder(name1: str, name2: str, a: Array, b: Array) -> Callable[[int], str]:
    return lambda i: f"{name1} = {a[i]:g} is larger than {name2} = {b[i]:g}; check their order."


def _optional(name: str, values: ArrayLike | None) -> Array | None:
    return None if values is None else as_floats(name, values)


def sd_from_quantiles(
    n: ArrayLike,
    *,
    q1: ArrayLike | None = None,
    q3: ArrayLike | None = None,
    minimum: ArrayLike | None = None,
    maximum: ArrayLike | None = None,
    study: Sequence[str] | None = None,
) -> Array:
    """Return the standard deviation of a roughly normal sample from its quartiles, its range, or both.

    Do not use it for skewed outcomes, which is often why a paper printed quartiles.

    Parameters
    ----------
    n
        ``(k,)`` sample sizes, ``> 1``.
    q1, q3
        ``(k,)`` quartiles; both or neither.
    minimum, maximum
        ``(k,)`` extremes; both or neither.
    study
        ``(k,)`` labels for messages.

    Raises
    ------
    DataError
        If neither pair is given, one of a pair is missing, or the numbers are not in order.

    References
    ----------
    Wan, Wang, Liu & Tong (2014), BMC Med. Res. Methodol. 14:135, scenarios C1 (range), C2 (both) and C3 (quartiles).

    Examples
    --------
    >>> float(sd_from_quantiles(50, q1=10, q3=16).round(3))
    4.58
    """
    size = _sizes(n, study)
    lo, a, b, hi = (
        _optional(name, v) for name, v in (("minimum", minimum), ("q1", q1), ("q3", q3), ("maximum", maximum))
    )
    _check_pairs(a, b, lo, hi)
    _ordered(study, minimum=lo, q1=a, q3=b, maximum=hi)
    parts = []
    if lo is not None and hi is not None:
        parts.append((hi - lo) / _range_width(size))
    if a is not None and b is not None:
        parts.append((b - a) / _iqr_width(size))
    return np.asarray(sum(parts) / len(parts))


def _check_pairs(q1: Array | None, q3: Array | None, minimum: Array | None, maximum: Array | None) -> None:
    if (q1 is None) != (q3 is None) or (minimum is None) != (maximum is None):
        raise DataError("Quartiles and extremes come in pairs: give q1 with q3, and minimum with maximum.")
    if q1 is None and minimum is None:
        raise DataError("Give q1 and q3, or minimum and maximum, or all four.")


def mean_from_quantiles(
    n: ArrayLike,
    median: ArrayLike,
    *,
    q1: ArrayLike | None = None,
    q3: ArrayLike | None = None,
    minimum: ArrayLike | None = None,
    maximum: ArrayLike | None = None,
    study: Sequence[str] | None = None,
) -> Array:
    """Return the mean of a roughly symmetric sample from its median and quartiles, range, or both.

    Parameters
    ----------
    n
        ``(k,)`` sample sizes, ``> 1``.
    median
        ``(k,)`` medians.
    q1, q3, minimum, maximum, study
        As in `sd_from_quantiles`.

    Raises
    ------
    DataError
        As in `sd_from_quantiles`.

    References
    ----------
    Luo, Wan, Liu & Tong (2018), Stat. Methods Med. Res. 27:1785-1805.

    Examples
    --------
    >>> float(mean_from_quantiles(50, 12, q1=10, q3=16).round(4))
    12.7078
    """
    size, middle = _sizes(n, study), as_floats("median", median)
    lo, a, b, hi = (
        _optional(name, v) for name, v in (("minimum", minimum), ("q1", q1), ("q3", q3), ("maximum", maximum))
    )
    _check_pairs(a, b, lo, hi)
    _ordered(study, minimum=lo, q1=a, median=middle, q3=b, maximum=hi)
    if a is None or b is None:
        assert lo is not None
        assert hi is not None
        w = 4 / (4 + size**0.75)
        return np.asarray(w * (lo + hi) / 2 + (1 - w) * middle)
    if lo is None or hi is None:
        w = 0.7 + 0.39 / size
        return np.asarray(w * (a + b) / 2 + (1 - w) * middle)
    w1, w2 = 2.2 / (2.2 + size**0.75), 0.7 - 0.72 / size**0.55
    return np.asarray(w1 * (lo + hi) / 2 + w2 * (a + b) / 2 + (1 - w1 - w2) * middle)


_LOGISTIC_SD = pi / sqrt(3)


def log_or_to_smd(yi: ArrayLike, sei: ArrayLike) -> tuple[Array, Array]:
    """Return standardized mean differences and their standard errors from log odds ratios.

    It takes the outcome to be logistic in each arm, with equal variances: ``d = log OR sqrt(3) / pi``.

    References
    ----------
    Chinn (2000), Stat. Med. 19:3127-3131.

    Examples
    --------
    >>> d, se = log_or_to_smd(np.log(2.0), 0.3)
    >>> round(float(d), 4), round(float(se), 4)
    (0.3822, 0.1654)
    """
    return np.asarray(as_floats("yi", yi) / _LOGISTIC_SD), np.asarray(as_floats("sei", sei) / _LOGISTIC_SD)


def smd_to_log_or(yi: ArrayLike, sei: ArrayLike) -> tuple[Array, Array]:
    """Return log odds ratios and their standard errors from standardized mean differences.

    The inverse of `log_or_to_smd`, on the same assumption.

    References
    ----------
    Chinn (2000), Stat. Med. 19:3127-3131.
    """
    return np.asarray(as_floats("yi", yi) * _LOGISTIC_SD), np.asarray(as_floats("sei", sei) * _LOGISTIC_SD)


def or_to_rr(odds_ratio: ArrayLike, baseline_risk: ArrayLike) -> Array:
    """Return the risk ratio that an odds ratio means at a given risk in the control group.

    Parameters
    ----------
    odds_ratio
        On the natural scale, ``> 0``; limits of an interval convert the same way.
    baseline_risk
        Risk without treatment, ``0 < p < 1``, taken as known.

    Raises
    ------
    DataError
        If an odds ratio is not positive or a risk not between 0 and 1.

    References
    ----------
    Zhang & Yu (1998), JAMA 280:1690-1691; Cochrane Handbook, section 15.4.4.4.

    Examples
    --------
    >>> float(or_to_rr(0.5, 0.2).round(4))
    0.5556
    """
    x, p = as_floats("odds_ratio", odds_ratio), _risk(baseline_risk)
    _require(None, "odds_ratio", x, x > 0, "a ratio must be > 0 (the natural scale, not its log)")
    return np.asarray(x / (1 - p + p * x))


def rr_to_or(risk_ratio: ArrayLike, baseline_risk: ArrayLike) -> Array:
    """Return the odds ratio that a risk ratio means at a given risk in the control group.

    The inverse of `or_to_rr`.

    Raises
    ------
    DataError
        If a ratio is not positive, a risk not between 0 and 1, or the risk with treatment reaches 1.
    """
    x, p = as_floats("risk_ratio", risk_ratio), _risk(baseline_risk)
    _require(None, "risk_ratio", x, x > 0, "a ratio must be > 0 (the natural scale, not its log)")
    treated = np.asarray(x * p)
    _require(None, "risk with treatment", treated, treated < 1, "risk_ratio * baseline_risk must be < 1")
    return np.asarray(x * (1 - p) / (1 - treated))


def _risk(baseline_risk: ArrayLike) -> Array:
    p = as_floats("baseline_risk", baseline_risk)
    _require(None, "baseline_risk", p, (p > 0) & (p < 1), "a risk lies strictly between 0 and 1, e.g. 0.2 for 20%")
    return p


def combine_groups(
    n1: ArrayLike, mean1: ArrayLike, sd1: ArrayLike, n2: ArrayLike, mean2: ArrayLike, sd2: ArrayLike
) -> tuple[Array, Array, Array]:
    """Return size, mean and standard deviation of two groups taken as one (two arms of the same treatment).

    Raises
    ------
    DataError
        If a size is not > 1 or a standard deviation negative.

    References
    ----------
    Cochrane Handbook, section 6.5.2.10.
    """
    a, b = _sizes(n1, None), _sizes(n2, None)
    m1, m2, s1, s2 = (as_floats(w, v) for w, v in (("mean1", mean1), ("mean2", mean2), ("sd1", sd1), ("sd2", sd2)))
    for name, s in (("sd1", s1), ("sd2", s2)):
        _require(None, name, s, s >= 0, "a standard deviation cannot be negative")
    n = a + b
    squares = (a - 1) * s1**2 + (b - 1) * s2**2 + a * b / n * (m1 - m2) ** 2
    return np.asarray(n), np.asarray((a * m1 + b * m2) / n), np.asarray(np.sqrt(squares / (n - 1)))


def correlation_from_change_sd(sd1: ArrayLike, sd2: ArrayLike, sd_change: ArrayLike) -> Array:
    """Return the correlation of two measurements from their standard deviations and that of the change.

    Raises
    ------
    DataError
        If a standard deviation is not positive, or the three contradict each other.

    References
    ----------
    Cochrane Handbook, section 6.5.2.8.

    Examples
    --------
    >>> float(correlation_from_change_sd(6.4, 7.1, 4.5).round(4))
    0.7826
    """
    a, b, c = (as_floats(w, v) for w, v in (("sd1", sd1), ("sd2", sd2), ("sd_change", sd_change)))
    for name, s in (("sd1", a), ("sd2", b), ("sd_change", c)):
        _require(None, name, s, s > 0, "a standard deviation must be > 0")
    r = np.asarray((a**2 + b**2 - c**2) / (2 * a * b))
    _require(None, "correlation", r, np.abs(r) <= 1, "no correlation gives these three standard deviations")
    return r
