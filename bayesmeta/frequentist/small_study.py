"""What every small-study method shares: cautions, one weighted regression line, and the printed block."""

from dataclasses import dataclass, replace
from math import sqrt
from typing import Literal

import numpy as np

from bayesmeta.errors import DataError, ModelError, unknown
from bayesmeta.frequentist.normal_form import has_intercept
from bayesmeta.frequentist.pool import CiRule, pool
from bayesmeta.frequentist.significance import quantile, two_sided
from bayesmeta.frequentist.tau2 import DEFAULT_ESTIMATOR
from bayesmeta.gaussian.weighted import regression_model
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array, Interval

type LineModel = Literal["lm", "rma"]

MINIMUM_K = 10
"""Fewest studies for a test of funnel asymmetry: Sterne et al. (2011), BMJ 343:d4002."""

LINE_MODELS: dict[str, str] = {
    "lm": "weighted regression, multiplicative dispersion",
    "rma": "mixed-effects meta-regression, additive heterogeneity",
}
_EXACT_FIT = 1e-13
"""Residuals below this fraction of the spread of the effects are rounding error, not scatter."""


def few_studies(k: int, *, minimum: int = MINIMUM_K) -> str:
    """Return the sentence that says whether there are enough studies for a test of asymmetry."""
    if k < minimum:
        return (
            f"Do not rely on this: there are {k} studies, and with fewer than {minimum} the power is too low to tell "
            "chance from real asymmetry (Sterne et al. 2011, BMJ 343:d4002)."
        )
    return (
        f"Not for fewer than {minimum} studies (here {k}), nor when they are all of similar size "
        "(Sterne et al. 2011, BMJ 343:d4002)."
    )


ASYMMETRY_IS_NOT_BIAS = (
    "Asymmetry is not proof of publication bias: heterogeneity, poor small studies, the effect measure and chance "
    "cause it too; a large p-value does not rule bias out."
)


def require_one_mean(effects: EffectSizes, what: str) -> None:
    """Raise a DataError when `effects` carry moderators, which `what` cannot use."""
    assert effects.X is not None
    effects.check_independent(what)
    if effects.X.shape[1] > 1 or not has_intercept(effects):
        raise DataError(
            f"{what} has no version with moderators (here {', '.join(effects.terms)}). "
            "Give the effect sizes without X, or use egger(), which keeps the moderators beside its predictor."
        )


def check_level(level: float) -> None:
    """Raise a ModelError unless `level` is a coverage."""
    if not 0.0 < level < 1.0:
        raise ModelError(f"level is {level!r}; it is a coverage strictly between 0 and 1, e.g. 0.95 for 95%.")


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A regression of effects on a measure of study size, in the fields every test of asymmetry reports.

    Parameters
    ----------
    model
        ``"lm"`` (multiplicative dispersion) or ``"rma"`` (additive heterogeneity).
    slope, slope_se
        Coefficient of the predictor, per unit of it.
    intercept, intercept_se
        Effect where the predictor (and every moderator) is 0; None where the design has no intercept.
    df
        Degrees of freedom of t; None where the test is normal.
    dispersion
        Residual mean square (``"lm"``); None for ``"rma"``.
    tau2
        Residual heterogeneity (``"rma"``); None for ``"lm"``.
    """

    model: str
    method: str | None
    ci_rule: str
    slope: float
    slope_se: float
    intercept: float | None
    intercept_se: float | None
    df: int | None
    dispersion: float | None
    tau2: float | None
    reference: str

    @property
    def statistic(self) -> float:
        """z or t statistic of the slope."""
        return self.slope / self.slope_se

    @property
    def p_value(self) -> float:
        """Two-sided p-value of the slope."""
        return two_sided(self.statistic, self.df)

    @property
    def intercept_p(self) -> float | None:
        """Two-sided p-value of the intercept."""
        if self.intercept is None or self.intercept_se is None:
            return None
        return two_sided(self.intercept / self.intercept_se, self.df)

    def slope_ci(self, level: float) -> Interval:
        """Return the confidence interval of the slope."""
        half = quantile(level, self.df) * self.slope_se
        return Interval(self.slope - half, self.slope + half, level, "confidence", self.ci_rule)

    def intercept_ci(self, level: float) -> Interval | None:
        """Return the confidence interval of the intercept."""
        if self.intercept is None or self.intercept_se is None:
            return None
        half = quantile(level, self.df) * self.intercept_se
        return Interval(self.intercept - half, self.intercept + half, level, "confidence", self.ci_rule)


def fit_line(
    effects: EffectSizes,
    x: Array,
    name: str,
    *,
    model: LineModel = "lm",
    method: str = DEFAULT_ESTIMATOR,
    ci: CiRule = "wald",
    what: str = "This test",
) -> Line:
    """Return the regression of the effects on `x` beside the moderators they already carry.

    Parameters
    ----------
    effects
        ``k`` effects; ``effects.X`` is kept and `x` added as its last column.
    x
        ``(k,)`` predictor, any unit.
    name
        What `x` is, for messages.
    model
        ``"lm"`` or ``"rma"``, see :data:`LINE_MODELS`.
    method, ci
        tau2 estimator and interval rule, used by ``"rma"`` only.

    Raises
    ------
    DataError
        If there are too few studies, the predictor does not vary, or no scatter is left to test against.
    ModelError
        If `model`, `method` or `ci` is unknown.
    """
    if model not in LINE_MODELS:
        raise unknown("model", model, LINE_MODELS)
    assert effects.X is not None
    need = effects.X.shape[1] + 2
    if effects.k < need:
        raise DataError(
            f"{what} needs at least {need} studies to fit a line and judge it; there are {effects.k}. "
            "With so few studies asymmetry cannot be assessed."
        )
    _require_variation(effects, x, name, what)
    design = replace(effects, X=np.column_stack([effects.X, x]), terms=(*effects.terms, name))
    if model == "lm":
        return _dispersion_line(design, what)
    fit = pool(design, method=method, ci=ci)
    se = fit.beta_se
    return Line(
        model="rma",
        method=method,
        ci_rule=fit.ci_rule,
        slope=float(fit.beta[-1]),
        slope_se=float(se[-1]),
        intercept=fit.mu if fit.intercept else None,
        intercept_se=fit.se if fit.intercept else None,
        df=fit.df,
        dispersion=None,
        tau2=fit.tau2,
        reference=fit.reference,
    )


def _require_variation(effects: EffectSizes, x: Array, name: str, what: str) -> None:
    assert effects.X is not None
    # Judged against x itself, unweighted: 1e-9 leaves seven digits of the slope.
    residual = x - effects.X @ np.linalg.lstsq(effects.X, x, rcond=None)[0]
    if not np.linalg.norm(residual) > 1e-9 * np.linalg.norm(x):
        alone = effects.X.shape[1] == 1
        raise DataError(
            f"{what} needs a {name} that differs between studies; here "
            + (f"all {effects.k} studies have {name} {x[0]:g}" if alone else f"the moderators determine the {name}")
            + ". Small studies cannot be told from large ones, so asymmetry cannot be assessed."
        )


def _dispersion_line(design: EffectSizes, what: str) -> Line:
    """Weighted least squares with weights ``1 / vi`` and an estimated residual scale."""
    assert design.X is not None
    constant = has_intercept(design)
    form = regression_model(design.yi, design.vi, design.X, intercept=constant)
    at = form.at(0.0)
    spread = float(np.sqrt((form.y**2 / form.v).sum()))
    if (_EXACT_FIT * spread) ** 2 >= at.Q:
        raise DataError(
            f"{what} compares the slope with the scatter about the line, and there is none: the {design.k} effects lie "
            "exactly on it. Use model='rma', whose standard errors come from sei."
        )
    dispersion = at.Q / form.df
    beta = at.beta * form.scale
    se = np.sqrt(dispersion * np.diag(at.bread)) * form.scale
    return Line(
        model="lm",
        method=None,
        ci_rule="t",
        slope=float(beta[-1]),
        slope_se=float(se[-1]),
        intercept=float(beta[0]) + form.shift if constant else None,
        intercept_se=float(se[0]) if constant else None,
        df=form.df,
        dispersion=dispersion,
        tau2=None,
        reference="",
    )


def statistic_text(statistic: float, df: int | None) -> str:
    """Return ``"z = 1.23"`` or ``"t(11) = 1.23"``."""
    return f"z = {statistic:.4g}" if df is None else f"t({df}) = {statistic:.4g}"


def interval_text(interval: Interval) -> str:
    """Return ``"95% confidence interval 0.1 to 0.9"``."""
    return f"{100 * interval.level:g}% {interval.kind} interval {interval.low:.4g} to {interval.high:.4g}"


def block(title: str, lines: list[str], *, notes: tuple[str, ...] = (), caution: str = "", reference: str = "") -> str:
    """Return one readable block: title, indented lines, notes, caution, reference."""
    text = [title, *(f"  {line}" for line in lines), *(f"  Note: {note}" for note in notes)]
    if caution:
        text.append(f"  Caution: {caution}")
    if reference:
        text.append(f"  Reference: {reference}")
    return "\n".join(text)


def sqrt_or_none(variance: float) -> float | None:
    """Return the square root of a variance, or None where its formula went below zero."""
    return sqrt(variance) if variance >= 0 else None
