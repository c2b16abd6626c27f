"""Comparison-adjusted funnel plot of a network: each effect less the pooled effect of its own comparison."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.errors import DataError
from bayesmeta.plots._style import FAINT, INK, MUTED, bare, new_axes
from bayesmeta.studies import Contrasts
from bayesmeta.values import Array, frozen_array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class NetworkFunnelData:
    """Effects less the pooled effect of their comparison, in the direction of an order of treatments.

    Parameters
    ----------
    study, comparison
        ``(m,)`` labels; a comparison is the later treatment of the order against the earlier one.
    adjusted, sei
        ``(m,)`` adjusted effects and standard errors, analysis scale.
    """

    study: tuple[str, ...]
    comparison: tuple[str, ...]
    adjusted: Array
    sei: Array


def network_funnel_data(contrasts: Contrasts, order: "Sequence[str]") -> NetworkFunnelData:
    """Return adjusted effects: small studies that favour what comes later in `order` lie off 0 on one side.

    Parameters
    ----------
    contrasts
        Of a connected network.
    order
        All treatments, from the one that small studies would speak against (placebo, the oldest) to the one that they
        would speak for. Without a meaningful order the plot means nothing.

    Raises
    ------
    DataError
        If `order` does not hold every treatment once.

    References
    ----------
    Chaimani, Higgins, Mavridis, Spyridonos & Salanti (2013), PLoS One 8:e76654. Pooled effects are of common weights.
    """
    if sorted(order) != sorted(contrasts.treatments):
        raise DataError(f"order is {list(order)}; it must name each treatment once: {', '.join(contrasts.treatments)}.")
    place, pairs = {name: i for i, name in enumerate(order)}, contrasts.pairs()
    turned = np.array([place[b] > place[a] for a, b in zip(pairs["treat1"], pairs["treat2"], strict=True)])
    later = np.where(turned, pairs["treat2"], pairs["treat1"])
    earlier = np.where(turned, pairs["treat1"], pairs["treat2"])
    y = np.where(turned, -pairs["yi"], pairs["yi"]).astype(float)
    sei = pairs["sei"].to_numpy(dtype=float)
    label = np.array([f"{b} : {a}" for b, a in zip(later, earlier, strict=True)])
    for name in np.unique(label):
        at = label == name
        y[at] -= np.average(y[at], weights=sei[at] ** -2)
    return NetworkFunnelData(tuple(pairs["study"]), tuple(map(str, label)), frozen_array(y), frozen_array(sei))


def network_funnel(contrasts: Contrasts, order: "Sequence[str]", *, ax: "Axes | None" = None) -> "Axes":
    """Draw the comparison-adjusted funnel, one colour a comparison.

    Parameters
    ----------
    contrasts, order
        As in `network_funnel_data`.
    ax
        Axes to draw in; None makes a figure.
    """
    import matplotlib as mpl

    data = network_funnel_data(contrasts, order)
    ax = new_axes(ax, 6.4, 4.4)
    top = 1.05 * float(data.sei.max())
    ax.fill([0.0, 1.96 * top, -1.96 * top], [0.0, top, top], color=FAINT, alpha=0.4, lw=0)
    ax.axvline(0.0, color=MUTED, lw=0.9)
    names = sorted(set(data.comparison))
    colours = mpl.colormaps["tab20"]
    for i, name in enumerate(names):
        at = np.array([c == name for c in data.comparison])
        ax.scatter(data.adjusted[at], data.sei[at], s=22, color=colours(i % 20), label=name, linewidths=0, zorder=3)
    ax.set_ylim(top, 0.0)
    bare(ax, left=True)
    ax.set_xlabel("effect less that of its comparison, analysis scale", color=INK, fontsize=9)
    ax.set_ylabel("standard error", color=INK, fontsize=9)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=7, ncols=1 + len(names) // 16)
    return ax
