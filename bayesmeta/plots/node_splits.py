"""Forest plot of direct against indirect evidence of each comparison."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.compare.network_comparison import NetworkComparison
from bayesmeta.effects import find_measure
from bayesmeta.errors import ModelError
from bayesmeta.frequentist.printing import p_text
from bayesmeta.frequentist.significance import quantile
from bayesmeta.plots._style import CLASSICAL, FAINT, INK, MUTED, bare, natural_axis, new_axes, text
from bayesmeta.values import Array, frozen_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class NodeSplitsData:
    """Direct, indirect and network estimates, analysis scale.

    Parameters
    ----------
    comparisons
        ``(c,)`` labels of comparisons that have both kinds of evidence.
    direct, indirect, network
        ``(c, 3)`` classical estimate and limits.
    p_value, p_bayesian
        ``(c,)`` of their difference; NaN where a school has none.
    """

    comparisons: tuple[str, ...]
    direct: Array
    indirect: Array
    network: Array
    p_value: Array
    p_bayesian: Array


def node_splits_data(comparison: NetworkComparison) -> NodeSplitsData:
    """Return direct, indirect and network estimates of the comparisons that have both kinds of evidence.

    Raises
    ------
    ModelError
        If none has.
    """
    frame = comparison.node_splits
    frame = frame[frame["difference"].notna()] if "difference" in frame else frame.iloc[:0]
    if frame.empty:
        raise ModelError("No comparison of the network has both direct and indirect evidence: nothing to draw.")
    z = quantile(comparison.level, None)

    def limits(name: str) -> Array:
        middle, se = frame[name].to_numpy(dtype=float), frame[f"{name}_se"].to_numpy(dtype=float)
        return frozen_array(np.column_stack([middle, middle - z * se, middle + z * se]))

    return NodeSplitsData(
        tuple(f"{b} : {a}" for b, a in zip(frame["treatment"], frame["reference"], strict=True)),
        limits("direct"),
        limits("indirect"),
        limits("network"),
        frozen_array(frame["p_value"].to_numpy(dtype=float)),
        frozen_array(frame["bayesian_p"].to_numpy(dtype=float)),
    )


def node_splits(comparison: NetworkComparison, *, ax: "Axes | None" = None) -> "Axes":
    """Draw direct, indirect and network estimates of each comparison, with the p-values of both schools.

    Parameters
    ----------
    comparison
        From `bayesmeta.compare_network`.
    ax
        Axes to draw in; None makes a figure.
    """
    data = node_splits_data(comparison)
    n = len(data.comparisons)
    height = 1.1 + 0.6 * n
    made = ax is None
    ax = new_axes(ax, 8.6, height)
    if made:
        ax.set_position((0.3, 0.62 / height, 0.44, 1.0 - 0.95 / height))
    ax.axvline(0.0, color=FAINT, lw=1.0, zorder=0)
    for shift, colour, marker, name, values in (
        (-0.22, INK, "s", "direct", data.direct),
        (0.0, MUTED, "o", "indirect", data.indirect),
        (0.22, CLASSICAL, "D", "network", data.network),
    ):
        y = np.arange(n) + shift
        ax.hlines(y, values[:, 1], values[:, 2], color=colour, lw=1.4)
        ax.scatter(values[:, 0], y, s=20, marker=marker, color=colour, zorder=3, label=name)
    for i, name in enumerate(data.comparisons):
        where = {"transform": ax.get_yaxis_transform(), "va": "center", "color": INK}
        text(ax, -0.02, i, name, ha="right", fontsize=9, **where)
        bayes = "" if np.isnan(data.p_bayesian[i]) else f"; Bayesian P = {data.p_bayesian[i]:.3f}"
        text(ax, 1.02, i, f"p {p_text(float(data.p_value[i]))}{bayes}", ha="left", fontsize=8, **where)
    ax.set_ylim(n - 0.5, -0.5)
    bare(ax)
    natural_axis(ax, find_measure(comparison.measure))
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=8)
    return ax
