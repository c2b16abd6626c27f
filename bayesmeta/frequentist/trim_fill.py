"""Duval and Tweedie's trim-and-fill."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import sqrt
from typing import TYPE_CHECKING, Literal

import numpy as np

from bayesmeta.errors import ConvergenceError, DataError, ModelError, unknown
from bayesmeta.frequentist.pool import CiRule, pool
from bayesmeta.frequentist.result import PooledFit
from bayesmeta.frequentist.small_study import block, interval_text, require_one_mean, sqrt_or_none
from bayesmeta.frequentist.tau2 import DEFAULT_ESTIMATOR
from bayesmeta.studies import EffectSizes
from bayesmeta.studies.effect_sizes import ONE_ROW_A_STUDY
from bayesmeta.values import Array, frozen_array

if TYPE_CHECKING:
    import pandas as pd

type Side = Literal["left", "right"]

REFERENCE = "Duval & Tweedie (2000), Biometrics 56:455-463; J. Am. Stat. Assoc. 95:89-98."
_MAX_ITERATIONS = 100
"""The count of missing studies settles in a handful of rounds or cycles for ever."""


@dataclass(frozen=True, slots=True, eq=False)
class TrimAndFill:
    """Pooled effect after imputing the studies that trim-and-fill supposes missing.

    Parameters
    ----------
    k0
        Estimated number of missing studies.
    k0_se
        Its standard error; None where the formula has none (a negative variance).
    k0_p
        p-value of no missing studies against some, ``2^-(k0 + 1)`` (estimator R0 only).
    side, side_estimated
        Side of the funnel where studies are missing, and whether it was estimated or given.
    fit
        The pooled fit of observed and filled studies.
    original
        The pooled fit of the observed studies alone.
    filled_yi, filled_sei
        ``(k0,)`` the imputed studies, analysis scale; mirror images about ``centre``.
    centre
        The trimmed estimate about which the studies were mirrored.
    """

    estimator: str
    side: Side
    side_estimated: bool
    k0: int
    k0_se: float | None
    k0_p: float | None
    centre: float
    filled_study: tuple[str, ...]
    filled_yi: Array
    filled_sei: Array
    fit: PooledFit
    original: PooledFit
    caution: str
    reference: str = REFERENCE

    @property
    def k(self) -> int:
        """Number of observed studies."""
        return self.original.k

    @property
    def mu(self) -> float:
        """Pooled effect with the filled studies."""
        return self.fit.mu

    @property
    def effects(self) -> EffectSizes:
        """The observed effects followed by the filled ones."""
        return self.fit.effects

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row a study, the filled ones marked and last."""
        import pandas as pd

        frame = self.effects.to_frame()
        frame["filled"] = np.arange(len(frame)) >= self.k
        return pd.DataFrame(frame)

    def __str__(self) -> str:
        se = "" if self.k0_se is None else f" (SE {self.k0_se:.4g})"
        how = "estimated" if self.side_estimated else "given"
        lines = [
            f"missing studies on the {self.side} ({how}): {self.k0}{se}",
            f"observed, k = {self.k}: {self.original.mu:.4g}, {interval_text(self.original.ci)}",
            f"filled, k = {self.fit.k}: {self.fit.mu:.4g}, {interval_text(self.fit.ci)}",
        ]
        if self.k0_p is not None:
            lines.insert(1, f"no missing studies against some: p = {self.k0_p:.4f}")
        title = f"Trim-and-fill, estimator {self.estimator}, {self.fit.method} ({self.fit.ci_rule})"
        return block(title, lines, caution=self.caution, reference=self.reference)


def trim_and_fill(
    effects: EffectSizes,
    *,
    estimator: str = "L0",
    side: Side | None = None,
    method: str = DEFAULT_ESTIMATOR,
    ci: CiRule = "wald",
    level: float = 0.95,
) -> TrimAndFill:
    """Estimate how many studies are missing from one side of the funnel, and pool with them imputed.

    Parameters
    ----------
    effects
        ``k`` effects on the analysis scale, without moderators.
    estimator
        ``"L0"``, ``"R0"`` or ``"Q0"`` for the number of missing studies.
    side
        ``"left"`` or ``"right"``: where studies are missing. When not given it is the side away from which small
        studies lean, from the regression of the effects on `sei` with the same `method`; that needs 3 studies.
    method, ci, level
        As in :func:`pool`; `method` is used for trimming and for the filled fit alike.

    Raises
    ------
    DataError
        With moderators, one study, or too few to estimate the side.
    ModelError
        If an option is unknown.
    ConvergenceError
        If the number of missing studies does not settle or Q0 does not exist; the message says what to use instead.

    References
    ----------
    Duval & Tweedie (2000), Biometrics 56:455-463; J. Am. Stat. Assoc. 95:89-98.
    """
    require_one_mean(effects, "Trim-and-fill")
    if estimator not in _ESTIMATORS:
        raise unknown("trim-and-fill estimator", estimator, _ESTIMATORS)
    if side not in (None, "left", "right"):
        raise ModelError(f"side is {side!r}; it is 'left', 'right' or None (estimated).")
    original = pool(effects, method=method, ci=ci, level=level)
    if effects.k < 2:
        raise DataError("Trim-and-fill needs at least 2 studies, there is 1: a funnel has no sides with one study.")
    chosen = side or _missing_side(effects, method)
    sign = 1.0 if chosen == "left" else -1.0
    order = np.argsort(sign * effects.yi, kind="stable")
    k0, k0_se, centre = _trim(sign * effects.yi[order], effects.vi[order], method, estimator)
    # The most extreme studies on the full side, mirrored about the trimmed centre.
    extreme = order[effects.k - k0 :]
    centre *= sign
    yi, sei = 2.0 * centre - effects.yi[extreme], effects.sei[extreme]
    names = tuple(f"Filled: {effects.study[i]}" for i in extreme)
    filled = _append(effects, names, yi, sei) if k0 else effects
    return TrimAndFill(
        estimator=estimator,
        side=chosen,
        side_estimated=side is None,
        k0=k0,
        k0_se=k0_se,
        k0_p=_r0_p(k0) if estimator == "R0" else None,
        centre=centre,
        filled_study=names,
        filled_yi=frozen_array(yi),
        filled_sei=frozen_array(sei),
        fit=pool(filled, method=method, ci=ci, level=level) if k0 else original,
        original=original,
        caution=_caution(original),
    )


def _append(effects: EffectSizes, names: tuple[str, ...], yi: Array, sei: Array) -> EffectSizes:
    return replace(
        effects,
        yi=np.concatenate([effects.yi, yi]),
        sei=np.concatenate([effects.sei, sei]),
        study=effects.study + names,
        X=None,
        terms=(),
        ni=None,
        counts=None,
        observed={},
        **ONE_ROW_A_STUDY,
    )


def _caution(original: PooledFit) -> str:
    text = (
        "The filled studies are invented, not found: this is a sensitivity analysis, never the corrected effect. "
        "It supposes that asymmetry comes only from suppressed studies and misleads when effects are heterogeneous "
        f"(Terrin et al. 2003, Stat. Med. 22:2113-2126; here I2 = {original.I2:.0f}%)."
    )
    if original.k < 10:
        text = f"Do not rely on this: there are {original.k} studies, fewer than 10. " + text
    return text


def _missing_side(effects: EffectSizes, method: str) -> Side:
    if effects.k < 3:
        raise DataError(
            f"The side where studies are missing cannot be estimated from {effects.k} studies: "
            "give side='left' or side='right'."
        )
    if not np.ptp(effects.sei) > 1e-9 * float(effects.sei.max()):
        raise DataError(
            "All studies have the same standard error, so the side where studies are missing cannot be estimated: "
            "give side='left' or side='right'."
        )
    design = replace(effects, X=np.column_stack([np.ones(effects.k), effects.sei]), terms=("intercept", "sei"))
    return "right" if pool(design, method=method).beta[1] < 0 else "left"


def _centre(yi: Array, vi: Array, method: str) -> float:
    return pool(EffectSizes(yi, np.sqrt(vi)), method=method).mu


def _trim(yi: Array, vi: Array, method: str, estimator: str) -> tuple[int, float | None, float]:
    """Return the number of missing studies, its standard error and the trimmed centre, `yi` ascending."""
    k = len(yi)
    estimate = _ESTIMATORS[estimator]
    k0, seen = 0, []
    for _ in range(_MAX_ITERATIONS):
        centre = _centre(yi[: k - k0], vi[: k - k0], method)
        raw, variance = estimate(_signed_ranks(yi - centre))
        new = max(0, round(raw))
        if new == k0:
            return k0, sqrt_or_none(variance), centre
        if new >= k:
            break
        seen.append(k0)
        k0 = new
    others = " or ".join(sorted(set(_ESTIMATORS) - {estimator}))
    raise ConvergenceError(
        f"Trim-and-fill with estimator {estimator} does not settle (missing studies per round: "
        f"{', '.join(map(str, seen[:8]))}, ...). Use another estimator ({others})."
    )


def _signed_ranks(deviation: Array) -> Array:
    """Return ranks of the absolute deviations, ties in order of appearance, with the deviation's sign."""
    ranks = np.empty(len(deviation))
    ranks[np.argsort(np.abs(deviation), kind="stable")] = np.arange(1.0, len(deviation) + 1.0)
    return np.sign(deviation) * ranks


def _rank_sum_variance(k: int, k0: float) -> float:
    """Variance of the rank sum T when `k0` of ``k + k0`` studies are suppressed."""
    return (
        k * (k + 1) * (2 * k + 1) + 10 * k0**3 + 27 * k0**2 + 17 * k0 - 18 * k * k0**2 - 18 * k * k0 + 6 * k**2 * k0
    ) / 24.0


def _l0(ranks: Array) -> tuple[float, float]:
    """Linear estimator from the rank sum."""
    k = len(ranks)
    k0 = (4.0 * float(ranks[ranks > 0].sum()) - k * (k + 1)) / (2 * k - 1)
    return k0, 16.0 * _rank_sum_variance(k, k0) / (2 * k - 1) ** 2


def _r0(ranks: Array) -> tuple[float, float]:
    """Estimator from the length of the rightmost run of ranks."""
    k = len(ranks)
    k0 = k - float(max(0.0, -ranks.min())) - 1.0
    return k0, 2.0 * max(0.0, k0) + 2.0


def _q0(ranks: Array) -> tuple[float, float]:
    """Quadratic estimator from the rank sum."""
    k = len(ranks)
    inside = 2.0 * k**2 - 4.0 * float(ranks[ranks > 0].sum()) + 0.25
    if inside < 0:
        raise ConvergenceError(
            "Trim-and-fill's estimator Q0 has no solution for these data (its quadratic has no real root). "
            "Use estimator='L0' or 'R0'."
        )
    k0 = k - 0.5 - sqrt(inside)
    slope2 = (k - 0.5) ** 2 - k0 * (2 * k - k0 - 1)
    return k0, 4.0 * _rank_sum_variance(k, k0) / slope2 if slope2 > 0 else -1.0


_ESTIMATORS: dict[str, Callable[[Array], tuple[float, float]]] = {"L0": _l0, "R0": _r0, "Q0": _q0}


def _r0_p(k0: int) -> float:
    # With nothing suppressed the rightmost run of positive ranks is k0 + 1 long with a fair coin for each sign.
    return float(0.5 ** (k0 + 1))
