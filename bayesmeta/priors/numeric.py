"""Numerical distribution functions and quantiles for densities without closed forms."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from bayesmeta.errors import ConvergenceError, ModelError
from bayesmeta.values import Array

# 16 Gauss-Legendre nodes on a panel of unit width in log x: the densities integrated here are analytic within
# pi / 2 of the real line, which makes the error of a panel smaller than 1e-20.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
# exp(-40) is below double precision relative to 1.
_DECAYED = 40.0
# Squares of quantiles times exp of this are still floats.
_LARGEST_LOG = 330.0


class LogGrid:
    """The integral of a smooth density on (0, inf), tabulated in log x.

    Parameters
    ----------
    log_density
        Log density, of any normalisation, on arrays of positive numbers.
    low, high
        Between these the density changes its behaviour; outside it follows the power laws below.
    below, above
        The density times x behaves as ``x ** below`` near 0 and as ``x ** -above`` for large x; both > 0.
    """

    def __init__(
        self, log_density: Callable[[Array], Array], low: float, high: float, *, below: float, above: float
    ) -> None:
        start, stop = np.log(low) - _DECAYED / below, np.log(high) + _DECAYED / above
        self._edges = np.linspace(start, stop, int(np.ceil(stop - start)) + 1)
        self._log_density = log_density
        panels = self._integrals(self._edges[:-1], self._edges[1:])
        self.total = float(panels.sum())
        self._below = np.concatenate([[0.0], np.cumsum(panels)]) / self.total
        self._above = np.concatenate([np.cumsum(panels[::-1])[::-1], [0.0]]) / self.total

    def _integrals(self, a: Array, b: Array) -> Array:
        half, middle = 0.5 * (b - a), 0.5 * (a + b)
        x = np.exp(middle[..., None] + half[..., None] * _NODES)
        return np.asarray(half * np.sum(_WEIGHTS * np.exp(self._log_density(x)) * x, axis=-1))

    def _panel(self, u: Array) -> tuple[Array, np.ndarray[tuple[int, ...], np.dtype[np.intp]]]:
        u = np.clip(u, self._edges[0], self._edges[-1])
        return u, np.clip(np.searchsorted(self._edges, u, side="right") - 1, 0, len(self._edges) - 2)

    def cdf(self, x: Array) -> Array:
        """Return the share of the integral at or below `x`."""
        u, j = self._panel(np.log(x))
        return np.asarray(self._below[j] + self._integrals(self._edges[j], u) / self.total)

    def sf(self, x: Array) -> Array:
        """Return the share of the integral above `x`."""
        u, j = self._panel(np.log(x))
        return np.asarray(self._above[j + 1] + self._integrals(u, self._edges[j + 1]) / self.total)

    def ppf(self, q: Array) -> Array:
        """Return the point with the share `q` below it."""
        return np.asarray(np.exp(invert(lambda u: self.cdf(np.exp(u)), q, self._edges[0], self._edges[-1])))

    def isf(self, q: Array) -> Array:
        """Return the point with the share `q` above it."""
        return np.asarray(np.exp(invert(lambda u: -self.sf(np.exp(u)), -q, self._edges[0], self._edges[-1])))


def invert(increasing: Callable[[Array], Array], target: Array, low: float | Array, high: float | Array) -> Array:
    """Return where an increasing function takes each value of `target`, by bisection and the secant.

    Parameters
    ----------
    increasing
        Function on arrays.
    target
        Values to reach, any shape.
    low, high
        A bracket, finite: scalars or arrays of the shape of `target`.

    Raises
    ------
    ConvergenceError
        If the bracket did not shrink to a few units in the last place.
    """
    target = np.asarray(target, dtype=float)
    a, b = np.broadcast_to(low, target.shape).astype(float), np.broadcast_to(high, target.shape).astype(float)
    fa, fb = increasing(a) - target, increasing(b) - target
    for step in range(200):
        width = b - a
        if np.all(width <= 4e-16 * np.maximum(np.abs(a), np.abs(b)) + 5e-324):
            break
        middle = 0.5 * (a + b)
        if step % 3:
            # A secant step from the bracket ends, held off them; every third step halves for safety.
            with np.errstate(divide="ignore", invalid="ignore"):
                secant = a - fa * width / (fb - fa)
            nudge = 1e-3 * width if step % 3 == 1 else 0.0
            secant = np.where(np.abs(fa) < np.abs(fb), secant + nudge, secant - nudge)
            middle = np.where((secant > a) & (secant < b), secant, middle)
        fm = increasing(middle) - target
        left = fm < 0
        a, fa = np.where(left, middle, a), np.where(left, fm, fa)
        b, fb = np.where(left, b, middle), np.where(left, fb, fm)
    else:
        raise ConvergenceError("A quantile of a prior was not found: its distribution function is not increasing.")
    return np.asarray(0.5 * (a + b))


def expectation(prior: Any, function: Callable[[float], float]) -> float:
    """Return the expectation of `function` under a proper prior, by adaptive quadrature between its quantiles.

    Raises
    ------
    ConvergenceError
        If the integral was not reached to about ten digits.
    """
    from scipy.integrate import IntegrationWarning, quad

    tails = [1e-12, 1e-8, 1e-5, 1e-3, 0.02, 0.1, 0.3, 0.5]
    inner = [*(float(prior.ppf(q)) for q in tails), *(float(prior.isf(q)) for q in reversed(tails[:-1])), *prior.breaks]
    low, high = prior.support
    edges = sorted({low, high, *(x for x in inner if low < x < high)})

    def integrand(x: float) -> float:
        return function(x) * float(prior.pdf(x))

    total, size, heavy = 0.0, 0.0, math.isfinite(prior.tail_exponent)
    with warnings.catch_warnings():
        warnings.simplefilter("error", IntegrationWarning)
        # What lies beyond all quantiles comes last: it is asked for no more digits than the whole needs of it.
        for a, b in sorted(itertools.pairwise(edges), key=lambda ends: math.isinf(ends[1] - ends[0])):
            endless = math.isinf(b - a)
            f, start, stop = _endless(integrand, a, b) if endless and heavy else (integrand, a, b)
            enough = 1e-12 * size if endless else 0.0
            try:
                part = quad(f, start, stop, epsabs=enough, epsrel=1e-11, limit=200)[0]
            except IntegrationWarning as error:
                raise ConvergenceError(f"A moment of {prior!r} was not reached with 10 digits.") from error
            total, size = total + part, size + abs(part)
    return total


def _endless(integrand: Callable[[float], float], a: float, b: float) -> tuple[Callable[[float], float], float, float]:
    """Return what is integrated over a piece without end: in the log of x, where a power becomes an exponential."""
    end = b if math.isinf(a) else a
    if end == 0.0 or (end > 0.0) == math.isinf(a):
        return integrand, a, b

    def of_log(s: float) -> float:
        if s > _LARGEST_LOG:
            return 0.0
        x = end * math.exp(s)
        return integrand(x) * abs(x)

    return of_log, 0.0, math.inf


def mean_by_quadrature(prior: Any) -> float:
    """Return the mean of a proper prior: infinite or undefined where its tail says so."""
    low, high = prior.support
    if prior.tail_exponent <= 2:
        return math.nan if math.isinf(low) and math.isinf(high) else math.copysign(math.inf, high + low)
    return expectation(prior, lambda x: x)


def sd_by_quadrature(prior: Any) -> float:
    """Return the standard deviation of a proper prior: infinite or undefined where its tail says so."""
    mean = prior.mean()
    if not math.isfinite(mean):
        return math.nan if math.isnan(mean) else math.inf
    if prior.tail_exponent <= 3:
        return math.inf
    return math.sqrt(expectation(prior, lambda x: (x - mean) ** 2))


class Nodes:
    """A distribution as weighted points: Gauss-Legendre panels between quantiles, split where the density needs it.

    Parameters
    ----------
    distribution
        With ``pdf``, ``cdf`` and ``ppf``.

    Attributes
    ----------
    x, weights
        Points and their probabilities; 1e-10 of the mass at each end is left out.
    width
        Width of the panel around each point: the length on which the density is smooth.
    """

    def __init__(self, distribution: Any) -> None:
        z = np.linspace(-23.0, 23.0, 47)
        edges = np.unique(np.asarray(distribution.ppf(1 / (1 + np.exp(-z))), dtype=float))
        if not np.isfinite(edges).all() or len(edges) < 2:
            raise ModelError("The distribution has quantiles that are not finite, or no spread.")
        a, b = edges[:-1], edges[1:]
        for _ in range(10):
            x, weights, total = _panels(distribution, a, b)
            exact = np.asarray(distribution.cdf(b) - distribution.cdf(a), dtype=float)
            rough = np.abs(total - exact) > 1e-11 + 1e-8 * exact
            if not rough.any():
                break
            middle = 0.5 * (a + b)
            a, b = np.concatenate([a, middle[rough]]), np.concatenate([np.where(rough, middle, b), b[rough]])
        order = np.argsort(x.ravel())
        self.x = x.ravel()[order]
        self.weights = weights.ravel()[order] / float(weights.sum())
        self.width = np.repeat(b - a, len(_NODES))[order]


def _panels(distribution: Any, a: Array, b: Array) -> tuple[Array, Array, Array]:
    half = 0.5 * (b - a)
    x = 0.5 * (a + b)[:, None] + half[:, None] * _NODES
    weights = half[:, None] * _WEIGHTS * np.asarray(distribution.pdf(x.ravel()), dtype=float).reshape(x.shape)
    return x, weights, weights.sum(axis=1)
