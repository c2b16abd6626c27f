"""League table as a heat map: classical below the diagonal, Bayesian above."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.compare.network_comparison import NetworkComparison
from bayesmeta.plots._style import BAYESIAN, CLASSICAL, INK, new_axes, text
from bayesmeta.values import Array, frozen_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class LeagueHeatData:
    """The cells of a league table.

    Parameters
    ----------
    treatments
        ``(T,)`` the best first.
    words
        ``(T, T)`` texts, natural scale; empty on the diagonal.
    benefit
        ``(T, T)`` how much better the better ranked treatment of the pair is, analysis scale; NaN on the diagonal.
    clear
        ``(T, T)`` whether the interval excludes no effect.
    """

    treatments: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]
    benefit: Array
    clear: Array


def league_heat_data(comparison: NetworkComparison) -> LeagueHeatData:
    """Return the league table of both schools: texts, benefits, and which intervals exclude no effect."""
    order, table = comparison.order, comparison.league
    sign = -1.0 if comparison.benefit == "lower" else 1.0
    place = {name: i for i, name in enumerate(order)}
    benefit, clear = np.full((len(order), len(order)), np.nan), np.zeros((len(order), len(order)))
    for b, a, classical, bayesian in comparison.pairs():
        for (i, j), (middle, low, high) in (
            ((place[a], place[b]), classical),
            ((place[b], place[a]), bayesian),
        ):
            benefit[i, j] = sign * middle
            clear[i, j] = float(low > 0.0 or high < 0.0)
    words = tuple(tuple(str(table.loc[row, column]) for column in order) for row in order)
    return LeagueHeatData(order, words, frozen_array(benefit), frozen_array(clear))


def league_heat(comparison: NetworkComparison, *, ax: "Axes | None" = None) -> "Axes":
    """Draw the league table: the deeper a cell, the larger the benefit; bold where the interval excludes no effect.

    Parameters
    ----------
    comparison
        From `bayesmeta.compare_network`.
    ax
        Axes to draw in; None makes a figure.
    """
    data = league_heat_data(comparison)
    n = len(data.treatments)
    ax = new_axes(ax, 1.2 + 1.15 * n, 0.6 + 0.62 * n)
    most = max(float(np.nanmax(np.abs(data.benefit))), 1e-300)
    for i in range(n):
        for j in range(n):
            if i == j:
                text(ax, j, i, data.treatments[i], ha="center", va="center", fontsize=8, weight="bold", color=INK)
                continue
            colour = CLASSICAL if i > j else BAYESIAN
            shade = 0.45 * abs(float(data.benefit[i, j])) / most
            ax.fill(
                [j - 0.5, j + 0.5, j + 0.5, j - 0.5], [i - 0.5, i - 0.5, i + 0.5, i + 0.5], colour, alpha=shade, lw=0
            )
            bold = "bold" if data.clear[i, j] else "normal"
            said = data.words[i][j].replace(" [", "\n[")
            text(ax, j, i, said, ha="center", va="center", fontsize=7.5, weight=bold, color=INK)
    ax.set_xlim(-0.5, n - 0.5)
    ax.set_ylim(n - 0.5, -0.5)
    ax.axis("off")
    text(ax, -0.5, n - 0.42, "below the diagonal: classical", ha="left", va="top", fontsize=8, color=CLASSICAL)
    text(ax, n - 0.5, n - 0.42, "above the diagonal: Bayesian", ha="right", va="top", fontsize=8, color=BAYESIAN)
    return ax
