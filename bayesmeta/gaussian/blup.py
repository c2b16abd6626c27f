"""True effects given the variance parameters: best linear unbiased prediction, with its variance."""

from dataclasses import dataclass

import numpy as np

from bayesmeta.errors import ModelError
from bayesmeta.gaussian.covariance import Covariance, Index
from bayesmeta.gaussian.statement import Effect
from bayesmeta.gaussian.sums import CHUNK, factor
from bayesmeta.values import Array


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """A true effect's normal distribution at n values of the variance parameters, coefficients beta given.

    Its mean is ``base + slope @ beta``.

    Parameters
    ----------
    slope
        ``(n, p)``.
    base
        ``(n,)``.
    variance
        ``(n,)``.
    """

    slope: Array
    base: Array
    variance: Array


def effects(covariance: Covariance, psi: Array, effect: Effect, X: Array, y: Array) -> Prediction:
    """Return a true effect's distribution given the rows, coefficients and variance parameters.

    Parameters
    ----------
    covariance
        Of the rows.
    psi
        ``(n, d)`` values of the variance parameters.
    effect
        Coefficients of the fixed part are those of `X`'s columns.
    X, y
        Design and effects, ``(rows, p)`` and ``(rows,)``, in any coordinates.

    References
    ----------
    Robinson (1991), Statistical Science 6:15-32.
    """
    parts = _parts(covariance, effect)
    variance = _prior_variance(covariance, psi, parts)
    rows, weight = weights(covariance, psi, effect)
    if rows.size:
        variance = np.maximum(variance - np.sum(weight * _with_rows(covariance, psi, parts, rows), axis=1), 0.0)
    return Prediction(effect.x - weight @ X[rows], weight @ y[rows], variance)


def weights(covariance: Covariance, psi: Array, effect: Effect) -> tuple[Index, Array]:
    """Return the rows that speak of an effect, and ``(n, rows)`` weights of their residuals in its prediction."""
    parts = _parts(covariance, effect)
    rows = _rows(covariance, parts)
    weight = np.zeros((len(psi), len(rows)))
    step = max(1, CHUNK // max(rows.size, 1) ** 2)
    for i in range(0, len(psi) if rows.size else 0, step):
        at = slice(i, i + step)
        L = factor(covariance.known(rows) + np.tensordot(covariance.scales(psi[at]), covariance.matrices(rows), 1))
        half = np.linalg.solve(L, _with_rows(covariance, psi[at], parts, rows)[..., None])
        weight[at] = np.linalg.solve(np.swapaxes(L, -1, -2), half)[..., 0]
    return rows, weight


# A component by its place, its level (None for a new one), and what its random effect is multiplied with.
type Parts = list[tuple[int, int | None, float]]


def _parts(covariance: Covariance, effect: Effect) -> Parts:
    place = {component.name: i for i, component in enumerate(covariance.given.components)}
    parts: Parts = []
    for name, label in effect.parts.items():
        covariance.given.component(name)
        names = covariance.loadings[place[name]].names
        if label is not None and label not in names:
            raise ModelError(f"{name} has no level {label!r}: {', '.join(names)}.")
        parts.append((place[name], None if label is None else names.index(label), effect.times.get(name, 1.0)))
    return parts


def _prior_variance(covariance: Covariance, psi: Array, parts: Parts) -> Array:
    m = len(covariance.given.components)
    variance = sum(((z * psi[:, a]) ** 2 for a, _, z in parts), np.zeros(len(psi)))
    levels, times = {a: level for a, level, _ in parts}, {a: z for a, _, z in parts}
    for a, b, r in covariance.pairs:
        if a in levels and b in levels and levels[a] == levels[b]:
            variance = variance + 2.0 * times[a] * times[b] * psi[:, m + r] * psi[:, a] * psi[:, b]
    return variance


def _rows(covariance: Covariance, parts: Parts) -> Index:
    """Return the rows that say something: the blocks in which a part's level, or one related to it, occurs."""
    touched = [
        i for a, level, _ in parts if level is not None for i in np.flatnonzero(covariance.loadings[a].level == level)
    ]
    blocks = sorted({int(covariance.block_of[i]) for i in touched})
    return np.concatenate([covariance.blocks[i] for i in blocks]) if blocks else np.empty(0, dtype=np.intp)


def _with_rows(covariance: Covariance, psi: Array, parts: Parts, rows: Index) -> Array:
    """Return ``(n, rows)`` covariances of the effect with the rows."""
    m = len(covariance.given.components)
    g = np.zeros((len(psi), len(rows)))
    for a, level, z in parts:
        if level is None:
            continue
        g += z * psi[:, a, None] ** 2 * _shared(covariance, a, a, level, rows)
        for one, other, r in covariance.pairs:
            if a in (one, other):
                b = other if a == one else one
                g += (z * psi[:, m + r] * psi[:, a] * psi[:, b])[:, None] * _shared(covariance, a, b, level, rows)
    return g


def _shared(covariance: Covariance, a: int, b: int, level: int, rows: Index) -> Array:
    """Return how an effect of unit variance at a level of component a enters rows through component b."""
    loading = covariance.loadings[b]
    relation = covariance.loadings[a].relation
    there = loading.level[rows]
    return np.asarray(loading.z[rows] * (there == level if relation is None else relation[level, there]))
