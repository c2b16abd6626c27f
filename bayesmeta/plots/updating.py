"""A meta-analysis that grows: estimate and probability of benefit after each study."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bayesmeta.compare.precision import Printed
from bayesmeta.compare.table import daggered
from bayesmeta.decisions.updating import Sequential
from bayesmeta.effects import MEASURES
from bayesmeta.plots._style import BAYESIAN, INK, MUTED, bare, natural_axis, new_axes, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True)
class UpdatingLine:
    """One step as drawn, on the analysis scale.

    Parameters
    ----------
    label
        What was added.
    k
        Number of studies so far.
    median, low, high
        Mean effect and its credible interval.
    new_low, new_high
        Posterior prediction interval of a new study's true effect; None where the model has none.
    predicted_low, predicted_high, observed
        Interval of this study's estimate as those before it predict it, and the estimate; None where not checked.
    probability, probability_words
        Of a mean effect beyond the threshold, in the direction of benefit; None and a dash without a direction.
    """

    label: str
    k: int
    median: float
    low: float
    high: float
    new_low: float | None
    new_high: float | None
    predicted_low: float | None
    predicted_high: float | None
    observed: float | None
    probability: float | None
    probability_words: str


def updating_data(path: Sequential) -> tuple[UpdatingLine, ...]:
    """Return one line a step.

    Parameters
    ----------
    path
        Of `bayesmeta.sequential` or `bayesmeta.update`.
    """
    lines = []
    for step in path.steps:
        mean = step.posterior.mu.eti(path.level)
        new = step.posterior.theta_new.eti(path.level) if "theta_new" in step.posterior.marginals else None
        # Counts are predicted on their own scale, which has no place on this axis.
        check = step.check if step.check is not None and step.check.what == "estimate" else None
        lines.append(
            UpdatingLine(
                label=daggered(step.label, path.reconstructed),
                k=step.posterior.k,
                median=step.posterior.mu.median(),
                low=mean.low,
                high=mean.high,
                new_low=None if new is None else new.low,
                new_high=None if new is None else new.high,
                predicted_low=None if check is None else check.low,
                predicted_high=None if check is None else check.high,
                observed=None if check is None else check.observed,
                probability=step.p_mean,
                probability_words=Printed(step.posterior.mu).probability(step.p_mean),
            )
        )
    return tuple(lines)


def updating(path: Sequential, *, ax: "Axes | None" = None) -> "Axes":
    """Draw the mean effect after each study (thick), a new study's (thin), and each study on its prediction (grey).

    Parameters
    ----------
    path
        Of `bayesmeta.sequential` or `bayesmeta.update`.
    ax
        Axes to draw in; None makes a figure.
    """
    lines = updating_data(path)
    ax = new_axes(ax, 7.5, 1.0 + 0.5 * len(lines))
    scale = MEASURES[path.measure]
    across = ax.get_yaxis_transform()
    for i, line in enumerate(lines):
        if line.new_low is not None and line.new_high is not None:
            ax.plot([line.new_low, line.new_high], [-i, -i], color=BAYESIAN, lw=0.9, alpha=0.7)
        ax.plot([line.low, line.high], [-i, -i], color=BAYESIAN, lw=3.2, solid_capstyle="butt")
        ax.scatter([line.median], [-i], s=28, color=INK, zorder=3, linewidths=0)
        if line.predicted_low is not None and line.predicted_high is not None and line.observed is not None:
            ax.plot([line.predicted_low, line.predicted_high], [0.28 - i, 0.28 - i], color=MUTED, lw=0.9, ls=":")
            ax.scatter([line.observed], [0.28 - i], s=18, marker="D", color=MUTED, zorder=3, linewidths=0)
        text(ax, -0.02, -i, line.label, transform=across, ha="right", va="center", fontsize=9, color=INK)
        if line.probability is not None:
            said = f"{line.k}   {line.probability_words}"
            text(ax, 1.02, -i, said, transform=across, ha="left", va="center", fontsize=9, color=INK)
    if path.event:
        said = f"k   P({path.event}), mean effect"
        text(ax, 1.02, 0.75, said, transform=across, ha="left", va="center", fontsize=8, color=MUTED)
    if scale.null is not None:
        ax.axvline(scale.null, color=MUTED, lw=0.8, zorder=0)
    ax.set_ylim(-len(lines) + 0.4, 0.9)
    bare(ax)
    natural_axis(ax, scale)
    return ax
