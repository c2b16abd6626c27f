"""Data and parameters that a model predicts: from its priors, and from a posterior."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesmeta.errors import ModelError
from bayesmeta.likelihoods.cut_normal import quantile
from bayesmeta.model import Model, resolved
from bayesmeta.priors import Prior
from bayesmeta.values import Array


def draw_prior(
    model: Model, data: Any, priors: Mapping[str, Prior], size: tuple[int, ...], rng: np.random.Generator
) -> dict[str, Array]:
    """Return draws of the parameters from their priors, by inverting their distribution functions.

    Parameters
    ----------
    size
        Shape of the batch, e.g. ``(chains, draws)``; vectors have their own shape behind it.

    Raises
    ------
    ModelError
        If a prior is improper.
    """
    shapes = {} if model.shapes is None else model.shapes(data)
    draws = {}
    for name, prior in priors.items():
        known = resolved(prior, data)
        if not known.proper:
            raise ModelError(f"The prior {known!r} of {name} is improper: nothing can be drawn from it.")
        draws[name] = np.asarray(known.ppf(rng.random((*size, *shapes.get(name, ())))))
    return draws


def draw_theta(
    model: Model, data: Any, priors: Mapping[str, Prior], draws: Mapping[str, Array], rng: np.random.Generator
) -> Array | None:
    """Return true effects of studies like the observed ones, given the other parameters; None where there are none.

    Parameters
    ----------
    draws
        Name to ``(..., *shape)``.
    """
    gaussian = None if model.gaussian is None else model.gaussian(data, priors)
    likelihoods = None if model.study_likelihoods is None else model.study_likelihoods(data, priors)
    if gaussian is not None and gaussian.terms != ("mu",):
        center = _coefficients(gaussian.terms, draws) @ gaussian.X.T
    elif "mu" in draws and (gaussian is not None or likelihoods is not None or model.random_effects is not None):
        center = np.repeat(draws["mu"][..., None], len(data.study), axis=-1)
    else:
        return None
    if "tau" not in draws:
        return center
    if likelihoods is not None and all(np.isfinite(likelihoods.support)):
        spread = np.broadcast_to(draws["tau"][..., None], center.shape)
        return quantile(center, spread, likelihoods.support, rng.random(center.shape))
    robust = likelihoods is not None and likelihoods.random_effects == "t"
    noise = rng.standard_t(likelihoods.df, center.shape) if robust else rng.standard_normal(center.shape)  # type: ignore[union-attr]
    return np.asarray(center + draws["tau"][..., None] * noise)


def _coefficients(terms: tuple[str, ...], draws: Mapping[str, Array]) -> Array:
    if "coefficients" in draws:
        return draws["coefficients"]
    slopes = iter(range(draws["beta"].shape[-1])) if "beta" in draws else iter(())
    return np.stack(
        [draws["intercept"] if term == "intercept" else draws["beta"][..., next(slopes)] for term in terms], axis=-1
    )


def replicate(
    model: Model, data: Any, priors: Mapping[str, Prior], draws: Mapping[str, Array], rng: np.random.Generator
) -> dict[str, Array] | None:
    """Return replicates of the data for studies like the observed ones, or None where the model cannot simulate.

    The true effects are drawn anew given mu and tau, as in the marginal likelihood.
    """
    if model.simulate is None:
        return None
    theta = draw_theta(model, data, priors, draws, rng)
    try:
        return model.simulate(data, draws if theta is None else {**draws, "theta": theta}, rng)
    except KeyError as error:
        warnings.warn(
            f"No replicates of the data: simulate of model {model.name!r} asks for {error}, which its program does not "
            'draw. RANDOM_EFFECTS = "normal" in the file makes true effects known; delete simulate if it has none.',
            stacklevel=2,
        )
        return None
