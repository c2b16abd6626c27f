r"""Reverse-Bayes for a normal estimate: which prior would overturn it, in closed form.

With estimate :math:`y \sim N(\theta, s^2)` and a sceptic's prior :math:`\theta \sim N(0, g^2)`, the posterior
interval touches no effect when :math:`g^2 = s^2 / (z^2 / z_{\alpha/2}^2 - 1)`, with :math:`z = y / s`. All values
are on the analysis scale, measured from no effect at 0.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from bayesmeta.errors import ModelError
from bayesmeta.values import Array


@dataclass(frozen=True, slots=True)
class CriticalPrior:
    """The prior at which a confidence interval, taken as a likelihood, just touches no effect.

    Parameters
    ----------
    kind
        ``"sceptical"`` where the interval excludes no effect: priors tighter than this overturn it.
        ``"advocate"`` where it includes no effect: the prior, bounded by no effect and `limit`, that just makes
        the finding credible.
    low, high
        Critical prior interval, same scale as the estimate.
    limit
        Its end on the side of the estimate: scepticism or advocacy limit.
    mean, sd
        Of the normal prior.
    level
        Of all intervals.
    """

    kind: Literal["sceptical", "advocate"]
    low: float
    high: float
    limit: float
    mean: float
    sd: float
    level: float


def critical_prior(low: float, high: float, *, level: float = 0.95) -> CriticalPrior:
    r"""Return Matthews' critical prior interval of a confidence interval.

    Scepticism limit :math:`(U - L)^2 / (4 \sqrt{UL})`; advocacy limit :math:`-(U + L)(U - L)^2 / (2UL)`.

    Parameters
    ----------
    low, high
        Confidence limits L and U on the analysis scale (log for ratios), no effect at 0.
    level
        Of the confidence interval.

    Raises
    ------
    ModelError
        If the limits are out of order or one of them is exactly 0, where any scepticism overturns the finding, or
        their middle is 0, where no advocate's prior exists.

    References
    ----------
    Matthews 2001, J Stat Plan Inference 94:43-58; Matthews 2018, R Soc Open Sci 5:171047.

    Examples
    --------
    The GREAT trial, odds ratio 0.24 to 0.97 (Spiegelhalter, Abrams & Myles 2004, section 3.11, who print 0.10):

    >>> round(math.exp(critical_prior(math.log(0.24), math.log(0.97)).low), 2)
    0.1
    """
    if not low < high:
        raise ModelError(f"Limits {low:g} and {high:g} are out of order: give the lower confidence limit first.")
    if low == 0 or high == 0:
        raise ModelError(
            f"The interval {low:g} to {high:g} ends exactly at no effect, so scepticism of any strength overturns it: "
            "there is no critical prior."
        )
    z = _z(level)
    span, product = (high - low) ** 2, high * low
    if product > 0:
        limit = math.copysign(span / (4.0 * math.sqrt(product)), high)
        reach = abs(limit)
        return CriticalPrior("sceptical", -reach, reach, limit, 0.0, reach / z, level)
    limit = -(high + low) * span / (2.0 * product)
    if limit == 0:
        raise ModelError("The interval is centred on no effect: no prior of an advocate can make it credible.")
    return CriticalPrior("advocate", min(0.0, limit), max(0.0, limit), limit, limit / 2, abs(limit) / 2 / z, level)


def sufficiently_sceptical_sd(estimate: float, se: float, *, level: float = 0.95) -> float:
    """Return the SD of the sceptic's normal prior, centred on no effect, that just overturns an estimate.

    Parameters
    ----------
    estimate, se
        Analysis scale, no effect at 0.
    level
        Of the credible interval that then touches no effect.

    Raises
    ------
    ModelError
        If the estimate's own interval includes no effect, so that there is nothing to overturn.

    References
    ----------
    Held 2019, R Soc Open Sci 6:181534; Held 2020, J R Stat Soc A 183:431-448.
    """
    _check_se(se)
    z = _z(level)
    ratio = (estimate / se / z) ** 2
    if not ratio > 1.0:
        raise ModelError(
            f"The {100 * level:g}% interval of {estimate:g} (standard error {se:g}) includes no effect already: "
            "no scepticism is needed. Use critical_prior(), which then gives the advocate's prior."
        )
    return se / math.sqrt(ratio - 1.0)


def sceptical_z(z_original: ArrayLike, z_new: ArrayLike, variance_ratio: ArrayLike) -> Array:
    r"""Return the z-value of the sceptical p-value.

    The root :math:`z_S^2` of :math:`(z_o^2 / z_S^2 - 1)(z_r^2 / z_S^2 - 1) = c` below both squares.

    Parameters
    ----------
    z_original, z_new
        z-values of the first evidence and of the new one.
    variance_ratio
        c, variance of the first estimate over that of the new one, ``>= 0``.

    Raises
    ------
    ModelError
        If the ratio of variances is negative or not a number.

    References
    ----------
    Held 2020, J R Stat Soc A 183:431-448.
    """
    a, b, c = np.square(z_original), np.square(z_new), np.asarray(variance_ratio, dtype=float)
    if np.any(~(c >= 0)):
        raise ModelError(f"variance_ratio is {variance_ratio!r}; a ratio of variances is >= 0.")
    # Of (1 - c) x^2 - (a + b) x + ab = 0, in the form that also holds at c = 1.
    root = np.sqrt(np.maximum((a + b) ** 2 - 4.0 * (1.0 - c) * a * b, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        x = np.where(a * b == 0, 0.0, 2.0 * a * b / (a + b + root))
    return np.asarray(np.sqrt(x))


def sceptical_p(z_original: ArrayLike, z_new: ArrayLike, variance_ratio: ArrayLike, *, sides: int = 1) -> Array:
    """Return Held's sceptical p-value: how convincing new evidence is to a sceptic of the first evidence.

    It is nominal, that is, not recalibrated; small only where both findings are, and their sizes agree.

    Parameters
    ----------
    z_original, z_new
        z-values of the first evidence and of the new one.
    variance_ratio
        Variance of the first estimate over that of the new one, ``>= 0``.
    sides
        1: success means effects in the same direction; 2: regardless of direction.

    Raises
    ------
    ModelError
        If `sides` is neither 1 nor 2, or the ratio of variances is negative.

    References
    ----------
    Held 2020, J R Stat Soc A 183:431-448.

    Examples
    --------
    >>> round(float(sceptical_p(12.19**0.5, 3.99**0.5, 1.0, sides=2)), 3)
    0.083
    """
    if sides not in (1, 2):
        raise ModelError(f"sides is {sides!r}; it must be 1 or 2.")
    tail = ndtr(-sceptical_z(z_original, z_new, variance_ratio))
    if sides == 2:
        return np.asarray(2.0 * tail)
    same = np.sign(z_original) * np.sign(z_new) >= 0
    return np.asarray(np.where(same, tail, 1.0 - tail))


def intrinsic_credibility_p(z: ArrayLike) -> Array:
    r"""Return the two-sided p-value for intrinsic credibility, :math:`2 \Phi(-|z| / \sqrt{2})`.

    A finding is intrinsically credible at 5% if it conflicts with the sceptical prior that would just overturn
    it, which takes an ordinary p-value below 0.0056. It is also twice the probability that an identical
    study gives an estimate in the other direction.

    References
    ----------
    Held 2019, R Soc Open Sci 6:181534.
    """
    return np.asarray(2.0 * ndtr(-np.abs(z) / math.sqrt(2.0)))


def _z(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise ModelError(f"level is {level!r}; it is a probability strictly between 0 and 1, e.g. 0.95.")
    return NormalDist().inv_cdf(0.5 + level / 2.0)


def _check_se(se: float) -> None:
    if not (math.isfinite(se) and se > 0):
        raise ModelError(f"se is {se!r}; a standard error is a finite number > 0.")
