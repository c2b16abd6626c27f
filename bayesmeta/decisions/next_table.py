r"""What the studies so far predict of the next study's 2x2 table, by the model's own likelihood.

Given how many patients and how many events m the study has in all, the events under treatment have the probabilities

.. math:: p(x \mid m) = \int \frac{L(x, m - x \mid \theta)}{\sum_{x'} L(x', m - x' \mid \theta)}\,
    p(\theta \mid \text{studies so far})\, d\theta,

where L is the study's likelihood with its baseline integrated out over the prior. For log odds ratios the ratio is
Fisher's noncentral hypergeometric distribution, which does without a baseline. For risk ratios and risk differences no
conditional distribution does, so the model is asked. As there, the number of events in all is not let say anything of
theta: what it would say comes from the vague prior of the baseline, above all near risks of 0 and 1.
"""

from dataclasses import replace

import numpy as np
from numpy.polynomial.chebyshev import chebpts2
from scipy.interpolate import CubicSpline
from scipy.special import gammaln

from bayesmeta.decisions.predictive import Check, count_check, half_counted, theta_nodes
from bayesmeta.errors import BayesMetaError
from bayesmeta.marginals.convergence import mcse_mean
from bayesmeta.marginals.draws import DrawsMarginal
from bayesmeta.model import StudyLikelihoods
from bayesmeta.posterior import Posterior
from bayesmeta.studies import TwoByTwo
from bayesmeta.values import Array

# So many possible tables are computed at most, and the rest is interpolated: without its binomial coefficients the log
# probability hardly bends from one table to the next.
TABLES = 33
# Values of theta at which likelihoods are computed for draws, and interpolated between.
POINTS = 200
# More values of theta than this, because the study says much more than those before it, would take minutes.
MOST = 4000


def check_table(before: Posterior, table: TwoByTwo, *, level: float = 0.95) -> tuple[Check | None, str]:
    """Return how a study's events compare with what the studies before it predict, or why that cannot be said.

    Parameters
    ----------
    before
        The posterior given the studies before, of a model of 2x2 tables.
    table
        The study, k = 1.
    level
        Of the prediction interval.

    Returns
    -------
    check, reason
        None where there is no check, with the reason; both empty where the totals leave only one table.

    References
    ----------
    Box (1980), Journal of the Royal Statistical Society A 143:383-430.
    """
    x = possible_events(table)
    if len(x) == 1:
        return None, ""
    if before.model.study_likelihoods is None:
        return None, f"model {before.model.name!r} does not state its likelihood of one study (study_likelihoods)"
    try:
        return _checked(before, table, x, level)
    except BayesMetaError as error:
        return None, str(error)


def possible_events(table: TwoByTwo) -> Array:
    """Return the possible numbers of events under treatment, given the arms' sizes and the events of a study in all."""
    total = float(table.events_treatment[0] + table.events_control[0])
    return np.arange(max(0.0, total - table.n_control[0]), min(float(table.n_treatment[0]), total) + 1.0)


def _checked(before: Posterior, table: TwoByTwo, x: Array, level: float) -> tuple[Check | None, str]:
    some = _table_subset(x)
    likely, own = _likelihoods(before, _tables(table, some)), _likelihoods(before, table)
    width = min(float(own.scale[0]), float(np.min(likely.scale[len(some) // 2])))
    new = before.theta_new
    theta, weight = theta_nodes(new, width, float(own.center[0]))
    if isinstance(new, DrawsMarginal):
        log = _interpolated(likely, theta, width)
    elif len(theta) > MOST:
        why = "the study says so much more than those before it that its prediction would take minutes"
        return None, f"{why}: use engine='nuts'"
    else:
        log = likely.loglik(np.tile(theta, (len(some), 1)))
    log = _all_tables(table, some, log, x)
    given = np.exp(log - log.max(axis=0))
    given /= given.sum(axis=0)
    chance = given @ weight
    found = count_check(x, chance, float(table.events_treatment[0]), level)
    if not isinstance(new, DrawsMarginal):
        return found, ""
    each = half_counted(x, found.observed) @ given
    return replace(found, p_error=2.0 * mcse_mean(each.reshape(new.draws.shape))), ""


def _likelihoods(before: Posterior, tables: TwoByTwo) -> StudyLikelihoods:
    assert before.model.study_likelihoods is not None
    return before.model.study_likelihoods(tables, before.priors)


def _table_subset(x: Array) -> Array:
    """Return all possible numbers of events, or as many as suffice to interpolate."""
    if len(x) <= TABLES:
        return x
    return np.unique(np.rint(x[0] + 0.5 * (x[-1] - x[0]) * (1.0 + chebpts2(TABLES))))


def _tables(table: TwoByTwo, x: Array) -> TwoByTwo:
    total = table.events_treatment[0] + table.events_control[0]
    n_treatment, n_control = (np.full(len(x), float(n[0])) for n in (table.n_treatment, table.n_control))
    return TwoByTwo(x, n_treatment, total - x, n_control)


def _interpolated(likely: StudyLikelihoods, draws: Array, width: float) -> Array:
    """Return log likelihoods ``(tables, draws)``, interpolated between values of theta as close as the draws are."""
    inside = np.quantile(draws, np.linspace(0.0, 1.0, POINTS))
    width = min(width, float(np.ptp(inside)) or 1.0)
    even = np.linspace(inside[0], inside[-1], min(POINTS, int(np.ptp(inside) / (0.5 * width)) + 2))
    at = np.unique(np.concatenate([inside, even]))
    # Values that differ by rounding alone make no spline.
    at = at[np.concatenate([[True], np.diff(at) > 1e-6 * width])]
    log = likely.loglik(np.tile(at, (len(likely.study), 1)))
    return np.asarray(log[:, :1] if len(at) == 1 else CubicSpline(at, log, axis=1)(draws))


def _all_tables(table: TwoByTwo, some: Array, log: Array, x: Array) -> Array:
    """Return log likelihoods of all possible tables from those of some, ``(x, n)``."""
    if len(some) == len(x):
        return log
    smooth = CubicSpline(some, log - _log_tables(table, some)[:, None], axis=0)(x)
    return np.asarray(smooth + _log_tables(table, x)[:, None])


def _log_tables(table: TwoByTwo, x: Array) -> Array:
    """Return the log number of ways to choose so many patients with an event, ``(x,)``, up to a constant."""
    n1, n2 = float(table.n_treatment[0]), float(table.n_control[0])
    y = float(table.events_treatment[0] + table.events_control[0]) - x
    return np.asarray(-(gammaln(x + 1) + gammaln(n1 - x + 1) + gammaln(y + 1) + gammaln(n2 - y + 1)))
