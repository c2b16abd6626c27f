"""Exact likelihoods: the posterior of mu and tau in two dimensions, and the marginals it makes.

Nothing is approximated by a normal: each study enters with its own likelihood. Studies without
events need no correction.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.engines.axes.panels import TO_LEGENDRE, Rule
from bayesmeta.engines.axes.tails import beyond, prior_tails
from bayesmeta.engines.axes.tau_posterior import (
    Ends,
    TauPosterior,
    known_heterogeneity,
    tau_posterior,
    with_own_tail,
    with_tails,
)
from bayesmeta.engines.axes.tau_prior import barely_proper, gathered, known_tau
from bayesmeta.engines.counts.grid.mu_axis import Stretched
from bayesmeta.engines.counts.grid.mu_tau_grid import Plane, plane
from bayesmeta.engines.counts.kinks.marginals import limited_prediction
from bayesmeta.engines.counts.kinks.mu_tau_panels import sheet
from bayesmeta.engines.counts.kinks.random_effects import creased
from bayesmeta.engines.counts.kinks.solution import CreasedSolution
from bayesmeta.engines.counts.loglik_range import dies_away, tails_of_mu, theta_range
from bayesmeta.engines.counts.loglik_tables import RoughError
from bayesmeta.engines.counts.random_effect_density import Kernel
from bayesmeta.engines.counts.random_effects import one_study
from bayesmeta.engines.counts.random_effects_cut import LimitedEffects, check_limited
from bayesmeta.engines.counts.row_splines import FAINT
from bayesmeta.engines.counts.true_effects import Smoother
from bayesmeta.engines.lazy import Lazy
from bayesmeta.engines.versions import versions
from bayesmeta.errors import ConvergenceError, ModelError
from bayesmeta.marginals import Density, LineDensity, SincDensity, Transformed
from bayesmeta.marginals.sinc import sinc_basis, tabulate
from bayesmeta.model import Model, StudyLikelihoods
from bayesmeta.posterior import Diagnostics, Marginal, Posterior
from bayesmeta.priors import Prior, fixed_value
from bayesmeta.priors.foreign import Wrapped
from bayesmeta.priors.mixtures import parts_of
from bayesmeta.values import Array, FrozenMap

TOLERANCE = 1e-8
# Interpolation errs by 1e-11 of the peak: masses of a grid this large beside it are known to five digits.
WELL_KNOWN = 1e-6
# What rounding does to a true effect's density where it is this much of its peak does not matter there, but much less
# is mostly rounding.
ROUNDED = 1e-9
# An SD more than this many times a width that tails do not move is that of the tails.
HEAVY = 1e3
# How far the log of a probability may be from that of 1.
ADDS_UP = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class ExactSolution:
    """A solved exact-likelihood model.

    Parameters
    ----------
    given
        The studies' likelihoods and the priors.
    plane
        Joint posterior of mu and tau on nodes.
    rule
        Panels of tau with the log marginal posterior on their nodes, normalised; None where tau is 0.
    tail_exponent
        The posterior density of tau falls as ``tau ** -tail_exponent``.
    error_estimate
        Largest relative error that the checks found.
    """

    given: StudyLikelihoods
    plane: Plane
    rule: Rule | None
    tail_exponent: float
    error_estimate: float

    @property
    def log_evidence(self) -> float:
        """Log marginal likelihood."""
        return self.plane.log_evidence

    @property
    def nodes(self) -> int:
        """Number of nodes of mu and tau."""
        return self.plane.mass.size

    @property
    def _places(self) -> Array | None:
        """Values that a mixture may give a narrow peak; None where the prior of mu is no mixture."""
        return self.plane.places if len(parts_of(self.given.mu)) > 1 else None

    def mu(self) -> SincDensity:
        """Return the posterior of the pooled effect."""
        at = self.plane
        about_mu = f"the posterior of mu (prior {self.given.mu!r})"
        marginal = tabulate(self._density_mu, *self._rough(0.0), about=about_mu, places=self._places)
        if isinstance(at.axis, Stretched):
            # On so long an axis what is next to nothing still counts in moments: these are sums over the plane's nodes.
            mean = float(np.sum(at.mass * at.mu))
            variance = float(np.sum(at.mass * (at.mu - mean) ** 2))
            extra = max(0.0, variance - marginal.sd() ** 2)
            marginal = replace(marginal, extra_first=mean - marginal.mean(), extra_variance=extra)
        # Far out a flat prior leaves mu the mean of the studies' true effects; those between limits say nothing of it.
        if math.isfinite(self.given.support[0]):
            return marginal
        about, tau = marginal.center, None if self.given.mu.proper else self.heterogeneity
        return with_tails(marginal, tau, at.weight, about, self._moments_of_mu(about), tails=self.tails)

    @property
    def tails(self) -> Array:
        """``(2,)`` exponents of the tails of the posterior of mu that its own prior makes heavy."""
        return tails_of_mu(self.given, self.tail_exponent)

    def _rough(self, spread: float) -> tuple[float, float]:
        """Return a middle and a width of mu, plus `spread` times the random effect, that heavy tails do not move."""
        at = self.plane
        sd = np.sqrt(at.scale**2 + (spread * at.tau) ** 2)
        return float(np.sum(at.mass * at.mu)), float(np.exp(at.weight @ np.log(sd)))

    @property
    def heterogeneity(self) -> TauPosterior | None:
        """The posterior of tau; None where it is known."""
        return tau_posterior(self.rule, self.given.tau, self.tail_exponent)

    def _moments_of_mu(self, about: float) -> tuple[Array, Array]:
        """Return ``(T,)`` first and second moments of mu about a place, given tau."""
        away, tails = self.plane.mu - about, self.tails
        first, second = _means(self.plane, away), _means(self.plane, away**2)
        if np.isinf(tails).all():
            return first, second
        return first + _beyond(self.plane, tails, about, 1), second + _beyond(self.plane, tails, about, 2)

    def _density_mu(self, x: Array) -> Array:
        at = self.plane
        out = np.empty(len(x))
        rows = at.weight > 1e-17
        size = max(1, 2_000_000 // (int(rows.sum()) * len(at.u)))
        placed, mass = (at.center[rows], at.scale[rows]), at.mass[rows]
        row, peak = np.arange(len(mass)), mass.max(axis=1)
        for start in range(0, len(x), size):
            mu = x[start : start + size, None]
            u = at.axis.u(mu, *placed)
            value = np.einsum("xtm,tm->xt", sinc_basis(u / at.step, at.m), mass)
            # In the tails, and beyond the grid, the density is negligible, but its sinc interpolant rings.
            cell = np.clip((u - at.u[0]) / at.step, 0, len(at.u) - 2).astype(np.intp)
            ends = mass[row, cell], mass[row, cell + 1]
            faint = np.maximum(*ends) < FAINT * peak
            value = np.where(faint, np.clip(value, np.minimum(*ends), np.maximum(*ends)), value)
            value *= ((u >= at.u[0]) & (u <= at.u[-1])) / (at.step * at.axis.slope(mu, *placed))
            out[start : start + size] = value.sum(axis=1)
        return np.maximum(out, 0.0)

    def theta_new(self) -> SincDensity | LineDensity:
        """Return the posterior predictive distribution of a new study's true effect."""
        if isinstance(self.plane.averages, LimitedEffects):
            return limited_prediction(self.plane, self.given.support, self._rough(1.0))
        smoother = Smoother(self.plane, Kernel(self.given.df))
        about_new = "the true effect of a new study"
        marginal = tabulate(
            smoother.density, *self._rough(1.0), kind="posterior prediction", about=about_new, places=self._places
        )
        about, df = marginal.center, self.given.df
        first, second = self._moments_of_mu(about)
        own = self.plane.tau**2 * (1.0 if math.isinf(df) else df / (df - 2.0) if df > 2.0 else math.inf)
        moments = (first, second + own)
        return with_tails(marginal, self.heterogeneity, self.plane.weight, about, moments, df, self.tails)

    def true_effect(self, i: int) -> SincDensity:
        """Return the posterior of study i's true effect."""
        at = self.plane
        own = at.curves.one(i)
        smoother = Smoother(at, Kernel(self.given.df), one_study(at.averages, i).grid)

        def density(x: Array) -> Array:
            log_likelihood = own(x[None, :])[0]
            with np.errstate(divide="ignore"):
                value = log_likelihood + np.log(smoother.density(x))
            return np.asarray(np.exp(value - peak))

        # A normal study with this center and scale would be shrunk to this mean.
        kept = at.tau**2 / (at.tau**2 + float(own.scale[0]) ** 2)
        mean = float(np.sum(at.mass * ((1.0 - kept)[:, None] * at.mu + kept[:, None] * float(own.center[0]))))
        sd = float(np.sqrt(np.sum(at.mass * (at.mu - mean) ** 2) * 0.25 + at.weight @ (kept * own.scale[0] ** 2)))
        # Heavy tails of mu, beyond all measure here, that a study does not share.
        sd = min(sd, HEAVY * self._rough(1.0)[1])
        peak = 0.0
        with np.errstate(divide="ignore"):
            peak = float(np.log(np.max(density(mean + sd * np.linspace(-3.0, 3.0, 25)))))
        about = f"the true effect of study {self.given.study[i]!r}"
        marginal = tabulate(density, mean, sd, about=about, places=self._places)
        # Averaged over theta the likelihood is what was divided out, so that all of this adds up to one.
        share = float(density(np.array([marginal.median()]))[0]) / float(marginal.pdf(marginal.median()))
        if not abs(math.log(share) + peak + smoother.top) < ADDS_UP:
            raise ConvergenceError(
                f"The posterior of {about} does not add up to 1 with the prior {self.given.mu!r} of mu: the likelihood "
                "of this study alone is not known far out. Use a prior with lighter tails, or engine='nuts'."
            )
        falls = dies_away(self.given)[i]
        by_tau = math.inf if self.heterogeneity is None else self.heterogeneity.exponent
        tails = self.tails
        by_mu = ~falls & (tails < by_tau)
        for n in np.flatnonzero(by_mu).tolist():
            marginal = _continued(marginal, n, self.given.mu, float(tails[n]))
        return with_own_tail(marginal, self.heterogeneity, falls, _ends_of(marginal, by_mu), tails)

    def tau(self) -> Density:
        """Return the posterior of tau."""
        assert self.heterogeneity is not None
        return self.heterogeneity.density()

    def tau2(self) -> Transformed:
        """Return the posterior of tau squared."""
        assert self.heterogeneity is not None
        return self.heterogeneity.squared(self.tau())


def _means(at: Plane, values: Array) -> Array:
    """Return ``(T,)`` averages over mu given tau."""
    weight = at.weight
    return np.asarray((at.mass * values).sum(axis=1) / np.where(weight > 0.0, weight, 1.0))


def _beyond(at: Plane, tails: Array, about: float, power: int) -> Array:
    """Return ``(T,)`` the moment about a place, given tau, of what lies beyond the grid of mu, if its tails are powers.

    With a light tau only a tail that is the prior's own is one, and counts at the end of the grid.
    """
    found = np.zeros(len(at.tau))
    for side, end, exponent in zip((-1.0, 1.0), (0, -1), tails, strict=True):
        if math.isinf(exponent):
            continue
        mu = at.mu[:, end]
        slope, away = at.axis.slope(mu, at.center, at.scale), np.abs(mu - about)
        whole = beyond(at.mass[:, end] / (at.step * slope), away, float(exponent), power)
        # The sum over the grid counts its last node in full, half of which stands for what lies beyond
        # (Euler-Maclaurin, on a logarithmic axis).
        cell = 0.5 - (exponent - 1.0 - power) * at.step * slope / away / 12.0
        found += side**power * (whole - cell * at.mass[:, end] * away**power)
    weight = at.weight
    return np.asarray(found / np.where(weight > 0.0, weight, 1.0))


def _ends_of(marginal: SincDensity, continued: NDArray[np.bool_]) -> Ends:
    """Return the ends of a marginal's outermost cells, and the last places before them that are well above rounding.

    On a side that was continued these are the outermost nodes.
    """
    known = marginal.x[marginal.mass > WELL_KNOWN * marginal.mass.max()]
    first, last = np.where(continued, marginal.x[[0, -1]], known[[0, -1]])
    half = 0.5 * marginal.step * np.array([-1.0, 1.0])
    low, high = marginal.center + marginal.scale * np.sinh(marginal.v[[0, -1]] + half)
    return (float(low), float(first)), (float(high), float(last))


def _continued(marginal: SincDensity, n: int, prior: Prior, exponent: float) -> SincDensity:
    """Return a marginal whose lower or upper tail falls as the prior of mu where its own density is mostly rounding."""
    known, x, slope = np.flatnonzero(marginal.mass > ROUNDED * marginal.mass.max()), marginal.x, np.cosh(marginal.v)
    last = known[-n]
    past = slice(None, last) if n == 0 else slice(last + 1, None)
    log = prior.logpdf(x[past]) - float(prior.logpdf(x[last]))
    log -= (exponent - prior_tails(prior)[n]) * np.log(np.abs(x[past] / x[last]))
    mass = marginal.mass.copy()
    mass[past] = mass[last] * slope[past] / slope[last] * np.exp(log)
    return replace(marginal, mass=mass)


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
