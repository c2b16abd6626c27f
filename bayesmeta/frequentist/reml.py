r"""Likelihood of several variance parameters, profiled over the coefficients, and where it is highest.

Restricted likelihoods contain :math:`\frac12 \log |X'X|`, as those of metafor and lme4 do (Harville 1974, Biometrika
61:383-385), so that they do not change with the units of the columns of X.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from bayesmeta.errors import ConvergenceError
from bayesmeta.gaussian.covariance import Covariance
from bayesmeta.gaussian.statement import Gaussian
from bayesmeta.gaussian.sums import Kernel, kernel
from bayesmeta.values import Array

type Method = Literal["REML", "ML"]

LOG_2PI = math.log(2.0 * math.pi)
# Standard deviations tried, in units of the spread of the effects; correlations tried.
STARTS, CORRELATIONS = (0.02, 0.15, 0.5, 1.2), (-0.7, 0.0, 0.7)
# A likelihood at the edge that is lower by less than this is as high as inside: the edge is reported.
EDGE = 1e-10
# Stretch of the finite differences of fourth order, in the unit of each parameter.
STRETCH = 2e-3


@dataclass(frozen=True, eq=False)
class Likelihood:
    """The log likelihood of the variance parameters of a model, coefficients at their best values.

    Parameters
    ----------
    given
        The model; its priors are not used.
    method
        ``"REML"`` or ``"ML"``.
    """

    given: Gaussian
    method: Method
    covariance: Covariance
    kernel: Kernel
    half_logdet_x: float

    @classmethod
    def of(cls, given: Gaussian, method: Method) -> "Likelihood":
        """Return the likelihood of a model."""
        covariance = Covariance(given)
        columns = kernel(covariance, np.column_stack([given.X, given.y]))
        logdet = float(np.linalg.slogdet(given.X.T @ given.X)[1])
        return cls(given, method, covariance, columns, 0.5 * logdet)

    def parts(self, psi: Array) -> tuple[Array, Array, Array, Array]:
        """Return log determinants, ``X' W X``, ``X' W y`` and residual sums at ``(m, d)`` variance parameters."""
        logdet, M = self.kernel(self.covariance.scales(psi))
        p = self.given.X.shape[1]
        A, u = M[:, :p, :p], M[:, :p, p]
        return logdet, A, u, M[:, p, p] - np.sum(u * np.linalg.solve(A, u[..., None])[..., 0], axis=1)

    def __call__(self, psi: Array) -> Array:
        """Return ``(m,)`` log likelihoods."""
        n, p = self.given.X.shape
        logdet, A, _, rss = self.parts(psi)
        if self.method == "ML":
            return np.asarray(-0.5 * (n * LOG_2PI + logdet + rss))
        logdet_a = np.linalg.slogdet(A)[1]
        return np.asarray(self.half_logdet_x - 0.5 * ((n - p) * LOG_2PI + logdet + logdet_a + rss))


def maximum(likelihood: Likelihood, fixed: dict[int, float]) -> Array:
    """Return the ``(d,)`` variance parameters at which the likelihood is highest.

    Standard deviations may be 0 and correlations -1 or 1: the edges are tried one by one.

    Parameters
    ----------
    fixed
        Places of the parameters that are known, with their values.

    Raises
    ------
    ConvergenceError
        If no maximum is found.
    """
    m, d = len(likelihood.given.components), len(likelihood.given.parameters)
    free = [i for i in range(d) if i not in fixed]
    best = _inside(likelihood, fixed, free, m)
    while free:
        # Every free parameter at its edges, from the best point so far.
        edges = [(i, edge) for i in free for edge in ((0.0,) if i < m else (-1.0, 1.0))]
        tried = [_inside(likelihood, {**fixed, i: edge}, [j for j in free if j != i], m) for i, edge in edges]
        values = likelihood(np.array(tried))
        top = int(np.argmax(values))
        if values[top] < float(likelihood(best[None])[0]) - EDGE:
            break
        best, fixed = tried[top], {**fixed, edges[top][0]: edges[top][1]}
        free = [j for j in free if j not in fixed]
    return best


def _inside(likelihood: Likelihood, fixed: dict[int, float], free: list[int], m: int) -> Array:
    """Return the highest point with some parameters fixed, the others anywhere inside."""
    d = len(likelihood.given.parameters)
    spread = float(np.std(likelihood.given.y - _fitted(likelihood.given))) or 1.0
    base = np.zeros(d)
    base[list(fixed)] = list(fixed.values())
    if not free:
        return base

    def whole(x: Array) -> Array:
        psi = np.tile(base, (len(x), 1))
        for j, i in enumerate(free):
            psi[:, i] = np.abs(x[:, j]) * spread if i < m else np.tanh(x[:, j])
        return psi

    def value(x: Array) -> Array:
        return likelihood(whole(x))

    grid = np.array(list(product(*[STARTS if i < m else np.arctanh(CORRELATIONS) for i in free])))
    starts = grid[np.argsort(-value(grid))][:3]
    found = [_climbed(value, start) for start in starts]
    x = max(found, key=lambda at: float(value(at[None])[0]))
    return np.asarray(whole(_polished(value, x)[None])[0])


def _fitted(given: Gaussian) -> Array:
    return np.asarray(given.X @ np.linalg.lstsq(given.X, given.y, rcond=None)[0])


def _climbed(value: Callable[[Array], Array], start: Array) -> Array:
    def lost(x: Array) -> tuple[float, Array]:
        return -float(value(x[None])[0]), -slopes(value, x)[0]

    found = minimize(lost, start, jac=True, method="BFGS", options={"gtol": 1e-7, "maxiter": 300})
    if not np.isfinite(found.fun):
        raise ConvergenceError("The likelihood has no finite maximum. Report the data and the model as a bug.")
    return np.asarray(found.x)


def slopes(value: Callable[[Array], Array], x: Array, stretch: float = STRETCH) -> tuple[Array, Array]:
    """Return gradient and Hessian by finite differences of fourth order, all points in one call."""
    d = len(x)
    h = stretch * np.maximum(1.0, np.abs(x))
    steps = np.concatenate([np.outer((s,), np.ones(d))[0][:, None] * np.eye(d) for s in (-2.0, -1.0, 1.0, 2.0)])
    pairs: list[NDArray[np.float64]] = []
    for i in range(d):
        for j in range(i):
            pairs += [s * np.eye(d)[i] + t * np.eye(d)[j] for s, t in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
    points = np.concatenate([np.zeros((1, d)), steps, np.array(pairs).reshape(-1, d)])
    f = value(x + points * h)
    low2, low, high, high2 = (f[1 + k * d : 1 + (k + 1) * d] for k in range(4))
    gradient = (low2 - 8.0 * low + 8.0 * high - high2) / (12.0 * h)
    H = np.diag((-low2 + 16.0 * low - 30.0 * f[0] + 16.0 * high - high2) / (12.0 * h**2))
    place = 1 + 4 * d
    for i in range(d):
        for j in range(i):
            a, b, c, e = f[place : place + 4]
            H[i, j] = H[j, i] = (a - b - c + e) / (4.0 * h[i] * h[j])
            place += 4
    return gradient, H


def _polished(value: Callable[[Array], Array], x: Array) -> Array:
    """Return the place after a few Newton steps, each kept while the slope falls."""
    gradient, H = slopes(value, x)
    for _ in range(8):
        try:
            step = np.linalg.solve(H, gradient)
        except np.linalg.LinAlgError:
            return x
        new = x - step
        slope, bend = slopes(value, new)
        if not np.linalg.norm(slope) < np.linalg.norm(gradient):
            return x
        x, gradient, H = new, slope, bend
    return x
