"""A solved exact-likelihood model: marginals of mu, tau and true effects made of the joint posterior on its nodes."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bayesmeta.engines.axes.panels import Rule
from bayesmeta.engines.axes.tails import beyond, prior_tails
from bayesmeta.engines.axes.tau_posterior import (
    Ends,
    TauPosterior,
    tau_posterior,
    with_own_tail,
    with_tails,
)
from bayesmeta.engines.counts.grid.mu_axis import Stretched
from bayesmeta.engines.counts.grid.mu_tau_grid import Plane
from bayesmeta.engines.counts.kinks.marginals import limited_prediction
from bayesmeta.engines.counts.loglik_range import dies_away, tails_of_mu
from bayesmeta.engines.counts.random_effect_density import Kernel
from bayesmeta.engines.counts.random_effects import one_study
from bayesmeta.engines.counts.random_effects_cut import LimitedEffects
from bayesmeta.engines.counts.row_splines import FAINT
from bayesmeta.engines.counts.true_effects import Smoother
from bayesmeta.errors import ConvergenceError
from bayesmeta.marginals import Density, LineDensity, SincDensity, Transformed
from bayesmeta.marginals.sinc import sinc_basis, tabulate
from bayesmeta.model import StudyLikelihoods
from bayesmeta.priors import Prior
from bayesmeta.priors.mixtures import parts_of
from bayesmeta.values import Array

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
