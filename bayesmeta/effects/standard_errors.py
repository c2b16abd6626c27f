"""Standard errors from what papers print instead: confidence intervals, p-values, variances.

Rules: Higgins et al. (eds), Cochrane Handbook for Systematic Reviews of Interventions, chapter 6 (6.3.1, 6.3.2,
6.5.2.2): an interval is divided by twice its quantile, on the log scale for ratios.
"""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

from bayesmeta.errors import DataError, DataWarning
from bayesmeta.values import Array

# Estimates sit in the middle of a Wald interval; exact and profile intervals are off by a few per cent of
# their half-width in ordinary data, a wrong limit or a wrong scale by far more.
ASYMMETRY = 0.1


def as_floats(name: str, values: ArrayLike) -> Array:
    """Return `values` as a float64 array of one dimension or none.

    Raises
    ------
    DataError
        If a value is not a number.
    """
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{name} must be numbers, not {values!r}.") from None


def refuse(study: Sequence[str] | None, bad: NDArray[np.bool_], message: Callable[[int], str]) -> None:
    """Raise for the first study where `bad` is true.

    Parameters
    ----------
    study
        ``(k,)`` labels; None numbers them.
    bad
        ``(k,)`` or scalar truth values.
    message
        From the index of the study to the words after its name.

    Raises
    ------
    DataError
        If any is true.
    """
    where = np.flatnonzero(np.atleast_1d(bad))
    if not len(where):
        return
    i = int(where[0])
    label = study[i] if study is not None else f"number {i + 1}"
    more = f" ({len(where) - 1} more studies have the same fault.)" if len(where) > 1 else ""
    raise DataError(
        f"Study {label!r}: {message(i)}{more}" if study is not None else f"Value {label}: {message(i)}{more}"
    )


def quantile(level: float, df: ArrayLike | None = None) -> Array:
    """Return the factor between a standard error and half an interval's width.

    Parameters
    ----------
    level
        Of the interval, e.g. ``0.95``.
    df
        Degrees of freedom of a t interval; None for a normal one.

    Raises
    ------
    DataError
        If `level` is not between 0 and 1, or `df` is not positive.

    Examples
    --------
    >>> round(float(quantile(0.95)), 3), round(float(quantile(0.95, df=10)), 3)
    (1.96, 2.228)
    """
    if not 0 < level < 1:
        raise DataError(f"level = {level} is no confidence level: give a fraction between 0 and 1, e.g. 0.95.")
    upper = (1 + level) / 2
    if df is None:
        return np.asarray(ndtri(upper))
    freedom = as_floats("df", df)
    if not (freedom > 0).all():
        raise DataError("df must be > 0: the degrees of freedom of a t interval are n - 1, or n1 + n2 - 2.")
    return np.asarray(stdtrit(freedom, upper))


def decimals(values: ArrayLike) -> NDArray[np.intp]:
    """Return how many decimals the most exact number of each study was given with, at most 9.

    Parameters
    ----------
    values
        ``(m, k)`` or ``(m,)`` numbers, the ``m`` of one study in a column.

    Examples
    --------
    >>> decimals([[0.9, 3.0], [1.54, 2.0]]).tolist()
    [2, 0]
    """
    x = np.asarray(values, dtype=np.float64)
    x = np.where(np.isfinite(x), x, 0.0)
    places = np.full(x.shape[1:], 9, dtype=np.intp)
    for digits in reversed(range(9)):
        exact = np.isclose(np.round(x, digits), x, rtol=1e-12, atol=0.0).all(axis=0)
        places = np.where(exact, digits, places)
    return places


def asymmetry(estimate: Array, low: Array, high: Array) -> Array:
    """Return how far estimates lie from the middle of their intervals, in half-widths; 0 is the middle, 1 a limit."""
    return np.asarray(np.abs(estimate - (low + high) / 2) / ((high - low) / 2))


def warn_asymmetric(
    study: Sequence[str] | None, estimate: Array, low: Array, high: Array, *, allowance: Array, scale: str
) -> None:
    """Warn, naming the studies, when estimates are not in the middle of their intervals.

    Parameters
    ----------
    study
        ``(k,)`` labels; None numbers them.
    estimate, low, high
        ``(k,)`` on the scale where the interval should be symmetric.
    allowance
        ``(k,)`` how far rounding alone can move the estimate from the middle, same scale.
    scale
        Name of that scale, for the message.
    """
    off = np.atleast_1d(np.abs(estimate - (low + high) / 2) > ASYMMETRY * (high - low) / 2 + allowance)
    if not off.any():
        return
    labels = study if study is not None else [f"number {i + 1}" for i in range(len(off))]
    names = ", ".join(label for label, is_off in zip(labels, off, strict=True) if is_off)
    warnings.warn(
        f"The confidence interval of {names} is not symmetric on the {scale} scale, more than rounding explains: "
        "a limit may be mistyped, on another scale, of another level, or from another method. "
        "The standard error was computed from the width of the interval; check it against the paper.",
        DataWarning,
        stacklevel=3,
    )


def se_from_ci(
    low: ArrayLike,
    high: ArrayLike,
    *,
    estimate: ArrayLike | None = None,
    ratio: bool = False,
    level: float = 0.95,
    df: ArrayLike | None = None,
    study: Sequence[str] | None = None,
) -> Array:
    """Return standard errors from confidence limits.

    Parameters
    ----------
    low, high
        ``(k,)`` limits. With ``ratio=True`` on the natural scale (an odds ratio's, say), and the standard
        error is that of the log; otherwise on the scale of the estimate.
    estimate
        ``(k,)`` estimates, same scale as the limits; when given, the interval's symmetry is checked.
    ratio
        Whether the limits are those of a ratio.
    level
        Confidence level of the limits.
    df
        Degrees of freedom when the interval used a t distribution (small trials with means); None for z.
    study
        ``(k,)`` labels for messages.

    Returns
    -------
    Array
        ``(k,)`` standard errors, of the log estimate where `ratio`.

    Raises
    ------
    DataError
        If a limit is not finite, the limits are not in order, the limit of a ratio is not positive, or the
        estimate is outside its interval.

    Warns
    -----
    DataWarning
        If an estimate is further from the middle of its interval than rounding explains.

    References
    ----------
    Cochrane Handbook, sections 6.3.1 and 6.3.2.

    Examples
    --------
    >>> float(se_from_ci(0.71, 1.07, ratio=True).round(4))
    0.1046
    """
    a, b = as_floats("low", low), as_floats("high", high)
    factor = quantile(level, df)
    refuse(study, ~(np.isfinite(a) & np.isfinite(b)), lambda i: "a confidence limit is missing or infinite.")
    refuse(
        study,
        a >= b,
        lambda i: (
            f"the limits {_at(a, i):g} and {_at(b, i):g} are not in order: the lower must be less than the upper."
        ),
    )
    if ratio:
        refuse(
            study,
            a <= 0,
            lambda i: (
                f"the limit {_at(a, i):g} cannot belong to a ratio, which is > 0. If the interval is one of the log, "
                "use ratio=False; if it was rounded to 0, get another digit."
            ),
        )
    scale: Callable[[Array], Array] = np.log if ratio else lambda x: x
    if estimate is not None:
        _check_estimate(as_floats("estimate", estimate), a, b, scale, "log" if ratio else "estimate's", study)
    return np.asarray((scale(b) - scale(a)) / (2 * factor))


def _at(x: Array, i: int) -> float:
    return float(np.atleast_1d(x)[i if x.ndim else 0])


def _check_estimate(
    x: Array, a: Array, b: Array, scale: Callable[[Array], Array], name: str, study: Sequence[str] | None
) -> None:
    refuse(
        study,
        ~((a < x) & (x < b)),
        lambda i: f"the estimate {_at(x, i):g} is outside its interval {_at(a, i):g} to {_at(b, i):g}.",
    )
    warn_asymmetric(study, scale(x), scale(a), scale(b), allowance=rounding(x, a, b, scale), scale=name)


def rounding(x: Array, a: Array, b: Array, scale: Callable[[Array], Array]) -> Array:
    """Return how far rounding of an estimate and its limits can move it from the middle, on `scale`."""
    unit = 0.5 * 10.0 ** -decimals(np.stack(np.broadcast_arrays(x, a, b)).astype(np.float64)).astype(np.float64)

    def half(v: Array) -> Array:
        # A limit of 0.01 may have been 0.005: keep the step inside the scale.
        return scale(v + unit) - scale(np.where(v > 0, np.maximum(v - unit, v / 2), v - unit))

    return np.asarray(half(x) / 2 + (half(a) + half(b)) / 4)


def se_from_p(
    estimate: ArrayLike, p: ArrayLike, *, df: ArrayLike | None = None, study: Sequence[str] | None = None
) -> Array:
    """Return standard errors from two-sided p-values of a Wald or t test of no effect.

    Parameters
    ----------
    estimate
        ``(k,)`` effects on the analysis scale (the log of a ratio), not 0.
    p
        ``(k,)`` two-sided p-values, ``0 < p < 1``.
    df
        Degrees of freedom of a t test; None for a z test.
    study
        ``(k,)`` labels for messages.

    Raises
    ------
    DataError
        If a p-value is not strictly between 0 and 1, or an effect is 0 or not finite.

    References
    ----------
    Cochrane Handbook, section 6.3.2.

    Examples
    --------
    >>> float(se_from_p(-0.5, 0.04550026389635842).round(6))
    0.25
    """
    y, pv = as_floats("estimate", estimate), as_floats("p", p)
    refuse(
        study,
        ~((pv > 0) & (pv < 1)),
        lambda i: (
            f"p = {_at(pv, i):g} gives no standard error: it must be > 0 and < 1. For 'p < 0.001' take the limit "
            "as it stands, 0.001, which is conservative."
        ),
    )
    refuse(
        study,
        ~(np.isfinite(y) & (y != 0)),
        lambda i: (
            f"an effect of {_at(y, i):g} with a p-value below 1 has no standard error: it must be finite and not 0."
        ),
    )
    if df is None:
        return np.asarray(np.abs(y) / -ndtri(pv / 2))
    freedom = as_floats("df", df)
    refuse(study, ~(freedom > 0), lambda i: f"df = {_at(freedom, i):g} must be > 0.")
    return np.asarray(np.abs(y) / -stdtrit(freedom, pv / 2))


def se_from_variance(vi: ArrayLike, *, study: Sequence[str] | None = None) -> Array:
    """Return standard errors, the square roots of sampling variances.

    Raises
    ------
    DataError
        If a variance is not finite and positive.
    """
    v = as_floats("vi", vi)
    refuse(
        study,
        ~(np.isfinite(v) & (v > 0)),
        lambda i: f"the variance {_at(v, i):g} is not a sampling variance: it must be finite and > 0.",
    )
    return np.asarray(np.sqrt(v))
