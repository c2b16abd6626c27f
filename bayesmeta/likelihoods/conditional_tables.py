"""Fisher's noncentral hypergeometric distribution: a 2x2 table's treatment events given both of its margins."""

import numpy as np
from scipy import special

from bayesmeta.errors import ModelError
from bayesmeta.values import Array

# Values computed at once, so that they stay in the processor's cache.
CHUNK = 40_000

# Log weight of a table that does not exist: finite, and its exponential is 0.
NO_TABLE = -1e30


# A sum over more tables than this takes gigabytes, and its terms have no ten digits left.
MOST_TABLES = 5_000_000


def hypergeometric_support(
    events_treatment: Array, n_treatment: Array, events_control: Array, n_control: Array
) -> tuple[Array, Array]:
    """Return the possible treatment events given both margins, and their log numbers of tables.

    Returns
    -------
    support, log_weight
        ``(k, J)``; rows with fewer than J possible values are filled up with values of no weight.

    Raises
    ------
    ModelError
        If a study has too many possible tables.
    """
    events = events_treatment + events_control
    low, high = np.maximum(0.0, events - n_control), np.minimum(n_treatment, events)
    if (high - low).max() > MOST_TABLES:
        i = int(np.argmax(high - low))
        raise ModelError(
            f"The study with {events_treatment[i]:.0f} of {n_treatment[i]:.0f} and {events_control[i]:.0f} of "
            f"{n_control[i]:.0f} events has {high[i] - low[i] + 1:.0f} possible tables given its totals, and sums go "
            f"over {MOST_TABLES} at most. "
            "Use 'binomial_normal_symmetric': with so many events both models say the same."
        )
    length = int((high - low).max()) + 1
    support = np.minimum(low[:, None] + np.arange(length), high[:, None])

    def choose(n: Array, x: Array) -> Array:
        return np.asarray(special.gammaln(n + 1) - special.gammaln(x + 1) - special.gammaln(n - x + 1))

    log_weight = choose(n_treatment[:, None], support) + choose(n_control[:, None], events[:, None] - support)
    # Finite, because infinity minus infinity is not a number; exp of it is 0 all the same.
    log_weight = np.where(np.arange(length) <= (high - low)[:, None], log_weight, NO_TABLE)
    return support, log_weight


def log_observed(possible_minus_observed: Array, log_weight: Array) -> Array:
    """Return the log number of tables with the observed number of events, ``(k, 1)``."""
    # The first match: values filled in at the end of a row repeat its last one.
    at = np.argmax(possible_minus_observed == 0, axis=1)
    return np.take_along_axis(log_weight, at[:, None], axis=1)


def hypergeometric_loglik(observed: Array, support: Array, log_weight: Array, theta: Array) -> Array:
    """Return log P(treatment events | both margins, log odds ratio theta), ``(k, m)``.

    Fisher's noncentral hypergeometric distribution.

    Parameters
    ----------
    observed
        ``(k,)`` treatment events.
    support, log_weight
        ``(k, J)``, as `hypergeometric_support` returns them.
    theta
        ``(k, m)``.
    """
    # Counted from the observed table, so that large counts do not cancel.
    possible = support - observed[:, None]
    log_tables = log_weight - log_observed(possible, log_weight)
    result = np.empty_like(theta)
    columns = max(1, CHUNK // possible.shape[1])
    for i, values in enumerate(theta):
        for at in range(0, len(values), columns):
            part = slice(at, at + columns)
            result[i, part] = -special.logsumexp(log_tables[i] + values[part, None] * possible[i], axis=1)
    return result
