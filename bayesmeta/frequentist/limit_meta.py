"""Limit meta-analysis: the effect that studies would show if all their sampling errors went to zero."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtrc

from bayesmeta.errors import DataError
from bayesmeta.frequentist.pool import pool
from bayesmeta.frequentist.printing import p_text
from bayesmeta.frequentist.significance import quantile
from bayesmeta.frequentist.small_study import block, check_level, few_studies, interval_text, require_one_mean
from bayesmeta.frequentist.tau2 import DEFAULT_ESTIMATOR
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array, Interval, frozen_array

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = "Rücker, Schwarzer, Carpenter, Binder & Schumacher (2011), Biostatistics 12:122-142."


@dataclass(frozen=True, slots=True, eq=False)
class LimitMeta:
    """The limit estimate, beside the pooled effect without adjustment.

    Parameters
    ----------
    mu, se, ci
        Expectation ``beta + tau alpha`` of a study without sampling error, analysis scale, and its normal interval.
    alpha, beta
        Small-study slope and intercept: ``y_i = beta + sqrt(v_i + tau2) (alpha + e_i)``, e_i standard normal.
    tau2
        Heterogeneity, from the analysis without adjustment.
    theta
        ``(k,)`` the studies' effects if their sampling errors went to zero.
    Q, Q_small, Q_small_p, Q_residual, Q_residual_p
        Cochran's Q, its part due to small-study effects (1 df) and what is left (``k - 2`` df).
    G2
        Share of the variation of the limit effects that no small-study effect explains, 0 to 1; None where the limit
        effects do not vary (tau2 = 0).
    mu_unadjusted, ci_unadjusted
        The random-effects estimate.
    """

    measure: str
    study: tuple[str, ...]
    mu: float
    se: float
    ci: Interval
    alpha: float
    beta: float
    tau2: float
    theta: Array
    Q: float
    Q_small: float
    Q_small_p: float
    Q_residual: float
    Q_residual_p: float
    G2: float | None
    mu_unadjusted: float
    ci_unadjusted: Interval
    method: str
    caution: str
    reference: str = REFERENCE

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(self.study)

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame with the unadjusted and the adjusted row."""
        import pandas as pd

        rows = [("none", self.mu_unadjusted, self.ci_unadjusted), ("limit", self.mu, self.ci)]
        names = ("adjustment", "mu", "ci_low", "ci_high")
        return pd.DataFrame([dict(zip(names, (w, m, c.low, c.high), strict=True)) for w, m, c in rows])

    def __str__(self) -> str:
        lines = [
            f"unadjusted ({self.method}): mu = {self.mu_unadjusted:.4f}, {interval_text(self.ci_unadjusted)}, "
            f"tau2 = {self.tau2:.4f}",
            f"as sampling errors go to zero: mu = {self.mu:.4f}, {interval_text(self.ci)}",
            f"small-study effects: Q = {self.Q_small:.4f} (df 1), p {p_text(self.Q_small_p)}; "
            f"left: Q = {self.Q_residual:.4f} (df {self.k - 2}), p {p_text(self.Q_residual_p)}",
        ]
        if self.G2 is not None:
            lines.append(f"G2 = {100.0 * self.G2:.1f}% of the limit effects' variation is no small-study effect")
        return block(
            f"Limit meta-analysis, k = {self.k}, measure {self.measure}",
            lines,
            caution=self.caution,
            reference=self.reference,
        )


def limit_meta(effects: EffectSizes, *, method: str = DEFAULT_ESTIMATOR, level: float = 0.95) -> LimitMeta:
    r"""Estimate the effect that remains when the studies' sampling errors are supposed to vanish.

    The effects are regressed on :math:`\sqrt{v_i + \tau^2}` with weights :math:`1 / (v_i + \tau^2)`. A study without
    sampling error still differs by tau, so that its expectation is :math:`\beta + \tau\alpha`. The standard error is
    that of this combination given tau, from the regression with residual variance 1; the R package metasens reports
    the one of a slope alone instead, :math:`1 / (\mathrm{sd}(1/s_i) \sqrt{k-1})`.

    Parameters
    ----------
    effects
        At least 3 independent effects on the analysis scale, without moderators, of different standard errors.
    method
        Estimator of tau2, as in :func:`pool`.
    level
        Coverage of the intervals.

    Raises
    ------
    DataError
        With fewer than 3 studies, equal standard errors, several rows a study, or moderators.
    ModelError
        If an option is unknown.

    References
    ----------
    Rücker, Schwarzer, Carpenter, Binder & Schumacher (2011), Biostatistics 12:122-142.
    """
    check_level(level)
    require_one_mean(effects, "Limit meta-analysis")
    if effects.k < 3:
        raise DataError(f"Limit meta-analysis needs at least 3 studies; there are {effects.k}.")
    if not np.ptp(effects.sei) > 1e-9 * float(effects.sei.max()):
        raise DataError("All studies have the same standard error: nothing can be extrapolated to a smaller one.")
    plain = pool(effects, method=method, level=level)
    tau2 = plain.tau2 or 0.0
    total = effects.vi + tau2
    (alpha, beta), covariance, _ = _radial_line(effects.yi, total)
    tau = float(np.sqrt(tau2))
    combine = np.array([tau, 1.0])
    mu, se = beta + tau * alpha, float(np.sqrt(combine @ covariance @ combine))
    half = quantile(level, None) * se
    theta = beta + np.sqrt(tau2 / total) * (effects.yi - beta)
    _, _, Q_residual = _radial_line(effects.yi, effects.vi)
    w = 1.0 / effects.vi
    Q = float(w @ (effects.yi - w @ effects.yi / w.sum()) ** 2)
    Q_small = max(Q - Q_residual, 0.0)
    return LimitMeta(
        measure=effects.measure,
        study=effects.study,
        mu=mu,
        se=se,
        ci=Interval(mu - half, mu + half, level, "confidence", "wald"),
        alpha=alpha,
        beta=beta,
        tau2=tau2,
        theta=frozen_array(theta),
        Q=Q,
        Q_small=Q_small,
        Q_small_p=float(chdtrc(1, Q_small)),
        Q_residual=Q_residual,
        Q_residual_p=float(chdtrc(effects.k - 2, Q_residual)),
        G2=_unexplained(theta, effects.vi) if tau2 > 0.0 else None,
        mu_unadjusted=plain.mu,
        ci_unadjusted=plain.ci,
        method=method,
        caution="It takes whatever changes with study size for bias, a real difference of small studies too. "
        + few_studies(effects.k),
    )


def _radial_line(yi: Array, vi: Array) -> tuple[tuple[float, float], Array, float]:
    """Return (slope, intercept) of `yi` on the root of `vi`, their covariance at residual variance 1, and Q."""
    root = np.sqrt(vi)
    X = np.column_stack([np.ones_like(root), 1.0 / root])
    coefficients, *_ = np.linalg.lstsq(X, yi / root, rcond=None)
    residual = yi / root - X @ coefficients
    return (float(coefficients[0]), float(coefficients[1])), np.linalg.inv(X.T @ X), float(residual @ residual)


def _unexplained(theta: Array, vi: Array) -> float:
    """Return one minus R squared of the radial plot of the limit effects with their own standard errors."""
    y = theta / np.sqrt(vi)
    *_, left = _radial_line(theta, vi)
    return left / float(((y - y.mean()) ** 2).sum())
