"""How far out each study's likelihood is worth knowing."""

import numpy as np
from numpy.typing import NDArray

from bayesmeta.engines.axes.tails import LIGHT, posterior_tails, prior_tails
from bayesmeta.model import StudyLikelihoods
from bayesmeta.values import Array

# What lies within so many standard errors of a study's center always counts, and neither mu nor a random effect is
# followed farther than so many of the largest standard error.
ALWAYS, NEVER = 40.0, 1e6
# A random effect larger than so many tau has a probability of 2e-19.
EFFECTS = 9.0
# A range of theta that exceeds the studies and the prior by no more than so many standard errors is taken whole.
NEARBY = 200.0
# One that neither dies away nor changes by more than this (log scale) in the last quarter of the way tends to a
# constant: with exponential approach to it, what is left is far less.
LEVEL = 1e-3
# A likelihood this far below its maximum (log scale) has no part in an average over random effects.
FALLEN = 1000.0


def theta_range(likelihoods: StudyLikelihoods) -> tuple[Array, Array]:
    """Return ``(k,)`` ends of the range of theta in which each study's likelihood could matter."""
    finite = np.where(np.isfinite(likelihoods.scale), likelihoods.scale, 1.0)
    limit = NEVER * float(finite.max())
    first = float(np.min(likelihoods.center - ALWAYS * finite))
    last = float(np.max(likelihoods.center + ALWAYS * finite))
    low, high = (float(end) for end in np.clip(likelihoods.mu.support, -limit, limit))
    if likelihoods.mu.proper:
        tails = [float(q) for q in likelihoods.mu.ppf(np.array([1e-15, 1e-3, 1.0 - 1e-3, 1.0 - 1e-15]))]
        low, high = max(low, tails[0]), min(high, tails[3])
        first, last = min(first, tails[1]), max(last, tails[2])
    spread = 0.0
    if likelihoods.tau is not None:
        spread = limit
        if likelihoods.tau.proper:
            spread = min(limit, EFFECTS * float(likelihoods.tau.ppf(np.array(1.0 - 1e-14))))
    ends = min(first, low) - spread, max(last, high) + spread
    return _fallen(likelihoods, first, ends[0]), _fallen(likelihoods, last, ends[1])


def _fallen(likelihoods: StudyLikelihoods, inner: float, outer: float) -> Array:
    """Return ``(k,)`` how far out, between `inner` and `outer`, each study's likelihood is worth knowing.

    Where mu lies between the studies and its prior, theta gets beyond only by a random effect, and a likelihood
    that has fallen to nothing there stays nothing.
    """
    finite = np.where(np.isfinite(likelihoods.scale), likelihoods.scale, 1.0)
    if any(np.isfinite(likelihoods.support)) or abs(outer - inner) <= NEARBY * finite.min():
        return np.full(len(likelihoods.center), outer)
    farthest = abs(outer - inner)
    away = np.full(len(likelihoods.center), float(np.abs(inner - likelihoods.center).max()))
    peak = likelihoods.loglik(likelihoods.center[:, None])[:, 0]
    known, theta = likelihoods.loglik(np.full((len(away), 1), inner))[:, 0], np.full(len(away), inner)
    going = np.ones(len(away), dtype=bool)
    while going.any():
        # A study whose end is found stays there: farther out its baseline could be past integrating.
        theta = np.where(going, inner + np.copysign(np.minimum(away, farthest), outer - inner), theta)
        value = likelihoods.loglik(theta[:, None])[:, 0]
        going &= ((value > peak - FALLEN) | (value > known - 1.0)) & (away < farthest)
        away = np.where(going, 2.0 * away, away)
    return theta


def dies_away(given: StudyLikelihoods) -> NDArray[np.bool_]:
    """Return ``(k, 2)``: whether each study's likelihood dies away far below and far above its center."""
    return _far_out(given)[0]


def _far_out(given: StudyLikelihoods) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return ``(k, 2)`` twice: whether each likelihood dies away far below and above, and whether it levels off."""
    far = 60.0 * np.where(np.isfinite(given.scale), given.scale, 1.0)
    places = [given.center + part * far for part in (-1.0, -0.75, 0.0, 0.75, 1.0)]
    value = given.loglik(np.stack(places, axis=1))
    ends = value[:, [0, 4]]
    return ends < value[:, [2]] - 30.0, np.abs(ends - value[:, [1, 3]]) < LEVEL


def tails_of_mu(given: StudyLikelihoods, exponent: float) -> Array:
    """Return ``(2,)`` exponents of the tails of the posterior of mu, where a proper prior of it makes them powers.

    Those of true effects between limits, and where a likelihood neither dies away nor levels off, are taken for light.
    """
    if not given.mu.proper or np.isfinite(given.support).any() or np.isinf(prior_tails(given.mu)).all():
        return LIGHT
    dying, level = _far_out(given)
    df = given.df if given.random_effects == "t" else np.inf
    tails = posterior_tails(
        given.mu, np.sum(dying, axis=0, dtype=float), int(dying.all(axis=1).sum()), given.tau, exponent, df
    )
    return np.where((dying | level).all(axis=0), tails, np.inf)
