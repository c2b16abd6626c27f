r"""Thousands of normal random-effects analyses in one vectorised call.

Every analysis gets its own axis, placed where its posterior lies: ``u = log tau`` is linear in t in the
middle and exponential in t towards tau = 0, and towards infinity where the posterior falls as a power of tau
(Takahasi & Mori 1974, Publ. RIMS 9:721-741). The trapezoidal rule in t then converges geometrically with few
nodes, the same number for all. Comparing it with every other node gives each analysis its own error estimate;
those above the tolerance are done again with twice the nodes, and those the rule does not suit by the adaptive
engine. The rule is independent of the panels of `bayesmeta.engines.nodes`, so the two check each other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from bayesmeta.engines.batch_axis import CHUNK, Axis, Nodes, Stack, axis_of, evaluate, exponent, place, tau_at
from bayesmeta.engines.batch_quantiles import mixture_quantiles, tau_quantiles
from bayesmeta.engines.batch_single import single
from bayesmeta.engines.components import normals
from bayesmeta.engines.gaussian import is_point
from bayesmeta.model import GaussianMarginal
from bayesmeta.values import Array

# Half the number of nodes, doubled as needed.
SIZES = (56, 112, 224)

type Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Summaries:
    """What is reported of each of m analyses.

    Parameters
    ----------
    mu_mean, mu_sd, tau_mean, tau_sd, theta_new_sd
        ``(m,)`` moments, infinite where they do not exist.
    mu_quantile, tau_quantile, theta_new_quantile
        ``(m, q)``.
    mu_above, theta_new_above
        ``(m, a)`` probabilities of exceeding each threshold.
    log_evidence
        ``(m,)`` log marginal likelihood; nan where a prior is improper.
    error_estimate, nodes
        ``(m,)`` largest relative change on refinement, and nodes used.
    """

    mu_mean: Array
    mu_sd: Array
    mu_quantile: Array
    mu_above: Array
    tau_mean: Array
    tau_sd: Array
    tau_quantile: Array
    theta_new_sd: Array
    theta_new_quantile: Array
    theta_new_above: Array
    log_evidence: Array
    error_estimate: Array
    nodes: Array


def solve_many(
    given: Sequence[GaussianMarginal], quantiles: Array, above: Array, tolerance: float, progress: bool = False
) -> Summaries:
    """Return the summaries of many analyses, each to `tolerance` by its own error estimate.

    Parameters
    ----------
    given
        What each analysis' model offers.
    quantiles
        ``(q,)`` probabilities.
    above
        ``(a,)`` thresholds on the analysis scale.
    tolerance
        Largest error estimate accepted, relative to the posterior's scale.
    progress
        Whether to count the analyses that need the adaptive engine.

    Raises
    ------
    ModelError, ConvergenceError
        As `bayesmeta.fit` for the first analysis that has no answer.
    """
    m, q, a = len(given), len(quantiles), len(above)
    shapes = {"quantile": (m, q), "above": (m, a)}
    out = Summaries(*(np.full(shapes.get(f.name.rpartition("_")[2], (m,)), np.nan) for f in fields(Summaries)))
    plain = np.array([_suits(g) for g in given], dtype=bool)
    left = [i for i in range(m) if not plain[i]]
    for stack in _stacks(given, np.flatnonzero(plain)):
        left += _stack(stack, out, quantiles, above, tolerance)
    _one_by_one(given, sorted(left), out, quantiles, above, progress)
    return out


def _suits(given: GaussianMarginal) -> bool:
    """Return whether an analysis has the plain form: an intercept, a normal or flat prior, a smooth prior of tau."""
    prior, mu = given.tau, given.beta[0]
    if given.X.shape[1] != 1 or np.any(given.X != 1.0) or prior is None or is_point(prior) or is_point(mu):
        return False
    if getattr(mu, "name", "") not in ("normal", "flat") or prior.breaks or getattr(prior, "components", ()):
        return False
    flat = 0 if mu.proper else 1
    exponent = prior.tail_exponent + len(given.y) - flat if math.isinf(prior.support[1]) else math.inf
    # Tails too slow for a short rule, improper posteriors among them, go to the adaptive engine.
    slow = exponent < 1.2 or 3.0 < exponent < 3.2
    return not slow and (prior.support[0] > 0.0 or prior.origin_exponent > -0.8)


def _stacks(given: Sequence[GaussianMarginal], index: NDArray[np.intp]) -> list[Stack]:
    """Return the plain analyses in stacks of similar numbers of studies, padded with studies that say nothing."""
    sizes = np.array([len(given[i].y) for i in index], dtype=int)
    stacks = []
    # Widths grow by a factor of 1.4, so that at most that much is padding.
    width = np.where(sizes <= 4, sizes, np.ceil(2.0 ** (np.ceil(np.log2(np.maximum(sizes, 1)) * 2) / 2))).astype(int)
    for columns in np.unique(width):
        chosen = index[width == columns]
        r, v = np.zeros((len(chosen), columns)), np.full((len(chosen), columns), np.inf)
        for row, i in enumerate(chosen):
            k = len(given[i].y)
            r[row, :k], v[row, :k] = given[i].y, given[i].v
        prior = [normals(given[i].beta[0], "mu") for i in chosen]
        origin = r[np.arange(len(chosen)), np.argmin(v, axis=1)]
        precision = np.array([p[2][0] for p in prior])
        stack = Stack(
            r,
            v,
            np.isfinite(v).sum(axis=1),
            np.zeros(len(chosen)),
            np.array([p[1][0] for p in prior]),
            precision,
            tuple(given[i].tau for i in chosen),
            chosen,
        )
        stacks.append(stack.moved(origin))
    return stacks


def _stack(stack: Stack, out: Summaries, quantiles: Array, above: Array, tolerance: float) -> list[int]:
    """Fill `out` for one stack; return the analyses that the rule does not suit."""
    step = max(1, CHUNK // (2 * SIZES[0] + 1))
    left: list[int] = []
    for i in range(0, len(stack.r), step):
        part = stack.take(np.arange(i, min(i + step, len(stack.r))))
        middle, width, part = place(part)
        axis = axis_of(part, middle, width)
        for half in SIZES:
            error = _fill(part, axis, half, out, quantiles, above)
            again = np.flatnonzero(~(error <= tolerance))
            part, axis = part.take(again), axis.take(again)
            if again.size == 0:
                break
        left += [int(j) for j in part.index]
    return left


def _fill(stack: Stack, axis: Axis, half: int, out: Summaries, quantiles: Array, above: Array) -> Array:
    """Solve one stack with ``2 half + 1`` nodes, write its summaries, return ``(m,)`` error estimates."""
    step = (axis.right - axis.left) / (2 * half)
    t = axis.left[:, None] + step[:, None] * np.arange(2 * half + 1)
    nodes = evaluate(stack, axis.u(t))
    logw = nodes.logg + axis.log_slope(t) + np.log(step)[:, None]
    peak = logw.max(axis=1)
    mass = np.exp(logw - peak[:, None])
    total = mass.sum(axis=1)
    mass /= total[:, None]
    every_other = np.where(np.arange(2 * half + 1) % 2 == 0, 2.0, 0.0)
    thin = mass * every_other
    change = [np.abs(np.log(thin.sum(axis=1)))]
    thin /= thin.sum(axis=1, keepdims=True)
    rows, pair = stack.index, (mass, thin)
    infinite = _tail(stack)
    moments = [_moments(w, nodes) for w in pair]
    sd = np.sqrt(moments[0][1])
    change += [np.abs(moments[0][0] - moments[1][0]) / sd]
    change += [
        np.where(infinite[1], 0.0, np.abs(np.log(x / y))) for x, y in zip(moments[0][1:], moments[1][1:], strict=True)
    ]
    mu, mu_error = mixture_quantiles(pair, nodes.b, np.sqrt(nodes.V), quantiles)
    new, new_error = mixture_quantiles(pair, nodes.b, np.sqrt(nodes.V + nodes.tau**2), quantiles)
    steps, tau_error = tau_quantiles(pair, quantiles)
    change += [mu_error, new_error]
    _write(out, rows, stack, moments[0], infinite, peak + np.log(total))
    out.mu_quantile[rows] = stack.origin[:, None] + mu
    out.theta_new_quantile[rows] = stack.origin[:, None] + new
    out.tau_quantile[rows] = tau_at(stack, axis.u(axis.left[:, None] + step[:, None] * steps))
    for j, threshold in enumerate(above):
        away = threshold - stack.origin[:, None] - nodes.b
        out.mu_above[rows, j] = np.sum(mass * ndtr(-away / np.sqrt(nodes.V)), axis=1)
        out.theta_new_above[rows, j] = np.sum(mass * ndtr(-away / np.sqrt(nodes.V + nodes.tau**2)), axis=1)
    # Twice the nodes square the error of such a rule; the power 1.5 leaves a margin.
    error = np.maximum(np.minimum(np.max(change, axis=0), 1.0) ** 1.5, tau_error)
    ends = np.maximum(mass[:, 0], mass[:, -1])
    error = np.where(ends > 1e-13, np.inf, error)
    out.error_estimate[rows] = error
    out.nodes[rows] = 2 * half + 1
    return np.asarray(error)


def _tail(stack: Stack) -> tuple[Flags, Flags]:
    """Return which analyses have no mean and which no variance of tau."""
    a = exponent(stack)
    return a <= 2.0001, a <= 3.0001


def _moments(mass: Array, nodes: Nodes) -> tuple[Array, Array, Array, Array, Array]:
    """Return mean and variance of mu, mean and variance of tau, variance of theta_new."""
    mean = np.sum(mass * nodes.b, axis=1)
    var = np.sum(mass * (nodes.V + (nodes.b - mean[:, None]) ** 2), axis=1)
    tau = np.sum(mass * nodes.tau, axis=1)
    tau_var = np.sum(mass * (nodes.tau - tau[:, None]) ** 2, axis=1)
    return mean, var, tau, tau_var, var + np.sum(mass * nodes.tau**2, axis=1)


def _write(
    out: Summaries,
    rows: NDArray[np.intp],
    stack: Stack,
    moments: tuple[Array, ...],
    infinite: tuple[Flags, Flags],
    logz: Array,
) -> None:
    mean, var, tau, tau_var, new_var = moments
    no_mean, no_sd = infinite
    flat = stack.precision == 0
    out.mu_mean[rows] = stack.origin + mean
    out.mu_sd[rows] = np.where(no_sd & flat, np.inf, np.sqrt(var))
    out.tau_mean[rows] = np.where(no_mean, np.inf, tau)
    out.tau_sd[rows] = np.where(no_sd, np.inf, np.sqrt(tau_var))
    out.theta_new_sd[rows] = np.where(no_sd, np.inf, np.sqrt(new_var))
    proper = ~flat & np.array([p.proper for p in stack.tau])
    out.log_evidence[rows] = np.where(proper, logz, np.nan)


def _one_by_one(
    given: Sequence[GaussianMarginal], left: list[int], out: Summaries, quantiles: Array, above: Array, progress: bool
) -> None:
    """Fill `out` for the analyses that need the adaptive engine."""
    from rich.progress import track

    for i in track(left, "Analyses with tails or priors of their own", disable=not progress):
        values = single(given[i], quantiles, above)
        for name, value in values.items():
            getattr(out, name)[i] = value
