r"""Random effects cut to an interval: a normal distribution between two limits, divided by its probability there.

.. math::
    \bar L_i(\mu, \tau) = \frac{\int L_i(\theta)\, N(\theta; \mu, \tau^2)\, d\theta}
    {\Phi((b - \mu)/\tau) - \Phi((a - \mu)/\tau)}
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.engines.axes.tau_prior import barely_proper
from bayesmeta.errors import ModelError
from bayesmeta.likelihoods.cut_normal import log_mass
from bayesmeta.model import StudyLikelihoods
from bayesmeta.values import Array

if TYPE_CHECKING:
    from bayesmeta.engines.counts.random_effects import NormalEffects, Placed


@dataclass(frozen=True, slots=True, eq=False)
class LimitedEffects:
    """``theta ~ N(mu, tau^2)`` between limits that the studies' own likelihoods hardly reach.

    Parameters
    ----------
    whole
        The same without limits.
    limits
        Ends of the interval.
    """

    whole: "NormalEffects"
    limits: tuple[float, float]

    def grid(self, mu: Array, tau: Array) -> Array:
        """Return ``(T, M)`` log averaged likelihoods of all studies together."""
        k = len(self.whole.curves.center)
        return self.whole.grid(mu, tau) - k * log_mass(mu, np.broadcast_to(tau[:, None], mu.shape), self.limits)

    def rough(self, mu: Array, tau: Array) -> Array:
        """Return the same approximately."""
        k = len(self.whole.curves.center)
        return self.whole.rough(mu, tau) - k * log_mass(mu, np.broadcast_to(tau[:, None], mu.shape), self.limits)

    def finer(self) -> "LimitedEffects":
        """Return the averages by sums of half the step."""
        return replace(self, whole=self.whole.finer())

    def place(self, tau: Array) -> "Placed":
        """Return where mu lies given each tau, the limits being counted by what they do there."""
        placed = self.whole.place(tau)
        k = len(self.whole.curves.center)
        return replace(placed, log=placed.log - k * log_mass(placed.center, tau, self.limits))


def check_limited(given: StudyLikelihoods) -> float:
    r"""Return a where the posterior density of tau falls as tau^-a.

    As tau grows, the effects are spread evenly between the limits and the likelihood tends to a constant: the
    posterior's tail is the prior's. As mu grows with tau fixed, the effects are pressed against a limit b within about
    :math:`\tau^2 / \mu`; there a likelihood vanishes as a power m of the distance, so that :math:`\bar L` falls like
    :math:`(\tau^2/\mu)^m`: a flat prior of mu needs a total m above 1 at each limit, and moments of tau^2.

    Raises
    ------
    ModelError
        If the posterior is improper, or mu has no variance.
    """
    tau, limits = given.tau, given.support
    unbounded = tau is not None and not math.isfinite(tau.support[1])
    exponent = tau.tail_exponent if tau is not None and unbounded else math.inf
    if exponent <= 1.0 and not (tau is not None and barely_proper(tau)):
        raise ModelError(
            f"The posterior is improper: as tau grows, true effects are spread evenly over {limits} whatever the data "
            f"are, so the prior {tau!r} of tau must be proper. Use e.g. half_normal(0.15)."
        )
    if given.mu.proper or tau is None:
        return exponent
    if exponent <= 7.0:
        raise ModelError(
            f"With the prior {given.mu!r} of mu and {tau!r} of tau the pooled effect has no finite variance: true "
            f"effects lie in {limits}, where large values of mu and tau together do what small ones do. Use a proper "
            "prior of mu, e.g. normal(0, 0.5), or one of tau with light tails, e.g. half_normal(0.15)."
        )
    for end, order in zip(limits, _orders(given), strict=True):
        if order < 3.5:
            raise ModelError(
                f"The posterior is improper, or mu has no finite variance: with the prior {given.mu!r} of mu the "
                f"studies must rule out an effect of {end:g}, and they hardly do. Use a proper prior of mu, e.g. "
                "normal(0, 0.5)."
            )
    return exponent


def _orders(given: StudyLikelihoods) -> Array:
    """Return the power of the distance with which the product of the likelihoods vanishes at each limit."""
    low, high = given.support
    near = 1e-4 * (high - low)
    at = np.tile([low + near, low + 2.0 * near, high - 2.0 * near, high - near], (len(given.study), 1))
    value = given.loglik(at).sum(axis=0)
    return np.array([value[1] - value[0], value[2] - value[3]]) / math.log(2.0)
