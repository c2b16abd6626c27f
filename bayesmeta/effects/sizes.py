"""From a study table or 2x2 counts to effect sizes: the one function behind ``bm.effect_sizes``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesmeta.effects.checks import check_columns
from bayesmeta.effects.design import design
from bayesmeta.effects.measure import FAMILY_WORDS, MEASURES, Measure, Options
from bayesmeta.effects.medians import RULE, with_means
from bayesmeta.effects.ready import SOURCES, ready_estimates, refuse_another_measure, source_of
from bayesmeta.effects.zero_cells import ADDED_TO, Corrected, ZeroRule, correct_zeros, describe
from bayesmeta.errors import DataError, ModelError, option, unknown
from bayesmeta.studies import Adjustment, EffectSizes, Exclusion, PersonTime, StudyTable, TwoByTwo, fit_the_counts
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
        if str(name).upper() in MEASURES:
            raise ModelError(f"Unknown effect measure {name!r}. Did you mean {str(name).upper()!r}?")
        raise unknown("effect measure", name, MEASURES)
    return MEASURES[name]


def compute_effects(
    measure: str,
    columns: Mapping[str, ArrayLike],
    *,
    add: float | None = None,
    to: str = "only0",
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
        done = _cells(chosen, arrays, _zero_rule(chosen, add, to, drop00), index)
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
    data: StudyTable | TwoByTwo | PersonTime,
    measure: str,
    *,
    add: float | None = None,
    to: str = "only0",
    drop00: bool = False,
    vtype: str | None = None,
    correct: bool = True,
    inestimable: Literal["raise", "exclude"] = "raise",
    moderators: str | Sequence[str] | None = None,
    level: float | None = None,
) -> EffectSizes:
    """Return effect sizes and standard errors, one per study, on the analysis scale of `measure`.

    Raw data are used where the table has the measure's columns. Otherwise ready estimates are: ``yi`` with
    ``sei``, ``vi`` or limits, on the analysis scale, or ``estimate`` with ``ci_low`` and ``ci_high`` on the
    natural scale. ``rule`` of the result says which, and what was done to zero cells.

    Parameters
    ----------
    data
        Table of studies, 2x2 counts, or events and person-time.
    measure
        One of ``MEASURES``, metafor's names.
    add, to, drop00
        Zero cells: `add` goes to every cell of studies with a zero (``to="only0"``), of all studies (``"all"``),
        of all if any has a zero (``"if0all"``), or of none (``"none"``). Without `add`, 0.5 is added, or nothing
        for measures that exist with zero cells (AS, PHI, PAS, PFT, IRS, IRFT, IRSD). ``drop00=True`` first sets
        aside studies without events, or with events only, in both arms.
    vtype
        Kind of sampling variance, one of the measure's ``vtypes``; the first when None.
    correct
        Whether standardized mean differences and log ratios of means or SDs are corrected for small-sample bias.
    inestimable
        What happens to a study whose effect does not exist (a zero cell with ``to="none"``): ``"raise"``, or
        ``"exclude"``, which lists it with its reason in ``excluded``.
    moderators
        Columns of the table for the design matrix; text is dummy-coded against its first level.
    level
        Confidence level of ready estimates' limits; what the table says (``ci_level``) when None.

    Raises
    ------
    DataError
        If a column is missing or holds another measure by its name, a number is impossible, or an effect not
        estimable; the message names the study.
    ModelError
        If the measure or its `vtype` is unknown.

    Examples
    --------
    >>> from bayesmeta.studies import TwoByTwo
    >>> effects = effect_sizes(TwoByTwo([6, 0], [17, 20], [2, 3], [28, 21], study=["A", "B"]), "OR")
    >>> effects.yi.round(4).tolist(), effects.adjusted[0].study
    ([1.9588, -2.0486], 'B')
    """
    chosen = find_measure(measure)
    if not isinstance(data, StudyTable | TwoByTwo | PersonTime):
        raise DataError(
            f"effect_sizes takes a StudyTable or counts, not {type(data).__name__}. Read a file or a data frame "
            "with bm.read_studies(...) first, or give estimates to bm.EffectSizes(yi=..., sei=...)."
        )
    if inestimable not in ("raise", "exclude"):
        raise unknown("value of inestimable", inestimable, ("raise", "exclude"))
    from_medians = ""
    if isinstance(data, StudyTable) and chosen.family == "means":
        found, rows = with_means(data.columns)
        if rows.any():
            data = replace(data, columns=found)
            from_medians = RULE.format(", ".join(s for s, r in zip(data.study, rows, strict=True) if r))
    try:
        columns = _columns(data, chosen)
        X, terms = design(data, moderators)
        if columns is None:
            return _from_ready(data, chosen, X, terms, vtype=vtype, level=level)
        check_columns(chosen, columns, data.study)
        raw = compute_effects(measure, columns, add=add, to=to, drop00=drop00, vtype=vtype, correct=correct)
        excluded = _excluded(data, chosen, raw, inestimable)
    except DataError as error:
        source = getattr(data, "source", "")
        raise DataError(
            f"{source}: {error.message}" if source and source not in error.message else error.message
        ) from None
    keep = np.isfinite(raw.yi) & (raw.vi > 0)
    if not keep.any():
        raise DataError(f"{measure}: no study is left. {excluded[-1].study}: {excluded[-1].reason}.")
    sizes = _assemble(data, chosen, columns, raw, keep, X, terms, excluded, _zero_rule(chosen, add, to, drop00), vtype)
    return replace(sizes, rule="; ".join(filter(None, (sizes.rule, from_medians)))) if from_medians else sizes


def _zero_rule(measure: Measure, add: float | None, to: str, drop00: bool) -> ZeroRule:
    return ZeroRule((measure.default_add or 0.0) if add is None else add, to, drop00)


def _columns(data: StudyTable | TwoByTwo | PersonTime, measure: Measure) -> dict[str, Array] | None:
    """Return the measure's raw columns; None where the table has ready estimates instead."""
    if not isinstance(data, StudyTable):
        family = "two_by_two" if isinstance(data, TwoByTwo) else "person_time"
        if measure.family != family:
            known = ", ".join(name for name, m in MEASURES.items() if m.family == family)
            raise DataError(
                f"{measure.name} needs the columns {', '.join(measure.columns)}; {FAMILY_WORDS[family]} give {known}."
            )
        return {name: getattr(data, name) for name in measure.columns}
    names = {name: _spelling(data, name) for name in measure.columns}
    if measure.compute is not None and all(name in data.columns for name in names.values()):
        return {ours: _numbers(data, theirs) for ours, theirs in names.items()}
    if source_of(data.columns, measure) is not None:
        return None
    missing = [name for name, theirs in names.items() if theirs not in data.columns]
    raise DataError(
        f"{measure.name} ({measure.label.lower()}) needs the column {missing[0]!r}. It takes "
        f"{', '.join(measure.columns)}, or ready estimates: {'; '.join(', '.join(s) for s in SOURCES[:4])}. "
        f"Columns: {', '.join(data.columns) or 'none'}."
    )


def _numbers(data: StudyTable, name: str) -> Array:
    """Return a column as numbers, missing ones as NaN; text that is no number is an error naming the study."""
    values = data.columns[name]
    if values.dtype.kind in "fiub":
        return data.column(name)
    numbers = np.full(data.k, np.nan)
    for i, value in enumerate(values):
        try:
            numbers[i] = np.nan if value is None else float(value)
        except (TypeError, ValueError):
            raise DataError(f"Study {data.study[i]!r}: {name} is {value!r}, which is not a number.") from None
    return numbers


def _spelling(data: StudyTable, name: str) -> str:
    """Return the table's own name of a column: a correlation may be ``ri`` or ``r``."""
    return "r" if name == "ri" and "ri" not in data.columns and "r" in data.columns else name


def _from_ready(
    data: StudyTable | TwoByTwo | PersonTime,
    measure: Measure,
    X: Array | None,
    terms: tuple[str, ...],
    *,
    vtype: str | None,
    level: float | None,
) -> EffectSizes:
    assert isinstance(data, StudyTable)
    level = data.ci_level if level is None else level
    if vtype is not None:
        raise ModelError(
            f"vtype={vtype!r} chooses a formula for raw data, but the table has ready estimates. Leave it out."
        )
    names = {name for source in SOURCES for name in source} & set(data.columns)
    refuse_another_measure(measure, data.columns, data.mapping, data.holds)
    yi, sei, rule = ready_estimates(measure, {name: _numbers(data, name) for name in names}, data.study, level=level)
    return EffectSizes(
        yi,
        sei,
        study=data.study,
        measure=measure.name,
        X=X,
        terms=terms,
        ni=_sizes(data.columns),
        excluded=data.excluded,
        rule=f"{measure.label}: {rule}",
        **_labels(data, np.ones(data.k, dtype=bool)),
    )


def _labels(data: StudyTable | TwoByTwo | PersonTime, keep: NDArray[np.bool_]) -> dict[str, Any]:
    """Return what tells rows of one study or cluster, where the table says so."""
    columns = data.columns if isinstance(data, StudyTable) else {}
    return {
        name: tuple(str(value) for value in np.asarray(columns[name])[keep])
        for name in ("cluster", "outcome", "effect")
        if name in columns
    }


def _sizes(columns: Mapping[str, ArrayLike]) -> Array | None:
    """Return total sample sizes, where they are known for every study."""
    for names in (("n_treatment", "n_control"), ("n",)):
        if all(name in columns for name in names):
            total = np.sum([np.asarray(columns[name], dtype=np.float64) for name in names], axis=0)
            return total if np.isfinite(total).all() else None
    return None


MEANS_OF_ONE_SIGN = {
    "ROM": "a ratio of means needs means of one sign",
    "ROMC": "a ratio of means needs means of one sign",
    "CVR": "a coefficient of variation needs a positive mean",
}


def _excluded(
    data: StudyTable | TwoByTwo | PersonTime, measure: Measure, raw: RawEffects, inestimable: str
) -> tuple[Exclusion, ...]:
    """Return the exclusions read with the data and those made here, or raise for studies without an effect."""
    lines = data.row if isinstance(data, StudyTable) and data.row else (None,) * len(data.study)
    before = data.excluded if isinstance(data, StudyTable) else ()
    dropped = [
        Exclusion(data.study[i], "no events, or events only, in both arms (drop00=True)", lines[i])
        for i in np.flatnonzero(raw.dropped)
    ]
    bad = np.flatnonzero(~raw.dropped & ~(np.isfinite(raw.yi) & (raw.vi > 0)))
    if not len(bad):
        return (*before, *dropped)
    reason = f"the {measure.analysis_label} or its variance does not exist for these data"
    advice = "Check the numbers and the columns, or choose another measure"
    if raw.zero[bad].any():
        reason += " (a zero cell to which nothing was added)"
        advice = f"Choose to='only0' with add=0.5, or {fit_the_counts(measure.name)}"
    elif measure.name in MEANS_OF_ONE_SIGN:
        reason += f" ({MEANS_OF_ONE_SIGN[measure.name]})"
    if inestimable == "raise":
        names = ", ".join(repr(data.study[i]) for i in bad[:20])
        more = f" and {len(bad) - 20} more" if len(bad) > 20 else ""
        raise DataError(
            f"{measure.name} is not estimable in {len(bad)} of {len(data.study)} studies: {names}{more}: {reason}. "
            f"{advice}; to set the studies aside with their reason, say {option('inestimable', 'exclude')}."
        )
    return (*before, *dropped, *(Exclusion(data.study[i], reason, lines[i]) for i in bad))


def _assemble(
    data: StudyTable | TwoByTwo | PersonTime,
    measure: Measure,
    columns: Mapping[str, Array],
    raw: RawEffects,
    keep: NDArray[np.bool_],
    X: Array | None,
    terms: tuple[str, ...],
    excluded: tuple[Exclusion, ...],
    zeros: ZeroRule,
    vtype: str | None,
) -> EffectSizes:
    ni = columns["time"] if measure.name == "IRFT" else _sizes(columns)
    counts = None
    if measure.family == "two_by_two":
        assert not isinstance(data, PersonTime)
        counts = data if isinstance(data, TwoByTwo) else data.two_by_two()
        counts = counts.drop(s for s, kept in zip(data.study, keep, strict=True) if not kept)
    added = [data.study[i] for i in np.flatnonzero(raw.added & keep)]
    what = f"{zeros.add:g} added to {ADDED_TO.get(measure.family, '')}"
    return EffectSizes(
        raw.yi[keep],
        np.sqrt(raw.vi[keep]),
        study=tuple(data.study[i] for i in np.flatnonzero(keep)),
        measure=measure.name,
        X=None if X is None else X[keep],
        terms=terms,
        ni=None if ni is None else ni[keep],
        counts=counts,
        adjusted=tuple(Adjustment(label, what) for label in added),
        excluded=excluded,
        rule=_sentence(measure, raw, zeros, vtype),
        observed={name: values[keep] for name, values in columns.items()} if measure.counted else {},
        **_labels(data, keep),
    )


def _sentence(measure: Measure, raw: RawEffects, zeros: ZeroRule, vtype: str | None) -> str:
    """Return how the effects were computed, in one sentence for the report."""
    parts = [f"{measure.label}, computed from {FAMILY_WORDS[measure.family]} as {measure.analysis_label}"]
    if measure.default_add is not None:
        parts.append(describe(zeros, int(raw.zero.sum()), int(raw.added.sum()), ADDED_TO[measure.family]))
    if zeros.drop00 and raw.dropped.any():
        parts.append(f"{raw.dropped.sum()} studies without events, or with events only, in both arms were set aside")
    if vtype is not None and len(measure.vtypes) > 1:
        parts.append(f"sampling variance {vtype}")
    return "; ".join(parts)
