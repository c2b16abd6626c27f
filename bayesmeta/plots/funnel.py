"""Funnel plot: effects against their standard errors, with the region expected without heterogeneity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from bayesmeta.effects import MEASURES
from bayesmeta.errors import DataError
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
    contours
        Confidence level to the ``(2,)`` right edge of the region about no effect where an estimate is not
        significant at it; the left edge is its mirror image about `null`.
    null
        No effect; None where no value means that.
    """

    study: tuple[str, ...]
    yi: Array
    sei: Array
    center: float
    edge_sei: Array
    edge_low: Array
    edge_high: Array
    contours: Mapping[float, Array]
    null: float | None


def funnel_data(effects: EffectSizes, *, level: float = 0.95, contours: Sequence[float] = ()) -> FunnelData:
    """Return points and region of a funnel plot.

    Parameters
    ----------
    effects
        The studies.
    level
        Share of studies expected inside the region when all share one true effect.
    contours
        Confidence levels of regions about no effect, e.g. ``(0.9, 0.95, 0.99)``: a contour-enhanced funnel plot.

    Raises
    ------
    DataError
        If contours are asked for of a measure without a value that means no effect, or one is not between 0 and 1.

    References
    ----------
    Peters et al. (2008), J. Clin. Epidemiol. 61:991-996.
    """
    null = MEASURES[effects.measure].null
    if len(contours) and (null is None or not all(0.0 < c < 1.0 for c in contours)):
        raise DataError(
            f"contours={list(contours)}: give levels between 0 and 1, of a measure that has a value for no effect "
            f"({effects.measure} {'has' if null is not None else 'has not'})."
        )
    center = pool(effects, method="EE", level=level).mu
    edge = np.array([0.0, 1.08 * float(effects.sei.max())])
    half = float(ndtri(0.5 + level / 2)) * edge
    return FunnelData(
        effects.study, effects.yi, effects.sei, center,
        frozen_array(edge), frozen_array(center - half), frozen_array(center + half),
        {float(c): frozen_array((null or 0.0) + float(ndtri(0.5 + c / 2)) * edge) for c in sorted(contours)}, null,
    )  # fmt: skip


def funnel(
    effects: EffectSizes, *, level: float = 0.95, contours: Sequence[float] = (), ax: "Axes | None" = None
) -> "Axes":
    """Draw a funnel plot, small standard errors at the top.

    Parameters
    ----------
    effects
        The studies.
    level
        Of the region about the common-effect estimate.
    contours
        As in `funnel_data`; shaded lighter the more significant an estimate would be.
    ax
        Axes to draw in; None makes a figure.
    """
    data = funnel_data(effects, level=level, contours=contours)
    ax = new_axes(ax, 5.2, 3.6)
    # The widest first, so that the others lie on it.
    for i, edge in enumerate(reversed(list(data.contours.values()))):
        left = 2.0 * (data.null or 0.0) - edge
        ax.fill_betweenx(data.edge_sei, left, edge, color=MUTED, alpha=0.12 + 0.1 * i, lw=0, zorder=0)
    ax.plot(data.edge_low, data.edge_sei, color=MUTED, lw=0.9, ls="--")
    ax.plot(data.edge_high, data.edge_sei, color=MUTED, lw=0.9, ls="--")
    ax.axvline(data.center, color=MUTED, lw=0.9)
    ax.scatter(data.yi, data.sei, s=26, color=INK, zorder=3, linewidths=0)
    ax.set_ylim(float(data.edge_sei[1]), 0.0)
    bare(ax, left=True)
    natural_axis(ax, MEASURES[effects.measure])
    ax.set_ylabel("standard error", color=INK, fontsize=9)
    return ax
