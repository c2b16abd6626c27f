"""What is known in closed form given tau, where ``y ~ N(X beta, diag(v) + tau^2 I)``.

With priors that are normal, flat, or a finite mixture of normals (*components*), everything given tau is
Gaussian; formulas are those of Röver (2020), J. Stat. Softw. 93(6), extended to moderators.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from bayesmeta.errors import ModelError
from bayesmeta.gaussian.prior_components import Components, components
from bayesmeta.model import Gaussian
from bayesmeta.priors import fixed_value
from bayesmeta.values import Array

LOG_2PI = math.log(2.0 * math.pi)
# Nodes times studies held at once: 32 MB of doubles.
CHUNK = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """The data in coordinates that keep every digit.

    Effects are measured from `origin` (a fitted value), and the design is orthonormalised,
    ``Z = X S``, so neither effects of 1e8 nor a moderator like the year of publication cost accuracy.
    Inside, coefficients are gamma, with ``beta = origin + S gamma``.

    Parameters
    ----------
    r
        ``(k,)`` effects minus ``X origin``.
    v
        ``(k,)`` sampling variances.
    Z
        ``(k, p)`` design.
    S
        ``(p, p)`` with ``Z = X S``.
    origin
        ``(q,)`` coefficients that effects are measured from, those with a fixed value included.
    free
        ``(q,)`` which coefficients are estimated; p of them.
    components
        Normal components of the prior of gamma.
    terms, study
        Labels.
    """

    r: Array
    v: Array
    Z: Array
    S: Array
    origin: Array
    free: NDArray[np.bool_]
    components: Components
    terms: tuple[str, ...]
    study: tuple[str, ...]

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(self.r)

    @property
    def p(self) -> int:
        """Number of coefficients."""
        return int(self.Z.shape[1])

    def to_gamma(self, x: Array) -> Array:
        """Return ``(p,)`` c with ``c' gamma = x' (beta - origin)`` for ``(q,)`` x."""
        return np.asarray(x[self.free] @ self.S)


@dataclass(frozen=True, slots=True, eq=False)
class Conditional:
    """Everything given tau, at n values of tau and C components.

    Parameters
    ----------
    tau
        ``(n,)`` values.
    logw
        ``(n, C)`` log weight of the component times its likelihood.
    mean, cov
        ``(n, C, p)`` and ``(n, C, p, p)`` moments of gamma.
    """

    tau: Array
    logw: Array
    mean: Array
    cov: Array

    @property
    def loglik(self) -> Array:
        """``(n,)`` log likelihood of tau, coefficients and components integrated out."""
        if self.logw.shape[1] == 1:
            return self.logw[:, 0]
        peak = self.logw.max(axis=1)
        return np.asarray(peak + np.log(np.exp(self.logw - peak[:, None]).sum(axis=1)))

    def combination(self, c: Array) -> tuple[Array, Array]:
        """Return ``(n, C)`` mean and variance of ``c' gamma``."""
        if len(c) == 1:
            return c[0] * self.mean[..., 0], c[0] ** 2 * self.cov[..., 0, 0]
        return self.mean @ c, np.maximum(np.einsum("i,ncij,j->nc", c, self.cov, c), 0.0)


def problem(given: Gaussian, fineness: float = 1.0, origin: Array | None = None) -> Problem:
    """Return the data of `given` in safe coordinates.

    Parameters
    ----------
    fineness
        Multiplies the number of normal components that stand for a Student-t prior.
    origin
        ``(p,)`` values of the free coefficients to measure from; a fit of the data when None.

    Raises
    ------
    ModelError
        If a coefficient with a flat prior cannot be told from the others.
    """
    values = np.array([np.nan if (known := fixed_value(prior)) is None else known for prior in given.beta])
    free = np.isnan(values)
    names = tuple(term for term, keep in zip(given.terms, free, strict=True) if keep)
    prior = components([b for b, keep in zip(given.beta, free, strict=True) if keep], names, fineness)
    X = given.X[:, free]
    y = given.y - given.X[:, ~free] @ values[~free] if not free.all() else given.y
    _check_identified(X[:, prior.flat], [n for n, f in zip(names, prior.flat, strict=True) if f])
    p = X.shape[1]
    if p == 1 and np.ptp(X) == 0.0:
        S, Z = 1.0 / X[:1], np.ones_like(X)
        # A study's own effect: differences of neighbouring doubles are exact, a mean would round.
        near = np.array([y[np.argmin(np.abs(y - np.average(y, weights=1.0 / given.v)))] / X[0, 0]])
    else:
        Z, S = _orthonormal(X, _tightness(prior))
        w = 1.0 / np.sqrt(given.v)
        near = np.linalg.lstsq(X * w[:, None], y * w, rcond=None)[0]
    origin = near if origin is None else origin
    whole = values.copy()
    whole[free] = origin
    return Problem(y - X @ origin, given.v, Z, S, whole, free, prior.transformed(S, origin), given.terms, given.study)


def _check_identified(X: Array, names: list[str]) -> None:
    if not names:
        return
    rank = int(np.linalg.matrix_rank(X / np.maximum(np.abs(X).max(axis=0), 1e-300)))
    if rank < len(names):
        k = len(X)
        raise ModelError(
            f"The posterior is improper: {k} {'study' if k == 1 else 'studies'} cannot tell apart the {len(names)} "
            f"coefficient(s) with flat priors ({', '.join(names)}). Give them proper priors, or drop moderators."
        )


def _tightness(prior: Components) -> Array:
    """Return ``(p,)`` the largest precision that a component of the prior gives each coefficient, 0 where flat."""
    return np.asarray(np.diagonal(prior.precision, axis1=1, axis2=2).max(axis=0))


def _orthonormal(X: Array, tightness: Array) -> tuple[Array, Array]:
    """Return Z and S with ``Z = X S``, and Z well conditioned whatever the units of the columns.

    Each column of Z is made of the columns of X whose priors are no tighter: gamma then has the flat coefficients
    on axes of their own, and what a large tau leaves of the data there is not added to a proper prior's precision.
    """
    k, p = X.shape
    if p == 0:
        return X, np.zeros((0, 0))
    largest = np.abs(X).max(axis=0)
    # A column of zeros, as of a level that no study has any more, leaves its coefficient the prior.
    scale = np.where(largest > 0.0, largest, 1.0)
    if k < p or np.linalg.matrix_rank(X / scale) < p:
        return X / scale, np.diag(1.0 / scale)
    order = np.argsort(tightness * scale**-2.0, kind="stable")
    Q, R = np.linalg.qr((X / scale)[:, order])
    S = np.empty((p, p))
    # Zeros of the triangle stay zeros: an inverse of R as it stands would leave rounding there.
    S[order] = solve_triangular(R, np.eye(p)) * math.sqrt(k)
    return Q * math.sqrt(k), S / scale[:, None]


def condition(problem: Problem, tau: Array, sums: Array | None = None) -> Conditional:
    """Return the Gaussian posterior of gamma, and the likelihood, at each of ``(n,)`` values of tau.

    Parameters
    ----------
    sums
        What `weighted_sums` gave for these tau, if it is known already.
    """
    tau = np.atleast_1d(np.asarray(tau, dtype=float))
    M = weighted_sums(problem, tau) if sums is None else sums
    p, prior = problem.p, problem.components
    A = M[:, : p * p].reshape(len(M), 1, p, p) + prior.precision[None]
    c = M[:, None, p * p : p * p + p] + prior.weighted[None]
    if p == 1:
        cov, logA = 1.0 / A, np.log(A[:, :, 0, 0])
        mean = c * cov[..., 0]
        fitted = (mean * c)[..., 0]
    else:
        # Rows in units of their own: precisions of a flat and of a proper prior differ by any factor at a large tau.
        unit = 1.0 / np.sqrt(np.diagonal(A, axis1=-2, axis2=-1))
        pair = unit[..., :, None] * unit[..., None, :]
        cov = np.linalg.inv(A * pair)
        cov = 0.5 * pair * (cov + np.swapaxes(cov, -1, -2))
        logA = np.linalg.slogdet(A * pair)[1] - 2.0 * np.log(unit).sum(axis=-1)
        mean = np.einsum("ncij,ncj->nci", cov, c)
        fitted = np.einsum("nci,nci->nc", mean, c)
    rss = M[:, None, -2] - fitted + prior.quadratic[None]
    constant = prior.log_weight + prior.half_logdet - 0.5 * (problem.k - prior.n_flat) * LOG_2PI
    logw = constant[None] - 0.5 * (M[:, None, -1] + logA + np.maximum(rss, 0.0))
    return Conditional(tau, logw, mean, cov)


def weighted_sums(problem: Problem, tau: Array) -> Array:
    """Return ``(n, p*p + p + 2)``: sums of ZZ', Zr and r^2 weighted by ``1 / (v + tau^2)``, and of ``log(v + tau^2)``.

    Everything the likelihood needs of the studies, whatever the priors of the coefficients.
    """
    Z, r = problem.Z, problem.r
    products = np.concatenate(
        [(Z[:, :, None] * Z[:, None, :]).reshape(len(r), -1), Z * r[:, None], (r**2)[:, None]], axis=1
    )
    step = max(1, CHUNK // problem.k)
    parts = []
    for i in range(0, len(tau), step):
        total = problem.v + (tau[i : i + step] ** 2)[:, None]
        parts.append(np.column_stack([(1.0 / total) @ products, np.log(total).sum(axis=1)]))
    return np.concatenate(parts)


def flat_sums(M: Array, logdet: Array, p: int) -> Array:
    """Return log determinants and ``(n, p + 1, p + 1)`` products in the order of `weighted_sums`."""
    parts = [M[:, :p, :p].reshape(len(M), p * p), M[:, :p, p], M[:, p, p][:, None], logdet[:, None]]
    return np.concatenate(parts, axis=1)


def true_effect(problem: Problem, given: Conditional, i: int, own: bool = False) -> tuple[Array, Array]:
    """Return ``(n, C)`` mean and variance of study i's true effect given tau, from its fitted origin or `own` effect.

    ``theta_i | gamma, tau`` has mean ``B x'gamma + (1 - B) y_i`` and variance ``(1 - B) v_i`` with the
    shrinkage factor ``B = v_i / (v_i + tau^2)``. Measured from the study's own effect, a precise study that
    lies far from the others keeps its digits.
    """
    v, tau2 = problem.v[i], given.tau**2
    B = (v / (v + tau2))[:, None]
    kept = (tau2 / (v + tau2))[:, None]
    m, s2 = given.combination(problem.Z[i])
    mean = B * (m - problem.r[i]) if own else B * m + kept * problem.r[i]
    return mean, kept * v + B**2 * s2
