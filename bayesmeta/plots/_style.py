"""Colours and helpers that every plot shares."""

import math
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.effects import Measure
from bayesmeta.values import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Chosen to differ in lightness as well as hue, so that they survive print and colour-blindness.
INK = "#1f2328"
MUTED = "#6e7781"
FAINT = "#d0d7de"
CLASSICAL = "#b35900"
BAYESIAN = "#0b62c4"
PUBLISHED = "#57606b"
COLOURS = {"ink": INK, "muted": MUTED, "faint": FAINT, "classical": CLASSICAL, "bayesian": BAYESIAN}

RATIO_TICKS = tuple(m * 10.0**e for e in range(-9, 10) for m in (1, 2, 5))


def new_axes(ax: "Axes | None", width: float, height: float) -> "Axes":
    """Return `ax`, or the axes of a new figure of that many inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(width, height), layout="none")[1]


def bare(ax: "Axes", *, left: bool = False) -> None:
    """Leave only the bottom axis (and the left one where asked), in quiet colours."""
    for side in ("top", "right", *(() if left else ("left",))):
        ax.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        ax.spines[side].set_color(MUTED)
    if not left:
        ax.set_yticks([])
    ax.tick_params(colors=MUTED, labelcolor=INK, labelsize=9)
    ax.patch.set_alpha(0.0)


def ratio_ticks(low: float, high: float, most: int = 7) -> Array:
    """Return round natural-scale values of a ratio between two analysis-scale limits.

    Parameters
    ----------
    low, high
        Limits on the log scale.
    most
        Largest number of ticks.
    """
    inside = [t for t in RATIO_TICKS if low <= math.log(t) <= high]
    if len(inside) < 3:
        return np.array([t for t in np.round(np.exp(np.linspace(low, high, 5)), 3) if t > 0])
    if len(inside) > most:
        inside = [t for t in inside if f"{t:e}"[0] in ("1", "5")]
    if len(inside) > most:
        inside = [t for t in inside if f"{t:e}"[0] == "1"]
    return np.array(inside[:: math.ceil(len(inside) / most)])


def natural_axis(ax: "Axes", measure: Measure) -> None:
    """Label the x axis in the natural scale of a measure that is drawn on its analysis scale."""
    if measure.ratio:
        ticks = ratio_ticks(*ax.get_xlim())
        ax.set_xticks(np.log(ticks), [f"{t:g}" for t in ticks], minor=False)
        ax.set_xticks([], minor=True)
        ax.set_xlabel(measure.axis_label, color=INK, fontsize=9)
    else:
        ax.set_xlabel(measure.label if measure.scale.null == 0 else measure.analysis_label, color=INK, fontsize=9)


def text(ax: "Axes", x: float, y: float, words: str, **style: object) -> None:
    """Write `words` as they are: a study called ``$x$`` or ``<b>`` is a name, not a formula."""
    ax.text(x, y, words, parse_math=False, **style)  # type: ignore[arg-type]
