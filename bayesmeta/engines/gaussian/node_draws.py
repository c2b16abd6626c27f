"""Exact independent draws from a posterior on a lattice: variance parameters by rejection, the rest in closed form."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.engines.draws import tree_of
from bayesmeta.engines.gaussian.given_variances import condition, flat_sums
from bayesmeta.engines.gaussian.lattice import Lattice, codes
from bayesmeta.engines.gaussian.nodes import NodeSolution
from bayesmeta.errors import ConvergenceError
from bayesmeta.gaussian.simulate import draw_effects
from bayesmeta.values import Array

if TYPE_CHECKING:
    import xarray as xr


def draw(solution: NodeSolution, n: int, rng: np.random.Generator) -> dict[str, Array]:
    """Return n joint draws: variance parameters, ``beta (n, p)``, ``effects (n, q)``, and what is new."""
    given, posed = solution.given, solution.problem
    psi, extra = _parameters(solution, n, rng)
    at = condition(posed, np.zeros(n), extra)
    share = np.cumsum(np.exp(at.logw - at.loglik[:, None]), axis=1)
    which = np.minimum((rng.random(n)[:, None] > share).sum(axis=1), share.shape[1] - 1)
    mean, cov = at.mean[np.arange(n), which], at.cov[np.arange(n), which]
    gamma = mean + np.einsum("nij,nj->ni", np.linalg.cholesky(cov), rng.standard_normal(mean.shape))
    beta = np.tile(posed.origin, (n, 1))
    beta[:, posed.free] += gamma @ posed.S.T
    wanted = {**given.reported, **given.predicted}
    fixed = {label: (effect, beta @ effect.x) for label, effect in wanted.items()}
    drawn = draw_effects(solution.covariance, psi, beta @ given.X.T, given.y, fixed, rng)
    parameters = {name: psi[:, i] for i, name in enumerate(given.parameters)}
    effects = np.column_stack([drawn[label] for label in given.reported])
    return {**parameters, "beta": beta, "effects": effects, **{label: drawn[label] for label in given.predicted}}


def _parameters(solution: NodeSolution, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return ``(n, d)`` variance parameters and what the likelihood keeps at them.

    Proposals come from the density that interpolates linearly between the places; a smooth density is within a few
    percent of it, and the rest is done by rejection.
    """
    lattice, d = solution.lattice, len(solution.free)
    if d == 0:
        return np.tile(solution.psi, (n, 1)), np.tile(lattice.extra, (n, 1))
    found: list[tuple[Array, Array]] = []
    short, bound = n, 0.0
    for _ in range(200):
        t, density = _proposed(lattice, 2 * short + 1000, rng)
        psi = np.tile(solution.psi[:1], (len(t), 1))
        for j, place in enumerate(solution.free):
            psi[:, place] = lattice.axes[j].x(t[:, j])
        logdet, M = solution.kernel(solution.covariance.scales(psi))
        extra = flat_sums(M, logdet, solution.problem.p)
        log = condition(solution.problem, np.zeros(len(t)), extra).loglik
        log = log + sum(axis.log_weight(t[:, j]) for j, axis in enumerate(lattice.axes))
        ratio = np.exp(log - lattice.log_density.max()) / density
        if ratio.max() > bound:
            # A higher bound than was known: what was accepted before was so with too high a probability.
            bound, found = 1.05 * float(ratio.max()), []
        accepted = rng.random(len(t)) * bound < ratio
        found.append((psi[accepted], extra[accepted]))
        short = n - sum(len(part[0]) for part in found)
        if short <= 0:
            return np.concatenate([part[0] for part in found])[:n], np.concatenate([part[1] for part in found])[:n]
    raise ConvergenceError("Draws of the variance parameters were not accepted. Report the data and priors as a bug.")


def _proposed(lattice: Lattice, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return places and their density, relative to the highest: linear between the lattice's places."""
    folded = np.array([axis.folded for axis in lattice.axes])
    height = np.exp(lattice.log_density - lattice.log_density.max())
    picked = rng.choice(len(height), n, p=lattice.mass)
    # The sum of two uniforms is a tent as wide as two steps.
    at = lattice.place[picked] + rng.random((n, len(folded))) - rng.random((n, len(folded)))
    at = np.where(folded, np.abs(at), at)
    low = np.floor(at).astype(np.int64)
    order = np.argsort(known := codes(lattice.place))
    density = np.zeros(n)
    for corner in np.ndindex(*[2] * len(folded)):
        place = low + np.array(corner)
        code = codes(place)
        i = order[np.searchsorted(known, code, sorter=order).clip(max=len(order) - 1)]
        share = np.prod(1.0 - np.abs(at - place), axis=1)
        density += np.where(known[i] == code, height[i], 0.0) * share
    return lattice.base + at * lattice.step, density


def datatree(solution: NodeSolution, data: Any, draws: int, seed: int | None) -> "xr.DataTree":
    """Return exact draws as an ArviZ DataTree."""
    given = solution.given
    values = draw(solution, draws, np.random.default_rng(seed))
    beta, effects = values.pop("beta"), values.pop("effects")
    axes = {"theta": ("effect", list(given.reported))}
    values["theta"] = effects
    if given.one_mean:
        return tree_of({**values, "mu": beta[:, 0]}, axes, data, seed)
    return tree_of({**values, "beta": beta}, {**axes, "beta": ("term", list(given.terms))}, data, seed)
