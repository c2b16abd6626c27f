"""Prediction intervals for the true effect of a new study, by named rule."""

from math import sqrt
from typing import TYPE_CHECKING

from bayesmeta.errors import unknown
from bayesmeta.frequentist.result import PREDICTION_REFERENCES, PooledFit, quantile
from bayesmeta.values import Interval

if TYPE_CHECKING:
    from bayesmeta.frequentist.result import PredictionRule


def prediction_interval(fit: PooledFit, rule: "PredictionRule" = "metafor") -> Interval | None:
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
    df, se = fit.df, fit.se
    if rule in ("hts", "riley"):
        df = fit.Q_df - 1
    elif rule == "hksj":
        from bayesmeta.frequentist.pool import hksj_vcov

        df, se = fit.Q_df, sqrt(hksj_vcov(fit.effects, fit.tau2)[0, 0])
    if df is not None and df < 1:
        return None
    half = quantile(fit.level, df) * sqrt(se**2 + fit.tau2)
    return Interval(fit.mu - half, fit.mu + half, fit.level, "prediction", _describe(rule, df))


def _describe(rule: str, df: int | None) -> str:
    return f"{rule} ({'normal' if df is None else f't, {df} df'})"
