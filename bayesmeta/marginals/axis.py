"""The axis a positive quantity is integrated on: logarithmic, or logistic where it is bounded above."""

import numpy as np
from scipy.special import expit, log_expit, logit

from bayesmeta.values import Array


def to_axis(x: Array, lower: Array, upper: Array) -> Array:
    """Return the place of `x` on the log axis of ``(lower, inf)`` or the logit axis of ``(lower, upper)``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        bounded = np.isfinite(upper)
        width = np.where(bounded, upper - lower, 1.0)
        return np.where(bounded, logit((x - lower) / width), np.log(x - lower))


def from_axis(u: Array, lower: Array, upper: Array) -> Array:
    """Return x at `u`: the inverse of `to_axis`."""
    bounded = np.isfinite(upper)
    width = np.where(bounded, upper - lower, 1.0)
    return np.asarray(lower + np.where(bounded, width * expit(u), np.exp(np.where(bounded, 0.0, u))))


def log_jacobian(u: Array, lower: Array, upper: Array) -> Array:
    """Return ``log(dx/du)``."""
    bounded = np.isfinite(upper)
    width = np.where(bounded, upper - lower, 1.0)
    return np.where(bounded, np.log(width) + log_expit(u) + log_expit(-u), u)
