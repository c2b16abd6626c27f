"""A solved normal model: nodes of tau, the Gaussian posterior at each, and the marginals they make."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.engines.axes.panels import Rule
from bayesmeta.engines.axes.tau_posterior import TauPosterior, known_heterogeneity, tau_posterior
from bayesmeta.engines.gaussian.given_variances import CHUNK, Conditional, Problem, condition, true_effect
from bayesmeta.engines.lazy import Lazy
from bayesmeta.errors import ModelError, UnknownNameError, unknown
from bayesmeta.gaussian.leverage import typical_variance
from bayesmeta.gaussian.prior_components import log_step, normals
from bayesmeta.marginals import Density, NormalMixture, Transformed, known
from bayesmeta.model import Gaussian
from bayesmeta.posterior import Marginal
from bayesmeta.priors import fixed_value
from bayesmeta.values import Array, IntervalKind

# From here on the likelihood is interpolated between its nodes: to 1e-13, at a cost that does not depend on k.
INTERPOLATE = 300


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

    given: Gaussian
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

    @property
    def heterogeneity(self) -> TauPosterior | None:
        """The posterior of tau; None where it is known."""
        rule = None if self.rule is None else replace(self.rule, logg=self.rule.logg - self.log_normaliser)
        return tau_posterior(rule, self.given.tau, self.tail_exponent)

    def log_density_tau(self, tau: Array) -> Array:
        """Return the log posterior density of tau."""
        assert self.given.tau is not None
        if self.problem.k > INTERPOLATE and self.rule is not None:
            return self.rule.interpolate(self.at.loglik, tau) + self.given.tau.logpdf(tau) - self.log_normaliser
        return condition(self.problem, tau).loglik + self.given.tau.logpdf(tau) - self.log_normaliser

    def linear(self, x: ArrayLike) -> NormalMixture:
        """Return the posterior of ``x' beta``: a fitted value, a contrast, a single coefficient."""
        x = self.given.row(x)
        mean, var = self.at.combination(self.problem.to_gamma(x))
        return self.mixture(mean, var, float(x @ self.problem.origin), "credible", self._df(x))

    def predicted(self, x: ArrayLike) -> NormalMixture:
        """Return the posterior predictive distribution of a new study's true effect at design row `x`."""
        x = self.given.row(x)
        mean, var = self.at.combination(self.problem.to_gamma(x))
        origin = float(x @ self.problem.origin)
        return self.mixture(mean, var + (self.tau**2)[:, None], origin, "posterior prediction", 0.0)

    def true_effect(self, i: int) -> NormalMixture:
        """Return the posterior of study i's true effect."""
        own = bool(self.problem.v[i] < self.mass @ np.minimum(self.tau**2, 1e300))
        mean, var = true_effect(self.problem, self.at, i, own)
        origin = float(self.given.y[i] if own else self.given.X[i] @ self.problem.origin)
        return self.mixture(mean, var, origin, "credible")

    def mixture(
        self, mean: Array, var: Array, origin: float, kind: IntervalKind, df: float = math.inf
    ) -> NormalMixture:
        """Return the mixture over nodes and components, and say which moments it does not have.

        The density given a large tau is as a power of the distance up to there, ``-(df + 1)``: so is that of a
        coefficient with a Student-t prior. With 0 degrees of freedom it goes with tau: a flat prior leaves it so, and a
        new study's effect is. Moments of order r, given tau, grow as tau^(r - df).
        """
        if not var.any():
            # mu and tau are both fixed, and tau at 0.
            return known(origin + float(mean.flat[0]), kind)
        tau, weight, extra = self.heterogeneity, self.weights, 0.0
        notes: tuple[str, ...] = ()
        if tau is not None and tau.heavy:
            notes = tau.missing(
                max(0.0, 2.0 - df),
                "the mean given is that of E(quantity | tau), a principal value",
                first=max(0.0, 1.0 - df),
                why=None if df == 0.0 else f"far out its posterior density falls only as |x|^-{df + tau.exponent:.4g}",
            )
            if not notes and df == 0.0:
                extra = tau.beyond(2.0, math.log(float(np.max(var[-1]))))
            elif not notes and math.isfinite(df):
                away = mean - float(np.sum(weight * mean))
                extra = self._pruned_variance(np.sum(weight * (var + away**2), axis=0), df + tau.exponent)
        return NormalMixture(
            weight.ravel(),
            mean.ravel(),
            np.sqrt(var).ravel(),
            origin,
            bool(notes),
            notes,
            kind,
            extra_variance=extra,
        )

    def _pruned_variance(self, second: Array, exponent: float) -> float:
        """Return the variance in components of a Student-t prior that are too wide to hold any probability.

        Far out their second moments, ``(C,)`` with the widest first, are a geometric series: one of the distances, by
        the power that remains of a density that falls as their power `exponent`.
        """
        several = [prior for prior in self.given.beta if fixed_value(prior) is None and len(normals(prior, "")[0]) > 1]
        if len(several) != 1 or hasattr(several[0], "components"):
            return 0.0
        step = 0.5 * log_step(float(several[0].tail_exponent) - 1.0)
        return float(second[0]) / math.expm1((exponent - 3.0) * step)

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
        rows = np.einsum("nc,ncij->nij", self.weights, self.at.cov)[:, :, 0] * posed.S[0, 0]
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

    def _df(self, x: Array) -> float:
        """Return the degrees of freedom of ``x' beta`` before the data: 0 where it has a part with a flat prior."""
        priors = [prior for prior, part in zip(self.given.beta, x, strict=True) if part != 0.0]
        if any(not prior.proper for prior in priors):
            return 0.0
        return min(
            [float(prior.tail_exponent) - 1.0 for prior in priors if fixed_value(prior) is None], default=math.inf
        )

    def notes(self) -> tuple[str, ...]:
        """Return what does not exist in this posterior, and why."""
        tau = self.heterogeneity
        if tau is None:
            return ()
        missing = [f"mean of {name}" for name, power in (("tau", 1.0), ("tau2", 2.0)) if not tau.exists(power)]
        missing += [f"SD of {name}" for name, power in (("tau", 2.0), ("tau2", 4.0)) if not tau.exists(power)]
        if self.predicted(self.given.X.mean(axis=0)).infinite_sd:
            missing.append("SD of theta_new")
        return (f"Infinite, because {tau.why}: {', '.join(missing)}.",) if missing else ()

    def density_tau(self) -> Density:
        """Return the posterior of tau."""
        assert self.heterogeneity is not None
        return self.heterogeneity.density(self.log_density_tau)

    def density_tau2(self) -> Transformed:
        """Return the posterior of tau squared."""
        assert self.heterogeneity is not None
        return self.heterogeneity.squared(self.density_tau())

    def density_i2(self, typical: float) -> Transformed:
        """Return the posterior of I2 in percent, ``100 tau^2 / (tau^2 + typical)``."""
        return Transformed(
            self.density_tau(),
            partial(_i2_of_tau, typical),
            partial(_tau_of_i2, typical),
            partial(_log_slope_i2, typical),
        )


def _i2_of_tau(typical: float, tau: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.asarray(100.0 / (1.0 + typical / np.square(tau)))


def _tau_of_i2(typical: float, x: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.asarray(np.sqrt(typical * x / (100.0 - x)))


def _log_slope_i2(typical: float, x: Array) -> Array:
    return np.asarray(0.5 * np.log(typical) + np.log(50.0) - 0.5 * np.log(x) - 1.5 * np.log(100.0 - x))


def marginals(solution: Solution) -> Lazy:
    """Return the named marginals of a solution."""
    terms, free = solution.problem.terms, solution.problem.free
    names: dict[str, Callable[[], Marginal]] = {}
    for j, term in enumerate(terms):
        name = "mu" if terms == ("mu",) else f"beta[{term}]"
        fixed = partial(known, float(solution.given.beta[j].support[0]))
        names[name] = partial(solution.linear, np.eye(len(terms))[j]) if free[j] else fixed
    typical = typical_variance(solution.given.v, solution.given.X)
    if solution.rule is not None:
        names["tau"] = solution.density_tau
        names["tau2"] = solution.density_tau2
        if typical is not None:
            names["I2"] = partial(solution.density_i2, typical)
    elif solution.given.tau is not None:
        names |= known_heterogeneity(float(solution.tau[0]), typical)
    if terms == ("mu",):
        names["theta_new"] = partial(solution.predicted, (1.0,))
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
