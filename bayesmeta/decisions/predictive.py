"""What the studies so far predict of the next study's result, and how the result compares."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import gammaln, ndtr, roots_legendre

from bayesmeta.decisions.study_orders import Studies
from bayesmeta.marginals import NormalMixture
from bayesmeta.marginals.convergence import mcse_mean
from bayesmeta.marginals.draws import DrawsMarginal
from bayesmeta.marginals.noisy import with_error
from bayesmeta.marginals.search import Searched
from bayesmeta.posterior import Marginal, Posterior
from bayesmeta.priors import Prior
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array

_X, _W = (np.asarray(a) for a in roots_legendre(16))
# Panels of a predictive density: both tails, and most of them in the middle.
_LEVELS = np.array([1e-12, 1e-9, 1e-6, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.35, 0.5])
# Panels widen by this share of their distance from the center. Beyond the second number they double: tables are
# certain there to 1e-20, and densities fall as powers.
_GROWTH, _VARIES = 0.1, 60.0


@dataclass(frozen=True, slots=True)
class Check:
    """A study's result beside its prediction from the studies before it.

    Parameters
    ----------
    what
        The result predicted: ``"estimate"`` (analysis scale) or ``"events under treatment"``.
    observed
        The result.
    low, high
        Equal-tailed interval of the prediction.
    level
        Of the interval.
    p
        Two-sided predictive p-value, twice the smaller tail probability (mid-p for counts).
    low_error, high_error, p_error
        Their Monte Carlo standard errors; None where nothing was sampled, and for limits that are counts.
    """

    what: str
    observed: float
    low: float
    high: float
    level: float
    p: float
    low_error: float | None = None
    high_error: float | None = None
    p_error: float | None = None


def count_check(x: Array, chance: Array, observed: float, level: float) -> Check:
    """Return how a number of events compares with its predictive distribution.

    Parameters
    ----------
    x, chance
        ``(n,)`` possible numbers of events under treatment, rising, and their probabilities.
    observed
        The number that was seen.
    level
        Of the prediction interval.
    """
    counted = half_counted(x, observed)
    below, above = float(counted @ chance), float((1.0 - counted) @ chance)
    total: Any = np.cumsum(chance)
    tail = 0.5 * (1.0 - level)
    low, high = (float(x[min(int(np.searchsorted(total, q)), len(x) - 1)]) for q in (tail, 1.0 - tail))
    return Check("events under treatment", observed, low, high, level, min(1.0, 2.0 * min(below, above)))


def half_counted(x: Array, observed: float) -> Array:
    """Return how much each possible number counts to the lower tail: mid-p, the observed one counts half to each."""
    return np.asarray((x < observed) + 0.5 * (x == observed))


def predicted_estimate(theta_new: Marginal, se: float) -> Searched:
    """Return the predictive distribution of a new study's estimate: its true effect plus sampling error.

    Parameters
    ----------
    theta_new
        The true effect of a new study, given the studies so far.
    se
        Standard error of the new study's estimate.
    """
    if isinstance(theta_new, DrawsMarginal):
        draws = theta_new.draws.ravel()
        return _mixture(draws, np.full(draws.size, 1.0 / draws.size), se)
    return with_error(theta_new, se)


def _mixture(means: Array, weights: Array, se: float) -> NormalMixture:
    return NormalMixture(weights, means, np.full(means.size, se), kind="posterior prediction")


def _nodes(marginal: Marginal, width: float, center: float) -> tuple[Array, Array]:
    """Return nodes of a density and their probabilities; values with a probability of their own are nodes too."""
    inner = np.unique(np.asarray(marginal.ppf(np.concatenate([_LEVELS, 1.0 - _LEVELS]))))
    away = _distances(width, float(np.abs(inner - center).max()))
    places = np.concatenate([center - away, center + away, getattr(marginal, "breaks", ())])
    edges = np.unique(np.concatenate([inner, places[(places > inner[0]) & (places < inner[-1])]]))
    half = 0.5 * np.diff(edges)
    x = (edges[:-1] + half)[:, None] + half[:, None] * _X
    mass = np.asarray(marginal.pdf(x)) * _W * half[:, None]
    atoms: dict[float, float] = getattr(marginal, "atoms", {})
    share = np.array(list(atoms.values()))
    rest = (mass / mass.sum() * (1.0 - share.sum())).ravel()
    return np.append(x.ravel(), list(atoms)), np.append(rest, share)


def _distances(width: float, furthest: float) -> Array:
    """Return the ends of panels by their distance from a center: as wide as `width` near it, wider far away."""
    found = [0.0]
    while found[-1] < furthest:
        at = found[-1]
        found.append(2.0 * at if at > _VARIES else at + max(width, _GROWTH * at))
    return np.array(found)


def check_estimate(theta_new: Marginal, estimate: float, se: float, *, level: float = 0.95) -> Check:
    """Return how an estimate compares with what the studies before it predict.

    Parameters
    ----------
    theta_new
        The true effect of a new study, given the studies before.
    estimate, se
        Of the new study, analysis scale.
    level
        Of the prediction interval.

    References
    ----------
    Box (1980), Journal of the Royal Statistical Society A 143:383-430.
    """
    predicted = predicted_estimate(theta_new, se)
    low, high = predicted.eti(level)
    p = min(1.0, 2.0 * min(float(predicted.cdf(estimate)), float(predicted.sf(estimate))))
    if not isinstance(theta_new, DrawsMarginal):
        return Check("estimate", estimate, low, high, level, p)
    # Each predictive probability is the mean over the draws of theta of a normal one.
    at_low, at_high, at = (mcse_mean(ndtr((x - theta_new.draws) / se)) for x in (low, high, estimate))
    errors = (at_low / float(predicted.pdf(low)), at_high / float(predicted.pdf(high)), 2.0 * at)
    return Check("estimate", estimate, low, high, level, p, *errors)


def predicted_events(theta_new: Marginal, table: tuple[float, float, float, float]) -> tuple[Array, Array]:
    """Return the possible numbers of events under treatment and their predictive probabilities, margins given.

    Given how many patients and how many events a study has in all, the events under treatment follow
    Fisher's noncentral hypergeometric distribution, in which no baseline risk is left.

    Parameters
    ----------
    theta_new
        Log odds ratio of a new study, given the studies before.
    table
        Events and patients under treatment, events and patients under control.
    """
    events_treatment, n1, events_control, n2 = table
    # As a function of theta each probability is about as wide as the standard error of the log odds ratio, which is
    # least where the events are shared out as the patients are.
    cells = np.array([events_treatment, n1 - events_treatment, events_control, n2 - events_control]) + 0.5
    risk = (events_treatment + events_control) / (n1 + n2)
    shared = np.array([n1 * risk, n1 * (1.0 - risk), n2 * risk, n2 * (1.0 - risk)]) + 0.5
    width = math.sqrt(min(float(np.sum(1.0 / cells)), float(np.sum(1.0 / shared))))
    center = math.log(cells[0] * cells[3] / (cells[1] * cells[2]))
    theta, weight = theta_nodes(theta_new, width, center)
    x, chance = _events_given(theta, table)
    return x, chance @ weight


def _events_given(theta: Array, table: tuple[float, float, float, float]) -> tuple[Array, Array]:
    """Return the possible numbers of events ``(x,)`` and their probabilities given each theta ``(x, n)``."""
    events_treatment, n1, events_control, n2 = table
    total = events_treatment + events_control
    x = np.arange(max(0.0, total - n2), min(n1, total) + 1.0)
    log = -(gammaln(x + 1) + gammaln(n1 - x + 1) + gammaln(total - x + 1) + gammaln(n2 - total + x + 1))
    each = log[:, None] + x[:, None] * theta
    each -= each.max(axis=0)
    chance = np.exp(each)
    return x, chance / chance.sum(axis=0)


def theta_nodes(theta_new: Marginal, width: float, center: float) -> tuple[Array, Array]:
    """Return values ``(n,)`` of a new study's true effect and their probabilities, for averages over it.

    Parameters
    ----------
    theta_new
        The true effect of a new study; its draws are the values where it was sampled.
    width
        How wide what is averaged is, as a function of the effect, where it is narrowest.
    center
        Where about that is.
    """
    if isinstance(theta_new, DrawsMarginal):
        draws = theta_new.draws.ravel()
        return draws, np.full(draws.size, 1.0 / draws.size)
    return _nodes(theta_new, width, center)


def check_events(theta_new: Marginal, table: tuple[float, float, float, float], *, level: float = 0.95) -> Check | None:
    """Return how a study's events compare with what the studies before it predict; None where they cannot vary.

    Parameters
    ----------
    theta_new, table
        As in `predicted_events`.
    level
        Of the prediction interval.
    """
    x, chance = predicted_events(theta_new, table)
    if len(x) == 1:
        return None
    found = count_check(x, chance, float(table[0]), level)
    if not isinstance(theta_new, DrawsMarginal):
        return found
    each = half_counted(x, found.observed) @ _events_given(theta_new.draws.ravel(), table)[1]
    return replace(found, p_error=2.0 * mcse_mean(each.reshape(theta_new.draws.shape)))


def log_predictive(before: Posterior | None, after: Posterior, studies: Studies) -> float | None:
    """Return the log density of what a step adds, given what was known; None where it is not defined or not known.

    Parameters
    ----------
    before, after
        The posteriors without and with the addition; `before` is None for the first step.
    studies
        All studies, in order; those of `after` come first.
    """
    sei = getattr(studies, "sei", None)
    if sei is not None and any(_depends_on(p, sei) for p in after.priors.values()):
        # A prior that depends on the data changes from step to step: the steps are not one model.
        return None
    if before is None:
        return after.log_evidence
    theta_new = before.marginals.get("theta_new") if isinstance(studies, EffectSizes) else None
    # Far out in the tail of a density known on a grid the evidence has more digits; a mixture of normals is exact.
    in_closed_form = isinstance(theta_new, NormalMixture | DrawsMarginal)
    if not in_closed_form and before.log_evidence is not None and after.log_evidence is not None:
        return after.log_evidence - before.log_evidence
    if theta_new is None or not isinstance(studies, EffectSizes):
        return None
    i = before.k
    return float(predicted_estimate(theta_new, float(studies.sei[i])).logpdf(float(studies.yi[i])))


def _depends_on(prior: Prior, sei: Array) -> bool:
    """Return whether a prior changes with the studies' standard errors."""
    if prior.resolve(sei) is prior:
        return False
    # Mixtures and priors on tau2 are made anew though nothing in them changes, so their densities are compared.
    x = float(np.mean(sei)) * np.array([0.05, 0.5, 1.0, 4.0])
    first, second = (prior.resolve(scale * sei).logpdf(x) for scale in (1.0, 2.0))
    return not np.array_equal(first, second)
