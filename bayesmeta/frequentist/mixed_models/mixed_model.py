"""The door to generalised linear mixed models of counts: counts in, maximum-likelihood estimate out."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from bayesmeta.effects import effect_sizes, is_ratio
from bayesmeta.errors import DataError, ModelError, unknown
from bayesmeta.frequentist.mixed_models.mixed_fits import Counted, Fitted, one_arm, two_arms
from bayesmeta.frequentist.significance import chi2_p, quantile, two_sided
from bayesmeta.gaussian.leverage import typical_variance
from bayesmeta.studies import EffectSizes, Exclusion, PersonTime, StudyTable, TwoByTwo
from bayesmeta.values import Interval
from bayesmeta.words import counted

if TYPE_CHECKING:
    import pandas as pd

MODELS = {
    "UM.FS": "unconditional, fixed study intercepts",
    "UM.RS": "unconditional, random study intercepts",
    "CM.EL": "conditional on each study's total of events, exact likelihood",
    "CM.AL": "conditional on each study's total of events, approximate (binomial) likelihood",
}
# Measures of each model; proportions and rates of one group have one model.
MEASURES_OF = {
    "UM.FS": ("OR", "RR", "IRR"),
    "UM.RS": ("OR", "RR", "IRR"),
    "CM.EL": ("OR", "IRR"),
    "CM.AL": ("OR",),
}
ONE_ARM = ("PLO", "IRLN")
POINTS = 7
REFERENCE = "Stijnen, Hamza & Özdemir (2010), Statistics in Medicine 29:3046-3067"


@dataclass(frozen=True, slots=True, eq=False)
class MixedFit:
    """A generalised linear mixed model of counts, fitted by maximum likelihood; on the analysis scale.

    Parameters
    ----------
    model, measure, method
        As asked for; the model of one-arm counts is called by its measure.
    k
        Number of studies that the estimate is made of.
    mu, se, ci
        Mean effect, its standard error with all other parameters estimated too, and the Wald interval.
    tau2
        Between-study variance; 0 under a common effect (``method="EE"``).
    sigma2
        Variance of the study intercepts of ``"UM.RS"``; None elsewhere.
    loglik
        Log likelihood at the maximum, constants of the counts' probabilities included.
    Q, Q_df, Q_p
        Likelihood-ratio test for heterogeneity: a common effect against an effect for each study.
    I2, H2
        Percent, and ratio, from tau2 and the typical sampling variance of the effect sizes (0.5 added to zero cells).
    excluded
        Studies left out, and why.
    points
        Of the Gauss-Hermite rule in each dimension; 1 is the Laplace approximation.
    """

    model: str
    measure: str
    method: str
    level: float
    k: int
    mu: float
    se: float
    ci: Interval
    tau2: float
    sigma2: float | None
    loglik: float
    Q: float
    Q_df: int
    Q_p: float
    I2: float
    H2: float
    excluded: tuple[Exclusion, ...]
    points: int
    reference: str = REFERENCE

    @property
    def tau(self) -> float:
        """Between-study standard deviation."""
        return math.sqrt(self.tau2)

    @property
    def statistic(self) -> float:
        """Wald's z of no effect (of a log odds or a log rate of 0, for one arm)."""
        return self.mu / self.se

    @property
    def p_value(self) -> float:
        """Two-sided p-value of `statistic`."""
        return two_sided(self.statistic, None)

    @property
    def prediction(self) -> Interval:
        """Interval for the true effect of a new study: normal, with the variances of mu and of true effects."""
        half = quantile(self.level, None) * math.sqrt(self.se**2 + self.tau2)
        return Interval(self.mu - half, self.mu + half, self.level, "prediction")

    def to_frame(self) -> "pd.DataFrame":
        """Return one row with every figure."""
        import pandas as pd

        names = (
            "model",
            "measure",
            "method",
            "k",
            "mu",
            "se",
            "tau2",
            "sigma2",
            "loglik",
            "Q",
            "Q_df",
            "Q_p",
            "I2",
            "H2",
        )
        row = {name: getattr(self, name) for name in names}
        return pd.DataFrame([row | {"low": self.ci.low, "high": self.ci.high, "p_value": self.p_value}])

    def __str__(self) -> str:
        natural = f" [{math.exp(self.mu):.3f}]" if is_ratio(self.measure) else ""
        interval = f"{100 * self.level:g}% confidence interval (Wald) {self.ci.low:.4f} to {self.ci.high:.4f}"
        if is_ratio(self.measure):
            interval += f" [{math.exp(self.ci.low):.3f} to {math.exp(self.ci.high):.3f}]"
        what = MODELS.get(self.model, "one arm")
        sigma = "" if self.sigma2 is None else f", sigma2 of the study intercepts = {self.sigma2:.4f}"
        lines = [
            f"Mixed model {self.model} ({what}), {self.method}: k = {self.k}, measure {self.measure}",
            f"  mu = {self.mu:.4f}{natural}, SE {self.se:.4f}, {interval}",
            f"  tau2 = {self.tau2:.4f}{sigma}, I2 = {self.I2:.1f}%, log likelihood {self.loglik:.4f}",
            f"  Likelihood-ratio test for heterogeneity: Q = {self.Q:.3f}, df {self.Q_df}, p {self.Q_p:.3f}",
        ]
        if self.excluded:
            why = self.excluded[0].reason
            lines.append(f"  Note: {counted(len(self.excluded), 'study')} left out: {why}.")
        return "\n".join([*lines, f"  Reference: {self.reference}"])

    __repr__ = __str__


def glmm(
    data: TwoByTwo | PersonTime | StudyTable | EffectSizes,
    *,
    model: str = "UM.FS",
    measure: str | None = None,
    method: Literal["ML", "EE"] = "ML",
    level: float = 0.95,
    points: int | None = None,
) -> MixedFit:
    """Return a generalised linear mixed model of counts, fitted by maximum likelihood.

    Parameters
    ----------
    data
        2x2 counts, events and person-time of two arms, or a table of them; for one arm a table, or effect sizes that
        were computed from counts.
    model
        ``"UM.FS"`` and ``"UM.RS"``: both arms' counts, with fixed or normal study intercepts, and the effect put half
        on either arm. ``"CM.EL"``: the treatment events given each study's total (noncentral hypergeometric for odds
        ratios, binomial for rate ratios). ``"CM.AL"``: its binomial approximation for rare events. One arm has one
        model.
    measure
        ``"OR"`` (when not given, of 2x2 counts), ``"RR"``, ``"IRR"`` (of person-time), ``"PLO"`` or ``"IRLN"``.
    method
        ``"ML"``, or ``"EE"``: one effect common to all studies.
    level
        Of the interval.
    points
        Of the adaptive Gauss-Hermite rule, in each dimension; 7 when not given, and 1 (the Laplace approximation) for
        the two random effects of ``"UM.RS"``, as other programs have it. More are closer to the likelihood itself.

    Raises
    ------
    DataError
        If the counts cannot be had from `data`, or no study has both events and non-events.
    ModelError
        If the model does not exist, or not for the measure.
    ConvergenceError
        If the likelihood has no maximum at finite values.

    Notes
    -----
    Studies without events, or with events only, in both arms are left out, and `excluded` names them: a conditional
    likelihood has nothing of them, and a fixed intercept goes to infinity.

    References
    ----------
    Stijnen, Hamza & Özdemir (2010), Statistics in Medicine 29:3046-3067; Jackson, Law, Stijnen, Viechtbauer & White
    (2018), Statistics in Medicine 37:1059-1085.
    """
    if method not in ("ML", "EE"):
        raise unknown("method", method, ["ML", "EE"])
    if not 0.0 < level < 1.0:
        raise ModelError(f"level is {level!r}; it is a probability strictly between 0 and 1, e.g. 0.95.")
    counts, measure = _counts(data, measure)
    kept, excluded = _informative(counts)
    chosen = _points(points, model, method, measure)
    if measure in ONE_ARM:
        fitted, name = one_arm(kept, measure, random=method == "ML", points=chosen), measure
    else:
        if model not in MODELS:
            raise unknown("model", model, MODELS)
        if measure not in MEASURES_OF[model]:
            known = ", ".join(m for m, measures in MEASURES_OF.items() if measure in measures)
            raise ModelError(f"Model {model!r} is not for {measure}: models for it are {known}.")
        fitted, name = two_arms(kept, model, measure, random=method == "ML", points=chosen), model
    return _result(fitted, name, measure, method, level, kept, excluded, chosen)


def _points(points: int | None, model: str, method: str, measure: str) -> int:
    if points is None:
        two = model == "UM.RS" and method == "ML" and measure not in ONE_ARM
        return 1 if two else POINTS if model != "CM.EL" or measure != "OR" else 4 * POINTS
    if isinstance(points, bool) or not isinstance(points, int) or not 1 <= points <= 100:
        raise ModelError(f"points is {points!r}: give a whole number from 1 (Laplace) to 100.")
    return points


def _counts(data: TwoByTwo | PersonTime | StudyTable | EffectSizes, measure: str | None) -> tuple[Counted, str]:
    """Return the counts, and the measure they are to be of."""
    if isinstance(data, EffectSizes) and measure not in (None, data.measure):
        raise ModelError(f"The effect sizes are {data.measure}, not {measure}: leave measure out or give the table.")
    asked = measure or (
        data.measure if isinstance(data, EffectSizes) else "IRR" if isinstance(data, PersonTime) else "OR"
    )
    known = ("OR", "RR", "IRR", *ONE_ARM)
    if asked not in known:
        raise unknown("measure of a mixed model", asked, known)
    if isinstance(data, TwoByTwo | PersonTime):
        if isinstance(data, PersonTime) != (asked == "IRR"):
            raise ModelError(
                f"{asked} is not a measure of {type(data).__name__}: 2x2 counts have OR and RR, times IRR."
            )
        return Counted.of(data), asked
    if isinstance(data, EffectSizes):
        if data.counts is None and not data.observed:
            raise DataError("A mixed model needs the counts, and the data are ready estimates.")
        return Counted.of(data.counts) if data.counts is not None else Counted(data.study, dict(data.observed)), asked
    if asked in ONE_ARM:
        sizes = effect_sizes(data, measure=asked)
        return Counted(sizes.study, dict(sizes.observed)), asked
    return Counted.of(data.person_time() if asked == "IRR" else data.two_by_two()), asked


def _informative(counts: Counted) -> tuple[Counted, tuple[Exclusion, ...]]:
    """Return the counts of studies in which somebody had an event and somebody did not, and the others."""
    keep = counts.informative()
    if not keep.any():
        raise DataError(
            "No study has both patients with and patients without an event: the likelihood says nothing. Use a model "
            "with priors, bm.fit(counts)."
        )
    reason = "no events, or events only, in all its arms"
    excluded = tuple(Exclusion(s, reason, None) for s, kept in zip(counts.study, keep, strict=True) if not kept)
    return counts.take(keep), excluded


def _result(
    fitted: Fitted,
    model: str,
    measure: str,
    method: str,
    level: float,
    counts: Counted,
    excluded: tuple[Exclusion, ...],
    points: int,
) -> MixedFit:
    half = quantile(level, None) * fitted.se
    Q, df = max(0.0, 2.0 * (fitted.saturated - fitted.common)), counts.k - 1
    typical = _typical_variance(counts, measure)
    return MixedFit(
        model=model,
        measure=measure,
        method=method,
        level=level,
        k=counts.k,
        mu=fitted.mu,
        se=fitted.se,
        ci=Interval(fitted.mu - half, fitted.mu + half, level, "confidence"),
        tau2=fitted.tau2,
        sigma2=fitted.sigma2,
        loglik=fitted.loglik,
        Q=Q,
        Q_df=df,
        Q_p=chi2_p(Q, df) if df else 1.0,
        I2=100.0 * fitted.tau2 / (fitted.tau2 + typical),
        H2=fitted.tau2 / typical + 1.0,
        excluded=excluded,
        points=points,
    )


def _typical_variance(counts: Counted, measure: str) -> float:
    v = counts.effect_variances(measure)
    if counts.k == 1:
        return float(v[0])
    found = typical_variance(v, np.ones((counts.k, 1)))
    return float(v.mean()) if found is None else float(found)
