"""A comparison as cells of text, for the terminal and for reports alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayesmeta.compare.caveats import reconstructed
from bayesmeta.compare.precision import Printed, figure_error
from bayesmeta.compare.values import Comparison, Row
from bayesmeta.effects import MEASURES
from bayesmeta.events import between, opposite, side_of_benefit
from bayesmeta.marginals.convergence import decimals
from bayesmeta.posterior import Marginal, Posterior
from bayesmeta.studies import EffectSizes, PublishedResult
from bayesmeta.values import Interval
from bayesmeta.words import (
    DAGGER,
    DASH,
    digits,
    joined,
    number,
    p_value,
    percent,
    small_number,
    stopped,
)


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


def natural_text(effects: EffectSizes, marginal: Marginal | None) -> Printed:
    """Return the figures of an effect as text on the natural scale; `marginal` is None for those not a posterior's."""

    def natural(value: float) -> float:
        shown = natural_scale(effects, value)
        assert shown is not None
        return shown

    return Printed(marginal, natural)


def tau_text(measure: str, value: float | None, error: float | None = None) -> str:
    """Return tau or one of its limits as text: two decimals on a log scale, three digits on any other unit."""
    if MEASURES[measure].ratio:
        return small_number(value, decimals(error, 2))
    return number(value, digits(value, error)) if value else small_number(value)


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
    shown = Shown(row, comparison)
    k = DASH if row.k is None else str(row.k)
    return TableRow(
        method=row.method,
        kind=row.kind,
        k=k + DAGGER if marked and not row.without else k,
        estimate=shown.estimate(),
        interval=shown.limits("mu", row.interval),
        interval_kind="" if row.interval is None else row.interval.kind,
        tau=shown.tau(row.tau, 0.5),
        tau_interval=DASH if row.tau_interval is None else shown.tau_limits(row.tau_interval),
        I2=shown.i2(),
        prediction=shown.limits("theta_new", row.prediction),
        p=p_value(row.p_value),
        p_benefit_mean=shown.probability("mu", row.p_benefit_mean),
        p_benefit_new=shown.probability("theta_new", row.p_benefit_new),
        without=", ".join(daggered(s, marked) for s in row.without),
        note=row.note,
    )


@dataclass(frozen=True, slots=True)
class Shown:
    """A row's figures as text, with no digit finer than its Monte Carlo error."""

    row: Row
    comparison: Comparison

    def _marginal(self, name: str) -> Marginal | None:
        source = self.row.source
        return source.marginals.get(name) if isinstance(source, Posterior) else None

    def estimate(self) -> str:
        return natural_text(self.comparison.effects, self._marginal("mu")).figure(self.row.mu, 0.5)

    def limits(self, name: str, interval: Interval | None) -> str:
        if interval is None:
            return DASH
        return natural_text(self.comparison.effects, self._marginal(name)).limits(interval)

    def tau(self, value: float | None, q: float) -> str:
        return tau_text(self.comparison.measure, value, figure_error(self._marginal("tau"), q))

    def tau_limits(self, interval: Interval) -> str:
        tail = (1.0 - interval.level) / 2.0
        return f"{self.tau(interval.low, tail)} to {self.tau(interval.high, 1.0 - tail)}"

    def i2(self) -> str:
        return percent(self.row.I2, decimals(figure_error(self._marginal("I2"), 0.5), 1))

    def probability(self, name: str, value: float | None) -> str:
        return Printed(self._marginal(name)).probability(value)


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


KIND_SHORT = {"confidence": "conf.", "credible": "cred."}


@dataclass(frozen=True, slots=True)
class Section:
    """Rows on the same studies, under one heading, as cells in the order of `headings`."""

    heading: str
    rows: tuple[tuple[str, ...], ...]
    kinds: tuple[str, ...]


def headings(comparison: Comparison) -> tuple[str, ...]:
    """Return the column headings of `sections`, each in one or two lines."""
    level = f"{100 * comparison.level:g}%"
    heads = (
        "Method",
        "k",
        MEASURES[comparison.measure].short,
        f"{level}\ninterval",
        "kind",
        "tau",
        "I²",
        "prediction\ninterval",
        "p",
    )
    event = benefit_words(comparison)
    return heads if not event else (*heads, f"P({event})\nmean", f"P({event})\nnew")


def benefit_words(comparison: Comparison) -> str:
    """Return what counts as a benefit, e.g. ``OR < 1``; empty when no direction was given."""
    null = MEASURES[comparison.measure].null_natural
    if comparison.benefit is None or null is None:
        return ""
    return f"{MEASURES[comparison.measure].short} {'>' if comparison.benefit == 'higher' else '<'} {null:g}"


def harm_words(comparison: Comparison, row: Row) -> str:
    """Return how probable it is that the effect is a harm, in a sentence, for a row with probabilities of benefit."""
    null, source = MEASURES[comparison.measure].null, row.source
    if comparison.benefit is None or null is None or not isinstance(source, Posterior):
        return ""
    other = opposite(comparison.benefit)
    event = f"{MEASURES[comparison.measure].short} {'>' if other == 'higher' else '<'} {_null_words(comparison)}"
    shown = Shown(row, comparison)
    chances = [
        (words, shown.probability(name, between(source.marginals[name], *side_of_benefit(null, other))))
        for words, name in (("the mean effect", "mu"), ("the true effect of a new study", "theta_new"))
        if name in source.marginals
    ]
    return f"The probability of harm ({event}) is {joined([f'{p} for {words}' for words, p in chances])}."


def _null_words(comparison: Comparison) -> str:
    return f"{MEASURES[comparison.measure].null_natural:g}"


def sections(comparison: Comparison) -> tuple[Section, ...]:
    """Return the table in parts: all studies first, then without the studies left out."""
    parts: dict[str, list[TableRow]] = {}
    for row in table_rows(comparison):
        parts.setdefault(row.without, []).append(row)
    with_p = bool(benefit_words(comparison))
    return tuple(
        Section(
            f"Without {without}" if without else "All studies",
            tuple(_cells(row, with_p=with_p) for row in rows),
            tuple(row.kind for row in rows),
        )
        for without, rows in parts.items()
    )


def _cells(row: TableRow, *, with_p: bool) -> tuple[str, ...]:
    kind = KIND_SHORT.get(row.interval_kind, row.interval_kind)
    cells = (row.method, row.k, row.estimate, row.interval, kind, row.tau, row.I2, row.prediction, row.p)
    return (*cells, row.p_benefit_mean, row.p_benefit_new) if with_p else cells


def footnotes(comparison: Comparison) -> tuple[str, ...]:
    """Return what stands below the table: how to read it, missing rows, and what it rests on."""
    event = benefit_words(comparison)
    read = (
        "conf. = confidence interval, cred. = credible interval; Bayesian estimates, tau and I² are posterior medians."
    )
    new = any(row.p_benefit_new is not None for row in comparison.rows)
    of_new = ", and for the true effect of a new study" if new else ""
    probability = f"P({event}): posterior probability for the mean effect{of_new}."
    sampled = any(isinstance(r.source, Posterior) and r.source.engine == "nuts" for r in comparison.rows)
    digits_words = ("NUTS figures have the digits that their Monte Carlo error supports.",) if sampled else ()
    doubtful = (
        f"{row.method}{_without(row.without)}: {row.source.diagnostics.verdict}"
        for row in comparison.rows
        if isinstance(row.source, Posterior) and not row.source.diagnostics.ok
    )
    missing = (
        f"{stopped(f'Not shown: {a.method}{_without(a.without)}')} {stopped(a.reason)}" for a in comparison.absent
    )
    return (*doubtful, read, *((probability,) if event else ()), *digits_words, *missing, *comparison.caveats)


def _without(studies: tuple[str, ...]) -> str:
    return f" without {joined(studies)}" if studies else ""


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line of a table in plain text; `kind` is ``"head"``, ``"group"``, ``"note"`` or a row's kind."""

    text: str
    kind: str


def text_lines(comparison: Comparison, width: int | None = None) -> tuple[TextLine, ...]:
    """Return the comparison as lines of plain text.

    Parameters
    ----------
    comparison
        What to show.
    width
        Columns of the terminal: a wider table is folded into several with the methods repeated, so
        that no figure is cut. None for no limit.
    """
    parts = sections(comparison)
    heads = [h.split("\n") for h in headings(comparison)]
    top = [("", *(h[0] if len(h) > 1 else "" for h in heads[1:])), tuple(h[-1] for h in heads)]
    rows = [*top, *(row for part in parts for row in part.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    lines = []
    for columns in folded(widths, width):
        lines += [TextLine(_aligned(row, widths, columns), "head") for row in top]
        for part in parts:
            lines += [TextLine(f"{part.heading}:", "group")] if len(parts) > 1 else []
            kinds = zip(part.rows, part.kinds, strict=True)
            lines += [TextLine(_aligned(row, widths, columns), kind) for row, kind in kinds]
    return (*lines, *(TextLine(note, "note") for note in footnotes(comparison)))


GAP = 2


def folded(widths: list[int], width: int | None) -> list[list[int]]:
    """Return which columns stand side by side in a table of at most `width`: the first one always.

    Examples
    --------
    >>> folded([10, 5, 5, 5], None), folded([10, 5, 5, 5], 25)
    ([[0, 1, 2, 3]], [[0, 1, 2], [0, 3]])
    """
    groups = [[0]]
    for i, wide in enumerate(widths[1:], start=1):
        used = sum(widths[j] + GAP for j in groups[-1])
        if width is not None and len(groups[-1]) > 1 and used + wide > width:
            groups.append([0])
        groups[-1].append(i)
    return groups


def text_table(comparison: Comparison) -> str:
    """Return the comparison as one block of plain text."""
    return "\n".join(line.text for line in text_lines(comparison))


def _aligned(row: tuple[str, ...], widths: list[int], columns: list[int]) -> str:
    cells = [row[i].ljust(widths[i]) if i == 0 else row[i].rjust(widths[i]) for i in columns]
    return (" " * GAP).join(cells).rstrip()
