"""Quantiles of densities known up to a constant, to draw baselines that a PyMC program has integrated out."""

from collections.abc import Callable, Sequence

import numpy as np

from bayesmeta.values import Array

# Nodes about each place, in steps of t that grow outwards as sinh(t), and how far these are looked for.
NODES, REACH = 96, 18
# What is below exp(-FALL) of the highest is left out.
FALL = 40.0
# Elements worked on at once.
CHUNK = 100_000

# Maps ``(k, m, n)`` values, of the columns m in a slice of all, to logs of densities.
type LogDensity = Callable[[Array, slice], Array]


def quantiles(log_density: LogDensity, places: Sequence[tuple[Array, Array]], probability: Array) -> Array:
    """Return ``(k, m)`` quantiles, taking a density for a straight line from one node to the next.

    Parameters
    ----------
    log_density
        Of k times m distributions, up to constants.
    places
        Place and width, ``(k, m)`` each, of every feature that a density may have: nodes are close together there.
    probability
        ``(k, m)``.
    """
    out = np.empty(probability.shape)
    size = max(1, CHUNK // (len(out) * NODES * len(places)))
    for start in range(0, out.shape[1], size):
        part = slice(start, start + size)
        about = [_nodes(log_density, center[:, part, None], width[:, part, None], part) for center, width in places]
        x = np.sort(np.concatenate(about, axis=-1), axis=-1)
        log = log_density(x, part)
        out[:, part] = _inverse(x, np.exp(log - log.max(axis=-1, keepdims=True)), probability[:, part, None])
    return out


def _nodes(log_density: LogDensity, center: Array, width: Array, part: slice) -> Array:
    """Return ``(k, m, NODES)`` nodes about a place, as far as there is anything."""
    t = np.linspace(-REACH, REACH, 2 * REACH + 1)
    log = log_density(center + width * np.sinh(t), part) + np.log(np.cosh(t))
    above = log > log.max(axis=-1, keepdims=True) - FALL
    low, high = t[above.argmax(axis=-1)] - 1.0, t[-1 - above[..., ::-1].argmax(axis=-1)] + 1.0
    return np.asarray(center + width * np.sinh(np.linspace(low, high, NODES, axis=-1)))


def _inverse(x: Array, height: Array, probability: Array) -> Array:
    """Return where densities that are straight between nodes, ``(k, m, n)``, have gathered ``(k, m, 1)`` shares."""
    gap = np.diff(x, axis=-1)
    mass = np.cumsum(0.5 * (height[..., 1:] + height[..., :-1]) * gap, axis=-1)
    wanted = probability * mass[..., -1:]
    cell = np.minimum((mass < wanted).sum(axis=-1, keepdims=True), gap.shape[-1] - 1)

    def at(values: Array) -> Array:
        return np.take_along_axis(values, cell, axis=-1)

    first, last, width = at(height[..., :-1]), at(height[..., 1:]), np.maximum(at(gap), np.finfo(float).tiny)
    # What is left to gather in the cell, in units of its width; the root that does not cancel.
    rest = (wanted - at(mass)) / width + 0.5 * (first + last)
    root = np.sqrt(np.maximum(first**2 + 2.0 * (last - first) * rest, 0.0))
    share = np.clip(2.0 * rest / np.maximum(first + root, np.finfo(float).tiny), 0.0, 1.0)
    return np.asarray((at(x[..., :-1]) + share * at(gap))[..., 0])
