"""Normal likelihoods: one quadrature over tau, everything else in closed form."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from bayesmeta.engines.axes import panels as nodes
from bayesmeta.engines.axes.tau_prior import barely_proper, gathered, known_tau, tail_exponent
from bayesmeta.engines.gaussian.given_variances import (
    Conditional,
    Problem,
    condition,
    problem,
    true_effect,
    weighted_sums,
)
from bayesmeta.engines.gaussian.solution import Solution, marginals, thetas
from bayesmeta.engines.versions import versions
from bayesmeta.errors import ConvergenceError
from bayesmeta.model import Gaussian, Model
from bayesmeta.posterior import Diagnostics, Posterior
from bayesmeta.priors import Prior
from bayesmeta.values import Array, FrozenMap

TOLERANCE = 1e-10
# Squared distance, in posterior SDs, from which measuring from somewhere else loses digits.
FAR_SQUARED = 1e3
_STEPS = np.array([-6.0, -2.0, 0.0, 2.0, 6.0])


def solve(
    model: Model,
    data: Any,
    priors: Mapping[str, Prior],
    given: Gaussian,
    *,
    seed: int | None = None,
    tolerance: float = TOLERANCE,
) -> Posterior:
    """Return the posterior of a model whose true effects integrate out analytically."""
    solution = integrate(given, tolerance=tolerance)
    proper = (given.tau is None or given.tau.proper) and all(prior.proper for prior in given.beta)
    return Posterior(
        data=data,
        model=model,
        priors=priors,
        engine="quadrature",
        marginals=marginals(solution),
        theta=thetas(solution),
        diagnostics=_diagnostics(solution),
        datatree=partial(_datatree, solution, data),
        log_evidence=solution.log_normaliser if proper else None,
        seed=seed,
        options=FrozenMap({"tolerance": tolerance}),
        versions=versions(),
        details=solution,
    )


def integrate(given: Gaussian, *, tolerance: float = TOLERANCE) -> Solution:
    """Return the solved posterior of ``y ~ N(X beta, diag(v) + tau^2 I)``.

    Raises
    ------
    ModelError
        If the posterior is improper.
    ConvergenceError
        If refining the nodes changes the answer by more than `tolerance`.
    """
    known = known_tau(given.tau)
    posed = problem(given)
    if known is not None:
        tau = np.array([known])
        at = condition(posed, tau)
        error = _scale_error(given, posed, at, np.zeros(1))
        posed, exponent, rule = _pruned(posed, at, np.zeros(1)), math.inf, None
        solved = Solution(given, posed, rule, tau, np.ones(1), float(at.loglik[0]), exponent, error)
    else:
        assert given.tau is not None
        exponent = tail_exponent(given.tau, posed.k, posed.components.n_flat)
        prior = gathered(given.tau)
        assert prior is not None
        given = given.with_priors({given.components[0].name: prior})
        posed, rule, change = _rule(given, posed, exponent, tolerance)
        mass, tau = rule.masses().ravel(), rule.x.ravel()
        at = condition(posed, tau, rule.extra.reshape(tau.size, -1))
        error = max(change, _scale_error(given, posed, at, rule.logg.ravel()))
        solved = Solution(given, posed, rule, tau, mass / mass.sum(), rule.log_total(), exponent, error)
    noise = 8.0 * np.finfo(float).eps * abs(solved.log_normaliser)
    if not error <= max(tolerance, noise):
        raise ConvergenceError(
            f"Refining the nodes still changes the posterior by {error:.1e}, above {tolerance:g}. "
            "Check the priors, raise tolerance=, or use engine='nuts'."
        )
    return solved


def _rule(given: Gaussian, posed: Problem, exponent: float, tolerance: float) -> tuple[Problem, nodes.Rule, float]:
    """Return the problem without idle components, the panels of tau and the last change."""
    prior = given.tau
    assert prior is not None
    # With a tail that falls as the prior's 1 / tau, the moment of one power less than the exponent's still exists.
    margin = 1e-9 if barely_proper(prior) else 0.0
    order = next((r for r in (4.0, 2.0, 1.0) if exponent + margin > r + 1.0), 0.0)

    # Where the tail is a power of tau, the moments' share beyond this is added in closed form.
    reach = math.inf if math.isinf(exponent) or order == 0.0 else 300.0 / order

    def logf(tau: Array) -> tuple[Array, Array]:
        sums = weighted_sums(posed, tau)
        return condition(posed, tau, sums).loglik + prior.logpdf(tau), sums

    low, high = prior.support
    cuts = sorted({low, *(b for b in prior.breaks if low < b < high), high})
    rule = nodes.evaluate(logf, nodes.first_panels(list(pairwise(cuts)), _landmarks(posed, prior)))
    rule = nodes.refine(logf, rule, order=order, reach=reach)
    nodes.check_enclosed(rule)
    moved = _recentred(given, posed, rule)
    if moved is not None:
        return _rule(given, moved, exponent, tolerance)
    if len(posed.components) > 1:
        at = condition(posed, rule.x.ravel(), rule.extra.reshape(rule.x.size, -1))
        posed = _pruned(posed, at, rule.logg.ravel())
    watch = Watched.of(posed, rule)
    rule = nodes.refine(logf, rule, watch.features, order=order, reach=reach)
    coarse = watch.integrals(rule, order)
    change = math.inf
    for _ in range(5):
        rule = nodes.evaluate(logf, rule.panels.split())
        fine = watch.integrals(rule, order)
        change, coarse = float(np.max(np.abs(fine - coarse))), fine
        if change <= max(0.1 * tolerance, 8.0 * np.finfo(float).eps * abs(rule.log_total())):
            break
    return posed, rule, change


def _recentred(given: Gaussian, posed: Problem, rule: nodes.Rule) -> Problem | None:
    """Return the problem measured from the posterior mean when the data's own fit is too far from it to keep digits."""
    mass = rule.masses().ravel()
    at = condition(posed, rule.x.ravel(), rule.extra.reshape(rule.x.size, -1))
    weight = (mass / mass.sum())[:, None] * np.exp(at.logw - at.loglik[:, None])
    mean = np.einsum("nc,ncp->p", weight, at.mean)
    spread = np.einsum("nc,ncii->i", weight, at.cov) + np.einsum("nc,nci->i", weight, (at.mean - mean) ** 2)
    if posed.p == 0 or float(np.max(mean**2 / spread)) < FAR_SQUARED:
        return None
    return problem(given, origin=posed.origin[posed.free] + posed.S @ mean)


def _scale_error(given: Gaussian, posed: Problem, at: Conditional, logg: Array) -> float:
    """Return how much more components for a Student-t prior would change the log likelihood of tau."""
    if not any("student_t" in repr(prior) or "cauchy" in repr(prior) for prior in given.beta):
        return 0.0
    seen = np.flatnonzero(logg > logg.max() - 40.0)
    mass = np.exp(logg[seen] - logg.max())
    # A step 1.5 times finer raises the error of the trapezoidal rule to the power 1.5 at least.
    finer = condition(problem(given, 1.5), at.tau[seen]).loglik
    return float(np.max(mass * np.abs(finer - at.loglik[seen])))


def _landmarks(posed: Problem, prior: Prior) -> Array:
    """Return values of tau where something happens: standard errors, spread of the effects, the prior's scales."""
    spread = np.sqrt(np.mean(posed.r**2))
    marks = [math.sqrt(posed.v.min()), math.sqrt(posed.v.max()), float(spread), *_prior_scales(prior)]
    return np.array([m for m in marks if 1e-130 < m < 1e130])


def _prior_scales(prior: Prior) -> list[float]:
    parts = getattr(prior, "components", ())
    if parts:
        return [scale for part in parts for scale in _prior_scales(part)]
    if not prior.proper:
        return [prior.scale_hint()]
    return [float(q) for q in prior.ppf(np.array([0.05, 0.5, 0.95]))]


def _pruned(posed: Problem, at: Conditional, logg: Array) -> Problem:
    """Return the problem without the prior components that hold less than 1e-19 of the posterior."""
    share = at.logw - at.loglik[:, None] + (logg - logg.max())[:, None]
    keep = np.flatnonzero(share.max(axis=0) > -45.0)
    return replace(posed, components=posed.components.take(keep))


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """The numbers whose change on refinement is the error estimate.

    Parameters
    ----------
    posed
        The problem.
    studies
        Studies whose true effects are watched: the most and least precise, and the most distant.
    own
        Those of them that are measured from their own effect.
    centre, width
        ``(q,)`` rough place and width of coefficients, a new study's effect, and those true effects.
    """

    posed: Problem
    studies: tuple[int, ...]
    own: tuple[int, ...]
    centre: Array
    width: Array
    seen: list[tuple[nodes.Rule, tuple[Array, ...]]] = field(default_factory=list)

    @classmethod
    def of(cls, posed: Problem, rule: nodes.Rule) -> "Watched":
        """Return what to watch, placed by the posterior as it is known so far."""
        studies = tuple({int(np.argmin(posed.v)), int(np.argmax(posed.v)), int(np.argmax(posed.r**2 / posed.v))})
        mass = rule.masses().ravel()
        spread = float(mass @ np.minimum(rule.x.ravel() ** 2, 1e300)) / float(mass.sum())
        own = tuple(i for i in studies if posed.v[i] < spread)
        share, mean, var = cls(posed, studies, own, np.zeros(0), np.zeros(0)).moments(rule)
        weight = ((mass / mass.sum())[:, None] * share).ravel()
        centre = weight @ mean.reshape(len(weight), -1)
        return cls(posed, studies, own, centre, np.exp(0.5 * (weight @ np.log(var.reshape(len(weight), -1)))))

    def moments(self, rule: nodes.Rule) -> tuple[Array, Array, Array]:
        """Return ``(n, C)`` shares of the prior components and ``(n, C, q)`` means and variances."""
        at = condition(self.posed, rule.x.ravel(), rule.extra.reshape(rule.x.size, -1))
        pairs = [at.combination(c) for c in np.eye(self.posed.p)]
        m, s2 = pairs[0] if pairs else (np.zeros_like(at.logw), np.zeros_like(at.logw))
        pairs.append((m, s2 + (at.tau**2)[:, None]))
        pairs += [true_effect(self.posed, at, i, i in self.own) for i in self.studies]
        share = np.exp(at.logw - at.loglik[:, None])
        return share, np.stack([pair[0] for pair in pairs], axis=-1), np.stack([pair[1] for pair in pairs], axis=-1)

    def probabilities(self, share: Array, mean: Array, var: Array) -> Array:
        """Return ``(n, f)``: probabilities given tau at five places of each quantity."""
        sd = np.sqrt(var)
        given = [np.sum(share[:, :, None] * ndtr((self.centre + s * self.width - mean) / sd), axis=1) for s in _STEPS]
        return np.concatenate(given, axis=1)

    def given_tau(self, rule: nodes.Rule) -> tuple[Array, ...]:
        """Return `moments` and `probabilities` of a rule, kept until another one is asked for."""
        if not self.seen or self.seen[0][0] is not rule:
            moments = self.moments(rule)
            self.seen[:] = [(rule, (*moments, self.probabilities(*moments)))]
        return self.seen[0][1]

    def features(self, rule: nodes.Rule) -> Array:
        """Return ``(P, ORDER, f)`` probabilities given tau."""
        return self.given_tau(rule)[3].reshape(*rule.x.shape, -1)

    def integrals(self, rule: nodes.Rule, order: float) -> Array:
        """Return log evidence, probabilities, means, spreads and moments of tau, each relative to its scale."""
        mass = rule.masses().ravel()
        mass = mass / mass.sum()
        share, mean, var, probabilities = self.given_tau(rule)
        weight = (mass[:, None] * share).ravel()
        away = (mean - self.centre).reshape(len(weight), -1)
        parts: list[ArrayLike] = [[rule.log_total()], mass @ probabilities, weight @ away / self.width]
        tau = rule.x.ravel()
        if order > 0:
            middle = float(mass @ tau)
            parts.append([math.log(middle)])
        if order > 1:
            parts.append([0.5 * math.log(float(mass @ (tau / middle) ** 2))])
            parts.append(0.5 * np.log(weight @ (var.reshape(len(weight), -1) + away**2)))
        return np.concatenate([np.asarray(part) for part in parts])


def _diagnostics(solution: Solution) -> Diagnostics:
    notes = solution.notes()
    figures = {"error_estimate": solution.error_estimate, "nodes": float(len(solution.tau))}
    verdict = (
        f"Deterministic integration over {len(solution.tau)} nodes of tau; refining them changes nothing "
        f"by more than {solution.error_estimate:.1e} (relative)."
    )
    return Diagnostics(ok=True, verdict=" ".join([verdict, *notes]), figures=FrozenMap(figures))


def _datatree(solution: Solution, data: Any, draws: int, seed: int | None) -> Any:
    from bayesmeta.engines.gaussian.draws import datatree

    return datatree(solution, data, draws, seed)
