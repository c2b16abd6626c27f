"""From a study table or 2x2 counts to effect sizes: the one function behind ``bm.effect_sizes``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesmeta.effects.design import design
from bayesmeta.effects.measure import MEASURES, Measure, Options
from bayesmeta.effects.zero_cells import DESCRIPTION, Corrected, ZeroRule, correct_zeros
from bayesmeta.errors import DataError, ModelError, unknown
from bayesmeta.studies import Adjustment, EffectSizes, Exclusion, StudyTable, TwoByTwo
from bayesmeta.values import Array


@dataclass(frozen=True, slots=True, eq=False)
class RawEffects:
    """Effects of many studies as plain arrays, not yet judged.

    Parameters
    ----------
    yi, vi
        ``(k,)`` effects and sampling variances, both NaN where not estimable.
    zero, added, dropped
        ``(k,)`` which studies have a zero cell, had a constant added, were dropped by ``drop00``.
    """

    yi: Array
    vi: Array
    zero: NDArray[np.bool_]
    added: NDArray[np.bool_]
    dropped: NDArray[np.bool_]


def find_measure(name: str) -> Measure:
    """Return the measure of that name.

    Raises
    ------
    ModelError
        If there is none; the message names the nearest.
    """
    if name not in MEASURES:
        raise unknown("effect measure", name, MEASURES)
    return MEASURES[name]


def compute_effects(
    measure: str,
    columns: Mapping[str, ArrayLike],
    *,
    add: float = 0.5,
    to: str | None = None,
    drop00: bool = False,
    vtype: str | None = None,
    correct: bool = True,
    group: ArrayLike | None = None,
) -> RawEffects:
    """Return the effects of all studies at once, without a loop over them.

    Parameters
    ----------
    measure
        One of `MEASURES`.
    columns
        Canonical column name to ``(k,)`` numbers; ``MEASURES[measure].columns`` lists those needed.
    add, to, drop00
        Zero-cell rule, as in `effect_sizes`.
    vtype
        Kind of sampling variance; the measure's first when None.
    correct
        Whether standardized mean differences and log ratios of means or SDs are bias-corrected.
    group
        ``(k,)`` whole numbers from 0 naming the meta-analysis of each study, for the rules that look at
        all its studies (``to="if0all"``, ``vtype="AV"``); None when all are one.

    Raises
    ------
    ModelError
        If the measure, or a `vtype` of it, is unknown.
    DataError
        If a column is missing.
    """
    chosen = find_measure(measure)
    if chosen.compute is None:
        raise ModelError(f"{measure} ({chosen.label}) is not computed from raw data: give estimates, yi and sei.")
    kind = vtype or chosen.vtypes[0]
    if kind not in chosen.vtypes:
        raise ModelError(f"{measure} has no sampling variance vtype={kind!r}. Known: {', '.join(chosen.vtypes)}.")
    missing = [name for name in chosen.columns if name not in columns]
    if missing:
        raise DataError(
            f"{measure} needs the column {missing[0]!r}, which is not there. It takes {', '.join(chosen.columns)}."
        )
    arrays = tuple(np.asarray(columns[name], dtype=np.float64) for name in chosen.columns)
    index = None if group is None else np.asarray(group, dtype=np.intp)
    with np.errstate(all="ignore"):
        done = _cells(chosen, arrays, ZeroRule(add, to or chosen.default_to or "none", drop00), index)
        yi, vi = chosen.compute(*done.cells, Options(kind, correct, index))
    # Both or neither: a finite effect with an infinite variance (or the reverse) is no estimate.
    estimable = np.isfinite(yi) & np.isfinite(vi) & ~done.dropped
    return RawEffects(
        np.where(estimable, yi, np.nan), np.where(estimable, vi, np.nan), done.zero, done.added, done.dropped
    )


def _cells(measure: Measure, columns: tuple[Array, ...], rule: ZeroRule, group: NDArray[np.intp] | None) -> Corrected:
    """Apply the zero-cell rule to the counts among `columns`; families without counts pass through."""
    if measure.family == "two_by_two":
        a, n1, c, n2 = columns
        b, d = n1 - a, n2 - c
        double_zero = ((a == 0) & (c == 0)) | ((b == 0) & (d == 0))
        return correct_zeros((a, b, c, d), rule, double_zero=double_zero, group=group)
    if measure.family == "person_time":
        x1, t1, x2, t2 = columns
        done = correct_zeros((x1, x2), rule, double_zero=(x1 == 0) & (x2 == 0), group=group)
        return replace(done, cells=(done.cells[0], t1, done.cells[1], t2))
    if measure.family == "proportion":
        x, n = columns
        return correct_zeros((x, n - x), rule, group=group)
    if measure.family == "rate":
        x, t = columns
        done = correct_zeros((x,), rule, group=group)
        return replace(done, cells=(done.cells[0], t))
    none = np.zeros(len(columns[0]), dtype=bool)
    return Corrected(columns, none, none, none)


def effect_sizes(
    data: StudyTable | TwoByTwo,
    measure: str,
    *,
    add: float = 0.5,
    to: str | None = None,
    drop00: bool = False,
    vtype: str | None = None,
    correct: bool = True,
    moderators: str | Sequence[str] | None = None,
) -> EffectSizes:
    """Return effect sizes and standard errors, one per study, on the analysis scale of `measure`."""
    chosen = find_measure(measure)
    columns = _columns(data, chosen)
    raw = compute_effects(measure, columns, add=add, to=to, drop00=drop00, vtype=vtype, correct=correct)
    keep = ~raw.dropped
    bad = keep & ~(np.isfinite(raw.yi) & (raw.vi > 0))
    if bad.any():
        names = ", ".join(s for s, b in zip(data.study, bad, strict=True) if b)
        raise DataError(f"{measure} cannot be estimated for {names}.")
    X, terms = design(data, moderators)
    counts = data if isinstance(data, TwoByTwo) else (data.two_by_two() if chosen.family == "two_by_two" else None)
    dropped = tuple(s for s, d in zip(data.study, raw.dropped, strict=True) if d)
    study = tuple(s for s, kept in zip(data.study, keep, strict=True) if kept)
    ni = sum((columns[n] for n in chosen.columns if n in ("n", "n_treatment", "n_control")), start=np.zeros(len(keep)))
    return EffectSizes(
        raw.yi[keep],
        np.sqrt(raw.vi[keep]),
        study=study,
        measure=measure,
        X=None if X is None else X[keep],
        terms=terms,
        ni=ni[keep] if ni.any() else None,
        counts=counts.drop(dropped) if counts is not None else None,
        adjusted=tuple(
            Adjustment(s, f"{add:g} added to every cell") for s, a in zip(data.study, raw.added, strict=True) if a
        ),
        excluded=(
            *(data.excluded if isinstance(data, StudyTable) else ()),
            *(Exclusion(s, "no event, or only events, in both arms (drop00=True)") for s in dropped),
        ),
        rule=DESCRIPTION[to or chosen.default_to].format(add=add) if chosen.default_to else "",
    )


def _columns(data: StudyTable | TwoByTwo, measure: Measure) -> dict[str, Array]:
    if isinstance(data, TwoByTwo):
        return {name: getattr(data, name) for name in measure.columns}
    return {name: data.column(name) for name in measure.columns}
