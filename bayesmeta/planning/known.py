r"""What is known of the next study's true effect, and of the mean effect given it.

The next study says something of its own true effect :math:`\theta` only, so that the updated posterior of the mean
effect is :math:`p(\mu \mid y) = \int p(\mu \mid \theta)\, p(\theta \mid y)\, d\theta`. By quadrature a posterior is a
mixture over nodes at which mu is N(b, V) and theta N(b, V + tau^2), so mu given theta is a mixture of normals as well.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, roots_hermitenorm

from bayesmeta.decisions.predictive import theta_nodes
from bayesmeta.errors import ModelError
from bayesmeta.marginals import NormalMixture
from bayesmeta.posterior import Posterior
from bayesmeta.values import Array

# Nodes of less probability than this are left out.
NEGLIGIBLE = 1e-12
# Larger tables than this of (theta, node) are not made: heavy tails have tens of thousands of nodes.
LARGEST = 6_000_000
# Where the posterior is no mixture of normals, from so many draws, each with so many effects of a new study.
DRAWS, SPREAD = 1000, 7
# Values of mu at which its distribution is known given theta; limits are interpolated between.
GRID = 81
SEED = 20_190_715
_Z, _WZ = (np.asarray(a) for a in roots_hermitenorm(16))


@dataclass(frozen=True, eq=False)
class Known:
    """True effects of a next study with their probabilities, and the mean effect given each.

    Parameters
    ----------
    theta, weight
        ``(n,)`` nodes.
    share, mean, sd
        ``(n, c)`` mixture of normals that mu is, given each theta; of draws there is one, with no SD.
    sampled
        Whether it comes from draws.
    tables
        Those made so far, by their ends.
    """

    theta: Array
    weight: Array
    share: Array
    mean: Array
    sd: Array
    sampled: bool
    tables: dict[tuple[float, float], tuple[Array, Array]] = field(default_factory=dict)

    def mu_below(self, x: float) -> Array:
        """Return ``(n,)`` probabilities of a mean effect below `x`, given each theta."""
        with np.errstate(divide="ignore", invalid="ignore"):
            z = (x - self.mean) / self.sd
        # A mean effect known exactly at x counts half to either side.
        return np.asarray(np.sum(self.share * ndtr(np.where(np.isnan(z), 0.0, z)), axis=1))

    def table(self, low: float, high: float) -> tuple[Array, Array]:
        """Return ``(g,)`` values of mu between two ends and ``(n, g)`` probabilities of less, given each theta."""
        if (low, high) not in self.tables:
            x = 0.5 * (low + high) + 0.5 * (high - low) * np.sin(0.5 * np.pi * np.linspace(-1.0, 1.0, GRID))
            self.tables[low, high] = x, np.stack([self.mu_below(float(v)) for v in x], axis=1)
        return self.tables[low, high]

    def mu_mean(self) -> Array:
        """Return ``(n,)`` means of mu given each theta."""
        return np.asarray(np.sum(self.share * self.mean, axis=1))

    def expected(self, function: Callable[[Array], Array]) -> Array:
        """Return ``(n,)`` expectations of a function of mu given each theta."""
        total = np.zeros(len(self.theta))
        if not self.sd.any():
            return np.asarray(np.sum(self.share * function(self.mean), axis=1))
        for z, w in zip(_Z, _WZ / _WZ.sum(), strict=True):
            total += w * np.sum(self.share * function(self.mean + z * self.sd), axis=1)
        return total


def known_effects(posterior: Posterior, width: float, center: float) -> Known:
    """Return what a posterior knows of the next study.

    Parameters
    ----------
    posterior
        With a mean effect and a new study's effect.
    width
        The smallest standard error of a next study: nodes are as close as that near `center`.
    center
        Where a study's success turns.

    Raises
    ------
    ModelError
        If the posterior has no joint distribution of the two: an average of models, say.
    """
    mu, new = posterior.marginals["mu"], posterior.marginals["theta_new"]
    if isinstance(mu, NormalMixture) and isinstance(new, NormalMixture) and np.array_equal(mu.weights, new.weights):
        used = mu.weights > NEGLIGIBLE
        theta, weight = theta_nodes(new, width, center)
        if used.sum() * len(theta) <= LARGEST:
            return _mixture(mu, new, used, theta, weight)
    return _from_draws(posterior)


def _mixture(mu: NormalMixture, new: NormalMixture, used: NDArray[np.bool_], theta: Array, weight: Array) -> Known:
    b, v = mu.origin + mu.means[used], mu.sds[used] ** 2
    total = new.sds[used] ** 2
    z2 = (theta[:, None] - b) ** 2 / total
    log = np.log(mu.weights[used]) - 0.5 * z2 - 0.5 * np.log(total)
    share = np.exp(log - log.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    part = v / total
    mean = b + part * (theta[:, None] - b)
    # V (V + tau^2 - V) / (V + tau^2), without the rounding that leaves something where tau is 0.
    sd = np.sqrt(np.maximum(v * (1.0 - part), 0.0))
    return Known(theta, weight, share, mean, np.broadcast_to(sd, mean.shape), False)


def _from_draws(posterior: Posterior) -> Known:
    tree = posterior.to_datatree(DRAWS, SEED)["posterior"]
    if not {"mu", "tau"} <= set(tree.data_vars):
        raise ModelError(
            "This posterior has no joint draws of mu and tau, so no updated analysis can be foreseen: give one of the "
            "fits that it was made of, e.g. average.details.posteriors[0]."
        )
    mu, tau = (np.asarray(tree[name], dtype=float).ravel() for name in ("mu", "tau"))
    step = max(1, len(mu) // DRAWS)
    mu, tau = mu[::step], tau[::step]
    z, w = roots_hermitenorm(SPREAD)
    theta = (mu[:, None] + tau[:, None] * z).ravel()
    weight = np.tile(w / w.sum(), len(mu)) / len(mu)
    mean = np.repeat(mu, SPREAD)[:, None]
    return Known(theta, weight, np.ones_like(mean), mean, np.zeros_like(mean), True)
