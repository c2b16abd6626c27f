"""How slowly the posterior of a pooled effect falls far out: as a power, where its prior does."""

import math
from itertools import pairwise

import numpy as np

from bayesmeta.engines.axes.tau_prior import BARELY, barely_proper
from bayesmeta.priors import Prior
from bayesmeta.priors.combine import Truncated
from bayesmeta.priors.mixtures import Mixture
from bayesmeta.values import Array

# A tail is taken for a power if its log-log slope at these tail probabilities differs by less than 5%: that of
# exponential and lognormal tails does by more.
FAR = (1e-8, 1e-12)
SAME_SLOPE = 1.05
# Step in the log of the distance for slopes.
STEP = 0.01

# Nothing falls as a power.
LIGHT = np.full(2, np.inf)


def prior_tails(prior: Prior) -> Array:
    """Return ``(2,)`` exponents b where a proper prior's density falls as ``|x| ** -b`` far below and far above.

    They are infinite where it ends or falls faster than any power.
    """
    if isinstance(prior, Mixture):
        return np.asarray(np.min([prior_tails(part) for part in prior.components], axis=0))
    inner = prior_tails(prior.base) if isinstance(prior, Truncated) else None
    if inner is None and getattr(prior, "name", "") != "":
        inner = np.full(2, float(prior.tail_exponent))
    # Distributions of other packages do not say it.
    known = inner if inner is not None else np.array([_measured(prior, -1.0), _measured(prior, 1.0)])
    return np.where(np.isfinite(prior.support), np.inf, known)


def posterior_tails(
    prior: Prior, dying: Array, held: int, tau: Prior | None, exponent: float, df: float = math.inf
) -> Array:
    r"""Return ``(2,)`` exponents of the posterior density of mu far below and far above.

    Where no likelihood dies away their product tends to a constant, and the tail is the prior's. Where some do, mu gets
    far out by a tau as large, :math:`\tau = \mu t`: averaged over such random effects the likelihood of a study held on
    both sides is as :math:`1/\mu`, others tend to constants. With a density of tau that falls as :math:`\tau^{-a}`
    after the data, what remains of :math:`d\tau = \mu\, dt` is :math:`\mu^{1-a}` times the prior of mu. Random effects
    with a t distribution get there with any tau, at the price of a power of df for each study that dies away, and of
    one more for those held on both sides.

    Parameters
    ----------
    prior
        Of mu, proper.
    dying
        ``(2,)`` number of studies whose likelihoods die away far below and far above.
    held
        Number of those that do on both sides.
    tau, exponent
        Prior of tau, and the exponent of its posterior; infinite where that is light.
    df
        Degrees of freedom of the random effects.
    """
    by_tau = exponent - 1.0
    if tau is not None and barely_proper(tau):
        # Slower factors than powers make the moment at the very edge exist.
        by_tau += 2.0 * BARELY
    by_effects = math.inf if tau is None or math.isinf(df) else df * dying + held
    return np.asarray(prior_tails(prior) + np.where(dying > 0, np.minimum(by_tau, by_effects), 0.0))


def exist(tails: Array, power: float) -> bool:
    """Return whether the moment of that order exists."""
    return bool(tails.min() > power + 1.0 + 0.5 * BARELY)


def beyond(height: Array, away: Array, exponent: float, power: int) -> Array:
    """Return the moment of what lies farther than `away` from a place, where the density is `height` and falls so."""
    rate = exponent - 1.0 - power
    if math.isinf(rate) or rate < BARELY:
        return np.zeros_like(height)
    return np.asarray(height * away ** (power + 1) / rate)


def infinite_mean(tails: Array) -> float:
    """Return the mean where one tail makes it infinite, else 0: then it exists, or both tails have a say."""
    if exist(tails, 1.0) or tails[0] == tails[1]:
        return 0.0
    return -math.inf if tails[0] < tails[1] else math.inf


def why(tails: Array) -> str:
    """Return why moments do not exist."""
    low, high = (bool(end <= 3.0 + BARELY) for end in tails)
    where = "far out" if low and high else "far below" if low else "far above"
    return f"{where} the posterior density of mu falls only as |mu|^-{float(tails.min()):.4g}"


def _measured(prior: Prior, side: float) -> float:
    """Return the exponent of one tail of a density, from its slopes far out."""
    if math.isfinite(prior.support[0 if side < 0.0 else 1]):
        return math.inf
    middle, slopes = float(prior.ppf(0.5)), []
    for q in FAR:
        away = abs(float(prior.ppf(q) if side < 0.0 else prior.isf(q)) - middle)
        near, far = prior.logpdf(middle + side * away * np.exp([-STEP, STEP]))
        slopes.append(-float(far - near) / (2.0 * STEP))
    return slopes[1] if all(b < SAME_SLOPE * a for a, b in pairwise(slopes)) else math.inf
