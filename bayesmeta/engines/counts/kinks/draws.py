"""Independent draws from a solved model with creases: tau, then mu, then every theta, each by its quantiles."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from bayesmeta.engines.axes.panels import ORDER, TO_LEGENDRE, lagrange
from bayesmeta.engines.counts.average_laplace import theta_quantiles
from bayesmeta.engines.counts.kinks.kinked_functions import Pieces
from bayesmeta.engines.counts.kinks.mu_tau_panels import Layer
from bayesmeta.engines.counts.kinks.normal_average import PRESSED, Normal, cut, subnodes
from bayesmeta.engines.counts.kinks.random_effects import likelihoods_of
from bayesmeta.engines.counts.kinks.solution import CreasedSolution
from bayesmeta.engines.draws import draw_tau, in_blocks
from bayesmeta.likelihoods.cut_normal import quantile
from bayesmeta.marginals.axis import from_axis
from bayesmeta.values import Array

# Draws of theta that share their panels: their values of tau are alike.
GROUP = 64


def draw(solution: CreasedSolution, n: int, rng: np.random.Generator) -> dict[str, Array]:
    """Return n joint draws of tau, mu, theta ``(n, k)`` and theta_new."""
    rule, layers = solution.rule, solution.sheet.layers
    k, average = len(solution.given.study), solution.sheet.averages
    if rule is None:
        tau = np.full(n, layers[0].tau[0])
        mu = _draw_mu(layers[0], np.ones((n, 1)), rng)
    else:
        tau, mu = draw_tau(rule, rng.random(n)), np.empty(n)
        panel, place = rule.panels.locate(tau)
        terms = lagrange(place)
        for index in np.unique(panel):
            rows = panel == index
            mu[rows] = _draw_mu(layers[index], terms[rows], rng)
    if tau[0] == 0.0:
        return {"mu": mu, "theta": np.repeat(mu[:, None], k, axis=1), "theta_new": mu}
    theta = np.column_stack([_theta(solution, i, mu, tau, rng) for i in range(k)])
    new = rng.standard_normal(n)
    theta_new = quantile(mu, tau, average.limits, ndtr(new)) if average.limited else mu + tau * new
    known = {} if rule is None else {"tau": tau, "tau2": tau**2}
    return {**known, "mu": mu, "theta": theta, "theta_new": theta_new}


def _draw_mu(layer: Layer, terms: Array, rng: np.random.Generator) -> Array:
    """Draw mu given tau, whose place between the layer's nodes `terms` says."""
    width = layer.mu.panels.left.size * ORDER
    return in_blocks(lambda *rows: _mu_quantiles(layer, *rows), width, terms, rng.random(len(terms)))


def _mu_quantiles(layer: Layer, terms: Array, uniform: Array) -> Array:
    log = (terms @ layer.mu.log.reshape(len(layer.tau), -1)).reshape(len(terms), -1, ORDER)
    panels = layer.mu.panels
    half = 0.5 * (panels.right - panels.left)
    slope = np.log(layer.mu.weights / panels.weights())
    u = _invert(log + slope, half, uniform)
    place = panels.left[u[0]] + half[u[0]] * (1.0 + u[1])
    return from_axis(place, panels.lower[u[0]], panels.upper[u[0]])


def _invert(log: Array, half: Array, uniform: Array) -> tuple[NDArray[np.intp], Array]:
    """Return the panel and the place in it, from -1 to 1, of quantiles of densities.

    Parameters
    ----------
    log
        ``(n, P, ORDER)`` log densities per unit of the panels' axis, up to a constant a row.
    half
        ``(P,)`` half the panels' lengths.
    uniform
        ``(n,)`` probabilities.
    """
    density = np.exp(log - log.max(axis=(1, 2), keepdims=True))
    mass = np.maximum((density @ TO_LEGENDRE[0]) * 2.0 * half, 0.0)
    below = np.cumsum(mass, axis=1)
    target = uniform * below[:, -1]
    rows = np.arange(len(log))
    panel = np.minimum((below < target[:, None]).sum(axis=1), len(half) - 1)
    rest = (target - (below[rows, panel] - mass[rows, panel])) / half[panel]
    series = np.polynomial.legendre.legint((density[rows, panel] @ TO_LEGENDRE.T).T, lbnd=-1)
    low, high = np.full(len(log), -1.0), np.full(len(log), 1.0)
    for _ in range(52):
        middle = 0.5 * (low + high)
        over = np.polynomial.legendre.legval(middle, series, tensor=False) > rest
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    return panel, 0.5 * (low + high)


def _theta(solution: CreasedSolution, i: int, mu: Array, tau: Array, rng: np.random.Generator) -> Array:
    """Draw study i's true effect given mu and tau: its likelihood times a normal, by quantiles."""
    one = solution.sheet.averages.one(i)
    about = likelihoods_of(one.study, np.array([True]))
    if one.smooth is None:
        return _creased_theta(one.pieces, one.limits, mu, tau, rng, about)
    out, inside = np.empty(len(mu)), (mu >= one.limits[0]) & (mu <= one.limits[1])
    if inside.any():
        uniform = rng.random(int(inside.sum()))
        out[inside] = theta_quantiles(one.smooth.curves, mu[inside], tau[inside], uniform)
    if not inside.all():
        assert one.pressed is not None
        out[~inside] = _creased_theta(one.pressed, one.limits, mu[~inside], tau[~inside], rng, about)
    return out


def _creased_theta(
    pieces: Pieces, limits: tuple[float, float], mu: Array, tau: Array, rng: np.random.Generator, about: str
) -> Array:
    """Draw effects with a study's likelihood on panels, in groups of similar tau; messages say what it is about."""
    uniform, near = rng.random(len(mu)), np.clip(mu, *limits)
    reach = float(np.ptp(pieces.x))
    # Closer to mu, or to a limit, than doubles resolve.
    out = near.copy()
    left_over = np.where(near == mu, tau, tau * (tau / np.maximum(np.abs(mu - near), 1e-300)))
    wide = np.flatnonzero((tau > 1e-12 * reach) & (left_over > 1e3 * PRESSED * reach))
    order = wide[np.lexsort((tau[wide], near[wide] != mu[wide]))]
    for start in range(0, len(order), GROUP):
        rows = order[start : start + GROUP]
        # Outside the limits and inside are not mixed, nor very different values of tau.
        rest = rows
        while rest.size:
            same = (tau[rest] <= 4.0 * tau[rest[0]]) & ((near[rest] == mu[rest]) == (near[rest[0]] == mu[rest[0]]))
            chosen, rest = rest[same], rest[~same]
            normal = Normal(float(tau[chosen].min()), limits)
            parent, u_left, u_right = cut(pieces, normal, np.sort(mu[chosen]), about=about)
            x, log, half = subnodes(pieces, parent, u_left, u_right)
            kernel = np.stack([Normal(float(tau[r]), limits).log(x, mu[r]) for r in chosen])
            panel, place = _invert((log + kernel).reshape(len(chosen), -1, ORDER), half, uniform[chosen])
            u = u_left[panel] + half[panel] * (1.0 + place)
            out[chosen] = from_axis(u, pieces.panels.lower[parent][panel], pieces.panels.upper[parent][panel])
    return out
