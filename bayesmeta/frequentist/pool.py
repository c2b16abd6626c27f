"""Pooling of effect sizes: inverse-variance weights, any tau2 estimator, any rule for the interval."""

from dataclasses import replace
from math import isfinite
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.effects import find_measure
from bayesmeta.errors import ConvergenceError, DataError, ModelError, unknown
from bayesmeta.frequentist.formula import check_design
from bayesmeta.frequentist.generalised import fixed_weights, generalised_tau2, weighted_coefficients
from bayesmeta.frequentist.normal_form import has_intercept, normal_form, typical_variance
from bayesmeta.frequentist.prediction import PREDICTION_REFERENCES, PredictionRule
from bayesmeta.frequentist.result import PooledFit
from bayesmeta.frequentist.significance import chi2_p
from bayesmeta.frequentist.tau2 import DEFAULT_ESTIMATOR, TAU2_ESTIMATORS
from bayesmeta.gaussian.weighted import At, Model
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array

type CiRule = Literal["wald", "hksj", "adhoc", "t"]

CI_RULES: dict[str, str] = {
    "wald": "normal quantile and the inverse-variance standard error",
    "hksj": "t with k - p df and the Hartung-Knapp-Sidik-Jonkman standard error",
    "adhoc": "t with k - p df; the Hartung-Knapp factor is not let below 1 (Roever, Knapp & Friede 2015)",
    "t": "t with k - p df and the inverse-variance standard error",
}
_SPELLINGS = {"z": "wald", "knha": "hksj", "hk": "hksj", "hkn": "hksj"}
COMMON_EFFECT = frozenset({"EE", "FE"})
_GENQ = "DerSimonian & Kacker (2007), Contemp. Clin. Trials 28:105-114."
_SINGLE = ("A single study: its own estimate is shown; tau2 cannot be estimated and is taken as 0.",)
_ROUNDING = 16.0 * float(np.finfo(float).eps)
"""Residuals below this share of the effects are rounding error, not disagreement between studies."""


def pool(
    effects: EffectSizes,
    *,
    method: str = DEFAULT_ESTIMATOR,
    ci: CiRule = "wald",
    level: float = 0.95,
    prediction: PredictionRule = "metafor",
    weights: ArrayLike | None = None,
) -> PooledFit:
    r"""Pool effect sizes by inverse variance: ``mu = sum(w y) / sum(w)``, ``w = 1 / (v + tau2)``.

    With moderators in ``effects.X`` this is a mixed-effects meta-regression.

    Parameters
    ----------
    effects
        ``k`` effects on the analysis scale (log for ratio measures) with standard errors.
    method
        Estimator of tau2, a key of ``TAU2_ESTIMATORS``, ``"REML"`` where none is named as in every classical
        function; ``"DL"`` for DerSimonian-Laird, ``"EE"`` or ``"FE"`` for tau2 = 0.
    ci
        ``"wald"``, ``"hksj"``, ``"adhoc"`` or ``"t"``; see ``CI_RULES``.
    level
        Coverage of all intervals, e.g. ``0.95``.
    prediction
        Rule for the prediction interval; see :func:`prediction_interval`.
    weights
        ``(k,)`` fixed weights instead of ``1 / (v + tau2)``; needed for ``method="GENQ"``, whose tau2 rests on them.

    Returns
    -------
    PooledFit
        On the analysis scale; printing it gives one readable block.

    Raises
    ------
    ModelError
        If `method`, `ci`, `level` or `prediction` is not known or impossible with these data.
    DataError
        If `effects` are not effect sizes, there are no more studies than coefficients, or the design is collinear.
    ConvergenceError
        If no finite answer exists; the message says what to use instead.

    Examples
    --------
    >>> fit = pool(EffectSizes(yi=[0.2, 0.5, 0.3], sei=[0.1, 0.2, 0.15]), method="DL")
    >>> round(fit.mu, 4), round(fit.se, 4)
    (0.2705, 0.0768)
    """
    _check_effects(effects)
    rule = _check(method, ci, level, prediction)
    intercept = has_intercept(effects)
    model = _model(effects, rule, intercept)
    null, df, scale2 = model.at(0.0), model.df, model.scale * model.scale
    fixed = None if weights is None else fixed_weights(effects, weights)
    tau2 = _tau2(method, model, fixed) if df > 0 else 0.0
    beta, vcov = _coefficients(model, null, tau2, rule) if fixed is None else _fixed_weights(model, fixed, tau2, rule)
    percent = 1.0 / (effects.sei * effects.sei + tau2 * scale2) if fixed is None else fixed
    beta = beta * model.scale
    if model.shift:
        beta[0] += model.shift
    _require_finite(method, beta, vcov)
    common = method in COMMON_EFFECT
    i2, h2 = _i2_h2(model, null, tau2, common=common)
    fit = PooledFit(
        method=method,
        ci_rule=rule,
        level=level,
        measure=effects.measure,
        study=effects.study,
        terms=effects.terms,
        beta=beta,
        vcov=vcov,
        df=None if rule == "wald" else df,
        tau2=tau2 * scale2,
        Q=null.Q,
        Q_df=df,
        Q_p=chi2_p(null.Q, df),
        I2=i2,
        H2=h2,
        weights=percent * (100.0 / float(np.add.reduce(percent))),
        effects=effects,
        reference=_GENQ if method == "GENQ" else TAU2_ESTIMATORS[method].reference,
        prediction_rule=prediction,
        predicts=not common and df > 0,
        intercept=intercept,
        notes=() if df > 0 else _SINGLE,
        fixed_weights=fixed,
    )
    return replace(fit, R2=_explained(fit)) if fit.p > 1 and intercept else fit


def _explained(fit: PooledFit) -> float:
    """Return the percent of the heterogeneity without moderators that the moderators explain."""
    null = pool(replace(fit.effects, X=None, terms=()), method=fit.method)
    if not fit.predicts:
        return max(0.0, 100.0 * (1.0 - fit.H2 / null.H2)) if null.H2 > 0 else 0.0
    if not null.tau2 or fit.tau2 is None:
        return 0.0
    return max(0.0, 100.0 * (null.tau2 - fit.tau2) / null.tau2)


def _tau2(method: str, model: Model, weights: Array | None) -> float:
    if method != "GENQ":
        return TAU2_ESTIMATORS[method].finite(model)
    if weights is None:
        raise ModelError("method='GENQ' needs weights=[...], one positive number per study (1/v gives DL, all 1 HE).")
    return generalised_tau2(model, weights[model.order])


def _coefficients(model: Model, null: At, tau2: float, rule: str) -> tuple[Array, Array]:
    at = null if tau2 == 0.0 else model.at(tau2)
    return at.beta, at.bread * (model.scale * model.scale * _factor(at, model, rule))


def _fixed_weights(model: Model, weights: Array, tau2: float, rule: str) -> tuple[Array, Array]:
    if rule not in ("wald", "t"):
        raise ModelError(f"ci={rule!r} assumes inverse-variance weights; with weights=... use ci='wald' or 't'.")
    beta, vcov = weighted_coefficients(model, weights[model.order], tau2)
    return beta, vcov * model.scale**2


def _check_effects(effects: object) -> None:
    if not isinstance(effects, EffectSizes):
        raise DataError(
            f"pool takes EffectSizes, but was given {type(effects).__name__}. "
            "Use bm.effect_sizes(data, measure=...) first, or bm.EffectSizes(yi=..., sei=...)."
        )
    find_measure(effects.measure)
    effects.check_independent("pool")


def _check(method: str, ci: str, level: float, prediction: str) -> str:
    for name, given in (("method", method), ("ci", ci), ("prediction", prediction)):
        if not isinstance(given, str):
            raise ModelError(f"{name} is {given!r}: it must be a text, e.g. method='DL', ci='wald'.")
    if method not in TAU2_ESTIMATORS and method != "GENQ":
        raise unknown("tau2 method", method, [*TAU2_ESTIMATORS, "GENQ"])
    rule = _SPELLINGS.get(ci, ci)
    if rule not in CI_RULES:
        raise unknown("confidence interval rule", ci, CI_RULES)
    if prediction not in PREDICTION_REFERENCES:
        raise unknown("prediction rule", prediction, PREDICTION_REFERENCES)
    if isinstance(level, str) or not 0.0 < level < 1.0:
        raise ModelError(f"level is {level!r}; it is a coverage strictly between 0 and 1, e.g. 0.95 for 95%.")
    return rule


def _model(effects: EffectSizes, rule: str, intercept: bool) -> Model:
    assert effects.X is not None
    k, p = effects.X.shape
    if p > 1 or not intercept:
        check_design(effects)
    if k == p == 1:
        if rule != "wald":
            raise ModelError(
                f"ci={rule!r} needs at least two studies (t with k - 1 = 0 degrees of freedom). "
                "With one study use ci='wald'."
            )
    elif k <= p:
        raise DataError(
            f"{k} studies cannot support {p} coefficients ({', '.join(effects.terms)}): "
            f"there must be more studies than coefficients. Use fewer moderators."
        )
    return normal_form(effects, intercept)


def _factor(at: At, model: Model, rule: str) -> float:
    if rule in ("wald", "t"):
        return 1.0
    factor = at.Q / model.df
    if rule == "adhoc":
        return max(1.0, factor)
    magnitude = float(np.abs(model.y).max()) + abs(model.shift) / model.scale
    if float(np.abs(at.residual).max()) <= _ROUNDING * magnitude:
        raise ConvergenceError(
            "The Hartung-Knapp-Sidik-Jonkman standard error is 0: all effects are equal (or fitted exactly), "
            "so their scatter says nothing about precision. Use ci='adhoc' (never narrower than Wald) or ci='wald'."
        )
    return factor


def _i2_h2(model: Model, null: At, tau2: float, *, common: bool) -> tuple[float, float]:
    if model.df == 0:
        return 0.0, 1.0
    if common:
        return (max(0.0, 100.0 * (null.Q - model.df) / null.Q) if null.Q > 0 else 0.0), null.Q / model.df
    typical = typical_variance(model, null)
    return 100.0 * tau2 / (typical + tau2), tau2 / typical + 1.0


def _require_finite(method: str, beta: Array, vcov: Array) -> None:
    if not (all(map(isfinite, beta.tolist())) and isfinite(float(vcov.sum()))):
        raise ConvergenceError(
            f"{method} gave a result that is not finite: the effects or variances exceed what double precision "
            "can hold. Check yi and sei for a unit error, or rescale the outcome."
        )
