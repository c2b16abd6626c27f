"""The pooled effect under each set of priors: how much the answer depends on them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bayesmeta.decisions.quantities import measure_of
from bayesmeta.effects import MEASURES
from bayesmeta.plots._style import BAYESIAN, INK, MUTED, bare, natural_axis, new_axes, text
from bayesmeta.posterior import Posterior

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True)
class PriorSetLine:
    """One set of priors as drawn: median, credible interval and prediction interval of the effect."""

    label: str
    median: float
    low: float
    high: float
    new_low: float | None
    new_high: float | None


def prior_sets_data(posteriors: Mapping[str, Posterior], *, level: float = 0.95) -> tuple[PriorSetLine, ...]:
    """Return one line per set of priors, on the analysis scale.

    Parameters
    ----------
    posteriors
        Label of the prior set to its posterior.
    level
        Of both intervals.
    """
    lines = []
    for label, posterior in posteriors.items():
        mean = posterior.mu.eti(level)
        new = posterior.theta_new.eti(level) if "theta_new" in posterior.marginals else (None, None)
        lines.append(PriorSetLine(label, posterior.mu.median(), mean.low, mean.high, *new))
    return tuple(lines)


def prior_sets(
    posteriors: Mapping[str, Posterior], *, measure: str = "GEN", level: float = 0.95, ax: "Axes | None" = None
) -> "Axes":
    """Draw the pooled effect (thick) and a new study's effect (thin) under each set of priors.

    Parameters
    ----------
    posteriors
        Label of the prior set to its posterior; the first is the primary one.
    measure
        For the axis.
    level
        Of the credible and the posterior prediction interval.
    ax
        Axes to draw in; None makes a figure.

    Raises
    ------
    ModelError
        If a posterior is about another measure.
    """
    if measure != "GEN":
        for posterior in posteriors.values():
            measure_of(posterior, measure)
    lines = prior_sets_data(posteriors, level=level)
    ax = new_axes(ax, 7.0, 0.7 + 0.32 * len(lines))
    scale = MEASURES[measure]
    for i, line in enumerate(lines):
        if line.new_low is not None and line.new_high is not None:
            ax.plot([line.new_low, line.new_high], [-i, -i], color=BAYESIAN, lw=0.9, alpha=0.7)
        ax.plot([line.low, line.high], [-i, -i], color=BAYESIAN, lw=3.2, solid_capstyle="butt")
        ax.scatter([line.median], [-i], s=30, color=INK if i == 0 else BAYESIAN, zorder=3, linewidths=0)
        weight = "bold" if i == 0 else "normal"
        text(
            ax, -0.02, -i, line.label, transform=ax.get_yaxis_transform(), ha="right", va="center", fontsize=9,
            color=INK, fontweight=weight,
        )  # fmt: skip
    if scale.null is not None:
        ax.axvline(scale.null, color=MUTED, lw=0.8, zorder=0)
    ax.set_ylim(-len(lines) + 0.4, 0.6)
    bare(ax)
    natural_axis(ax, scale)
    return ax
