"""Exact likelihoods: the posterior of mu and tau in two dimensions, and the marginals it makes.

Nothing is approximated by a normal: each study enters with its own likelihood. Studies without
events need no correction.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.engines.axes.panels import TO_LEGENDRE, Rule
from bayesmeta.engines.axes.tau_posterior import (
    known_heterogeneity,
)
from bayesmeta.engines.axes.tau_prior import barely_proper, gathered, known_tau
from bayesmeta.engines.counts.grid.mu_tau_grid import plane
from bayesmeta.engines.counts.kinks.mu_tau_panels import sheet
from bayesmeta.engines.counts.kinks.random_effects import creased
from bayesmeta.engines.counts.kinks.solution import CreasedSolution
from bayesmeta.engines.counts.loglik_range import dies_away, theta_range
from bayesmeta.engines.counts.loglik_tables import RoughError
from bayesmeta.engines.counts.random_effects_cut import check_limited
from bayesmeta.engines.counts.solution import ExactSolution
from bayesmeta.engines.lazy import Lazy
from bayesmeta.engines.versions import versions
from bayesmeta.errors import ConvergenceError, ModelError
from bayesmeta.model import Model, StudyLikelihoods
from bayesmeta.posterior import Diagnostics, Marginal, Posterior
from bayesmeta.priors import Prior, fixed_value
from bayesmeta.priors.foreign import Wrapped
from bayesmeta.priors.mixtures import parts_of
from bayesmeta.values import FrozenMap

TOLERANCE = 1e-8


def integrate(given: StudyLikelihoods, *, tolerance: float = TOLERANCE) -> "ExactSolution | CreasedSolution":
    """Return the solved posterior of an exact-likelihood model.

    Raises
    ------
    ModelError
        If the random effects are of a kind this engine does not do, or the posterior is improper.
    ConvergenceError
        If the error estimate stays above `tolerance`.
    """
    if fixed_value(given.mu) is not None:
        raise ModelError(
            f"Quadrature of this model takes no known mean effect, and the prior {given.mu!r} fixes it. Use "
            "engine='nuts', or 'normal_normal', which takes one."
        )
    if _ends(given.mu) and given.random_effects != "normal":
        raise ModelError(
            f"Quadrature of this model takes priors of mu that are smooth on the whole line, not {given.mu!r}. "
            "Use engine='nuts', or approximate the prior, e.g. by normal(0, 2.82)."
        )
    if math.isfinite(given.support[0]):
        exponent = check_limited(given)
    else:
        _check_mu(given)
        exponent = _tail_exponent(given)
    limited, unending = math.isfinite(given.support[0]), given.tau is not None and barely_proper(given.tau)
    given = replace(given, tau=gathered(given.tau))
    if (limited and unending) or _ends(given.mu):
        # Given a tau far beyond the limits mu lies on all scales from theirs to that of its prior: panels hold that,
        # and a prior that ends or jumps.
        return integrate_creased(given, np.ones(len(given.study), dtype=bool), exponent, tolerance=tolerance)
    try:
        at = plane(given)
    except ConvergenceError as found:
        if isinstance(found, RoughError) and found.rough.any():
            return integrate_creased(given, found.rough, exponent, tolerance=tolerance)
        if _foreign(given.mu):
            raise ConvergenceError(
                f"The posterior was not resolved with the prior {given.mu!r} of mu. Where the density of another "
                "package's distribution has a kink or a cusp, such as Laplace's, is not known here. Use a prior that "
                "is smooth on the whole line, e.g. normal(0, 2.82), or a mixture of normals."
            ) from found
        raise
    if at.rule is None:
        return ExactSolution(given, at, None, math.inf, at.error)
    logg = at.log_weight.reshape(at.rule.x.shape) - np.log(at.rule.panels.weights())
    rule = Rule(at.rule.panels, at.rule.x, logg, at.rule.extra)
    error = _tolerable(max(at.error, _panel_error(rule)), tolerance, given)
    return ExactSolution(given, at, rule, exponent, error)


def _foreign(mu: Prior) -> bool:
    """Return whether a prior is another package's distribution, used through its own functions."""
    return any(isinstance(part, Wrapped) for part in parts_of(mu))


def _ends(mu: Prior) -> bool:
    """Return whether a prior of mu ends somewhere, or has a jump or a crease."""
    return mu.support != (-math.inf, math.inf) or bool(mu.breaks)


def integrate_creased(
    given: StudyLikelihoods, rough: NDArray[np.bool_], exponent: float, *, tolerance: float
) -> CreasedSolution:
    """Return the solved posterior where the likelihoods of some studies are known to be rough."""
    at = sheet(given, creased(given, rough, *theta_range(given)))
    error = at.error if at.rule is None else max(at.error, _panel_error(at.rule))
    if error > tolerance and not at.averages.rough.all():
        # A crease can be too faint for a table of the likelihood, and still be felt by sums over random effects.
        return integrate_creased(given, np.ones_like(rough), exponent, tolerance=tolerance)
    return CreasedSolution(given, at, exponent, _tolerable(error, tolerance, given))


def _tolerable(error: float, tolerance: float, given: StudyLikelihoods) -> float:
    """Return the error, if it is tolerable."""
    if not error <= tolerance:
        raise ConvergenceError(
            f"The error estimate of the posterior is {error:.1e}, above {tolerance:g}, with the priors {given.mu!r} of "
            f"mu and {given.tau!r} of tau. Check these, raise tolerance=, or use engine='nuts'."
        )
    return error


def _panel_error(rule: Rule) -> float:
    """Return the size of the last Legendre coefficients of the density of tau, squared: what Gauss's rule errs by."""
    density = np.exp(rule.logg - rule.logg.max())
    half = 0.5 * (rule.panels.right - rule.panels.left)
    tail = np.abs(density @ TO_LEGENDRE[-3:].T).max(axis=1) * half
    return float((tail.max() / (density * rule.panels.weights()).sum()) ** 2)


def _check_mu(given: StudyLikelihoods) -> None:
    """Refuse a flat prior of mu where no study bounds the effect on one side: the posterior is improper."""
    if given.mu.proper:
        return
    for side, held in zip(("below", "above"), dies_away(given).any(axis=0), strict=True):
        if not held:
            raise ModelError(
                f"The posterior is improper: with the prior {given.mu!r} of mu at least one study must bound the "
                f"effect from {side}, and none does (one arm has no events, or only events, in every study). "
                "Use a proper prior of mu, e.g. normal(0, 2.82)."
            )


def _tail_exponent(given: StudyLikelihoods) -> float:
    """Return a where the posterior density of tau falls as tau^-a.

    That is the prior's exponent, and one for each study that bounds its theta on both sides. A study
    whose likelihood stays positive towards one side (no events in one arm) does not.

    Raises
    ------
    ModelError
        If the posterior of tau has no finite mass.
    """
    if given.tau is None or math.isfinite(given.tau.support[1]) or math.isinf(given.tau.tail_exponent):
        return math.inf
    held = dies_away(given).all(axis=1)
    flat = 0 if given.mu.proper else 1
    exponent = given.tau.tail_exponent + float(held.sum()) - flat
    if exponent <= 1.0 and not (barely_proper(given.tau) and exponent == 1.0):
        raise ModelError(
            f"The posterior is improper: {int(held.sum())} of {len(held)} studies bound their true effect on "
            f"both sides, too few for the prior {given.tau!r} of tau. Use a proper one, e.g. half_normal(0.5)."
        )
    return exponent


def solve(
    model: Model,
    data: Any,
    priors: Mapping[str, Prior],
    given: StudyLikelihoods,
    *,
    seed: int | None = None,
    tolerance: float = TOLERANCE,
) -> Posterior:
    """Return the posterior of a model that gives each study's likelihood."""
    solution = integrate(given, tolerance=tolerance)
    # The prior of a baseline counts too: an improper one leaves an arbitrary factor in the evidence.
    proper = all(prior.proper for prior in priors.values())
    mu = Lazy({"mu": solution.mu})
    names: dict[str, Callable[[], Marginal]] = {"mu": partial(mu.__getitem__, "mu")}
    if known_tau(given.tau) == 0.0:
        # Without heterogeneity every true effect is the pooled one.
        names["theta_new"] = names["mu"]
        theta = dict.fromkeys(given.study, names["mu"])
    else:
        names["theta_new"] = solution.theta_new
        theta = {study: partial(solution.true_effect, i) for i, study in enumerate(given.study)}
    if solution.rule is not None:
        names |= {"tau": solution.tau, "tau2": solution.tau2}
    elif given.tau is not None:
        names |= known_heterogeneity(float(given.tau.support[0]))
    return Posterior(
        data=data,
        model=model,
        priors=priors,
        engine="quadrature",
        marginals=Lazy(names),
        theta=Lazy(theta),
        diagnostics=_diagnostics(solution),
        datatree=partial(_datatree, solution, data),
        log_evidence=solution.log_evidence if proper else None,
        seed=seed,
        options=FrozenMap({"tolerance": tolerance}),
        versions=versions(),
        details=solution,
    )


def _diagnostics(solution: ExactSolution | CreasedSolution) -> Diagnostics:
    nodes = solution.nodes
    verdict = (
        f"Deterministic integration over {nodes} nodes of mu and tau, exact likelihood; "
        f"estimated error {solution.error_estimate:.1e} (relative)."
    )
    figures = {"error_estimate": solution.error_estimate, "nodes": float(nodes)}
    return Diagnostics(ok=True, verdict=verdict, figures=FrozenMap(figures))


def _datatree(solution: ExactSolution | CreasedSolution, data: Any, draws: int, seed: int | None) -> Any:
    from bayesmeta.engines.counts.draws import datatree

    return datatree(solution, data, draws, seed)
