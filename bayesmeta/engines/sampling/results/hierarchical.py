"""What follows from draws of coefficients and variance parameters, for a normal hierarchical model of any structure."""

import math
from collections.abc import Mapping

import numpy as np

from bayesmeta.errors import ModelError
from bayesmeta.gaussian.blup import effects
from bayesmeta.gaussian.covariance import Covariance, Index
from bayesmeta.gaussian.power_tails import tails
from bayesmeta.gaussian.simulate import draw_effects, simulate
from bayesmeta.gaussian.statement import Gaussian
from bayesmeta.gaussian.sums import CHUNK, factor
from bayesmeta.priors import fixed_value
from bayesmeta.values import Array

type Draws = Mapping[str, Array]


def beta_of(given: Gaussian, draws: Draws) -> Array:
    """Return ``(..., p)`` coefficients in the order of the terms."""
    if given.one_mean:
        return draws["mu"][..., None]
    if "coefficients" in draws:
        return draws["coefficients"]
    return np.stack([draws[given.name_of(term)] for term in given.terms], axis=-1)


def psi_of(given: Gaussian, draws: Draws) -> Array:
    """Return ``(..., d)`` variance parameters in the order of the statement, known ones among them."""
    shape = beta_of(given, draws).shape[:-1]
    known = given.known()
    columns = [np.full(shape, known[name]) if name in known else draws[name] for name in given.parameters]
    return np.stack(columns, axis=-1) if columns else np.zeros((*shape, 0))


def reported(given: Gaussian, draws: Draws, rng: np.random.Generator) -> tuple[dict[str, Array], Array]:
    """Return draws of named quantities, and ``(chains, draws, q)`` of the true effects that the model reports.

    True effects are drawn from their joint distribution given coefficients and variance parameters.
    """
    beta, psi = beta_of(given, draws), psi_of(given, draws)
    shape = beta.shape[:-1]
    flat, at = beta.reshape(-1, beta.shape[-1]), psi.reshape(-1, psi.shape[-1])
    wanted = {**given.reported, **given.predicted}
    fixed = {label: (effect, flat @ effect.x) for label, effect in wanted.items()}
    drawn = draw_effects(Covariance(given), at, flat @ given.X.T, given.y, fixed, rng)
    named = {name: beta @ x for name, x in given.reported_means.items()}
    named |= {name: psi[..., j] for j, name in enumerate(given.parameters)}
    named |= {f"{c.name}2": psi[..., j] ** 2 for j, c in enumerate(given.components) if not c.name.endswith("]")}
    named |= {label: drawn[label].reshape(shape) for label in given.predicted}
    theta = np.stack([drawn[label] for label in given.reported], axis=-1)
    return named, theta.reshape(*shape, -1)


def predicted(given: Gaussian, draws: Draws, x: Array, noise: Array) -> Array:
    """Return draws of the true effect of a new row of a new study at design `x`, made of standard normal noise."""
    psi = psi_of(given, draws)
    found = effects(Covariance(given), psi.reshape(-1, psi.shape[-1]), given.new_at(x), given.X, given.y)
    return np.asarray(beta_of(given, draws) @ x + np.sqrt(found.variance).reshape(noise.shape) * noise)


def block_labels(covariance: Covariance) -> list[str]:
    """Return a label for each block of rows: that of the level that its rows share, else that of its first row."""
    for loading in covariance.loadings:
        shared = [{loading.names[i] for i in loading.level[rows]} for rows in covariance.blocks]
        names = [next(iter(level)) for level in shared if len(level) == 1]
        if len(set(names)) == len(covariance.blocks):
            return names
    return [covariance.given.study[rows[0]] for rows in covariance.blocks]


def block_loglik(given: Gaussian, draws: Draws) -> Array:
    """Return ``(chains, draws, blocks)`` log probabilities of the rows of each block given the parameters."""
    covariance = Covariance(given)
    beta, psi = beta_of(given, draws), psi_of(given, draws)
    flat, at = beta.reshape(-1, beta.shape[-1]), psi.reshape(-1, psi.shape[-1])
    away = given.y - flat @ given.X.T
    columns = [_block(covariance, at, away[:, rows], rows) for rows in covariance.blocks]
    return np.stack(columns, axis=-1).reshape(*beta.shape[:-1], -1)


def _block(covariance: Covariance, psi: Array, away: Array, rows: Index) -> Array:
    out = np.empty(len(psi))
    step = max(1, CHUNK // rows.size**2)
    for i in range(0, len(psi), step):
        at = slice(i, i + step)
        L = factor(covariance.known(rows) + np.tensordot(covariance.scales(psi[at]), covariance.matrices(rows), 1))
        z = np.linalg.solve(L, away[at, :, None])[..., 0]
        logdet = 2.0 * np.log(np.diagonal(L, axis1=-2, axis2=-1)).sum(axis=1)
        out[at] = -0.5 * (rows.size * math.log(2.0 * math.pi) + logdet + np.sum(z**2, axis=1))
    return out


def prior_draws(given: Gaussian, size: tuple[int, ...], rng: np.random.Generator) -> dict[str, Array]:
    """Return draws of coefficients and variance parameters from their priors.

    Raises
    ------
    ModelError
        If a prior is improper.
    """
    named = {given.name_of(term): prior for term, prior in zip(given.terms, given.beta, strict=True)}
    out = {}
    for name, prior in {**named, **given.parameters}.items():
        if not prior.proper:
            raise ModelError(f"The prior {prior!r} of {name} is improper: nothing can be drawn from it.")
        out[name] = np.asarray(prior.ppf(rng.random(size)))
    return out


def replicated(given: Gaussian, draws: Draws, rng: np.random.Generator) -> Array:
    """Return ``(..., n)`` rows like the observed ones, random effects and sampling errors drawn anew."""
    beta, psi = beta_of(given, draws), psi_of(given, draws)
    made = simulate(Covariance(given), psi.reshape(-1, psi.shape[-1]), rng).rows
    return np.asarray(beta @ given.X.T + made.reshape(*beta.shape[:-1], -1))


def missing(given: Gaussian) -> dict[str, tuple[bool, bool, str]]:
    """Return quantity to whether its mean and its SD do not exist, and why, where one of them does not."""
    how = tails(given, Covariance(given))
    found: dict[str, tuple[bool, bool, str]] = {}

    def note(name: str, parameter: str | None, powers: tuple[float, float]) -> None:
        exponent = how.exponent(parameter)
        no_mean, no_sd = (exponent - 1.0 <= power for power in powers)
        if no_sd:
            found[name] = (
                no_mean,
                no_sd,
                f"the posterior density of the scales falls only as their power -{exponent:g}",
            )

    for component in given.components:
        if fixed_value(component.prior) is None:
            note(component.name, component.name, (1.0, 2.0))
            note(f"{component.name}2", component.name, (2.0, 4.0))
    for name, x in given.reported_means.items():
        if any(part and not prior.proper for part, prior in zip(x, given.beta, strict=True)):
            note(name, None, (1.0, 2.0))
    for name in given.predicted:
        note(name, None, (1.0, 2.0))
    return found
