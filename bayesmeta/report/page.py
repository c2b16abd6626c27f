"""An analysis as what is said of it: every table, figure and sentence."""

from dataclasses import replace

from bayesmeta.analysis import Analysis, OutcomeResult
from bayesmeta.audit import Finding, audit
from bayesmeta.compare.table import Shown, benefit_words
from bayesmeta.compare.values import Row
from bayesmeta.posterior import Posterior, fixed_at
from bayesmeta.report import evidence, figures, outcome, priors
from bayesmeta.report.agreement import agreement_figure, agreement_rows, agreement_table, agreement_words
from bayesmeta.report.checklist import checklist
from bayesmeta.report.decisions import decision_tables
from bayesmeta.report.explore import explorations
from bayesmeta.report.methods import methods
from bayesmeta.report.sections import document, titles
from bayesmeta.report.tipping import scaling_sentences, tipping_sentences
from bayesmeta.report.values import Fact, Figure, Line, OutcomeView, ReportView, Table
from bayesmeta.studies import PublishedResult, StudyTable
from bayesmeta.words import DASH, level_text

FUNNEL_FROM = 10
"""Fewer studies than this say nothing about funnel asymmetry (Sterne et al. 2011, BMJ 343:d4002)."""

NOT_GIVEN = "not given"


def page(analysis: Analysis) -> ReportView:
    """Return everything that the report of an analysis shows."""
    plan = analysis.protocol
    view = ReportView(
        title=plan.title or "Meta-analysis",
        question=question(analysis),
        overview=overview(analysis),
        outcomes=tuple(outcome_view(r, analysis, f"outcome-{i + 1}") for i, r in enumerate(analysis.outcomes)),
        priors=priors_table(analysis),
        methods=methods(analysis),
        checklist=Table((), ()),
        reproducibility=reproducibility(analysis),
    )
    return replace(view, checklist=checklist_table(analysis, titles(document(view).sections)))


def question(analysis: Analysis) -> tuple[Fact, ...]:
    """Return population, intervention, comparator, and why the analysis is Bayesian."""
    plan = analysis.protocol
    if not plan.path.name:
        return (Fact("Protocol", "none: this report was made from data without a protocol"),)
    facts = [(name, getattr(plan.question, name.lower())) for name in ("Population", "Intervention", "Comparator")]
    facts += [("Why Bayesian", plan.reason), ("Registration", plan.registration)]
    return tuple(Fact(name, value or NOT_GIVEN) for name, value in facts)


def overview(analysis: Analysis) -> Table:
    """Return one line an outcome: published, Bayesian, probabilities, range over priors."""
    level = level_text(analysis.protocol.level)
    heads = (
        "Outcome", "benefit", "published", f"Bayesian\n{level} credible interval",
        "P(benefit)\nmean effect", "over the\npriors", "P(benefit)\nnew study", "over the\npriors",
    )  # fmt: skip
    lines = tuple(_overview_line(r) for r in analysis.outcomes)
    if any(benefit_words(r.comparison) for r in analysis.outcomes):
        return Table(heads, lines, left=2)
    # Without a direction of benefit in any outcome there is no probability to fill these columns.
    kept = [j for j, head in enumerate(heads) if head in ("Outcome", "published") or "interval" in head]
    return Table(
        tuple(heads[j] for j in kept), tuple(Line(tuple(line.cells[j] for j in kept)) for line in lines), left=1
    )


def _overview_line(result: OutcomeResult) -> Line:
    comparison = result.comparison
    row = next(r for r in comparison.rows if r.source is result.posterior)
    published = next((r for r in comparison.rows if r.kind == "published"), None)
    shown = Shown(row, comparison)
    return Line(
        (
            result.label,
            benefit_words(comparison) or DASH,
            _printed(published),
            f"{shown.estimate()} [{shown.limits('mu', row.interval)}]",
            shown.probability("mu", row.p_benefit_mean),
            outcome.p_over_sets(result, "p_benefit_mean") or DASH,
            shown.probability("theta_new", row.p_benefit_new),
            outcome.p_over_sets(result, "p_benefit_new") or DASH,
        )
    )


def _printed(row: Row | None) -> str:
    """Return a published result with the digits it was printed with; a dash where there is none."""
    said = None if row is None else row.source
    if not isinstance(said, PublishedResult) or said.estimate is None:
        return DASH
    return said.estimate if said.low is None or said.high is None else f"{said.estimate} [{said.low} to {said.high}]"


def outcome_view(result: OutcomeResult, analysis: Analysis, anchor: str) -> OutcomeView:
    """Return one outcome's part of the page."""
    comparison, posterior = result.comparison, result.posterior
    measure, level = comparison.measure, comparison.level
    nuts, agreed = comparison.posterior("nuts"), agreement_rows(result)
    free = tuple(n for n in ("mu", "tau") if n in posterior.priors and fixed_at(posterior, n) is None)
    several = len([s for s in result.prior_sets if s.posterior is not None]) > 1
    return OutcomeView(
        anchor=anchor,
        title=result.label,
        headline=outcome.headline(result),
        comparison=outcome.comparison_table(result),
        caveats=comparison.caveats,
        forest=figures.forest_figure(result, f"{anchor}-forest"),
        published=outcome.published_table(result),
        published_verdict=outcome.published_verdict(result),
        why_q=result.why_q,
        densities=tuple(
            figures.density_figure(posterior, quantity, measure, level, f"{anchor}-{quantity}") for quantity in free
        ),
        summary=outcome.summary_table(result),
        implied=priors.implied_words(result),
        sensitivity=priors.sensitivity_table(result),
        sensitivity_words=priors.sensitivity_words(result),
        sensitivity_figure=figures.prior_sets_figure(result, measure, level, f"{anchor}-sets") if several else None,
        thresholds=priors.thresholds_table(result),
        diagnostics=evidence.diagnostics_facts(result),
        diagnostics_table=evidence.diagnostics_table(result),
        diagnostics_figures=_rank_figures(nuts, anchor, free),
        agreement=agreement_table(agreed),
        agreement_words=agreement_words(agreed),
        agreement_figure=agreement_figure(agreed, f"{anchor}-agreement"),
        predicted=evidence.predicted_table(result),
        predicted_words=evidence.predicted_words(result),
        funnel=figures.funnel_figure(result, level, f"{anchor}-funnel")
        if comparison.effects.k >= FUNNEL_FROM
        else None,
        data=evidence.data_table(result),
        provenance=evidence.provenance(result),
        decisions=decision_tables(result),
        tipping=tipping_sentences(result),
        scaling=scaling_sentences(result),
        findings=findings(result),
        further=explorations(result, anchor),
    )


def findings(result: OutcomeResult) -> tuple[Finding, ...]:
    """Return what the audit found in an outcome's table that somebody should look at."""
    if not isinstance(result.data, StudyTable):
        return ()
    return tuple(f for f in audit(result.data, measure=result.comparison.measure) if f.look)


def _rank_figures(nuts: Posterior | None, anchor: str, names: tuple[str, ...]) -> tuple[Figure, ...]:
    if nuts is None:
        return ()
    return tuple(figures.ranks_figure(nuts, name, f"{anchor}-ranks-{name}") for name in names)


def priors_table(analysis: Analysis) -> Table:
    """Return every prior of the primary analysis and of the sensitivity analyses, with its justification."""
    result = analysis.outcomes[0]
    lines = [
        Line(("primary analysis", f"{name} ~ {prior!r}", priors.justification(analysis, name) or NOT_GIVEN), "bayesian")
        for name, prior in priors.used_priors(result.posterior).items()
    ]
    for prior_set in result.prior_sets[1:]:
        changed = {n: p for n, p in prior_set.priors.items() if p != result.prior_sets[0].priors.get(n)}
        text = ", ".join(f"{name} ~ {prior}" for name, prior in changed.items())
        lines.append(Line((prior_set.label, text or "as planned", prior_set.justification or NOT_GIVEN)))
    return Table(("Set", "Priors (analysis scale)", "Justification"), tuple(lines), left=3)


def checklist_table(analysis: Analysis, present: set[str]) -> Table:
    """Return the reporting checklist, given the titles of the sections that the report has."""
    lines = tuple(
        Line((i.guideline, i.item, i.status, i.where), i.status.replace(" ", "-")) for i in checklist(analysis, present)
    )
    return Table(("Guideline", "Item", "Status", "Where"), lines, left=4)


def reproducibility(analysis: Analysis) -> tuple[Fact, ...]:
    """Return seed, engines, hashes and versions."""
    plan, posterior = analysis.protocol, analysis.outcomes[0].posterior
    engines = {"both": "quadrature and NUTS", "nuts": "NUTS"}.get(analysis.engine, analysis.engine)
    if analysis.integrated_though_sampled:
        engines += "; other sets of priors, tipping points and predictive checks by quadrature"
    facts = [
        Fact("Seed", str(analysis.seed)),
        Fact("Engines", engines),
        Fact("Data file", plan.data_path.name),
        Fact("SHA-256 of the data", analysis.data_sha256 or NOT_GIVEN),
        Fact("SHA-256 of the protocol", plan.sha256 or "no protocol file"),
        Fact("Model file", f"{posterior.model.path.name}, SHA-256 {posterior.model.source_hash}"),
        Fact("Versions", ", ".join(f"{name} {version}" for name, version in analysis.versions.items())),
    ]
    return tuple(facts)
