"""Prediction intervals for the true effect of a new study, by named rule."""

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.errors import DataError, unknown
from bayesmeta.frequentist.normal_form import hksj_vcov
from bayesmeta.frequentist.significance import quantile
from bayesmeta.values import Array, Interval

if TYPE_CHECKING:
    import pandas as pd

    from bayesmeta.frequentist.result import PooledFit

type PredictionRule = Literal["metafor", "hts", "hksj", "riley"]

PREDICTION_REFERENCES: dict[str, str] = {
    "metafor": "the quantile of the confidence interval, with sqrt(se^2 + tau2)",
    "hts": "Higgins, Thompson & Spiegelhalter (2009), J. R. Stat. Soc. A 172:137-159: t with k - p - 1 df",
    "riley": "Riley, Higgins & Deeks (2011), BMJ 342:d549: t with k - p - 1 df",
    "hksj": "Partlett & Riley (2017), Stat. Med. 36:301-317: t with k - p df and the Hartung-Knapp standard error",
}


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Predicted effects at rows of moderator values, each field ``(n,)``; prediction limits are None without tau2."""

    estimate: Array
    se: Array
    ci_low: Array
    ci_high: Array
    prediction_low: Array | None
    prediction_high: Array | None
    level: float
    rule: str

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row a prediction."""
        import pandas as pd

        names = ("estimate", "se", "ci_low", "ci_high", "prediction_low", "prediction_high")
        return pd.DataFrame({name: getattr(self, name) for name in names})


def prediction_interval(fit: "PooledFit", rule: PredictionRule = "metafor") -> Interval | None:
    r"""Return the prediction interval of a random-effects fit, or None where the rule has no interval.

    Every rule is :math:`\hat\mu \pm c \sqrt{se^2 + \hat\tau^2}`.

    Parameters
    ----------
    fit
        A random-effects fit with an intercept.
    rule
        ``"metafor"``: c is the quantile of the fit's confidence interval (normal for Wald, t with
        ``k - p`` df otherwise). ``"hts"`` and ``"riley"``: t with ``k - p - 1`` df, which needs
        ``k >= p + 2``. ``"hksj"``: t with ``k - p`` df and the Hartung-Knapp standard error.

    Raises
    ------
    ModelError
        If `rule` is unknown.

    References
    ----------
    Higgins, Thompson & Spiegelhalter (2009), J. R. Stat. Soc. A 172:137-159.
    Partlett & Riley (2017), Stat. Med. 36:301-317.
    """
    if rule not in PREDICTION_REFERENCES:
        raise unknown("prediction rule", rule, PREDICTION_REFERENCES)
    if fit.tau2 is None or not fit.predicts:
        return None
    df, vcov = _reference_distribution(fit, rule, fit.tau2)
    if df is not None and df < 1:
        return None
    half = quantile(fit.level, df) * sqrt(vcov[0, 0] + fit.tau2)
    return Interval(fit.mu - half, fit.mu + half, fit.level, "prediction", _describe(rule, df))


def _describe(rule: str, df: int | None) -> str:
    return f"{rule} ({'normal' if df is None else f't, {df} df'})"


def _reference_distribution(fit: "PooledFit", rule: str, tau2: float) -> tuple[int | None, Array]:
    if rule == "hksj":
        return fit.Q_df, hksj_vcov(fit.effects, tau2)
    return (fit.Q_df - 1 if rule in ("hts", "riley") else fit.df), fit.vcov


def predict_rows(fit: "PooledFit", X: ArrayLike) -> Predictions:
    """Return the predictions of `fit` at rows `X`; see :meth:`PooledFit.predict`."""
    rows = np.atleast_2d(np.asarray(X, dtype=float))
    if rows.shape[1] == fit.p - 1 and fit.intercept:
        rows = np.column_stack([np.ones(len(rows)), rows])
    if rows.shape[1] != fit.p:
        raise DataError(
            f"X has {rows.shape[1]} columns but the model has {fit.p} terms: "
            f"give {', '.join(fit.terms)}, one row a prediction."
        )
    center = rows @ fit.beta
    variance = np.einsum("ij,jk,ik->i", rows, fit.vcov, rows)
    half = quantile(fit.level, fit.df) * np.sqrt(variance)
    low = high = None
    rule = ""
    if fit.tau2 is not None and fit.predicts:
        df, vcov = _reference_distribution(fit, fit.prediction_rule, fit.tau2)
        if df is None or df >= 1:
            spread = quantile(fit.level, df) * np.sqrt(np.einsum("ij,jk,ik->i", rows, vcov, rows) + fit.tau2)
            low, high, rule = center - spread, center + spread, _describe(fit.prediction_rule, df)
    return Predictions(center, np.sqrt(variance), center - half, center + half, low, high, fit.level, rule)
