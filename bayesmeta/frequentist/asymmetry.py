"""Egger's regression test of funnel-plot asymmetry, with every measure of study size."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.errors import DataError, unknown
from bayesmeta.frequentist.pool import CiRule
from bayesmeta.frequentist.printing import p_text
from bayesmeta.frequentist.small_study import (
    ASYMMETRY_IS_NOT_BIAS,
    LINE_MODELS,
    Line,
    LineModel,
    block,
    check_level,
    few_studies,
    fit_line,
    interval_text,
    statistic_text,
)
from bayesmeta.frequentist.tau2 import DEFAULT_ESTIMATOR
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array, Interval, frozen_array

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Predictor:
    """A measure of study size for :func:`egger`; `limit` says whether 0 means an infinitely large study."""

    title: str
    needs_n: bool
    limit: bool
    compute: Callable[[Array], Array]


PREDICTORS: dict[str, Predictor] = {
    "sei": Predictor("standard error", False, True, lambda sei: sei),
    "vi": Predictor("sampling variance", False, True, lambda sei: sei**2),
    "ni": Predictor("sample size", True, False, lambda ni: ni),
    "ninv": Predictor("inverse of the sample size", True, True, lambda ni: 1.0 / ni),
    "sqrtni": Predictor("square root of the sample size", True, False, np.sqrt),
    "sqrtninv": Predictor("inverse square root of the sample size", True, True, lambda ni: 1.0 / np.sqrt(ni)),
}


@dataclass(frozen=True, slots=True, eq=False)
class AsymmetryTest:
    """A regression test of funnel-plot asymmetry.

    Parameters
    ----------
    name
        The test, e.g. ``"Egger"``.
    line
        The fitted regression; its slope is what is tested.
    predictor, predictor_title
        What the effects were regressed on.
    limit, limit_ci
        Effect extrapolated to an infinitely large study, analysis scale; None where the predictor has no such limit
        or moderators are present.
    k
        Number of studies used.
    x
        ``(k,)`` the predictor.
    """

    name: str
    line: Line
    predictor: str
    predictor_title: str
    x: Array
    study: tuple[str, ...]
    limit: float | None
    limit_ci: Interval | None
    level: float
    caution: str
    reference: str
    notes: tuple[str, ...] = ()

    @property
    def k(self) -> int:
        """Number of studies used."""
        return len(self.study)

    @property
    def slope(self) -> float:
        """Change of the effect per unit of the predictor; what Egger called the bias."""
        return self.line.slope

    @property
    def slope_se(self) -> float:
        """Standard error of `slope`."""
        return self.line.slope_se

    @property
    def slope_ci(self) -> Interval:
        """Confidence interval of `slope`."""
        return self.line.slope_ci(self.level)

    @property
    def statistic(self) -> float:
        """z or t statistic of `slope`."""
        return self.line.statistic

    @property
    def df(self) -> int | None:
        """Degrees of freedom of t; None where the test is normal."""
        return self.line.df

    @property
    def p_value(self) -> float:
        """Two-sided p-value of `slope` = 0."""
        return self.line.p_value

    @property
    def model(self) -> str:
        """``"lm"`` or ``"rma"``."""
        return self.line.model

    @property
    def method(self) -> str | None:
        """Estimator of tau2 (``"rma"`` only)."""
        return self.line.method

    @property
    def tau2(self) -> float | None:
        """Residual heterogeneity (``"rma"`` only)."""
        return self.line.tau2

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame with one row, on the analysis scale."""
        import pandas as pd

        row = {
            "test": self.name,
            "model": self.model,
            "method": self.method,
            "predictor": self.predictor,
            "slope": self.slope,
            "slope_se": self.slope_se,
            "statistic": self.statistic,
            "df": self.df,
            "p_value": self.p_value,
            "limit": self.limit,
            "limit_low": None if self.limit_ci is None else self.limit_ci.low,
            "limit_high": None if self.limit_ci is None else self.limit_ci.high,
            "level": self.level,
            "tau2": self.tau2,
            "k": self.k,
        }
        return pd.DataFrame([row])

    def __str__(self) -> str:
        model = LINE_MODELS[self.model] + (f" ({self.method}, {self.line.ci_rule})" if self.method else "")
        lines = [
            f"model: {model}",
            f"predictor: {self.predictor_title}",
            f"asymmetry: {statistic_text(self.statistic, self.df)}, p {p_text(self.p_value)}",
            f"slope: {self.slope:.4g} (SE {self.slope_se:.4g}), {interval_text(self.slope_ci)}",
        ]
        if self.limit is not None and self.limit_ci is not None:
            lines.append(f"effect as {self.predictor_title} -> 0: {self.limit:.4g}, {interval_text(self.limit_ci)}")
        title = f"{self.name} test for funnel-plot asymmetry, k = {self.k}"
        return block(title, lines, notes=self.notes, caution=self.caution, reference=self.reference)


def egger(
    effects: EffectSizes,
    *,
    predictor: str = "sei",
    model: LineModel = "lm",
    method: str = DEFAULT_ESTIMATOR,
    ci: CiRule = "wald",
    level: float = 0.95,
) -> AsymmetryTest:
    r"""Test funnel asymmetry by regressing effects on a measure of study size.

    The default is Egger's test: weighted least squares of `yi` on `sei` with weights ``1 / vi`` and an estimated
    residual scale, :math:`t_{k-2}`. Its slope is the intercept of Egger's own form, ``yi / sei`` on ``1 / sei``.
    ``model="rma"`` is the mixed-effects version. Moderators in ``effects.X`` are kept beside the predictor.

    Parameters
    ----------
    effects
        At least 3 effects on the analysis scale.
    predictor
        ``"sei"``, ``"vi"``, ``"ni"``, ``"ninv"``, ``"sqrtni"`` or ``"sqrtninv"``; the last four need ``effects.ni``.
    model
        ``"lm"`` (multiplicative dispersion) or ``"rma"`` (additive heterogeneity).
    method, ci
        tau2 estimator and interval rule of ``"rma"``, as in :func:`pool`.
    level
        Coverage of the intervals.

    Returns
    -------
    AsymmetryTest
        With the limit estimate: the effect of an infinitely large study, where the predictor tends to 0.

    Raises
    ------
    DataError
        With fewer than 3 studies, a predictor that does not vary, or missing sample sizes.
    ModelError
        If an option is unknown.

    References
    ----------
    Egger et al. (1997), BMJ 315:629-634. Sterne & Egger (2005), in Publication Bias in Meta-Analysis, Wiley, ch. 6.
    """
    if predictor not in PREDICTORS:
        raise unknown("predictor", predictor, PREDICTORS)
    check_level(level)
    chosen = PREDICTORS[predictor]
    x = chosen.compute(_sample_sizes(effects, predictor) if chosen.needs_n else effects.sei)
    line = fit_line(effects, x, chosen.title, model=model, method=method, ci=ci, what="Egger's test")
    assert effects.X is not None
    limit = chosen.limit and effects.X.shape[1] == 1 and line.intercept is not None
    cautions = [few_studies(effects.k), ASYMMETRY_IS_NOT_BIAS]
    if effects.measure in ("OR", "PETO") and not chosen.needs_n:
        cautions.insert(1, "For odds ratios sei depends on the effect itself: prefer harbord() or peters().")
    elif effects.measure == "SMD" and not chosen.needs_n:
        cautions.insert(1, "For standardised mean differences sei depends on the effect itself: prefer 'sqrtninv'.")
    return AsymmetryTest(
        name="Egger",
        line=line,
        predictor=predictor,
        predictor_title=chosen.title,
        x=frozen_array(x),
        study=effects.study,
        limit=line.intercept if limit else None,
        limit_ci=line.intercept_ci(level) if limit else None,
        level=level,
        caution=" ".join(cautions),
        reference="Egger et al. (1997), BMJ 315:629-634." + (" " + line.reference if line.reference else ""),
    )


def _sample_sizes(effects: EffectSizes, predictor: str) -> Array:
    ni = effects.ni
    if ni is None and effects.counts is not None:
        ni = effects.counts.n_treatment + effects.counts.n_control
    if ni is None:
        raise DataError(
            f"Predictor {predictor!r} needs the studies' sample sizes: give them as EffectSizes(..., ni=[...]), "
            "or use predictor='sei'."
        )
    bad = ~(np.isfinite(ni) & (ni > 0))
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise DataError(f"Study {effects.study[i]!r}: ni is {ni[i]:g}; a sample size must be > 0. Correct it.")
    return ni
