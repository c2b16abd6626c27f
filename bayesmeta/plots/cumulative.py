"""Cumulative meta-analysis: the classical pooled effect after each study."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bayesmeta import frequentist
from bayesmeta.effects import MEASURES
from bayesmeta.frequentist.pool import CiRule
from bayesmeta.frequentist.tau2 import DEFAULT_ESTIMATOR
from bayesmeta.plots._style import CLASSICAL, INK, MUTED, bare, natural_axis, new_axes, text
from bayesmeta.studies import EffectSizes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True)
class CumulativeLine:
    """The pooled effect once a study has been added, on the analysis scale."""

    study: str
    k: int
    mu: float
    low: float
    high: float


def cumulative_data(
    effects: EffectSizes,
    *,
    order: Sequence[float] | str = "given",
    method: str = DEFAULT_ESTIMATOR,
    ci: CiRule = "wald",
    level: float = 0.95,
) -> tuple[CumulativeLine, ...]:
    """Return one line a study, in the order in which they are added.

    Parameters
    ----------
    effects, order, method, ci, level
        As in `frequentist.cumulative`. `updating` draws the Bayesian counterpart.
    """
    found = frequentist.cumulative(effects, order=order, method=method, ci=ci, level=level)
    return tuple(
        CumulativeLine(study, fit.k, fit.mu, fit.ci.low, fit.ci.high)
        for study, fit in zip(found.study, found.fits, strict=True)
    )


def cumulative(
    effects: EffectSizes,
    *,
    order: Sequence[float] | str = "given",
    method: str = DEFAULT_ESTIMATOR,
    ci: CiRule = "wald",
    level: float = 0.95,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw the pooled effect with its confidence interval after each study, from the first down.

    Parameters
    ----------
    effects, order, method, ci, level
        As in `cumulative_data`.
    ax
        Axes to draw in; None makes a figure.
    """
    lines = cumulative_data(effects, order=order, method=method, ci=ci, level=level)
    ax = new_axes(ax, 6.5, 0.9 + 0.28 * len(lines))
    measure, across = MEASURES[effects.measure], ax.get_yaxis_transform()
    for i, line in enumerate(lines):
        ax.plot([line.low, line.high], [-i, -i], color=CLASSICAL, lw=1.6, solid_capstyle="butt")
        ax.scatter([line.mu], [-i], s=24, color=CLASSICAL, zorder=3, linewidths=0)
        text(ax, -0.02, -i, f"+ {line.study}", transform=across, ha="right", va="center", fontsize=8.5, color=INK)
        text(ax, 1.02, -i, str(line.k), transform=across, ha="left", va="center", fontsize=8.5, color=MUTED)
    if measure.null is not None:
        ax.axvline(measure.null, color=MUTED, lw=0.8, zorder=0)
    ax.set_ylim(-len(lines) + 0.4, 0.6)
    bare(ax)
    natural_axis(ax, measure)
    return ax
