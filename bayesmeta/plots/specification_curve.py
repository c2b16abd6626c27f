"""The specification curve of a multiverse: every answer in order, and the choices that gave it below.

Simonsohn, Simmons & Nelson 2020, Nat Hum Behav 4:1208-1214.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import ModelError
from bayesmeta.plots._style import BAYESIAN, FAINT, INK, MUTED, new_axes, round_ticks, text
from bayesmeta.sensitivity import Multiverse
from bayesmeta.values import Array
from bayesmeta.words import joined

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A choice with more levels than this is drawn as one row whose height shows the level.
MOST_ROWS = 8


@dataclass(frozen=True, slots=True, eq=False)
class SpecificationCurve:
    """What the curve draws.

    Parameters
    ----------
    value
        ``(m,)`` results in increasing order; analyses without an answer are left out.
    order
        ``(m,)`` index of each in the multiverse.
    choices
        Choice (those with more than one level) to the ``(m,)`` index of its level, in the same order.
    levels
        Choice to its levels.
    title
        What is drawn.
    mark
        Probability beyond which the credible interval excludes no effect; None for other results.
    """

    value: Array
    order: NDArray[np.intp]
    choices: dict[str, NDArray[np.intp]]
    levels: dict[str, tuple[str, ...]]
    title: str
    mark: float | None


def specification_curve_data(result: Multiverse, name: str = "p_mu") -> SpecificationCurve:
    """Return the curve of one result of a multiverse.

    Parameters
    ----------
    result
        From ``bm.multiverse``.
    name
        A result: ``"p_mu"``, ``"p_theta_new"``, or ``"mu_median"`` and the like where there is one measure.

    Raises
    ------
    ModelError
        If the result is unknown, or the analyses are on several scales that cannot share an axis.
    """
    value = result.column(name)
    is_p = name.startswith("p_")
    if not is_p and len(result.levels["measure"]) > 1:
        raise ModelError(
            f"{name} is on the scale of each measure ({joined(result.levels['measure'])}), and these cannot share "
            "an axis: draw a probability ('p_mu'), or make a multiverse of one measure."
        )
    there = np.flatnonzero(np.isfinite(value))
    order = there[np.argsort(value[there], kind="stable")]
    open_ = [choice for choice, levels in result.levels.items() if len(levels) > 1]
    said = joined([event.text for event in result.events.values()])
    estimand = "true effect of a new study" if name.endswith("theta_new") else "mean effect"
    return SpecificationCurve(
        value[order],
        order,
        {choice: result.codes[choice][order] for choice in open_},
        {choice: result.levels[choice] for choice in open_},
        f"P(benefit: {said} | data), {estimand}" if is_p else f"{name}, analysis scale",
        0.5 + result.level / 2.0 if is_p else None,
    )


def specification_curve(result: Multiverse, name: str = "p_mu", *, ax: "Axes | None" = None) -> "Axes":
    """Draw the answers of a multiverse in order, with the choices behind each of them below.

    Parameters
    ----------
    result
        From ``bm.multiverse``.
    name
        The result drawn.
    ax
        Axes to draw in; None makes a figure.
    """
    data = specification_curve_data(result, name)
    rows = sum(_rows(levels) + 1 for levels in data.levels.values())
    ax = new_axes(ax, 7.5, 2.4 + 0.17 * rows)
    # The curve fills [0, 1] of the axis; the choices hang below it, one unit of `line` a row.
    line = 0.07
    low, high = (0.0, 1.0) if data.mark is not None else (float(data.value[0]), float(data.value[-1]))
    span = high - low or 1.0
    x = np.arange(len(data.value), dtype=float)
    ax.plot(x, (data.value - low) / span, ".", color=BAYESIAN, ms=3, lw=0)
    if data.mark is not None:
        ax.axhline(data.mark, color=MUTED, lw=0.7, ls=(0, (4, 3)))
    y = -1.5 * line
    for choice, levels in data.levels.items():
        y = _draw_choice(ax, x, y, line, choice, levels, data.choices[choice])
    ticks = round_ticks(low, high)
    ax.set_yticks((ticks - low) / span, [f"{t:g}" for t in ticks], fontsize=8)
    ax.set_ylim(y, 1.03)
    ax.set_xlabel(f"{len(x)} analyses, in order of the result", color=INK, fontsize=9)
    ax.set_title(data.title, color=INK, fontsize=9, loc="left", parse_math=False)
    ax.tick_params(colors=MUTED, labelcolor=INK, labelsize=8)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(FAINT)
    return ax


def _rows(levels: tuple[str, ...]) -> int:
    return len(levels) if len(levels) <= MOST_ROWS else MOST_ROWS // 2


def _draw_choice(
    ax: "Axes", x: Array, y: float, line: float, choice: str, levels: tuple[str, ...], codes: NDArray[np.intp]
) -> float:
    """Draw one choice from `y` downwards and return where the next one begins."""
    text(ax, -0.02, y, choice, transform=ax.get_yaxis_transform(), ha="right", va="center", fontsize=8,
         fontweight="bold", color=INK)  # fmt: skip
    rows = _rows(levels)
    place = codes if rows == len(levels) else codes / (len(levels) - 1) * (rows - 1)
    ax.plot(x, y - line * (1 + place), "|", color=INK, ms=4, mew=0.6, lw=0)
    shown = range(len(levels)) if rows == len(levels) else (0, len(levels) - 1)
    for i in shown:
        row = i if rows == len(levels) else (0 if i == 0 else rows - 1)
        text(ax, -0.02, y - line * (1 + row), levels[i], transform=ax.get_yaxis_transform(), ha="right", va="center",
             fontsize=7, color=MUTED)  # fmt: skip
    return y - line * (rows + 1.5)
