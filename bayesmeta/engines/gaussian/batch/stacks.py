r"""Thousands of normal random-effects analyses in one vectorised call.

Every analysis gets its own axis, placed where its posterior lies: ``u = log tau`` is linear in t in the
middle and exponential in t towards tau = 0, and towards infinity where the posterior falls as a power of tau
(Takahasi & Mori 1974, Publ. RIMS 9:721-741). The trapezoidal rule in t then converges geometrically with few
nodes, the same number for all. Comparing it with every other node gives each analysis its own error estimate;
those above the tolerance are done again with twice the nodes, and those the rule does not suit by the adaptive
engine. The rule is independent of the panels of `bayesmeta.engines.axes.panels`, so the two check each other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from bayesmeta.engines.gaussian.batch.axis import (
    CHUNK,
    Axis,
    Nodes,
    Stack,
    axis_of,
    axis_place,
    evaluate,
    exponent,
    place,
    tau_at,
)
from bayesmeta.engines.gaussian.batch.quantiles import mixture_quantiles, tau_exceeds, tau_quantiles
from bayesmeta.engines.gaussian.batch.single import single
from bayesmeta.gaussian.prior_components import normals
from bayesmeta.model import Gaussian
from bayesmeta.priors import fixed_value
from bayesmeta.values import Array

# Half the number of nodes, doubled as needed.
SIZES = (56, 112, 224)
# How far the tail's exponent must be beyond that of a moment that exists, for the rule to reach where the moment ends.
JUST = 0.75

type Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """What is asked of each of m analyses.

    Parameters
    ----------
    quantiles
        ``(q,)`` probabilities.
    above
        ``(m, a)`` thresholds of mu and of a new study's effect.
    tau_above
        ``(m, b)`` thresholds of tau.
    """

    quantiles: Array
    above: Array
    tau_above: Array


@dataclass(frozen=True, slots=True, eq=False)
class Summaries:
    """What is reported of each of m analyses.

    Parameters
    ----------
    mu_mean, mu_sd, tau_mean, tau_sd, theta_new_sd
        ``(m,)`` moments, infinite where they do not exist.
    mu_quantile, tau_quantile, theta_new_quantile
        ``(m, q)``.
    mu_above, theta_new_above, tau_above
        ``(m, a)`` and ``(m, b)`` probabilities of exceeding each threshold.
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
    tau_above: Array
    theta_new_sd: Array
    theta_new_quantile: Array
    theta_new_above: Array
    log_evidence: Array
    error_estimate: Array
    nodes: Array


def solve_many(given: Sequence[Gaussian], wanted: Wanted, tolerance: float, progress: bool = False) -> Summaries:
    """Return the summaries of many analyses, each to `tolerance` by its own error estimate.

    Parameters
    ----------
    given
        What each analysis' model offers.
    wanted
        What is asked.
    tolerance
        Largest error estimate accepted, relative to the posterior's scale.
    progress
        Whether to count the analyses that need the adaptive engine.

    Raises
    ------
    ModelError, ConvergenceError
        As `bayesmeta.fit` for the first analysis that has no answer.
    """
    m, q = len(given), len(wanted.quantiles)
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys((f.name for f in fields(Summaries)), (m,))
    shapes |= dict.fromkeys(("mu_quantile", "tau_quantile", "theta_new_quantile"), (m, q))
    shapes |= dict.fromkeys(("mu_above", "theta_new_above"), wanted.above.shape)
    shapes["tau_above"] = wanted.tau_above.shape
    out = Summaries(**{name: np.full(shape, np.nan) for name, shape in shapes.items()})
    plain = np.array([_suits(g) for g in given], dtype=bool)
    left = [i for i in range(m) if not plain[i]]
    for stack in _stacks(given, np.flatnonzero(plain)):
        left += _stack(stack, out, wanted, tolerance)
    _one_by_one(given, sorted(left), out, wanted, progress)
    return out


def _suits(given: Gaussian) -> bool:
    """Return whether an analysis has the plain form: an intercept, a normal or flat prior, a smooth prior of tau."""
    prior, mu = given.tau, given.beta[0]
    if (
        given.X.shape[1] != 1
        or np.any(given.X != 1.0)
        or prior is None
        or any(fixed_value(p) is not None for p in (prior, mu))
    ):
        return False
    if getattr(mu, "name", "") not in ("normal", "flat") or prior.breaks or getattr(prior, "components", ()):
        return False
    flat = 0 if mu.proper else 1
    exponent = prior.tail_exponent + len(given.y) - flat if math.isinf(prior.support[1]) else math.inf
    # Tails too slow for a short rule go to the adaptive engine, improper posteriors among them: the density's own, and
    # those of the mean and of the mean square where they only just exist.
    slow = exponent < 1.2 or any(r < exponent < r + JUST for r in (2.0, 3.0))
    return not slow and (prior.support[0] > 0.0 or prior.origin_exponent > -0.8)


def _stacks(given: Sequence[Gaussian], index: NDArray[np.intp]) -> list[Stack]:
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


def _stack(stack: Stack, out: Summaries, wanted: Wanted, tolerance: float) -> list[int]:
    """Fill `out` for one stack; return the analyses that the rule does not suit."""
    step = max(1, CHUNK // (2 * SIZES[0] + 1))
    left: list[int] = []
    for i in range(0, len(stack.r), step):
        part = stack.take(np.arange(i, min(i + step, len(stack.r))))
        middle, width, part = place(part)
        axis = axis_of(part, middle, width)
        for half in SIZES:
            error = _fill(part, axis, half, out, wanted)
            again = np.flatnonzero(~(error <= tolerance))
            part, axis = part.take(again), axis.take(again)
            if again.size == 0:
                break
        left += [int(j) for j in part.index]
    return left


def _fill(stack: Stack, axis: Axis, half: int, out: Summaries, wanted: Wanted) -> Array:
    """Solve one stack with ``2 half + 1`` nodes, write its summaries, return ``(m,)`` error estimates."""
    step = (axis.right - axis.left) / (2 * half)
    t = axis.left[:, None] + step[:, None] * np.arange(2 * half + 1)
    nodes = evaluate(stack, axis.u(t))
    logw = nodes.logg + axis.log_slope(t) + np.log(step)[:, None]
    peak = logw.max(axis=1)
    mass = np.exp(logw - peak[:, None])
    total = mass.sum(axis=1)
    mass /= total[:, None]
    # The rule with every other node, twice their weights.
    thin = mass * np.where(np.arange(2 * half + 1) % 2 == 0, 2.0, 0.0)
    change = [np.abs(np.log(thin.sum(axis=1)))]
    thin /= thin.sum(axis=1, keepdims=True)
    infinite = _tail(stack)
    moments, thinner = _moments(mass, nodes), _moments(thin, nodes)
    change.append(np.abs(moments[0] - thinner[0]) / np.sqrt(moments[1]))
    for x, y in zip(moments[1:], thinner[1:], strict=True):
        change.append(np.where(infinite[1], 0.0, np.abs(np.log(x / y))))
    _write(out, stack.index, stack, moments, infinite, peak + np.log(total))
    change += _write_mu(out, stack, nodes, (mass, thin), wanted)
    error = _write_tau(out, stack, axis, (mass, thin), wanted)
    # Twice the nodes square the error of such a rule; the power 1.5 leaves a margin.
    error = np.maximum(np.minimum(np.max(change, axis=0), 1.0) ** 1.5, error)
    error = np.where(np.maximum(mass[:, 0], mass[:, -1]) > 1e-13, np.inf, error)
    out.error_estimate[stack.index] = error
    out.nodes[stack.index] = 2 * half + 1
    return np.asarray(error)


def _write_mu(out: Summaries, stack: Stack, nodes: Nodes, pair: tuple[Array, Array], wanted: Wanted) -> list[Array]:
    """Write quantiles and probabilities of mu and of a new study's effect; return the changes with fewer nodes."""
    rows, changes = stack.index, []
    away = [wanted.above[rows, j, None] - stack.origin[:, None] - nodes.b for j in range(wanted.above.shape[1])]
    for name, var in (("mu", nodes.V), ("theta_new", nodes.V + nodes.tau**2)):
        sd = np.sqrt(var)
        place, error = mixture_quantiles(pair, nodes.b, sd, wanted.quantiles)
        getattr(out, f"{name}_quantile")[rows] = stack.origin[:, None] + place
        for j, distance in enumerate(away):
            getattr(out, f"{name}_above")[rows, j] = np.sum(pair[0] * ndtr(-distance / sd), axis=1)
        changes.append(error)
    return changes


def _write_tau(out: Summaries, stack: Stack, axis: Axis, pair: tuple[Array, Array], wanted: Wanted) -> Array:
    """Write quantiles and probabilities of tau; return error estimates."""
    rows, n = stack.index, pair[0].shape[1]
    step = (axis.right - axis.left)[:, None] / (n - 1)
    steps, error = tau_quantiles(pair, wanted.quantiles)
    out.tau_quantile[rows] = tau_at(stack, axis.u(axis.left[:, None] + step * steps))
    for j in range(wanted.tau_above.shape[1]):
        place = (axis.t(axis_place(stack, wanted.tau_above[rows, j])) - axis.left) / step[:, 0]
        out.tau_above[rows, j] = tau_exceeds(pair[0], place)
    return error


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


def _one_by_one(given: Sequence[Gaussian], left: list[int], out: Summaries, wanted: Wanted, progress: bool) -> None:
    """Fill `out` for the analyses that need the adaptive engine."""
    from rich.progress import track

    for i in track(left, "Analyses with tails or priors of their own", disable=not progress):
        values = single(given[i], wanted.quantiles, wanted.above[i], wanted.tau_above[i])
        for name, value in values.items():
            getattr(out, name)[i] = value
