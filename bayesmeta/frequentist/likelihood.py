r"""Global maximum of the (restricted) likelihood of tau2, and its profile.

With :math:`y \sim N(X\beta, V + \tau^2 I)` and :math:`\beta` profiled out, minus twice the
log-likelihood is :math:`\sum \log(v_i + \tau^2) + Q(\tau^2) + k \log 2\pi`, and the restricted one adds
:math:`\log|X'WX| - \log|X'X| - p \log 2\pi`. As a function of :math:`\log \tau^2` both are analytic in
the strip :math:`|\mathrm{Im}| < \pi` (all poles lie on the negative axis of tau2), so a scan with a
step well below pi sees every local maximum that can matter; each is then polished by safeguarded Newton.
"""

from math import log, pi

import numpy as np

from bayesmeta.errors import ConvergenceError
from bayesmeta.gaussian.weighted import At, Model
from bayesmeta.values import Array

_STEP = 0.4
"""Scan step in log(tau2): an eighth of the half-width of the strip in which the likelihood is analytic."""
_BLOCK = 1 << 20
"""Numbers held at once by the scan, so that k = 5000 does not ask for gigabytes."""


def log_likelihood(model: Model, tau2: float, *, restricted: bool) -> float:
    """Return the (restricted) log-likelihood at `tau2`, in the model's unit, metafor's constants included."""
    at = model.at(tau2)
    df = model.df if restricted else model.k
    value = df * log(2.0 * pi) - float(np.log(at.w).sum()) + at.Q
    if restricted:
        value += at.log_det - log_det_design(model)
    return -0.5 * value


def log_det_design(model: Model) -> float:
    """Return ``log |X'X|``."""
    if model.X is None:
        return log(model.k)
    return float(np.linalg.slogdet(model.X.T @ model.X)[1])


def score(model: Model, at: At, *, restricted: bool) -> float:
    """Return twice the derivative of the log-likelihood with respect to tau2."""
    return at.yPPy - (at.trP if restricted else float(at.w.sum()))


def _upper(model: Model) -> float:
    """Return a tau2 above which the score is negative.

    ``y'PPy <= RSS / (t + v_min)^2`` with RSS of the unweighted fit, and the trace is at least
    ``(k - p) / (t + v_max)``, so the score is negative beyond ``max(v_max, 2 RSS / (k - p))``.
    """
    ones = Model(model.y, np.ones(model.k), model.X, model.rows, 1.0, 0.0)
    return max(float(model.v.max()), 2.0 * ones.at(0.0).Q / model.df)


def _scan(model: Model, t: Array, *, restricted: bool) -> Array:
    """Return the score at each of `t`."""
    if model.X is not None:
        return np.array([score(model, model.at(float(s)), restricted=restricted) for s in t])
    size = max(1, _BLOCK // model.k)
    return np.concatenate([_scan_mean(model, t[i : i + size], restricted) for i in range(0, len(t), size)])


def _scan_mean(model: Model, t: Array, restricted: bool) -> Array:
    w = 1.0 / (t[:, None] + model.v)
    rest = w[:, 1:].sum(axis=1)
    total = w[:, 0] + rest
    mean = (w @ model.y) / total
    wr = w * (model.y - mean[:, None])
    quadratic = np.einsum("ij,ij->i", wr, wr)
    if not restricted:
        return np.asarray(quadratic - total)
    return np.asarray(quadratic - (w[:, 0] * rest + rest * total - np.einsum("ij,ij->i", w[:, 1:], w[:, 1:])) / total)


def search_grid(model: Model) -> Array:
    """Return 0 and a geometric grid of tau2 that no local maximum can slip through or lie beyond.

    Raises
    ------
    ConvergenceError
        If the effects differ by more standard errors than a double can hold.
    """
    upper = _upper(model)
    if not np.isfinite(upper):
        raise ConvergenceError(
            "The likelihood of tau2 overflows: effects differ by too many standard errors. "
            "Check yi and sei for a unit error."
        )
    # Below a thousandth of the smallest variance the score is constant to 0.1%: nothing can hide there.
    lower = 1e-3 * float(model.v[0])
    count = max(2, int(np.ceil(log(upper / lower) / _STEP)) + 1)
    return np.concatenate([[0.0], np.exp(np.linspace(log(lower), log(upper), count))])


def maximise(model: Model, *, restricted: bool) -> float:
    """Return the tau2 >= 0 (in the model's unit) at the global maximum of the likelihood.

    Raises
    ------
    ConvergenceError
        If the likelihood is not finite anywhere, which needs effects beyond the range of doubles.
    """
    grid = search_grid(model)
    sign = _scan(model, grid, restricted=restricted) > 0
    peaks = np.flatnonzero(sign[:-1] & ~sign[1:])
    candidates = [_polish(model, float(grid[i]), float(grid[i + 1]), restricted) for i in peaks]
    if not sign[0]:
        candidates.append(0.0)
    if len(candidates) == 1:
        return candidates[0]
    return max(candidates, key=lambda t: log_likelihood(model, t, restricted=restricted))


def _polish(model: Model, low: float, high: float, restricted: bool) -> float:
    """Return the zero of the score between `low` (positive score) and `high`, by Newton inside the bracket."""
    t = 0.5 * (low + high)
    for _ in range(200):
        at = model.at(t)
        value = score(model, at, restricted=restricted)
        low, high = (t, high) if value > 0 else (low, t)
        slope = 2.0 * at.yPPPy - (at.trPP if restricted else float(at.w @ at.w))
        new = t + value / slope if slope > 0 else low - 1.0
        if not low < new < high:
            new = 0.5 * (low + high)
        if abs(new - t) <= 2e-15 * t or high - low <= 4e-16 * high:
            return new
        t = new
    return t
