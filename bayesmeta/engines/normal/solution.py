"""A solved normal model: nodes of tau, the Gaussian posterior at each, and the marginals they make."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.engines.lazy import Lazy
from bayesmeta.engines.nodes import Rule
from bayesmeta.engines.normal.gaussian import CHUNK, Conditional, Problem, condition, true_effect
from bayesmeta.engines.sampling.quantities import typical_variance
from bayesmeta.engines.tau import barely_proper
from bayesmeta.errors import ModelError, UnknownNameError, unknown
from bayesmeta.marginals import Density, NormalMixture, Transformed
from bayesmeta.model import GaussianMarginal
from bayesmeta.posterior import Marginal
from bayesmeta.values import Array, IntervalKind

# From here on the likelihood is interpolated between its nodes: to 1e-13, at a cost that does not depend on k.
INTERPOLATE = 300
# Powers of tau closer than this to one that does not converge count as it: growth is measured on the last nodes.
BARELY = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """The posterior as nodes.

    Parameters
    ----------
    given, problem
        The model's data and the same in safe coordinates.
    rule
        Panels of tau; None where tau is fixed.
    tau, mass
        ``(n,)`` nodes and their posterior probabilities.
    log_normaliser
        Log of the integral of prior times likelihood: the evidence where all priors are proper.
    tail_exponent
        The posterior density of tau falls as ``tau ** -tail_exponent``.
    error_estimate
        Largest relative change when every panel was last cut in two.
    """

    given: GaussianMarginal
    problem: Problem
    rule: Rule | None
    tau: Array
    mass: Array
    log_normaliser: float
    tail_exponent: float
    error_estimate: float
    at: Conditional = field(init=False)

    def __post_init__(self) -> None:
        sums = None if self.rule is None else self.rule.extra.reshape(len(self.tau), -1)
        object.__setattr__(self, "at", condition(self.problem, self.tau, sums))

    @property
    def weights(self) -> Array:
        """``(n, C)`` posterior probabilities of node and prior component."""
        return self.mass[:, None] * np.exp(self.at.logw - self.at.loglik[:, None])

    def tail(self, growth: float, log_last: float) -> float:
        """Return the integral beyond the panels of what grows as ``tau ** growth``, its log at the last node given."""
        a = self.tail_exponent
        if self.rule is None or math.isinf(a):
            return 0.0
        rest = float(self.rule.panels.right[-1] - self.rule.panels.points()[-1, -1])
        log_density = float(self.rule.logg[-1, -1]) - self.log_normaliser
        rate = a - 1.0 - growth
        if rate < BARELY:
            return self._barely(log_density + log_last)
        return math.exp(log_density + log_last - rate * rest) / rate

    def _barely(self, log_share: float) -> float:
        """Return the integral beyond the panels of what falls as the prior's density itself, its log at the last node.

        Likelihood times power is constant there, and what is left is the prior's own upper tail.
        """
        prior, rule = self.given.tau, self.rule
        assert prior is not None
        assert rule is not None
        lower, last = float(rule.panels.lower[-1]), float(rule.x[-1, -1])
        end = lower + math.exp(float(rule.panels.right[-1]))
        return math.exp(log_share - float(prior.logpdf(last)) - math.log(last - lower)) * float(prior.sf(end))

    def exists(self, growth: float) -> bool:
        """Return whether what grows as ``tau ** growth`` has a finite expectation.

        A proper prior whose density falls as 1 / tau, but for a slower factor, can be integrated as far as it goes:
        so can the posterior where the likelihood just makes up for the growth.
        """
        rate, prior = self.tail_exponent - 1.0 - growth, self.given.tau
        return rate >= BARELY or (prior is not None and barely_proper(prior) and abs(rate) < BARELY)

    def log_density_tau(self, tau: Array) -> Array:
        """Return the log posterior density of tau."""
        assert self.given.tau is not None
        if self.problem.k > INTERPOLATE and self.rule is not None:
            return self.rule.interpolate(self.at.loglik, tau) + self.given.tau.logpdf(tau) - self.log_normaliser
        return condition(self.problem, tau).loglik + self.given.tau.logpdf(tau) - self.log_normaliser

    def terms_of(self, x: ArrayLike) -> Array:
        """Return `x` as ``(p,)`` values of the design's columns.

        Raises
        ------
        ModelError
            If it does not have one value for each coefficient.
        """
        values = np.asarray(x, dtype=float).ravel()
        if values.shape != (len(self.problem.terms),) or not np.isfinite(values).all():
            raise ModelError(
                f"x needs {len(self.problem.terms)} finite value(s), one for each of {', '.join(self.problem.terms)}; "
                f"got {values.tolist()}."
            )
        return values

    def linear(self, x: ArrayLike) -> NormalMixture:
        """Return the posterior of ``x' beta``: a fitted value, a contrast, a single coefficient."""
        x = self.terms_of(x)
        mean, var = self.at.combination(self.problem.to_gamma(x))
        return self.mixture(mean, var, float(x @ self.problem.origin), "credible")

    def predicted(self, x: ArrayLike) -> NormalMixture:
        """Return the posterior predictive distribution of a new study's true effect at design row `x`."""
        x = self.terms_of(x)
        mean, var = self.at.combination(self.problem.to_gamma(x))
        origin = float(x @ self.problem.origin)
        return self.mixture(mean, var + (self.tau**2)[:, None], origin, "posterior prediction")

    def true_effect(self, i: int) -> NormalMixture:
        """Return the posterior of study i's true effect."""
        own = bool(self.problem.v[i] < self.mass @ np.minimum(self.tau**2, 1e300))
        mean, var = true_effect(self.problem, self.at, i, own)
        origin = float(self.given.y[i] if own else self.given.X[i] @ self.problem.origin)
        return self.mixture(mean, var, origin, "credible")

    def mixture(self, mean: Array, var: Array, origin: float, kind: IntervalKind) -> NormalMixture:
        """Return the mixture over nodes and components, and say which moments it does not have."""
        growth = self._growth(mean, var)
        notes = self._missing(growth)
        infinite = not self.exists(growth)
        extra = 0.0 if infinite or growth < 0.1 else self.tail(growth, math.log(float(np.max(var[-1]))))
        return NormalMixture(
            self.weights.ravel(),
            mean.ravel(),
            np.sqrt(var).ravel(),
            origin,
            infinite,
            notes,
            kind,
            extra_variance=extra,
        )

    def joint_density(self, mu: ArrayLike, tau: ArrayLike) -> Array:
        """Return the joint posterior density of (mu, tau) at values that broadcast against each other.

        Raises
        ------
        ModelError
            If there are moderators, or mu or tau has a fixed value.
        """
        if self.problem.terms != ("mu",) or self.rule is None or self.problem.p == 0:
            raise ModelError(
                "The joint density of (mu, tau) needs a model with mu and tau both unknown, no moderators."
            )
        at_mu, at_tau = np.broadcast_arrays(np.asarray(mu, dtype=float), np.asarray(tau, dtype=float))
        assert self.given.tau is not None
        low, high = self.given.tau.support
        inside = (at_tau >= low) & (at_tau <= high)
        value = np.zeros(at_mu.shape)
        t = at_tau[inside]
        at = condition(self.problem, t)
        mean, var = at.combination(self.problem.to_gamma(np.ones(1)))
        z = (at_mu[inside] - self.problem.origin[0])[:, None] - mean
        each = np.exp(at.logw - 0.5 * z**2 / var) / np.sqrt(2.0 * np.pi * var)
        value[inside] = each.sum(axis=1) * np.exp(self.given.tau.logpdf(t) - self.log_normaliser)
        return np.asarray(value)

    def weights_of_studies(self, study: str | None = None) -> dict[str, float]:
        """Return the posterior mean weights with which studies enter the mean of mu, or of one study's true effect.

        Given tau, the mean of mu is a weighted average of the studies' effects and the prior mean; these are
        the weights averaged over tau. They add up to one with that of the prior, ``"prior mean"``.

        References
        ----------
        Roever & Friede (2021), Biometrical Journal 63:1131-1143.
        """
        posed = self.problem
        if posed.terms != ("mu",) or posed.p == 0:
            raise ModelError(
                "Weights of studies are those of mu: they need a model without moderators, and mu unknown."
            )
        if study is not None and study not in posed.study:
            raise unknown("study", study, posed.study)
        rows = np.einsum("nc,ncij->nij", self.weights, self.at.cov)[:, :, 0] / posed.R[0, 0]
        own = 0.0
        i = -1
        if study is not None:
            i = posed.study.index(study)
            shrink = posed.v[i] / (posed.v[i] + self.tau**2)
            rows = rows * shrink[:, None]
            own = float(self.mass @ (self.tau**2 / (posed.v[i] + self.tau**2)))
        total = np.zeros(posed.k)
        step = max(1, CHUNK // posed.k)
        for start in range(0, len(self.tau), step):
            part = slice(start, start + step)
            w = 1.0 / (posed.v + (self.tau[part] ** 2)[:, None])
            total += np.sum((rows[part] @ posed.Z.T) * w, axis=0)
        if i >= 0:
            total[i] += own
        weights = dict(zip(posed.study, total.tolist(), strict=True))
        if not posed.components.flat.all():
            weights["prior mean"] = 1.0 - float(total.sum())
        return weights

    def _growth(self, mean: Array, var: Array) -> float:
        """Return the power of tau that the second moment grows with, far from the data."""
        if self.rule is None or math.isinf(self.tail_exponent):
            return 0.0
        share = np.exp(self.at.logw - self.at.loglik[:, None])
        second = (share * (var + mean**2)).sum(axis=1)
        last, before = -1, int(np.searchsorted(self.tau, self.tau[-1] * 0.01))
        slope = math.log(second[last] / second[before]) / math.log(self.tau[last] / self.tau[before])
        return float(np.round(slope, 3))

    def _missing(self, growth: float) -> tuple[str, ...]:
        a = self.tail_exponent
        if self.exists(growth):
            return ()
        why = f"the posterior density of tau falls only as tau^-{a:g}"
        notes = [f"The variance is infinite: {why}."]
        if not self.exists(growth / 2.0):
            notes.append(
                f"The mean does not exist as an absolutely convergent integral ({why}); the mean given is that of "
                "E(quantity | tau), a principal value. Use the median."
            )
        return tuple(notes)

    def notes(self) -> tuple[str, ...]:
        """Return what does not exist in this posterior, and why."""
        a = self.tail_exponent
        missing = [f"mean of {name}" for name, power in (("tau", 1.0), ("tau2", 2.0)) if not self.exists(power)]
        missing += [f"SD of {name}" for name, power in (("tau", 2.0), ("tau2", 4.0)) if not self.exists(power)]
        if self.rule is not None and self.predicted(self.given.X.mean(axis=0)).infinite_sd:
            missing.append("SD of theta_new")
        if not missing:
            return ()
        return (f"Infinite, because the posterior density of tau falls only as tau^-{a:g}: {', '.join(missing)}.",)

    def density_tau(self) -> Density:
        """Return the posterior of tau."""
        assert self.rule is not None
        assert self.given.tau is not None
        a, panels = self.tail_exponent, self.rule.panels
        note = f"the posterior density of tau falls only as tau^-{a:g}"
        mean, sd = self.exists(1.0), self.exists(2.0)
        notes = [f"The {name} is infinite: {note}." for name, exists in (("mean", mean), ("SD", sd)) if not exists]
        log_last = math.log(float(self.tau[-1]))
        return Density(
            self.log_density_tau,
            self.tau,
            self.mass,
            panels.lower,
            panels.upper,
            panels.left,
            panels.right,
            self.mass.reshape(self.rule.x.shape).sum(axis=1),
            self.given.tau.support,
            infinite_mean=not mean,
            infinite_sd=not sd,
            notes=tuple(notes),
            extra_first=self.tail(1.0, log_last) if mean else 0.0,
            extra_second=self.tail(2.0, 2.0 * log_last) if sd else 0.0,
        )

    def density_tau2(self) -> Transformed:
        """Return the posterior of tau squared."""
        a, log_last = self.tail_exponent, math.log(float(self.tau[-1]))
        note = f"the posterior density of tau falls only as tau^-{a:g}"
        mean, sd = self.exists(2.0), self.exists(4.0)
        notes = [f"The {name} is infinite: {note}." for name, exists in (("mean", mean), ("SD", sd)) if not exists]
        return Transformed(
            self.density_tau(),
            np.square,
            np.sqrt,
            lambda x: -np.log(2.0) - 0.5 * np.log(x),
            infinite_mean=not mean,
            infinite_sd=not sd,
            notes=tuple(notes),
            extra_first=self.tail(2.0, 2.0 * log_last) if mean else 0.0,
            extra_second=self.tail(4.0, 4.0 * log_last) if sd else 0.0,
        )

    def density_i2(self, typical: float) -> Transformed:
        """Return the posterior of I2 in percent, ``100 tau^2 / (tau^2 + typical)``."""

        def forward(tau: Array) -> Array:
            with np.errstate(divide="ignore"):
                return np.asarray(100.0 / (1.0 + typical / np.square(tau)))

        def inverse(x: Array) -> Array:
            with np.errstate(divide="ignore"):
                return np.asarray(np.sqrt(typical * x / (100.0 - x)))

        def log_slope(x: Array) -> Array:
            return np.asarray(0.5 * np.log(typical) + np.log(50.0) - 0.5 * np.log(x) - 1.5 * np.log(100.0 - x))

        return Transformed(self.density_tau(), forward, inverse, log_slope)


def marginals(solution: Solution) -> Lazy:
    """Return the named marginals of a solution."""
    terms, free = solution.problem.terms, solution.problem.free
    names: dict[str, Callable[[], Marginal]] = {}
    for j, term in enumerate(terms):
        name = "mu" if terms == ("mu",) else f"beta[{term}]"
        if free[j]:
            names[name] = partial(solution.linear, np.eye(len(terms))[j])
    if solution.rule is not None:
        names["tau"] = solution.density_tau
        names["tau2"] = solution.density_tau2
        typical = typical_variance(solution.given.v, solution.given.X)
        if typical is not None:
            names["I2"] = lambda: solution.density_i2(typical)
    if terms == ("mu",):
        names["theta_new"] = lambda: solution.predicted([1.0])
    return Lazy(names)


class Studies(Mapping[str, Marginal]):
    """Study label to the marginal of its true effect, each made when it is first asked for."""

    __slots__ = ("index", "made", "solution")

    def __init__(self, solution: Solution) -> None:
        self.solution = solution
        self.index = {label: i for i, label in enumerate(solution.problem.study)}
        self.made: dict[str, Marginal] = {}

    def __getitem__(self, study: str) -> Marginal:
        if study not in self.index:
            raise unknown("study", study, self.index, UnknownNameError)
        if study not in self.made:
            self.made[study] = self.solution.true_effect(self.index[study])
        return self.made[study]

    def __iter__(self) -> Iterator[str]:
        return iter(self.index)

    def __len__(self) -> int:
        return len(self.index)


def thetas(solution: Solution) -> Studies:
    """Return the marginals of the studies' true effects."""
    return Studies(solution)
