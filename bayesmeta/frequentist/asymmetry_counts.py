"""Tests of funnel-plot asymmetry that need the 2x2 counts: Peters, Harbord, Deeks."""

import numpy as np
from numpy.typing import NDArray

from bayesmeta.effects import effect_sizes
from bayesmeta.errors import DataError
from bayesmeta.frequentist.asymmetry import AsymmetryTest
from bayesmeta.frequentist.small_study import (
    ASYMMETRY_IS_NOT_BIAS,
    check_level,
    few_studies,
    fit_line,
    require_one_mean,
)
from bayesmeta.studies import EffectSizes, TwoByTwo
from bayesmeta.values import Array, frozen_array


def peters(data: EffectSizes | TwoByTwo, *, level: float = 0.95) -> AsymmetryTest:
    r"""Peters' test: log odds ratios on ``1 / n``, weighted by ``events * non-events / n`` of both arms together.

    Parameters
    ----------
    data
        2x2 counts (log odds ratios are computed, 0.5 added where a cell is zero), or effect sizes that carry counts.
    level
        Coverage of the intervals.

    Returns
    -------
    AsymmetryTest
        t with k - 2 degrees of freedom. Studies without events, or with events only, have weight zero: they are left
        out and `notes` name them.

    Raises
    ------
    DataError
        If there are no counts, fewer than 3 informative studies, or all have the same size.

    References
    ----------
    Peters et al. (2006), JAMA 295:676-680.
    """
    check_level(level)
    effects, counts = _with_counts(data, "Peters' test")
    n = counts.n_treatment + counts.n_control
    events = counts.events_treatment + counts.events_control
    # Drop before dividing: a zero weight is an infinite variance.
    used = (events > 0) & (events < n)
    variance = np.divide(n, events * (n - events), out=np.ones(len(n)), where=used)
    return _counts_test("Peters", effects.yi, variance, 1.0 / n, used, counts, level, effects.measure)


def harbord(data: EffectSizes | TwoByTwo, *, level: float = 0.95) -> AsymmetryTest:
    r"""Harbord's test: the score :math:`Z` of the log odds ratio at 0, on its information :math:`V`.

    With ``d`` events among ``n`` patients, ``Z = events_treatment - d n_treatment / n`` and
    ``V = n_treatment n_control d (n - d) / (n^2 (n - 1))``; the intercept of :math:`Z/\sqrt V` on :math:`\sqrt V` is
    tested, equivalently the slope of :math:`Z/V` on :math:`1/\sqrt V` with weights :math:`V`.

    Parameters
    ----------
    data
        2x2 counts, or effect sizes that carry counts. No zero-cell correction is needed or made.
    level
        Coverage of the intervals.

    Returns
    -------
    AsymmetryTest
        t with k - 2 degrees of freedom; `limit` is the Peto log odds ratio of an infinitely large study. Studies
        without events, or with events only, carry no information: they are left out and `notes` name them.

    Raises
    ------
    DataError
        If there are no counts, fewer than 3 informative studies, or all have the same information.

    References
    ----------
    Harbord, Egger & Sterne (2006), Stat. Med. 25:3443-3457.
    """
    check_level(level)
    counts = data if isinstance(data, TwoByTwo) else _with_counts(data, "Harbord's test")[1]
    n = counts.n_treatment + counts.n_control
    events = counts.events_treatment + counts.events_control
    score = counts.events_treatment - events * counts.n_treatment / n
    information = counts.n_treatment * counts.n_control * events * (n - events) / (n**2 * (n - 1.0))
    used = information > 0
    variance = np.divide(1.0, information, out=np.ones(len(n)), where=used)
    return _counts_test("Harbord", score * variance, variance, np.sqrt(variance), used, counts, level, "OR")


def deeks(data: EffectSizes | TwoByTwo, *, level: float = 0.95) -> AsymmetryTest:
    r"""Deeks' test: log odds ratios on ``1 / sqrt(ESS)`` with weights ESS, ``ESS = 4 n_t n_c / (n_t + n_c)``.

    Meant for diagnostic odds ratios: the two arms are the diseased and the healthy.

    Parameters
    ----------
    data
        2x2 counts, or effect sizes that carry counts.
    level
        Coverage of the intervals.

    Raises
    ------
    DataError
        If there are no counts, fewer than 3 studies, or all have the same effective sample size.

    References
    ----------
    Deeks, Macaskill & Irwig (2005), J. Clin. Epidemiol. 58:882-893.
    """
    check_level(level)
    effects, counts = _with_counts(data, "Deeks' test")
    variance = (counts.n_treatment + counts.n_control) / (4.0 * counts.n_treatment * counts.n_control)
    used = np.ones(counts.k, dtype=bool)
    return _counts_test("Deeks", effects.yi, variance, np.sqrt(variance), used, counts, level, effects.measure)


_COUNT_TESTS: dict[str, tuple[str, str, str]] = {
    "Peters": ("1/n", "inverse of the sample size", "Peters et al. (2006), JAMA 295:676-680."),
    "Harbord": (
        "1/sqrt(V)",
        "inverse square root of the score's information",
        "Harbord, Egger & Sterne (2006), Stat. Med. 25:3443-3457.",
    ),
    "Deeks": (
        "1/sqrt(ESS)",
        "inverse square root of the effective sample size",
        "Deeks, Macaskill & Irwig (2005), J. Clin. Epidemiol. 58:882-893.",
    ),
}


def _with_counts(data: EffectSizes | TwoByTwo, what: str) -> tuple[EffectSizes, TwoByTwo]:
    effects = effect_sizes(data, measure="OR") if isinstance(data, TwoByTwo) else data
    require_one_mean(effects, what)
    counts = effects.counts
    if counts is None:
        raise DataError(
            f"{what} needs the 2x2 counts behind the effects: give table.two_by_two(), or effect sizes computed from "
            "counts. With estimates and standard errors alone use egger()."
        )
    if counts.study != effects.study:
        raise DataError(f"{what}: the counts belong to other studies than the effects. Give the counts themselves.")
    return effects, counts


def _counts_test(
    name: str,
    y: Array,
    variance: Array,
    x: Array,
    used: NDArray[np.bool_],
    counts: TwoByTwo,
    level: float,
    measure: str,
) -> AsymmetryTest:
    predictor, title, reference = _COUNT_TESTS[name]
    left_out = [s for s, u in zip(counts.study, used, strict=True) if not u]
    study = tuple(s for s, u in zip(counts.study, used, strict=True) if u)
    if len(study) < 3:
        raise DataError(
            f"{name}' test needs at least 3 studies with both events and non-events; there are {len(study)}"
            + (f" (without: {', '.join(left_out)})" if left_out else "")
            + ". Asymmetry cannot be assessed."
        )
    effects = EffectSizes(y[used], np.sqrt(variance[used]), study=study, measure=measure)
    line = fit_line(effects, x[used], title, what=f"{name}' test")
    notes = (f"Left out, no information (no events, or only events): {', '.join(left_out)}.",) if left_out else ()
    scale = "" if measure in ("OR", "PETO") else f" It was made for odds ratios; these effects are {measure}."
    return AsymmetryTest(
        name=name,
        line=line,
        predictor=predictor,
        predictor_title=title,
        x=frozen_array(x[used]),
        study=study,
        limit=line.intercept,
        limit_ci=line.intercept_ci(level),
        level=level,
        caution=few_studies(len(study)) + " " + ASYMMETRY_IS_NOT_BIAS + scale,
        reference=reference,
        notes=notes,
    )
