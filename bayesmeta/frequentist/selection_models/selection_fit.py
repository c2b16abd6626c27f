"""Selection models of the p-value by maximum likelihood, beside the same model without selection."""

from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import chdtrc, chdtri

from bayesmeta.errors import DataError, ModelError, unknown
from bayesmeta.frequentist.printing import p_text
from bayesmeta.frequentist.selection_models.curved_weights import CURVES, CurvedWeights
from bayesmeta.frequentist.selection_models.maximise import SelectedEffects, Weights
from bayesmeta.frequentist.selection_models.step_weights import StepWeights
from bayesmeta.frequentist.small_study import block, check_level, interval_text, require_one_mean
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array, Interval, frozen_array

if TYPE_CHECKING:
    import pandas as pd

type Side = Literal["greater", "less", "two-sided"]

_SIDES = ("greater", "less", "two-sided")
_STEPS = ("stepfun", "trunc")
_VEVEA_HEDGES = "Vevea & Hedges (1995), Psychometrika 60:419-435."
_PRESTON = "Preston, Ashby & Smyth (2004), J. Clin. Epidemiol. 57:637-644."
REFERENCES: dict[str, str] = {
    "stepfun": _VEVEA_HEDGES,
    "trunc": "Rust, Lehmann & Farley (1990), J. Mark. Res. 27:220-226.",
    "beta": "Citkowicz & Vevea (2017), Psychol. Methods 22:28-41.",
    **{name: _PRESTON for name in CURVES if name != "beta"},
}
FIXED_REFERENCE = "Vevea & Woods (2005), Psychol. Methods 10:428-443."
_FEW = 4
"""Fewer results than this in an interval leave its weight, and with it mu, all but undetermined."""


@dataclass(frozen=True, slots=True, eq=False)
class SelectionFit:
    """A selection model at its maximum, and the same model without selection.

    Parameters
    ----------
    weight, side, steps
        Weight function, the direction in which results are more likely to be reported, and cut points of p.
    mu, tau2
        Mean and variance of the effects of all studies, reported or not, if the model holds; analysis scale.
    ci
        Profile likelihood interval of `mu`.
    delta
        Weights of the intervals, the most significant (1) first, or parameters of the curve (``"trunc"``: the weight
        of results of the wrong sign).
    loglik, LRT, LRT_df, LRT_p
        Log likelihood; likelihood ratio test against no selection (p None where the weights were given).
    mu_unadjusted, tau2_unadjusted, ci_unadjusted, loglik_unadjusted
        The same without selection.
    counts
        Results in each interval; empty for curves.
    """

    weight: str
    side: Side
    steps: tuple[float, ...]
    measure: str
    k: int
    mu: float
    tau2: float
    ci: Interval
    delta: Array
    loglik: float
    LRT: float
    LRT_df: int
    LRT_p: float | None
    mu_unadjusted: float
    tau2_unadjusted: float
    ci_unadjusted: Interval
    loglik_unadjusted: float
    counts: tuple[int, ...]
    notes: tuple[str, ...]
    reference: str

    @property
    def tau(self) -> float:
        """Standard deviation of the effects."""
        return sqrt(self.tau2)

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame with the unadjusted and the adjusted row."""
        import pandas as pd

        rows = [
            ("none", self.mu_unadjusted, self.ci_unadjusted, self.tau2_unadjusted, self.loglik_unadjusted),
            (self.weight, self.mu, self.ci, self.tau2, self.loglik),
        ]
        names = ("selection", "mu", "ci_low", "ci_high", "tau2", "loglik")
        return pd.DataFrame([dict(zip(names, (w, m, c.low, c.high, t, ll), strict=True)) for w, m, c, t, ll in rows])

    def __str__(self) -> str:
        towards = "significant results of either sign" if self.side == "two-sided" else f"results {_word(self.side)} 0"
        test = "weights given, not estimated" if self.LRT_p is None else f"p {p_text(self.LRT_p)}"
        lines = [
            f"unadjusted: mu = {self.mu_unadjusted:.4f}, {interval_text(self.ci_unadjusted)}, "
            f"tau2 = {self.tau2_unadjusted:.4f}",
            f"if {towards} were reported by these weights: mu = {self.mu:.4f}, {interval_text(self.ci)}, "
            f"tau2 = {self.tau2:.4f}",
            f"weights: {', '.join(f'{d:.4g}' for d in self.delta)}"
            + (f" (results in the intervals of p: {', '.join(map(str, self.counts))})" if self.counts else ""),
            f"log likelihood {self.loglik:.4f}; against no selection: "
            f"chi-squared({self.LRT_df}) = {self.LRT:.4f}, {test}",
        ]
        title = f"Selection model, weight {self.weight}, k = {self.k}, measure {self.measure}"
        caution = (
            "The adjusted figure holds only if results were reported as the weight function says; other causes of "
            "small-study effects look the same, and a large p does not rule selection out."
        )
        return block(title, lines, notes=self.notes, caution=caution, reference=self.reference)


def selection(
    effects: EffectSizes,
    *,
    side: Side,
    weight: str = "stepfun",
    steps: tuple[float, ...] | None = None,
    delta: tuple[float, ...] | None = None,
    decreasing: bool = False,
    common: bool = False,
    level: float = 0.95,
) -> SelectionFit:
    """Fit a model in which the chance of being reported depends on the p-value, by maximum likelihood.

    Parameters
    ----------
    effects
        At least 2 independent effects on the analysis scale, without moderators.
    side
        Which results are favoured: ``"greater"`` or ``"less"`` than 0 (one-sided p), or ``"two-sided"``. It has no
        default: the data cannot say it.
    weight
        ``"stepfun"``, ``"trunc"`` (results of the wrong sign), ``"beta"``, ``"halfnorm"``, ``"negexp"``,
        ``"logistic"``, ``"power"``, and the last four with a floor: ``"halfnorm2"`` and so on.
    steps
        ``"stepfun"``: cut points of p between 0 and 1, default 0.025 (two-sided: 0.05). ``"beta"``: optionally two
        p-values outside which the weight is constant.
    delta
        ``"stepfun"``: weights given instead of estimated, one more than `steps`, the first 1.
    decreasing
        ``"stepfun"``: whether weights may not rise with p.
    common
        Whether all studies share one effect (tau2 = 0).
    level
        Coverage of the profile likelihood intervals.

    Raises
    ------
    DataError
        With fewer than 2 studies, several rows a study, or moderators.
    ModelError
        If an option is unknown or does not belong to the weight function.
    ConvergenceError
        If no maximum is found.

    References
    ----------
    Vevea & Hedges (1995), Psychometrika 60:419-435; Preston, Ashby & Smyth (2004), J. Clin. Epidemiol. 57:637-644;
    Citkowicz & Vevea (2017), Psychol. Methods 22:28-41; Vevea & Woods (2005), Psychol. Methods 10:428-443.
    """
    check_level(level)
    require_one_mean(effects, "A selection model")
    if effects.k < 2:
        raise DataError(f"A selection model needs at least 2 studies; there is {effects.k}.")
    if side not in _SIDES:
        raise unknown("side", side, _SIDES)
    sign = -1.0 if side == "less" else 1.0
    yi = sign * effects.yi
    weights = _weights(yi / effects.sei, side, weight, steps, delta, decreasing)
    drop = 0.5 * float(chdtri(1, 1.0 - level))

    def interval(model: SelectedEffects) -> tuple[float, float, Interval, Array, float]:
        at = model.maximum()
        low, high = sorted(sign * m for m in model.profile_interval(at, drop))
        ci = Interval(low, high, level, "confidence", "profile likelihood")
        return sign * at.mu, at.tau2, ci, at.free, at.loglik

    mu, tau2, ci, free, loglik = interval(SelectedEffects(yi, effects.sei, weights, common))
    plain = interval(SelectedEffects(yi, effects.sei, None, common))
    ratio = 2.0 * (loglik - plain[4])
    df = len(weights.bounds)
    counts = tuple(int(n) for n in weights.counts) if isinstance(weights, StepWeights) else ()
    return SelectionFit(
        weight=weight,
        side=side,
        steps=_used_steps(weights),
        measure=effects.measure,
        k=effects.k,
        mu=mu,
        tau2=tau2,
        ci=ci,
        delta=frozen_array(free if weight == "trunc" else weights.delta(free)),
        loglik=loglik,
        LRT=ratio,
        LRT_df=df,
        LRT_p=float(chdtrc(df, max(ratio, 0.0))) if df else None,
        mu_unadjusted=plain[0],
        tau2_unadjusted=plain[1],
        ci_unadjusted=plain[2],
        loglik_unadjusted=plain[4],
        counts=counts,
        notes=_notes(weights, free, counts, effects.k, ci),
        reference=FIXED_REFERENCE if delta is not None else REFERENCES[weight],
    )


def _weights(
    z: Array,
    side: Side,
    weight: str,
    steps: tuple[float, ...] | None,
    delta: tuple[float, ...] | None,
    decreasing: bool,
) -> StepWeights | CurvedWeights:
    if weight not in REFERENCES:
        raise unknown("weight function", weight, REFERENCES)
    if weight != "stepfun" and (delta is not None or decreasing):
        raise ModelError(f"delta and decreasing belong to weight='stepfun', not to {weight!r}.")
    two_sided = side == "two-sided"
    if weight == "stepfun":
        cuts = _checked((0.05 if two_sided else 0.025,) if steps is None else steps)
        return StepWeights(z, cuts, two_sided, decreasing, None if delta is None else _given(delta, cuts))
    if weight == "trunc":
        if steps is not None or two_sided:
            raise ModelError("weight='trunc' cuts at an effect of 0: it takes side 'greater' or 'less' and no steps.")
        return StepWeights(z, (0.5,), False, False, None)
    if steps is None:
        return CurvedWeights(z, weight, (0.0, 1.0), two_sided)
    cuts = _checked(steps)
    if weight != "beta" or len(cuts) != 2:
        raise ModelError(f"weight={weight!r} has no steps; weight='beta' takes two or none, e.g. steps=(0.025, 0.975).")
    return CurvedWeights(z, weight, (cuts[0], cuts[1]), two_sided)


def _checked(steps: tuple[float, ...]) -> tuple[float, ...]:
    cuts = tuple(float(step) for step in steps)
    rising = all(a < b for a, b in pairwise(cuts))
    if not cuts or not np.all(np.isfinite(cuts)) or not rising or cuts[0] <= 0.0 or cuts[-1] >= 1.0:
        raise ModelError(f"steps are {steps!r}; they are p-values strictly between 0 and 1, ascending: (0.025, 0.5).")
    return cuts


def _given(delta: tuple[float, ...], cuts: tuple[float, ...]) -> Array:
    given = np.array(delta, dtype=float)
    if given.shape != (len(cuts) + 1,) or given[0] != 1.0 or not np.all(np.isfinite(given) & (given > 0.0)):
        raise ModelError(
            f"delta is {delta!r}; with {len(cuts)} steps it is {len(cuts) + 1} positive weights, the first of them 1 "
            "(the chance of being reported relative to the most significant results)."
        )
    return given


def _used_steps(weights: StepWeights | CurvedWeights) -> tuple[float, ...]:
    if isinstance(weights, StepWeights):
        return weights.steps
    return () if weights.between == (0.0, 1.0) else weights.between


def _notes(weights: Weights, free: Array, counts: tuple[int, ...], k: int, ci: Interval) -> tuple[str, ...]:
    notes = []
    if free.size and counts and min(counts) < _FEW:
        notes.append(
            f"The intervals of p hold {', '.join(map(str, counts))} results; a weight resting on fewer than {_FEW} "
            "is all but undetermined, and so is what depends on it."
        )
    if any(d <= a + 1e-6 or d >= b * (1 - 1e-6) for d, (a, b) in zip(free, weights.bounds, strict=True)):
        notes.append("A weight lies at its bound: the chi-squared distribution of the test does not hold there.")
    if not np.isfinite(ci.low) or not np.isfinite(ci.high):
        notes.append("The likelihood does not bound mu on one side: with this selection any smaller effect fits.")
    if k < 10:
        notes.append(f"With {k} studies a selection model can hardly be told from none.")
    return tuple(notes)


def _word(side: Side) -> str:
    return "below" if side == "less" else "above"
