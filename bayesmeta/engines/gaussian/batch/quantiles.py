"""Quantiles of many mixtures, and of many densities on trapezoidal nodes, at once."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import bernoulli, ndtr, ndtri

from bayesmeta.values import Array

_ROOT_2PI = np.sqrt(2.0 * np.pi)


def _seen(
    pair: tuple[Array, Array], means: Array, sds: Array, smallest: float
) -> tuple[tuple[Array, Array], Array, Array]:
    """Return weights, means and SDs without the nodes at both ends that no quantile can notice.

    A third of the nodes weigh less than rounding errors; they are there for moments and the error estimate.
    """
    n = pair[0].shape[1]
    seen = pair[0] > 1e-20 * smallest
    first = np.argmax(seen, axis=1)
    width = int((n - np.argmax(seen[:, ::-1], axis=1) - first).max())
    at = np.minimum(first, n - width)[:, None] + np.arange(width)
    mass, thin, means, sds = (np.take_along_axis(a, at, axis=1) for a in (*pair, means, sds))
    return (mass, thin), means, sds


def mixture_quantiles(pair: tuple[Array, Array], means: Array, sds: Array, q: Array) -> tuple[Array, Array]:
    """Return the ``(m, q)`` quantiles of m mixtures of n normals, and how thinner nodes change their probabilities.

    Parameters
    ----------
    pair
        ``(m, n)`` weights, and those of the rule with every other node.
    means, sds
        ``(m, n)``.
    """
    (mass, thin), means, sds = _seen(pair, means, sds, float(np.minimum(q, 1.0 - q).min(initial=0.5)))
    out = np.empty((len(mass), len(q)))
    error = np.zeros(len(mass))
    # Tail weights decide how wide the bracket is, not the far nodes that hold nothing.
    seen = mass > 1e-20
    for j, p in enumerate(q):
        rising = p <= 0.5
        target = np.log(p if rising else 1.0 - p)
        each = means + sds * ndtri(p)
        low = np.where(seen, each, np.inf).min(axis=1)
        high = np.where(seen, each, -np.inf).max(axis=1)
        middle = np.sum(mass * means, axis=1)
        spread = np.exp(np.sum(mass * np.log(sds), axis=1))
        x = np.clip(middle + spread * ndtri(p), low, high)
        live = np.arange(len(mass))
        for iteration in range(200):
            w, m, s = mass[live], means[live], sds[live]
            z = (x[live, None] - m) / s
            tail = np.sum(w * ndtr(z if rising else -z), axis=1)
            each = w * np.exp(-0.5 * z * z) / s
            slope = np.sum(each, axis=1) / _ROOT_2PI
            bend = -np.sum(each * z / s, axis=1) / _ROOT_2PI
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                excess = (np.log(tail) - target) * (1.0 if rising else -1.0)
                step = excess * tail / slope
                # Halley's correction, on log(tail): where it is no small one, Newton's step is kept.
                turn = 0.5 * step * (bend / slope - (1.0 if rising else -1.0) * slope / tail)
                step = np.where(np.abs(turn) < 0.5, step / (1.0 - turn), step)
            low[live] = np.where(excess > 0, low[live], x[live])
            high[live] = np.where(excess > 0, x[live], high[live])
            new = x[live] - step
            settled = np.abs(step) <= 1e-14 * (np.abs(x[live]) + spread[live])
            stray = ~((new > low[live]) & (new < high[live])) | (iteration > 8 and iteration % 3 == 0)
            new = np.where(stray & ~settled, 0.5 * (low[live] + high[live]), new)
            x[live] = np.where(settled, x[live], new)
            live = live[~settled & (high[live] - low[live] > 1e-15 * spread[live])]
            if live.size == 0:
                break
        error[live] = np.inf
        z = (x[:, None] - means) / sds
        error = np.maximum(error, np.abs(np.sum((mass - thin) * ndtr(z), axis=1)))
        out[:, j] = x
    return out, error


def tau_quantiles(pair: tuple[Array, Array], q: Array) -> tuple[Array, Array]:
    """Return ``(m, q)`` places of the quantiles, in steps from the first node, and an error estimate of each analysis.

    Up to a node the trapezoidal sum is the integral but for the Euler-Maclaurin terms of that end; its
    derivatives, and the way on from the node, are those of the polynomial through the seventeen nearest nodes.
    """
    mass, thin = pair
    out = np.empty((len(mass), len(q)))
    error = np.zeros(len(mass))
    for j, p in enumerate(q):
        out[:, j] = _tau_quantile(mass, float(p))
        coarse = 2.0 * _tau_quantile(thin[:, ::2], float(p))
        near = np.clip(np.round(out[:, j]).astype(int), 0, mass.shape[1] - 1)
        change = np.abs(coarse - out[:, j]) * mass[np.arange(len(mass)), near]
        # A rule of order 16 errs 65536 times less with half the step, once the nodes resolve the density.
        error = np.maximum(error, change / 100.0)
    return out, error


_REACH = 8
_STENCIL = np.arange(-_REACH, _REACH + 1)
_TO_POWERS = np.linalg.inv(np.vander(_STENCIL / _REACH, increasing=True)) / (
    float(_REACH) ** np.arange(2 * _REACH + 1)[:, None]
)
_ODD = np.arange(1, 2 * _REACH, 2)
# B_2k / (2k)! times (2k - 1)!: what multiplies the polynomial's odd coefficients.
_END = bernoulli(2 * _REACH)[_ODD + 1] / (_ODD + 1.0)


def _local(mass: Array, node: NDArray[np.intp]) -> tuple[Array, Array]:
    """Return the probability up to each analysis' node, and the polynomial of the density from there on."""
    rows = np.arange(len(mass))
    sums = np.cumsum(mass, axis=1)[rows, node] - 0.5 * mass[rows, node]
    padded = np.pad(mass, ((0, 0), (_REACH, _REACH)))
    powers = padded[rows[:, None], node[:, None] + _REACH + _STENCIL] @ _TO_POWERS.T
    return sums - powers[:, _ODD] @ _END, powers


def _onwards(powers: Array, place: Array) -> Array:
    """Return the probability from the node on to `place` steps behind it."""
    degree = np.arange(2 * _REACH + 1)
    return np.asarray(place * np.sum(powers / (degree + 1.0) * place[:, None] ** degree, axis=1))


def tau_exceeds(mass: Array, place: Array) -> Array:
    """Return ``(m,)`` probabilities that tau lies beyond `place`, in steps from the first node."""
    n = mass.shape[1]
    node = np.clip(np.round(place), 0, n - 1).astype(int)
    start, powers = _local(mass, node)
    below = start + _onwards(powers, np.clip(place - node, -1.0, 1.0))
    return np.clip(1.0 - below, 0.0, 1.0)


def _tau_quantile(mass: Array, p: float) -> Array:
    n = mass.shape[1]
    sums = np.cumsum(mass, axis=1) - 0.5 * mass
    node = np.clip(np.argmax(sums >= p, axis=1), 1, n - 1) - 1
    start, powers = _local(mass, node)
    place = np.full(len(mass), 0.5)
    for _ in range(60):
        slope = np.sum(powers * place[:, None] ** np.arange(2 * _REACH + 1), axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            change = (start + _onwards(powers, place) - p) / slope
        place = np.clip(np.where(np.isfinite(change), place - change, place), -1.0, 2.0)
        if np.all(np.abs(change) < 1e-13):
            break
    return np.asarray(node + place)
