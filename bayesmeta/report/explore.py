"""What a review asks beyond the main answer: subgroups, single studies, and whether results are missing."""

import numpy as np

from bayesmeta.analysis import OutcomeResult
from bayesmeta.compare import subgroups
from bayesmeta.compare.caveats import reconstructed
from bayesmeta.compare.precision import Printed
from bayesmeta.compare.subgroup_values import Subgroups
from bayesmeta.compare.table import benefit_words, daggered, natural_scale, natural_text
from bayesmeta.errors import BayesMetaError
from bayesmeta.events import between
from bayesmeta.fit import fit
from bayesmeta.frequentist import egger, influence, leave_one_out, trim_and_fill
from bayesmeta.plots import forest
from bayesmeta.plots.forest import forest_data, forest_room
from bayesmeta.report.values import Block, Figure, Items, Line, Paragraph, Section, Table
from bayesmeta.studies import EffectSizes, StudyTable
from bayesmeta.values import Interval
from bayesmeta.words import DASH, counted, interval_text, joined, level_text, number, p_value

FEWEST_FOR_ASYMMETRY = 10
"""Fewer studies than this say nothing about funnel asymmetry (Sterne et al. 2011, BMJ 343:d4002)."""
MOST_LEFT_OUT = 60
"""With more studies than this, one of them hardly matters, and a table of them is not read."""
SUBGROUPS, SINGLE_STUDIES, REPORTING_BIAS = "Subgroups", "Single studies", "Reporting bias"


def explorations(result: OutcomeResult, anchor: str) -> tuple[Section, ...]:
    """Return the sections on subgroups, on single studies and on reporting bias, as far as the data allow them."""
    return (*_subgroups(result, anchor), *_single_studies(result), reporting_bias(result))


def _subgroups(result: OutcomeResult, anchor: str) -> tuple[Section, ...]:
    data, comparison = result.data, result.comparison
    if not isinstance(data, StudyTable) or "subgroup" not in data.columns:
        return ()
    named = {str(label) for label in data.columns["subgroup"] if str(label).strip()}
    if len(named) < 2:
        return ()
    primary = result.posterior
    try:
        found = subgroups(
            data,
            measure=comparison.measure,
            level=comparison.level,
            benefit=comparison.benefit,
            priors={name: repr(prior) for name, prior in primary.priors.items()},
        )
    except BayesMetaError as error:
        return (Section(SUBGROUPS, (Paragraph(f"Not computed: {error}"),)),)
    return (Section(SUBGROUPS, (_subgroup_table(found, comparison.effects), *_subgroup_words(found, anchor))),)


def _subgroup_table(found: Subgroups, effects: EffectSizes) -> Table:
    level = level_text(found.level)
    lines = []
    for group in (*found.groups, found.overall):
        text, p = natural_text(effects, group.mu), group.bayesian.p_benefit_mean
        cells = (
            group.label,
            str(group.k),
            number(natural_scale(effects, group.classical.mu)),
            _limits(effects, group.classical.interval),
            number(group.classical.tau or 0.0, 2),
            text.median(),
            text.limits(group.mu.eti(found.level)),
        )
        lines.append(Line((*cells, DASH if p is None else Printed(group.mu).probability(p))))
    heads = (
        "Subgroup", "k", f"{effects.measure},\nREML", f"{level}\nconfidence", "tau", "Bayesian",
        f"{level}\ncredible", "P(benefit)",
    )  # fmt: skip
    return Table(heads, tuple(lines))


def _subgroup_words(found: Subgroups, anchor: str) -> tuple[Block, ...]:
    said = str(found).split("Test for subgroup differences", 1)[-1]
    lines = [line.strip() for line in f"Test for subgroup differences{said}".split("\n") if line.strip()]
    height, position = forest_room(forest_data(found))
    figure = Figure(
        draw=lambda ax: forest(found, ax=ax),
        width=11.0,
        height=height,
        position=position,
        label="Forest plot by subgroup",
        name=f"{anchor}-subgroups",
        wide=True,
    )
    return (Paragraph(" ".join(lines)), figure)


def _single_studies(result: OutcomeResult) -> tuple[Section, ...]:
    effects = result.comparison.effects
    if not 3 <= effects.k <= MOST_LEFT_OUT:
        return ()
    try:
        classical = leave_one_out(effects, level=result.comparison.level)
    except BayesMetaError as error:
        return (Section(SINGLE_STUDIES, (Paragraph(f"Not computed: {error}"),)),)
    marked = reconstructed(effects)
    lines = []
    for study, fitted in zip(classical.study, classical.fits, strict=True):
        reml = f"{number(natural_scale(effects, fitted.mu))} [{_limits(effects, fitted.ci)}]"
        lines.append(
            Line((daggered(study, marked), reml, number(fitted.tau or 0.0, 2), *_bayesian_without(result, study)))
        )
    event, level = benefit_words(result.comparison), level_text(result.comparison.level)
    heads = ["Without", f"{effects.measure}, REML [{level} confidence]", "tau", f"Bayesian [{level} credible]"]
    table = Table((*heads, *((f"P({event})",) if event else ())), tuple(lines))
    return (Section(SINGLE_STUDIES, (table, Paragraph(_influential(effects)))),)


def _limits(effects: EffectSizes, limits: Interval | None) -> str:
    if limits is None:
        return DASH
    return interval_text(natural_scale(effects, limits.low), natural_scale(effects, limits.high))


def _bayesian_without(result: OutcomeResult, study: str) -> tuple[str, ...]:
    primary, comparison = result.posterior, result.comparison
    event = benefit_words(comparison)
    blank = (DASH, *((DASH,) if event else ()))
    if not primary.model.abilities.closed_form:
        return blank
    try:
        left = fit(primary.data.drop([study]), primary.model, priors=primary.priors, engine="quadrature")
    except BayesMetaError:
        return blank
    text = natural_text(comparison.effects, left.mu)
    said = f"{text.median()} [{text.limits(left.mu.eti(comparison.level))}]"
    if not event:
        return (said,)
    side = (None, 0.0) if comparison.benefit == "lower" else (0.0, None)
    return said, Printed(left.mu).probability(between(left.mu, *side))


def _influential(effects: EffectSizes) -> str:
    """Return in a sentence which studies the diagnostics of Viechtbauer & Cheung (2010) mark."""
    try:
        found = influence(effects)
    except BayesMetaError as error:
        return f"Influence diagnostics were not computed: {error}"
    marked = [s for s, yes in zip(effects.study, np.asarray(found.influential), strict=True) if yes]
    rule = "Influence (Viechtbauer & Cheung 2010, Res. Synth. Methods 1:112-125, REML)"
    return f"{rule}: {joined(marked)} stand out." if marked else f"{rule}: no study stands out."


def reporting_bias(result: OutcomeResult) -> Section:
    """Return what the data say of missing results, or why they cannot say it."""
    effects = result.comparison.effects
    if effects.k < FEWEST_FOR_ASYMMETRY:
        said = (
            f"Not assessed: {counted(effects.k, 'study')}, and with fewer than "
            f"{FEWEST_FOR_ASYMMETRY} no test can tell asymmetry from chance (Sterne et al. 2011, BMJ 343:d4002). That "
            "results are missing can neither be shown nor excluded."
        )
        return Section(REPORTING_BIAS, (Paragraph(said),))
    lines = []
    try:
        test = egger(effects)
        df = "" if test.df is None else f"({test.df})"
        lines.append(
            f"{test.name} test for asymmetry ({test.predictor_title}): {'z' if test.df is None else 't'}{df} = "
            f"{test.statistic:.2f}, p {p_value(test.p_value)}."
        )
        filled = trim_and_fill(effects)
        with_filled, now = filled.fit.mu, filled.original.mu
        lines.append(
            f"Trim-and-fill (estimator L0): {counted(filled.k0, 'study')} filled in; {effects.measure} "
            f"{number(natural_scale(effects, with_filled))} with what is filled in, "
            f"{number(natural_scale(effects, now))} as observed. Filled-in studies are invented: a sensitivity "
            "analysis, never the corrected effect."
        )
    except BayesMetaError as error:
        lines.append(f"Not computed: {error}")
    lines.append(
        "Small studies may differ for other reasons than missing results: quality, patients, or a measure whose "
        "standard error depends on the effect."
    )
    return Section(REPORTING_BIAS, (Items(tuple(lines)),))
