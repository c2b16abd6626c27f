"""Marginals of tau and its square, from panels that carry the log posterior density of tau."""

from functools import partial

import numpy as np

from bayesmeta.engines.nodes import TO_LEGENDRE, Rule
from bayesmeta.marginals import Density, Transformed
from bayesmeta.marginals.axis import log_jacobian, to_axis
from bayesmeta.values import Array


def tau_density(rule: Rule, support: tuple[float, float], exponent: float) -> Density:
    """Return the posterior of tau.

    Parameters
    ----------
    rule
        Panels with the normalised log density.
    support
        Of the prior.
    exponent
        The density falls as ``tau ** -exponent``.
    """
    panels = rule.panels
    mass = np.exp(rule.logg) * panels.weights()
    note = f"the posterior density of tau falls only as tau^-{exponent:.3g}"
    infinite = [name for name, power in (("mean", 1.0), ("SD", 2.0)) if exponent <= power + 1.05]
    return Density(
        partial(log_density, rule),
        rule.x.ravel(),
        mass.ravel(),
        panels.lower,
        panels.upper,
        panels.left,
        panels.right,
        mass.sum(axis=1),
        support,
        infinite_mean=exponent <= 2.05,
        infinite_sd=exponent <= 3.05,
        notes=tuple(f"The {name} is infinite: {note}." for name in infinite),
    )


def tau2_density(tau: Density, exponent: float) -> Transformed:
    """Return the posterior of tau squared."""
    return Transformed(
        tau,
        np.square,
        np.sqrt,
        lambda value: -np.log(2.0) - 0.5 * np.log(value),
        infinite_mean=exponent <= 3.05,
        infinite_sd=exponent <= 5.05,
    )


def log_density(rule: Rule, tau: Array) -> Array:
    """Return the log density of tau between the nodes: the Legendre series of every panel's 16 values."""
    panels = rule.panels
    edge = np.searchsorted(rule.x[:, 0], tau, side="right")
    panel = np.clip(edge - 1, 0, len(panels) - 1)
    for step in (0, 1):
        candidate = np.clip(panel + step, 0, len(panels) - 1)
        u = to_axis(tau, panels.lower[candidate], panels.upper[candidate])
        later = (u > panels.right[panel]) & (candidate > panel) & (u >= panels.left[candidate])
        panel = np.where(later, candidate, panel)
    u = to_axis(tau, panels.lower[panel], panels.upper[panel])
    half = 0.5 * (panels.right - panels.left)[panel]
    place = (u - panels.left[panel]) / half - 1.0
    series = (rule.logg @ TO_LEGENDRE.T)[panel]
    value = np.polynomial.legendre.legval(np.clip(place, -1.0, 1.0), series.T, tensor=False)
    value = np.where((place < -1.0 - 1e-9) | (place > 1.0 + 1e-9), -np.inf, value)
    return np.asarray(value - log_jacobian(u, panels.lower[panel], panels.upper[panel]))
