"""Log probabilities of counts that keep their digits however large the counts are."""

import math

import numpy as np
from scipy import special

from bayesmeta.values import Array

# The logarithm of 1 + p exp(x) is that of p, and x, from here on.
STRAIGHT = 300.0
# With more patients in an arm than this, sums of their logs would lose digits that matter.
MANY = 1000.0


def binomial_logpmf(events: Array, n: Array, logit: Array) -> Array:
    """Return log P(events | n, logit); stable for every finite logit.

    Parameters
    ----------
    events, n
        Of one shape that broadcasts against `logit`.
    """
    if np.max(n, initial=0.0) > MANY:
        return _by_deviance(events, n, logit)
    choose = special.gammaln(n + 1) - special.gammaln(events + 1) - special.gammaln(n - events + 1)
    # log(1 + exp(x)) is this and max(x, 0): one exponential for both outcomes, and nothing cancels.
    rest = np.log1p(np.exp(-np.abs(logit)))
    return np.asarray(choose - n * rest - np.where(logit > 0.0, n - events, -events) * logit)


def _by_deviance(events: Array, n: Array, logit: Array) -> Array:
    """Return the same as its value at the observed proportion less half the deviance from it.

    Sums of the size of `n` would lose the digits that matter, which with a million patients are those behind the point.
    """
    rare = np.minimum(events, n - events)
    some = rare > 0.0
    p = np.where(some, rare / n, 1.0)
    # The log odds of the rarer outcome, counted from the observed ones where there are any.
    away = np.where(events > rare, -1.0, 1.0) * logit
    away -= np.log(np.where(some, rare, 1.0) / np.where(some, n - rare, 1.0))
    # The logarithm of 1 - p + p exp(away), or of 1 + exp(away); far out it is a straight line.
    near = np.minimum(away, STRAIGHT)
    log = np.expm1(near)
    np.exp(near, where=~some, out=log)
    log *= p
    np.log1p(log, out=log)
    log += away - near
    log *= -n
    away *= rare
    log += away
    log += _log_peak(rare, n)
    return np.asarray(log)


def _log_peak(events: Array, n: Array) -> Array:
    """Return log P(events | n) at the observed proportion.

    Loader (2000), Fast and accurate computation of binomial probabilities, equation 3.
    """
    some = events > 0.0
    x = np.where(some, events, 1.0)
    rest = np.where(some, n - events, 1.0)
    value = _stirling(n) - _stirling(x) - _stirling(rest) + 0.5 * np.log(n / (2.0 * np.pi * x * rest))
    return np.where(some, value, 0.0)


def _stirling(x: Array) -> Array:
    """Return what Stirling's formula for ``log(x!)`` leaves out, for positive x."""
    far = 1.0 / np.maximum(x, 15.0)
    square = far * far
    series = far * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188))))
    direct = special.gammaln(x + 1.0) - (x + 0.5) * np.log(x) + x - 0.5 * math.log(2.0 * math.pi)
    return np.asarray(np.where(x < 15.0, direct, series))


def poisson_logpmf(events: Array, time: Array, log_rate: Array) -> Array:
    """Return log P(events) of a Poisson count with mean ``time * exp(log_rate)``.

    Like `binomial_logpmf` it is counted from the value at the observed rate, where there are events.
    """
    some = events > 0.0
    x = np.where(some, events, 1.0)
    away = log_rate + np.log(time / x)
    # A mean this large has likelihood 0 already; sums of such logs must not overflow.
    grown = np.expm1(np.minimum(away, 700.0))
    peak = -_stirling(x) - 0.5 * np.log(2.0 * np.pi * x)
    return np.asarray(np.where(some, x * (away - grown) + peak, -1.0 - grown))
