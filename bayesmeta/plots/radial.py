"""Radial (Galbraith) plot: standardised effects against precision, so that a slope is an effect."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from bayesmeta.frequentist import pool
from bayesmeta.frequentist.tau2 import DEFAULT_ESTIMATOR
from bayesmeta.plots._style import CLASSICAL, FAINT, INK, MUTED, bare, new_axes
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array, frozen_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class RadialData:
    """Points of a radial plot.

    Parameters
    ----------
    x
        ``(k,)`` precisions, ``1 / sqrt(vi + tau2)``.
    z
        ``(k,)`` effects over their standard deviations, ``yi * x``.
    mu
        Pooled effect, the slope of the line through the origin.
    half
        Half height of the band that holds `level` of the studies.
    """

    study: tuple[str, ...]
    x: Array
    z: Array
    mu: float
    half: float


def radial_data(effects: EffectSizes, *, method: str = DEFAULT_ESTIMATOR, level: float = 0.95) -> RadialData:
    """Return the points of a radial plot.

    Parameters
    ----------
    effects
        The studies.
    method
        As in `frequentist.pool`; ``"EE"`` for precisions by sampling error alone.
    level
        Of the band.

    References
    ----------
    Galbraith (1988), Stat. Med. 7:889-894.
    """
    fit = pool(effects, method=method)
    x = 1.0 / np.sqrt(effects.vi + (fit.tau2 or 0.0))
    return RadialData(
        effects.study, frozen_array(x), frozen_array(effects.yi * x), fit.mu, float(ndtri(0.5 + level / 2))
    )


def radial(
    effects: EffectSizes, *, method: str = DEFAULT_ESTIMATOR, level: float = 0.95, ax: "Axes | None" = None
) -> "Axes":
    """Draw a radial plot: the slope of the line is the pooled effect, the band its studies' scatter.

    Parameters
    ----------
    effects, method, level
        As in `radial_data`.
    ax
        Axes to draw in; None makes a figure.
    """
    data = radial_data(effects, method=method, level=level)
    ax = new_axes(ax, 5.2, 3.8)
    across = np.array([0.0, 1.06 * float(data.x.max())])
    ax.fill_between(across, data.mu * across - data.half, data.mu * across + data.half, color=FAINT, alpha=0.5, lw=0)
    ax.plot(across, data.mu * across, color=CLASSICAL, lw=1.4)
    ax.axhline(0.0, color=MUTED, lw=0.8)
    ax.scatter(data.x, data.z, s=26, color=INK, zorder=3, linewidths=0)
    ax.set_xlim(*across)
    bare(ax, left=True)
    ax.set_xlabel("precision, 1 / standard deviation", color=INK, fontsize=9)
    ax.set_ylabel("effect / standard deviation", color=INK, fontsize=9)
    return ax
