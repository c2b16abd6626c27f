"""Random effects and rows drawn from a normal model, and true effects drawn given the rows that were observed."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayesmeta.gaussian.blup import weights
from bayesmeta.gaussian.covariance import Covariance, Loading
from bayesmeta.gaussian.statement import Effect
from bayesmeta.values import Array


@dataclass(frozen=True, slots=True, eq=False)
class Simulated:
    """Draws from the model given its parameters, rows not conditioned on.

    Parameters
    ----------
    levels
        ``(draws, q)`` random effects of each component.
    rows
        ``(draws, n)`` random effects and sampling errors of the rows, without their means.
    """

    levels: tuple[Array, ...]
    rows: Array


def simulate(covariance: Covariance, psi: Array, rng: np.random.Generator) -> Simulated:
    """Return random effects, and what they and sampling errors make of the rows, at ``(draws, d)`` psi."""
    raw = _standard(covariance, psi, rng)
    levels = tuple(psi[:, a, None] * u for a, u in enumerate(raw))
    rows = _sampling(covariance, len(psi), rng)
    for loading, u in zip(covariance.loadings, levels, strict=True):
        rows += loading.z * u[:, loading.level]
    return Simulated(levels, rows)


def draw_effects(
    covariance: Covariance, psi: Array, mean: Array, y: Array, effects: Mapping[str, tuple[Effect, Array]],
    rng: np.random.Generator,
) -> dict[str, Array]:  # fmt: skip
    """Return joint draws of true effects given the rows, one at each draw of the parameters.

    What is drawn from the model is corrected by the best linear prediction of its own error: the result has exactly
    the conditional distribution (Matheron's rule; Doucet 2010, "A note on efficient conditional simulation of Gaussian
    distributions").

    Parameters
    ----------
    psi
        ``(draws, d)`` variance parameters.
    mean
        ``(draws, n)`` means of the rows, ``X beta``.
    y
        ``(n,)`` rows.
    effects
        Label to the effect and its ``(draws,)`` fixed part.
    """
    made = simulate(covariance, psi, rng)
    error = y - mean - made.rows
    place = {component.name: i for i, component in enumerate(covariance.given.components)}
    new: dict[str, Array] = {}
    out = {}
    for label, (effect, fixed) in effects.items():
        rows, weight = weights(covariance, psi, effect)
        value = fixed + np.sum(weight * error[:, rows], axis=1)
        for name, level in effect.parts.items():
            a, z = place[name], effect.times.get(name, 1.0)
            if level is None:
                # One new study has all the new effects: they are drawn together, once.
                new = new or _new(covariance, psi, rng)
                value = value + z * new[name]
            else:
                value = value + z * made.levels[a][:, covariance.loadings[a].names.index(level)]
        out[label] = value
    return out


def _new(covariance: Covariance, psi: Array, rng: np.random.Generator) -> dict[str, Array]:
    noise = rng.standard_normal((len(psi), len(covariance.loadings), 1))
    mixed = _mixed(covariance, psi, noise)
    return {c.name: psi[:, a] * mixed[:, a, 0] for a, c in enumerate(covariance.given.components)}


def _standard(covariance: Covariance, psi: Array, rng: np.random.Generator) -> list[Array]:
    """Return ``(draws, q)`` random effects of variance one of each component."""
    raw = [_related(loading, rng.standard_normal((len(psi), len(loading.names)))) for loading in covariance.loadings]
    for correlation in covariance.given.correlations:
        members = [i for i, c in enumerate(covariance.given.components) if c.name in correlation.components]
        mixed = _mixed(covariance, psi, np.stack([raw[i] for i in members], axis=1), members)
        for j, i in enumerate(members):
            raw[i] = mixed[:, j]
    return raw


def _mixed(covariance: Covariance, psi: Array, noise: Array, members: list[int] | None = None) -> Array:
    """Return ``(draws, components, q)`` independent noise, correlated as the components are."""
    m = len(covariance.given.components)
    members = list(range(m)) if members is None else members
    C = np.tile(np.eye(len(members)), (len(psi), 1, 1))
    for a, b, r in covariance.pairs:
        if a in members and b in members:
            i, j = members.index(a), members.index(b)
            C[:, i, j] = C[:, j, i] = psi[:, m + r]
    # A correlation of one to within rounding has no Cholesky factor; eigenvectors always exist.
    eigen, Q = np.linalg.eigh(C)
    return np.asarray((Q * np.sqrt(np.maximum(eigen, 0.0))[:, None, :]) @ noise)


def _related(loading: Loading, noise: Array) -> Array:
    if loading.relation is None:
        return noise
    eigen, Q = np.linalg.eigh(loading.relation)
    return np.asarray(noise @ (Q * np.sqrt(np.maximum(eigen, 0.0))).T)


def _sampling(covariance: Covariance, draws: int, rng: np.random.Generator) -> Array:
    V = covariance.given.V
    noise = rng.standard_normal((draws, len(V)))
    if V.ndim == 1:
        return np.asarray(noise * np.sqrt(V))
    return np.asarray(noise @ np.linalg.cholesky(V).T)
