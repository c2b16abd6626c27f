"""What the answer rests on: the data with their provenance, and the engines' diagnostics."""

import numpy as np

from bayesmeta.analysis import OutcomeResult
from bayesmeta.compare.caveats import reconstructed
from bayesmeta.compare.observed import observed_cells, observed_effect, observed_heads, totals
from bayesmeta.compare.table import daggered, natural_scale, natural_text
from bayesmeta.effects import MEASURES
from bayesmeta.frequentist.result import PooledFit
from bayesmeta.posterior import Posterior
from bayesmeta.report.values import Fact, Line, Table
from bayesmeta.studies import StudyTable
from bayesmeta.words import DAGGER, DASH, counted, joined, level_text, number, probability_text, stopped


def data_table(result: OutcomeResult) -> Table:
    """Return the studies as analysed: counts or estimates, provenance, weights."""
    effects = result.comparison.effects
    counts, marked = effects.counts, reconstructed(effects)
    fit = next((r.source for r in result.comparison.rows if isinstance(r.source, PooledFit) and not r.without), None)
    rows = result.data.row if isinstance(result.data, StudyTable) else ()
    line_of = dict(zip(result.data.study, rows, strict=False))
    heads = ["Study"]
    heads += [_one_line(head) for head in observed_heads(effects)] + (["status"] if counts is not None else [])
    heads += [MEASURES[effects.measure].analysis_label, "SE", "weight %"] + (["line of the file"] if rows else [])
    lines = []
    for i, study in enumerate(effects.study):
        cells = [daggered(study, marked)]
        mark = f" {DAGGER}" if study in marked else ""
        cells += [f"{cell}{mark}" for cell in observed_cells(effects, i)]
        cells += [counts.status[i] or DASH] if counts is not None else []
        weight = fit.weights[fit.study.index(study)] if fit is not None and study in fit.study else None
        cells += [
            number(float(effects.yi[i])),
            number(float(effects.sei[i])),
            DASH if weight is None else f"{weight:.1f}",
        ]
        cells += [str(line_of.get(study, DASH))] if rows else []
        lines.append(Line(tuple(cells)))
    return Table(tuple(heads), tuple(lines), notes=_data_notes(result))


def _one_line(head: str) -> str:
    """Return a heading of two lines as one, e.g. ``treatment, events/n``."""
    first, _, second = head.partition("\n")
    return f"{first.lower()}, {second}" if second else first


def _data_notes(result: OutcomeResult) -> tuple[str, ...]:
    effects, data = result.comparison.effects, result.data
    notes = []
    if reconstructed(effects):
        notes.append(f"{DAGGER} Reconstructed: not printed in any source that could be read.")
    notes += [stopped(f"{a.study}: {a.what}") for a in effects.adjusted]
    if effects.counts is not None and not effects.adjusted:
        notes.append("No count was changed: no study has a zero cell, or the rule adds nothing.")
    notes += [
        f"Excluded: {e.study}{'' if e.row is None else f' (line {e.row})'}: {stopped(e.reason)}"
        for e in effects.excluded
    ]
    if not effects.excluded:
        notes.append("No study that was read was excluded.")
    if isinstance(data, StudyTable):
        texts = data.columns.get("note")
        if texts is not None:
            notes += [stopped(f"{s}: {t}") for s, t in zip(data.study, texts, strict=True) if str(t).strip()]
        read = [f"{name} from {header!r}" for name, header in data.mapping.items() if name != header]
        if read:
            notes.append(f"Columns read: {', '.join(read)}.")
    return tuple(notes)


def provenance(result: OutcomeResult) -> tuple[str, ...]:
    """Return how many studies and patients, and how their counts are known."""
    effects = result.comparison.effects
    counts = effects.counts
    if counts is None:
        return (
            stopped(f"{counted(effects.k, 'study')}{totals(effects) or ', given as estimates with standard errors'}"),
        )
    said = [f"{counted(effects.k, 'study')}{totals(effects)}."]
    kinds = [s for s in counts.status if s]
    if kinds:
        said.append(f"Status of the counts: {joined([f'{kinds.count(k)} {k}' for k in dict.fromkeys(kinds)])}.")
    return tuple(said)


def diagnostics_facts(result: OutcomeResult) -> tuple[Fact, ...]:
    """Return each engine's verdict on itself."""
    facts = []
    for row in result.comparison.rows:
        if isinstance(row.source, Posterior) and not row.without:
            said = row.source.diagnostics
            remedies = f" Changed on the way: {'; '.join(said.remedies)}." if said.remedies else ""
            facts.append(Fact(row.method, f"{'' if said.ok else 'DO NOT RELY ON THIS: '}{said.verdict}{remedies}"))
    return tuple(facts)


def diagnostics_table(result: OutcomeResult) -> Table | None:
    """Return R-hat, effective sample sizes and Monte Carlo errors of every sampled quantity."""
    posterior = result.comparison.posterior("nuts")
    if posterior is None or not posterior.diagnostics.table:
        return None
    marked = reconstructed(result.comparison.effects)
    columns = ("rhat", "ess_bulk", "ess_tail", "mcse_mean", "mcse_sd")
    lines = []
    for name, figures in posterior.diagnostics.table.items():
        study = name[len("theta[") : -1] if name.startswith("theta[") else ""
        label = f"theta, {daggered(study, marked)}" if study else name
        cells = [_figure(column, figures.get(column)) for column in columns]
        lines.append(Line((label, *cells)))
    return Table(("Quantity", "R-hat", "ESS bulk", "ESS tail", "MCSE of the mean", "MCSE of the SD"), tuple(lines))


def _figure(column: str, value: float | None) -> str:
    if value is None or not np.isfinite(value):
        return DASH
    if column == "rhat":
        return f"{value:.4f}"
    return f"{value:.0f}" if column.startswith("ess") else number(value, 2)


def predicted_table(result: OutcomeResult) -> Table | None:
    """Return each study beside what the model, fitted to the others, predicts for it."""
    if not result.predicted:
        return None
    effects, marked = result.comparison.effects, reconstructed(result.comparison.effects)
    level = level_text(result.comparison.level)
    lines = []
    for study in result.predicted:
        seen = observed_effect(effects, effects.study.index(study.study))
        at = number(natural_scale(effects, study.observed) if seen is None else seen) if seen != 0.0 else "0"
        first = (daggered(study.study, marked), at)
        if study.p is None:
            lines.append(Line((*first, f"not computed: {study.reason}"), "reason"))
        else:
            assert study.predicted is not None
            limits = natural_text(effects, None).limits(study.predicted)
            cells = (*first, limits, probability_text(study.p))
            lines.append(Line(cells, "differs" if study.p < 1.0 - result.comparison.level else ""))
    heads = (
        "Study",
        f"{MEASURES[effects.measure].short} observed",
        f"predicted from the others, {level}",
        "P(as far out)",
    )
    return Table(heads, tuple(lines))


def predicted_words(result: OutcomeResult) -> str:
    """Return in one sentence which studies lie where the model does not expect them."""
    known = [s for s in result.predicted if s.p is not None and s.predicted is not None]
    outside = [s.study for s in known if s.predicted is not None and s.observed not in s.predicted]
    level = level_text(result.comparison.level)
    said = (
        "Each study is compared with what the primary model, fitted to the other studies, predicts for a study of its "
        f"size: {len(known) - len(outside)} of {len(known)} lie inside the {level} interval."
    )
    return stopped(f"{said} Outside: {joined(outside)}") if outside else said
