"""Forest plot: studies raw and shrunken, pooled diamonds of both kinds, prediction intervals."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri

from bayesmeta.compare.caveats import reconstructed
from bayesmeta.compare.table import Shown, daggered, natural_text
from bayesmeta.compare.values import Comparison, Row
from bayesmeta.effects import MEASURES
from bayesmeta.errors import DataError
from bayesmeta.frequentist.result import PooledFit
from bayesmeta.plots._style import BAYESIAN, CLASSICAL, FAINT, INK, MUTED, PUBLISHED, bare, natural_axis, new_axes, text
from bayesmeta.posterior import Marginal, Posterior
from bayesmeta.studies import EffectSizes, PublishedResult
from bayesmeta.values import Interval
from bayesmeta.words import DAGGER

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True)
class ForestStudy:
    """One study as drawn: every number on the analysis scale, every text as printed."""

    label: str
    treatment: str
    control: str
    y: float
    low: float
    high: float
    raw: str
    weight: float | None
    shrunken: float | None
    shrunken_low: float | None
    shrunken_high: float | None
    shrunken_text: str
    adjusted: bool


@dataclass(frozen=True, slots=True)
class ForestPooled:
    """One pooled answer as drawn: a diamond and, where there is one, its prediction interval."""

    label: str
    kind: str
    mu: float
    interval: Interval
    words: str
    prediction: Interval | None
    prediction_words: str


@dataclass(frozen=True, slots=True, eq=False)
class ForestData:
    """Everything a forest plot shows."""

    studies: tuple[ForestStudy, ...]
    pooled: tuple[ForestPooled, ...]
    measure: str
    level: float
    null: float | None
    limits: tuple[float, float]
    footnotes: tuple[str, ...]


def forest_data(comparison: Comparison) -> ForestData:
    """Return the numbers and texts of a forest plot.

    Parameters
    ----------
    comparison
        Its rows on all studies are the diamonds; weights are the first classical row's, shrunken
        effects the first Bayesian row's.
    """
    if not isinstance(comparison, Comparison):
        raise DataError(f"forest draws what bm.compare(...) returns, not {type(comparison).__name__}.")
    effects = comparison.effects
    rows = [r for r in comparison.rows if not r.without and r.mu is not None and r.interval is not None]
    classical = next((r.source for r in rows if isinstance(r.source, PooledFit)), None)
    posterior = next((r.source for r in rows if isinstance(r.source, Posterior)), None)
    studies = tuple(_study(i, effects, classical, posterior, comparison.level) for i in range(effects.k))
    pooled = tuple(_pooled(row, comparison) for row in rows)
    return ForestData(
        studies=studies,
        pooled=pooled,
        measure=effects.measure,
        level=comparison.level,
        null=MEASURES[effects.measure].null,
        limits=_limits(studies, pooled, MEASURES[effects.measure].null),
        footnotes=_footnotes(effects, studies, next((r.method for r in rows if isinstance(r.source, PooledFit)), "")),
    )


def _study(
    i: int, effects: EffectSizes, fit: PooledFit | None, posterior: Posterior | None, level: float
) -> ForestStudy:
    label, y, half = effects.study[i], float(effects.yi[i]), float(ndtri(0.5 + level / 2) * effects.sei[i])
    raw = Interval(y - half, y + half, level, "confidence", "wald")
    theta = None if posterior is None else posterior.theta.get(label)
    inside = None if theta is None else theta.eti(level)
    marked = reconstructed(effects)
    treatment, control = _counts(effects, i, DAGGER if label in marked else "")
    return ForestStudy(
        label=daggered(label, marked),
        treatment=treatment,
        control=control,
        y=y,
        low=raw.low,
        high=raw.high,
        raw=_estimate(effects, None, y, raw),
        weight=_weight(fit, label),
        shrunken=None if theta is None else theta.median(),
        shrunken_low=None if inside is None else inside.low,
        shrunken_high=None if inside is None else inside.high,
        shrunken_text="" if theta is None or inside is None else _estimate(effects, theta, theta.median(), inside),
        adjusted=any(a.study == label for a in effects.adjusted),
    )


def _counts(effects: EffectSizes, i: int, mark: str) -> tuple[str, str]:
    """Return events/n of both arms, marked where they were reconstructed; empty without counts."""
    counts = effects.counts
    if counts is None:
        return "", ""
    return (
        f"{counts.events_treatment[i]:.0f}/{counts.n_treatment[i]:.0f}{mark}",
        f"{counts.events_control[i]:.0f}/{counts.n_control[i]:.0f}{mark}",
    )


def _weight(fit: PooledFit | None, label: str) -> float | None:
    if fit is None or label not in fit.study:
        return None
    return float(fit.weights[fit.study.index(label)])


def _estimate(effects: EffectSizes, marginal: Marginal | None, value: float, interval: Interval) -> str:
    printed = natural_text(effects, marginal)
    return f"{printed.figure(value, 0.5)} [{printed.limits(interval)}]"


def _pooled(row: Row, comparison: Comparison) -> ForestPooled:
    assert row.mu is not None
    assert row.interval is not None
    prediction, source, shown = row.prediction, row.source, Shown(row, comparison)
    estimated = f"{shown.estimate()} [{shown.limits('mu', row.interval)}]"
    words = _printed(source) if isinstance(source, PublishedResult) else estimated
    return ForestPooled(
        label=row.method,
        kind=row.kind,
        mu=row.mu,
        interval=row.interval,
        words=words,
        prediction=prediction,
        prediction_words="" if prediction is None else f"[{shown.limits('theta_new', prediction)}]",
    )


def _printed(published: PublishedResult) -> str:
    """Return a published result with the digits it was printed with."""
    return f"{published.estimate} [{published.low} to {published.high}]"


def _limits(
    studies: tuple[ForestStudy, ...], pooled: tuple[ForestPooled, ...], null: float | None
) -> tuple[float, float]:
    """Return the drawn range: all answers whole, a wide study's interval cut rather than everything squeezed."""
    core = [s.y for s in studies] + [x for s in studies for x in (s.shrunken_low, s.shrunken_high) if x is not None]
    core += [] if null is None else [null]
    core += [x for p in pooled for i in (p.interval, p.prediction) if i is not None for x in i if np.isfinite(x)]
    low, high = min(core), max(core)
    room = 0.25 * (high - low) or 1.0
    ends = [x for s in studies for x in (s.low, s.high)]
    margin = 0.2 * room
    return max(low - room, min([low, *ends])) - margin, min(high + room, max([high, *ends])) + margin


def _footnotes(effects: EffectSizes, studies: tuple[ForestStudy, ...], weights: str) -> tuple[str, ...]:
    notes = [f"weights: {weights}"] if weights else []
    if reconstructed(effects):
        notes.append("† counts reconstructed, not printed in a source")
    if any(s.adjusted for s in studies):
        notes.append("* zero cell, a constant was added before pooling; the counts are shown as observed")
    return tuple(notes)


# Columns, as multiples of the drawn area's width to the left (negative) and right (above 1) of it.
STUDY, TREATMENT, CONTROL, RAW, WEIGHT, SHRUNKEN = -1.14, -0.27, -0.06, 1.57, 1.76, 2.38
ROW_INCHES = 0.31


def forest(comparison: Comparison, *, ax: "Axes | None" = None) -> "Axes":
    """Draw a forest plot.

    Studies: a square (area by classical weight) with its confidence interval, and below it the
    shrunken effect with its credible interval. Diamonds: pooled effects; thin lines: prediction intervals.

    Parameters
    ----------
    comparison
        From `bayesmeta.compare`.
    ax
        Axes to draw the effects in; the columns of text are written left and right of it, so leave
        room (a new figure has it). None makes a figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    data = forest_data(comparison)
    if ax is None:
        ax = forest_axes(data)
    heights = _rows(data)
    ax.set_xlim(*data.limits)
    ax.set_ylim(min(heights.values()) - 0.8, 1.9)
    if data.null is not None:
        ax.axvline(data.null, color=MUTED, lw=0.8, zorder=1)
    _headings(ax, data)
    for study in data.studies:
        _draw_study(ax, heights[study.label], study)
    ax.axhline(heights["rule"], xmin=0, xmax=1, color=FAINT, lw=0.8)
    for i, pooled in enumerate(data.pooled):
        _draw_pooled(ax, heights[f"pooled {i}"], pooled)
    bare(ax)
    natural_axis(ax, MEASURES[data.measure])
    for i, note in enumerate(data.footnotes):
        ax.annotate(
            note, (STUDY, 0), xycoords="axes fraction", xytext=(0, -22 - 12 * i), textcoords="offset points",
            fontsize=8, color=MUTED, va="top", parse_math=False,
        )  # fmt: skip
    return ax


def forest_axes(data: ForestData) -> "Axes":
    """Return the axes of a new figure with room for the text columns."""
    lines = len(data.studies) + len(data.pooled) + 3
    height = ROW_INCHES * 1.25 * lines + 0.9
    ax = new_axes(None, 11.0, height)
    ax.set_position((0.33, 0.75 / height, 0.277, 1 - 0.85 / height))
    return ax


def _rows(data: ForestData) -> dict[str, float]:
    """Return the height of every line of the plot, from the top down."""
    heights = {s.label: -float(i) for i, s in enumerate(data.studies)}
    below = -len(data.studies)
    heights["rule"] = below + 0.35
    for i in range(len(data.pooled)):
        heights[f"pooled {i}"] = below - 0.25 - i * 1.0
    return heights


def _headings(ax: "Axes", data: ForestData) -> None:
    level = f"{100 * data.level:g}%"
    across = ax.get_yaxis_transform()
    style: dict[str, Any] = {"transform": across, "fontsize": 8.5, "color": MUTED, "va": "bottom"}
    text(ax, STUDY, 0.75, "Study", ha="left", **style)
    if data.studies and data.studies[0].treatment:
        text(ax, TREATMENT, 0.75, "Treatment\nevents/n", ha="right", **style)
        text(ax, CONTROL, 0.75, "Control\nevents/n", ha="right", **style)
    text(ax, RAW, 0.75, f"{data.measure} as observed\n[{level} confidence]", ha="right", **style)
    text(ax, WEIGHT, 0.75, "weight\n%", ha="right", **style)
    text(ax, SHRUNKEN, 0.75, f"{data.measure} shrunken\n[{level} credible]", ha="right", **style)


LABEL_WIDTH = 30
"""Characters of a study's label that fit left of the counts."""


def _fitted(label: str) -> str:
    """Return a label short enough for its column, its dagger kept; the data table has it in full."""
    if len(label) <= LABEL_WIDTH:
        return label
    mark = f" {DAGGER}" if label.endswith(DAGGER) else ""
    return f"{label[: LABEL_WIDTH - 1 - len(mark)].rstrip()}…{mark}"


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
    text(ax, STUDY, height, pooled.label, ha="left", fontweight="bold", **style)
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
