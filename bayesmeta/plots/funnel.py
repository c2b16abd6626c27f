"""Funnel plot: effects against their standard errors, with the region expected without heterogeneity."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from bayesmeta.effects import MEASURES
from bayesmeta.frequentist import pool
from bayesmeta.plots._style import INK, MUTED, bare, natural_axis, new_axes
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array, frozen_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class FunnelData:
    """Points and the pseudo confidence region of a funnel plot, on the analysis scale.

    Parameters
    ----------
    yi, sei
        ``(k,)`` effects and standard errors.
    center
        Common-effect estimate the region is drawn about.
    edge_sei, edge_low, edge_high
        ``(2,)`` the region's two straight edges, from standard error 0 to the largest.
    """

    study: tuple[str, ...]
    yi: Array
    sei: Array
    center: float
    edge_sei: Array
    edge_low: Array
    edge_high: Array


def funnel_data(effects: EffectSizes, *, level: float = 0.95) -> FunnelData:
    """Return points and region of a funnel plot.

    Parameters
    ----------
    effects
        The studies.
    level
        Share of studies expected inside the region when all share one true effect.
    """
    center = pool(effects, method="EE", level=level).mu
    edge = np.array([0.0, 1.08 * float(effects.sei.max())])
    half = float(ndtri(0.5 + level / 2)) * edge
    return FunnelData(
        effects.study, effects.yi, effects.sei, center,
        frozen_array(edge), frozen_array(center - half), frozen_array(center + half),
    )  # fmt: skip


def funnel(effects: EffectSizes, *, level: float = 0.95, ax: "Axes | None" = None) -> "Axes":
    """Draw a funnel plot, small standard errors at the top.

    Parameters
    ----------
    effects
        The studies.
    level
        Of the region about the common-effect estimate.
    ax
        Axes to draw in; None makes a figure.
    """
    data = funnel_data(effects, level=level)
    ax = new_axes(ax, 5.2, 3.6)
    ax.plot(data.edge_low, data.edge_sei, color=MUTED, lw=0.9, ls="--")
    ax.plot(data.edge_high, data.edge_sei, color=MUTED, lw=0.9, ls="--")
    ax.axvline(data.center, color=MUTED, lw=0.9)
    ax.scatter(data.yi, data.sei, s=26, color=INK, zorder=3, linewidths=0)
    ax.set_ylim(float(data.edge_sei[1]), 0.0)
    bare(ax, left=True)
    natural_axis(ax, MEASURES[effects.measure])
    ax.set_ylabel("standard error", color=INK, fontsize=9)
    return ax
