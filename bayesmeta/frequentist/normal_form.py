"""Effect sizes as the model that the classical methods compute with."""

import numpy as np

from bayesmeta.gaussian.weighted import At, Model, mean_model, regression_model
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array


def has_intercept(effects: EffectSizes) -> bool:
    """Return whether the first column of the design is a column of ones."""
    assert effects.X is not None
    return bool((effects.X[:, 0] == 1.0).all())


def model_of(effects: EffectSizes) -> Model:
    """Return the normal form of `effects`."""
    return normal_form(effects, has_intercept(effects))


def normal_form(effects: EffectSizes, intercept: bool) -> Model:
    """Return the normal form of `effects`, given whether their design has an intercept."""
    effects.check_independent("This method")
    X, vi = effects.X, effects.sei * effects.sei
    assert X is not None
    if X.shape[1] == 1 and intercept:
        return mean_model(effects.yi, vi)
    return regression_model(effects.yi, vi, X, intercept=intercept)


def hksj_vcov(effects: EffectSizes, tau2: float) -> Array:
    """Return the Hartung-Knapp-Sidik-Jonkman covariance of the coefficients at `tau2`."""
    model = model_of(effects)
    at = model.at(tau2 / model.scale / model.scale)
    return np.asarray(at.bread * (model.scale**2 * at.Q / model.df))


def typical_variance(model: Model, null: At) -> float:
    """Return Higgins and Thompson's typical sampling variance, ``(k - p) / tr P`` at tau2 = 0."""
    return model.df / null.trP
