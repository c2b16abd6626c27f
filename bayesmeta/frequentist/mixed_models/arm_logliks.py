"""Log probabilities of counts given their linear predictor, with first derivatives and expected information."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from bayesmeta.likelihoods.conditional_tables import NO_TABLE, hypergeometric_support
from bayesmeta.values import Array

# Value, first derivative and expected information, each of the shape of the predictor.
type Slopes = tuple[Array, Array, Array]
type Loglik = Callable[[Array], Slopes]


def logit_binomial(events: Array, n: Array) -> Loglik:
    """Return the log probability of ``(k,)`` events as a function of ``(k, m)`` logits."""
    y, size, choose = events[:, None], n[:, None], _log_choose(events, n)[:, None]

    def loglik(eta: Array) -> Slopes:
        p = special.expit(eta)
        return choose + y * eta - size * np.logaddexp(0.0, eta), y - size * p, size * p * special.expit(-eta)

    return loglik


def log_binomial(events: Array, n: Array) -> Loglik:
    """Return the log probability of ``(k,)`` events as a function of ``(k, m)`` log risks; minus infinity from 0 on."""
    y, size, choose = events[:, None], n[:, None], _log_choose(events, n)[:, None]

    def loglik(eta: Array) -> Slopes:
        possible = eta < 0.0
        safe = np.where(possible, eta, -1.0)
        rest = -np.expm1(safe)
        odds = np.exp(safe) / rest
        value = np.where(possible, choose + y * safe + (size - y) * np.log(rest), -np.inf)
        return value, y - (size - y) * odds, size * odds

    return loglik


def poisson(events: Array, time: Array) -> Loglik:
    """Return the log probability of ``(k,)`` events in `time` as a function of ``(k, m)`` log rates."""
    y, log_time, constant = events[:, None], np.log(time)[:, None], special.gammaln(events + 1.0)[:, None]

    def loglik(eta: Array) -> Slopes:
        mean = np.exp(np.minimum(eta + log_time, 700.0))
        return y * (eta + log_time) - mean - constant, y - mean, mean

    return loglik


def hypergeometric(events_treatment: Array, n_treatment: Array, events_control: Array, n_control: Array) -> Loglik:
    """Return the log probability of the treatment events given both margins, of ``(k, m)`` log odds ratios.

    Fisher's noncentral hypergeometric distribution.
    """
    support, log_weight = hypergeometric_support(events_treatment, n_treatment, events_control, n_control)
    at = (support == events_treatment[:, None]) & (log_weight > NO_TABLE)
    observed = np.take_along_axis(log_weight, np.argmax(at, axis=1)[:, None], axis=1)

    def loglik(theta: Array) -> Slopes:
        value, first, information = (np.empty(theta.shape) for _ in range(3))
        # One place at a time: supports of thousands of tables times many places would not fit.
        for j in range(theta.shape[1]):
            log = log_weight + theta[:, [j]] * support
            top = log.max(axis=1, keepdims=True)
            weight = np.exp(log - top)
            total = weight.sum(axis=1)
            mean = (weight * support).sum(axis=1) / total
            value[:, j] = (observed + theta[:, [j]] * events_treatment[:, None] - top)[:, 0] - np.log(total)
            first[:, j] = events_treatment - mean
            information[:, j] = (weight * (support - mean[:, None]) ** 2).sum(axis=1) / total
        return value, first, information

    return loglik


def shifted(loglik: Loglik, offset: Array) -> Loglik:
    """Return a log likelihood whose predictor has ``(k,)`` known offsets."""
    return lambda eta: loglik(eta + offset[:, None])


@dataclass(frozen=True, slots=True, eq=False)
class TwoArms:
    """The log likelihood of two arms, whose predictors are ``alpha + theta / 2`` and ``alpha - theta / 2``."""

    treatment: Loglik
    control: Loglik

    def __call__(self, alpha: Array, theta: Array) -> tuple[Array, Array, Array]:
        """Return ``(k, m)`` values, ``(2, k, m)`` slopes in alpha and theta, ``(2, 2, k, m)`` expected information."""
        t, dt, it = self.treatment(alpha + 0.5 * theta)
        c, dc, ic = self.control(alpha - 0.5 * theta)
        cross = 0.5 * (it - ic)
        information = np.stack([np.stack([it + ic, cross]), np.stack([cross, 0.25 * (it + ic)])])
        return t + c, np.stack([dt + dc, 0.5 * (dt - dc)]), information


def _log_choose(events: Array, n: Array) -> Array:
    return np.asarray(special.gammaln(n + 1.0) - special.gammaln(events + 1.0) - special.gammaln(n - events + 1.0))
