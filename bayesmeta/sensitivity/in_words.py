"""What priors say before any data, in sentences."""

from typing import Any

import numpy as np

from bayesmeta.effects import find_measure
from bayesmeta.priors import parse_prior
from bayesmeta.priors.predictive import implied
from bayesmeta.words import interval_text, level_text, number, small_number


def priors_in_words(
    mu: Any, tau: Any = None, *, measure: str = "OR", sei: Any = None, level: float = 0.95
) -> tuple[str, ...]:
    """Return what priors of mu and tau predict: the mean effect, how far studies differ, and a new study's effect.

    Parameters
    ----------
    mu, tau
        Values or text forms; `tau` None for a common effect.
    measure
        Effect measure; ratios are given on the natural scale.
    sei
        Standard errors, for priors that depend on them.
    level
        Of the intervals.

    Examples
    --------
    >>> for line in priors_in_words("normal(0, 2.82)", "half_normal(0.5)"):
    ...     print(line)
    mu ~ normal(0, 2.82) says that the mean effect is on OR 0.00398 to 251 with probability 95%.
    tau ~ half_normal(0.5) says that 95% of studies' true ORs lie within a factor of 3.75 of each other if tau is at \
its median (0.34), and of 46.6 at its upper 95% limit (0.98).
    Together they say that the true effect of a new study is on OR 0.00365 to 274 with probability 95%.
    """
    scale = find_measure(measure)
    own_mu, own_tau = parse_prior(mu), None if tau is None else parse_prior(tau)
    if sei is not None:
        own_mu, own_tau = own_mu.resolve(sei), None if own_tau is None else own_tau.resolve(sei)
    facts, said = implied(own_mu, own_tau, level=level), level_text(level)

    def span(low: float, high: float) -> str:
        return interval_text(float(scale.to_natural(low)), float(scale.to_natural(high)))

    if facts.mu_low is None or facts.mu_high is None:
        lines = [f"mu ~ {own_mu!r} is improper: it says nothing about the mean effect before the data."]
    else:
        lines = [
            f"mu ~ {own_mu!r} says that the mean effect is on {measure} {span(facts.mu_low, facts.mu_high)} "
            f"with probability {said}."
        ]
    if own_tau is None:
        lines.append("There is no tau: all studies have one true effect.")
    elif facts.spread_median is None or facts.spread_high is None:
        lines.append(f"tau ~ {own_tau!r} is improper: it calls heterogeneity of any size as plausible.")
    else:
        if scale.ratio:
            with np.errstate(over="ignore"):
                near, far = (number(float(np.exp(s))) for s in (facts.spread_median, facts.spread_high))
            within = f"true {measure}s lie within a factor of {near} of each other"
        else:
            near, far = number(facts.spread_median), number(facts.spread_high)
            within = f"true effects ({measure}) lie within {near} of each other"
        lines.append(
            f"tau ~ {own_tau!r} says that 95% of studies' {within} if tau is at its median "
            f"({small_number(facts.tau_median)}), and of {far} at its upper 95% limit ({small_number(facts.tau_high)})."
        )
    if own_tau is not None and facts.new_low is not None and facts.new_high is not None:
        lines.append(
            f"Together they say that the true effect of a new study is on {measure} "
            f"{span(facts.new_low, facts.new_high)} with probability {said}."
        )
    return tuple(lines)
