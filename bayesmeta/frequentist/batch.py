r"""Many meta-analyses in one vectorised call, for simulation and for methodological work.

Rows are meta-analyses, columns studies; absent studies are NaN (or masked) and carry weight 0. Every estimator
here is the one of :func:`~bayesmeta.frequentist.pool.pool`; iterative ones run all rows at once and stop row by row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, chdtri, ndtr, ndtri, stdtr, stdtrit

from bayesmeta.errors import ConvergenceError, ModelError, unknown
from bayesmeta.frequentist.batch_rows import Moments, Rows, matrix, moments, normal_rows, take
from bayesmeta.frequentist.tau2 import DEFAULT_ESTIMATOR, TAU2_ESTIMATORS
from bayesmeta.values import Array

if TYPE_CHECKING:
    import pandas as pd

_NEWTON = 200
_SCAN_STEP = 0.4
"""Scan step in log(tau2), as in :mod:`bayesmeta.frequentist.likelihood`."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Results of ``m`` meta-analyses, each field ``(m,)``, on the analysis scale; `I2` is in percent."""

    mu: Array
    se: Array
    ci_low: Array
    ci_high: Array
    p_value: Array
    tau2: Array
    Q: Array
    Q_p: Array
    I2: Array
    H2: Array
    k: NDArray[np.intp]
    method: str
    ci_rule: str
    level: float

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row a meta-analysis."""
        import pandas as pd

        names = ("k", "mu", "se", "ci_low", "ci_high", "p_value", "tau2", "Q", "Q_p", "I2", "H2")
        return pd.DataFrame({name: getattr(self, name) for name in names})


def pool_many(
    yi: ArrayLike,
    vi: ArrayLike,
    *,
    method: str = DEFAULT_ESTIMATOR,
    ci: str = "wald",
    level: float = 0.95,
    group: ArrayLike | None = None,
) -> Batch:
    """Pool many meta-analyses at once.

    Parameters
    ----------
    yi, vi
        ``(m, k)`` effects and sampling variances, one meta-analysis a row, NaN where a row has fewer studies; or
        one-dimensional with `group`.
    method
        A key of ``TAU2_ESTIMATORS``; one that has no formula here for all rows at once runs row by row.
    ci
        ``"wald"``, ``"hksj"``, ``"adhoc"`` or ``"t"``, as for :func:`pool`.
    level
        Coverage, e.g. ``0.95``.
    group
        ``(n,)`` integer index from 0 of the meta-analysis each of ``n`` studies belongs to.

    Returns
    -------
    Batch
        Row by row what :func:`pool` gives. Rows with one study have tau2 = 0; their t-based limits are NaN.

    Raises
    ------
    ModelError
        If `method`, `ci` or `level` is not known.
    DataError
        If a variance is not positive, a row is empty or shapes differ; the row and column are named.
    ConvergenceError
        If an iterative estimator does not settle in some row.
    """
    if method not in TAU2_ESTIMATORS:
        raise unknown("tau2 method for many meta-analyses", method, TAU2_ESTIMATORS)
    if ci not in ("wald", "hksj", "adhoc", "t"):
        raise unknown("confidence interval rule", ci, ("wald", "hksj", "adhoc", "t"))
    if not 0.0 < level < 1.0:
        raise ModelError(f"level is {level!r}; it is a coverage strictly between 0 and 1, e.g. 0.95 for 95%.")
    rows = normal_rows(*matrix(yi, vi, group))
    df = rows.k - 1
    null = moments(rows, np.zeros(len(rows.k)))
    tau2 = np.zeros(len(rows.k))
    many = df > 0
    if many.any():
        tau2[many] = _METHODS.get(method, partial(_one_by_one, TAU2_ESTIMATORS[method]))(take(rows, many))
    at = moments(rows, tau2)
    variance = _variance(at, df, ci)
    return _finish(rows, null, at, tau2, variance, method=method, ci=ci, level=level)


def _finish(
    rows: Rows, null: Moments, at: Moments, tau2: Array, variance: Array, *, method: str, ci: str, level: float
) -> Batch:
    df = rows.k - 1
    mu, se = at.mean * rows.scale + rows.shift, np.sqrt(variance) * rows.scale
    with np.errstate(divide="ignore", invalid="ignore"):
        z = mu / se
        t_df = np.where(df > 0, df, np.nan)
        critical = ndtri(0.5 + level / 2.0) if ci == "wald" else stdtrit(t_df, 0.5 + level / 2.0)
        p = 2.0 * (ndtr(-np.abs(z)) if ci == "wald" else stdtr(t_df, -np.abs(z)))
        typical = df / null.trace
        common = method in ("EE", "FE")
        h2 = null.Q / df if common else tau2 / typical + 1.0
        i2 = np.maximum(0.0, 100.0 * (1.0 - df / null.Q)) if common else 100.0 * tau2 / (typical + tau2)
    single = df == 0
    return Batch(
        mu=mu,
        se=se,
        ci_low=mu - critical * se,
        ci_high=mu + critical * se,
        p_value=p,
        tau2=tau2 * rows.scale**2,
        Q=null.Q,
        Q_p=np.where(single, 1.0, chdtrc(np.maximum(df, 1), null.Q)),
        I2=np.where(single | (null.Q == 0.0), 0.0, i2),
        H2=np.where(single, 1.0, h2),
        k=rows.k,
        method=method,
        ci_rule=ci,
        level=level,
    )


def _variance(at: Moments, df: NDArray[np.intp], ci: str) -> Array:
    if ci in ("wald", "t"):
        return np.asarray(1.0 / at.total)
    factor = at.Q / np.maximum(df, 1)
    return np.asarray((np.maximum(factor, 1.0) if ci == "adhoc" else factor) / at.total)


# ---------------------------------------------------------------------- estimators


def _zero(rows: Rows) -> Array:
    return np.zeros(len(rows.k))


def _dl(rows: Rows) -> Array:
    at = moments(rows, _zero(rows))
    return np.maximum(0.0, (at.Q - (rows.k - 1)) / at.trace)


def _spread(rows: Rows) -> Array:
    mean = rows.y.sum(axis=1) / rows.k
    return np.asarray((rows.on * (rows.y - mean[:, None]) ** 2).sum(axis=1))


def _he(rows: Rows) -> Array:
    mean_variance = (rows.on * rows.v).sum(axis=1) / rows.k
    return np.maximum(0.0, _spread(rows) / (rows.k - 1) - mean_variance)


def _hs(rows: Rows) -> Array:
    at = moments(rows, _zero(rows))
    return np.maximum(0.0, (at.Q - rows.k) / at.total)


def _hsk(rows: Rows) -> Array:
    at = moments(rows, _zero(rows))
    return np.maximum(0.0, (rows.k / (rows.k - 1) * at.Q - rows.k) / at.total)


def _sj(rows: Rows) -> Array:
    crude = _spread(rows) / rows.k
    return np.asarray(crude * moments(rows, crude).Q / (rows.k - 1))


def _q_roots(rows: Rows, target: Array) -> Array:
    """Newton on 1/Q from 0, all rows at once; it rises monotonically, see ``weighted.q_root``."""
    tau2 = _zero(rows)
    active = np.arange(len(rows.k))
    for _ in range(_NEWTON):
        part = take(rows, active)
        at = moments(part, tau2[active])
        excess = at.Q - target[active]
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where(excess > 0, at.Q * excess / (target[active] * at.squared), 0.0)
        moving = step > 1e-15 * tau2[active]
        tau2[active] += np.where(moving, step, 0.0)
        active = active[moving]
        if not len(active):
            return tau2
    raise _unsettled(active)


def _pm(rows: Rows) -> Array:
    return _q_roots(rows, (rows.k - 1).astype(float))


def _pmm(rows: Rows) -> Array:
    return _q_roots(rows, np.asarray(chdtri(rows.k - 1, 0.5), dtype=np.float64))


def _scores(rows: Rows, tau2: Array, restricted: bool) -> tuple[Array, Moments]:
    at = moments(rows, tau2)
    return at.squared - (at.trace if restricted else at.total), at


def _maximise(rows: Rows, restricted: bool) -> Array:
    """Scan, bracket every local maximum, polish all brackets of all rows together, keep the best of each row."""
    largest = np.where(rows.on > 0, rows.v, 0.0).max(axis=1)
    upper = np.maximum(largest, 2.0 * _spread(rows) / (rows.k - 1))
    if not np.isfinite(upper).all():
        raise _unsettled(np.flatnonzero(~np.isfinite(upper)))
    lower = np.log(1e-3 * rows.v[:, 0])
    count = max(2, int(np.ceil(float((np.log(upper) - lower).max()) / _SCAN_STEP)) + 1)
    grid = np.exp(lower[:, None] + (np.log(upper) - lower)[:, None] * np.linspace(0.0, 1.0, count))
    grid = np.concatenate([np.zeros((len(grid), 1)), grid], axis=1)
    sign = np.stack([_scores(rows, grid[:, j], restricted)[0] > 0 for j in range(count + 1)], axis=1)
    row, column = np.nonzero(sign[:, :-1] & ~sign[:, 1:])
    tau2 = _zero(rows)
    if not len(row):
        return tau2
    peaks = _polish(take(rows, row), grid[row, column], grid[row, column + 1], restricted)
    once = np.bincount(row, minlength=len(tau2)) == 1
    lone = once[row] & sign[row, 0]
    tau2[row[lone]] = peaks[lone]
    best = np.where(sign[:, 0], -np.inf, _log_likelihood(rows, tau2, restricted))
    contested = np.flatnonzero(~lone)
    value = _log_likelihood(take(rows, row[contested]), peaks[contested], restricted)
    for peak, ll in zip(contested, value, strict=True):
        if ll > best[row[peak]]:
            best[row[peak]], tau2[row[peak]] = ll, peaks[peak]
    return tau2


def _polish(rows: Rows, low: Array, high: Array, restricted: bool) -> Array:
    t = 0.5 * (low + high)
    low, high = low.copy(), high.copy()
    active = np.arange(len(t))
    for _ in range(_NEWTON):
        part = take(rows, active)
        now = t[active]
        score, at = _scores(part, now, restricted)
        rising = score > 0
        low[active] = np.where(rising, now, low[active])
        high[active] = np.where(rising, high[active], now)
        with np.errstate(divide="ignore", invalid="ignore"):
            new = now + score / _curvature(at, restricted)
        inside = (new > low[active]) & (new < high[active])
        new = np.where(inside, new, 0.5 * (low[active] + high[active]))
        t[active] = new
        done = (np.abs(new - now) <= 2e-15 * now) | (high[active] - low[active] <= 4e-16 * high[active])
        active = active[~done]
        if not len(active):
            return t
    raise _unsettled(active)


def _curvature(at: Moments, restricted: bool) -> Array:
    w, wr = at.w, at.wr
    inner = np.einsum("ij,ij->i", w, wr)
    value = 2.0 * (np.einsum("ij,ij,ij->i", w, wr, wr) - inner**2 / at.total)
    if not restricted:
        return np.asarray(value - np.einsum("ij,ij->i", w, w))
    rest = w[:, 1:] ** 2
    s2, s3, w0 = rest.sum(axis=1), np.einsum("ij,ij->i", rest, w[:, 1:]), w[:, 0]
    trace = (w0 * at.rest / at.total) ** 2 + s2 - 2.0 * s3 / at.total + s2 * (2.0 * w0**2 + s2) / at.total**2
    return np.asarray(value - trace)


def _log_likelihood(rows: Rows, tau2: Array, restricted: bool) -> Array:
    at = moments(rows, tau2)
    value = (rows.on * np.log(rows.v + tau2[:, None])).sum(axis=1) + at.Q
    return np.asarray(-0.5 * (value + np.log(at.total)) if restricted else -0.5 * value)


def _one_by_one(estimator: Callable[[Array, Array], float], rows: Rows) -> Array:
    return np.array([estimator(y[on], v[on]) for y, v, on in zip(rows.y, rows.v, rows.on.astype(bool), strict=True)])


def _unsettled(rows: NDArray[np.intp]) -> ConvergenceError:
    return ConvergenceError(
        f"Row {int(rows[0])} (and {len(rows) - 1} more) did not settle on a tau2. Check yi and vi for a unit error, "
        "or use method='DL'."
    )


_METHODS: dict[str, Callable[[Rows], Array]] = {
    "EE": _zero,
    "FE": _zero,
    "DL": _dl,
    "HE": _he,
    "HS": _hs,
    "HSk": _hsk,
    "SJ": _sj,
    "PM": _pm,
    "PMM": _pmm,
    "EB": _pm,
    "ML": lambda rows: _maximise(rows, False),
    "REML": lambda rows: _maximise(rows, True),
}
