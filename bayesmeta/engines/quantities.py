"""From a program's draws to the quantities a reader wants: theta, a new study, tau squared, I squared.

What the program integrated out is drawn again from its exact conditional, draw by draw, so these
draws belong to the joint posterior.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bayesmeta.model import GaussianMarginal, Model, StudyLikelihoods
from bayesmeta.priors import Prior
from bayesmeta.values import Array

type Draws = Mapping[str, Array]


@dataclass(frozen=True, slots=True, eq=False)
class Quantities:
    """Draws of everything that is reported.

    Parameters
    ----------
    scalars
        Name to ``(chains, draws)``: mu or ``beta[term]``, tau, tau2, I2, theta_new, and the model's own.
    theta
        ``(chains, draws, k)`` true effects, or None where the model has none.
    """

    scalars: dict[str, Array] = field(default_factory=dict)
    theta: Array | None = None


def typical_variance(v: Array, X: Array) -> float | None:
    """Return the typical sampling variance that I2 compares tau2 with; None where too few studies define it.

    ``(k - p) / trace(P)`` with ``P = W - W X (X' W X)^-1 X' W`` and ``W = diag(1 / v)``: Higgins &
    Thompson (2002), Statistics in Medicine 21:1539-1558, equation 9, and its extension to moderators.
    """
    k, p = X.shape
    if k <= p:
        return None
    w = 1.0 / v
    XtW = X.T * w
    trace = w.sum() - np.trace(np.linalg.solve(XtW @ X, (XtW * w) @ X))
    return float((k - p) / trace)


def coefficients(draws: Draws, terms: tuple[str, ...]) -> Array:
    """Return ``(chains, draws, p)`` coefficients: mu alone, or the vector beta."""
    return draws["mu"][..., None] if terms == ("mu",) else draws["beta"]


def _theta_given_rest(gaussian: GaussianMarginal, draws: Draws, rng: np.random.Generator) -> Array:
    """Draw theta from its normal conditional given the coefficients and tau."""
    prediction = coefficients(draws, gaussian.terms) @ gaussian.X.T
    if gaussian.tau is None:
        return prediction
    tau2 = draws["tau"][..., None] ** 2
    shrinkage = gaussian.v / (gaussian.v + tau2)
    mean = shrinkage * prediction + (1.0 - shrinkage) * gaussian.y
    return mean + np.sqrt(shrinkage * tau2) * rng.standard_normal(mean.shape)


def _new_study(
    draws: Draws, tau: Array | None, likelihoods: StudyLikelihoods | None, rng: np.random.Generator
) -> Array:
    mu = draws["mu"]
    if tau is None:
        return mu
    if likelihoods is not None and likelihoods.random_effects == "t":
        return mu + tau * rng.standard_t(likelihoods.df, mu.shape)
    return mu + tau * rng.standard_normal(mu.shape)


def derive(model: Model, data: Any, priors: Mapping[str, Prior], draws: Draws, seed: int) -> Quantities:
    """Return every reported quantity's draws.

    Parameters
    ----------
    draws
        Variable name to ``(chains, draws, ...)``, on the analysis scale.
    seed
        Of what is drawn here.
    """
    rng = np.random.default_rng(seed)
    gaussian = model.gaussian_marginal(data, priors) if model.gaussian_marginal else None
    likelihoods = model.study_likelihoods(data, priors) if model.study_likelihoods else None
    scalars: dict[str, Array] = {}
    if gaussian is not None and gaussian.terms != ("mu",):
        beta = coefficients(draws, gaussian.terms)
        scalars |= {f"beta[{term}]": beta[..., j] for j, term in enumerate(gaussian.terms)}
    scalars |= {
        name: value
        for name, value in draws.items()
        if value.ndim == 2 and not (gaussian is not None and name.startswith("beta"))
    }
    tau = draws.get("tau")
    theta = draws.get("theta")
    if theta is None and gaussian is not None:
        theta = _theta_given_rest(gaussian, draws, rng)
    if tau is not None:
        scalars["tau2"] = tau**2
    if gaussian is not None and tau is not None:
        typical = typical_variance(gaussian.v, gaussian.X)
        if typical is not None:
            scalars["I2"] = 100.0 * tau**2 / (tau**2 + typical)
    if "theta_new" not in scalars and "mu" in draws and (gaussian is not None or likelihoods is not None):
        scalars["theta_new"] = _new_study(draws, tau, likelihoods, rng)
    return Quantities(scalars, theta)
