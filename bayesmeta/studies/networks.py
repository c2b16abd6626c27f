"""Networks of treatments as they were read: arms or contrasts, as a frozen value."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.errors import DataError
from bayesmeta.values import Array, FrozenMap, Travels, column

if TYPE_CHECKING:
    import pandas as pd

ARM_COLUMNS = (("events", "n"), ("events", "time"), ("mean", "sd", "n"))
"""What an arm may report: events of n, events in person-time, or a mean with its SD."""


@dataclass(frozen=True, slots=True, eq=False)
class NetworkTable(Travels):
    """The arms of studies of several treatments, or contrasts between them, as they were read.

    Parameters
    ----------
    study
        ``(n,)`` label of each row's study.
    treatment
        ``(n,)`` treatment of each arm; empty for contrasts.
    columns
        Numbers of each arm, ``events`` with ``n`` or ``time``, or ``mean``, ``sd`` and ``n``; of contrasts ``yi`` and
        ``sei``, treatment 1 against treatment 2 on the analysis scale.
    treat1, treat2
        ``(n,)`` the treatments of each contrast; empty for arms.
    notes
        What was left out in reading, and why.

    Raises
    ------
    DataError
        If a study has one arm or the same treatment twice, a contrast is of a treatment with itself, or a number is
        impossible; the message names study and treatment.
    """

    study: tuple[str, ...]
    treatment: tuple[str, ...] = ()
    columns: Mapping[str, Array] = field(default_factory=dict)
    treat1: tuple[str, ...] = ()
    treat2: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("study", "treatment", "treat1", "treat2"):
            object.__setattr__(self, name, tuple(str(label) for label in getattr(self, name)))
        numbers = FrozenMap({name: column(name, values) for name, values in self.columns.items()})
        object.__setattr__(self, "columns", numbers)
        n = len(self.study)
        labels = ("treatment",) if self.treatment else ("treat1", "treat2")
        lengths = {name: len(getattr(self, name)) for name in labels} | {k: len(v) for k, v in numbers.items()}
        for name, length in lengths.items():
            if length != n:
                raise DataError(f"{name} has {length} values for {n} rows of a network: give one for each row.")
        if not n:
            raise DataError("The network has no rows.")
        if self.treatment:
            self._check_arms()
        else:
            self._check_contrasts()

    @property
    def arms(self) -> bool:
        """Whether rows are arms, and not contrasts."""
        return bool(self.treatment)

    @property
    def treatments(self) -> tuple[str, ...]:
        """The treatments, in alphabetical order."""
        return alphabetical({*self.treatment, *self.treat1, *self.treat2})

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(set(self.study))

    def rows(self) -> dict[str, list[int]]:
        """Return the rows of each study, in order of appearance."""
        found: dict[str, list[int]] = defaultdict(list)
        for i, label in enumerate(self.study):
            found[label].append(i)
        return dict(found)

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row an arm or a contrast."""
        import pandas as pd

        labels = {"treatment": self.treatment} if self.arms else {"treat1": self.treat1, "treat2": self.treat2}
        return pd.DataFrame({"study": self.study, **labels, **self.columns})

    def __repr__(self) -> str:
        what = "arms" if self.arms else "contrasts"
        return f"<NetworkTable: {self.k} studies, {len(self.treatments)} treatments, {len(self.study)} {what}>"

    def __str__(self) -> str:
        what = "arms" if self.arms else "contrasts"
        numbers = ", ".join(self.columns)
        head = f"Network of {len(self.treatments)} treatments: {self.k} studies, {len(self.study)} {what} ({numbers})"
        several = [f"{label} ({len(rows)})" for label, rows in self.rows().items() if len(rows) > 2 and self.arms]
        lines = [head, f"treatments: {', '.join(self.treatments)}"]
        if several:
            lines.append(f"studies of more than two arms: {', '.join(several)}")
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])

    def _check_arms(self) -> None:
        if not any(set(needed) <= set(self.columns) for needed in ARM_COLUMNS):
            raise DataError(
                f"Arms have the columns {', '.join(self.columns) or 'none'}: they need events and n, events and time, "
                "or mean, sd and n."
            )
        for label, rows in self.rows().items():
            twice = [t for t, count in Counter(self.treatment[i] for i in rows).items() if count > 1]
            if twice:
                raise DataError(
                    f"Study {label!r} has {twice[0]!r} in {Counter(self.treatment[i] for i in rows)[twice[0]]} arms: "
                    "combine them (add events and sizes; bm.effects.conversions.combine_groups for means), or name "
                    "them as different treatments."
                )
            if len(rows) < 2:
                raise DataError(
                    f"Study {label!r} has one arm, {self.treatment[rows[0]]!r}, and compares nothing: complete it, or "
                    "leave it out."
                )
        for name, values in self.columns.items():
            whole = name in ("events", "n")
            for i, value in enumerate(values):
                least = 0.0 if name == "events" else 1.0 if name == "n" else -np.inf if name == "mean" else 0.0
                strict = name in ("sd", "time")
                fits = np.isfinite(value) and (value > least if strict else value >= least)
                if not fits or (whole and value != np.floor(value)):
                    rule = (
                        "a count must be a whole number >= 0"
                        if name == "events"
                        else "a sample size must be a whole number >= 1"
                        if name == "n"
                        else "a mean must be a finite number"
                        if name == "mean"
                        else f"{name} must be > 0"
                    )
                    raise DataError(f"Study {self.study[i]!r}, arm {self.treatment[i]!r}: {name} is {value:g}; {rule}.")
        if {"events", "n"} <= set(self.columns):
            for i in np.flatnonzero(self.columns["events"] > self.columns["n"]).tolist():
                raise DataError(
                    f"Study {self.study[i]!r}, arm {self.treatment[i]!r}: {self.columns['events'][i]:g} events of "
                    f"{self.columns['n'][i]:g} people."
                )

    def _check_contrasts(self) -> None:
        if not {"yi", "sei"} <= set(self.columns):
            raise DataError("Contrasts need yi and sei: treatment 1 against treatment 2, on the analysis scale.")
        for i, label in enumerate(self.study):
            pair = f"{self.treat1[i]} : {self.treat2[i]}"
            if self.treat1[i] == self.treat2[i]:
                raise DataError(f"Study {label!r} compares {self.treat1[i]!r} with itself: correct treat1 or treat2.")
            if not np.isfinite(self.columns["yi"][i]):
                raise DataError(f"Study {label!r}, {pair}: yi is {self.columns['yi'][i]:g}; it must be finite.")
            se = self.columns["sei"][i]
            if not (np.isfinite(se) and se > 0.0):
                raise DataError(f"Study {label!r}, {pair}: sei is {se:g}; a standard error must be finite and > 0.")


def alphabetical(treatments: Iterable[str]) -> tuple[str, ...]:
    """Return names in alphabetical order, whatever their case."""
    return tuple(sorted(treatments, key=lambda name: (name.casefold(), name)))


def connected_parts(edges: Iterable[tuple[str, str]]) -> list[set[str]]:
    """Return the sets of treatments that studies connect, the largest first."""
    parts: list[set[str]] = []
    for one, two in edges:
        touched = [part for part in parts if one in part or two in part]
        parts = [part for part in parts if part not in touched]
        parts.append({one, two}.union(*touched))
    return sorted(parts, key=len, reverse=True)


def check_connected(edges: Iterable[tuple[str, str]]) -> None:
    """Check that studies connect all treatments.

    Raises
    ------
    DataError
        If they do not; the message names the parts.
    """
    parts = connected_parts(edges)
    if len(parts) > 1:
        said = "; ".join(", ".join(sorted(part)) for part in parts)
        raise DataError(
            f"The network is not connected: no study compares a treatment of one part with one of another ({said})."
            " Analyse each part alone, or add a study that connects them."
        )
