"""Rankogram: how probable each rank of each treatment is."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.plots._style import BAYESIAN, INK, MUTED, bare, new_axes, text
from bayesmeta.posterior import Posterior
from bayesmeta.values import Array, frozen_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class RankogramData:
    """Probabilities of ranks.

    Parameters
    ----------
    treatments
        ``(T,)`` the best first.
    probability
        ``(T, T)`` treatment by rank; lines and columns add up to 1.
    sucra
        ``(T,)`` surface under the cumulative ranking curve.
    error
        Largest standard error of the probabilities.
    """

    treatments: tuple[str, ...]
    probability: Array
    sucra: Array
    error: float


def rankogram_data(posterior: Posterior, benefit: str) -> RankogramData:
    """Return the probabilities of ranks of a network's treatments.

    Parameters
    ----------
    posterior
        Of a network.
    benefit
        Whether ``"lower"`` or ``"higher"`` effects are better.
    """
    frame = posterior.ranks(benefit)
    ranks = [f"rank_{r + 1}" for r in range(len(frame))]
    return RankogramData(
        tuple(frame["treatment"]),
        frozen_array(frame[ranks].to_numpy(dtype=float)),
        frozen_array(frame["sucra"].to_numpy(dtype=float)),
        float(frame.attrs["error"]),
    )


def rankogram(posterior: Posterior, benefit: str, *, ax: "Axes | None" = None) -> "Axes":
    """Draw the probabilities of ranks as one row of bars a treatment, the best first, with its SUCRA.

    Parameters
    ----------
    posterior, benefit
        As in `rankogram_data`.
    ax
        Axes to draw in; None makes a figure.
    """
    data = rankogram_data(posterior, benefit)
    n = len(data.treatments)
    height = 0.9 + 0.5 * n
    made = ax is None
    ax = new_axes(ax, 6.4, height)
    if made:
        ax.set_position((0.26, 0.5 / height, 0.56, 1.0 - 0.75 / height))
    unit = 0.85 / float(data.probability.max())
    for i, name in enumerate(data.treatments):
        ax.bar(np.arange(1, n + 1), data.probability[i] * unit, bottom=n - 1 - i, width=0.8, color=BAYESIAN)
        ax.axhline(n - 1 - i, color=MUTED, lw=0.6)
        where = {"transform": ax.get_yaxis_transform(), "va": "center", "fontsize": 9, "color": INK}
        text(ax, -0.02, n - 1 - i + 0.3, name, ha="right", **where)
        text(ax, 1.02, n - 1 - i + 0.3, f"SUCRA {data.sucra[i]:.2f}", ha="left", **where)
    ax.set_xlim(0.4, n + 0.6)
    ax.set_ylim(0.0, n)
    bare(ax)
    ax.set_xticks(range(1, n + 1))
    ax.set_xlabel(f"rank; the tallest bar is {data.probability.max():.2f}", color=INK, fontsize=9)
    return ax
