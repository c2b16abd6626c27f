"""Contrasts of the studies of a network with their covariance, as a frozen value."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.errors import DataError, unknown
from bayesmeta.studies.dependent_rows import covariance
from bayesmeta.studies.networks import NetworkTable, alphabetical, check_connected
from bayesmeta.values import Array, Travels, column, frozen_array

if TYPE_CHECKING:
    import pandas as pd

SPARSE = 5
"""A cell below this makes the normal approximation of a log odds ratio doubtful."""


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
    X, terms
        ``(n, q)`` further columns of the design and their ``(q,)`` names: moderators, see `with_moderator`.

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
    X: Array | None = None
    terms: tuple[str, ...] = ()

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
        self._check_columns()
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
        return alphabetical({*self.treat1, *self.treat2})

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
        return tuple(":".join(alphabetical(together[label])) for label in self.study)

    def drop(self, study: Sequence[str]) -> "Contrasts":
        """Return the contrasts without the studies named.

        Raises
        ------
        DataError
            If a study is not there, or what is left is not connected.
        """
        absent = [label for label in study if label not in self.study]
        if absent:
            raise DataError(f"There is no study {absent[0]!r} in the network: {', '.join(dict.fromkeys(self.study))}.")
        keep = np.array([label not in study for label in self.study])
        labels = (self.study, self.treat1, self.treat2)
        left, one, two = (tuple(name for name, k in zip(names, keep, strict=True) if k) for names in labels)
        ni, X = (None if x is None else x[keep] for x in (self.ni, self.X))
        V = self.V[np.ix_(keep, keep)]
        return replace(self, yi=self.yi[keep], V=V, study=left, treat1=one, treat2=two, ni=ni, X=X)

    def with_column(self, term: str, values: ArrayLike) -> "Contrasts":
        """Return the contrasts with one column more in their design.

        Parameters
        ----------
        term
            Name of its coefficient.
        values
            ``(n,)`` one for each contrast, treatment 1 against treatment 2.
        """
        new = column(term, values)
        if new.shape != (self.n,):
            raise DataError(f"{term} has {new.size} values for {self.n} contrasts: give one for each.")
        X = new[:, None] if self.X is None else np.column_stack([self.X, new])
        return replace(self, X=X, terms=(*self.terms, term))

    def with_moderator(
        self, term: str, values: Mapping[str, float], *, reference: str | None = None, center: bool = True
    ) -> "Contrasts":
        """Return the contrasts with a moderator whose interaction is common to all treatments but the reference.

        The effect of every other treatment against `reference` changes by the same amount for each unit of the
        moderator; effects of these against each other do not change with it.

        Parameters
        ----------
        term
            Name of the moderator.
        values
            Study to its value.
        reference
            Treatment, the first when not given.
        center
            Whether relative effects are those at the mean over studies instead of at 0.

        References
        ----------
        Dias, Sutton, Welton & Ades (2013), Med. Decis. Making 33:618-640 (model of one common interaction).
        """
        base = self.treatments[0] if reference is None else reference
        if base not in self.treatments:
            raise unknown("treatment", base, self.treatments)
        studies = tuple(dict.fromkeys(self.study))
        missing = [label for label in studies if label not in values or not np.isfinite(values[label])]
        if missing:
            raise DataError(f"{term} is not known of study {missing[0]!r}: give a number for every study, or drop it.")
        middle = float(np.mean([values[label] for label in studies])) if center else 0.0
        x = np.array([values[label] - middle for label in self.study])
        active = np.array([(one != base) - (two != base) for one, two in zip(self.treat1, self.treat2, strict=True)])
        return self.with_column(term, x * active)

    def rebased(self) -> "Contrasts":
        """Return the same contrasts, those of each study against the first of its treatments in alphabetical order."""
        T, treat1, treat2 = np.zeros((self.n, self.n)), list(self.treat1), list(self.treat2)
        for label in dict.fromkeys(self.study):
            at = [i for i, s in enumerate(self.study) if s == label]
            place = {self.treat2[i]: i for i in at}
            base, *others = alphabetical({self.treat1[at[0]], *place})
            for row, other in zip(at, others, strict=True):
                treat1[row], treat2[row] = base, other
                # Against the study's own first treatment, which has no row, each other one is minus its row.
                if other in place:
                    T[row, place[other]] += 1.0
                if base in place:
                    T[row, place[base]] -= 1.0
        X = None if self.X is None else T @ self.X
        one, two = tuple(treat1), tuple(treat2)
        return replace(self, yi=T @ self.yi, V=T @ self.V @ T.T, treat1=one, treat2=two, ni=None, X=X)

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
            *([f"moderators: {', '.join(self.terms)}"] if self.terms else []),
            *(f"Note: {note}" for note in self.notes),
        ]
        return "\n".join(lines)

    def _check_columns(self) -> None:
        if self.X is None and not self.terms:
            return
        X = np.zeros((self.n, 0)) if self.X is None else np.asarray(self.X, dtype=float)
        if X.shape != (self.n, len(self.terms)) or len(set(self.terms)) < len(self.terms):
            raise DataError(
                f"X has shape {X.shape} for {self.n} contrasts and terms {', '.join(self.terms) or 'none'}."
            )
        if not np.isfinite(X).all():
            raise DataError(
                f"X has values that are no numbers, of study {self.study[int(np.argwhere(~np.isfinite(X))[0, 0])]!r}."
            )
        object.__setattr__(self, "X", frozen_array(X))

    def _check_bases(self) -> None:
        for label in dict.fromkeys(self.study):
            at = [i for i, s in enumerate(self.study) if s == label]
            if len({self.treat1[i] for i in at}) > 1 or len({self.treat2[i] for i in at}) < len(at):
                raise DataError(
                    f"The contrasts of study {label!r} do not all have the same treatment 1 and different treatments "
                    "2: make them with bm.contrasts, which takes all pairs of a study."
                )

    def _check_connected(self) -> None:
        check_connected(zip(self.treat1, self.treat2, strict=True))
