"""The result of a classical pooled analysis: one frozen value for every method."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log, sqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import fdtrc

from bayesmeta.errors import ModelError, unknown
from bayesmeta.frequentist.heterogeneity import tau2_interval
from bayesmeta.frequentist.likelihood import log_likelihood
from bayesmeta.frequentist.normal_form import model_of
from bayesmeta.frequentist.prediction import PredictionRule, Predictions, predict_rows, prediction_interval
from bayesmeta.frequentist.printing import fit_text
from bayesmeta.frequentist.significance import Test, chi2_p, quantile, two_sided
from bayesmeta.frequentist.tau2 import tau2_standard_error
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array, Interval, Travels

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class PooledFit(Travels):
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
    tau2
        Between-study variance.
    Q, Q_df, Q_p
        Test for (residual) heterogeneity.
    weights
        ``(k,)`` percent, summing to 100.
    effects
        The effect sizes pooled; None for methods that pool counts directly.
    notes
        What a reader must know: studies that contribute nothing, corrections made, rules that fell away.
    fixed_weights
        ``(k,)`` weights that were given instead of estimated, largest 1.
    R2
        Percent of the heterogeneity (of Q/df under a common effect) that the moderators explain, at least 0; 0 where
        there is no heterogeneity to explain, None without moderators or without an intercept.
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
    notes: tuple[str, ...] = ()
    fixed_weights: Array | None = None
    R2: float | None = None

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

    def test(self, terms: Sequence[str]) -> Test:
        """Test that the coefficients named are all zero: chi-squared, or F when `df` is given.

        Raises
        ------
        ModelError
            If a term is not in the model.
        """
        for term in terms:
            if term not in self.terms:
                raise unknown("term", term, self.terms)
        which = [self.terms.index(term) for term in terms]
        b, m = self.beta[which], len(which)
        value = float(b @ np.linalg.solve(self.vcov[np.ix_(which, which)], b))
        name = " = ".join(terms) + " = 0"
        if self.df is None:
            return Test(name, value, m, chi2_p(value, m), "Wald chi-squared test")
        return Test(name, value / m, m, float(fdtrc(m, self.df, value / m)), "Wald-type F test", self.df)

    def predict(self, X: ArrayLike) -> Predictions:
        """Return the mean effect, and the range of true effects, at rows `X` of moderator values.

        Parameters
        ----------
        X
            ``(n, p)`` rows of the design, or ``(n, p - 1)`` without the column of the intercept.

        Raises
        ------
        DataError
            If the number of columns does not fit.
        """

        return predict_rows(self, X)

    @cached_property
    def log_likelihood(self) -> float:
        """Log-likelihood at the estimates; the restricted one for ``"REML"``."""

        model, restricted = model_of(self.effects), self.method == "REML"
        value = log_likelihood(model, (self.tau2 or 0.0) / model.scale / model.scale, restricted=restricted)
        return value - (model.df if restricted else model.k) * log(model.scale)

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
    def tau2_se(self) -> float | None:
        """Standard error of tau2, where the method has one."""
        if self.tau2 is None or not self.predicts:
            return None
        return tau2_standard_error(self.effects, self.method, self.tau2, self.fixed_weights)

    @cached_property
    def tau2_ci(self) -> Interval | None:
        """Q-profile confidence interval of tau2; None for a common-effect method or fewer than two studies."""
        if self.tau2 is None or not self.predicts or self.Q_df < 1:
            return None

        return tau2_interval(self.effects, method="qprofile", level=self.level)

    def _spread(self) -> float | None:
        return None if self.tau2 is None or not self.predicts else self.tau2

    @cached_property
    def prediction(self) -> Interval | None:
        """Interval for the true effect of a new study, by `prediction_rule`; None where it does not exist."""
        tau2 = self._spread()
        if tau2 is None or not self.intercept or self.k < 2:
            return None

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

        return fit_text(self)
