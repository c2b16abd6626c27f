"""Estimated effects with known standard errors: what is pooled."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.errors import DataError, option
from bayesmeta.studies.counts import TwoByTwo
from bayesmeta.studies.dependent_rows import (
    constant_correlation,
    covariance,
    relation,
    row_labels,
    standard_errors,
    text_column,
)
from bayesmeta.studies.exact_models import fit_the_counts
from bayesmeta.studies.labels import check_lengths, kept, labels
from bayesmeta.studies.records import Adjustment, Exclusion
from bayesmeta.values import Array, FrozenMap, Travels, column, frozen_array

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False, init=False)
class EffectSizes(Travels):
    """Estimated effects of ``k`` studies with known sampling standard errors, in ``n`` rows.

    Most analyses have one row a study. Where a study has several (outcomes, subgroups, time points), its label stands
    in each of them; `multilevel`, `bivariate` and cluster-robust analyses use such rows, the others refuse them.

    Parameters
    ----------
    yi
        ``(n,)`` effect estimates on the analysis scale of `measure` (log for ratio measures).
    sei
        ``(n,)`` standard errors of `yi`, same scale, all ``> 0``; or give their squares as `vi`, or `V`.
    study
        ``(n,)`` labels, in the order of the input table; numbered when not given.
    measure
        One of the strings of ``effects.MEASURES``, metafor's names.
    X
        ``(n, p)`` design matrix of a meta-regression, its intercept column included;
        a column of ones when not given.
    terms
        ``(p,)`` names of the columns of `X`.
    ni
        ``(n,)`` total sample sizes, where known.
    counts
        The 2x2 counts behind the effects, where they came from counts.
    adjusted
        What was changed before the effect sizes were computed (zero cells), study by study.
    excluded
        Studies that are not analysed, with the reason.
    rule
        How the effect sizes were computed, for the report (zero-cell rule, variance type).
    observed
        Canonical column name to the ``(k,)`` counts and sizes that the effects were computed from, before anything was
        added to them: ``events`` and ``n`` of a proportion, say. Empty for ready estimates.
    scale
        Must be ``"analysis"``: state ``"natural"`` for ratios as papers print them, and you are told how to bring
        them to the log scale instead of pooling them as they are.
    R
        Known correlation of the clusters' true effects, e.g. of species by their phylogeny: a square matrix, clusters
        in the order in which they first appear in the rows.
    cluster
        ``(n,)`` labels of what rows belong to together, where that is not the study: a laboratory, a family of trials.
    outcome
        ``(n,)`` what each row measured, where that differs.
    effect
        ``(n,)`` labels that tell the rows of a study apart, for tables and plots.
    V
        Sampling covariance of the estimates: an ``(n, n)`` matrix, or a sequence of square blocks in the order of the
        rows. None where the estimates are independent given the true effects.
    vi
        ``(n,)`` sampling variances, in place of `sei`.
    sampling_correlation
        One correlation between all estimates of a cluster, in place of `V` (Pustejovsky & Tipton 2022, Prevention
        Science 23:425-438).

    Raises
    ------
    DataError
        If lengths differ, a value is not finite, a standard error is not positive, or V is not positive definite.
    """

    yi: Array
    sei: Array
    study: tuple[str, ...]
    measure: str
    X: Array | None
    terms: tuple[str, ...]
    ni: Array | None
    counts: TwoByTwo | None
    adjusted: tuple[Adjustment, ...]
    excluded: tuple[Exclusion, ...]
    rule: str
    scale: str
    cluster: tuple[str, ...]
    outcome: tuple[str, ...] | None
    effect: tuple[str, ...] | None
    V: Array | None
    observed: Mapping[str, Array]
    R: Array | None

    # Not made by the decorator: variances and a common correlation are ways to give what is kept in another form.
    def __init__(
        self,
        yi: ArrayLike,
        sei: ArrayLike | None = None,
        study: Sequence[str] | None = (),
        measure: str = "GEN",
        X: ArrayLike | None = None,
        terms: Sequence[str] = (),
        ni: ArrayLike | None = None,
        counts: TwoByTwo | None = None,
        adjusted: tuple[Adjustment, ...] = (),
        excluded: tuple[Exclusion, ...] = (),
        rule: str = "",
        scale: str = "analysis",
        *,
        cluster: Sequence[str] = (),
        outcome: Sequence[str] | None = None,
        effect: Sequence[str] | None = None,
        V: ArrayLike | Sequence[ArrayLike] | None = None,
        vi: ArrayLike | None = None,
        sampling_correlation: float | None = None,
        observed: Mapping[str, ArrayLike] | None = None,
        R: ArrayLike | None = None,
    ) -> None:
        yi = column("yi", yi)
        sei = column("sei", standard_errors(sei, vi, V))
        study = labels(study, len(yi))
        _check_scale(scale, measure, study, yi)
        ni = None if ni is None else column("ni", ni)
        check_lengths(study, {"yi": len(yi), "sei": len(sei)} | ({} if ni is None else {"ni": len(ni)}))
        cluster = text_column("cluster", cluster, len(yi)) or study
        outcome = text_column("outcome", outcome, len(yi))
        effect = text_column("effect", effect, len(yi))
        rows = row_labels(study, outcome, effect)
        _check_finite(rows, yi, sei)
        X, terms = _design(X, terms, len(yi))
        if V is not None and sampling_correlation is not None:
            raise DataError("V and sampling_correlation are both given: give one of them.")
        if V is not None:
            V = covariance(V, sei, rows)
        elif sampling_correlation is not None:
            V = constant_correlation(sampling_correlation, sei, cluster, rows)
        seen = {name: column(name, values) for name, values in (observed or {}).items()}
        check_lengths(study, {name: len(values) for name, values in seen.items()})
        observed = FrozenMap(seen)
        R = None if R is None else relation(R, tuple(dict.fromkeys(cluster)))
        given = locals()
        for field in fields(type(self)):
            object.__setattr__(self, field.name, given[field.name])

    @property
    def k(self) -> int:
        """Number of studies; of clusters, where rows belong to clusters that are not the studies."""
        return len(set(self.cluster))

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.yi)

    @property
    def rows(self) -> tuple[str, ...]:
        """``(n,)`` unique labels of the rows: the study's, with outcome, effect or a number where it has several."""
        return row_labels(self.study, self.outcome, self.effect)

    @property
    def independent(self) -> bool:
        """Whether each row is a study of its own: no two belong together, and no two estimates are correlated."""
        return self.V is None and self.R is None and self.k == self.n

    @property
    def moderators(self) -> tuple[str, ...]:
        """Names of the columns of `X` that are no intercept; empty where all studies have one mean."""
        assert self.X is not None
        return tuple(name for name, column in zip(self.terms, self.X.T, strict=True) if not np.all(column == 1.0))

    @property
    def vi(self) -> Array:
        """``(n,)`` sampling variances, ``sei`` squared."""
        return frozen_array(self.sei**2)

    def drop(self, study: Iterable[str]) -> "EffectSizes":
        """Return the effect sizes without the studies named, everything else unchanged."""
        names = tuple(study)
        keep = kept(self.study, names)
        assert self.X is not None
        return replace(
            self,
            yi=self.yi[keep],
            sei=self.sei[keep],
            study=_taken(self.study, keep),
            X=self.X[keep],
            ni=None if self.ni is None else self.ni[keep],
            cluster=_taken(self.cluster, keep),
            outcome=None if self.outcome is None else _taken(self.outcome, keep),
            effect=None if self.effect is None else _taken(self.effect, keep),
            V=None if self.V is None else self.V[np.ix_(keep, keep)],
            counts=None if self.counts is None else self.counts.drop(names),
            adjusted=tuple(a for a in self.adjusted if a.study not in names),
            observed={name: values[keep] for name, values in self.observed.items()},
            R=None if self.R is None else self._relation_of(_taken(self.cluster, keep)),
        )

    def _relation_of(self, cluster: Sequence[str]) -> Array:
        """Return the correlations of the clusters that stay, in the order in which they then appear."""
        assert self.R is not None
        place = {label: i for i, label in enumerate(dict.fromkeys(self.cluster))}
        kept_rows = [place[label] for label in dict.fromkeys(cluster)]
        return self.R[np.ix_(kept_rows, kept_rows)]

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row an effect."""
        import pandas as pd

        columns: dict[str, Any] = {"study": self.study}
        if self.cluster != self.study:
            columns["cluster"] = self.cluster
        if self.outcome is not None:
            columns["outcome"] = self.outcome
        if self.effect is not None:
            columns["effect"] = self.effect
        return pd.DataFrame({**columns, "yi": self.yi, "sei": self.sei, "vi": self.vi})

    def check_independent(self, what: str) -> None:
        """Refuse rows that belong together, for a method that takes one row a study.

        Raises
        ------
        DataError
            If two rows belong to one study or cluster, or their estimates are correlated.
        """
        if self.independent:
            return
        several = f"{self.n} rows of {self.k} studies" if self.k < self.n else "correlated estimates"
        raise DataError(
            f"{what} takes one independent row a study, and these are {several}: its answer would be too certain. Use "
            f"{option('model', 'multilevel')} (bm.fit, or bm.frequentist.components with robust='CR2'), or choose one "
            "row a study."
        )


# What tells rows of one study apart, of effects that have one row each.
ONE_ROW_A_STUDY: dict[str, Any] = {"cluster": (), "outcome": None, "effect": None, "V": None}


def _taken(names: Sequence[str], keep: Any) -> tuple[str, ...]:
    return tuple(name for name, stays in zip(names, keep, strict=True) if stays)


def _check_finite(study: Sequence[str], yi: Array, sei: Array) -> None:
    bad = ~(np.isfinite(yi) & np.isfinite(sei) & (sei > 0))
    if bad.any():
        names = ", ".join(f"{s} (yi = {y:g}, sei = {e:g})" for s, y, e, b in zip(study, yi, sei, bad, strict=True) if b)
        raise DataError(
            f"Cannot pool {bad.sum()} of {len(yi)} studies: {names}: yi must be finite and sei finite and > 0. "
            f"If they are 2x2 tables with zero cells, {fit_the_counts('OR')}; "
            "otherwise correct or remove them."
        )


def _design(X: ArrayLike | None, terms: Sequence[str], n: int) -> tuple[Array, tuple[str, ...]]:
    """Return a checked design of ``n`` rows and the names of its columns: a column of ones when none is given."""
    try:
        matrix = frozen_array(np.ones((n, 1)) if X is None else np.atleast_2d(np.asarray(X, dtype=float)))
    except (TypeError, ValueError):
        raise DataError(
            f"X holds what is no number: {X!r:.80}. It is a (k, p) design matrix; "
            "bm.frequentist.design_matrix makes one from moderators, categories included."
        ) from None
    if matrix.shape[0] != n or not np.isfinite(matrix).all():
        raise DataError(f"X has shape {matrix.shape} for {n} studies: it needs one row of finite numbers per study.")
    names = tuple(str(t) for t in terms) or (("intercept",) if matrix.shape[1] == 1 else _terms(matrix))
    if len(names) != matrix.shape[1]:
        raise DataError(f"terms names {len(names)} columns but X has {matrix.shape[1]}.")
    return matrix, names


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
