"""What any prior of tau must be: nonnegative, and giving a proper posterior."""

import math

from bayesmeta.errors import ModelError
from bayesmeta.priors import Prior


def known_tau(prior: Prior | None) -> float | None:
    """Return the value of tau where it is known: 0 without a prior, the place of a point prior; else None.

    Raises
    ------
    ModelError
        If the prior lets tau be negative.
    """
    if prior is None:
        return 0.0
    low, high = prior.support
    if not low >= 0.0:
        instead = "cut it off: truncated(..., 0, inf)" if prior.proper else "the flat one on (0, inf): uniform()"
        raise ModelError(
            f"The prior {prior!r} lets tau be negative. Use a prior on (0, inf), e.g. half_normal(0.5), or {instead}."
        )
    return float(low) if low == high else None


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
    if exponent <= 1.0:
        need = math.floor(flat + 1.0 - prior.tail_exponent) + 1
        raise ModelError(
            f"The posterior is improper: with the prior {prior!r} of tau and {flat} coefficient(s) with flat priors "
            f"it takes k >= {need} studies, and there are {k}. "
            "Use a proper prior of tau, e.g. half_normal(0.5), or of mu."
        )
    return float(exponent)
