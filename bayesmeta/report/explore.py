"""What a review asks beyond the main answer: subgroups, single studies, and whether results are missing."""

from bayesmeta.analysis import OutcomeResult
from bayesmeta.compare import subgroups
from bayesmeta.compare.caveats import reconstructed
from bayesmeta.compare.precision import Printed
from bayesmeta.compare.single_studies import influence_words, single_study_cells, without_each
from bayesmeta.compare.subgroup_values import Subgroups
from bayesmeta.compare.table import daggered, natural_scale, natural_text
from bayesmeta.errors import BayesMetaError
from bayesmeta.frequentist import egger, trim_and_fill
from bayesmeta.plots import forest
from bayesmeta.plots.forest import forest_data, forest_room
from bayesmeta.report.values import Block, Figure, Items, Line, Paragraph, Section, Table
from bayesmeta.studies import EffectSizes, StudyTable
from bayesmeta.values import Interval
from bayesmeta.words import DASH, counted, interval_text, level_text, number, p_value

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
        return (Section(f"{SUBGROUPS}: not computed", (Paragraph(str(error)),)),)
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
    effects, comparison = result.comparison.effects, result.comparison
    if not 3 <= effects.k <= MOST_LEFT_OUT:
        return ()
    # Other models take seconds a fit.
    quick = result.posterior.model.abilities.closed_form
    try:
        found = without_each(
            effects, result.posterior, level=comparison.level, benefit=comparison.benefit, bayesian=quick
        )
    except BayesMetaError as error:
        return (Section(f"{SINGLE_STUDIES}: not computed", (Paragraph(str(error)),)),)
    marked = reconstructed(effects)
    heads, rows = single_study_cells(found)
    lines = tuple(Line((daggered(label, marked), *cells)) for label, *cells in rows)
    words = Paragraph(" ".join((influence_words(found), *found.notes)))
    return (Section(SINGLE_STUDIES, (Table(heads, lines), words)),)


def _limits(effects: EffectSizes, limits: Interval | None) -> str:
    if limits is None:
        return DASH
    return interval_text(natural_scale(effects, limits.low), natural_scale(effects, limits.high))


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
        "standard error depends on the effect. What models of reporting make of the data once it is said which results "
        "are favoured: bayesmeta bias FILE --direction less, or greater."
    )
    return Section(REPORTING_BIAS, (Items(tuple(lines)),))
