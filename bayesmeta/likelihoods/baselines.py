"""Per-study log likelihoods of the true effect, with the study's baseline integrated out.

Model files offer these to the quadrature engine as ``study_likelihoods``. All are functions of
theta of shape ``(k, m)``, one row a study.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.errors import ConvergenceError, ModelError
from bayesmeta.likelihoods.baseline_draws import quantiles
from bayesmeta.likelihoods.conditional_tables import (
    NO_TABLE,
    hypergeometric_loglik,
    hypergeometric_support,
    log_observed,
)
from bayesmeta.likelihoods.counts import binomial_logpmf, poisson_logpmf
from bayesmeta.priors import Normal, Prior
from bayesmeta.priors.quartiles import middle_and_width
from bayesmeta.values import Array

# Model files import what they need of likelihoods from here, so the log probabilities of counts are passed on. Within
# the package they are imported from where they are.
__all__ = [
    "NO_TABLE",
    "HalfLogOddsRatio",
    "LogIntegrand",
    "asinh_exp",
    "binomial_logpmf",
    "hypergeometric_loglik",
    "hypergeometric_support",
    "integrate_baseline",
    "log_observed",
    "log_rate_baseline",
    "log_sinh",
    "logit_baseline",
    "odds_product_baseline",
    "odds_product_loglik",
    "poisson_logpmf",
]

# Agreement asked of two successive step sizes, on the log scale. Nothing less will do: where an integrand has an edge
# far from its peak, as tables of one or two patients have, two sums can agree to 1e-7 by accident.
TOLERANCE = 1e-10
# The integrand must have fallen by this (log scale) at both ends of the range.
FALL = 40.0
# Elements worked on at once: they stay in the processor's cache.
CHUNK = 40_000
STEP, FINEST = 0.2, 0.2 / 2**6
REACH, FARTHEST = 4.0, 64.0
# A baseline's peak is sought within this and the size of theta of its prior's middle, and found to 1e-7.
WIDEST, FOUND = 100.0, 1e-7
# Between a plateau and a logistic wall, which is about one unit thick, a peak has hardly any curvature.
CORNER = 5.0

type LogIntegrand = Callable[[Array, Array], Array]


def integrate_baseline(
    arms: LogIntegrand, prior: Prior, theta: Array, center: Array, width: Array, study: tuple[str, ...]
) -> Array:
    """Return the log of the integral of ``exp(arms(baseline, theta)) * prior(baseline)`` over the baseline.

    The baseline runs over ``center + width * sinh(t)``, whose steps are fine where the likelihood is
    and grow outwards, and the trapezoid rule in t is refined and widened until its answer stands still.
    It converges faster than any power of the step on such integrands (Trefethen & Weideman 2014,
    SIAM Review 56:385-458).

    Parameters
    ----------
    arms
        Log likelihood of both arms, ``(k, m, n)`` from baseline ``(k, m, n)`` and theta ``(k, m, 1)``.
    prior
        Of each study's baseline.
    theta
        ``(k, m)``.
    center, width
        ``(k, m)`` place and scale of the integrand.
    study
        ``(k,)`` labels, for messages.

    Raises
    ------
    ModelError
        If the integral diverges: no events in a study, and an improper prior for its baseline.
    ConvergenceError
        If the integral is not enclosed under a proper prior, or not reached to 1e-10.
    """
    out = np.empty(theta.shape)
    columns, reach = np.arange(theta.shape[1]), REACH
    while columns.size:
        at = _Columns(arms, prior, theta, center, width, reach).take(columns)
        value, ends = at.sums(STEP)
        wide = (ends > -FALL).any(axis=0)
        narrow = np.flatnonzero(~wide)
        out[:, columns[narrow]] = _refined(at.take(narrow), value[:, narrow])
        columns, reach = columns[wide], reach + 4.0
        if columns.size and reach > FARTHEST:
            raise _not_enclosed(study[int(np.argmax(ends.max(axis=1)))], prior)
    return out


def _not_enclosed(label: str, prior: Prior) -> ModelError | ConvergenceError:
    """Return the error of an integral over the baseline that goes on and on."""
    if prior.proper:
        return ConvergenceError(
            f"Study {label!r}: the tails of the prior {prior!r} of the baseline reach too far for quadrature. "
            "Use one with lighter tails, e.g. normal(0, 10), or engine='nuts'."
        )
    return ModelError(
        f"Study {label!r}: the prior {prior!r} of the baseline leaves its posterior improper "
        "(no events, or only events, in the study). Use a proper prior, e.g. normal(0, 10)."
    )


def _refined(at: "_Columns", value: Array) -> Array:
    """Return sums of ever smaller steps, until the last two agree."""
    out = np.empty(value.shape)
    columns, step = np.arange(value.shape[1]), STEP
    while columns.size:
        if step <= FINEST:
            raise ConvergenceError(
                f"The baselines of the studies could not be integrated to {TOLERANCE:g} with the prior {at.prior!r}. "
                "Use engine='nuts', or a smooth prior such as normal(0, 10)."
            )
        # Half the step: the sum so far and the one over the points half-way.
        finer = np.logaddexp(value, at.sums(step, shift=0.5)[0]) - math.log(2.0)
        # Where a study's likelihood is negligible its log is large, and counts by its own size.
        done = (np.abs(finer - value) <= TOLERANCE * (1.0 + 1e-3 * np.abs(finer))).all(axis=0)
        out[:, columns[done]] = finer[:, done]
        rest = np.flatnonzero(~done)
        columns, at, value, step = columns[rest], at.take(rest), finer[:, rest], step / 2
    return out


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """Integrands of the baselines at some values of theta, ``(k, m)``, and how far in t they reach."""

    arms: LogIntegrand
    prior: Prior
    theta: Array
    center: Array
    width: Array
    reach: float

    def take(self, index: NDArray[np.intp]) -> "_Columns":
        """Return those at `index` alone."""
        return replace(self, theta=self.theta[:, index], center=self.center[:, index], width=self.width[:, index])

    def sums(self, step: float, shift: float = 0.0) -> tuple[Array, Array]:
        """Return log sums, and by how much the integrands are below their peaks at the ends, ``(k, m)`` each."""
        half = math.ceil(self.reach / step)
        t = step * (np.arange(-half, half + 1, dtype=np.float64) + shift)
        size = max(1, CHUNK // (len(self.theta) * len(t)))
        parts = [_trapezoid_part(self, slice(start, start + size), t) for start in range(0, self.theta.shape[1], size)]
        value, ends = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
        return value + math.log(step), ends


def _trapezoid_part(at: _Columns, columns: slice, t: Array) -> tuple[Array, Array]:
    theta, center, width = (a[:, columns, None] for a in (at.theta, at.center, at.width))
    baseline = center + width * np.sinh(t)
    log_terms = at.arms(baseline, theta) + at.prior.logpdf(baseline) + np.log(width * np.cosh(t))
    peak = log_terms.max(axis=-1)
    ends = np.maximum(log_terms[..., 0], log_terms[..., -1]) - peak
    log_terms -= peak[..., None]
    return peak + np.log(np.exp(log_terms, out=log_terms).sum(axis=-1)), ends


def logit_baseline(
    theta: Array, shifts: tuple[float, float], events: tuple[Array, Array], n: tuple[Array, Array], prior: Prior
) -> tuple[Array, Array]:
    """Return place and width of a baseline's integrand in a two-arm binomial study, ``(k, m)`` each.

    Parameters
    ----------
    shifts
        Multiples of theta added to the baseline in the first and the second arm.
    events, n
        ``(k,)`` of the first and the second arm.
    """
    prior_slope = _slope(prior)
    offsets = [shift * theta for shift in shifts]

    def slope(a: Array) -> tuple[Array, Array]:
        gradient, curvature = prior_slope(a)
        for offset, e, total in zip(offsets, events, n, strict=True):
            p = special.expit(a + offset)
            gradient = gradient + e[:, None] - total[:, None] * p
            curvature = curvature + total[:, None] * p * (1.0 - p)
        return gradient, curvature

    start = np.mean(
        [special.logit((e + 0.5) / (t + 1.0))[:, None] - o for o, e, t in zip(offsets, events, n, strict=True)], axis=0
    )
    return _newton(slope, start)


def log_rate_baseline(
    theta: Array, events: tuple[Array, Array], time: tuple[Array, Array], prior: Prior
) -> tuple[Array, Array]:
    """Return place and width of a baseline's integrand in a two-arm Poisson study, ``(k, m)`` each.

    The first arm has the baseline's log rate, the second the baseline plus theta.
    """
    prior_slope = _slope(prior)
    rate = time[0][:, None] + time[1][:, None] * np.exp(theta)
    total = (events[0] + events[1])[:, None]

    def slope(a: Array) -> tuple[Array, Array]:
        mean = rate * np.exp(a)
        gradient, curvature = prior_slope(a)
        return gradient + total - mean, curvature + mean

    return _newton(slope, np.log((total + 0.5) / rate))


def _rough(prior: Prior) -> tuple[float, float]:
    """Return a place and a spread of a prior that exist for improper and heavy-tailed ones too."""
    if not prior.proper:
        return 0.0, 100.0
    middle, width = middle_and_width(prior)
    return middle, max(width, 1e-6)


def _slope(prior: Prior) -> Callable[[Array], tuple[Array, Array]]:
    """Return the slope of a prior's log density and, where that is concave, its curvature, at least a little."""
    place, spread = _rough(prior)
    if isinstance(prior, Normal):
        return lambda a: ((prior.loc - a) / prior.scale**2, np.full_like(a, prior.scale**-2.0))
    if not prior.proper or not all(map(math.isinf, prior.support)):
        return lambda a: ((place - a) / spread**2, np.full_like(a, spread**-2.0))
    # A heavy tail lets the baseline go as far as the data ask, where a normal in its place would hold it back.
    h = 1e-3 * spread

    def at(a: Array) -> tuple[Array, Array]:
        low, middle, high = (np.asarray(prior.logpdf(x)) for x in (a - h, a, a + h))
        return (high - low) / (2.0 * h), np.maximum((2.0 * middle - low - high) / h**2, 1e-4 / spread**2)

    return at


def _newton(slope: Callable[[Array], tuple[Array, Array]], start: Array) -> tuple[Array, Array]:
    """Return the peak of functions that rise to it and fall from it, and their widths there.

    Newton's steps, kept between a point left of the peak and one right of it; until both are known the
    steps may grow, for the peak can lie as far away as theta itself.
    """
    at, low, high = start, np.full_like(start, -np.inf), np.full_like(start, np.inf)
    limit = 2.0
    for iteration in range(200):
        gradient, curvature = slope(at)
        low, high = np.where(gradient > 0.0, at, low), np.where(gradient < 0.0, at, high)
        new = at + np.clip(gradient / curvature, -limit, limit)
        # A heavy-tailed prior is not concave: where Newton's steps do not end, halving the interval does.
        outside = ((new <= low) | (new >= high) | (iteration > 30)) & np.isfinite(low) & np.isfinite(high)
        new = np.where(outside, 0.5 * (np.where(outside, low, 0.0) + np.where(outside, high, 0.0)), new)
        moved = np.max(np.abs(new - at) / (1.0 + np.abs(at)), initial=0.0)
        at, limit = new, 1.5 * limit
        if moved < 1e-8:
            break
    return at, np.minimum(1.0 / np.sqrt(slope(at)[1]), CORNER)


# Maps the mean of the arms' log odds and the effect to half the log odds ratio, and its slope in the former.
type HalfLogOddsRatio = Callable[[Array, Array], tuple[Array, Array]]


def asinh_exp(sign: Array, log_size: Array) -> Array:
    """Return ``asinh(sign * exp(log_size))`` without overflow."""
    # Beyond 20, asinh(x) is log(2 x) to the last digit.
    inside = np.arcsinh(np.exp(np.minimum(log_size, 20.0)))
    return np.asarray(sign * np.where(log_size > 20.0, log_size + math.log(2.0), inside))


def log_sinh(size: Array) -> Array:
    """Return ``log(sinh(size))`` for ``size >= 0`` without overflow; minus infinity at 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(size + np.log(-np.expm1(-2.0 * size)) - math.log(2.0))


def odds_product_loglik(
    half: HalfLogOddsRatio,
    theta: Array,
    events: tuple[Array, Array],
    n: tuple[Array, Array],
    prior: Prior,
    study: tuple[str, ...],
) -> Array:
    """Return log p(both arms given theta), ``(k, m)``, the mean of the arms' log odds integrated out over its prior.

    Parameters
    ----------
    half
        From the baseline and theta to half the log odds ratio.
    theta
        ``(k, m)``.
    events, n
        ``(k,)`` of the control and the treatment arm.
    prior
        Of each study's baseline: the mean of the arms' log odds.
    study
        ``(k,)`` labels, for messages.
    """
    arms, center, width = _odds_product(half, theta, events, n, prior)
    return integrate_baseline(arms, prior, theta, center, width, study)


def odds_product_baseline(
    half: HalfLogOddsRatio,
    theta: Array,
    events: tuple[Array, Array],
    n: tuple[Array, Array],
    prior: Prior,
    uniform: Array,
) -> Array:
    """Return baselines given theta and both arms, the means of the arms' log odds, in the shape of `theta`.

    Parameters
    ----------
    half, events, n, prior
        As in `odds_product_loglik`.
    theta, uniform
        ``(..., k)`` true effects, and probabilities at which the distribution functions are inverted.
    """
    arms = _odds_product(half, _columns(theta), events, n, prior)[0]

    def place(theta: Array, prior: Prior) -> tuple[Array, Array]:
        return _odds_product(half, theta, events, n, prior)[1:]

    return baselines_given(arms, place, theta, prior, uniform)


def baselines_given(
    arms: LogIntegrand,
    place: Callable[[Array, Prior], tuple[Array, Array]],
    theta: Array,
    prior: Prior,
    uniform: Array,
) -> Array:
    """Return draws of each study's baseline given its true effect and both arms, in the shape of `theta`.

    Parameters
    ----------
    arms
        Log likelihood of both arms, as in `integrate_baseline`.
    place
        Maps ``(k, m)`` true effects and a prior of the baseline to place and width of the integrand.
    theta, uniform
        ``(..., k)`` true effects, and probabilities at which the distribution functions are inverted.
    """
    columns, at = _columns(theta), _columns(uniform)
    # A narrow prior with heavy tails and the counts can each have a peak of their own.
    alone = tuple(np.full(columns.shape, value) for value in _rough(prior))
    places = [place(columns, prior), place(columns, Normal(0.0, WIDEST)), (alone[0], alone[1])]
    drawn = quantiles(
        lambda baseline, part: arms(baseline, columns[:, part, None]) + prior.logpdf(baseline), places, at
    )
    return np.asarray(np.moveaxis(drawn.reshape(theta.shape[-1], *theta.shape[:-1]), 0, -1))


def _columns(values: Array) -> Array:
    """Return ``(..., k)`` as ``(k, m)``."""
    return np.asarray(np.moveaxis(values, -1, 0).reshape(values.shape[-1], -1))


def _odds_product(
    half: HalfLogOddsRatio, theta: Array, events: tuple[Array, Array], n: tuple[Array, Array], prior: Prior
) -> tuple[LogIntegrand, Array, Array]:
    """Return both arms' log likelihood given baseline and theta, and place and width of its integrand."""
    (place, spread), prior_slope = _rough(prior), _slope(prior)

    def arms(baseline: Array, at: Array) -> Array:
        delta = half(baseline, at)[0]
        first = binomial_logpmf(events[0][:, None, None], n[0][:, None, None], baseline - delta)
        return first + binomial_logpmf(events[1][:, None, None], n[1][:, None, None], baseline + delta)

    def gradient(a: Array) -> Array:
        delta, bend = half(a, theta)
        total = prior_slope(a)[0]
        for sign, e, size in zip((-1.0, 1.0), events, n, strict=True):
            total = total + (e[:, None] - size[:, None] * special.expit(a + sign * delta)) * (1.0 + sign * bend)
        return total

    center, width = _bisected(gradient, np.full_like(theta, place), WIDEST + np.abs(theta), spread)
    return arms, center, width


def _bisected(gradient: Callable[[Array], Array], middle: Array, reach: Array, widest: float) -> tuple[Array, Array]:
    """Return the peak of functions that rise to it and fall from it, and their widths there.

    Given a difference of risks Newton's method can go back and forth for ever: the logs are not concave in log odds.
    """
    low, high = middle - reach, middle + reach
    for _ in range(math.ceil(math.log2(float(reach.max()) / FOUND))):
        at = 0.5 * (low + high)
        rising = gradient(at) > 0.0
        low, high = np.where(rising, at, low), np.where(rising, high, at)
    at, h = 0.5 * (low + high), 1e-4
    bend = (gradient(at - h) - gradient(at + h)) / (2.0 * h)
    return at, np.minimum(1.0 / np.sqrt(np.maximum(bend, 1.0 / widest**2)), CORNER)
