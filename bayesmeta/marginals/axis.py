"""The axis a positive quantity is integrated on: logarithmic, or logistic where it is bounded above."""

import numpy as np
from scipy.special import expit, log_expit

from bayesmeta.values import Array


def to_axis(x: Array, lower: Array, upper: Array) -> Array:
    """Return the place of `x` on the log axis of ``(lower, inf)`` or the logit axis of ``(lower, upper)``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        bounded = np.isfinite(upper)
        # The distance from each end as it is: near an upper end of 0 its position would lose all digits.
        return np.log(x - lower) - np.where(bounded, np.log(np.where(bounded, upper, np.inf) - x), 0.0)


def from_axis(u: Array, lower: Array, upper: Array) -> Array:
    """Return x at `u`: the inverse of `to_axis`."""
    bounded = np.isfinite(upper)
    width = np.where(bounded, upper - lower, 1.0)
    above = lower + np.where(bounded, width * expit(u), np.exp(np.where(bounded, 0.0, u)))
    return np.asarray(np.where(bounded & (u > 0.0), upper - width * expit(-u), above))


def log_jacobian(u: Array, lower: Array, upper: Array) -> Array:
    """Return ``log(dx/du)``."""
    bounded = np.isfinite(upper)
    width = np.where(bounded, upper - lower, 1.0)
    return np.where(bounded, np.log(width) + log_expit(u) + log_expit(-u), u)
