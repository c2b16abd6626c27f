"""Where each of many posteriors of tau lies, and everything that is needed on its axis."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, logit

from bayesmeta.engines.gaussian.given_variances import LOG_2PI
from bayesmeta.priors import Prior
from bayesmeta.values import Array

# Numbers in the largest (analyses, nodes, studies) table: 16 MB.
CHUNK = 2_000_000
SCAN = 32
# What is beyond exp(-39) of the mass is left out.
REACH = 39.0
# Slope of the axis in the middle, in SDs of u a unit of t.
SLOPE = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Analyses of equal shape: ``(m, k)`` effects r from their origin and variances v (infinite: no study).

    `mean` and `precision` are the normal prior of mu (precision 0: flat), measured from `origin`.
    """

    r: Array
    v: Array
    k: Array
    origin: Array
    mean: Array
    precision: Array
    tau: tuple[Prior, ...]
    index: NDArray[np.intp]

    def take(self, index: NDArray[np.intp]) -> "Stack":
        """Return the analyses at `index`."""
        return Stack(
            self.r[index],
            self.v[index],
            self.k[index],
            self.origin[index],
            self.mean[index],
            self.precision[index],
            tuple(self.tau[i] for i in index),
            self.index[index],
        )

    def moved(self, shift: Array) -> "Stack":
        """Return the same analyses measured from ``origin + shift``."""
        mean = np.where(self.precision > 0, self.mean - shift, 0.0)
        r = np.where(np.isfinite(self.v), self.r - shift[:, None], 0.0)
        return Stack(r, self.v, self.k, self.origin + shift, mean, self.precision, self.tau, self.index)


@dataclass(frozen=True, slots=True, eq=False)
class Nodes:
    """``(m, n)`` nodes of every analysis: log density per unit of u, tau, and moments of mu given tau."""

    logg: Array
    tau: Array
    b: Array
    V: Array


def _log_prior(priors: tuple[Prior, ...], tau: Array) -> Array:
    """Return ``(m, n)`` log prior densities, each distinct prior called once."""
    if len(set(map(id, priors))) == 1:
        return np.asarray(priors[0].logpdf(tau))
    # Not by text: data-dependent priors of different studies read alike.
    groups: dict[Prior, list[int]] = {}
    for i, prior in enumerate(priors):
        groups.setdefault(prior, []).append(i)
    out = np.empty_like(tau)
    for prior, rows in groups.items():
        out[rows] = prior.logpdf(tau[rows])
    return out


def _each(priors: tuple[Prior, ...], what: Callable[[Prior], float]) -> Array:
    """Return ``(m,)`` numbers, one of each prior; a prior that all share is asked once."""
    if len(set(map(id, priors))) == 1:
        return np.full(len(priors), what(priors[0]), dtype=float)
    return np.array([what(p) for p in priors], dtype=float)


def _ends(priors: tuple[Prior, ...]) -> tuple[Array, Array]:
    return _each(priors, lambda p: p.support[0])[:, None], _each(priors, lambda p: p.support[1])[:, None]


def tau_at(stack: Stack, u: Array) -> Array:
    """Return tau at ``(m, n)`` places of the axes: u is its log, or the logit of its place in a bounded support."""
    lower, upper = _ends(stack.tau)
    bounded = np.isfinite(upper)
    width = np.where(bounded, upper - lower, 1.0)
    return np.asarray(lower + np.where(bounded, width * expit(u), np.exp(np.where(bounded, 0.0, u))))


def axis_place(stack: Stack, tau: Array) -> Array:
    """Return the places of ``(m,)`` tau on the axes: the inverse of `tau_at`."""
    lower, upper = (end[:, 0] for end in _ends(stack.tau))
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = np.clip(tau, lower, upper) - lower
        bounded = np.isfinite(upper)
        share = inside / np.where(bounded, upper - lower, 1.0)
        return np.clip(np.where(bounded, logit(np.where(bounded, share, 0.5)), np.log(inside)), -400.0, 400.0)


def evaluate(stack: Stack, u: Array) -> Nodes:
    """Return everything at the ``(m, n)`` places u of the log (or logit) axis of tau."""
    lower, upper = _ends(stack.tau)
    bounded = np.isfinite(upper)
    width = np.where(bounded, upper - lower, 1.0)
    tau = tau_at(stack, u)
    jacobian = np.where(bounded, np.log(width) + log_expit(u) + log_expit(-u), u)
    S = np.empty((4, *u.shape))
    step = max(1, CHUNK // (u.shape[1] * stack.r.shape[1]))
    for i in range(0, len(u), step):
        rows = slice(i, i + step)
        total = stack.v[rows, None, :] + (tau[rows] ** 2)[:, :, None]
        w = 1.0 / total
        S[0, rows] = w.sum(axis=2)
        S[1, rows] = np.einsum("mnk,mk->mn", w, stack.r[rows])
        S[2, rows] = np.einsum("mnk,mk->mn", w, stack.r[rows] ** 2)
        S[3, rows] = np.log(np.where(np.isfinite(total), total, 1.0)).sum(axis=2)
    A = S[0] + stack.precision[:, None]
    c = S[1] + (stack.precision * stack.mean)[:, None]
    rss = S[2] + (stack.precision * stack.mean**2)[:, None] - c * c / A
    proper = stack.precision > 0
    constant = 0.5 * np.log(np.where(proper, stack.precision, 1.0)) - 0.5 * (stack.k - ~proper) * LOG_2PI
    loglik = constant[:, None] - 0.5 * (S[3] + np.log(A) + np.maximum(rss, 0.0))
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        logg = loglik + _log_prior(stack.tau, tau) + jacobian
    return Nodes(np.where(np.isnan(logg), -np.inf, logg), tau, c / A, 1.0 / A)


def place(stack: Stack) -> tuple[Array, Array, Stack]:
    """Return the middle and width of every posterior on its axis, and the analyses measured from their means."""
    _, upper = _ends(stack.tau)
    finite = np.where(np.isfinite(stack.v), stack.v, np.nan)
    spread = np.sqrt(np.nanmean(np.where(np.isfinite(stack.v), stack.r**2, np.nan), axis=1))
    scale = _each(stack.tau, lambda p: p.scale_hint())
    marks = np.stack([np.sqrt(np.nanmin(finite, axis=1)), np.sqrt(np.nanmax(finite, axis=1)), spread, scale], axis=1)
    marks = np.where(np.isfinite(marks) & (marks > 1e-130), marks, np.nan)
    bounded = np.isfinite(upper[:, 0])
    with np.errstate(invalid="ignore", divide="ignore"):
        u = np.log(np.where(bounded[:, None], np.clip(marks, None, 0.5 * upper) / upper, marks))
    low, high = np.nanmin(u, axis=1) - 6.0, np.where(bounded, 12.0, np.nanmax(u, axis=1) + 4.0)
    grid = np.linspace(0.0, 1.0, SCAN)
    for _ in range(4):
        at = low[:, None] + (high - low)[:, None] * grid
        nodes = evaluate(stack, at)
        mass = np.exp(nodes.logg - nodes.logg.max(axis=1, keepdims=True))
        seen = mass > 1e-9
        gap = (high - low) / (SCAN - 1)
        first, last = np.argmax(seen, axis=1), SCAN - 1 - np.argmax(seen[:, ::-1], axis=1)
        low, high = low + gap * (first - 1.0), low + gap * (last + 1.0)
        if np.median(last - first) > SCAN // 3:
            break
    mass /= mass.sum(axis=1, keepdims=True)
    middle = np.sum(mass * at, axis=1)
    width = np.sqrt(np.sum(mass * (at - middle[:, None]) ** 2, axis=1) + gap**2 / 6.0)
    return middle, width, stack.moved(np.sum(mass * nodes.b, axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """``u = middle + width * (t + 1 - exp(-t) + heavy * (exp(t) - 1))``, t from `left` to `right`; all ``(m,)``."""

    middle: Array
    width: Array
    heavy: Array
    left: Array
    right: Array

    def take(self, index: NDArray[np.intp]) -> "Axis":
        """Return the axes at `index`."""
        return Axis(*(getattr(self, f.name)[index] for f in fields(self)))

    def u(self, t: Array) -> Array:
        """Return u at ``(m, n)`` t."""
        middle, width, heavy = self.middle[:, None], self.width[:, None], self.heavy[:, None]
        return np.clip(middle + width * (t - np.expm1(-t) + heavy * np.expm1(np.minimum(t, 300.0))), -320.0, 320.0)

    def t(self, u: Array) -> Array:
        """Return ``(m,)`` t at ``(m,)`` u, by bisection and Newton's method within ``[left, right]``."""
        low, high = self.left.copy(), self.right.copy()
        t = 0.5 * (low + high)
        for _ in range(80):
            excess = self.u(t[:, None])[:, 0] - u
            low, high = np.where(excess > 0, low, t), np.where(excess > 0, t, high)
            new = t - excess * np.exp(-self.log_slope(t[:, None])[:, 0])
            new = np.where((new > low) & (new < high), new, 0.5 * (low + high))
            if np.all(np.abs(new - t) <= 1e-15 * (1.0 + np.abs(t))):
                break
            t = new
        return t

    def log_slope(self, t: Array) -> Array:
        """Return ``log(du/dt)``."""
        return np.log(self.width[:, None] * (1.0 + np.exp(-t) + self.heavy[:, None] * np.exp(np.minimum(t, 300.0))))


def exponent(stack: Stack) -> Array:
    """Return a where the posterior density of tau falls as tau^-a."""
    a = _each(stack.tau, lambda p: p.tail_exponent if math.isinf(p.support[1]) else math.inf)
    return np.asarray(a + stack.k - (stack.precision == 0))


def axis_of(stack: Stack, middle: Array, width: Array) -> Axis:
    """Return axes that reach as far as anything counts, the tail weighted for the variance included."""
    a = exponent(stack)
    bounded = np.isfinite(_each(stack.tau, lambda p: p.support[1]))
    slow = np.where(bounded, 1.0, np.minimum(a - 1.0, np.where(a > 3.0, a - 3.0, np.inf)))
    zero = _each(stack.tau, lambda p: 1.0 + p.origin_exponent if p.support[0] == 0.0 else 1.0)
    heavy = np.isfinite(slow).astype(float)
    width = width * SLOPE / (2.0 + heavy)
    left = np.log1p(REACH / (np.minimum(zero, 4.0) * width))
    right = np.log1p(REACH / (np.where(np.isfinite(slow), np.minimum(slow, 4.0), 1.0) * width))
    axis = Axis(middle, width, heavy, -left, right)
    light = np.flatnonzero(heavy == 0.0)
    if light.size:
        # No power law on the right: look where the density has died away.
        t = np.concatenate([np.arange(0.5, 8.0, 0.5), 8.0 * 1.25 ** np.arange(26)])
        nodes = evaluate(stack.take(light), axis.take(light).u(np.tile(t, (light.size, 1))))
        weighted = nodes.logg + 2.0 * np.maximum(np.log(nodes.tau) - middle[light, None], 0.0)
        start = evaluate(stack.take(light), middle[light, None]).logg
        gone = weighted < np.maximum(start, nodes.logg.max(axis=1, keepdims=True)) - REACH
        right[light] = np.where(gone.any(axis=1), t[np.argmax(gone, axis=1)], t[-1])
    return Axis(middle, width, heavy, -left, right)
