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
        return round_ticks(math.exp(low), math.exp(high))
    if len(inside) > most:
        inside = [t for t in inside if f"{t:e}"[0] in ("1", "5")]
    if len(inside) > most:
        inside = [t for t in inside if f"{t:e}"[0] == "1"]
    return np.array(inside[:: math.ceil(len(inside) / most)])


def round_ticks(low: float, high: float, about: int = 4) -> Array:
    """Return round values, evenly spaced, between two limits of a scale that is nearly linear there.

    Examples
    --------
    >>> round_ticks(0.42, 0.83).tolist(), round_ticks(0.93, 1.012).tolist()
    ([0.5, 0.6, 0.7, 0.8], [0.94, 0.96, 0.98, 1.0])
    """
    if not high > low:
        return np.array([float(f"{low:.3g}")])
    rough = (high - low) / about
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(m * size for m in (1, 2, 5, 10) if m * size >= rough * 0.8)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    # Rounded to the step's own place, so that no tick is written with the noise of floats.
    return np.array(
        [round(i * step, 12 - math.floor(math.log10(abs(high) + abs(low)))) for i in range(first, last + 1)]
    )


PROPORTION_TICKS = (1e-4, 1e-3, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999)


def natural_ticks(measure: Measure, low: float, high: float) -> Array | None:
    """Return round values on the natural scale between two limits of the analysis scale; None where both are one.

    Parameters
    ----------
    measure
        Effect measure.
    low, high
        Limits on its analysis scale.
    """
    if measure.ratio:
        return ratio_ticks(low, high)
    if not measure.transformed:
        return None
    left, right = (float(measure.to_natural(x)) for x in (low, high))
    inside = [t for t in PROPORTION_TICKS if left <= t <= right] if measure.label == "Proportion" else []
    # Far apart the values crowd at the ends of their scale, near each other they are spread evenly.
    return np.array(inside) if len(inside) >= 4 else round_ticks(left, right, about=5)


def natural_axis(ax: "Axes", measure: Measure) -> None:
    """Label the x axis in the natural scale of a measure that is drawn on its analysis scale."""
    ticks = natural_ticks(measure, *ax.get_xlim())
    if ticks is not None:
        places = np.asarray(measure.from_natural(ticks))
        ax.set_xticks(places, [f"{t:g}" for t in ticks], minor=False)
        ax.set_xticks([], minor=True)
        ax.set_xlabel(measure.axis_label if measure.ratio else measure.label, color=INK, fontsize=9)
    else:
        ax.set_xlabel(measure.label if measure.scale.null == 0 else measure.analysis_label, color=INK, fontsize=9)


def text(ax: "Axes", x: float, y: float, words: str, **style: object) -> None:
    """Write `words` as they are: a study called ``$x$`` or ``<b>`` is a name, not a formula."""
    ax.text(x, y, words, parse_math=False, **style)  # type: ignore[arg-type]
