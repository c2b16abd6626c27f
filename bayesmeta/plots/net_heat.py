"""Net heat plot: where a network's inconsistency comes from, design by design."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.errors import ModelError
from bayesmeta.frequentist.networks.network_fit import NetworkFit
from bayesmeta.plots._style import BAYESIAN, CLASSICAL, FAINT, INK, new_axes, text
from bayesmeta.values import Array, frozen_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class NetHeatData:
    """Falls of inconsistency.

    Parameters
    ----------
    designs
        Rows: whose inconsistency.
    detached
        Columns: which design is given effects of its own.
    fall
        ``(rows, columns)`` of Q between designs; below 0 where the inconsistency grows.
    """

    designs: tuple[str, ...]
    detached: tuple[str, ...]
    fall: Array


def net_heat_data(fit: NetworkFit, *, random: bool = False) -> NetHeatData:
    """Return by how much each design's inconsistency falls when another one is detached; see `NetworkFit.net_heat`.

    Raises
    ------
    ModelError
        If no design can be detached.
    """
    frame = fit.net_heat(random=random)
    if not frame.shape[1]:
        raise ModelError(
            "No design of the network can be detached: it has no loop between designs, and nothing to draw."
        )
    return NetHeatData(tuple(frame.index), tuple(frame.columns), frozen_array(frame.to_numpy(dtype=float)))


def net_heat(fit: NetworkFit, *, random: bool = False, ax: "Axes | None" = None) -> "Axes":
    """Draw the net heat matrix by design: warm where detaching the column takes the row's inconsistency away.

    Parameters
    ----------
    fit, random
        As in `net_heat_data`.
    ax
        Axes to draw in; None makes a figure.
    """
    data = net_heat_data(fit, random=random)
    rows, columns = data.fall.shape
    made = ax is None
    width, height = 3.2 + 0.62 * columns, 2.6 + 0.42 * rows
    ax = new_axes(ax, width, height)
    if made:
        ax.set_position((2.6 / width, 0.1 / height, 1.0 - 2.8 / width, 1.0 - 2.5 / height))
    most = max(float(np.abs(data.fall).max()), 1e-300)
    for i in range(rows):
        for j in range(columns):
            x, y = [j - 0.5, j + 0.5, j + 0.5, j - 0.5], [i - 0.5, i - 0.5, i + 0.5, i + 0.5]
            value = float(data.fall[i, j])
            ax.fill(x, y, CLASSICAL if value > 0.0 else BAYESIAN, alpha=0.8 * abs(value) / most, lw=0)
            text(
                ax, j, i, f"{value + 0.0:.1f}".replace("-0.0", "0.0"), ha="center", va="center", fontsize=7.5, color=INK
            )
    for i, name in enumerate(data.designs):
        text(ax, -0.6, i, name, ha="right", va="center", fontsize=7.5, color=INK)
    for j, name in enumerate(data.detached):
        text(ax, j - 0.2, -0.65, name, ha="left", va="bottom", rotation=40, fontsize=7.5, color=INK)
    ax.plot([-0.5, columns - 0.5], [-0.5, -0.5], color=FAINT, lw=0.8)
    ax.set_xlim(-0.5, columns - 0.5)
    ax.set_ylim(rows - 0.5, -0.5)
    ax.axis("off")
    return ax
