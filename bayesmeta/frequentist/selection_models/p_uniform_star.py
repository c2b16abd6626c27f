"""p-uniform*: effects and heterogeneity from each result given that it is significant, or given that it is not."""

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.special import chdtrc, chdtri, log_ndtr, ndtri

from bayesmeta.errors import DataError, unknown
from bayesmeta.frequentist.printing import p_text
from bayesmeta.frequentist.selection_models.maximise import Maximum, SelectedEffects
from bayesmeta.frequentist.small_study import block, check_level, interval_text, require_one_mean
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array, Interval

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = "van Aert & van Assen (2026), Psychon. Bull. Rev. 33, doi:10.3758/s13423-025-02812-4."
_CUT = float(-ndtri(0.025))
_FEWEST = 3
"""With fewer significant results, or fewer others, the conditional likelihood says next to nothing of mu."""


@dataclass(frozen=True, slots=True, eq=False)
class GivenSignificance:
    """The "weights" of p-uniform*: a result is conditioned on its own side of the cut, so that none is estimated.

    Parameters
    ----------
    significant
        ``(k,)`` whether each result lies beyond the cut.
    """

    significant: NDArray[np.bool_]

    @property
    def starts(self) -> tuple[tuple[float, ...], ...]:
        """No free parameters."""
        return ((),)

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """No free parameters."""
        return ()

    def delta(self, free: Array) -> Array:
        """No weights."""
        return free

    def log_weight(self, free: Array) -> float:
        """No weights."""
        del free
        return 0.0

    def log_normaliser(self, free: Array, mean: Array, sd: Array) -> Array:
        """Return ``(k,)`` logs of the chance of the side a result lies on, for z ~ N(mean, sd^2)."""
        del free
        beyond = (mean - _CUT) / sd
        return np.asarray(log_ndtr(np.where(self.significant, beyond, -beyond)))


@dataclass(frozen=True, slots=True, eq=False)
class PUniformStar:
    """The estimate of p-uniform*, beside the same model without conditioning.

    Parameters
    ----------
    side
        The direction in which significant results are favoured.
    mu, tau2
        Mean and variance of the true effects, analysis scale.
    ci, tau2_ci
        Their profile likelihood intervals.
    LRT, p_value
        Likelihood ratio of mu = 0 and its p-value, two-sided.
    tau2_LRT, tau2_p
        Likelihood ratio of tau2 = 0 and its p-value, half that of chi-squared(1).
    significant
        Number of results beyond z = 1.96 in the favoured direction.
    mu_unadjusted, tau2_unadjusted, ci_unadjusted
        The same by maximum likelihood without conditioning.
    """

    side: str
    measure: str
    k: int
    significant: int
    mu: float
    ci: Interval
    tau2: float
    tau2_ci: Interval
    LRT: float
    p_value: float
    tau2_LRT: float
    tau2_p: float
    loglik: float
    mu_unadjusted: float
    tau2_unadjusted: float
    ci_unadjusted: Interval
    reference: str = REFERENCE

    @property
    def tau(self) -> float:
        """Standard deviation of the true effects."""
        return sqrt(self.tau2)

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame with the unadjusted and the adjusted row."""
        import pandas as pd

        rows = [
            ("none", self.mu_unadjusted, self.ci_unadjusted, self.tau2_unadjusted),
            ("p-uniform*", self.mu, self.ci, self.tau2),
        ]
        names = ("selection", "mu", "ci_low", "ci_high", "tau2")
        return pd.DataFrame([dict(zip(names, (w, m, c.low, c.high, t), strict=True)) for w, m, c, t in rows])

    def __str__(self) -> str:
        lines = [
            f"unadjusted: mu = {self.mu_unadjusted:.4f}, {interval_text(self.ci_unadjusted)}, "
            f"tau2 = {self.tau2_unadjusted:.4f}",
            f"p-uniform*: mu = {self.mu:.4f}, {interval_text(self.ci)}, tau2 = {self.tau2:.4f}, "
            f"{interval_text(self.tau2_ci)}",
            f"mu = 0: chi-squared(1) = {self.LRT:.4f}, p {p_text(self.p_value)}; "
            f"tau2 = 0: {self.tau2_LRT:.4f}, p {p_text(self.tau2_p)}",
            f"{self.significant} of {self.k} results significant and {self.side} than 0",
        ]
        caution = (
            "It supposes that all significant results are equally likely to be reported, and all others equally likely "
            "too. With strong heterogeneity or few results on one side it is imprecise."
        )
        return block(
            f"p-uniform*, k = {self.k}, measure {self.measure}", lines, caution=caution, reference=self.reference
        )


def p_uniform_star(effects: EffectSizes, *, side: Literal["greater", "less"], level: float = 0.95) -> PUniformStar:
    """Estimate the mean and the variance of the true effects given on which side of significance each result lies.

    Parameters
    ----------
    effects
        Independent effects on the analysis scale, without moderators; at least 3 of them significant (one-sided
        p below 0.025) in the favoured direction.
    side
        Whether significant results ``"greater"`` or ``"less"`` than 0 are favoured. It has no default.
    level
        Coverage of the profile likelihood intervals.

    Raises
    ------
    DataError
        With fewer than 3 significant results, several rows a study, or moderators.
    ModelError
        If an option is unknown.
    ConvergenceError
        If no maximum is found.

    References
    ----------
    van Aert & van Assen (2026), Psychon. Bull. Rev. 33, doi:10.3758/s13423-025-02812-4.
    """
    check_level(level)
    require_one_mean(effects, "p-uniform*")
    if side not in ("greater", "less"):
        raise unknown("side", side, ("greater", "less"))
    sign = 1.0 if side == "greater" else -1.0
    yi = sign * effects.yi
    significant = yi / effects.sei >= _CUT
    count = int(significant.sum())
    if count < _FEWEST:
        raise DataError(
            f"p-uniform* needs at least {_FEWEST} results that are significant and {side} than 0; there "
            f"{'is' if count == 1 else 'are'} {count} of {effects.k}. With so few its estimate can lie anywhere: use "
            "publication_ratio(), which bounds instead of estimating."
        )
    drop = 0.5 * float(chdtri(1, 1.0 - level))
    model = SelectedEffects(yi, effects.sei, GivenSignificance(significant), common=False)
    plain = SelectedEffects(yi, effects.sei, None, common=False)
    at, unadjusted = model.maximum(), plain.maximum()
    none = model.maximum(mu=0.0)
    LRT = 2.0 * (at.loglik - none.loglik)
    tau2_LRT = 2.0 * (at.loglik - _profile(model, 0.0, at))
    return PUniformStar(
        side=side,
        measure=effects.measure,
        k=effects.k,
        significant=count,
        mu=sign * at.mu,
        ci=_mu_interval(model, at, drop, sign, level),
        tau2=at.tau2,
        tau2_ci=_tau2_interval(model, at, drop, level),
        LRT=LRT,
        p_value=float(chdtrc(1, max(LRT, 0.0))),
        tau2_LRT=tau2_LRT,
        tau2_p=0.5 * float(chdtrc(1, max(tau2_LRT, 0.0))),
        loglik=at.loglik,
        mu_unadjusted=sign * unadjusted.mu,
        tau2_unadjusted=unadjusted.tau2,
        ci_unadjusted=_mu_interval(plain, unadjusted, drop, sign, level),
    )


def _mu_interval(model: SelectedEffects, at: Maximum, drop: float, sign: float, level: float) -> Interval:
    low, high = sorted(sign * m for m in model.profile_interval(at, drop))
    return Interval(low, high, level, "confidence", "profile likelihood")


def _profile(model: SelectedEffects, tau2: float, at: Maximum) -> float:
    """Return the log likelihood at `tau2`, maximised over mu."""
    step = float(1.0 / np.sqrt((1.0 / (model.sei**2 + tau2)).sum()))
    found = minimize_scalar(
        lambda mu: -model.loglik(mu, tau2, at.free), bracket=(at.mu - step, at.mu + step), options={"xtol": 1e-10}
    )
    return -float(found.fun)


def _tau2_interval(model: SelectedEffects, at: Maximum, drop: float, level: float) -> Interval:
    """Return where the profile of tau2 lies `drop` below the maximum; 0 below where it does not fall so far."""

    def fall(tau2: float) -> float:
        return at.loglik - _profile(model, tau2, at) - drop

    low = brentq(fall, 0.0, at.tau2, xtol=1e-10) if at.tau2 > 0.0 and fall(0.0) > 0.0 else 0.0
    high = max(at.tau2, float(np.median(model.sei)) ** 2)
    for _ in range(60):
        if fall(high) > 0.0:
            return Interval(
                float(low), float(brentq(fall, at.tau2, high, xtol=1e-10)), level, "confidence", "profile likelihood"
            )
        high *= 2.0
    return Interval(float(low), np.inf, level, "confidence", "profile likelihood")
