"""Estimated effects with known standard errors: what is pooled."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.errors import DataError
from bayesmeta.studies.counts import TwoByTwo
from bayesmeta.studies.labels import check_labels, kept, labels
from bayesmeta.studies.records import Adjustment, Exclusion
from bayesmeta.values import Array, column, frozen_array

if TYPE_CHECKING:
    import pandas as pd


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
        yi, sei = column("yi", self.yi), column("sei", self.sei)
        study = labels(self.study, len(yi))
        _check_scale(self.scale, self.measure, study, yi)
        ni = None if self.ni is None else column("ni", self.ni)
        check_labels(study, {"yi": len(yi), "sei": len(sei)} | ({} if ni is None else {"ni": len(ni)}))
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
        X = np.ones((len(yi), 1)) if self.X is None else _design(self.X)
        if X.shape[0] != len(yi) or not np.isfinite(X).all():
            raise DataError(
                f"X has shape {X.shape} for {len(yi)} studies: it needs one row of finite numbers per study."
            )
        terms = tuple(str(t) for t in self.terms) or (("intercept",) if X.shape[1] == 1 else _terms(X))
        if len(terms) != X.shape[1]:
            raise DataError(f"terms names {len(terms)} columns but X has {X.shape[1]}.")
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
    def moderators(self) -> tuple[str, ...]:
        """Names of the columns of `X` that are no intercept; empty where all studies have one mean."""
        assert self.X is not None
        return tuple(name for name, column in zip(self.terms, self.X.T, strict=True) if not np.all(column == 1.0))

    @property
    def vi(self) -> Array:
        """``(k,)`` sampling variances, ``sei`` squared."""
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


def _design(X: ArrayLike) -> Array:
    try:
        return np.atleast_2d(np.asarray(X, dtype=float))
    except (TypeError, ValueError):
        raise DataError(
            f"X holds what is no number: {X!r:.80}. It is a (k, p) design matrix; "
            "bm.frequentist.design_matrix makes one from moderators, categories included."
        ) from None


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
