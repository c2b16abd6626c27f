"""A comparison as cells of text, for the terminal and for reports alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayesmeta.compare.caveats import reconstructed
from bayesmeta.compare.values import Comparison, Row
from bayesmeta.effects import MEASURES
from bayesmeta.posterior import Marginal, Posterior
from bayesmeta.studies import EffectSizes, PublishedResult
from bayesmeta.values import Interval
from bayesmeta.words import (
    DAGGER,
    DASH,
    interval_text,
    number,
    p_value,
    percent,
    probability_text,
    small_number,
)

KIND_SHORT = {"confidence": "conf.", "credible": "cred.", "prediction": "pred.", "posterior prediction": "post. pred."}


@dataclass(frozen=True, slots=True)
class TableRow:
    """One line of the side-by-side table, every cell as text."""

    method: str
    kind: str
    k: str
    estimate: str
    interval: str
    interval_kind: str
    tau: str
    tau_interval: str
    I2: str
    prediction: str
    p: str
    p_benefit_mean: str
    p_benefit_new: str
    without: str
    note: str


def natural_scale(effects: EffectSizes, value: float | None) -> float | None:
    """Return an analysis-scale value on the natural scale of the effects' measure."""
    if value is None:
        return None
    scale = MEASURES[effects.measure]
    if not scale.scale.needs_n:
        return float(scale.to_natural(value))
    n = None if effects.ni is None else effects.k / float(np.sum(1.0 / effects.ni))
    return float(scale.to_natural(value, n))


def natural_interval(effects: EffectSizes, interval: Interval | None, digits: int = 3) -> str:
    """Return an analysis-scale interval as text on the natural scale."""
    if interval is None:
        return DASH
    return interval_text(natural_scale(effects, interval.low), natural_scale(effects, interval.high), digits)


def daggered(study: str, marked: Sequence[str]) -> str:
    """Return a study's label, with a dagger when its counts were reconstructed."""
    return f"{study} {DAGGER}" if study in marked else study


def table_rows(comparison: Comparison) -> tuple[TableRow, ...]:
    """Return every row of a comparison as text, on the natural scale."""
    marked = reconstructed(comparison.effects)
    return tuple(_table_row(row, comparison, marked) for row in comparison.rows)


def _table_row(row: Row, comparison: Comparison, marked: Sequence[str]) -> TableRow:
    if isinstance(row.source, PublishedResult):
        return _published_row(row, row.source)
    effects = comparison.effects
    decimals = 5 if isinstance(row.source, Posterior) and row.source.engine == "quadrature" else 3
    k = DASH if row.k is None else str(row.k)
    return TableRow(
        method=row.method,
        kind=row.kind,
        k=k + DAGGER if marked and not row.without else k,
        estimate=number(natural_scale(effects, row.mu)),
        interval=natural_interval(effects, row.interval),
        interval_kind="" if row.interval is None else row.interval.kind,
        tau=small_number(row.tau),
        tau_interval=DASH
        if row.tau_interval is None
        else f"{small_number(row.tau_interval.low)} to {small_number(row.tau_interval.high)}",
        I2=percent(row.I2),
        prediction=natural_interval(effects, row.prediction),
        p=p_value(row.p_value),
        p_benefit_mean=probability_text(row.p_benefit_mean, decimals),
        p_benefit_new=probability_text(row.p_benefit_new, decimals),
        without=", ".join(daggered(s, marked) for s in row.without),
        note=row.note,
    )


def _published_row(row: Row, published: PublishedResult) -> TableRow:
    """Return the published figures exactly as printed."""
    limits = DASH if published.low is None or published.high is None else f"{published.low} to {published.high}"
    return TableRow(
        method=row.method,
        kind=row.kind,
        k=DASH,
        estimate=published.estimate or DASH,
        interval=limits,
        interval_kind="confidence" if limits != DASH else "",
        tau=DASH if row.tau is None else small_number(row.tau),
        tau_interval=DASH,
        I2=DASH if published.i2 is None else f"{published.i2}%",
        prediction=DASH,
        p=published.p or DASH,
        p_benefit_mean=DASH,
        p_benefit_new=DASH,
        without="",
        note=published.method,
    )


COLUMNS = ("method", "k", "estimate", "interval", "interval_kind", "tau", "I2", "prediction", "p")
HEADINGS = {
    "method": "Method",
    "k": "k",
    "interval_kind": "kind",
    "tau": "tau",
    "I2": "I²",
    "p": "p",
}


def text_table(comparison: Comparison) -> str:
    """Return the comparison as one block of plain text."""
    rows = table_rows(comparison)
    level = f"{100 * comparison.level:g}%"
    heads = {**HEADINGS, "estimate": comparison.measure, "interval": f"{level} interval", "prediction": "prediction"}
    columns = list(COLUMNS)
    if comparison.benefit is not None:
        columns += ["p_benefit_mean", "p_benefit_new"]
        heads |= {"p_benefit_mean": "P(benefit) mean", "p_benefit_new": "P(benefit) new study"}
    lines = [[heads[c] for c in columns]]
    for row in rows:
        cells = [getattr(row, c) for c in columns]
        cells[0] += f" without {row.without}" if row.without else ""
        lines.append(cells)
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    text = [_aligned(line, widths) for line in lines]
    return "\n".join([*text, *(f"{a.method}: not shown, {a.reason}" for a in comparison.absent), *comparison.caveats])


def _aligned(line: list[str], widths: list[int]) -> str:
    first, *rest = (c.rjust(w) for c, w in zip(line, widths, strict=True))
    return "  ".join([line[0].ljust(len(first)), *rest]).rstrip()


def tail_mass(marginal: Marginal, threshold: float, benefit: str) -> float:
    """Return P(effect beyond `threshold` in the direction of benefit), analysis scale."""
    return float(marginal.sf(threshold) if benefit == "higher" else marginal.cdf(threshold))
