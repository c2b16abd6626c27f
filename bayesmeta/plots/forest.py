"""Forest plot: studies raw and shrunken, pooled diamonds of both kinds, prediction intervals; by subgroup if asked."""

from typing import TYPE_CHECKING, Any

from bayesmeta.compare.subgroup_values import Subgroups
from bayesmeta.compare.values import Comparison
from bayesmeta.effects import MEASURES
from bayesmeta.plots._forest_data import (
    JUDGEMENTS,
    ForestData,
    ForestGroup,
    ForestPooled,
    ForestStudy,
    Risk,
    forest_data,
)
from bayesmeta.plots._style import BAYESIAN, CLASSICAL, FAINT, INK, MUTED, PUBLISHED, bare, natural_axis, new_axes, text
from bayesmeta.words import DAGGER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ForestData", "ForestGroup", "ForestPooled", "ForestStudy", "forest", "forest_data", "forest_room"]

# Columns, as multiples of the drawn area's width to the left (negative) and right (above 1) of it.
STUDY, TREATMENT, CONTROL, RAW, WEIGHT, SHRUNKEN = -1.14, -0.34, -0.06, 1.57, 1.76, 2.38
RISK, RISK_STEP = 2.47, 0.07
ROW_INCHES = 0.31
# Heights of lines, in rows of studies.
HEADER, WORDS, GAP = 0.95, 0.75, 0.35


def forest(
    source: Comparison | Subgroups,
    *,
    favours: tuple[str, str] | None = None,
    risk_of_bias: Risk | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw a forest plot.

    Studies: a square (area by classical weight) with its confidence interval, and below it the
    shrunken effect with its credible interval. Diamonds: pooled effects; thin lines: prediction intervals.

    Parameters
    ----------
    source
        From `bayesmeta.compare`, or from `bayesmeta.subgroups`: then by subgroup, with the test between them.
    favours, risk_of_bias
        As in `forest_data`.
    ax
        Axes to draw the effects in; the columns of text are written left and right of it, so leave
        room (a new figure has it). None makes a figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    data = forest_data(source, favours=favours, risk_of_bias=risk_of_bias)
    if ax is None:
        ax = forest_axes(data)
    lines = forest_lines(data)
    ax.set_xlim(*data.limits)
    ax.set_ylim(lines[-1][0] - 0.8, 1.9)
    if data.null is not None:
        ax.axvline(data.null, color=MUTED, lw=0.8, zorder=1)
    _headings(ax, data)
    for height, what in lines:
        _draw(ax, height, what)
    bare(ax)
    natural_axis(ax, MEASURES[data.measure])
    _below(ax, data)
    return ax


type Line = tuple[float, ForestStudy | ForestPooled | tuple[str, str] | None]


def forest_lines(data: ForestData) -> list[Line]:
    """Return every line with its height, from the top down: studies, diamonds, ``(style, words)``, None for a rule."""
    lines: list[Line] = []
    at = 0.0

    def put(what: ForestStudy | ForestPooled | tuple[str, str] | None, height: float) -> None:
        nonlocal at
        lines.append((at, what))
        at -= height

    named = len(data.groups) > 1
    for group in data.groups:
        if named:
            put(("header", group.label), HEADER)
        for study in group.studies:
            put(study, 1.0)
        for pooled in group.pooled:
            put(pooled, 1.0)
        if group.heterogeneity:
            put(("words", group.heterogeneity), WORDS)
        at -= GAP if named else 0.0
    lines.append((at + (0.35 if not named else 0.7), None))
    at -= 0.25
    for pooled in data.pooled:
        put(pooled, 1.0)
    for words in (data.heterogeneity, data.test):
        if words:
            put(("words", words), WORDS)
    return lines


def forest_room(data: ForestData) -> tuple[float, tuple[float, float, float, float]]:
    """Return the height in inches of a figure 11 inches wide, and the place of the axes in it."""
    below = 0.5 + 0.17 * (len(data.footnotes) + (data.favours is not None))
    height = ROW_INCHES * 1.25 * (3.2 - forest_lines(data)[-1][0]) + below + 0.05
    # With risk of bias the columns reach further to the right, so everything is narrower.
    width = 0.277 / (1.0 + 0.022 * len(data.domains))
    return height, (1.19 * width, below / height, width, 1 - (below + 0.05) / height)


def forest_axes(data: ForestData) -> "Axes":
    """Return the axes of a new figure with room for the text columns."""
    height, position = forest_room(data)
    ax = new_axes(None, 11.0, height)
    ax.set_position(position)
    return ax


def _headings(ax: "Axes", data: ForestData) -> None:
    level, short = f"{100 * data.level:g}%", MEASURES[data.measure].short
    across = ax.get_yaxis_transform()
    style: dict[str, Any] = {"transform": across, "fontsize": 8.5, "color": MUTED, "va": "bottom"}
    text(ax, STUDY, 0.75, "Study", ha="left", **style)
    for place, head in zip((TREATMENT, CONTROL), data.heads, strict=False):
        text(ax, place, 0.75, head, ha="right", **style)
    text(ax, RAW, 0.75, f"{short} as observed\n[{level} confidence]", ha="right", **style)
    text(ax, WEIGHT, 0.75, "weight\n%", ha="right", **style)
    text(ax, SHRUNKEN, 0.75, f"{short} shrunken\n[{level} credible]", ha="right", **style)
    for j, domain in enumerate(data.domains):
        text(ax, RISK + j * RISK_STEP, 0.75, domain, ha="center", rotation=90, **style)


LABEL_WIDTH = 28
"""Characters of a study's label that fit left of the counts."""


def _fitted(label: str) -> str:
    """Return a label short enough for its column, its dagger kept; the data table has it in full."""
    if len(label) <= LABEL_WIDTH:
        return label
    mark = f" {DAGGER}" if label.endswith(DAGGER) else ""
    return f"{label[: LABEL_WIDTH - 1 - len(mark)].rstrip()}…{mark}"


def _draw(ax: "Axes", height: float, what: ForestStudy | ForestPooled | tuple[str, str] | None) -> None:
    if what is None:
        ax.axhline(height, xmin=0, xmax=1, color=FAINT, lw=0.8)
    elif isinstance(what, ForestStudy):
        _draw_study(ax, height, what)
    elif isinstance(what, ForestPooled):
        _draw_pooled(ax, height, what)
    else:
        kind, words = what
        style: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "ha": "left", "va": "center"}
        if kind == "header":
            text(ax, STUDY, height, words, fontsize=9, fontweight="bold", color=INK, **style)
        else:
            text(ax, STUDY, height, words, fontsize=8, color=MUTED, **style)


def _draw_study(ax: "Axes", height: float, study: ForestStudy) -> None:
    across = ax.get_yaxis_transform()
    style: dict[str, Any] = {"transform": across, "fontsize": 9, "color": INK, "va": "center"}
    text(ax, STUDY, height, _fitted(study.label) + (" *" if study.adjusted else ""), ha="left", **style)
    text(ax, TREATMENT, height, study.treatment, ha="right", **style)
    text(ax, CONTROL, height, study.control, ha="right", **style)
    text(ax, RAW, height, study.raw, ha="right", **style)
    if study.weight is not None:
        text(ax, WEIGHT, height, f"{study.weight:.1f}", ha="right", **style)
    text(ax, SHRUNKEN, height, study.shrunken_text, ha="right", **{**style, "color": BAYESIAN})
    _line(ax, height + 0.12, study.low, study.high, INK, 1.1)
    area = 16 + 3.0 * (study.weight or 0.0)
    ax.scatter([study.y], [height + 0.12], s=area, marker="s", color=INK, zorder=3, linewidths=0)
    if study.shrunken is not None and study.shrunken_low is not None and study.shrunken_high is not None:
        _line(ax, height - 0.2, study.shrunken_low, study.shrunken_high, BAYESIAN, 1.1)
        ax.scatter([study.shrunken], [height - 0.2], s=20, marker="o", color=BAYESIAN, zorder=3, linewidths=0)
    for j, judgement in enumerate(study.risk):
        _draw_judgement(ax, RISK + j * RISK_STEP, height, judgement)


# Light enough for the mark in them; that the mark says it too keeps them readable in print.
RISK_COLOURS = {"+": "#8fd19e", "-": "#ffe08a", "x": "#f1a7a0", "!": "#c98bd9", "?": "#d0d7de"}


def _draw_judgement(ax: "Axes", x: float, height: float, judgement: str) -> None:
    mark = JUDGEMENTS[judgement]
    if not mark:
        return
    across = ax.get_yaxis_transform()
    disc: dict[str, Any] = {"transform": across, "clip_on": False, "linewidths": 0, "zorder": 3}
    ax.scatter([x], [height], s=90, color=RISK_COLOURS[mark], **disc)
    text(ax, x, height, mark, transform=across, ha="center", va="center", fontsize=9, color=INK, zorder=4)


def _line(ax: "Axes", height: float, low: float, high: float, colour: str, width: float) -> None:
    """Draw an interval, with an arrow head where the plot cuts it."""
    left, right = ax.get_xlim()
    ax.plot(
        [max(low, left), min(high, right)], [height, height], color=colour, lw=width, solid_capstyle="butt", zorder=2
    )
    for beyond, edge, marker in ((low < left, left, "<"), (high > right, right, ">")):
        if beyond:
            ax.plot([edge], [height], marker=marker, color=colour, ms=5, clip_on=False, mew=0)


PREDICTION_ROW = 0.36


def _draw_pooled(ax: "Axes", height: float, pooled: ForestPooled) -> None:
    colour = {"published": PUBLISHED, "classical": CLASSICAL, "bayesian": BAYESIAN}[pooled.kind]
    low, high = pooled.interval
    across = ax.get_yaxis_transform()
    style: dict[str, Any] = {"transform": across, "fontsize": 9, "color": colour, "va": "center"}
    text(ax, STUDY, height, _fitted(pooled.label), ha="left", fontweight="bold", **style)
    column = SHRUNKEN if pooled.kind == "bayesian" else RAW
    text(ax, column, height, pooled.words, ha="right", fontweight="bold", **style)
    ax.fill(
        [low, pooled.mu, high, pooled.mu], [height, height + 0.2, height, height - 0.2], color=colour, lw=0, zorder=3
    )
    if pooled.prediction is not None:
        y = height - PREDICTION_ROW
        _line(ax, y, pooled.prediction.low, pooled.prediction.high, colour, 0.9)
        for end in pooled.prediction:
            if ax.get_xlim()[0] < end < ax.get_xlim()[1]:
                ax.plot([end, end], [y - 0.09, y + 0.09], color=colour, lw=0.9)
        small = {**style, "fontsize": 8}
        text(ax, STUDY + 0.03, y - 0.02, "prediction, new study", ha="left", **small)
        text(ax, column, y - 0.02, pooled.prediction_words, ha="right", **small)


def _below(ax: "Axes", data: ForestData) -> None:
    """Write whom each side favours, and the notes, below the axis."""
    style: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8, "color": MUTED, "va": "top"}
    down = -22 - (13 if data.favours is not None else 0)
    if data.favours is not None:
        for x, words, side in ((0.0, f"← {data.favours[0]}", "left"), (1.0, f"{data.favours[1]} →", "right")):
            ax.annotate(
                words, (x, 0), xycoords="axes fraction", xytext=(0, -33), ha=side, parse_math=False, **style
            )  # fmt: skip
    for i, note in enumerate(data.footnotes):
        ax.annotate(
            note, (STUDY, 0), xycoords="axes fraction", xytext=(0, down - 12 * i), parse_math=False, **style
        )  # fmt: skip
