r"""Probability of a study's two binomial counts when its arms' log odds are jointly normal.

The log odds are :math:`x_1 = m_1 + l_{11} u` and :math:`x_2 = m_2 + l_{21} u + l_{22} v` with independent standard
normal u and v. Over (u, v) the integrand is log-concave and at least as narrow as the normal distribution, so it has
one peak, and Newton's method finds it from everywhere.

The integral over v at each u, about its own peak, and the one over u are sums by the trapezoid rule, which converges
faster than any power of its step (Trefethen & Weideman 2014, SIAM Review 56:385-458). Step and range are those that
each study and each draw need on each axis. Gauss-Hermite rules take fewer nodes for ordinary tables, but an arm
without events has a likelihood that is flat and then falls, like no normal: there 41 by 41 nodes err by up to 2e-4,
and rules of different size agree with each other by accident.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.errors import ConvergenceError
from bayesmeta.likelihoods.counts import binomial_logpmf
from bayesmeta.values import Array

# Relative change by which sums over every third node, from each of three starts, may differ from the sum over all. They
# estimate the error of thrice the step, and it does not vanish from all three starts by accident, as it can with twice
# the step. That of the step itself is about its third power: at most 3e-7 in 20,000 tables made to be difficult, with
# standard deviations up to 6, and 1.3e-5 where the draw makes the counts less probable than exp(-30). Where log odds
# vary by 10 to 50 an arm without events makes it 2e-5.
TOLERANCE = 5e-4
# The integrand must have fallen by this (log scale) at the ends of both axes: 12 would leave 1e-7 of it, and 30 takes a
# third more nodes for nothing.
FALL = 23.0
# Nodes are sinh(STRETCH t) / STRETCH, nearly even where a normal has its mass and wider apart in a longer tail. Of even
# ones it takes four times as many, and of those stretched half or twice as much twice as many.
STRETCH = 0.3
# t begins with HALF steps to either side, and takes WIDER more where that does not do. A first grid up to twice as
# coarse or 1.4 times as fine, or one that is widened in other strides, ends with 1 to 1.5 times as many nodes.
STEP, HALF, WIDER = 0.42, 13, 3
# Nodes spent on one study at one draw, of which there are thousands: a third of a second.
MOST_NODES = 2_000_000
# Elements worked on at once: with a tenth it takes twice the time, with ten times as many no less.
CHUNK = 20_000
# Pairs of arms held in memory, with a dozen numbers each.
BLOCK = 20_000
# Newton's steps end when one would gain less than this (log scale). The peak only centres the nodes: from 1e-10 to 1
# the sums take as many, and are as good.
GAIN = 1e-6


def binomial_pair_loglik(
    events: tuple[Array, Array],
    n: tuple[Array, Array],
    mean: tuple[Array, Array],
    factor: tuple[Array, Array, Array],
    study: tuple[str, ...],
) -> Array:
    """Return each study's log probability of both arms' events at every draw, its log odds integrated out.

    Parameters
    ----------
    events, n
        ``(k,)`` of the first and of the second arm.
    mean
        Means of the arms' log odds, one for each draw, of any one shape.
    factor
        Lower triangular factor of the log odds' covariance matrix, of the same shape: ``l11, l21, l22``.
    study
        ``(k,)`` labels, for messages.

    Returns
    -------
    Array
        The shape of the draws, and ``k`` behind it.

    Raises
    ------
    ConvergenceError
        If a probability is not reached.
    """
    parameters = np.stack(np.broadcast_arrays(*mean, *factor)).astype(np.float64)
    draws = parameters.reshape(5, -1, 1)
    k, size = len(study), max(1, BLOCK // len(study))
    counts = np.stack([*events, *n])[:, None, :]
    out = np.empty((draws.shape[1], k))
    for start in range(0, len(out), size):
        block = slice(start, start + size)
        pairs = _peaked(*_flat(counts, draws[:, block]))
        value, failed = _integrals(pairs)
        if failed.size:
            at, i = divmod(int(failed[0]), k)
            _, _, *spread = draws[:, start + at, 0]
            raise ConvergenceError(
                f"Study {study[i]!r}: the probability of its events takes more than {MOST_NODES} nodes at a draw in "
                f"which log odds vary by {np.hypot(spread[1], spread[2]):.3g} between studies. Use priors of the "
                "standard deviations with lighter tails, e.g. half_normal(2)."
            )
        out[block] = value.reshape(-1, k)
    return out.reshape(*parameters.shape[1:], k)


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Integrands of ``P`` pairs of arms over (u, v).

    ``peak`` ``(2, P)`` is where each is highest. ``shape`` ``(2, P)`` is the first column of the lower triangular
    factor of the inverse of its curvature there: the width in u, and how far the peak of v moves with it.
    """

    events: Array
    n: Array
    mean: Array
    factor: Array
    peak: Array
    shape: Array

    def take(self, index: NDArray[np.intp]) -> "_Pairs":
        """Return those at `index` alone."""
        fields = (self.events, self.n, self.mean, self.factor, self.peak, self.shape)
        return _Pairs(*(field[:, index] for field in fields))

    def terms(self, z1: Array, z2: Array) -> Array:
        """Return ``(P, n1, n2)`` logs of the integrand at nodes about the peak, and about that of v at each u."""
        l11, l21, l22 = self.factor[:, :, None]
        u = self.peak[0, :, None] + self.shape[0, :, None] * z1
        along = binomial_logpmf(self.events[0, :, None], self.n[0, :, None], self.mean[0, :, None] + l11 * u)
        along = along - 0.5 * u * u + np.log(self.shape[0, :, None])
        logit = self.mean[1, :, None] + l21 * u
        begin = self.peak[1, :, None] + self.shape[1, :, None] * z1
        v, width = _centred(self.events[1, :, None], self.n[1, :, None], logit, l22, begin)
        at = v[:, :, None] + width[:, :, None] * z2
        log = binomial_logpmf(
            self.events[1, :, None, None], self.n[1, :, None, None], logit[:, :, None] + l22[:, :, None] * at
        )
        log -= 0.5 * at * at
        log += (along + np.log(width))[:, :, None]
        return log


def _centred(events: Array, n: Array, logit: Array, spread: Array, begin: Array) -> tuple[Array, Array]:
    """Return about where the integrand over v is highest, and its width there: a few of Newton's steps."""
    at = begin
    for _ in range(8):
        p = special.expit(logit + spread * at)
        bend = 1.0 + spread**2 * n * p * (1.0 - p)
        step = np.clip((spread * (events - n * p) - at) / bend, -2.0, 2.0)
        at = at + step
        if np.all(np.abs(step) < 0.1):
            break
    return at, 1.0 / np.sqrt(bend)


def _flat(counts: Array, draws: Array) -> tuple[Array, Array, Array, Array]:
    """Return events, n, means and factors of every study at every draw, ``(.., P)`` each."""
    shape = (draws.shape[1], counts.shape[2])
    events, n = (np.broadcast_to(part, (2, *shape)).reshape(2, -1) for part in (counts[:2], counts[2:]))
    mean, factor = (np.broadcast_to(p, (len(p), *shape)).reshape(len(p), -1) for p in (draws[:2], draws[2:]))
    return events, n, mean, factor


def _peaked(events: Array, n: Array, mean: Array, factor: Array) -> _Pairs:
    """Return the integrands with their peaks: Newton's steps, halved until they climb."""

    def height(at: Array) -> Array:
        return np.asarray((binomial_logpmf(events, n, _log_odds(mean, factor, at)) - 0.5 * at**2).sum(axis=0))

    # Begin where normal likelihoods of the empirical log odds would have their peak.
    weight = (events + 0.5) * (n - events + 0.5) / (n + 1.0)
    residual = weight * (np.log((events + 0.5) / (n - events + 0.5)) - mean)
    at = _solved(_curvature(factor, weight), _slope(factor, residual))
    now = height(at)
    for _ in range(100):
        p = special.expit(_log_odds(mean, factor, at))
        bend, rise = _curvature(factor, n * p * (1.0 - p)), _slope(factor, events - n * p) - at
        step = _solved(bend, rise)
        gain = (step * rise).sum(axis=0)
        if not np.any(gain > GAIN * (1.0 + 1e-6 * np.abs(now))):
            break
        at, now = _climbed(height, at, now, step, rise)
    _, b, c, determinant = bend
    s11 = np.sqrt(c / determinant)
    return _Pairs(events, n, mean, factor, at, np.stack([s11, -b / c * s11]))


def _log_odds(mean: Array, factor: Array, at: Array) -> Array:
    """Return ``(2, P)`` log odds of the arms at ``(2, P)`` places of (u, v)."""
    l11, l21, l22 = factor
    return np.stack([mean[0] + l11 * at[0], mean[1] + l21 * at[0] + l22 * at[1]])


def _slope(factor: Array, residual: Array) -> Array:
    """Return ``(2, P)`` slopes of the log likelihood in u and v, from those in the log odds."""
    l11, l21, l22 = factor
    return np.stack([l11 * residual[0] + l21 * residual[1], l22 * residual[1]])


def _curvature(factor: Array, weight: Array) -> Array:
    """Return the elements and the determinant of minus the integrand's curvature, from that in the log odds."""
    l11, l21, l22 = factor
    w1, w2 = weight
    c = 1.0 + l22**2 * w2
    # The determinant in terms that do not cancel.
    return np.stack([1.0 + l11**2 * w1 + l21**2 * w2, l21 * l22 * w2, c, (1.0 + l11**2 * w1) * c + l21**2 * w2])


def _climbed(height: Callable[[Array], Array], at: Array, now: Array, step: Array, rise: Array) -> tuple[Array, Array]:
    """Return the places after steps that were halved until they climb by what their slopes promise, and the heights."""
    for _ in range(60):
        new = height(at + step)
        # By next to any part of it, and not by what rounding takes.
        short = new < now + 1e-4 * (step * rise).sum(axis=0) - 1e-9 * (1.0 + np.abs(now))
        if not short.any():
            break
        step = np.where(short, 0.5 * step, step)
    return at + step, new


def _solved(matrix: Array, vector: Array) -> Array:
    """Return the solutions of symmetric systems of two equations, whose determinants come with their elements."""
    a, b, c, determinant = matrix
    return np.asarray(np.stack([c * vector[0] - b * vector[1], a * vector[1] - b * vector[0]]) / determinant)


def _integrals(pairs: _Pairs) -> tuple[Array, NDArray[np.intp]]:
    """Return the logs of the integrals, ``(P,)``, and the indices of those that were not reached."""
    out = np.empty(pairs.events.shape[1])
    failed: list[NDArray[np.intp]] = []
    # How often the step was halved and the range widened, on the first and on the second axis, to which pairs.
    todo = {(0, 0, 0, 0): np.arange(len(out))}
    while todo:
        # What a pair needs next is a greater key, so pairs that need the same meet.
        key = min(todo)
        index = todo.pop(key)
        axes = [_axis(halved, widened) for halved, widened in (key[:2], key[2:])]
        if len(axes[0][0]) * len(axes[1][0]) > MOST_NODES:
            failed.append(index)
            continue
        value, change, ends = _sums(pairs.take(index), axes)
        widen = ends > -FALL
        # A sum that is cut off says nothing about its step.
        halve = (change > TOLERANCE * (1.0 + 1e-8 * np.abs(value))) & ~widen.any(axis=0)
        need = np.stack([halve[0], widen[0], halve[1], widen[1]])
        out[index] = value
        for more in np.unique(need[:, need.any(axis=0)], axis=1).T:
            after = (key[0] + int(more[0]), key[1] + int(more[1]), key[2] + int(more[2]), key[3] + int(more[3]))
            same = index[(need == more[:, None]).all(axis=0)]
            todo[after] = np.concatenate([todo.get(after, same[:0]), same])
    return out, np.concatenate(failed) if failed else np.empty(0, dtype=np.intp)


def _axis(halved: int, widened: int) -> tuple[Array, Array]:
    """Return nodes, the middle one at 0, and their log weights."""
    step, half = STEP / 2**halved, (HALF + WIDER * widened) * 2**halved
    t = STRETCH * step * np.arange(-half, half + 1)
    return np.sinh(t) / STRETCH, np.log(np.cosh(t)) + np.log(step)


def _sums(pairs: _Pairs, axes: list[tuple[Array, Array]]) -> tuple[Array, Array, Array]:
    """Return log sums ``(P,)``, how a third of an axis's nodes changes them, and how high its ends are, ``(2, P)``."""
    (z1, w1), (z2, w2) = axes
    size, count = max(1, CHUNK // (len(z1) * len(z2))), pairs.events.shape[1]
    starts = range(0, count, size)
    parts = [_part(pairs.take(np.arange(s, min(s + size, count))), z1, z2, w1[:, None] + w2) for s in starts]
    value, change, ends = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
    return value - np.log(2.0 * np.pi), change, ends


def _part(pairs: _Pairs, z1: Array, z2: Array, log_weight: Array) -> tuple[Array, Array, Array]:
    log = pairs.terms(z1, z2)
    log += log_weight
    peak = log.max(axis=(1, 2))
    log -= peak[:, None, None]
    ends = np.stack([log[:, [0, -1], :].max(axis=(1, 2)), log[:, :, [0, -1]].max(axis=(1, 2))])
    np.exp(log, out=log)
    rows, columns = log.sum(axis=2), log.sum(axis=1)
    total = rows.sum(axis=1)
    thirds = np.array([[part[:, start::3].sum(axis=1) for start in range(3)] for part in (rows, columns)])
    return peak + np.log(total), np.abs(3.0 * thirds / total - 1.0).max(axis=1), ends
