"""Mantel-Haenszel for person-time counts: incidence rate ratios and differences."""

from dataclasses import replace

import numpy as np

from bayesmeta.errors import DataError, ModelError
from bayesmeta.frequentist.counts_fit import REFERENCES, TwoByTwoFit, common_fit, random_about
from bayesmeta.frequentist.significance import Test, chi2_p
from bayesmeta.studies import Adjustment, EffectSizes, Exclusion, PersonTime
from bayesmeta.values import Array


def mantel_haenszel_rates(counts: object, measure: str, *, random: bool, level: float, correct: bool) -> TwoByTwoFit:
    """Pool person-time counts; called by :func:`~bayesmeta.frequentist.two_by_two.mantel_haenszel`.

    Raises
    ------
    ModelError
        If `counts` are not person-time or `measure` is not ``"IRR"`` or ``"IRD"``.
    DataError
        If the pooled effect does not exist.
    """
    if not isinstance(counts, PersonTime) or measure not in ("IRR", "IRD"):
        raise ModelError(
            f"measure={measure!r} does not fit these counts: 'IRR' and 'IRD' need person-time counts (PersonTime), "
            "'OR', 'RR' and 'RD' need 2x2 counts (TwoByTwo)."
        )
    x1, x2 = counts.events_treatment, counts.events_control
    t1, t2 = counts.time_treatment, counts.time_control
    empty = (x1 == 0) & (x2 == 0)
    if empty.all():
        raise DataError("No study has an event: neither rate ratios nor rate differences can be pooled.")
    effects, corrected = _effects(counts, measure, empty)
    notes = []
    if empty.any():
        names = ", ".join(s for s, e in zip(counts.study, empty, strict=True) if e)
        notes.append(f"{names}: no event in either arm; left out of Q and I2.")
    if random:
        center, _, _ = estimate(*corrected, measure)
        fit = random_about(center, counts.study, ~empty, effects, level)
        if effects.adjusted:
            notes.append(f"0.5 was added to both event counts of {', '.join(a.study for a in effects.adjusted)}.")
    else:
        b, variance, weights = estimate(x1, t1, x2, t2, measure)
        fit = common_fit("MH", measure, counts.study, b, variance, weights, effects, level, REFERENCES[measure])
        if measure == "IRR":
            fit = replace(fit, tests=(rate_test(x1, t1, x2, t2, correct=correct),))
    return replace(fit, notes=(*notes, *fit.notes))


def rate_test(x1: Array, t1: Array, x2: Array, t2: Array, *, correct: bool) -> Test:
    """Return the Mantel-Haenszel test that treatment and control share one rate in every study."""
    t, events = t1 + t2, x1 + x2
    excess = abs(float((x1 - events * t1 / t).sum())) - (0.5 if correct else 0.0)
    statistic = excess**2 / float((events * t1 * t2 / t**2).sum())
    name = "Mantel-Haenszel test of rates" + (" with continuity correction" if correct else "")
    return Test(name, statistic, 1, chi2_p(statistic, 1), REFERENCES["IRR"])


def estimate(x1: Array, t1: Array, x2: Array, t2: Array, measure: str) -> tuple[float, float, Array]:
    """Return the Mantel-Haenszel rate ratio (log) or difference, its variance and ``(k,)`` weights."""
    t = t1 + t2
    if measure == "IRD":
        weights = t1 * t2 / t
        total = float(weights.sum())
        difference = float(((x1 * t2 - x2 * t1) / t).sum()) / total
        return difference, float((weights**2 * (x1 / t1**2 + x2 / t2**2)).sum()) / total**2, weights
    weights = x2 * t1 / t
    R, S = float((x1 * t2 / t).sum()), float(weights.sum())
    if not (R > 0 and S > 0):
        raise DataError(
            f"The Mantel-Haenszel rate ratio is {'0' if S > 0 else 'infinite'}: no study has an event in the "
            f"{'treatment' if S > 0 else 'control'} arm. Pool rate differences with measure='IRD'."
        )
    return float(np.log(R / S)), float((t1 * t2 * (x1 + x2) / t**2).sum()) / (R * S), weights


def _effects(counts: PersonTime, measure: str, empty: Array) -> tuple[EffectSizes, tuple[Array, Array, Array, Array]]:
    used = ~np.asarray(empty, dtype=bool)
    study = tuple(s for s, u in zip(counts.study, used, strict=True) if u)
    x1, x2 = counts.events_treatment[used], counts.events_control[used]
    t1, t2 = counts.time_treatment[used], counts.time_control[used]
    zero = (x1 == 0) | (x2 == 0)
    x1, x2 = x1 + 0.5 * zero, x2 + 0.5 * zero
    yi, vi = (
        (np.log(x1 / t1) - np.log(x2 / t2), 1.0 / x1 + 1.0 / x2)
        if measure == "IRR"
        else (x1 / t1 - x2 / t2, x1 / t1**2 + x2 / t2**2)
    )
    effects = EffectSizes(
        yi=yi,
        sei=np.sqrt(vi),
        study=study,
        measure=measure,
        adjusted=tuple(Adjustment(s, "0.5 added to both event counts") for s, z in zip(study, zero, strict=True) if z),
        excluded=tuple(
            Exclusion(s, "no event in either arm") for s, u in zip(counts.study, used, strict=True) if not u
        ),
        rule="0.5 added to both event counts of studies with a zero",
    )
    return effects, (x1, t1, x2, t2)
