"""How far one posterior is from another: Kullback-Leibler divergences."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp, roots_legendre

from bayesmeta.errors import ConvergenceError
from bayesmeta.marginals import Known, NormalMixture, SincDensity
from bayesmeta.marginals.average import Average
from bayesmeta.marginals.search import Searched
from bayesmeta.posterior import Marginal
from bayesmeta.values import Array

_X20, _W20 = roots_legendre(20)
_SMALLEST, _LEAST_EXACT = math.log(5e-324), -700.0
# Halvings of a panel until its integral settles; a logarithmic peak at an end needs about 40.
_MOST_CUTS = 60


def kl_normal(mean1: ArrayLike, cov1: ArrayLike, mean2: ArrayLike, cov2: ArrayLike) -> float:
    """Return the Kullback-Leibler divergence of one multivariate normal from another, in nats.

    Parameters
    ----------
    mean1, cov1, mean2, cov2
        ``(d,)`` means and ``(d, d)`` covariances; scalars are taken as one-dimensional.

    References
    ----------
    Kullback & Leibler (1951), Annals of Mathematical Statistics 22:79-86.
    """
    m1, m2 = (np.atleast_1d(np.asarray(m, dtype=float)) for m in (mean1, mean2))
    S1, S2 = (np.atleast_2d(np.asarray(S, dtype=float)) for S in (cov1, cov2))
    d = m2 - m1
    trace = float(np.trace(np.linalg.solve(S2, S1)))
    logdets = float(np.linalg.slogdet(S2)[1] - np.linalg.slogdet(S1)[1])
    return 0.5 * (trace + float(d @ np.linalg.solve(S2, d)) - len(d) + logdets)


def kl_divergence(first: Marginal, second: Marginal) -> float:
    """Return the Kullback-Leibler divergence of one posterior marginal from another, in nats.

    The integral of ``p log(p / q)`` over panels between quantiles of p and the places where a density jumps or has
    a kink, plus the same sum over single values with a probability of their own, such as tau = 0 in a model average.
    Infinite where p has probability and q has none.

    Raises
    ------
    ConvergenceError
        If the integral was not reached with about 9 digits, or is infinite because of the tails.
    """
    total, atoms = 0.0, getattr(second, "atoms", {})
    for value, share in getattr(first, "atoms", {}).items():
        if not atoms.get(value):
            return math.inf
        total += share * math.log(share / atoms[value])
    # A kernel estimate from draws has a kink at every point of its grid.
    tolerance = 1e-10 if isinstance(first, Searched) and isinstance(second, Searched) else 1e-5
    _check_tails(first, second)
    edges = _panel_edges(first, second)
    a, b = edges[:-1], edges[1:]
    for _ in range(_MOST_CUTS):
        whole = _kl_panels(first, second, a, b)
        if np.isposinf(whole).any():
            return math.inf
        middle = 0.5 * (a + b)
        left, right = _kl_panels(first, second, a, middle), _kl_panels(first, second, middle, b)
        rough = np.abs(left + right - whole) > 1e-2 * tolerance + tolerance * np.abs(whole)
        total += math.fsum((left + right)[~rough])
        a, b = np.concatenate([a[rough], middle[rough]]), np.concatenate([middle[rough], b[rough]])
        if not a.size:
            return total
    raise ConvergenceError(
        "The divergence was not reached with 9 digits: a density has features too narrow, or tails too heavy, for it."
    )


def _check_tails(first: Marginal, second: Marginal) -> None:
    """Raise where the integral grows towards the ends of the first: beyond the last panels there is more to come."""
    levels = np.array([1e-13, 1e-10, 1e-7])
    for q in (levels, 1.0 - levels[::-1]):
        edges = np.asarray(first.ppf(q), dtype=float)
        outer, inner = np.abs(_kl_panels(first, second, edges[:-1], edges[1:]))[:: 1 if q[0] < 0.5 else -1]
        if math.isfinite(outer) and outer > 1e-9 and outer >= inner:
            raise ConvergenceError(
                "The divergence is infinite, or was not reached: the tails of the first posterior are much heavier "
                "than those of the second."
            )


def _panel_edges(first: Marginal, second: Marginal) -> Array:
    """Return quantiles of the first, and the places between them where either density is not smooth."""
    levels = np.concatenate([[1e-13, 1e-10, 1e-7, 1e-5, 1e-3], np.linspace(0.01, 0.99, 25)])
    levels = np.concatenate([levels, 1.0 - np.array([1e-3, 1e-5, 1e-7, 1e-10, 1e-13])])
    edges = np.unique(np.asarray(first.ppf(levels), dtype=float))
    cuts = np.array([b for m in (first, second) for b in (*getattr(m, "breaks", ()), *getattr(m, "atoms", {}))])
    middle = np.asarray(second.ppf([1e-6, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0 - 1e-6]), dtype=float)
    extra = np.concatenate([cuts, middle])
    return np.unique(np.concatenate([edges, extra[(extra > edges[0]) & (extra < edges[-1])]]))


def _kl_panels(first: Marginal, second: Marginal, a: Array, b: Array) -> Array:
    """Return ``(n,)`` integrals of ``p log(p / q)`` over the panels."""
    half = 0.5 * (b - a)
    at = (a + half)[:, None] + half[:, None] * _X20
    log_p, log_q = log_density(first, at), log_density(second, at)
    there = log_p > -math.inf
    p = np.where(there, np.exp(log_p), 0.0)
    lost = there & (log_q == -math.inf)
    if lost.any() and tabulated(second):
        # The second density is smaller than the smallest float here, not zero.
        if float(np.where(lost, p, 0.0) @ _W20 @ half) > 1e-9:
            raise ConvergenceError("The two posteriors lie too far apart for their divergence to be computed.")
        log_q = np.where(lost, _SMALLEST, log_q)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(there, p * (log_p - log_q), 0.0) @ _W20 * half)


def log_density(marginal: Marginal, x: Array) -> Array:
    """Return the log density at `x`, of normals also where the density is smaller than the smallest float."""
    with np.errstate(divide="ignore"):
        if isinstance(marginal, Average):
            parts = zip(np.log(marginal.weights), marginal.parts, strict=True)
            return np.asarray(np.logaddexp.reduce([w + log_density(part, x) for w, part in parts]))
        if not isinstance(marginal, Searched):
            return np.log(np.asarray(marginal.pdf(x), dtype=float))
    value = np.array(marginal.logpdf(x))
    # Below exp(-708) floats lose digits before they vanish.
    lost = value < _LEAST_EXACT
    if isinstance(marginal, NormalMixture) and not isinstance(marginal, Known) and lost.any():
        value[lost] = [_log_normals(marginal, at) for at in x[lost].tolist()]
    return value


def _log_normals(mixture: NormalMixture, x: float) -> float:
    z = (x - mixture.origin - mixture.means) / mixture.sds
    height = mixture.weights / (mixture.sds * math.sqrt(2.0 * math.pi))
    return float(logsumexp(-0.5 * z * z, b=height))


def tabulated(marginal: Marginal) -> bool:
    """Whether a density that is positive on the whole line is known with an absolute error only."""
    if isinstance(marginal, Average):
        return any(map(tabulated, marginal.parts))
    return isinstance(marginal, SincDensity)
