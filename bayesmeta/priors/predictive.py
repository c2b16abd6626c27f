"""What the priors say before any data: about the mean effect, about tau, and about a new study."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, log_expit, logit, ndtr, roots_legendre

from bayesmeta.priors import Mixture, Normal, Point, Prior
from bayesmeta.values import Array

_X, _W = roots_legendre(10)
# Logits of probability between which tau is integrated over; 1e-12 of it is left out at either end.
_LOGITS = np.arange(-28.0, 29.0, 2.0)
# Within a panel tau grows by no more than this factor (log scale), or the panel is cut into this many at most.
_GROWTH, _MOST_CUTS = 2.0, 50
# A standard normal has 1e-17 of its probability beyond 8.5.
_NORMAL = np.linspace(-8.5, 8.5, 18)
# Logits of the mean effect's quantiles between which its distribution function is smooth enough for a panel.
_BETWEEN = np.concatenate([np.arange(-28.0, -8.0, 4.0), np.arange(-8.0, 8.1, 1.0), np.arange(12.0, 29.0, 4.0)])
# Beyond so many units (log scale) a quantile is infinite: floats end there.
_FARTHEST, _LARGEST = 650.0, float(np.finfo(float).max)


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
    >>> round(facts.new_high, 3)
    5.614
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
    """Return the quantiles of ``mu + tau z``, z standard normal, whose probabilities are `tail` to either side."""
    if tau.support == (0.0, 0.0):
        return float(mu.ppf(tail)), float(mu.ppf(1.0 - tail))
    # A mixture's parts may be on very different scales, so each pair is integrated by itself.
    spreads = [(w, *_tau_nodes(part)) for w, part in _components(tau)]
    centers = [(v, part, _cuts(part)) for v, part in _components(mu)]

    def below(x: float) -> float:
        return math.fsum(
            v * w * float(mass @ _given_tau(part, cuts, x, at)) for v, part, cuts in centers for w, at, mass in spreads
        )

    center = float(mu.ppf(0.5))
    unit = float(mu.ppf(0.75) - mu.ppf(0.25) + tau.ppf(0.5))
    unit = min(unit, _LARGEST)
    return _quantile(below, tail, center, unit), _quantile(below, 1.0 - tail, center, unit)


def _components(prior: Prior) -> list[tuple[float, Prior]]:
    """Return the parts of a mixture with their weights, or the prior with weight 1."""
    if not isinstance(prior, Mixture):
        return [(1.0, prior)]
    total = math.fsum(prior.weights)
    parts = zip(prior.weights, prior.components, strict=True)
    return [(w / total * v, leaf) for w, part in parts for v, leaf in _components(part)]


def _tau_nodes(tau: Prior) -> tuple[Array, Array]:
    """Return ``(n,)`` values of tau and their probabilities: Gauss-Legendre panels on the logit of probability."""
    if isinstance(tau, Point):
        return np.array([tau.value]), np.ones(1)

    def at(z: Array) -> Array:
        return np.where(z < 0, tau.ppf(expit(np.minimum(z, 0.0))), tau.isf(expit(-np.maximum(z, 0.0))))

    kinks = logit(np.asarray(tau.cdf(tau.breaks), dtype=float)) if tau.breaks else np.empty(0)
    z = np.unique(np.concatenate([_LOGITS, kinks[np.abs(kinks) < _LOGITS[-1]]]))
    with np.errstate(divide="ignore", invalid="ignore"):
        growth = np.diff(np.log(at(z))) / _GROWTH
    cuts = np.where(np.isfinite(growth), np.clip(np.ceil(growth), 1, _MOST_CUTS), 8).astype(int)
    edges = np.concatenate([np.linspace(a, b, n + 1)[:-1] for a, b, n in zip(z, z[1:], cuts, strict=False)] + [z[-1:]])
    half = 0.5 * np.diff(edges)
    nodes = (edges[:-1] + half)[:, None] + half[:, None] * _X
    mass = half[:, None] * _W * np.exp(log_expit(nodes) + log_expit(-nodes))
    return at(nodes.ravel()), (mass / mass.sum()).ravel()


def _cuts(mu: Prior) -> Array:
    """Return values of mu between which its distribution function is smooth; none for those not integrated over."""
    if isinstance(mu, Point | Normal):
        return np.empty(0)
    kinks = np.array([*mu.breaks, *mu.support])
    low, high = _BETWEEN[_BETWEEN <= 0], _BETWEEN[_BETWEEN > 0]
    return np.concatenate([mu.ppf(expit(low)), mu.isf(expit(-high)), kinks[np.isfinite(kinks)]])


def _given_tau(mu: Prior, cuts: Array, x: float, tau: Array) -> Array:
    """Return ``(n,)`` probabilities that a new study's effect is at most `x`, given tau."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if isinstance(mu, Point):
            return np.where(tau > 0, ndtr((x - mu.value) / tau), float(x >= mu.value))
        if isinstance(mu, Normal):
            return np.asarray(ndtr((x - mu.loc) / np.hypot(mu.scale, tau)))
        # The mean of the distribution function of mu at x - tau z, on panels of z that end where it changes.
        ends = (x - cuts) / tau[:, None]
    edges = np.concatenate([np.nan_to_num(ends, nan=0.0), np.broadcast_to(_NORMAL, (len(tau), len(_NORMAL)))], axis=1)
    edges = np.sort(np.clip(edges, _NORMAL[0], _NORMAL[-1]), axis=1)
    row, panel = np.nonzero(np.diff(edges, axis=1))
    half = 0.5 * (edges[row, panel + 1] - edges[row, panel])
    z = (edges[row, panel] + half)[:, None] + half[:, None] * _X
    with np.errstate(over="ignore"):
        inside = np.asarray(mu.cdf(x - tau[row, None] * z))
    each = (inside * np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)) @ _W * half
    return np.bincount(row, each, minlength=len(tau))


def _quantile(below: Callable[[float], float], p: float, center: float, unit: float) -> float:
    """Return where a distribution function reaches `p`, looked for on an arcsinh axis because tails may be heavy."""

    def at(v: float) -> float:
        return max(-_LARGEST, min(center + unit * math.sinh(v), _LARGEST))

    def excess(v: float) -> float:
        return below(at(v)) - p

    sign = -1.0 if excess(0.0) > 0 else 1.0
    near, reach = 0.0, 1.0
    while sign * excess(sign * reach) < 0:
        if reach == _FARTHEST:
            return sign * math.inf
        near, reach = reach, min(2.0 * reach, _FARTHEST)
    return at(float(brentq(excess, sign * near, sign * reach, xtol=1e-11)))
