r"""Pooling counts by Mantel-Haenszel: the common effect and Review Manager's random effects.

Cells are ``a, b`` (events, non-events under treatment) and ``c, d`` (under control), ``N = a + b + c + d``.
"""

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bayesmeta.effects import MEASURES
from bayesmeta.effects.measure import Options
from bayesmeta.errors import DataError, ModelError, unknown
from bayesmeta.frequentist.association import (
    cochran_test,
    homogeneity_tests,
    mantel_haenszel_test,
)
from bayesmeta.frequentist.counts_fit import REFERENCES, TwoByTwoFit, common_fit, random_about
from bayesmeta.frequentist.rates import mantel_haenszel_rates
from bayesmeta.frequentist.significance import Test
from bayesmeta.studies import Adjustment, EffectSizes, Exclusion, PersonTime, StudyTable, TwoByTwo, fit_the_counts
from bayesmeta.values import Array

type Cells = tuple[Array, Array, Array, Array]
type Measure = Literal["OR", "RR", "RD", "IRR", "IRD"]

UNINFORMATIVE = "with no event in either arm, or only events in both"


def mantel_haenszel(
    counts: TwoByTwo | PersonTime | StudyTable,
    *,
    measure: Measure = "OR",
    random: bool = False,
    level: float = 0.95,
    add: float = 0.0,
    correct: bool = True,
) -> TwoByTwoFit:
    r"""Pool 2x2 counts or person-time counts by Mantel-Haenszel.

    Parameters
    ----------
    counts
        2x2 counts for ``"OR"``, ``"RR"``, ``"RD"``; :class:`PersonTime` for ``"IRR"``, ``"IRD"``.
    measure
        Effect measure; ratios are pooled and returned on the log scale.
    random
        False: the Mantel-Haenszel common effect, from the counts as they are. True: Review Manager's random
        effects: 0.5 is added to all four cells of the studies with a zero cell and of no other;
        ``Q = sum (y_i - MH)^2 / v_i`` about the Mantel-Haenszel estimate of the same tables; tau2 from that Q by
        DerSimonian and Laird; inverse-variance pooling with ``1 / (v_i + tau2)``.
    level
        Coverage of the intervals.
    add
        Common effect only: number added to all four cells of the studies with a zero cell before pooling,
        double-zero studies included. Mantel-Haenszel needs none (0, the default).
    correct
        Whether the tests of association are corrected for continuity.

    Returns
    -------
    TwoByTwoFit
        Its `notes` name the studies that contribute nothing and those that were changed.

    Raises
    ------
    ModelError
        If `measure` is unknown or does not fit the kind of counts.
    DataError
        If the pooled effect does not exist, e.g. no events in one arm of any study.

    References
    ----------
    Mantel & Haenszel (1959), J. Natl. Cancer Inst. 22:719-748.
    Robins, Breslow & Greenland (1986), Biometrics 42:311-323.
    Greenland & Robins (1985), Biometrics 41:55-68.
    """
    if not 0.0 < level < 1.0:
        raise ModelError(f"level is {level!r}; it is a coverage strictly between 0 and 1, e.g. 0.95 for 95%.")
    if measure not in REFERENCES:
        raise unknown("Mantel-Haenszel measure", measure, REFERENCES)
    if isinstance(counts, StudyTable):
        counts = counts.person_time() if measure in ("IRR", "IRD") else counts.two_by_two()
    if isinstance(counts, PersonTime) or measure in ("IRR", "IRD"):
        return mantel_haenszel_rates(counts, measure, random=random, level=level, correct=correct)
    if not isinstance(counts, TwoByTwo):
        raise ModelError(f"measure={measure!r} needs 2x2 counts (TwoByTwo); for person-time use 'IRR' or 'IRD'.")
    return _random(counts, measure, level) if random else _common(counts, measure, level, add, correct)


def cells_of(counts: TwoByTwo) -> Cells:
    """Return the four cells of each table."""
    a, c = counts.events_treatment, counts.events_control
    return a, counts.n_treatment - a, c, counts.n_control - c


def uninformative(cells: Cells) -> NDArray[np.bool_]:
    """Return which studies have no event in either arm or only events in both."""
    a, b, c, d = cells
    return np.asarray(((a == 0) & (c == 0)) | ((b == 0) & (d == 0)))


def add_to_zeros(cells: Cells, amount: float) -> tuple[Cells, NDArray[np.bool_]]:
    """Return the cells with `amount` added to all four of every study with a zero, and which studies those are."""
    zero = np.any([x == 0 for x in cells], axis=0)
    a, b, c, d = (x + np.where(zero, amount, 0.0) for x in cells)
    return (a, b, c, d), zero


def study_effects(cells: Cells, measure: str) -> tuple[Array, Array]:
    """Return each study's effect and sampling variance from cells without zeros."""
    compute = MEASURES[measure].compute
    assert compute is not None
    return compute(*cells, Options())


def estimate(cells: Cells, measure: str) -> tuple[float, float, Array]:
    """Return the Mantel-Haenszel estimate (log for ratios), its variance and ``(k,)`` weights.

    Raises
    ------
    DataError
        If the estimate or its variance does not exist for these counts.
    """
    a, b, c, d = cells
    n1, n2, n = a + b, c + d, a + b + c + d
    if measure == "RD":
        weights = n1 * n2 / n
        total = float(weights.sum())
        rd = float(((a * n2 - c * n1) / n).sum()) / total
        p = (n1**2 * c - n2**2 * a + n1 * n2 * (n2 - n1) / 2.0) / n**2
        q = (a * d + c * b) / (2.0 * n)
        return rd, _positive((rd * float(p.sum()) + float(q.sum())) / total**2, measure), weights
    r, s = (a * d / n, b * c / n) if measure == "OR" else (a * n2 / n, c * n1 / n)
    R, S = float(r.sum()), float(s.sum())
    if not (R > 0 and S > 0):
        value = "0" if S > 0 else "infinite" if R > 0 else "undefined"
        why = "all studies together lack events or non-events in one arm" if R + S > 0 else "no study is informative"
        raise DataError(
            f"The Mantel-Haenszel {measure} is {value}: {why}. "
            f"{fit_the_counts(measure).capitalize()}, or pool risk differences with measure='RD'."
        )
    if measure == "OR":
        p, q = (a + d) / n, (b + c) / n
        variance = 0.5 * float((p * r).sum() / R**2 + (p * s + q * r).sum() / (R * S) + (q * s).sum() / S**2)
    else:
        variance = float(((n1 * n2 * (a + c) - a * c * n) / n**2).sum()) / (R * S)
    return float(np.log(R / S)), _positive(variance, measure), s


def _positive(variance: float, measure: str) -> float:
    if not variance > 0:
        raise DataError(
            f"The Mantel-Haenszel {measure} has no standard error: the counts hold no variation "
            f"(no events, or only events). {fit_the_counts(measure).capitalize()}."
        )
    return variance


def _common(counts: TwoByTwo, measure: str, level: float, add: float, correct: bool) -> TwoByTwoFit:
    if not np.isfinite(add) or add < 0:
        raise DataError(f"add = {add} cannot be added to counts: it must be a number >= 0.")
    cells = cells_of(counts)
    useless = uninformative(cells)
    notes = []
    if add > 0:
        cells, changed = add_to_zeros(cells, add)
        if changed.any():
            notes.append(f"{add:g} was added to all four cells of {_named(counts.study, changed)} before pooling.")
    elif useless.any():
        notes.append(contribution_note(counts, useless, measure))
    b, variance, weights = estimate(cells, measure)
    effects, _ = corrected_effects(counts, measure, ~useless)
    tests: tuple[Test | None, ...] = ()
    if measure == "OR":
        tests = (
            mantel_haenszel_test(*cells, correct=correct),
            cochran_test(*cells, correct=correct),
            *homogeneity_tests(*cells, b),
        )
    fit = common_fit("MH", measure, counts.study, b, variance, weights, effects, level, REFERENCES[measure])
    return replace(fit, notes=tuple(notes), tests=tuple(t for t in tests if t is not None))


def _random(counts: TwoByTwo, measure: str, level: float) -> TwoByTwoFit:
    # A study without events has no odds or risk ratio, but it does have a risk difference.
    useless = uninformative(cells_of(counts)) if measure != "RD" else np.zeros(counts.k, dtype=bool)
    if useless.all():
        raise DataError(
            f"No study has a {measure}: every one is {UNINFORMATIVE}. {fit_the_counts(measure).capitalize()}, "
            "or pool risk differences with measure='RD'."
        )
    effects, cells = corrected_effects(counts, measure, ~useless)
    center, _, _ = estimate(cells, measure)
    fit = random_about(center, counts.study, ~useless, effects, level)
    notes = [contribution_note(counts, useless, measure)] if useless.any() else []
    if effects.adjusted:
        notes.append(f"0.5 was added to all four cells of {', '.join(a.study for a in effects.adjusted)}.")
    return replace(fit, notes=(*notes, *fit.notes))


def corrected_effects(counts: TwoByTwo, measure: str, used: NDArray[np.bool_]) -> tuple[EffectSizes, Cells]:
    """Return the effects of the studies `used`, 0.5 added where a cell is zero, and the cells they come from."""
    study = chosen(counts.study, used)
    cells, zero = add_to_zeros(_select(cells_of(counts), used), 0.5)
    if not study:
        raise DataError(
            f"No study has a {measure}: every one is {UNINFORMATIVE}. {fit_the_counts(measure).capitalize()}."
        )
    yi, vi = study_effects(cells, measure)
    effects = EffectSizes(
        yi=yi,
        sei=np.sqrt(vi),
        study=study,
        measure=measure,
        adjusted=tuple(Adjustment(s, "0.5 added to all four cells") for s in chosen(study, zero)),
        excluded=exclusions(counts.study, used),
        rule="0.5 added to all four cells of studies with a zero cell",
    )
    return effects, cells


def _select(cells: Cells, used: NDArray[np.bool_]) -> Cells:
    a, b, c, d = cells
    return a[used], b[used], c[used], d[used]


def chosen(study: tuple[str, ...], used: NDArray[np.bool_]) -> tuple[str, ...]:
    """Return the labels of the studies `used`."""
    return tuple(s for s, u in zip(study, used, strict=True) if u)


def exclusions(study: tuple[str, ...], used: NDArray[np.bool_]) -> tuple[Exclusion, ...]:
    """Return the exclusions of the studies not `used`."""
    return tuple(Exclusion(s, f"a study {UNINFORMATIVE}") for s in chosen(study, ~used))


def _named(study: tuple[str, ...], which: NDArray[np.bool_]) -> str:
    return ", ".join(chosen(study, which)) or "no study"


def contribution_note(counts: TwoByTwo, useless: NDArray[np.bool_], measure: str) -> str:
    """Return the sentence about studies without information."""
    names = _named(counts.study, useless)
    if measure == "RD":
        return f"{names}: {UNINFORMATIVE}; in the pooled risk difference and its weights, left out of Q and I2."
    return f"{names}: {UNINFORMATIVE}; without information on the {measure}, so weight 0, left out of Q and I2."
