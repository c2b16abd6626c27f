r"""Each study's likelihood averaged over its random effect, :math:`\bar L_i(\mu, \tau)`, without sampling.

.. math::
    \bar L_i(\mu, \tau) = \int L_i(\theta)\, N(\theta; \mu, \tau^2)\, d\theta

The integrand is positive, smooth and (for the models that ship) log-concave, so it is integrated
about its own mode: with ``theta = mode + width * sinh(t)`` the trapezoidal rule in ``t`` converges
geometrically (Trefethen & Weideman 2014, SIAM Review 56:385-458), and the map reaches into the
slowly falling side of a lopsided likelihood, as a study with no events in one arm has.
Everything is added up on the log scale: nothing underflows when a study contradicts the others.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bayesmeta.engines.axes.sinc_quantiles import quantiles
from bayesmeta.engines.counts.loglik_between_limits import Bounded
from bayesmeta.engines.counts.loglik_tables import Curves
from bayesmeta.engines.draws import in_blocks
from bayesmeta.values import Array

# A Gaussian has fallen to 1e-15 of its height at 8.4 standard deviations.
REACH = 8.4
# Step of the trapezoidal rule in t: the error for a Gaussian is about exp(-4.93 / step) = 5e-13.
STEP = 0.175
# Most steps to a mode, and how many of Newton's alone before every other one halves the bracket.
MODE_STEPS, NEWTON_ALONE = 100, 6
# A smaller tau averages over nothing, and its square, which is needed, would underflow.
LEAST_TAU = 1e-140
# Grid points of a conditional density whose random effects are a million times wider than its likelihood.
THETA_GRID = 200
# Elements of a table worked on at once: they stay in the processor's cache.
CHUNK = 20_000


def convolve(curves: Curves | Bounded, mu: Array, tau: Array, step: float = STEP) -> Array:
    """Average each study's likelihood over ``theta ~ N(mu, tau^2)`` at each pair ``(mu, tau)``.

    Parameters
    ----------
    curves
        The log likelihoods.
    mu, tau
        ``(n,)`` each, ``tau > 0``.
    step
        Of the trapezoidal rule.

    Returns
    -------
    ``(k, n)`` logs of the averaged likelihoods.
    """
    k, n = len(curves.center), len(mu)
    tau = np.maximum(tau, LEAST_TAU)
    log, edge = np.empty((2, k, n))
    size = max(1, CHUNK // (k * (2 * int(np.arcsinh(REACH) / step) + 1)))
    modes = np.empty((2, k, n))
    for start in range(0, n, max(1, CHUNK // k)):
        block = slice(start, start + max(1, CHUNK // k))
        modes[:, :, block] = mode_and_width(curves, mu[block], tau[block])
    for start in range(0, n, size):
        block = slice(start, start + size)
        mode, width = modes[:, :, block]
        log[:, block], edge[:, block] = _about(curves, mu[block], tau[block], mode, width, REACH, step)
    # A lopsided integrand falls more slowly on one side than its curvature at the mode says:
    # there it still falls like the random-effects normal, so that is how far to look.
    for i in range(k):
        ragged = np.flatnonzero(edge[i] > 1e-15)
        one = curves.one(i)
        for start in range(0, len(ragged), 256):
            rows = ragged[start : start + 256]
            mode, width = mode_and_width(one, mu[rows], tau[rows])
            reach = REACH * float(np.max(np.maximum(1.0, tau[rows] / width)))
            log[i, rows] = _about(one, mu[rows], tau[rows], mode, width, reach, step)[0][0]
    return log


def mode_and_width(curves: Curves | Bounded, mu: Array, tau: Array) -> tuple[Array, Array]:
    """Return each integrand's mode, nearly, and the width its curvature there implies; ``(k, n)``.

    Newton's steps are kept within a bracket. Where the likelihood is log-concave, the slope of the log integrand times
    tau^2 falls by at least as much as theta rises, so that the mode lies between any theta and theta plus that slope.
    """
    center, own = curves.center[:, None], 1.0 / curves.scale[:, None] ** 2
    variance = tau**2
    # Written so that rounding does not move it from mu: tau can be far smaller than what that rounds to.
    beyond = mu + curves.derivatives(center)[0] * variance
    low, high = np.minimum(center, beyond), np.maximum(center, beyond)
    theta = np.clip((mu + center * own * variance) / (1.0 + own * variance), low, high)
    relative = np.ones_like(theta)
    for iteration in range(MODE_STEPS):
        slope, curvature = curves.derivatives(theta)
        relative = np.maximum(1.0 - curvature * variance, 0.25)
        up = slope * variance - (theta - mu)
        low, high = np.where(up > 0.0, theta, low), np.where(up < 0.0, theta, high)
        step = np.clip(up / relative, low - theta, high - theta)
        # The sum over the grid does not need the exact mode, only the neighbourhood of it.
        far = np.abs(step) * np.sqrt(relative) > 0.05 * tau
        if iteration >= NEWTON_ALONE and iteration % 2:
            # Where a likelihood falls like exp(-exp(theta)) Newton's steps are all alike.
            step = np.where(far, 0.5 * (low + high) - theta, step)
        theta = theta + step
        if not far.any():
            break
    return theta, tau / np.sqrt(relative)


def conditional_grid(curves: Curves | Bounded, mu: Array, tau: Array) -> tuple[Array, Array, float, Array]:
    """Return one study's conditional density of theta given each pair ``(mu, tau)``, on a uniform grid of t.

    Returns
    -------
    mode, width
        ``(n,)``: ``theta = mode + width * sinh(t)``.
    first
        First t; the spacing is at most `STEP`, and exactly that here.
    mass
        ``(n, m)`` densities per unit of t, up to a constant a row.
    """
    tau = np.maximum(tau, LEAST_TAU)
    mode, width = mode_and_width(curves, mu, tau)
    reach = REACH * float(np.max(np.maximum(1.0, tau / width)))
    half = int(np.ceil(np.arcsinh(reach) / STEP))
    t = STEP * np.arange(-half, half + 1.0)
    return mode[0], width[0], float(t[0]), _weights(curves, mu, tau, mode, width, t)[1][0]


def theta_quantiles(curves: Curves | Bounded, mu: Array, tau: Array, uniform: Array) -> Array:
    """Return one study's true effects given each pair ``(mu, tau)``, at these quantiles of its conditional density."""

    def block(mu: Array, tau: Array, uniform: Array) -> Array:
        mode, width, first, mass = conditional_grid(curves, mu, tau)
        return np.asarray(mode + width * np.sinh(first + STEP * quantiles(mass, uniform)))

    return in_blocks(block, THETA_GRID, mu, tau, uniform)


def _weights(
    curves: Curves | Bounded, mu: Array, tau: Array, mode: Array, width: Array, t: Array
) -> tuple[Array, Array]:
    """Return ``(k, n)`` logs of the peaks, and ``(k, n, m)`` integrands relative to them."""
    z = width[:, :, None] * np.sinh(t)
    f = curves(mode[:, :, None] + z)
    z += (mode - mu)[:, :, None]
    z *= z
    z *= (0.5 / tau**2)[:, None]
    f -= z
    f += np.log(np.cosh(t))
    top = f.max(axis=2)
    f -= top[:, :, None]
    return top, np.exp(f, out=f)


def _about(
    curves: Curves | Bounded, mu: Array, tau: Array, mode: Array, width: Array, reach: float, largest: float
) -> tuple[Array, Array]:
    """Integrate about the mode, out to `reach` widths, in steps of t that are no larger than given.

    Returns
    -------
    log, edge
        ``(k, n)`` log integral, and the share of the integral at the ends.
    """
    half = int(np.ceil(np.arcsinh(reach) / largest))
    step = float(np.arcsinh(reach)) / half
    top, weight = _weights(curves, mu, tau, mode, width, step * np.arange(-half, half + 1.0))
    total = weight.sum(axis=2)
    edge = np.maximum(weight[:, :, 0], weight[:, :, -1]) / total
    return top + np.log(total * width * step / (tau * np.sqrt(2.0 * np.pi))), edge


# Maps mu and a unit of length to the log prior density of mu and its first two derivatives.
type LogPrior = Callable[[Array, Array], tuple[Array, Array, Array]]


@dataclass(frozen=True, slots=True, eq=False)
class Laplace:
    """The joint mode of mu and every theta given ``n`` values of tau, and what it implies.

    ``mu`` and ``scale`` are ``(n,)``: the mode and the width of mu; ``log`` approximates the log of the
    likelihood times the prior of mu, integrated over mu and every theta.
    """

    mu: Array
    scale: Array
    log: Array


def laplace(curves: Curves | Bounded, log_prior: LogPrior, tau: Array) -> Laplace:
    """Approximate the marginal of tau by the joint mode, found by Newton's method.

    The Hessian is an arrow (each theta touches mu alone), so a step costs O(k); it is written
    without 1/tau^2, and keeps its digits as tau goes to 0.
    """
    own = 1.0 / curves.scale[:, None] ** 2
    tau = np.maximum(tau, LEAST_TAU)
    variance = tau**2
    weight = own / (1.0 + own * variance)
    mu = (weight * curves.center[:, None]).sum(axis=0) / weight.sum(axis=0)
    unit = 1.0 / np.sqrt(weight.sum(axis=0))
    theta = (mu + curves.center[:, None] * own * variance) / (1.0 + own * variance)
    for iteration in range(200):
        slope, curvature = curves.derivatives(theta)
        relative = np.maximum(1.0 - curvature * variance, 0.25)
        value, first, second = log_prior(mu, unit)
        # A heavy-tailed prior is convex far out, where it must not lengthen the step.
        own_bend = np.sum(np.maximum(-curvature, -0.75 / variance) / relative, axis=0)
        bend = np.maximum(own_bend, 0.05 / unit**2) + np.maximum(-second, 0.0)
        gradient = first + np.sum((slope - (theta - mu) * curvature) / relative, axis=0)
        # Near an inflection Newton can go back and forth for ever; half steps do not.
        move = np.clip(gradient / bend, -3.0 * unit, 3.0 * unit) * (1.0 if iteration < 10 else 0.5)
        limit = 4.0 * tau + np.abs(move)
        step = np.clip((slope * variance - (theta - mu) + move) / relative, -limit, limit)
        mu, theta = mu + move, theta + step
        if np.max(np.abs(move) * np.sqrt(bend)) + np.max(np.abs(step - move) * np.sqrt(relative) / tau) < 1e-6:
            break
    value = log_prior(mu, unit)[0]
    each = curves(theta) - 0.5 * ((theta - mu) / tau) ** 2 - 0.5 * np.log(relative)
    scale = 1.0 / np.sqrt(bend)
    return Laplace(mu, scale, value + each.sum(axis=0) + np.log(scale * np.sqrt(2.0 * np.pi)))
