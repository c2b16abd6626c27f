"""Meta-regression: moderators by formula or matrix, checked for collinearity."""

from collections.abc import Mapping
from dataclasses import replace

from numpy.typing import ArrayLike

from bayesmeta.errors import DataError
from bayesmeta.frequentist.formula import design_matrix
from bayesmeta.frequentist.pool import CiRule, pool
from bayesmeta.frequentist.prediction import PredictionRule
from bayesmeta.frequentist.result import PooledFit
from bayesmeta.frequentist.tau2 import DEFAULT_ESTIMATOR
from bayesmeta.studies import EffectSizes


def regress(
    effects: EffectSizes,
    moderators: str | Mapping[str, ArrayLike] | None = None,
    *,
    data: Mapping[str, ArrayLike] | None = None,
    method: str = DEFAULT_ESTIMATOR,
    ci: CiRule = "wald",
    level: float = 0.95,
    prediction: PredictionRule = "metafor",
) -> PooledFit:
    r"""Fit the mixed-effects meta-regression ``y ~ N(X beta, v + tau2)``.

    Parameters
    ----------
    effects
        ``k`` effects on the analysis scale.
    moderators
        A formula such as ``"~ dose + C(arm)"`` whose names are in `data`; or name to ``(k,)`` values, numbers as they
        are and text as factors, with an intercept; or None for the design already in ``effects.X``.
    data
        Columns for a formula: a mapping or a data frame with one row per study, in the order of `effects`.
    method, ci, level, prediction
        As for :func:`~bayesmeta.frequentist.pool.pool`; ``ci="hksj"`` gives t and F tests with the
        Knapp-Hartung covariance.

    Returns
    -------
    PooledFit
        ``.beta .beta_se .beta_ci .beta_p .vcov .QM .QM_p .QE .R2``, ``.test([...])`` and ``.predict([...])``.

    Raises
    ------
    DataError
        If a moderator is missing, constant or collinear (the column is named), or studies are too few.

    References
    ----------
    Berkey, Hoaglin, Mosteller & Colditz (1995), Stat. Med. 14:395-411.
    Knapp & Hartung (2003), Stat. Med. 22:2693-2710.
    """
    return pool(with_moderators(effects, moderators, data), method=method, ci=ci, level=level, prediction=prediction)


def with_moderators(
    effects: EffectSizes,
    moderators: str | Mapping[str, ArrayLike] | None,
    data: Mapping[str, ArrayLike] | None = None,
) -> EffectSizes:
    """Return `effects` with the design that `moderators` describe; see :func:`regress`."""
    if moderators is None:
        return effects
    if isinstance(moderators, str):
        if data is None:
            raise DataError(f"The formula {moderators!r} needs data=...: a mapping or frame with its columns.")
        X, terms = design_matrix(moderators, data, effects.k)
    else:
        X, terms = design_matrix("~ " + " + ".join(moderators), moderators, effects.k)
    return replace(effects, X=X, terms=terms)
