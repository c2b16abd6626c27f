"""The log likelihood of each mixed model as a function of its few parameters, the first of which is the mean effect.

Standard deviations enter by their size, so that the log likelihood goes on smoothly where one of them is 0.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bayesmeta.frequentist.mixed_models.adaptive_hermite import log_integrals
from bayesmeta.frequentist.mixed_models.arm_logliks import Loglik, TwoArms
from bayesmeta.frequentist.mixed_models.maximise import Objective
from bayesmeta.values import Array

# Step of differences and largest step of a profile, in units of the width of a study's likelihood; steps in all.
DIFFERENCE, LARGEST, STEPS, SETTLED = 3e-3, 2.0, 80, 1e-7
# Beyond this a log odds or rate is infinite to all purposes.
FAR = 25.0


def one_effect(loglik: Loglik, k: int, points: int, *, random: bool) -> Objective:
    """Return the log likelihood of (mu, tau), or of mu alone: ``theta_i ~ N(mu, tau^2)`` and nothing else unknown."""

    def total(p: Array) -> float:
        if not random:
            return float(loglik(np.full((k, 1), p[0]))[0].sum())
        tau = abs(float(p[1]))

        def conditional(u: Array) -> tuple[Array, Array, Array]:
            value, slope, information = loglik(p[0] + tau * u[0])
            return value, tau * slope[None], tau**2 * information[None, None]

        return float(log_integrals(conditional, k, 1, points).sum())

    return total


@dataclass(slots=True, eq=False)
class Profile:
    """The maximum over one nuisance parameter a study, begun where the last one ended.

    Parameters
    ----------
    start
        ``(k,)`` first values; each call leaves its own there.
    width
        ``(k,)`` rough widths of the studies' likelihoods in it.
    """

    start: Array
    width: Array

    def __call__(self, function: Callable[[Array], Array]) -> Array:
        """Return ``(k,)`` maxima of the studies' log likelihoods, by Newton's method on differences."""
        at, h = self.start, DIFFERENCE * self.width
        now = function(at)
        for _ in range(STEPS):
            up, down = function(at + h), function(at - h)
            with np.errstate(invalid="ignore", divide="ignore"):
                slope, bend = (up - down) / (2.0 * h), (up - 2.0 * now + down) / h**2
                move = np.where(bend < 0.0, -slope / bend, np.sign(slope) * LARGEST * self.width)
            move = np.clip(np.where(np.isfinite(move), move, -self.width), -LARGEST * self.width, LARGEST * self.width)
            share = np.ones(len(at))
            for _ in range(40):
                new = np.clip(at + share * move, -FAR, FAR)
                value = function(new)
                worse = ~(value >= now - 1e-12 * np.abs(now))
                if not worse.any():
                    break
                share = np.where(worse, 0.5 * share, share)
            else:
                new, value = np.where(worse, at, new), np.where(worse, now, value)
            moved, at, now = np.abs(new - at), new, value
            if np.all(moved < SETTLED * self.width):
                break
        self.start = at
        return np.asarray(now)


def fixed_intercepts(arms: TwoArms, start: Profile, points: int, *, random: bool, log_link: bool) -> Objective:
    """Return the log likelihood of (mu, tau), or of mu alone, each study's intercept being at its own maximum."""
    k = len(start.start)

    def total(p: Array) -> float:
        tau = abs(float(p[1])) if random else 0.0
        if log_link:
            # Both arms' risks must be below 1 where the search begins.
            start.start = np.minimum(start.start, -0.5 * abs(float(p[0])) - 0.05)

        def study(alpha: Array) -> Array:
            if not random:
                return np.asarray(arms(alpha[:, None], np.full((k, 1), p[0]))[0][:, 0])

            def conditional(u: Array) -> tuple[Array, Array, Array]:
                value, slope, information = arms(alpha[:, None] + 0.0 * u[0], p[0] + tau * u[0])
                return value, tau * slope[1:], tau**2 * information[1:, 1:]

            return log_integrals(conditional, k, 1, points)

        return float(start(study).sum())

    return total


def random_intercepts(arms: TwoArms, k: int, points: int, *, random: bool) -> Objective:
    """Return the log likelihood of (mu, intercept, sigma, tau), or without tau: normal intercepts."""

    def total(p: Array) -> float:
        sd = np.abs(p[2:])

        def conditional(u: Array) -> tuple[Array, Array, Array]:
            theta = p[0] + (sd[1] * u[1] if random else 0.0 * u[0])
            value, slope, information = arms(p[1] + sd[0] * u[0], theta)
            q = len(sd)
            return value, sd[:, None, None] * slope[:q], (sd[:, None] * sd)[:, :, None, None] * information[:q, :q]

        return float(log_integrals(conditional, k, len(sd), points).sum())

    return total


def saturated_random_intercepts(arms: TwoArms, effects: Profile, points: int) -> Objective:
    """Return the log likelihood of (intercept, sigma) where each study has an effect of its own, at its maximum."""
    k = len(effects.start)

    def total(p: Array) -> float:
        sigma = abs(float(p[1]))

        def study(theta: Array) -> Array:
            def conditional(u: Array) -> tuple[Array, Array, Array]:
                value, slope, information = arms(p[0] + sigma * u[0], theta[:, None] + 0.0 * u[0])
                return value, sigma * slope[:1], sigma**2 * information[:1, :1]

            return log_integrals(conditional, k, 1, points)

        return float(effects(study).sum())

    return total


def separate_effects(loglik: Loglik, start: Profile) -> float:
    """Return the log likelihood where each study has its own effect, at its maximum."""
    return float(start(lambda theta: loglik(theta[:, None])[0][:, 0]).sum())
