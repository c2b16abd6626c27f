"""The study data as frozen values: what was read, 2x2 counts, and effect sizes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesmeta.errors import DataError
from bayesmeta.values import Array, frozen_array

if TYPE_CHECKING:
    import pandas as pd

RATIO_MEASURES = frozenset({"OR", "RR", "HR", "PETO", "IRR", "ROM", "CVR", "VR", "ROMC", "D2OR", "D2ORL", "D2ORN"})


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A study that was read but is not analysed, and why."""

    study: str
    reason: str
    row: int | None = None


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A change made to a study's counts before its effect size was computed."""

    study: str
    what: str


@dataclass(frozen=True, slots=True)
class PublishedResult:
    """A pooled result as its source printed it, on the natural scale.

    Numbers stay strings, because how many digits were printed is part of the fact:
    agreement is judged at the printed precision.
    """

    source: str
    measure: str = "OR"
    method: str = ""
    estimate: str | None = None
    low: str | None = None
    high: str | None = None
    p: str | None = None
    i2: str | None = None
    tau2: str | None = None
    level: float = 0.95
    outcome: str = ""


def _check_labels(study: Sequence[str], lengths: Mapping[str, int]) -> None:
    k = len(study)
    if k == 0:
        raise DataError("No studies: a meta-analysis needs at least one study with usable data.")
    for name, length in lengths.items():
        if length != k:
            raise DataError(f"{name} has {length} values for {k} studies: give one value per study, in the same order.")
    seen: set[str] = set()
    for label in study:
        if label in seen:
            raise DataError(
                f"Study {label!r} appears more than once: study labels must be unique within an analysis. "
                "If the rows are different outcomes, choose one with outcome=...; "
                "if they are different studies, give them different labels."
            )
        seen.add(label)


def _labels(study: Sequence[str] | None, k: int) -> tuple[str, ...]:
    if study is None:
        return tuple(f"Study {i + 1}" for i in range(k))
    return tuple(str(s) for s in study)


@dataclass(frozen=True, slots=True, eq=False)
class TwoByTwo:
    """Events and patients of ``k`` two-arm studies.

    Parameters
    ----------
    events_treatment, n_treatment, events_control, n_control
        ``(k,)`` whole numbers, ``0 <= events <= n`` and ``n > 0``.
    study
        ``(k,)`` unique labels; numbered when not given.
    status
        ``(k,)`` provenance of the counts (``"reported"``, ``"derived"``, ``"reconstructed"``, ``""``).

    Raises
    ------
    DataError
        If a count is negative, fractional, not finite, exceeds its arm, or an arm is empty.
    """

    events_treatment: Array
    n_treatment: Array
    events_control: Array
    n_control: Array
    study: tuple[str, ...] = ()
    status: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        arrays = {
            name: frozen_array(np.atleast_1d(getattr(self, name)))
            for name in ("events_treatment", "n_treatment", "events_control", "n_control")
        }
        k = len(arrays["events_treatment"])
        study = _labels(self.study or None, k)
        _check_labels(study, {name: len(a) for name, a in arrays.items()})
        status = tuple(str(s) for s in self.status) or ("",) * k
        for name, value in [*arrays.items(), ("study", study), ("status", status)]:
            object.__setattr__(self, name, value)
        for arm in ("treatment", "control"):
            _check_arm(study, arm, arrays[f"events_{arm}"], arrays[f"n_{arm}"])

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(self.study)

    def drop(self, study: Iterable[str]) -> "TwoByTwo":
        """Return the counts without the studies named."""
        keep = _keep(self.study, study)
        return TwoByTwo(
            self.events_treatment[keep],
            self.n_treatment[keep],
            self.events_control[keep],
            self.n_control[keep],
            study=tuple(np.array(self.study, dtype=object)[keep]),
            status=tuple(np.array(self.status, dtype=object)[keep]),
        )


def _check_arm(study: Sequence[str], arm: str, events: Array, n: Array) -> None:
    for label, e, total in zip(study, events, n, strict=True):
        for name, value in ((f"events_{arm}", e), (f"n_{arm}", total)):
            if not np.isfinite(value):
                raise DataError(f"Study {label!r}: {name} is {value}; a count must be a whole number >= 0.")
            if value < 0 or value != np.floor(value):
                raise DataError(
                    f"Study {label!r}: {name} is {value:g}; a count must be a whole number >= 0. "
                    "Give the number of patients, not a percentage or a rate."
                )
        if total == 0:
            raise DataError(
                f"Study {label!r}: n_{arm} is 0; both arms need at least one patient. "
                "Remove the study or correct the arm size."
            )
        if e > total:
            raise DataError(
                f"Study {label!r}: events_{arm} is {e:g} but n_{arm} is {total:g}; "
                "events cannot exceed patients. Check whether the columns are swapped."
            )


@dataclass(frozen=True, slots=True, eq=False)
class PersonTime:
    """Events and person-time of ``k`` two-arm studies.

    Parameters
    ----------
    events_treatment, events_control
        ``(k,)`` whole numbers ``>= 0``.
    time_treatment, time_control
        ``(k,)`` person-time at risk, ``> 0``, one unit for all studies.
    study
        ``(k,)`` unique labels; numbered when not given.
    status
        ``(k,)`` provenance of the counts, as in `TwoByTwo`.

    Raises
    ------
    DataError
        If a count is negative, fractional or not finite, or a time is not finite and positive.
    """

    events_treatment: Array
    time_treatment: Array
    events_control: Array
    time_control: Array
    study: tuple[str, ...] = ()
    status: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = ("events_treatment", "time_treatment", "events_control", "time_control")
        arrays = {name: frozen_array(np.atleast_1d(getattr(self, name))) for name in names}
        k = len(arrays["events_treatment"])
        study = _labels(self.study or None, k)
        _check_labels(study, {name: len(a) for name, a in arrays.items()})
        status = tuple(str(s) for s in self.status) or ("",) * k
        for name, value in [*arrays.items(), ("study", study), ("status", status)]:
            object.__setattr__(self, name, value)
        for name, values in arrays.items():
            for label, value in zip(study, values, strict=True):
                _check_events_or_time(label, name, value)

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(self.study)

    def drop(self, study: Iterable[str]) -> "PersonTime":
        """Return the counts without the studies named."""
        keep = _keep(self.study, study)
        return PersonTime(
            self.events_treatment[keep],
            self.time_treatment[keep],
            self.events_control[keep],
            self.time_control[keep],
            study=tuple(np.array(self.study, dtype=object)[keep]),
            status=tuple(np.array(self.status, dtype=object)[keep]),
        )


def _check_events_or_time(label: str, name: str, value: float) -> None:
    if name.startswith("events") and not (np.isfinite(value) and value >= 0 and value == np.floor(value)):
        raise DataError(
            f"Study {label!r}: {name} is {value:g}; a count must be a whole number >= 0. "
            "Give the number of events, not a rate."
        )
    if name.startswith("time") and not (np.isfinite(value) and value > 0):
        raise DataError(
            f"Study {label!r}: {name} is {value:g}; person-time at risk must be finite and > 0, "
            "in one unit for all studies."
        )


def _keep(study: Sequence[str], drop: Iterable[str]) -> NDArray[np.bool_]:
    names = set(drop)
    absent = names - set(study)
    if absent:
        raise DataError(f"No study {sorted(absent)[0]!r} to drop. Studies: {', '.join(study)}.")
    return np.array([s not in names for s in study])


@dataclass(frozen=True, slots=True, eq=False)
class EffectSizes:
    """Estimated effects of ``k`` studies with known sampling standard errors.

    Parameters
    ----------
    yi
        ``(k,)`` effect estimates on the analysis scale of `measure` (log for ratio measures).
    sei
        ``(k,)`` standard errors of `yi`, same scale, all ``> 0``.
    study
        ``(k,)`` unique labels, in the order of the input table; numbered when not given.
    measure
        One of the strings of ``effects.MEASURES``, metafor's names.
    X
        ``(k, p)`` design matrix of a meta-regression, its intercept column included;
        a column of ones when not given.
    terms
        ``(p,)`` names of the columns of `X`.
    ni
        ``(k,)`` total sample sizes, where known.
    counts
        The 2x2 counts behind the effects, where they came from counts.
    adjusted
        What was changed before the effect sizes were computed (zero cells), study by study.
    excluded
        Studies that are not analysed, with the reason.
    rule
        How the effect sizes were computed, for the report (zero-cell rule, variance type).
    scale
        Must be ``"analysis"``: state ``"natural"`` for ratios as papers print them, and you are told how to bring
        them to the log scale instead of pooling them as they are.

    Raises
    ------
    DataError
        If lengths differ, a value is not finite, or a standard error is not positive.
    """

    yi: Array
    sei: Array
    study: tuple[str, ...] = ()
    measure: str = "GEN"
    X: Array | None = None
    terms: tuple[str, ...] = ()
    ni: Array | None = None
    counts: TwoByTwo | None = None
    adjusted: tuple[Adjustment, ...] = ()
    excluded: tuple[Exclusion, ...] = ()
    rule: str = ""
    scale: str = "analysis"

    def __post_init__(self) -> None:
        yi, sei = frozen_array(np.atleast_1d(self.yi)), frozen_array(np.atleast_1d(self.sei))
        study = _labels(self.study or None, len(yi))
        _check_scale(self.scale, self.measure, study, yi)
        _check_labels(study, {"yi": len(yi), "sei": len(sei)})
        bad = ~(np.isfinite(yi) & np.isfinite(sei) & (sei > 0))
        if bad.any():
            names = ", ".join(
                f"{s} (yi = {y:g}, sei = {e:g})" for s, y, e, b in zip(study, yi, sei, bad, strict=True) if b
            )
            raise DataError(
                f"Cannot pool {bad.sum()} of {len(yi)} studies: {names}: yi must be finite and sei finite and > 0. "
                "If they are 2x2 tables with zero cells, fit the 'binomial_normal' model on the counts; "
                "otherwise correct or remove them."
            )
        X = np.ones((len(yi), 1)) if self.X is None else np.atleast_2d(np.asarray(self.X, dtype=float))
        if X.shape[0] != len(yi) or not np.isfinite(X).all():
            raise DataError(
                f"X has shape {X.shape} for {len(yi)} studies: it needs one row of finite numbers per study."
            )
        terms = tuple(self.terms) or (("intercept",) if X.shape[1] == 1 else _terms(X))
        if len(terms) != X.shape[1]:
            raise DataError(f"terms names {len(terms)} columns but X has {X.shape[1]}.")
        ni = None if self.ni is None else frozen_array(np.atleast_1d(self.ni))
        for name, value in (
            ("yi", yi),
            ("sei", sei),
            ("study", study),
            ("X", frozen_array(X)),
            ("terms", terms),
            ("ni", ni),
        ):
            object.__setattr__(self, name, value)

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(self.study)

    @property
    def vi(self) -> Array:
        """``(k,)`` sampling variances, ``sei`` squared."""
        return frozen_array(self.sei**2)

    def drop(self, study: Iterable[str]) -> "EffectSizes":
        """Return the effect sizes without the studies named, everything else unchanged."""
        names = tuple(study)
        keep = _keep(self.study, names)
        assert self.X is not None
        return replace(
            self,
            yi=self.yi[keep],
            sei=self.sei[keep],
            study=tuple(np.array(self.study, dtype=object)[keep]),
            X=self.X[keep],
            ni=None if self.ni is None else self.ni[keep],
            counts=None if self.counts is None else self.counts.drop(names),
            adjusted=tuple(a for a in self.adjusted if a.study not in names),
        )

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row a study."""
        import pandas as pd

        return pd.DataFrame({"study": self.study, "yi": self.yi, "sei": self.sei, "vi": self.vi})


def _check_scale(scale: str, measure: str, study: Sequence[str], yi: Array) -> None:
    if scale == "natural" and measure != "GEN":
        first = f"Study {study[0]!r}: {measure} = {yi[0]:g}" if len(study) else measure
        raise DataError(
            f"{first} is on the natural scale, where it cannot be pooled. Put the estimates and their confidence "
            "limits in a table under 'estimate', 'ci_low', 'ci_high' and call bm.effect_sizes(table, "
            f"measure={measure!r}), which takes them to the analysis scale (the log, for a ratio)."
        )
    if scale not in ("analysis", "natural"):
        raise DataError(f"scale = {scale!r} is unknown: effects are on the 'analysis' scale (log for ratios).")


def _terms(X: Array) -> tuple[str, ...]:
    first = "intercept" if (X[:, 0] == 1).all() else "x1"
    return (first, *(f"x{j + 1}" for j in range(1, X.shape[1])))


@dataclass(frozen=True, slots=True, eq=False)
class StudyTable:
    """What was read from a file or a frame, one row a study, under canonical column names.

    Parameters
    ----------
    study
        ``(k,)`` unique labels.
    columns
        Canonical name to ``(k,)`` values: ``events_treatment``, ``n_treatment``, ``events_control``,
        ``n_control``, ``yi``, ``sei``, ``status``, moderators, ... Numbers are float64, text is ``object``.
    source
        Name of the file the rows came from, as the reader should see it.
    sha256
        Of the file's bytes, empty where there is no file.
    outcome
        The outcome chosen, where the file holds several.
    mapping
        Canonical name to the column header it was read from.
    row
        ``(k,)`` line of each study in the file, header line included, 1-based; empty when unknown.
    excluded
        Rows that were read but are not analysed, with the reason.
    published
        Pooled results that the file itself carries.
    notes
        What the reader assumed or left out, one sentence each.
    """

    study: tuple[str, ...]
    columns: Mapping[str, NDArray[Any]]
    source: str = ""
    sha256: str = ""
    outcome: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    row: tuple[int, ...] = ()
    excluded: tuple[Exclusion, ...] = ()
    published: tuple[PublishedResult, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        study = tuple(str(s) for s in self.study)
        _check_labels(study, {name: len(values) for name, values in self.columns.items()})
        columns: dict[str, NDArray[Any]] = {}
        for name, values in self.columns.items():
            column = np.array(values, copy=True)
            column.setflags(write=False)
            columns[name] = column
        object.__setattr__(self, "study", study)
        object.__setattr__(self, "columns", MappingProxyType(columns))
        object.__setattr__(self, "mapping", MappingProxyType(dict(self.mapping)))

    def __str__(self) -> str:
        """Return what was read as what, for people."""
        chosen = f", outcome {self.outcome!r}" if self.outcome is not None else ""
        lines = [f"{self.k} studies from {self.source or 'memory'}{chosen}"]
        lines += [f"  {name} <- {header!r}" for name, header in self.mapping.items()]
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  excluded: {e.study} ({e.reason})" for e in self.excluded]
        return "\n".join(lines)

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(self.study)

    def column(self, name: str) -> Array:
        """Return a numeric column as float64, or raise a DataError that lists what there is."""
        if name not in self.columns:
            raise DataError(
                f"{self.source or 'The table'} has no column {name!r}. Columns: {', '.join(self.columns) or 'none'}."
            )
        values: Array = np.asarray(self.columns[name], dtype=np.float64)
        return values

    def two_by_two(self) -> TwoByTwo:
        """Return the 2x2 counts.

        Raises
        ------
        DataError
            If a count column is missing or a count is impossible; the message names file and study.
        """
        try:
            return TwoByTwo(
                self.column("events_treatment"),
                self.column("n_treatment"),
                self.column("events_control"),
                self.column("n_control"),
                study=self.study,
                status=tuple(str(s) for s in self.columns.get("status", np.array([""] * self.k))),
            )
        except DataError as error:
            raise DataError(f"{self.source}: {error}" if self.source else str(error)) from None

    def person_time(self) -> PersonTime:
        """Return events and person-time by arm.

        Raises
        ------
        DataError
            If a column is missing, or a value is impossible; the message names file and study.
        """
        try:
            return PersonTime(
                self.column("events_treatment"),
                self.column("time_treatment"),
                self.column("events_control"),
                self.column("time_control"),
                study=self.study,
                status=tuple(str(s) for s in self.columns.get("status", np.array([""] * self.k))),
            )
        except DataError as error:
            raise DataError(f"{self.source}: {error}" if self.source else str(error)) from None

    def drop(self, study: Iterable[str], reason: str = "dropped by the user") -> "StudyTable":
        """Return the table without the studies named, which are kept as exclusions with `reason`."""
        names = tuple(study)
        keep = _keep(self.study, names)
        return replace(
            self,
            study=tuple(np.array(self.study, dtype=object)[keep]),
            columns={name: values[keep] for name, values in self.columns.items()},
            row=tuple(r for r, kept in zip(self.row, keep, strict=True) if kept) if self.row else (),
            excluded=(*self.excluded, *(Exclusion(name, reason) for name in names)),
        )

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row a study."""
        import pandas as pd

        return pd.DataFrame({"study": self.study, **{name: np.array(v) for name, v in self.columns.items()}})


def as_column(values: ArrayLike) -> NDArray[Any]:
    """Return `values` as float64 where every entry is a number, else as ``object``."""
    array = np.asarray(values)
    return array.astype(np.float64) if np.issubdtype(array.dtype, np.number) else array.astype(object)
