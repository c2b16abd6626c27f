"""Which means and SDs of a sampled posterior do not exist: averages over draws are finite whatever the tails are."""

import math
from collections.abc import Mapping
from typing import Any

from bayesmeta.engines.axes.tau_prior import known_tau, moment_exists, only_a_power, tail_exponent
from bayesmeta.engines.sampling.results.hierarchical import missing
from bayesmeta.model import Model
from bayesmeta.priors import Prior

# How the first moment of a quantity grows with tau where tau is far beyond the data, and how its second does.
GROWTH = {"tau": (1.0, 2.0), "tau2": (2.0, 4.0), "theta_new": (1.0, 2.0)}


def missing_moments(model: Model, data: Any, priors: Mapping[str, Prior]) -> dict[str, tuple[bool, bool, str]]:
    """Return quantity to whether its mean and its SD do not exist, and why, where one of them does not.

    Known for normal likelihoods, whose posterior density of tau falls as a known power. A coefficient with a flat prior
    is as uncertain as tau is large; one with a Student-t prior on df degrees of freedom has a density that falls as
    ``x ** -(df + 1)`` up to there, so that its moments of order r grow as ``tau ** (r - df)``.

    References
    ----------
    Röver (2020), J. Stat. Softw. 93(6), section 2.
    """
    if model.gaussian is None:
        return {}
    given = model.gaussian(data, priors)
    if not given.independent:
        return missing(given)
    if given.tau is None or known_tau(given.tau) is not None:
        return {}
    flat = [term for term, prior in zip(given.terms, given.beta, strict=True) if not prior.proper]
    exponent = tail_exponent(given.tau, len(given.y), len(flat))
    if math.isinf(exponent):
        return {}
    growth = dict(GROWTH)
    for term, prior in zip(given.terms, given.beta, strict=True):
        df = prior.tail_exponent - 1.0 if prior.proper else 0.0
        growth["mu" if term == "mu" else f"beta[{term}]"] = max(0.0, 1.0 - df), max(0.0, 2.0 - df)
    found: dict[str, tuple[bool, bool, str]] = {}
    for name, powers in growth.items():
        mean, sd = (not moment_exists(given.tau, exponent, power) for power in powers)
        if sd:
            found[name] = (mean, sd, only_a_power(exponent))
    return found
