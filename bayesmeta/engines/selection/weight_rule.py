"""The weights of a selection model integrated out, and what is known of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from bayesmeta.engines.selection.interval_chances import Chances
from bayesmeta.values import Array

# Doubles held at once: 6 MB, so that a step stays near the processor.
CHUNK = 800_000
# Log of the density's peak over that at the ends of a window, beyond that of the tolerance.
MARGIN = 4.0
# Nodes of each share tried in turn.
COUNTS = (8, 11, 15, 20, 26, 34, 44)
# Studies whose chances are multiplied before one logarithm is taken.
TOGETHER = 7


@dataclass(frozen=True, slots=True, eq=False)
class WeightRule:
    """Nodes of the shares v, with ``omega_j = v_j omega_(j+1)``.

    Parameters
    ----------
    u, log_weight
        For each share its nodes ``u = sqrt(v)`` and the logs of their weights, prior and counts included.
    windows
        Ends of each share's nodes.
    """

    u: tuple[Array, ...]
    log_weight: tuple[Array, ...]
    windows: tuple[tuple[float, float], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of nodes of each share."""
        return tuple(len(u) for u in self.u)

    def grid(self) -> tuple[Array, Array]:
        """Return ``(J, N)`` weights at all nodes, and ``(N,)`` logs of the nodes' own weights."""
        v = [axis.ravel() ** 2 for axis in np.meshgrid(*self.u, indexing="ij")]
        log = sum(axis.ravel() for axis in np.meshgrid(*self.log_weight, indexing="ij"))
        omega = [np.ones_like(v[0])]
        for share in reversed(v):
            omega.insert(0, omega[0] * share)
        return np.array(omega), np.asarray(log)


def rule(counts: Array, windows: Sequence[tuple[float, float]], nodes: int) -> WeightRule:
    """Return Gauss-Legendre rules on windows of u.

    Parameters
    ----------
    counts
        ``(J,)`` results in each interval, the least significant first.
    windows
        Ends of each share's window.
    """
    x, w = np.polynomial.legendre.leggauss(nodes)
    below = np.cumsum(counts[:-1])
    u, log_weight = [], []
    for j, (low, high) in enumerate(windows):
        at = low + 0.5 * (high - low) * (x + 1.0)
        # v_j has density (j + 1) v^j; the counts of this interval and those below it are its power; dv = 2 u du.
        power = 2.0 * (j + below[j]) + 1.0
        u.append(at)
        log_weight.append(np.log(0.5 * (high - low) * w) + np.log(2.0 * (j + 1.0)) + power * np.log(at))
    return WeightRule(tuple(u), tuple(log_weight), tuple(windows))


def log_integrand(chances: Chances, P: Array, grid: tuple[Array, Array]) -> Array:
    """Return ``(n, N)`` logs of prior times likelihood of the weights, at the nodes."""
    omega, log = grid
    out = np.broadcast_to(log, (len(P), len(log))).copy()
    whole = bool(np.all(chances.weight == 1.0))
    product_of: Array | None = None
    for i in range(P.shape[1]):
        reported = P[:, i] @ omega
        if not whole:
            out -= chances.weight[i] * np.log(reported)
            continue
        product_of = reported if product_of is None else product_of * reported
        if i % TOGETHER == TOGETHER - 1 or i == P.shape[1] - 1:
            out -= np.log(product_of)
            product_of = None
    return out


def integrated(chances: Chances, mu: Array, tau: Array, chosen: WeightRule) -> tuple[Array, Array]:
    """Return ``(n,)`` logs of the integral over the weights, and their ``(n, J - 1)`` means."""
    grid = chosen.grid()
    step = max(1, CHUNK // grid[1].size)
    value, mean = np.empty(len(mu)), np.empty((len(mu), len(chosen.u)))
    for i in range(0, len(mu), step):
        at = slice(i, i + step)
        log = log_integrand(chances, chances.at(mu[at], tau[at]), grid)
        peak = log.max(axis=1)
        density = np.exp(log - peak[:, None])
        total = density.sum(axis=1)
        value[at] = peak + np.log(total)
        mean[at] = (density @ grid[0][:-1].T) / total[:, None]
    return value, mean


def found_rule(
    chances: Chances, counts: Array, mu: Array, tau: Array, base: Array, tolerance: float
) -> tuple[WeightRule, float]:
    """Return a rule that is exact to `tolerance` where the posterior is, and its error.

    Parameters
    ----------
    mu, tau, base
        ``(n,)`` places, and the log density there without the weights.
    """
    m = len(counts) - 1
    windows = [(0.0, 1.0)] * m
    for _ in range(3):
        coarse = rule(counts, windows, 24 if m == 1 else 14 if m == 2 else 10)
        grid = coarse.grid()
        joint = np.full(grid[1].size, -np.inf)
        step = max(1, CHUNK // grid[1].size)
        for i in range(0, len(mu), step):
            at = slice(i, i + step)
            log = log_integrand(chances, chances.at(mu[at], tau[at]), grid) + base[at, None]
            joint = np.maximum(joint, log.max(axis=0))
        # A node's own weight is no part of the density.
        joint = (joint - joint.max()).reshape(coarse.shape)
        found = []
        for j in range(m):
            along = joint.max(axis=tuple(i for i in range(m) if i != j))
            held = np.flatnonzero(along > math.log(tolerance) - MARGIN)
            u = coarse.u[j]
            low = windows[j][0] if held[0] == 0 else float(u[held[0] - 1])
            high = windows[j][1] if held[-1] == len(u) - 1 else float(u[held[-1] + 1])
            found.append((low, high))
        settled = all(b - a > 0.7 * (d - c) for (a, b), (c, d) in zip(found, windows, strict=True))
        windows = found
        if settled:
            break
    some = np.argsort(-base)[:: max(1, len(base) // 40)][:40]
    last: Array | None = None
    for nodes in COUNTS:
        chosen = rule(counts, windows, nodes)
        value, _ = integrated(chances, mu[some], tau[some], chosen)
        if last is not None:
            share = np.exp(value + base[some] - logsumexp(value + base[some]))
            error = float(share @ np.abs(value - last))
            if error < tolerance:
                return chosen, error
        last = value
    return chosen, error


def share_masses(chances: Chances, mu: Array, tau: Array, mass: Array, chosen: WeightRule) -> Array:
    """Return the posterior probabilities of the nodes of the weights, ``chosen.shape``."""
    grid = chosen.grid()
    step = max(1, CHUNK // grid[1].size)
    total = np.zeros(grid[1].size)
    for i in range(0, len(mu), step):
        at = slice(i, i + step)
        log = log_integrand(chances, chances.at(mu[at], tau[at]), grid)
        density = np.exp(log - log.max(axis=1)[:, None])
        total += (mass[at] / density.sum(axis=1)) @ density
    return total.reshape(chosen.shape)
