"""The deterministic engine: posteriors by quadrature over tau, with an error estimate and no sampling error."""

from collections.abc import Mapping
from typing import Any

from bayesmeta.engines import exact, normal
from bayesmeta.errors import ModelError
from bayesmeta.model import Model
from bayesmeta.posterior import Posterior
from bayesmeta.priors import Prior


def solve(
    model: Model, data: Any, priors: Mapping[str, Prior], *, seed: int | None = None, **options: Any
) -> Posterior:
    """Return the posterior of `model` given `data` by deterministic integration.

    Parameters
    ----------
    seed
        Of the draws `Posterior.to_datatree` makes; nothing else is random.
    **options
        ``tolerance``: largest change on refinement that is accepted (default 1e-10, relative).

    Raises
    ------
    ModelError
        If the posterior is improper (the message states the condition), or a prior of a coefficient
        is of a family the closed formulas do not cover.
    ConvergenceError
        If the error estimate stays above the tolerance.
    """
    options = {name: value for name, value in options.items() if value is not None}
    if model.gaussian_marginal is not None:
        return normal.solve(model, data, priors, model.gaussian_marginal(data, priors), seed=seed, **options)
    if model.study_likelihoods is not None:
        return exact.solve(model, data, priors, model.study_likelihoods(data, priors), seed=seed, **options)
    raise ModelError(f"Model {model.name!r} offers no quadrature. Use engine='nuts'.")
