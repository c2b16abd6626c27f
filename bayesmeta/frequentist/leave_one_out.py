"""Pooling again and again: without each study in turn, and study by study as evidence accumulates."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesmeta.errors import ConvergenceError, DataError, ModelError
from bayesmeta.frequentist.pool import CiRule, pool
from bayesmeta.frequentist.result import PooledFit
from bayesmeta.frequentist.small_study import block, require_one_mean
from bayesmeta.frequentist.tau2 import DEFAULT_ESTIMATOR
from bayesmeta.studies import EffectSizes
from bayesmeta.studies.effect_sizes import ONE_ROW_A_STUDY
from bayesmeta.values import Array, Interval, frozen_array

if TYPE_CHECKING:
    import pandas as pd

LEAVE_ONE_OUT = "Viechtbauer & Cheung (2010), Res. Synth. Methods 1:112-125."
CUMULATIVE = "Lau et al. (1992), N. Engl. J. Med. 327:248-254."


@dataclass(frozen=True, slots=True, eq=False)
class Refits:
    """One pooled fit a row: each study left out in turn, or studies added one by one.

    Parameters
    ----------
    kind
        ``"leave-one-out"`` or ``"cumulative"``.
    study
        ``(k,)`` the study left out of, or added in, each row.
    fits
        ``(k,)`` the pooled fits.
    full
        The pooled fit of all studies.
    order
        What a cumulative analysis was ordered by.
    """

    kind: str
    study: tuple[str, ...]
    fits: tuple[PooledFit, ...]
    full: PooledFit
    order: str
    caution: str
    reference: str
    notes: tuple[str, ...] = ()

    @property
    def k(self) -> int:
        """Number of rows."""
        return len(self.study)

    def _values(self, name: str) -> Array:
        return frozen_array([getattr(fit, name) for fit in self.fits])

    @property
    def mu(self) -> Array:
        """``(k,)`` pooled effects, analysis scale."""
        return self._values("mu")

    @property
    def se(self) -> Array:
        """``(k,)`` standard errors of `mu`."""
        return self._values("se")

    @property
    def statistic(self) -> Array:
        """``(k,)`` z or t statistics of `mu`."""
        return self._values("statistic")

    @property
    def p_value(self) -> Array:
        """``(k,)`` two-sided p-values of `mu` = 0."""
        return self._values("p_value")

    @property
    def ci(self) -> tuple[Interval, ...]:
        """``(k,)`` confidence intervals; each says by which rule."""
        return tuple(fit.ci for fit in self.fits)

    @property
    def tau2(self) -> Array:
        """``(k,)`` between-study variances."""
        return self._values("tau2")

    @property
    def I2(self) -> Array:
        """``(k,)`` I2, percent."""
        return self._values("I2")

    @property
    def H2(self) -> Array:
        """``(k,)`` H2."""
        return self._values("H2")

    @property
    def Q(self) -> Array:
        """``(k,)`` heterogeneity statistics."""
        return self._values("Q")

    @property
    def Q_p(self) -> Array:
        """``(k,)`` p-values of `Q`."""
        return self._values("Q_p")

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row a refit, on the analysis scale."""
        import pandas as pd

        intervals = self.ci
        names = ("mu", "se", "statistic", "p_value", "tau2", "I2", "H2", "Q", "Q_p")
        columns = {name: getattr(self, name) for name in names}
        columns["ci_low"] = np.array([i.low for i in intervals])
        columns["ci_high"] = np.array([i.high for i in intervals])
        frame = pd.DataFrame({"study": self.study, **columns})
        frame["ci_rule"] = [i.rule for i in intervals]
        frame["k"] = [fit.k for fit in self.fits]
        return frame

    def __str__(self) -> str:
        sign = "-" if self.kind == "leave-one-out" else "+"
        width = max(len(s) for s in self.study) + 1
        lines = [f"{'':{width}} {'mu':>9} {'ci low':>9} {'ci high':>9} {'p':>7} {'tau2':>8} {'I2':>6}"]
        for name, fit in [*zip(self.study, self.fits, strict=True), ("", self.full)]:
            label = sign + name if name else "all"
            lines.append(
                f"{label:{width}} {fit.mu:9.4g} {fit.ci.low:9.4g} {fit.ci.high:9.4g} {fit.p_value:7.4f} "
                f"{fit.tau2 or 0.0:8.4g} {fit.I2:5.1f}%"
            )
        by = f", by {self.order}" if self.order else ""
        title = (
            f"{self.kind.capitalize()} analysis{by}, {self.full.method}, "
            f"{100 * self.full.level:g}% confidence intervals ({self.full.ci_rule})"
        )
        return block(title, lines, notes=self.notes, caution=self.caution, reference=self.reference)


def _rule(k: int, ci: CiRule) -> CiRule:
    # One study has no degrees of freedom: its own Wald interval is the only one there is.
    return "wald" if k == 1 else ci


def _single_note(fits: Sequence[PooledFit], ci: str) -> tuple[str, ...]:
    if any(fit.k == 1 for fit in fits) and ci not in ("wald", "z"):
        return (f"Rows with a single study show its own Wald interval: ci={ci!r} needs two studies.",)
    return ()


def subset(effects: EffectSizes, keep: NDArray[np.bool_] | NDArray[np.intp]) -> EffectSizes:
    """Return the studies `keep` (mask or positions), with what belongs to single studies only."""
    assert effects.X is not None
    return replace(
        effects,
        yi=effects.yi[keep],
        sei=effects.sei[keep],
        study=tuple(np.array(effects.study, dtype=object)[keep]),
        X=effects.X[keep],
        ni=None,
        counts=None,
        observed={},
        **ONE_ROW_A_STUDY,
    )


def refit_without(effects: EffectSizes, i: int, *, method: str, ci: CiRule, level: float = 0.95) -> PooledFit:
    """Return the pooled fit without study `i`, or an error that names it."""
    keep = np.arange(effects.k) != i
    try:
        return pool(subset(effects, keep), method=method, ci=_rule(effects.k - 1, ci), level=level)
    except (DataError, ConvergenceError) as error:
        raise type(error)(f"Without study {effects.study[i]!r}: {error}") from None


def leave_one_out(
    effects: EffectSizes, *, method: str = DEFAULT_ESTIMATOR, ci: CiRule = "wald", level: float = 0.95
) -> Refits:
    """Pool again without each study in turn.

    Parameters
    ----------
    effects
        At least 2 effects on the analysis scale, without moderators.
    method, ci, level
        As in :func:`pool`. tau2 is estimated anew each time.

    Raises
    ------
    DataError
        With one study or with moderators.
    ConvergenceError
        If a refit fails; the message names the study left out.

    References
    ----------
    Viechtbauer & Cheung (2010), Res. Synth. Methods 1:112-125.
    """
    require_one_mean(effects, "Leave-one-out analysis")
    _require_two(effects, "Leave-one-out analysis")
    full = pool(effects, method=method, ci=ci, level=level)
    fits = tuple(refit_without(effects, i, method=method, ci=ci, level=level) for i in range(effects.k))
    caution = (
        "Not a licence to drop a study because the answer changes. With few studies (here "
        f"{effects.k}) every study is influential; the intervals are not adjusted for looking {effects.k} times."
    )
    return Refits("leave-one-out", effects.study, fits, full, "", caution, LEAVE_ONE_OUT, _single_note(fits, ci))


def cumulative(
    effects: EffectSizes,
    *,
    order: Literal["precision", "given"] | ArrayLike = "given",
    method: str = DEFAULT_ESTIMATOR,
    ci: CiRule = "wald",
    level: float = 0.95,
) -> Refits:
    """Pool the first study, the first two, and so on.

    Parameters
    ----------
    effects
        ``k`` effects on the analysis scale, without moderators.
    order
        ``"given"``: as in `effects`. ``"precision"``: from the smallest standard error to the largest. Or ``(k,)``
        values to sort by in ascending order, such as years; ties keep the given order.
    method, ci, level
        As in :func:`pool`.

    Raises
    ------
    DataError
        With moderators, or `order` values that are missing or not one per study.
    ModelError
        If `order` is an unknown word.

    References
    ----------
    Lau et al. (1992), N. Engl. J. Med. 327:248-254.
    """
    require_one_mean(effects, "Cumulative analysis")
    positions, name = _positions(effects, order)
    study = tuple(effects.study[i] for i in positions)
    fits = []
    for j in range(1, effects.k + 1):
        part = subset(effects, positions[:j])
        try:
            fits.append(pool(part, method=method, ci=_rule(j, ci), level=level))
        except (DataError, ConvergenceError) as error:
            raise type(error)(f"With the first {j} studies (up to {study[j - 1]!r}): {error}") from None
    caution = (
        "Each row looks at the data again: these intervals and p-values are not adjusted for repeated looks, "
        "so the first significant row proves nothing."
    )
    return Refits("cumulative", study, tuple(fits), fits[-1], name, caution, CUMULATIVE, _single_note(fits, ci))


def _positions(effects: EffectSizes, order: Literal["precision", "given"] | ArrayLike) -> tuple[NDArray[np.intp], str]:
    if isinstance(order, str):
        if order == "given":
            return np.arange(effects.k), ""
        if order == "precision":
            return np.argsort(effects.sei, kind="stable"), "precision"
        raise ModelError(
            f"order is {order!r}; it is 'given', 'precision', or one number per study to sort by (years, say)."
        )
    values = np.asarray(order, dtype=float)
    if values.shape != (effects.k,) or not np.isfinite(values).all():
        raise DataError(
            f"order needs one finite number for each of the {effects.k} studies; it has shape {values.shape}"
            + ("." if np.isfinite(values).all() else " and missing values.")
        )
    return np.argsort(values, kind="stable"), "the values given"


def _require_two(effects: EffectSizes, what: str) -> None:
    if effects.k < 2:
        raise DataError(f"{what} needs at least 2 studies; there is 1, and nothing would be left without it.")
