r"""The joint posterior of (mu, tau) on nodes, for models that give each study's likelihood.

Given tau the posterior of mu is put on a grid that is uniform in `exact.axis`: in mu about its own mode or, where heavy
tails leave mu on many scales, on an axis that is fine about the studies and the prior. The trapezoidal rule and sinc
interpolation converge geometrically on it; tau lies on the panels of `engines.nodes`, placed
by a Laplace approximation and then evaluated in full.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayesmeta.engines.axes import panels as nodes
from bayesmeta.engines.axes.tau_prior import known_tau
from bayesmeta.engines.counts.grid.integrand import Posed, landmarks
from bayesmeta.engines.counts.grid.mu_axis import Axis
from bayesmeta.engines.counts.grid.search import Search, enclosed_and_resolved
from bayesmeta.engines.counts.grid.tau_panels import check_tau, log_prior_mass, tau_rule
from bayesmeta.engines.counts.loglik_between_limits import Bounded, tabulate
from bayesmeta.engines.counts.loglik_range import theta_range
from bayesmeta.engines.counts.loglik_tables import Curves
from bayesmeta.engines.counts.random_effects import Averages, averages
from bayesmeta.model import StudyLikelihoods
from bayesmeta.values import Array


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """The joint posterior of mu and tau on ``(T, M)`` nodes.

    Parameters
    ----------
    curves, averages
        The studies' log likelihoods, and their averages over the random effects.
    rule
        Panels and nodes of tau; None for a common-effect model.
    tau
        ``(T,)`` nodes; zero for a common-effect model.
    center, scale
        ``(T,)`` place and unit of the grid of mu given each tau.
    places
        ``(P,)`` values of mu from all over its prior and the studies.
    axis, u
        How mu follows from u, and the ``(M,)`` uniform grid of u.
    mu
        ``(T, M)`` nodes of mu.
    mass
        ``(T, M)`` posterior mass of the nodes, adding up to one.
    log_weight
        ``(T,)`` log posterior mass of the nodes of tau, also where `mass` underflows.
    log_evidence
        Log marginal likelihood (of the priors as given; meaningless if one is improper).
    error
        Estimate of the error of the density of mu given tau, relative to its peak, or of the sum over all nodes.
    """

    curves: Curves | Bounded
    averages: Averages
    rule: nodes.Rule | None
    tau: Array
    center: Array
    scale: Array
    places: Array
    axis: Axis
    u: Array
    mu: Array
    mass: Array
    log_weight: Array
    log_evidence: float
    error: float

    @property
    def step(self) -> float:
        """Spacing of `u`."""
        return float(self.u[1] - self.u[0])

    def spacing(self, counts: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Return ``(T,)`` the least and the largest distance between nodes of mu that count; `counts` is ``(T, M)``."""
        slope = self.axis.slope(self.mu, self.center[:, None], self.scale[:, None])
        ends = np.where(counts, slope, np.inf).min(axis=1), np.where(counts, slope, 0.0).max(axis=1)
        return self.step * ends[0], self.step * ends[1]

    @property
    def m(self) -> Array:
        """``(M,)`` the grid of `u` in whole steps."""
        return np.rint(self.u / self.step)

    @property
    def weight(self) -> Array:
        """``(T,)`` posterior mass of the nodes of tau."""
        return np.asarray(self.mass.sum(axis=1))


def plane(likelihoods: StudyLikelihoods) -> Plane:
    """Return the joint posterior of mu and tau on nodes.

    Raises
    ------
    ConvergenceError
        If the posterior cannot be enclosed or resolved.
    """
    curves = tabulate(likelihoods, *theta_range(likelihoods))
    average = averages(likelihoods, curves)
    rule, tau, log_weight = _nodes_of_tau(likelihoods, average)
    placed = average.place(tau)
    posed = Posed(curves, average, likelihoods.mu, tau, log_weight, placed.center, placed.scale, landmarks(likelihoods))
    posed, grid, error = enclosed_and_resolved(Search(likelihoods, posed, (placed.reach, placed.reach)))
    total = float(grid.mass.sum())
    if rule is not None:
        check_tau(rule, likelihoods, grid.mass.sum(axis=1) / total)
    evidence = grid.top + float(np.log(total))
    log_weight = logsumexp(grid.log, axis=1) + posed.log_weight + np.log(grid.step) - evidence
    return Plane(
        curves=posed.curves,
        averages=posed.averages,
        rule=rule,
        tau=tau,
        center=posed.center,
        scale=posed.scale,
        places=posed.places,
        axis=posed.axis,
        u=grid.u,
        mu=posed.mu_at(np.arange(len(tau)), grid.u),
        mass=grid.mass / total,
        log_weight=np.asarray(log_weight),
        log_evidence=evidence,
        error=error,
    )


def _nodes_of_tau(likelihoods: StudyLikelihoods, average: Averages) -> tuple[nodes.Rule | None, Array, Array]:
    """Return the panels of tau, None where it is known, and ``(T,)`` nodes with their log prior masses."""
    known = known_tau(likelihoods.tau)
    if known is not None:
        return None, np.array([known]), np.zeros(1)
    assert likelihoods.tau is not None
    rule = tau_rule(likelihoods, average)
    return rule, rule.x.ravel(), log_prior_mass(rule, likelihoods.tau)
