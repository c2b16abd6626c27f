"""Normal hierarchical models of any structure: a lattice over the variance parameters, the rest in closed form."""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from bayesmeta.engines.axes.parameter_axis import ParameterAxis, parameter_axis
from bayesmeta.engines.axes.tau_prior import known_tau
from bayesmeta.engines.gaussian.given_variances import Problem, condition, flat_sums, problem
from bayesmeta.engines.gaussian.lattice import Lattice, integrate
from bayesmeta.engines.gaussian.nodes import NodeSolution, marginals, true_effects
from bayesmeta.engines.versions import versions
from bayesmeta.errors import ConvergenceError, ModelError
from bayesmeta.gaussian.covariance import Covariance
from bayesmeta.gaussian.power_tails import tails
from bayesmeta.gaussian.statement import Gaussian
from bayesmeta.gaussian.sums import kernel
from bayesmeta.model import Model
from bayesmeta.posterior import Diagnostics, Posterior
from bayesmeta.priors import Prior, fixed_value
from bayesmeta.values import Array, FrozenMap

# Largest error accepted, by the number of parameters, where none is asked for.
TOLERANCES = {0: 1e-9, 1: 1e-9, 2: 1e-9, 3: 1e-8, 4: 1e-4}
# Numbers that the coefficients' normal components may take at all nodes together.
MOST_NUMBERS = 40_000_000


def solve(
    model: Model,
    data: Any,
    priors: Mapping[str, Prior],
    given: Gaussian,
    *,
    seed: int | None = None,
    tolerance: float | None = None,
) -> Posterior:
    """Return the posterior of a normal hierarchical model with up to four variance parameters.

    Raises
    ------
    ModelError
        If there are more, the posterior is improper, or a prior is of a kind that the rule does not suit.
    ConvergenceError
        If the error estimate stays above `tolerance`.
    """
    solution = integrated(given, tolerance=tolerance)
    proper = all(prior.proper for prior in (*given.beta, *given.parameters.values()))
    asked = TOLERANCES[len(solution.free)] if tolerance is None else tolerance
    return Posterior(
        data=data,
        model=model,
        priors=priors,
        engine="quadrature",
        marginals=marginals(solution),
        theta=true_effects(solution),
        diagnostics=_diagnostics(solution),
        datatree=partial(_datatree, solution, data),
        log_evidence=solution.log_normaliser if proper else None,
        seed=seed,
        options=FrozenMap({"tolerance": asked}),
        versions=versions(),
        details=solution,
    )


def integrated(given: Gaussian, *, tolerance: float | None = None) -> NodeSolution:
    """Return the solved posterior of a normal hierarchical model."""
    for component in given.components:
        known_tau(component.prior)
    covariance = Covariance(given)
    free = tuple(i for i, prior in enumerate(given.parameters.values()) if fixed_value(prior) is None)
    if len(free) > 4:
        raise ModelError(
            f"There are {len(free)} variance parameters ({', '.join(given.parameters)}), and integrating over more "
            "than 4 takes too long. Use engine='nuts', or fix some, e.g. with point(0.5)."
        )
    _check_proper(given, len(free))
    posed, how = problem(given), tails(given, covariance)
    values = np.array([math.nan if (value := fixed_value(p)) is None else value for p in given.parameters.values()])

    def whole(psi: Array) -> Array:
        full = np.tile(values, (len(psi), 1))
        full[:, free] = psi
        return full

    def likelihood(psi: Array) -> tuple[Array, Array]:
        logdet, M = products(covariance.scales(whole(psi)))
        kept = flat_sums(M, logdet, posed.p)
        return condition(posed, np.zeros(len(psi)), kept).loglik, kept

    products = kernel(covariance, np.column_stack([posed.Z, posed.r]))
    if free:
        asked = TOLERANCES[len(free)] if tolerance is None else tolerance
        lattice = integrate(likelihood, _axes(given, posed, free), asked, heavy=how.heavy)
    else:
        lattice = _one_place(likelihood)
    posed = _pruned(posed, lattice)
    return NodeSolution(given, posed, covariance, free, lattice, whole(lattice.psi), how, products)


def _check_proper(given: Gaussian, several: int) -> None:
    for component in given.components:
        if not component.prior.proper and several > 1:
            raise ModelError(
                f"The prior {component.prior!r} of {component.name} is improper, which is answered for one variance "
                "parameter alone. Use a proper prior, e.g. half_normal(0.5), or engine='nuts'."
            )


def _one_place(likelihood: Any) -> Lattice:
    """Return the lattice of no parameter: one place, which holds everything."""
    value, extra = likelihood(np.zeros((1, 0)))
    empty = np.zeros((1, 0))
    return Lattice(
        (), np.zeros(0), np.zeros(0), empty.astype(np.int64), empty, value, np.ones(1), extra, float(value[0]),
        np.zeros(0), 1,
    )  # fmt: skip


def _axes(given: Gaussian, posed: Problem, free: tuple[int, ...]) -> list[ParameterAxis]:
    """Return the axis of each free parameter, in units of the smallest standard error."""
    priors = list(given.parameters.items())
    unit, spread = math.sqrt(float(posed.v.min())), float(np.ptp(posed.r))
    for name, prior in (priors[i] for i in free):
        if name in {c.name for c in given.correlations} and not (prior.support[0] >= -1.0 and prior.support[1] <= 1.0):
            raise ModelError(f"The prior {prior!r} of {name} reaches beyond (-1, 1): use lkj(2) or uniform(-1, 1).")
    correlated = {name for correlation in given.correlations for name in correlation.components}
    return [
        parameter_axis(name, prior, unit, spread, squared=name not in correlated)
        for name, prior in (priors[i] for i in free)
    ]


def _pruned(posed: Problem, lattice: Lattice) -> Problem:
    """Return the problem without components of the coefficients' priors that hold nothing.

    Raises
    ------
    ConvergenceError
        If the components take too much memory at all nodes together.
    """
    count, size = len(posed.components), len(lattice.mass) * max(posed.p, 1) ** 2
    if count == 1:
        return posed
    top = np.argsort(-lattice.mass)[:2000]
    at = condition(posed, np.zeros(len(top)), lattice.extra[top])
    share = at.logw - at.loglik[:, None] + np.log(lattice.mass[top] / lattice.mass.max())[:, None]
    kept = np.flatnonzero(share.max(axis=0) > -45.0)
    if len(kept) * size > MOST_NUMBERS:
        raise ConvergenceError(
            f"Student-t or Cauchy priors of coefficients make {len(kept)} normal components at each of "
            f"{len(lattice.mass)} nodes, which is too much. Use normal priors, a larger tolerance=, or engine='nuts'."
        )
    return replace(posed, components=posed.components.take(kept))


def _diagnostics(solution: NodeSolution) -> Diagnostics:
    names = [list(solution.given.parameters)[i] for i in solution.free]
    figures = {
        "error_estimate": solution.error_estimate,
        "nodes": float(len(solution.lattice.mass)),
        "evaluations": float(solution.lattice.evaluated),
    }
    over = (
        f"a lattice of {len(solution.lattice.mass)} places of {', '.join(names)}" if names else "nothing: all is known"
    )
    verdict = (
        f"Deterministic integration over {over}; leaving every other place out says that nothing is wrong by more than "
        f"{solution.error_estimate:.1e} (relative)."
    )
    return Diagnostics(ok=True, verdict=" ".join([verdict, *solution.notes()]), figures=FrozenMap(figures))


def _datatree(solution: NodeSolution, data: Any, draws: int, seed: int | None) -> Any:
    from bayesmeta.engines.gaussian.node_draws import datatree

    return datatree(solution, data, draws, seed)
