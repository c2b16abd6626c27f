"""Normal likelihoods: one quadrature over tau, everything else in closed form."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from importlib.metadata import version
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy.special import ndtr

from bayesmeta.engines import nodes
from bayesmeta.engines.components import components
from bayesmeta.engines.gaussian import Conditional, Problem, condition, problem, true_effect, weighted_sums
from bayesmeta.engines.solution import Solution, marginals, thetas
from bayesmeta.errors import ConvergenceError, ModelError
from bayesmeta.model import GaussianMarginal, Model
from bayesmeta.posterior import Diagnostics, Posterior
from bayesmeta.priors import Prior
from bayesmeta.values import Array

TOLERANCE = 1e-10
_STEPS = np.array([-6.0, -2.0, 0.0, 2.0, 6.0])


@lru_cache
def _versions() -> Mapping[str, str]:
    return MappingProxyType({name: version(name) for name in ("bayesmeta", "numpy", "scipy")})


def solve(
    model: Model,
    data: Any,
    priors: Mapping[str, Prior],
    given: GaussianMarginal,
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
        datatree=partial(_datatree, solution),
        log_evidence=solution.log_normaliser if proper else None,
        seed=seed,
        options=MappingProxyType({"tolerance": tolerance}),
        versions=_versions(),
        details=solution,
    )


def integrate(given: GaussianMarginal, *, tolerance: float = TOLERANCE) -> Solution:
    """Return the solved posterior of ``y ~ N(X beta, diag(v) + tau^2 I)``.

    Raises
    ------
    ModelError
        If the posterior is improper.
    ConvergenceError
        If refining the nodes changes the answer by more than `tolerance`.
    """
    solved = _integrate(given, 1.0, tolerance)
    if len(solved.problem.components) == 1 or not _has_scale_mixture(given):
        return solved
    finer = _integrate(given, 1.5, tolerance)
    error = max(finer.error_estimate, _difference(solved, finer))
    if error > tolerance:
        raise ConvergenceError(
            f"The scale mixture of a Student-t prior leaves an error of {error:.1e}, above {tolerance:g}. "
            "Use engine='nuts'."
        )
    return replace(finer, error_estimate=error)


def _difference(first: Solution, second: Solution) -> float:
    """Return the largest difference in log evidence and in probabilities at quantiles of the coefficients."""
    largest = abs(first.log_normaliser - second.log_normaliser)
    for row in (*np.eye(second.problem.p), np.mean(second.given.X, axis=0)):
        for quantity in (Solution.linear, Solution.predicted):
            one, other = quantity(first, row), quantity(second, row)
            x = other.ppf([0.01, 0.25, 0.5, 0.75, 0.99])
            largest = max(largest, float(np.max(np.abs(one.cdf(x) - other.cdf(x)))))
    return largest


def _has_scale_mixture(given: GaussianMarginal) -> bool:
    return any("student_t" in repr(prior) or "cauchy" in repr(prior) for prior in given.beta)


def _integrate(given: GaussianMarginal, fineness: float, tolerance: float) -> Solution:
    posed = problem(given, components(given.beta, given.terms, fineness))
    if given.tau is None:
        at = condition(posed, np.zeros(1))
        return Solution(
            given, _pruned(posed, at, np.zeros(1)), None, np.zeros(1), np.ones(1), float(at.loglik[0]), math.inf, 0.0
        )
    prior = given.tau
    exponent = _tail_exponent(given, posed)
    order = next((r for r in (4.0, 2.0, 1.0) if exponent > r + 1.0), 0.0)

    def logf(tau: Array) -> tuple[Array, Array]:
        sums = weighted_sums(posed, tau)
        return condition(posed, tau, sums).loglik + prior.logpdf(tau), sums

    low, high = prior.support
    cuts = sorted({low, *(b for b in prior.breaks if low < b < high), high})
    rule = nodes.evaluate(logf, nodes.first_panels(list(pairwise(cuts)), _landmarks(posed, prior)))
    rule = nodes.refine(logf, rule, order=order)
    nodes.check_enclosed(rule)
    if len(posed.components) > 1:
        posed = _pruned(posed, condition(posed, rule.x.ravel(), rule.extra.reshape(rule.x.size, -1)), rule.logg.ravel())
    watch = Watched.of(posed, rule)
    rule = nodes.refine(logf, rule, watch.features, order=order)
    coarse = watch.integrals(rule, order)
    for _ in range(5):
        rule = nodes.evaluate(logf, rule.panels.split())
        fine = watch.integrals(rule, order)
        error = float(np.max(np.abs(fine - coarse)))
        noise = 8.0 * np.finfo(float).eps * abs(rule.log_total())
        if error <= max(0.1 * tolerance, noise):
            break
        coarse = fine
    if error > max(tolerance, noise) or math.isnan(error):
        raise ConvergenceError(
            f"Refining the nodes still changes the posterior by {error:.1e}, above {tolerance:g}. "
            "Check the priors, raise tolerance=, or use engine='nuts'."
        )
    mass = rule.masses().ravel()
    return Solution(given, posed, rule, rule.x.ravel(), mass / mass.sum(), rule.log_total(), exponent, error)


def _tail_exponent(given: GaussianMarginal, posed: Problem) -> float:
    """Return a where the posterior density of tau falls as tau^-a.

    Raises
    ------
    ModelError
        If it does not fall fast enough, or the prior is not integrable at 0: no proper posterior.
    """
    prior = given.tau
    assert prior is not None
    flat = posed.components.n_flat
    if prior.support[0] == 0.0 and prior.origin_exponent <= -1.0:
        raise ModelError(
            f"The posterior is improper: the prior {prior!r} has infinite mass at tau = 0, where the likelihood is "
            "positive whatever the data. Use a prior that is integrable at 0, e.g. half_normal(0.5)."
        )
    if math.isfinite(prior.support[1]):
        return math.inf
    exponent = prior.tail_exponent + posed.k - flat
    if exponent <= 1.0:
        need = math.floor(flat + 1.0 - prior.tail_exponent) + 1
        raise ModelError(
            f"The posterior is improper: with the prior {prior!r} of tau and {flat} coefficient(s) with flat priors "
            f"it takes k >= {need} studies, and there are {posed.k}. "
            "Use a proper prior of tau, e.g. half_normal(0.5), or of mu."
        )
    return float(exponent)


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
    """Return the problem without the prior components that hold less than 1e-26 of the posterior."""
    share = at.logw - at.loglik[:, None] + (logg - logg.max())[:, None]
    keep = np.flatnonzero(share.max(axis=0) > -60.0)
    return replace(posed, components=posed.components.take(keep))


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """The numbers whose change on refinement is the error estimate.

    Parameters
    ----------
    posed
        The problem.
    centre, width
        ``(q,)`` rough place and width of coefficients, a new study's effect, and a few studies' true effects.
    """

    posed: Problem
    studies: tuple[int, ...]
    centre: Array
    width: Array

    @classmethod
    def of(cls, posed: Problem, rule: nodes.Rule) -> "Watched":
        """Return what to watch, placed by the posterior as it is known so far."""
        studies = tuple({int(np.argmin(posed.v)), int(np.argmax(posed.v)), int(np.argmax(posed.r**2 / posed.v))})
        blank = cls(posed, studies, np.zeros(0), np.zeros(0))
        mean, var = blank._moments(rule)
        mass = rule.masses()
        mass = (mass / mass.sum())[:, :, None, None] * blank._shares(rule)[:, :, :, None]
        centre = np.sum(mass * mean, axis=(0, 1, 2))
        return cls(posed, studies, centre, np.exp(0.5 * np.sum(mass * np.log(var), axis=(0, 1, 2))))

    def _conditional(self, rule: nodes.Rule) -> Conditional:
        return condition(self.posed, rule.x.ravel(), rule.extra.reshape(rule.x.size, -1))

    def _shares(self, rule: nodes.Rule) -> Array:
        at = self._conditional(rule)
        return np.exp(at.logw - at.loglik[:, None]).reshape(*rule.x.shape, -1)

    def _moments(self, rule: nodes.Rule) -> tuple[Array, Array]:
        """Return ``(P, ORDER, C, q)`` means and variances."""
        at = self._conditional(rule)
        eye = np.eye(self.posed.p)
        pairs = [at.combination(c) for c in eye]
        m, s2 = pairs[0]
        pairs.append((m, s2 + (at.tau**2)[:, None]))
        pairs += [true_effect(self.posed, at, i)[:2] for i in self.studies]
        shape = (*rule.x.shape, len(self.posed.components), len(pairs))
        mean = np.stack([pair[0] for pair in pairs], axis=-1).reshape(shape)
        return mean, np.stack([pair[1] for pair in pairs], axis=-1).reshape(shape)

    def features(self, rule: nodes.Rule) -> Array:
        """Return ``(P, ORDER, f)``: probabilities given tau at five places of each quantity."""
        mean, var = self._moments(rule)
        z = (self.centre - mean)[..., None] + self.width[:, None] * _STEPS
        given = np.einsum("pic,picqs->piqs", self._shares(rule), ndtr(z / np.sqrt(var)[..., None]))
        return given.reshape(*rule.x.shape, -1)

    def integrals(self, rule: nodes.Rule, order: float) -> Array:
        """Return log evidence, probabilities, means, spreads and moments of tau, each relative to its scale."""
        mass = rule.masses()
        mass = mass / mass.sum()
        probabilities = np.einsum("pi,pif->f", mass, self.features(rule))
        mean, var = self._moments(rule)
        weight = (mass[:, :, None] * self._shares(rule))[..., None]
        first = (weight * (mean - self.centre) / self.width).sum(axis=(0, 1, 2))
        moments = []
        if order > 0:
            moments.append(math.log(float(np.sum(mass * rule.x))))
        if order > 1:
            moments.append(0.5 * math.log(float(np.sum(mass * rule.x**2))))
            moments += list(0.5 * np.log((weight * (var + (mean - self.centre) ** 2)).sum(axis=(0, 1, 2))))
        return np.concatenate([[rule.log_total()], probabilities, first, moments])


def _diagnostics(solution: Solution) -> Diagnostics:
    notes = solution.notes()
    figures = {"error_estimate": solution.error_estimate, "nodes": float(len(solution.tau))}
    verdict = (
        f"Deterministic integration over {len(solution.tau)} nodes of tau; refining them changes nothing "
        f"by more than {solution.error_estimate:.1e} (relative)."
    )
    return Diagnostics(ok=True, verdict=" ".join([verdict, *notes]), figures=MappingProxyType(figures))


def _datatree(solution: Solution, draws: int, seed: int | None) -> Any:
    from bayesmeta.engines.exact_draws import datatree

    return datatree(solution, draws, seed)
