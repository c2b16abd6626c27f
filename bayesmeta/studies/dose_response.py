"""Effects at several doses of each study against its reference dose, with the covariance of Greenland & Longnecker."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import root

from bayesmeta.errors import ConvergenceError, DataError, unknown
from bayesmeta.studies.dependent_rows import text_column
from bayesmeta.studies.effect_sizes import EffectSizes
from bayesmeta.values import Array, Travels, column

type Shape = Literal["linear", "quadratic", "spline"]

TYPES = ("cc", "ci", "ir")
SHAPES = ("linear", "quadratic", "spline")
# Places of the knots of a restricted cubic spline among all doses: Harrell's for three knots.
QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True, slots=True, eq=False)
class DoseResponse(Travels):
    """Cases and log relative risks at several doses of each study.

    Every study has one reference row, that without a standard error; its effect is 0.

    Parameters
    ----------
    study
        ``(n,)`` labels; a study's rows share one.
    dose
        ``(n,)`` doses, any unit.
    cases
        ``(n,)`` cases at each dose.
    n
        ``(n,)`` people (``"cc"``: cases and controls together; ``"ci"``) or person-time (``"ir"``) at each dose.
    type
        ``(n,)`` or one for all: ``"cc"`` case-control, ``"ci"`` cumulative incidence, ``"ir"`` incidence rate.
    yi, sei
        ``(n,)`` log relative risks against the reference row and their standard errors, as adjusted as the studies gave
        them; nan (or 0) as the standard error of the reference row. From the counts when not given.
    shape
        ``"linear"``, ``"quadratic"``, or ``"spline"``: a restricted cubic spline with three knots.
    unit
        Coefficients are per this much of dose.

    Raises
    ------
    DataError
        If a study has not exactly one reference row, a count is impossible, or a type is unknown.
    """

    study: tuple[str, ...]
    dose: Array
    cases: Array
    n: Array
    type: tuple[str, ...] | str
    yi: Array | None = None
    sei: Array | None = None
    shape: Shape = "linear"
    unit: float = 1.0

    def __post_init__(self) -> None:
        dose, cases, total = (column(name, getattr(self, name)) for name in ("dose", "cases", "n"))
        rows = len(dose)
        study = text_column("study", self.study, rows)
        kinds = (self.type,) * rows if isinstance(self.type, str) else text_column("type", self.type, rows)
        if study is None or kinds is None or not len(cases) == len(total) == rows:
            raise DataError("study, dose, cases, n and type need one value for each row.")
        for kind in kinds:
            if kind not in TYPES:
                raise unknown("type =", kind, TYPES)
        if self.shape not in SHAPES:
            raise unknown("shape =", self.shape, SHAPES)
        for i in np.flatnonzero(~(np.isfinite(dose) & (cases > 0) & (total > cases) & np.isfinite(total))):
            raise DataError(
                f"Study {study[i]!r}, dose {dose[i]:g}: cases = {cases[i]:g} of n = {total[i]:g}. Each dose needs "
                "cases, and more people or person-time than cases: join it with a neighbouring dose."
            )
        yi, sei = _estimates(study, kinds, dose, cases, total, self.yi, self.sei)
        settled = {"study": study, "dose": dose, "cases": cases, "n": total, "type": kinds, "yi": yi, "sei": sei}
        for name, value in settled.items():
            object.__setattr__(self, name, value)

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(set(self.study))

    @property
    def knots(self) -> Array:
        """Knots of the spline, in units of `unit`."""
        return np.quantile(self.dose / self.unit, QUANTILES)

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the coefficients."""
        return {"linear": ("mu",), "quadratic": ("dose", "dose^2"), "spline": ("dose", "dose'")}[self.shape]

    def design(self, dose: Array | float, reference: float = 0.0) -> Array:
        """Return ``(n, p)``: what the coefficients are multiplied with for the log relative risk of doses.

        Parameters
        ----------
        dose
            ``(n,)`` doses.
        reference
            Dose that they are compared with.
        """
        return self._basis(np.atleast_1d(np.asarray(dose, dtype=float))) - self._basis(np.array([float(reference)]))

    def _basis(self, dose: Array) -> Array:
        x = dose / self.unit
        if self.shape == "linear":
            return np.asarray(x[:, None])
        if self.shape == "quadratic":
            return np.column_stack([x, x**2])
        low, middle, high = self.knots
        cube = [np.maximum(x - knot, 0.0) ** 3 for knot in (low, middle, high)]
        bend = cube[0] - cube[1] * (high - low) / (high - middle) + cube[2] * (middle - low) / (high - middle)
        return np.column_stack([x, bend / (high - low) ** 2])

    def effects(self) -> EffectSizes:
        """Return the rows but the reference ones, with their design and their covariance within studies."""
        keep, blocks, parts = [], [], []
        assert self.yi is not None
        assert self.sei is not None
        for label in dict.fromkeys(self.study):
            rows = np.array([i for i, name in enumerate(self.study) if name == label])
            reference = rows[np.isnan(self.sei[rows])][0]
            others = rows[rows != reference]
            order = np.concatenate([[reference], others])
            columns = (a[order] for a in (self.cases, self.n, self.yi, self.sei))
            blocks.append(covariance(self.type[reference], *columns))
            parts.append(self._basis(self.dose[others]) - self._basis(self.dose[[reference]]))
            keep += others.tolist()
        return EffectSizes(
            self.yi[keep],
            V=blocks,
            study=[self.study[i] for i in keep],
            effect=[f"dose {self.dose[i]:g}" for i in keep],
            X=np.concatenate(parts),
            terms=self.terms,
            measure="OR" if "cc" in self.type else "RR",
        )


def _estimates(
    study: tuple[str, ...], kinds: tuple[str, ...], dose: Array, cases: Array, n: Array, yi: object, sei: object
) -> tuple[Array, Array]:
    """Return effects and standard errors, nan in the reference rows; those of the counts where none are given."""
    if (yi is None) != (sei is None):
        raise DataError("yi and sei belong together: give both, or neither, and they are computed from the counts.")
    given = None if yi is None else (np.array(yi, dtype=float), np.array(sei, dtype=float))
    y, s = np.zeros(len(dose)), np.full(len(dose), np.nan)
    for label in dict.fromkeys(study):
        rows = np.array([i for i, name in enumerate(study) if name == label])
        if given is None:
            reference = int(rows[np.argmin(dose[rows])])
        else:
            empty = rows[~(given[1][rows] > 0.0)]
            if len(empty) != 1:
                raise DataError(
                    f"Study {label!r} has {len(empty)} reference rows (without a standard error): one is needed, to "
                    "which the others are compared."
                )
            reference = int(empty[0])
        others = rows[rows != reference]
        if others.size == 0:
            raise DataError(f"Study {label!r} has its reference dose alone: it says nothing of a trend. Leave it out.")
        if given is not None:
            y[others], s[others] = given[0][others], given[1][others]
            continue
        odds = kinds[reference] == "cc"
        base = n - cases if odds else n
        y[others] = np.log(cases[others] / base[others]) - np.log(cases[reference] / base[reference])
        share = [_variances(kinds[reference], cases[i], n[i]) for i in (others, reference)]
        s[others] = np.sqrt(share[0] + share[1])
    return column("yi", y), column("sei", s)


def _variances(kind: str, cases: Array, n: Array) -> Array:
    """Return what a dose adds to the variance of a log relative risk."""
    if kind == "cc":
        return np.asarray(1.0 / cases + 1.0 / (n - cases))
    return np.asarray(1.0 / cases - 1.0 / n if kind == "ci" else 1.0 / cases)


def covariance(kind: str, cases: Array, n: Array, yi: Array, sei: Array) -> Array:
    """Return the covariance of a study's log relative risks, which share their reference dose.

    Pseudo-counts are found that have the study's margins and give its adjusted estimates; their correlations are taken
    to the standard errors as reported.

    Parameters
    ----------
    kind
        ``"cc"``, ``"ci"`` or ``"ir"``.
    cases, n, yi, sei
        ``(m,)``, the reference dose first.

    Raises
    ------
    ConvergenceError
        If there are no such pseudo-counts.

    References
    ----------
    Greenland & Longnecker (1992), Am. J. Epidemiol. 135:1301-1309.
    """
    total, m = float(cases.sum()), len(cases) - 1

    def counts(log: Array) -> Array:
        # All cases are shared out; logs keep every count positive.
        weight = np.exp(np.concatenate([[0.0], log]))
        return np.asarray(total * weight / weight.sum())

    def missed(log: Array) -> Array:
        A = counts(log)
        base = n - A if kind == "cc" else n
        with np.errstate(invalid="ignore"):
            odds = np.log(A) - np.log(np.maximum(base, 1e-300))
        return np.asarray(odds[1:] - odds[0] - yi[1:])

    found = root(missed, np.log(cases[1:] / cases[0]), tol=1e-13)
    A = counts(found.x)
    if np.max(np.abs(missed(found.x))) > 1e-8 or np.any(n <= A):
        raise ConvergenceError(
            "No counts with the study's margins give its relative risks: check cases, n and yi of its doses."
        )
    share = _variances(kind, A, n)
    crude = np.sqrt(share[1:] + share[0])
    correlation = share[0] / np.outer(crude, crude)
    np.fill_diagonal(correlation, 1.0)
    return np.asarray(correlation * np.outer(sei[1:], sei[1:])) if m > 1 else np.array([[sei[1] ** 2]])
