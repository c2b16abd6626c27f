"""The panels of tau: placed by an approximation to the posterior, and checked against the posterior itself."""

from itertools import pairwise

import numpy as np
from scipy.special import ndtr

from bayesmeta.engines.axes import panels as nodes
from bayesmeta.engines.counts.random_effects import Averages
from bayesmeta.errors import ConvergenceError
from bayesmeta.marginals.axis import log_jacobian
from bayesmeta.model import StudyLikelihoods
from bayesmeta.priors import Prior
from bayesmeta.values import Array

# Panels of tau that the Laplace approximation gives less mass than this, and less of E(tau^2), are left out.
NEGLIGIBLE_PANEL = 1e-14
NEGLIGIBLE_SECOND = 1e-11
# More probability than this per unit of log tau at the ends of the panels says that there is more beyond them.
OPEN_END = 1e-8


def tau_rule(likelihoods: StudyLikelihoods, average: Averages, slack: float = 0.0) -> nodes.Rule:
    """Return panels of tau on which the posterior is smooth, placed by an approximation to it.

    With `slack` the approximation may be wrong by that much (log scale) about which panels count.
    """
    prior = likelihoods.tau
    assert prior is not None

    def approximate(tau: Array) -> tuple[Array, Array]:
        placed = average.place(tau)
        return np.asarray(prior.logpdf(tau)) + placed.log, np.column_stack([placed.center, placed.scale])

    widths = np.where(np.isfinite(likelihoods.scale), likelihoods.scale, 1.0)
    smallest, k = float(widths.min()), len(widths)
    landmarks = [smallest / np.sqrt(k), float(widths.max()), float(np.ptp(likelihoods.center)) + smallest]
    if prior.proper:
        landmarks += [float(q) for q in prior.ppf(np.array([0.05, 0.5, 0.95]))]
    low, high = prior.support
    cuts = sorted({low, *(b for b in prior.breaks if low < b < high), high})
    first = nodes.first_panels(list(pairwise(cuts)), np.array(landmarks))
    rule = nodes.refine(approximate, nodes.evaluate(approximate, first))
    nodes.check_enclosed(rule)
    rule = nodes.refine(approximate, rule, features)
    share = rule.masses().sum(axis=1)
    # A panel may matter to the variance of a new study's effect where it does not to any probability.
    second = (rule.masses() * rule.x**2).sum(axis=1)
    least = np.exp(-slack)
    used = (share > least * NEGLIGIBLE_PANEL * share.sum()) | (second > least * NEGLIGIBLE_SECOND * second.sum())
    # None between them is left out: where there is no second moment its sum is all in the last panels.
    return nodes.keep(rule, np.arange(np.flatnonzero(used)[0], np.flatnonzero(used)[-1] + 1))


def features(rule: nodes.Rule) -> Array:
    """Return approximate probabilities of mu and of a new study's effect given tau, at a few places of each."""
    mu, scale = rule.extra[..., 0], rule.extra[..., 1]
    mass = rule.masses()
    mass = mass / mass.sum()
    center = np.sum(mass * mu)
    found = []
    for sd in (scale, np.sqrt(scale**2 + rule.x**2)):
        width = np.exp(np.sum(mass * np.log(sd)))
        found += [ndtr((center + s * width - mu) / sd) for s in (-6.0, -2.0, 0.0, 2.0, 6.0)]
    return np.stack(found, axis=-1)


def log_prior_mass(rule: nodes.Rule, prior: Prior) -> Array:
    """Return ``(T,)`` logs of the prior's masses of the nodes of tau."""
    panels = rule.panels
    slope = log_jacobian(panels.points(), panels.lower[:, None], panels.upper[:, None])
    return np.asarray((slope + np.log(panels.weights())).ravel() + prior.logpdf(rule.x.ravel()))


def check_tau(rule: nodes.Rule, likelihoods: StudyLikelihoods, weight: Array) -> None:
    """Refuse a posterior of tau whose panels, placed by an approximation to it, do not hold it."""
    assert likelihoods.tau is not None
    density = (weight.reshape(rule.x.shape) / rule.panels.weights()).ravel()
    low, high = likelihoods.tau.support
    near = (float(rule.x[0, 0]) <= low + 1e-100, float(rule.x[-1, -1]) >= min(high, 1e100) * (1.0 - 1e-6))
    if any(end > OPEN_END and not at for end, at in zip(density[[0, -1]], near, strict=True)):
        raise ConvergenceError(
            f"The posterior of tau was not enclosed: with the priors {likelihoods.mu!r} of mu and {likelihoods.tau!r} "
            "of tau it is not where an approximation placed it. Use priors that contradict the studies less, or "
            "engine='nuts'."
        )
