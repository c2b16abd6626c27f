"""Forest plot of a network: every treatment against the reference, by both schools."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.compare.network_comparison import NetworkComparison
from bayesmeta.effects import find_measure
from bayesmeta.plots._style import BAYESIAN, CLASSICAL, FAINT, INK, MUTED, bare, natural_axis, new_axes, text
from bayesmeta.values import Array, frozen_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class NetworkForestData:
    """Estimates against the reference, analysis scale.

    Parameters
    ----------
    treatments
        ``(T - 1,)`` in the order of the ranks.
    reference
        What they are compared with.
    classical, bayesian
        ``(T - 1, 3)`` estimate (posterior median) and limits.
    classical_new, bayesian_new
        ``(T - 1, 2)`` limits for a new study; NaN where there are none.
    """

    treatments: tuple[str, ...]
    reference: str
    classical: Array
    bayesian: Array
    classical_new: Array
    bayesian_new: Array


def network_forest_data(comparison: NetworkComparison) -> NetworkForestData:
    """Return every treatment against the reference by both schools, the best first."""
    frame = comparison.relatives.set_index(["school", "treatment"])
    order = tuple(name for name in comparison.order if name != comparison.reference)

    def values(school: str, *columns: str) -> Array:
        return frozen_array(np.array([[float(frame.loc[(school, t), c]) for c in columns] for t in order]))  # type: ignore[arg-type]

    return NetworkForestData(
        order,
        comparison.reference,
        values("classical", "estimate", "low", "high"),
        values("bayesian", "estimate", "low", "high"),
        values("classical", "new_low", "new_high"),
        values("bayesian", "new_low", "new_high"),
    )


def network_forest(comparison: NetworkComparison, *, ax: "Axes | None" = None) -> "Axes":
    """Draw every treatment against the reference: thick the mean effect, thin the prediction interval of a new study.

    Parameters
    ----------
    comparison
        From `bayesmeta.compare_network`.
    ax
        Axes to draw in; None makes a figure.
    """
    data = network_forest_data(comparison)
    n = len(data.treatments)
    made = ax is None
    ax = new_axes(ax, 7.6, 1.1 + 0.55 * n)
    if made:
        ax.set_position((0.26, 0.62 / (1.1 + 0.55 * n), 0.7, 1.0 - 0.9 / (1.1 + 0.55 * n)))
    ax.axvline(0.0, color=FAINT, lw=1.0, zorder=0)
    for shift, colour, name, mean, new in (
        (-0.16, CLASSICAL, "classical", data.classical, data.classical_new),
        (0.16, BAYESIAN, "Bayesian", data.bayesian, data.bayesian_new),
    ):
        y = np.arange(n) + shift
        ax.hlines(y, new[:, 0], new[:, 1], color=colour, lw=0.9)
        ax.hlines(y, mean[:, 1], mean[:, 2], color=colour, lw=3.0)
        ax.scatter(mean[:, 0], y, s=30, color=colour, edgecolors="white", linewidths=0.8, zorder=3, label=name)
    for i, treatment in enumerate(data.treatments):
        text(
            ax, -0.02, i, treatment, transform=ax.get_yaxis_transform(), ha="right", va="center", fontsize=9, color=INK
        )
    ax.set_ylim(n - 0.5, -0.5)
    bare(ax)
    natural_axis(ax, find_measure(comparison.measure))
    ax.set_title(f"against {data.reference}", fontsize=9, color=MUTED, loc="left", parse_math=False)
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, fontsize=8)
    return ax
