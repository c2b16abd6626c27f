"""What the priors say before any data: about the mean effect, about tau, and about a new study."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from bayesmeta.priors import Prior

GRID = 400
"""Midpoint quantiles a prior is replaced by: the tails beyond 1/800 are inside the outermost points' cells."""


@dataclass(frozen=True, slots=True)
class Implied:
    """Consequences of the priors, on the analysis scale; None where a prior is improper or absent.

    Parameters
    ----------
    mu_low, mu_high
        Central interval of the mean effect.
    tau_median, tau_high
        Median of tau and its upper 95% limit.
    spread_median, spread_high
        ``3.92 tau`` at these: the range that holds 95% of true effects. Exponentiated, for a ratio
        measure, the ratio of the 97.5% to the 2.5% quantile of the studies' true ratios.
    new_low, new_high
        Central interval of a new study's true effect.
    """

    mu_low: float | None
    mu_high: float | None
    tau_median: float | None
    tau_high: float | None
    spread_median: float | None
    spread_high: float | None
    new_low: float | None
    new_high: float | None


def implied(mu: Prior, tau: Prior | None, *, level: float = 0.95) -> Implied:
    """Return what the priors imply.

    Parameters
    ----------
    mu, tau
        Priors with everything that depends on the data filled in; `tau` None for a common effect.
    level
        Of the central intervals.

    Examples
    --------
    >>> from bayesmeta.priors import parse_prior
    >>> facts = implied(parse_prior("normal(0, 2.82)"), parse_prior("half_normal(0.5)"))
    >>> round(facts.mu_high, 2), round(facts.tau_median, 2), round(facts.tau_high, 2)
    (5.53, 0.34, 0.98)
    """
    tail = (1.0 - level) / 2.0
    mu_low, mu_high = _quantiles(mu, tail, 1.0 - tail)
    tau_median, tau_high = (0.0, 0.0) if tau is None else _quantiles(tau, 0.5, 0.95)
    new: tuple[float | None, float | None] = (mu_low, mu_high) if tau is None else (None, None)
    if mu.proper and tau is not None and tau.proper:
        new = _new_study(mu, tau, tail)
    return Implied(
        mu_low,
        mu_high,
        tau_median,
        tau_high,
        None if tau_median is None else 3.92 * tau_median,
        None if tau_high is None else 3.92 * tau_high,
        *new,
    )


def _quantiles(prior: Prior, low: float, high: float) -> tuple[float | None, float | None]:
    if not prior.proper:
        return None, None
    return float(prior.ppf(np.float64(low))), float(prior.ppf(np.float64(high)))


def _new_study(mu: Prior, tau: Prior, tail: float) -> tuple[float, float]:
    """Return quantiles of ``mu + tau z``, both priors replaced by their midpoint quantiles."""
    at = (np.arange(GRID) + 0.5) / GRID
    centers, spreads = np.asarray(mu.ppf(at)), np.asarray(tau.ppf(at))

    def excess(x: float, p: float) -> float:
        with np.errstate(divide="ignore"):
            return float(ndtr((x - centers[:, None]) / np.maximum(spreads, 1e-300)).mean()) - p

    reach = float(np.abs(centers).max() + 40.0 * spreads.max()) + 1.0
    return (
        float(brentq(excess, -reach, reach, args=(tail,))),
        float(brentq(excess, -reach, reach, args=(1.0 - tail,))),
    )
