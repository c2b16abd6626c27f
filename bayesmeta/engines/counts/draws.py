"""Independent draws from a solved exact-likelihood model: tau, then mu, then every theta, each by its quantiles."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr

from bayesmeta.engines.axes.panels import ORDER, lagrange
from bayesmeta.engines.axes.sinc_quantiles import quantiles
from bayesmeta.engines.counts.average_laplace import theta_quantiles
from bayesmeta.engines.counts.kinks.draws import draw as draw_creased
from bayesmeta.engines.counts.kinks.solution import CreasedSolution
from bayesmeta.engines.counts.random_effects import StudentEffects
from bayesmeta.engines.counts.random_effects_cut import LimitedEffects
from bayesmeta.engines.counts.solution import ExactSolution
from bayesmeta.engines.draws import draw_tau, in_blocks, tree_of
from bayesmeta.likelihoods.cut_normal import quantile
from bayesmeta.values import Array

if TYPE_CHECKING:
    import xarray as xr


def _interpolated_rows(solution: ExactSolution, tau: Array) -> tuple[Array, Array, Array]:
    """Return centre, unit and grid densities of mu given each tau, between the nodes of tau.

    All three are smooth in tau, and each panel holds 16 Legendre nodes of it.
    """
    at, rule = solution.plane, solution.rule
    assert rule is not None
    panel, place = rule.panels.locate(tau)
    weight = lagrange(place)
    rows = panel[:, None] * ORDER + np.arange(ORDER)
    # Rows of a tau that has no probability are zero.
    shape = np.log(np.maximum(at.mass / np.maximum(at.mass.max(axis=1, keepdims=True), 1e-300), 1e-300))
    density = np.exp(np.einsum("nj,njm->nm", weight, shape[rows]))
    center = np.einsum("nj,nj->n", weight, at.center[rows])
    scale = np.exp(np.einsum("nj,nj->n", weight, np.log(at.scale)[rows]))
    return center, scale, density


def draw(solution: ExactSolution, n: int, rng: np.random.Generator) -> dict[str, Array]:
    """Return n joint draws of tau, mu, theta ``(n, k)`` and theta_new."""
    at = solution.plane
    k = len(solution.given.study)
    tau = np.full(n, at.tau[0]) if solution.rule is None else draw_tau(solution.rule, rng.random(n))
    mu = in_blocks(lambda *given: _mu(solution, *given), ORDER * len(at.u), tau, rng.random(n))
    if at.tau[-1] == 0.0:
        return {"mu": mu, "theta": np.repeat(mu[:, None], k, axis=1), "theta_new": mu}
    if isinstance(at.averages, StudentEffects):
        theta = _student_thetas(at.averages, k, mu, tau, rng)
        new = rng.standard_t(at.averages.df, n)
    else:
        theta = np.column_stack([theta_quantiles(at.curves.one(i), mu, tau, rng.random(n)) for i in range(k)])
        new = rng.standard_normal(n)
    known = {} if solution.rule is None else {"tau": tau, "tau2": tau**2}
    theta_new = mu + tau * new
    if isinstance(at.averages, LimitedEffects):
        theta_new = quantile(mu, tau, solution.given.support, ndtr(new))
    return {**known, "mu": mu, "theta": theta, "theta_new": theta_new}


def _mu(solution: ExactSolution, tau: Array, noise: Array) -> Array:
    """Draw mu given each tau by its quantiles."""
    at = solution.plane
    if solution.rule is None:
        center, scale, density = at.center[0], at.scale[0], np.broadcast_to(at.mass, (len(tau), len(at.u)))
    else:
        center, scale, density = _interpolated_rows(solution, tau)
    return at.axis.mu(at.u[0] + at.step * quantiles(density, noise), center, scale)


def _student_thetas(effects: StudentEffects, k: int, mu: Array, tau: Array, rng: np.random.Generator) -> Array:
    """Draw every study's true effect given mu and tau: first its mixing variable, then a normal."""
    # One grid of the mixing variable for all draws, whatever the blocks.
    lam, log_weight = effects.mixing(effects.least(mu, tau))

    def block(mu: Array, tau: Array, noise: Array, normal: Array, y: float, s: float) -> Array:
        v = s**2 + tau[:, None] ** 2 / lam
        log = log_weight - 0.5 * (y - mu[:, None]) ** 2 / v - 0.5 * np.log(v)
        place = quantiles(np.exp(log - log.max(axis=1, keepdims=True)), noise)
        drawn = lam[0] * (lam[1] / lam[0]) ** place
        kept = s**2 / (s**2 + tau**2 / drawn)
        mean = kept * mu + (1.0 - kept) * y
        return np.asarray(mean + s * np.sqrt(1.0 - kept) * normal)

    n = len(mu)
    return np.column_stack(
        [
            in_blocks(partial(block, y=float(y), s=float(s)), len(lam), mu, tau, rng.random(n), rng.standard_normal(n))
            for y, s in zip(effects.y[:k], effects.s[:k], strict=True)
        ]
    )


def datatree(solution: ExactSolution | CreasedSolution, data: Any, draws: int, seed: int | None) -> "xr.DataTree":
    """Return exact draws as an ArviZ DataTree."""
    rng = np.random.default_rng(seed)
    values = draw_creased(solution, draws, rng) if isinstance(solution, CreasedSolution) else draw(solution, draws, rng)
    return tree_of(values, {"theta": ("study", list(solution.given.study))}, data, seed)
