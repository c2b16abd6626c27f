"""What any prior of tau must be: nonnegative, and giving a proper posterior."""

import math

from bayesmeta.errors import ModelError
from bayesmeta.priors import Prior, Uniform, fixed_value, mixture, truncated

# No data tell a tau below this from 0. A pole at 0 as slow as this can hide mass below every double.
NOTHING, POLE = 1e-150, -0.9
# Powers of tau closer than this to one that does not converge count as it: growth is measured on the last nodes.
BARELY = 1e-4
# Mass there that would be missed.
HIDDEN = 1e-10


def known_tau(prior: Prior | None) -> float | None:
    """Return the value of tau where it is known: 0 without a prior, the place of a point prior; else None.

    Raises
    ------
    ModelError
        If the prior lets tau be negative.
    """
    if prior is None:
        return 0.0
    if not prior.support[0] >= 0.0:
        instead = "cut it off: truncated(..., 0, inf)" if prior.proper else "the flat one on (0, inf): uniform()"
        raise ModelError(
            f"The prior {prior!r} lets tau be negative. Use a prior on (0, inf), e.g. half_normal(0.5), or {instead}."
        )
    return fixed_value(prior)


def tail_exponent(prior: Prior, k: int, flat: int) -> float:
    """Return a where the posterior density of tau falls as tau^-a; infinite where it falls faster than any power.

    Each study with a normal likelihood makes it fall by one power more, each flat prior of a coefficient by one less
    (Röver 2020, J. Stat. Softw. 93(6), section 2).

    Parameters
    ----------
    prior
        Of tau.
    k
        Number of studies.
    flat
        Number of coefficients with a flat prior.

    Raises
    ------
    ModelError
        If it does not fall fast enough, or the prior is not integrable at 0: no proper posterior.
    """
    if not prior.proper and prior.support[0] == 0.0 and prior.origin_exponent <= -1.0:
        raise ModelError(
            f"The posterior is improper: the prior {prior!r} has infinite mass at tau = 0, where the likelihood is "
            "positive whatever the data. Use a prior that is integrable at 0, e.g. half_normal(0.5)."
        )
    if math.isfinite(prior.support[1]):
        return math.inf
    exponent = prior.tail_exponent + k - flat
    if exponent <= 1.0 and not (barely_proper(prior) and k == flat):
        need = math.floor(flat + 1.0 - prior.tail_exponent) + 1
        raise ModelError(
            f"The posterior is improper: with the prior {prior!r} of tau and {flat} coefficient(s) with flat priors "
            f"it takes k >= {need} studies, and there are {k}. "
            "Use a proper prior of tau, e.g. half_normal(0.5), or of mu."
        )
    return float(exponent)


def moment_exists(prior: Prior, exponent: float, growth: float) -> bool:
    """Return whether what grows as ``tau ** growth`` has a finite posterior expectation.

    Parameters
    ----------
    prior
        Of tau.
    exponent
        Of the posterior's tail, of `tail_exponent`.
    growth
        A power of tau.
    """
    rate = exponent - 1.0 - growth
    return rate >= BARELY or (barely_proper(prior) and abs(rate) < BARELY)


def only_a_power(exponent: float) -> str:
    """Return why moments do not exist where the posterior density of tau has a tail with that exponent."""
    return f"the posterior density of tau falls only as tau^-{exponent:.4g}"


def barely_proper(prior: Prior) -> bool:
    """Return whether a prior is proper although its density falls as 1 / tau, but for a slower factor."""
    return prior.proper and prior.tail_exponent == 1.0


def gathered(prior: Prior | None) -> Prior | None:
    """Return a prior whose mass lies within the range of doubles.

    A log-Student-t prior with few degrees of freedom has mass at values of tau like exp(-1000), which are 0 for all
    that can be measured but not numbers a computer knows. What lies below 1e-150 is spread evenly over (0, 1e-150):
    no probability changes but those of tau there.
    """
    if prior is None or not prior.proper or prior.support[0] != 0.0 or prior.origin_exponent > POLE:
        return prior
    below, above = float(prior.cdf(NOTHING)), float(prior.sf(NOTHING))
    if below < HIDDEN or above == 0.0:
        return prior
    return mixture([(below, Uniform(0.0, NOTHING)), (above, truncated(prior, NOTHING, math.inf))])
