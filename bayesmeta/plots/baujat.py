"""Baujat plot: each study's share of the heterogeneity against its influence on the pooled effect."""

from typing import TYPE_CHECKING

from bayesmeta import frequentist
from bayesmeta.frequentist.diagnostics import Baujat
from bayesmeta.frequentist.tau2 import DEFAULT_ESTIMATOR
from bayesmeta.plots._style import INK, bare, new_axes, text
from bayesmeta.studies import EffectSizes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def baujat_data(effects: EffectSizes, *, method: str = DEFAULT_ESTIMATOR) -> Baujat:
    """Return the coordinates of a Baujat plot, those of `frequentist.baujat`.

    Parameters
    ----------
    effects
        The studies.
    method
        As in `frequentist.pool`.
    """
    return frequentist.baujat(effects, method=method)


def baujat(effects: EffectSizes, *, method: str = DEFAULT_ESTIMATOR, ax: "Axes | None" = None) -> "Axes":
    """Draw a Baujat plot, every study with its name.

    Parameters
    ----------
    effects, method
        As in `baujat_data`.
    ax
        Axes to draw in; None makes a figure.
    """
    data = baujat_data(effects, method=method)
    ax = new_axes(ax, 5.6, 4.0)
    ax.scatter(data.x, data.y, s=26, color=INK, zorder=3, linewidths=0)
    for study, x, y in zip(data.study, data.x, data.y, strict=True):
        text(ax, float(x), float(y), f" {study}", ha="left", va="bottom", fontsize=7.5, color=INK)
    ax.set_xlim(0.0, 1.25 * float(data.x.max()) or 1.0)
    ax.set_ylim(0.0, 1.1 * float(data.y.max()) or 1.0)
    bare(ax, left=True)
    ax.set_xlabel("share of the heterogeneity (squared Pearson residual)", color=INK, fontsize=9)
    ax.set_ylabel("influence on the pooled effect", color=INK, fontsize=9)
    return ax
