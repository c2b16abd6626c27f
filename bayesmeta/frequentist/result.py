"""The result of a classical pooled analysis: one frozen value for every method."""

from dataclasses import dataclass, field
from functools import cached_property
from math import exp, sqrt
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import chdtrc, fdtrc, ndtr, ndtri, stdtr, stdtrit

from bayesmeta.errors import ModelError
from bayesmeta.studies import RATIO_MEASURES, EffectSizes
from bayesmeta.values import Array, Interval

if TYPE_CHECKING:
    import pandas as pd

type PredictionRule = Literal["metafor", "hts", "hksj", "riley"]

PREDICTION_REFERENCES: dict[str, str] = {
    "metafor": "the quantile of the confidence interval, with sqrt(se^2 + tau2)",
    "hts": "Higgins, Thompson & Spiegelhalter (2009), J. R. Stat. Soc. A 172:137-159: t with k - p - 1 df",
    "riley": "Riley, Higgins & Deeks (2011), BMJ 342:d549: t with k - p - 1 df",
    "hksj": "Partlett & Riley (2017), Stat. Med. 36:301-317: t with k - p df and the Hartung-Knapp standard error",
}


def quantile(level: float, df: int | None) -> float:
    """Return the two-sided critical value at `level`: normal when `df` is None, else Student's t."""
    upper = 0.5 + level / 2.0
    return float(ndtri(upper) if df is None else stdtrit(df, upper))


def two_sided(statistic: float, df: int | None) -> float:
    """Return the two-sided p-value of a normal (`df` None) or t statistic."""
    return float(2.0 * (ndtr(-abs(statistic)) if df is None else stdtr(df, -abs(statistic))))


def chi2_p(statistic: float, df: int) -> float:
    """Return the upper tail of chi-squared; 1 when there are no degrees of freedom."""
    return float(chdtrc(df, max(statistic, 0.0))) if df > 0 else 1.0


@dataclass(frozen=True, eq=False)
class PooledFit:
    """A classical pooled estimate or meta-regression, on the analysis scale, with its heterogeneity.

    ``I2`` and ``weights`` are in percent. Absent quantities are None, never 0 or NaN; a tau2 that the
    method fixes at zero (common effect, ``k = 1``) is 0 and `notes` say so.

    Parameters
    ----------
    method
        Name of the tau2 estimator (``"DL"``, ...) or of the pooling method (``"MH"``, ``"Peto"``).
    ci_rule
        ``"wald"``, ``"hksj"``, ``"adhoc"`` or ``"t"``.
    beta
        ``(p,)`` coefficients; the pooled effect alone when there are no moderators.
    vcov
        ``(p, p)`` their covariance matrix, Hartung-Knapp scaling included.
    df
        Degrees of freedom of t and F tests; None where tests are normal and chi-squared.
    tau2, tau2_se
        Between-study variance and its standard error.
    Q, Q_df, Q_p
        Test for (residual) heterogeneity.
    weights
        ``(k,)`` percent, summing to 100.
    effects
        The effect sizes pooled; None for methods that pool counts directly.
    notes
        What a reader must know: studies that contribute nothing, corrections made, rules that fell away.
    """

    method: str
    ci_rule: str
    level: float
    measure: str
    study: tuple[str, ...]
    terms: tuple[str, ...]
    beta: Array
    vcov: Array
    df: int | None
    tau2: float | None
    tau2_se: float | None
    Q: float
    Q_df: int
    Q_p: float
    I2: float
    H2: float
    weights: Array
    effects: EffectSizes
    reference: str
    prediction_rule: PredictionRule = "metafor"
    predicts: bool = True
    intercept: bool = True
    notes: tuple[str, ...] = field(default=())

    # ------------------------------------------------------------------ the pooled effect

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(self.study)

    @property
    def p(self) -> int:
        """Number of coefficients."""
        return len(self.beta)

    def _require_intercept(self, name: str) -> None:
        if not self.intercept:
            raise ModelError(
                f".{name} is the intercept, and this meta-regression has none (terms: {', '.join(self.terms)}): "
                "read .beta, .beta_se and .beta_ci, or use .predict(...)."
            )

    @property
    def mu(self) -> float:
        """Pooled effect; in a meta-regression the intercept, the effect where every moderator is 0."""
        self._require_intercept("mu")
        return float(self.beta[0])

    @property
    def se(self) -> float:
        """Standard error of `mu`."""
        self._require_intercept("se")
        return sqrt(float(self.vcov[0, 0]))

    @property
    def statistic(self) -> float:
        """Test statistic of `mu` = 0: normal, or t with `df` degrees of freedom."""
        return self.mu / self.se

    @property
    def p_value(self) -> float:
        """Two-sided p-value of `mu` = 0."""
        return two_sided(self.statistic, self.df)

    @property
    def ci(self) -> Interval:
        """Confidence interval of `mu`, by `ci_rule`."""
        half = quantile(self.level, self.df) * self.se
        return Interval(self.mu - half, self.mu + half, self.level, "confidence", self.ci_rule)

    # ------------------------------------------------------------------ coefficients

    @property
    def beta_se(self) -> Array:
        """``(p,)`` standard errors of `beta`."""
        return np.sqrt(np.diag(self.vcov))

    @property
    def beta_statistic(self) -> Array:
        """``(p,)`` z or t statistics of `beta`."""
        return self.beta / self.beta_se

    @property
    def beta_p(self) -> Array:
        """``(p,)`` two-sided p-values of `beta`."""
        return np.array([two_sided(float(s), self.df) for s in self.beta_statistic])

    @property
    def beta_ci(self) -> tuple[Interval, ...]:
        """Confidence interval of each coefficient."""
        half = quantile(self.level, self.df) * self.beta_se
        return tuple(
            Interval(float(b - h), float(b + h), self.level, "confidence", self.ci_rule)
            for b, h in zip(self.beta, half, strict=True)
        )

    @property
    def QM_df(self) -> int:
        """Number of coefficients in the omnibus test: the moderators, or the intercept when it is alone."""
        return self.p - 1 if self.intercept and self.p > 1 else self.p

    @cached_property
    def QM(self) -> float:
        """Omnibus statistic: chi-squared (Wald), or F when `df` is given."""
        tested = slice(self.p - self.QM_df, self.p)
        b = self.beta[tested]
        value = float(b @ np.linalg.solve(self.vcov[tested, tested], b))
        return value if self.df is None else value / self.QM_df

    @property
    def QM_p(self) -> float:
        """p-value of `QM`."""
        if self.df is None:
            return chi2_p(self.QM, self.QM_df)
        return float(fdtrc(self.QM_df, self.df, self.QM))

    @property
    def QE(self) -> float:
        """Residual heterogeneity statistic, the same as `Q`."""
        return self.Q

    # ------------------------------------------------------------------ heterogeneity

    @property
    def tau(self) -> float | None:
        """Between-study standard deviation."""
        return None if self.tau2 is None else sqrt(self.tau2)

    @cached_property
    def tau2_ci(self) -> Interval | None:
        """Q-profile confidence interval of tau2; None for a common-effect method or fewer than two studies."""
        if self.tau2 is None or not self.predicts or self.Q_df < 1:
            return None
        from bayesmeta.frequentist.heterogeneity import tau2_interval

        return tau2_interval(self.effects, method="qprofile", level=self.level)

    def _spread(self) -> float | None:
        return None if self.tau2 is None or not self.predicts else self.tau2

    @cached_property
    def prediction(self) -> Interval | None:
        """Interval for the true effect of a new study, by `prediction_rule`; None where it does not exist."""
        tau2 = self._spread()
        if tau2 is None or not self.intercept or self.k < 2:
            return None
        from bayesmeta.frequentist.prediction import prediction_interval

        return prediction_interval(self, self.prediction_rule)

    # ------------------------------------------------------------------ output

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame with one row a coefficient, on the analysis scale."""
        import pandas as pd

        intervals = self.beta_ci
        return pd.DataFrame(
            {
                "method": self.method,
                "measure": self.measure,
                "term": list(self.terms),
                "estimate": self.beta,
                "se": self.beta_se,
                "ci_low": [i.low for i in intervals],
                "ci_high": [i.high for i in intervals],
                "ci_rule": self.ci_rule,
                "level": self.level,
                "statistic": self.beta_statistic,
                "p_value": self.beta_p,
                "tau2": self.tau2,
                "I2": self.I2,
                "H2": self.H2,
                "Q": self.Q,
                "Q_df": self.Q_df,
                "Q_p": self.Q_p,
                "k": self.k,
            }
        )

    def __str__(self) -> str:
        from bayesmeta.frequentist.printing import fit_text

        return fit_text(self)


def natural(measure: str, value: float) -> float:
    """Return `value` on the natural scale: exponentiated for ratio measures, unchanged otherwise."""
    return exp(value) if measure in RATIO_MEASURES else value
