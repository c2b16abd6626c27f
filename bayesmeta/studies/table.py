"""What was read from a file or a frame, one row a study, under canonical column names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import DataError
from bayesmeta.studies.counts import PersonTime, TwoByTwo
from bayesmeta.studies.labels import check_labels, kept
from bayesmeta.studies.records import Exclusion, PublishedResult
from bayesmeta.values import Array, FrozenMap, Travels
from bayesmeta.words import counted

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class StudyTable(Travels):
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
    ci_level
        Level of the confidence limits among the columns.
    holds
        Measures that the effects may be by the name of their column; empty where it says nothing, or the user did.
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
    ci_level: float = 0.95
    holds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        study = tuple(str(s) for s in self.study)
        check_labels(study, {name: len(values) for name, values in self.columns.items()})
        columns: dict[str, NDArray[Any]] = {}
        for name, values in self.columns.items():
            column = np.array(values, copy=True)
            column.setflags(write=False)
            columns[name] = column
        object.__setattr__(self, "study", study)
        object.__setattr__(self, "columns", FrozenMap(columns))
        object.__setattr__(self, "mapping", FrozenMap(dict(self.mapping)))

    def __str__(self) -> str:
        """Return what was read as what, for people."""
        chosen = f", outcome {self.outcome!r}" if self.outcome is not None else ""
        lines = [f"{counted(self.k, 'study')} from {self.source or 'memory'}{chosen}"]
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
            raise DataError(f"{self.source}: {error.message}" if self.source else error.message) from None

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
            raise DataError(f"{self.source}: {error.message}" if self.source else error.message) from None

    def drop(self, study: Iterable[str], reason: str = "dropped by the user") -> "StudyTable":
        """Return the table without the studies named, which are kept as exclusions with `reason`."""
        names = tuple(study)
        keep = kept(self.study, names)
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
