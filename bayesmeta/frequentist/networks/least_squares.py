r"""Generalised least squares of a network's contrasts, and estimators of the heterogeneity that they share.

.. math:: y \sim N\bigl(X d,\; V + \tau^2 R\bigr), \qquad R_{ij} = 1/2 \text{ within a study}, \; R_{ii} = 1
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from bayesmeta.values import Array


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A network as arrays.

    Parameters
    ----------
    y
        ``(n,)`` contrasts.
    V, R
        ``(n, n)`` sampling covariance, and correlation of the true effects.
    X
        ``(n, p)`` design of full column rank.
    """

    y: Array
    V: Array
    R: Array
    X: Array


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """Generalised least squares at one tau2.

    Parameters
    ----------
    d, cov
        ``(p,)`` coefficients and their covariance.
    Q
        Weighted sum of squared residuals.
    logdet
        Log determinant of the contrasts' covariance.
    precision
        ``(n, n)`` its inverse.
    """

    d: Array
    cov: Array
    Q: float
    logdet: float
    precision: Array


def solved(net: Network, tau2: float) -> Solved:
    """Return the generalised least squares estimate at `tau2`."""
    Sigma = net.V + tau2 * net.R
    L = np.linalg.cholesky(Sigma)
    X, y = np.linalg.solve(L, net.X), np.linalg.solve(L, net.y)
    Q_, R_ = np.linalg.qr(X)
    d = np.linalg.solve(R_, Q_.T @ y) if X.shape[1] else np.zeros(0)
    inverse = np.linalg.inv(R_) if X.shape[1] else np.zeros((0, 0))
    residual = y - X @ d
    half = np.linalg.inv(L)
    return Solved(
        d,
        inverse @ inverse.T,
        float(residual @ residual),
        2.0 * float(np.log(np.diagonal(L)).sum()),
        half.T @ half,
    )


def generalised_dl(net: Network) -> float:
    """Return the moment estimate of tau2: the Q of common weights set to its expectation, 0 at the least.

    References
    ----------
    Jackson, White & Riley (2013), Biom. J. 55:231-245.
    """
    common = solved(net, 0.0)
    df = len(net.y) - net.X.shape[1]
    if df < 1:
        return 0.0
    W = common.precision
    P = W - W @ net.X @ common.cov @ net.X.T @ W
    return float(max(0.0, (common.Q - df) / float(np.sum(P * net.R))))


def log_likelihood(net: Network, tau2: float, *, restricted: bool) -> float:
    """Return the log likelihood of tau2, the effects at their estimate; the restricted one without ``|X'X|``."""
    at = solved(net, tau2)
    n, p = int(net.X.shape[0]), int(net.X.shape[1])
    value = float(-0.5 * (at.logdet + at.Q))
    if not restricted:
        return value - 0.5 * n * float(np.log(2.0 * np.pi))
    return value + 0.5 * float(np.linalg.slogdet(at.cov)[1]) - 0.5 * (n - p) * float(np.log(2.0 * np.pi))


def likelihood_estimate(net: Network, *, restricted: bool) -> float:
    """Return tau2 where the (restricted) likelihood is largest: the best of a scan, polished."""
    if len(net.y) <= net.X.shape[1]:
        return 0.0
    unit = float(np.median(np.diagonal(net.V)))
    spread = float(np.ptp(net.y)) ** 2 + unit
    grid = np.concatenate([[0.0], unit * np.geomspace(1e-4, 10.0 * spread / unit, 60)])
    values = np.array([log_likelihood(net, float(t), restricted=restricted) for t in grid])
    best = int(np.argmax(values))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]

    def minus(tau: float) -> float:
        return -log_likelihood(net, tau**2, restricted=restricted)

    found = minimize_scalar(minus, bounds=(low**0.5, high**0.5), method="bounded", options={"xatol": 1e-12})
    # A parabola is as flat as rounding at its top: the slope has twice the digits.
    tau2 = _where_slope_is_zero(net, float(found.x) ** 2, restricted)
    return tau2 if log_likelihood(net, tau2, restricted=restricted) > values[0] else 0.0


def _slope(net: Network, tau2: float, restricted: bool) -> float:
    """Return the derivative of the (restricted) log likelihood with respect to tau2."""
    at = solved(net, tau2)
    W = at.precision
    residual = W @ (net.y - net.X @ at.d)
    trace = float(np.sum(W * net.R))
    if restricted:
        trace -= float(np.sum((W @ net.X @ at.cov @ net.X.T @ W) * net.R))
    return 0.5 * (float(residual @ net.R @ residual) - trace)


def _where_slope_is_zero(net: Network, tau2: float, restricted: bool) -> float:
    from scipy.optimize import brentq

    low, high = tau2 * (1.0 - 1e-3), tau2 * (1.0 + 1e-3)
    if low <= 0.0 or _slope(net, low, restricted) * _slope(net, high, restricted) > 0.0:
        return tau2
    return float(brentq(lambda t: _slope(net, t, restricted), low, high, xtol=1e-15, rtol=1e-14))
