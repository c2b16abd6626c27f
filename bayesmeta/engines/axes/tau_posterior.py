"""The posterior of tau on its panels: how slowly it falls beyond them, which moments that leaves, and the marginals."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypedDict

import numpy as np

from bayesmeta.engines.axes.panels import TO_LEGENDRE, Rule
from bayesmeta.engines.axes.tails import LIGHT, beyond, exist, infinite_mean, why
from bayesmeta.engines.axes.tau_prior import BARELY, moment_exists, only_a_power
from bayesmeta.marginals import Density, LineDensity, SincDensity, Transformed, known
from bayesmeta.marginals.axis import from_axis, log_jacobian, to_axis
from bayesmeta.posterior import Marginal
from bayesmeta.priors import Prior
from bayesmeta.values import Array

# What is given for a mean that does not exist.
PRINCIPAL = "what is given is infinite where one tail is the heavier, and a principal value otherwise"


# A likelihood that varies by less (log scale) within the panel next to an end is the same up to that end.
CONSTANT = 1e-6

# Ends of the lower and the upper side of a grid, each with a place before it.
type Ends = tuple[tuple[float, float], tuple[float, float]]


class Moments(TypedDict):
    """What a marginal is told of its mean and SD; see `Density`."""

    infinite_mean: float
    infinite_sd: bool
    notes: tuple[str, ...]
    extra_first: float
    extra_second: float


@dataclass(frozen=True, slots=True, eq=False)
class TauPosterior:
    """The posterior of a tau that is not known.

    Parameters
    ----------
    rule
        Panels with the normalised log density (per unit of their axis).
    prior
        Of tau.
    exponent
        The posterior density falls as ``tau ** -exponent``.
    """

    rule: Rule
    prior: Prior
    exponent: float

    @property
    def heavy(self) -> bool:
        """Whether the density falls only as a power."""
        return math.isfinite(self.exponent)

    @property
    def why(self) -> str:
        """Why moments do not exist."""
        return only_a_power(self.exponent)

    def exists(self, growth: float) -> bool:
        """Return whether what grows as ``tau ** growth`` has a finite expectation.

        A proper prior whose density falls as 1 / tau, but for a slower factor, can be integrated as far as it goes:
        so can the posterior where the likelihood just makes up for the growth.
        """
        return moment_exists(self.prior, self.exponent, growth)

    def beyond(self, growth: float, log_last: float | None = None) -> float:
        """Return the integral beyond the panels of what grows as ``tau ** growth``.

        Its log at the last node is `log_last`, or that of the power itself. Where the posterior falls just as that
        grows, likelihood times power is constant, and what is left is the prior's own upper tail.
        """
        if not self.heavy:
            return 0.0
        panels, last = self.rule.panels, float(self.rule.x[-1, -1])
        share = float(self.rule.logg[-1, -1]) + (growth * math.log(last) if log_last is None else log_last)
        rate = self.exponent - 1.0 - growth
        if rate >= BARELY:
            return math.exp(share - rate * float(panels.right[-1] - panels.points()[-1, -1])) / rate
        end = float(from_axis(panels.right[-1:], panels.lower[-1:], panels.upper[-1:])[0])
        log_prior = float(self.prior.logpdf(last)) + math.log(last - float(panels.lower[-1]))
        return math.exp(share - log_prior) * float(self.prior.sf(end))

    def share_beyond(self, power: float, end: float, height: float) -> float:
        """Return the integral of ``x ** power`` beyond `end` of a density of this height there that falls as tau's."""
        rate = self.exponent - 1.0 - power
        if rate >= BARELY:
            return height * math.pow(end, power + 1.0) / rate
        return height * math.pow(end, power) * math.exp(-float(self.prior.logpdf(end))) * float(self.prior.sf(end))

    def fallen(self, near: float, far: float) -> float:
        """Return by what factor a density that falls as tau's does so between two places."""
        log = float(self.prior.logpdf(far)) - float(self.prior.logpdf(near))
        return math.exp(log - (self.exponent - self.prior.tail_exponent) * math.log(far / near))

    def missing(
        self, growth: float, instead: str, *, first: float | None = None, why: str | None = None
    ) -> tuple[str, ...]:
        """Return what does not exist of a quantity whose variance grows as ``tau ** growth``.

        Its mean grows as ``tau ** first``, without it as half that power; where there is none, `instead` says what is
        given for it. `why` replaces the reason, which is tau's own.
        """
        if self.exists(growth):
            return ()
        because = why or self.why
        notes = [f"The variance is infinite: {because}."]
        if not self.exists(growth / 2.0 if first is None else first):
            notes.append(_no_mean(because, instead))
        return tuple(notes)

    def _moments(self, power: float) -> Moments:
        """Return what marginals say of the mean and SD of ``tau ** power``."""
        first, second = self.exists(power), self.exists(2.0 * power)
        infinite = [name for name, exists in (("mean", first), ("SD", second)) if not exists]
        return {
            "infinite_mean": 0.0 if first else math.inf,
            "infinite_sd": not second,
            "notes": tuple(f"The {name} is infinite: {self.why}." for name in infinite),
            "extra_first": self.beyond(power) if first else 0.0,
            "extra_second": self.beyond(2.0 * power) if second else 0.0,
        }

    def density(self, logpdf: Callable[[Array], Array] | None = None) -> Density:
        """Return the posterior of tau; without `logpdf` its log density between the nodes is a series."""
        panels = self.rule.panels
        mass = np.exp(self.rule.logg) * panels.weights()
        return Density(
            logpdf or partial(log_density, self.rule, self.prior),
            self.rule.x.ravel(),
            mass.ravel(),
            panels.lower,
            panels.upper,
            panels.left,
            panels.right,
            mass.sum(axis=1),
            self.prior.support,
            **self._moments(1.0),
        )

    def squared(self, tau: Density) -> Transformed:
        """Return the posterior of tau squared, from that of tau."""
        return Transformed(
            tau,
            np.square,
            np.sqrt,
            _log_slope_squared,
            **self._moments(2.0),
        )


def _log_slope_squared(value: Array) -> Array:
    """Return the log of the slope of the square root."""
    return np.asarray(-np.log(2.0) - 0.5 * np.log(value))


def tau_posterior(rule: Rule | None, prior: Prior | None, exponent: float) -> TauPosterior | None:
    """Return the posterior of tau; None where it is known, and there are no panels of it or no prior."""
    return None if rule is None or prior is None else TauPosterior(rule, prior, exponent)


def known_heterogeneity(tau: float, typical: float | None = None) -> dict[str, Callable[[], Marginal]]:
    """Return the named marginals of a tau that a prior fixes: tau, tau2, and I2 (percent) where it is defined.

    Parameters
    ----------
    tau
        Its value.
    typical
        Typical sampling variance of the studies; None where there is none.
    """
    values = {"tau": tau, "tau2": tau**2}
    if typical is not None:
        values["I2"] = 100.0 * tau**2 / (tau**2 + typical)
    return {name: partial(known, value) for name, value in values.items()}


def with_tails[M: (SincDensity, LineDensity)](
    marginal: M,
    tau: TauPosterior | None,
    weight: Array,
    about: float,
    moments: tuple[Array, Array],
    df: float = math.inf,
    tails: Array = LIGHT,
) -> M:
    """Say which moments of an effect exist, and count in them what lies beyond the grid of its marginal.

    Parameters
    ----------
    weight
        ``(T,)`` probabilities of the nodes of tau, ascending.
    about, moments
        A place among the effects, and ``(T,)`` first and second moments about it given tau.
    df
        Degrees of freedom of the effect given tau.
    tails
        ``(2,)`` exponents of the tails of the density of mu, for reasons of its own.
    """
    if (tau is None or not tau.heavy) and math.isinf(df) and np.isinf(tails).all():
        return marginal
    # What exists for all that the tails of mu say.
    without = [df > power and (tau is None or tau.exists(power)) for power in (1.0, 2.0)]
    first, second = (but and exist(tails, power) for but, power in zip(without, (1.0, 2.0), strict=True))
    if first:
        mean = float(weight @ moments[0]) + _grown(tau, 1.0, moments[0])
        marginal = replace(marginal, extra_first=marginal.extra_first + about + mean - marginal.mean())
    if second:
        variance = float(weight @ moments[1]) + _grown(tau, 2.0, moments[1]) - mean**2
        extra = marginal.extra_variance + variance - marginal.sd() ** 2
        return replace(marginal, extra_variance=max(0.0, extra))
    infinite = infinite_mean(tails) if without[0] else 0.0
    return replace(marginal, infinite_sd=True, infinite_mean=infinite, notes=_missing(tau, df, tails))


def with_own_tail[M: (SincDensity, LineDensity)](
    marginal: M, tau: TauPosterior | None, falls: Array, ends: Ends, tails: Array = LIGHT
) -> M:
    """Say which moments exist of a true effect, and count in them what lies beyond the grid of its marginal.

    Parameters
    ----------
    falls
        ``(2,)`` whether the study's likelihood dies away far below and far above: where it does not, the density
        falls as that of tau.
    ends
        Ends of the grid, and a place before each where the density is known well.
    tails
        ``(2,)`` exponents of the tails of the density of mu: it falls as these, where they are the slower.
    """
    inherited = np.where(falls, np.inf, tails)
    heavy = tau if tau is not None and tau.heavy and not falls.all() else None
    if heavy is None and np.isinf(inherited).all():
        return marginal
    exists = [(heavy is None or heavy.exists(power)) and exist(inherited, power) for power in (1.0, 2.0)]
    mean, first, second = marginal.mean(), 0.0, 0.0
    open_sides = [n for n in (0, 1) if not falls[n]]
    for n in open_sides:
        side, (end, inner) = (-1.0, 1.0)[n], ends[n]
        known = float(marginal.pdf(inner)), abs(inner - mean), abs(end - mean)
        first += side * _share_beyond(heavy, float(inherited[n]), 1, *known) if exists[0] else 0.0
        second += _share_beyond(heavy, float(inherited[n]), 2, *known) if exists[1] else 0.0
    marginal = replace(marginal, extra_first=first)
    if exists[1]:
        return replace(marginal, extra_variance=max(0.0, second - first**2))
    infinite = infinite_mean(inherited)
    if heavy is not None and not heavy.exists(1.0):
        infinite = (-math.inf, math.inf)[open_sides[0]] if len(open_sides) == 1 else 0.0
    return replace(marginal, infinite_sd=True, infinite_mean=infinite, notes=_missing(heavy, math.inf, inherited))


def _share_beyond(
    tau: TauPosterior | None, exponent: float, power: int, height: float, near: float, far: float
) -> float:
    """Return the integral of ``x ** power`` beyond `far` of a density known at `near`: of the slower of two tails."""
    if tau is not None and tau.exponent <= exponent:
        return tau.share_beyond(power, far, height * tau.fallen(near, far))
    height = height * (near / far) ** exponent if math.isfinite(exponent) else 0.0
    return float(beyond(np.array(height), np.array(far), exponent, power))


def _grown(tau: TauPosterior | None, power: float, moment: Array) -> float:
    """Return what lies beyond the panels of tau of a moment, given tau, that grows as that power of it."""
    last = float(moment[-1])
    if tau is None or not tau.heavy or last == 0.0:
        return 0.0
    return math.copysign(tau.beyond(power, math.log(abs(last))), last)


def _missing(tau: TauPosterior | None, df: float, tails: Array) -> tuple[str, ...]:
    """Return what moments do not exist, for what is t-distributed with `df` degrees of freedom given tau and mu."""
    # Each cause with the powers that it leaves no moments of.
    causes = [] if tau is None else [(tau.why, not tau.exists(2.0), not tau.exists(1.0))]
    causes.append((f"the random effects have a t distribution with {df:g} degrees of freedom", df <= 2.0, df <= 1.0))
    if not exist(tails, 2.0):
        causes.append((why(tails), True, not exist(tails, 1.0)))
    notes = [f"The variance is infinite: {cause}." for cause, second, _ in causes if second][:1]
    return (*notes, *[_no_mean(cause, PRINCIPAL) for cause, _, first in causes if first][:1])


def _no_mean(why: str, instead: str) -> str:
    return f"The mean does not exist as an absolutely convergent integral ({why}); {instead}. Use the median."


def log_density(rule: Rule, prior: Prior, tau: Array) -> Array:
    """Return the log density of tau between the nodes: the Legendre series of every panel's 16 values.

    From the ends of the support to the panels, where these lie so close that the likelihood is constant, it is the
    prior's times that.
    """
    panels = rule.panels
    panel, place = panels.locate(tau)
    series = (rule.logg @ TO_LEGENDRE.T)[panel]
    value = np.polynomial.legendre.legval(np.clip(place, -1.0, 1.0), series.T, tensor=False)
    u = to_axis(tau, panels.lower[panel], panels.upper[panel])
    out = np.asarray(value - log_jacobian(u, panels.lower[panel], panels.upper[panel]))
    for n, before in ((0, place < -1.0 - 1e-9), (-1, place > 1.0 + 1e-9)):
        beyond_panels = before & (panel == n % len(panels.left))
        out = np.where(before, -np.inf, out)
        if beyond_panels.any():
            out[beyond_panels] = _towards(rule, prior, n, tau[beyond_panels])
    return out


def _towards(rule: Rule, prior: Prior, n: int, tau: Array) -> Array:
    """Return the log density beyond the first or the last panel."""
    panels, x = rule.panels, rule.x[n]
    slope = log_jacobian(panels.points()[n], panels.lower[n : n + 1 or None], panels.upper[n : n + 1 or None])
    likelihood = rule.logg[n] - slope - prior.logpdf(x)
    if not np.ptp(likelihood) < CONSTANT:
        return np.full(len(tau), -np.inf)
    return np.asarray(prior.logpdf(tau) + likelihood[n])
