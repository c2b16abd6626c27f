"""How many times as likely significant results would have to be reported to bring the estimate to a given value."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from bayesmeta.errors import DataError, ModelError, unknown
from bayesmeta.frequentist.pool import pool
from bayesmeta.frequentist.significance import quantile
from bayesmeta.frequentist.small_study import block, check_level, interval_text, require_one_mean
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array, Interval

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = "Mathur & VanderWeele (2020), J. R. Stat. Soc. C 69:1091-1119."
_DIRECTIONS = ("greater", "less")
_SHOWN = (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True, slots=True, eq=False)
class RatioEstimate:
    """The pooled estimate if affirmative results were `ratio` times as likely to be reported (inf: only they count)."""

    ratio: float
    mu: float
    se: float
    ci: Interval


@dataclass(frozen=True, slots=True, eq=False)
class PublicationRatio:
    """Estimates over the ratio at which affirmative results are favoured.

    Parameters
    ----------
    direction
        Which significant results are favoured.
    target
        The value of mu the S-value aims at, analysis scale.
    s_value
        Ratio that brings the estimate to `target`; None where no ratio does; 1 where it is there already.
    worst_case
        Estimate from the non-affirmative studies alone; None where there are none.
    unadjusted
        Estimate at ratio 1.
    affirmative, nonaffirmative
        Names of the studies with ``|z|`` above the two-sided 5% limit in `direction`, and of the others.
    tau2
        Heterogeneity in the weights; 0 for ``model="common"``.
    """

    direction: str
    target: float
    s_value: float | None
    worst_case: RatioEstimate | None
    unadjusted: RatioEstimate
    affirmative: tuple[str, ...]
    nonaffirmative: tuple[str, ...]
    measure: str
    model: str
    tau2: float
    level: float
    yi: Array
    vi: Array
    favoured: NDArray[np.bool_]
    reference: str = REFERENCE

    @property
    def k(self) -> int:
        """Number of studies."""
        return self.yi.size

    def at(self, ratio: float) -> RatioEstimate:
        """Return the estimate if affirmative results were `ratio` (1 or more) times as likely to be reported.

        Raises
        ------
        ModelError
            If `ratio` is below 1 or not finite.
        """
        if not (np.isfinite(ratio) and ratio >= 1.0):
            raise ModelError(f"ratio is {ratio!r}; it is how many times as likely, a number from 1.")
        return self._weighted(ratio, np.where(self.favoured, 1.0 / ratio, 1.0))

    def _weighted(self, ratio: float, share: Array) -> RatioEstimate:
        return _estimate(self.yi, self.vi, share, ratio=ratio, tau2=self.tau2, model=self.model, level=self.level)

    def sentence(self) -> str:
        """Return the answer as one sentence."""
        aim = f"bring the estimate to {self.target:g}"
        if self.s_value is None:
            return f"No amount of selection of this kind would {aim}."
        if self.s_value == 1.0:
            return f"The estimate is at or beyond {self.target:g} without any selection."
        return f"Significant results would need to be {self.s_value:.3g} times as likely to be published to {aim}."

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame with the estimate at ratios 1, 2, 5, 10, and the worst case."""
        import pandas as pd

        return pd.DataFrame(
            [
                {"ratio": e.ratio, "mu": e.mu, "se": e.se, "ci_low": e.ci.low, "ci_high": e.ci.high, "k": self.k}
                for e in self._rows()
            ]
        )

    def __str__(self) -> str:
        lines = [
            f"{len(self.affirmative)} affirmative studies (significant and {self.direction} than 0), "
            f"{len(self.nonaffirmative)} others",
            *(
                f"{'unadjusted' if e.ratio == 1.0 else _label(e.ratio)}: mu = {e.mu:.4f} (SE {e.se:.4f}), "
                f"{interval_text(e.ci)}"
                for e in self._rows()
            ),
            self.sentence(),
        ]
        caution = "It supposes that a study's being reported depends on nothing but whether its result is affirmative."
        title = f"Sensitivity to publication bias, k = {self.k}, measure {self.measure}, {self.model} effect"
        return block(title, lines, caution=caution, reference=self.reference)

    def _rows(self) -> list[RatioEstimate]:
        return [*(self.at(r) for r in _SHOWN), *([self.worst_case] if self.worst_case else [])]


def publication_ratio(
    effects: EffectSizes,
    *,
    direction: Literal["greater", "less"],
    target: float = 0.0,
    model: Literal["common", "random"] = "common",
    level: float = 0.95,
) -> PublicationRatio:
    """Return how strongly significant results would have to be favoured to bring the estimate to `target`.

    Parameters
    ----------
    effects
        At least 2 independent effects on the analysis scale, without moderators.
    direction
        Whether significant results ``"greater"`` or ``"less"`` than 0 are favoured. It has no default.
    target
        Value of mu the S-value aims at, analysis scale.
    model
        ``"common"``: inverse variance weights and their standard errors. ``"random"``: weights with the REML tau2 of
        all studies, heteroscedasticity-consistent (HC2) standard errors and t with ``k - 1`` degrees of freedom.
    level
        Coverage of the intervals.

    Raises
    ------
    DataError
        With fewer than 2 studies, several rows a study, or moderators.
    ModelError
        If an option is unknown.

    References
    ----------
    Mathur & VanderWeele (2020), J. R. Stat. Soc. C 69:1091-1119.
    """
    check_level(level)
    require_one_mean(effects, "The publication ratio")
    if effects.k < 2:
        raise DataError(f"The publication ratio needs at least 2 studies; there is {effects.k}.")
    if direction not in _DIRECTIONS:
        raise unknown("direction", direction, _DIRECTIONS)
    if model not in ("common", "random"):
        raise unknown("model", model, ("common", "random"))
    if not np.isfinite(target):
        raise ModelError(f"target is {target!r}; it is a value of mu on the analysis scale.")
    sign = 1.0 if direction == "greater" else -1.0
    favoured = sign * effects.yi / effects.sei > -ndtri(0.025)
    tau2 = pool(effects, method="REML").tau2 or 0.0 if model == "random" else 0.0
    yi, vi = effects.yi, effects.vi

    def row(ratio: float, share: Array) -> RatioEstimate:
        return _estimate(yi, vi, share, ratio=ratio, tau2=tau2, model=model, level=level)

    return PublicationRatio(
        direction=direction,
        target=float(target),
        s_value=_s_value(sign * (yi - target) / (vi + tau2), favoured),
        worst_case=row(np.inf, np.where(favoured, 0.0, 1.0)) if not favoured.all() else None,
        unadjusted=row(1.0, np.ones(effects.k)),
        affirmative=tuple(s for s, f in zip(effects.study, favoured, strict=True) if f),
        nonaffirmative=tuple(s for s, f in zip(effects.study, favoured, strict=True) if not f),
        measure=effects.measure,
        model=model,
        tau2=tau2,
        level=level,
        yi=yi,
        vi=vi,
        favoured=favoured,
    )


def _s_value(pull: Array, favoured: NDArray[np.bool_]) -> float | None:
    """Return the ratio at which the pulls towards and away from the target balance; None where none does."""
    towards, away = float(pull[favoured].sum()), float(-pull[~favoured].sum())
    if towards <= away:
        return 1.0
    return towards / away if away > 0.0 else None


def _estimate(
    yi: Array, vi: Array, share: Array, *, ratio: float, tau2: float, model: str, level: float
) -> RatioEstimate:
    weight = share / (vi + tau2)
    weight = weight / weight.sum()
    mu = float(weight @ yi)
    k = int((share > 0.0).sum())
    if model == "common":
        se, df = float(np.sqrt(weight**2 @ vi)), None
    elif k == 1:
        # One study left: nothing to judge scatter by, so its own variance and the heterogeneity of all stand in.
        se, df = float(np.sqrt(weight**2 @ (vi + tau2))), None
    else:
        se, df = float(np.sqrt((weight**2 * (yi - mu) ** 2 / (1.0 - weight)).sum())), k - 1
    half = quantile(level, df) * se
    rule = "wald" if df is None else "HC2"
    return RatioEstimate(ratio, mu, se, Interval(mu - half, mu + half, level, "confidence", rule))


def _label(ratio: float) -> str:
    return f"affirmative {ratio:g} times as likely" if np.isfinite(ratio) else "worst case, the others alone"
