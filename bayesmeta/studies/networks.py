"""Networks of treatments as frozen values: arms or contrasts as they were read, and contrasts with their covariance."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.errors import DataError
from bayesmeta.studies.dependent_rows import covariance
from bayesmeta.values import Array, FrozenMap, Travels, column, frozen_array

if TYPE_CHECKING:
    import pandas as pd

ARM_COLUMNS = (("events", "n"), ("events", "time"), ("mean", "sd", "n"))
"""What an arm may report: events of n, events in person-time, or a mean with its SD."""
SPARSE = 5
"""A cell below this makes the normal approximation of a log odds ratio doubtful."""


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
        return _alphabetical({*self.treatment, *self.treat1, *self.treat2})

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


@dataclass(frozen=True, slots=True, eq=False)
class Contrasts(Travels):
    """Contrasts of the studies of a network, as many as a study has arms less one, with their covariance.

    Parameters
    ----------
    yi
        ``(n,)`` effects of treatment 1 against treatment 2, analysis scale (log for ratio measures).
    V
        ``(n, n)`` sampling covariance; contrasts of one study share their first treatment.
    study
        ``(n,)`` label of each contrast's study.
    treat1, treat2
        ``(n,)`` treatments; treatment 1 of a study of several arms is the same in all its contrasts.
    measure
        Of the effects.
    ni
        ``(n,)`` people in both arms; None where it is not known.
    arms
        The arms that they were computed from; None where contrasts were given.
    notes
        What was left out, added to zero cells, or is doubtful; one sentence each.

    Raises
    ------
    DataError
        If the treatments fall into parts that no study connects, V is not positive definite, or a study's contrasts
        do not have one treatment in common.
    """

    yi: Array
    V: Array
    study: tuple[str, ...]
    treat1: tuple[str, ...]
    treat2: tuple[str, ...]
    measure: str = "GEN"
    ni: Array | None = None
    arms: NetworkTable | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "yi", column("yi", self.yi))
        for name in ("study", "treat1", "treat2"):
            object.__setattr__(self, name, tuple(str(label) for label in getattr(self, name)))
        rows = [f"{s}, {a} : {b}" for s, a, b in zip(self.study, self.treat1, self.treat2, strict=True)]
        matrix = np.asarray(self.V, dtype=float)
        matrix = np.diag(matrix) if matrix.ndim == 1 else matrix
        if matrix.shape != (len(self.yi), len(self.yi)) or len(rows) != len(self.yi):
            raise DataError(f"{len(self.yi)} contrasts have V of shape {matrix.shape} and {len(rows)} labels.")
        with np.errstate(invalid="ignore"):
            sei = np.sqrt(np.diagonal(matrix))
        for i, row in enumerate(rows):
            if self.treat1[i] == self.treat2[i]:
                raise DataError(f"Study {self.study[i]!r} compares {self.treat1[i]!r} with itself.")
            if not (np.isfinite(self.yi[i]) and np.isfinite(sei[i]) and sei[i] > 0.0):
                raise DataError(f"{row}: yi is {self.yi[i]:g} and its variance {matrix[i, i]:g}; both must be finite.")
        checked = covariance(matrix, sei, rows)
        object.__setattr__(self, "V", frozen_array(matrix) if checked is None else checked)
        if self.ni is not None:
            object.__setattr__(self, "ni", frozen_array(self.ni))
        self._check_bases()
        self._check_connected()

    @property
    def sei(self) -> Array:
        """``(n,)`` standard errors."""
        return np.sqrt(np.diagonal(self.V))

    @property
    def n(self) -> int:
        """Number of contrasts."""
        return len(self.yi)

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(set(self.study))

    @property
    def treatments(self) -> tuple[str, ...]:
        """The treatments, in alphabetical order."""
        return _alphabetical({*self.treat1, *self.treat2})

    @property
    def rows(self) -> tuple[str, ...]:
        """A unique label of each contrast."""
        return tuple(f"{s}: {a} - {b}" for s, a, b in zip(self.study, self.treat1, self.treat2, strict=True))

    @property
    def design(self) -> Array:
        """``(n, T)`` matrix with 1 for treatment 1 and -1 for treatment 2, columns as `treatments`."""
        place = {t: j for j, t in enumerate(self.treatments)}
        X = np.zeros((self.n, len(place)))
        for i, (one, two) in enumerate(zip(self.treat1, self.treat2, strict=True)):
            X[i, place[one]], X[i, place[two]] = 1.0, -1.0
        return X

    @property
    def relation(self) -> Array:
        """``(n, n)`` correlation of the contrasts' true effects: one half within a study (Higgins & Whitehead 1996)."""
        same = np.array(self.study)[:, None] == np.array(self.study)[None, :]
        return np.where(same, 0.5, 0.0) + 0.5 * np.eye(self.n)

    @property
    def sparse(self) -> tuple[str, ...]:
        """Studies with a cell below 5, where the normal approximation of counts is doubtful."""
        if self.arms is None or "events" not in self.arms.columns:
            return ()
        least = self.arms.columns["events"]
        if "n" in self.arms.columns:
            least = np.minimum(least, self.arms.columns["n"] - least)
        used = set(self.study)
        return tuple(dict.fromkeys(s for s, x in zip(self.arms.study, least, strict=True) if x < SPARSE and s in used))

    def designs(self) -> tuple[str, ...]:
        """Return each contrast's design: the treatments that its study compares, joined by colons."""
        together: dict[str, set[str]] = defaultdict(set)
        for label, one, two in zip(self.study, self.treat1, self.treat2, strict=True):
            together[label] |= {one, two}
        return tuple(":".join(_alphabetical(together[label])) for label in self.study)

    def drop(self, study: Sequence[str]) -> "Contrasts":
        """Return the contrasts without the studies named.

        Raises
        ------
        DataError
            If a study is not there, or what is left is not connected.
        """
        unknown = [label for label in study if label not in self.study]
        if unknown:
            raise DataError(f"There is no study {unknown[0]!r} in the network: {', '.join(dict.fromkeys(self.study))}.")
        keep = np.array([label not in study for label in self.study])
        names = {name: tuple(np.array(getattr(self, name))[keep]) for name in ("study", "treat1", "treat2")}
        ni = None if self.ni is None else self.ni[keep]
        V = self.V[np.ix_(keep, keep)]
        return Contrasts(self.yi[keep], V, measure=self.measure, ni=ni, arms=self.arms, **names)

    def pairs(self) -> "pd.DataFrame":
        """Return a pandas DataFrame of all pairs of treatments within studies: ``study, treat1, treat2, yi, sei``."""
        import pandas as pd

        found = []
        for label in dict.fromkeys(self.study):
            at = [i for i, s in enumerate(self.study) if s == label]
            base, y, V = self.treat1[at[0]], self.yi[at], self.V[np.ix_(at, at)]
            names = [base, *(self.treat2[i] for i in at)]
            # Against the first treatment, which is the origin of its own study.
            y, V = np.concatenate([[0.0], -y]), np.pad(V, ((1, 0), (1, 0)))
            for a, b in combinations(range(len(names)), 2):
                se = float(np.sqrt(V[a, a] + V[b, b] - 2.0 * V[a, b]))
                found.append((label, names[a], names[b], float(y[a] - y[b]), se))
        return pd.DataFrame(found, columns=["study", "treat1", "treat2", "yi", "sei"])

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row a contrast."""
        import pandas as pd

        return pd.DataFrame(
            {"study": self.study, "treat1": self.treat1, "treat2": self.treat2, "yi": self.yi, "sei": self.sei}
        )

    def __repr__(self) -> str:
        return f"<Contrasts: {self.measure}, {self.k} studies, {len(self.treatments)} treatments, {self.n} contrasts>"

    def __str__(self) -> str:
        lines = [
            f"Contrasts, measure {self.measure}: {self.k} studies, {len(self.treatments)} treatments, {self.n} rows",
            f"treatments: {', '.join(self.treatments)}",
            *(f"Note: {note}" for note in self.notes),
        ]
        return "\n".join(lines)

    def _check_bases(self) -> None:
        for label in dict.fromkeys(self.study):
            at = [i for i, s in enumerate(self.study) if s == label]
            if len({self.treat1[i] for i in at}) > 1 or len({self.treat2[i] for i in at}) < len(at):
                raise DataError(
                    f"The contrasts of study {label!r} do not all have the same treatment 1 and different treatments "
                    "2: make them with bm.contrasts, which takes all pairs of a study."
                )

    def _check_connected(self) -> None:
        parts = connected_parts(zip(self.treat1, self.treat2, strict=True))
        if len(parts) > 1:
            said = "; ".join(", ".join(sorted(part)) for part in parts)
            raise DataError(
                f"The network is not connected: no study compares a treatment of one part with one of another ({said})."
                " Analyse each part alone, or add a study that connects them."
            )


def _alphabetical(treatments: Iterable[str]) -> tuple[str, ...]:
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
