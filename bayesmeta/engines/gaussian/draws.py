"""Exact independent draws from a solved normal model: tau by its quantile function, the rest by its conditionals."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.engines.draws import draw_tau, tree_of
from bayesmeta.engines.gaussian.given_variances import condition
from bayesmeta.engines.gaussian.solution import Solution
from bayesmeta.values import Array

if TYPE_CHECKING:
    import xarray as xr


def draw(solution: Solution, n: int, rng: np.random.Generator) -> dict[str, Array]:
    """Return n joint draws: tau, beta ``(n, p)``, theta ``(n, k)``, and theta_new.

    theta_new belongs to the mean row of the design when there are moderators.
    """
    given, posed = solution.given, solution.problem
    tau = np.full(n, solution.tau[0]) if solution.rule is None else draw_tau(solution.rule, rng.random(n))
    at = condition(posed, tau)
    share = np.cumsum(np.exp(at.logw - at.loglik[:, None]), axis=1)
    component = np.minimum((rng.random(n)[:, None] > share).sum(axis=1), share.shape[1] - 1)
    mean, cov = at.mean[np.arange(n), component], at.cov[np.arange(n), component]
    root = np.linalg.cholesky(cov)
    gamma = mean + np.einsum("nij,nj->ni", root, rng.standard_normal(mean.shape))
    beta = np.tile(posed.origin, (n, 1))
    beta[:, posed.free] += gamma @ posed.S.T
    fitted = gamma @ posed.Z.T
    tau2 = (tau**2)[:, None]
    kept = tau2 / (posed.v + tau2)
    theta = (1.0 - kept) * fitted + kept * posed.r + np.sqrt(kept * posed.v) * rng.standard_normal(fitted.shape)
    theta = given.X @ posed.origin + theta
    out = {"beta": beta, "theta": theta}
    if solution.rule is not None:
        out |= {"tau": tau, "tau2": tau**2}
    if posed.terms == ("mu",):
        out["theta_new"] = beta[:, 0] + tau * rng.standard_normal(n)
    return out


def datatree(solution: Solution, data: Any, draws: int, seed: int | None) -> "xr.DataTree":
    """Return exact draws as an ArviZ DataTree."""
    given = solution.given
    values = draw(solution, draws, np.random.default_rng(seed))
    beta = values.pop("beta")
    axes = {"theta": ("study", list(given.study))}
    if given.terms == ("mu",):
        return tree_of({**values, "mu": beta[:, 0]}, axes, data, seed)
    return tree_of({**values, "beta": beta}, {**axes, "beta": ("term", list(given.terms))}, data, seed)
