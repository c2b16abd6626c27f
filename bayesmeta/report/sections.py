"""What a report says, put into the order in which it is read."""

from bayesmeta.report.values import (
    Block,
    Document,
    Facts,
    Figures,
    Items,
    OutcomeView,
    Paragraph,
    ReportView,
    Section,
    Table,
)

KIND = "Meta-analysis, classical and Bayesian side by side"


def document(view: ReportView) -> Document:
    """Return the report as sections."""
    return Document(
        title=view.title,
        kind=KIND,
        head=(Facts(view.question),),
        sections=(
            in_short(view),
            *(outcome(o) for o in view.outcomes),
            Section("Priors", (view.priors,), "priors"),
            Section("Methods", tuple(map(Paragraph, view.methods)), "methods"),
            checklist(view),
            Section("Reproducibility", (Facts(view.reproducibility),), "reproducibility"),
        ),
    )


def in_short(view: ReportView) -> Section:
    """Return the section that answers the question in one table, below what the audit found in the data."""
    several = len(view.outcomes) > 1
    found = [f"{f.kind}: {f.text}" + (f" [{o.title}]" if several else "") for o in view.outcomes for f in o.findings]
    note = Paragraph(
        "P(benefit): posterior probability, given the model, the data and the priors, that the effect lies on the side "
        "named under “benefit”: of the mean effect over studies, and of the true effect of a new study. “Over the "
        "priors” is the range over all sets of priors of the plan.",
        "note",
    )
    look = (Section("To look at in the data", (Items(tuple(found), "caveats"),)),) if found else ()
    return Section("In short", (*look, view.overview, note), "overview")


def outcome(o: OutcomeView) -> Section:
    """Return everything about one outcome."""
    parts = (
        *(Paragraph(sentence, "answer") for sentence in o.headline),
        Section("Side by side", (o.comparison,)),
        *_if(o.caveats, Section("What the answer rests on", (Items(o.caveats, "caveats"),))),
        Section("Forest plot", (o.forest,)),
        *_published(o),
        *_if(o.why_q, Paragraph(o.why_q)),
        prior_and_posterior(o),
        sensitivity(o),
        *([] if o.thresholds is None else [Section("Thresholds that matter", (o.thresholds,))]),
        *_if(o.decisions, Section("Inputs to a decision", o.decisions)),
        trust(o),
        *([] if o.predicted is None else [Section("Does the model fit?", (Paragraph(o.predicted_words), o.predicted))]),
        *([] if o.funnel is None else [Section("Funnel plot", (o.funnel,))]),
        *o.further,
        Section("Data and provenance", (*map(Paragraph, o.provenance), o.data)),
    )
    return Section(o.title, parts, o.anchor, "outcome")


def titles(sections: tuple[Block, ...]) -> set[str]:
    """Return the titles of all sections in some blocks, those inside others too."""
    found: set[str] = set()
    for block in sections:
        if isinstance(block, Section):
            found |= {block.title} | titles(block.blocks)
    return found


def _if(there: object, block: Block) -> tuple[Block, ...]:
    return (block,) if there else ()


def _published(o: OutcomeView) -> tuple[Block, ...]:
    if o.published is None:
        return ()
    return (Section("Against the published figures", (Paragraph(o.published_verdict), o.published)),)


def prior_and_posterior(o: OutcomeView) -> Section:
    """Return what was assumed and what came of it."""
    densities = _if(o.densities, Figures(o.densities))
    return Section("Prior and posterior", (*densities, Items(o.implied), Section("Posterior summary", (o.summary,))))


def sensitivity(o: OutcomeView) -> Section:
    """Return how far the answer depends on the priors, and what would overturn it."""
    blocks: list[Block] = [*_if(o.sensitivity_words, Paragraph(o.sensitivity_words)), o.sensitivity]
    if o.sensitivity_figure is not None:
        blocks.append(o.sensitivity_figure)
    if o.tipping:
        blocks.append(Section("What would overturn the conclusion", (Items(o.tipping),)))
    if o.scaling:
        about = (
            "Change of each posterior when the priors or the likelihood are made slightly weaker or stronger "
            "(power-scaling, Kallioinen et al. 2024); values above 0.05 are worth a look."
        )
        blocks.append(Section("Pull of priors and likelihood", (Paragraph(about), Items(o.scaling))))
    return Section("Sensitivity to the priors", tuple(blocks))


def trust(o: OutcomeView) -> Section:
    """Return whether the numbers can be trusted: each engine's verdict on itself, and their agreement."""
    blocks: list[Block] = [Facts(o.diagnostics)]
    if o.diagnostics_table is not None:
        blocks.append(o.diagnostics_table)
    if o.diagnostics_figures:
        about = "Rank plots: chains that explored the same posterior have ranks spread evenly about the dashed line."
        blocks += [Figures(o.diagnostics_figures), Paragraph(about, "note")]
    if o.agreement is not None and o.agreement_figure is not None:
        parts: tuple[Block, ...] = (Paragraph(o.agreement_words), o.agreement_figure, o.agreement)
        blocks.append(Section("NUTS against quadrature", parts))
    return Section("Can the numbers be trusted?", tuple(blocks))


def checklist(view: ReportView) -> Section:
    """Return what guidelines ask for, and where it stands here."""
    sources = (
        "ROBUST: Sung et al. (2005), J. Clin. Epidemiol. 58:261. BARG: Kruschke (2021), Nat. Hum. Behav. 5:1282. "
        "PRISMA: Page et al. (2021), BMJ 372:n71."
    )
    table: Table = view.checklist
    return Section("Reporting checklist", (Paragraph(sources), table), "checklist")
