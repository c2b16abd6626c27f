r"""Pooling with weights that are given, not estimated: the generalised Q method.

With weights `a` the mean is ``sum(a y) / sum(a)`` and its variance follows from ``v + tau2``, whatever the weights.
tau2 is the method-of-moments estimate from ``Q_a = sum(a (y - mean)^2)``.
"""

from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.errors import DataError
from bayesmeta.gaussian.weighted import At, MeanAt, Model, RegressionAt, trace_pd, trace_pdpe
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array


def fixed_weights(effects: EffectSizes, weights: ArrayLike) -> Array:
    """Return `weights` as an array, or raise a DataError that names the study whose weight is impossible."""
    a = np.asarray(weights, dtype=float)
    if a.shape != (effects.k,):
        raise DataError(f"weights has shape {a.shape} for {effects.k} studies: give one weight per study.")
    for study, value in zip(effects.study, a, strict=True):
        if not (np.isfinite(value) and value > 0):
            raise DataError(f"Study {study!r}: its weight is {value:g}; a weight must be a finite number > 0.")
    return a / float(a.max())


def weighted_fit(model: Model, weights: Array) -> At:
    """Return the weighted fit with `weights` (in the model's order) in place of inverse variances."""
    if model.X is not None:
        return RegressionAt(model.y, weights, model.X)
    heaviest = np.argsort(-weights, kind="stable")
    return MeanAt(model.y[heaviest], weights[heaviest])


def generalised_tau2(model: Model, weights: Array) -> float:
    """Return the generalised method-of-moments tau2, in the model's unit; `weights` are in the model's order.

    References
    ----------
    DerSimonian & Kacker (2007), Contemp. Clin. Trials 28:105-114.
    Jackson, Turner, Rhodes & Viechtbauer (2014), BMC Med. Res. Methodol. 14:103.
    """
    at, v = weighted_fit(model, weights), _beside(model, weights)
    return max(0.0, (at.Q - trace_pd(at, v)) / at.trP)


def generalised_se(model: Model, weights: Array, tau2: float) -> float:
    """Return the standard error of :func:`generalised_tau2`, in the model's unit."""
    at, v = weighted_fit(model, weights), _beside(model, weights)
    variance = 2.0 * trace_pdpe(at, v, v) + 4.0 * tau2 * trace_pdpe(at, v, None) + 2.0 * tau2**2 * at.trPP
    return sqrt(variance) / at.trP


def _beside(model: Model, weights: Array) -> Array:
    """Return the variances in the order of the rows of :func:`weighted_fit`."""
    return model.v if model.X is not None else model.v[np.argsort(-weights, kind="stable")]


def weighted_coefficients(model: Model, weights: Array, tau2: float) -> tuple[Array, Array]:
    """Return the coefficients with `weights` and their covariance under ``Var(y) = diag(v + tau2)``."""
    X = np.ones((model.k, 1)) if model.X is None else model.X
    XtA = X.T * weights
    solve = np.linalg.solve(XtA @ X, XtA)
    return np.asarray(solve @ model.y), np.asarray((solve * (model.v + tau2)) @ solve.T)
