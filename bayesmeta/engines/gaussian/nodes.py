"""A solved normal hierarchical model: a lattice of variance parameters, and the mixtures of normals it makes."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.engines.axes.axis_density import AxisDensity
from bayesmeta.engines.gaussian.given_variances import Conditional, Problem, condition
from bayesmeta.engines.gaussian.lattice import Lattice
from bayesmeta.engines.lazy import Lazy
from bayesmeta.errors import unknown
from bayesmeta.gaussian.blup import effects
from bayesmeta.gaussian.covariance import Covariance
from bayesmeta.gaussian.power_tails import Tails
from bayesmeta.gaussian.statement import NEW, Effect, Gaussian
from bayesmeta.gaussian.sums import Kernel
from bayesmeta.marginals import NormalMixture, Transformed, known
from bayesmeta.posterior import Marginal
from bayesmeta.values import Array, IntervalKind

# What is left out of a mixture's nodes, all together; and as a share of the error where there are no heavy tails.
NEGLIGIBLE, SHARE = 1e-17, 1e-4


@dataclass(frozen=True, eq=False)
class NodeSolution:
    """The posterior as nodes.

    Parameters
    ----------
    given, problem
        The model, and its rows in safe coordinates.
    covariance
        Of the rows, as a function of the variance parameters.
    free
        Places of the variance parameters that are not known, among all of them.
    lattice
        Places of those, with their probabilities.
    psi
        ``(N, d)`` all variance parameters at the places.
    tails
        How slowly the posterior falls.
    kernel
        Log determinant and products of the problem's rows at other values.
    """

    given: Gaussian
    problem: Problem
    covariance: Covariance
    free: tuple[int, ...]
    lattice: Lattice
    psi: Array
    tails: Tails
    kernel: Kernel

    @property
    def log_normaliser(self) -> float:
        """Log of the integral of prior times likelihood: the evidence where all priors are proper."""
        return self.lattice.log_total

    @property
    def error_estimate(self) -> float:
        """What leaving out every other place of an axis changes, all axes together: an upper bound of the error."""
        return float(self.lattice.errors.sum())

    @cached_property
    def at(self) -> Conditional:
        """The coefficients given the variance parameters."""
        return condition(self.problem, np.zeros(len(self.psi)), self.lattice.extra)

    @cached_property
    def weights(self) -> Array:
        """``(N, C)`` posterior probabilities of places and components of the coefficients' priors."""
        return np.asarray(self.lattice.mass[:, None] * np.exp(self.at.logw - self.at.loglik[:, None]))

    def linear(self, x: ArrayLike) -> NormalMixture:
        """Return the posterior of ``x' beta``: a fitted value, a contrast, a single coefficient."""
        return self.effect(Effect(self.given.row(x)))

    def predicted(self, x: ArrayLike) -> NormalMixture:
        """Return the posterior predictive distribution of the true effect of a new row of a new study at design `x`."""
        return self.effect(self.given.new_at(x))

    def effect(self, effect: Effect) -> NormalMixture:
        """Return the posterior of a true effect."""
        posed = self.problem
        safe = replace(effect, x=posed.to_gamma(effect.x))
        found = effects(self.covariance, self.psi, safe, posed.Z, posed.r)
        mean = np.einsum("ncp,np->nc", self.at.mean, found.slope) + found.base[:, None]
        spread = np.einsum("np,ncpq,nq->nc", found.slope, self.at.cov, found.slope)
        var = np.maximum(spread, 0.0) + found.variance[:, None]
        new = NEW in effect.parts.values()
        grows = new or (
            not effect.parts and any(not p.proper for p, part in zip(self.given.beta, effect.x, strict=True) if part)
        )
        kind: IntervalKind = "posterior prediction" if new else "credible"
        return self._mixture(mean, var, float(effect.x @ posed.origin), kind, grows)

    def new_contrast(self, x: ArrayLike) -> NormalMixture:
        """Return the posterior predictive distribution of a contrast ``x' beta`` in a new study with two treatments."""
        return self.effect(Effect(self.given.row(x), {c.name: NEW for c in self.given.components}))

    def joint(self, X: Array) -> tuple[Array, Array, Array]:
        """Return several combinations of coefficients together, as a mixture of normals.

        Parameters
        ----------
        X
            ``(m, p)`` combinations.

        Returns
        -------
        tuple
            ``(n,)`` weights, ``(n, m)`` means and ``(n, m, m)`` covariances.
        """
        G = np.array([self.problem.to_gamma(x) for x in X])
        weight = self.weights.ravel()
        kept = weight > NEGLIGIBLE
        mean = (self.at.mean @ G.T).reshape(len(weight), -1)[kept] + X @ self.problem.origin
        cov = (G @ self.at.cov @ G.T).reshape(len(weight), len(X), len(X))[kept]
        return weight[kept], mean, cov

    def _mixture(self, mean: Array, var: Array, origin: float, kind: IntervalKind, grows: bool) -> NormalMixture:
        """Return the mixture over places and components; one that grows with the scales may lack moments."""
        weight, mean, var = self.weights.ravel(), mean.ravel(), var.ravel()
        if not var.any():
            return known(origin + float(mean[0]), kind)
        order = np.argsort(weight)
        least = NEGLIGIBLE if self.tails.heavy else max(NEGLIGIBLE, SHARE * self.error_estimate)
        kept = np.sort(order[np.cumsum(weight[order]) > least])
        notes: tuple[str, ...] = ()
        if grows and not self.tails.reaches(2.0, None, self.lattice.drop):
            notes = (
                f"The variance is infinite or barely finite: the posterior density of the scales falls only as their "
                f"power -{self.tails.exponent():.4g}. Use the median.",
            )
        share = weight[kept] / weight[kept].sum()
        return NormalMixture(share, mean[kept], np.sqrt(var[kept]), origin, bool(notes), notes, kind)

    def parameter(self, name: str) -> AxisDensity | NormalMixture:
        """Return the posterior of a variance parameter."""
        names = list(self.given.parameters)
        if name not in names:
            raise unknown("variance parameter:", name, names)
        place = names.index(name)
        if place not in self.free:
            return known(float(self.psi[0, place]))
        d = self.free.index(place)
        v, mass = self.lattice.along(d)
        no_mean, no_sd = (not self.tails.reaches(power, name, self.lattice.drop) for power in (1.0, 2.0))
        notes = [what for what, missing in (("mean", no_mean), ("SD", no_sd)) if missing]
        return AxisDensity(
            self.lattice.axes[d],
            v,
            mass,
            math.inf if no_mean else 0.0,
            no_sd,
            tuple(f"The {what} is infinite or barely finite." for what in notes),
        )

    def squared(self, name: str) -> Marginal:
        """Return the posterior of the square of a standard deviation."""
        base = self.parameter(name)
        if not isinstance(base, AxisDensity):
            return known(base.mean() ** 2)
        no_mean, no_sd = (not self.tails.reaches(power, name, self.lattice.drop) for power in (2.0, 4.0))
        return Transformed(
            base,  # type: ignore[arg-type]
            np.square,
            np.sqrt,
            _log_slope_root,
            math.inf if no_mean else 0.0,
            no_sd,
        )

    def notes(self) -> tuple[str, ...]:
        """Return what does not exist in this posterior, and why."""
        missing = [
            f"SD of {c.name}" for c in self.given.components if not self.tails.reaches(2.0, c.name, self.lattice.drop)
        ]
        return (f"Infinite or barely finite, because of heavy tails: {', '.join(missing)}.",) if missing else ()


def _log_slope_root(value: Array) -> Array:
    """Return the log of the derivative of the square root."""
    return np.asarray(-math.log(2.0) - 0.5 * np.log(value))


def marginals(solution: NodeSolution) -> Lazy:
    """Return the named marginals: coefficients, variance parameters with their squares, and what is new."""
    given = solution.given
    names: dict[str, Callable[[], Marginal]] = {}
    for name, x in given.reported_means.items():
        names[name] = partial(solution.linear, x)
    for name in given.parameters:
        names[name] = partial(solution.parameter, name)
    for component in given.components:
        if not component.name.endswith("]"):
            names[f"{component.name}2"] = partial(solution.squared, component.name)
    for name, effect in given.predicted.items():
        names[name] = partial(solution.effect, effect)
    return Lazy(names)


def true_effects(solution: NodeSolution) -> Mapping[str, Marginal]:
    """Return the marginals of the true effects that the model reports."""
    return Lazy({label: partial(solution.effect, effect) for label, effect in solution.given.reported.items()})
