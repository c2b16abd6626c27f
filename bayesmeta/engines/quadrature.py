"""The deterministic engine: quadrature over tau, or mu and tau, with an error estimate and no sampling error."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.engines.counts import solve as exact
from bayesmeta.engines.gaussian import cubature
from bayesmeta.engines.gaussian import integrate as normal
from bayesmeta.engines.gaussian.given_variances import LOG_2PI
from bayesmeta.engines.selection import solve as reporting
from bayesmeta.engines.stated import stated
from bayesmeta.errors import ModelError
from bayesmeta.gaussian.prior_components import is_normal_mixture
from bayesmeta.model import Gaussian, Model, StudyLikelihoods
from bayesmeta.posterior import Posterior
from bayesmeta.priors import Prior
from bayesmeta.values import Array

if TYPE_CHECKING:
    import xarray as xr


def solve(
    model: Model,
    data: Any,
    priors: Mapping[str, Prior],
    *,
    seed: int | None = None,
    tolerance: float | None = None,
) -> Posterior:
    """Return the posterior of `model` given `data` by deterministic integration.

    Parameters
    ----------
    seed
        Of the draws `Posterior.to_datatree` makes; nothing else is random.
    tolerance
        Largest change on refinement that is accepted, relative; when not given, 1e-10 where mu integrates out of a
        normal likelihood, and 1e-8 where mu and tau are both integrated over.

    Raises
    ------
    ModelError
        If the posterior is improper (the message states the condition), or a prior of a coefficient
        is of a family the closed formulas do not cover.
    ConvergenceError
        If the error estimate stays above the tolerance.
    """
    solved = _solved(model, data, priors, seed, {} if tolerance is None else {"tolerance": tolerance})
    if model.selection is not None:
        return solved
    return replace(solved, datatree=partial(_datatree, model, data, priors, solved.datatree))


def _solved(
    model: Model, data: Any, priors: Mapping[str, Prior], seed: int | None, options: dict[str, Any]
) -> Posterior:
    if model.gaussian is not None:
        given = model.gaussian(data, priors)
        if not given.independent:
            return cubature.solve(model, data, priors, given, seed=seed, **options)
        mu = given.beta[0]
        if given.terms == ("mu",) and not is_normal_mixture(mu) and mu.support == (-math.inf, math.inf):
            return exact.solve(model, data, priors, _likelihoods(given), seed=seed, **options)
        return normal.solve(model, data, priors, given, seed=seed, **options)
    if model.study_likelihoods is not None:
        return exact.solve(model, data, priors, stated(model, data, priors), seed=seed, **options)
    if model.selection is not None:
        return reporting.solve(model, data, priors, model.selection(data, priors), seed=seed, **options)
    raise ModelError(f"Model {model.name!r} offers no quadrature. Use engine='nuts'.")


def _datatree(
    model: Model,
    data: Any,
    priors: Mapping[str, Prior],
    exact: Callable[[int, int | None], "xr.DataTree"],
    draws: int,
    seed: int | None,
) -> "xr.DataTree":
    from bayesmeta.engines.quadrature_tree import complete

    return complete(model, data, priors, exact, draws, seed)


def _likelihoods(given: Gaussian) -> StudyLikelihoods:
    """Return a normal model in the form that takes any prior of mu: two dimensions, mu and tau, instead of one."""

    sei = np.sqrt(given.v)
    loglik = partial(_normal_loglik, given.y[:, None], sei[:, None])
    return StudyLikelihoods(given.study, loglik, given.y, sei, given.beta[0], given.tau)


def _normal_loglik(y: Array, sei: Array, theta: Array) -> Array:
    return np.asarray(-0.5 * ((theta - y) / sei) ** 2 - np.log(sei) - 0.5 * LOG_2PI)
