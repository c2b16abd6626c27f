"""Exact independent draws from a solved normal model: tau by its quantile function, the rest by its conditionals."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.engines.nodes import TO_LEGENDRE, WEIGHTS, Rule
from bayesmeta.engines.normal.gaussian import condition
from bayesmeta.engines.normal.solution import Solution
from bayesmeta.engines.observed import observed_groups
from bayesmeta.engines.versions import versions
from bayesmeta.marginals.axis import from_axis
from bayesmeta.values import Array

if TYPE_CHECKING:
    import xarray as xr


def draw_tau(rule: Rule, uniform: Array) -> Array:
    """Return the quantiles of tau at `uniform`, from the polynomial that interpolates its density on each panel.

    The panels are so short that the interpolant is exact to about 1e-12; no evaluation of the likelihood is needed.
    """
    g = rule.masses() / rule.panels.weights() * WEIGHTS
    mass = rule.masses().sum(axis=1)
    below = np.concatenate([[0.0], np.cumsum(mass)])
    target = uniform * below[-1]
    panel = np.clip(np.searchsorted(below, target, side="right") - 1, 0, len(mass) - 1)
    half = 0.5 * (rule.panels.right - rule.panels.left)
    coefficients = (g / WEIGHTS) @ TO_LEGENDRE.T * half[:, None]
    cumulative = np.polynomial.legendre.legint(coefficients.T, lbnd=-1)
    low, high = np.full(len(uniform), -1.0), np.full(len(uniform), 1.0)
    rest, series = target - below[panel], cumulative[:, panel]
    for _ in range(52):
        middle = 0.5 * (low + high)
        over = np.polynomial.legendre.legval(middle, series, tensor=False) > rest
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    u = rule.panels.left[panel] + half[panel] * (1.0 + 0.5 * (low + high))
    return from_axis(u, rule.panels.lower[panel], rule.panels.upper[panel])


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
    beta[:, posed.free] += np.linalg.solve(posed.R, gamma.T).T
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


def _provenance(seed: int | None) -> dict[str, str | int]:
    """Return what the attributes of a tree of exact draws say of their making."""
    made: dict[str, str | int] = {
        "engine": "quadrature",
        "sampling": "exact independent draws",
        "bayesmeta_version": versions()["bayesmeta"],
    }
    return made if seed is None else {**made, "seed": seed}


def tree_of(
    variables: Mapping[str, Array], axes: Mapping[str, tuple[str, list[str]]], data: Any, seed: int | None
) -> "xr.DataTree":
    """Return exact draws as an ArviZ DataTree with one chain: they are independent.

    Parameters
    ----------
    variables
        Name to ``(draws,)`` or ``(draws, n)``.
    axes
        Of the vectors among them: the dimension's name and labels.
    data
        What was analysed.
    """
    import xarray as xr

    draws = len(next(iter(variables.values())))
    coords: dict[str, Any] = {"chain": [0], "draw": np.arange(draws)} | dict(axes.values())
    named: dict[str, Any] = {
        name: (("chain", "draw", *axes[name][:1]) if name in axes else ("chain", "draw"), value[None])
        for name, value in variables.items()
    }
    groups = {"posterior": xr.Dataset(named, coords=coords, attrs=_provenance(seed)), **observed_groups(data)}
    return xr.DataTree.from_dict({f"/{name}": dataset for name, dataset in groups.items()})


def datatree(solution: Solution, data: Any, draws: int, seed: int | None) -> "xr.DataTree":
    """Return exact draws as an ArviZ DataTree."""
    given = solution.given
    values = draw(solution, draws, np.random.default_rng(seed))
    beta = values.pop("beta")
    axes = {"theta": ("study", list(given.study))}
    if given.terms == ("mu",):
        return tree_of({**values, "mu": beta[:, 0]}, axes, data, seed)
    return tree_of({**values, "beta": beta}, {**axes, "beta": ("term", list(given.terms))}, data, seed)
