"""The report of a network of treatments: both schools side by side, and what PRISMA-NMA and CINeMA ask for."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesmeta.compare.network_comparison import NetworkComparison
from bayesmeta.compare.network_text import prior_texts
from bayesmeta.effects import find_measure
from bayesmeta.frequentist.printing import p_text
from bayesmeta.report import network_figures as figures
from bayesmeta.report.network_checklist import prisma_nma
from bayesmeta.report.values import Block, Document, Fact, Facts, Items, Line, Paragraph, Section, Table
from bayesmeta.version import __version__
from bayesmeta.words import DASH, joined, level_text

if TYPE_CHECKING:
    import pandas as pd

KIND = "Network meta-analysis, classical and Bayesian side by side"


def network_document(c: NetworkComparison, *, title: str = "") -> Document:
    """Return the report of a network as sections."""
    measure = find_measure(c.measure)
    con = c.contrasts
    question = (
        Fact("Effect measure", f"{measure.label}, analysed as {measure.analysis_label}"),
        Fact("Treatments", joined(list(con.treatments))),
        Fact("Reference", c.reference),
        Fact(
            "Benefit", f"{c.benefit} effects are better" + ("" if c.benefit_given else " (taken, because not stated)")
        ),
        Fact("Evidence", f"{con.k} studies, {con.n} contrasts, {len(set(con.designs()))} designs"),
    )
    sections = (
        _in_short(c),
        _geometry(c),
        _relative(c),
        _league(c),
        _ranks(c),
        _heterogeneity(c),
        _inconsistency(c),
        _contributions(c),
        _cinema(c),
        _funnel(c),
        Section("Data", (_data(c),), "data"),
        Section("Methods", tuple(map(Paragraph, methods(c))), "methods"),
    )
    names = {section.title for section in sections}
    return Document(
        title=title or "Network meta-analysis",
        kind=KIND,
        head=(Facts(question),),
        sections=(*sections, Section("Reporting checklist", (prisma_nma(c, names),), "checklist")),
    )


def write_network(c: NetworkComparison, paths: "Sequence[str | Path]", *, title: str = "") -> list[Path]:
    """Write the report of a network to files, each in the form its suffix names, and return their paths.

    Raises
    ------
    BayesMetaError
        If there is no writer for a suffix, or a file cannot be written.
    """
    from bayesmeta.export import write_bytes

    shown = network_document(c, title=title)
    return [write_bytes(path, _rendered(c, shown, Path(path))) for path in paths]


def _rendered(c: NetworkComparison, shown: Document, path: Path) -> bytes:
    from bayesmeta.report.writing import WRITERS

    if path.suffix.lower() == ".json":
        from bayesmeta.export.plain import json_text

        return (json_text("network", c.to_dict(), measure=c.measure, findings=list(c.contrasts.notes)) + "\n").encode()
    return WRITERS[path.suffix.lower()](c, shown)


def _effect(c: NetworkComparison, *values: float) -> str:
    middle, low, high = (float(find_measure(c.measure).to_natural(x)) for x in values)
    return f"{middle:.3g} [{low:.3g}, {high:.3g}]"


def _in_short(c: NetworkComparison) -> Section:
    best, rows = c.ranks.iloc[0], c.relatives
    own = rows[(rows["treatment"] == best["treatment"]) & (rows["school"] == "bayesian")]
    said = [
        f"{best['treatment']} ranks first: SUCRA {best['sucra']:.2f}, P-score {best['p_score']:.2f}, probability of "
        "being "
        f"the best {best['p_best']:.2f}."
    ]
    if len(own):
        r = own.iloc[0]
        said.append(
            f"Against {c.reference}: {find_measure(c.measure).label.lower()} "
            f"{_effect(c, r['estimate'], r['low'], r['high'])} "
            f"(posterior median, {level_text(c.level)} credible interval), probability of a benefit "
            f"{r['p_benefit']:.3f}."
        )
    blocks: list[Block] = [Paragraph(sentence, "answer") for sentence in said]
    look = list(c.contrasts.notes)
    if c.sparse:
        blocks.append(
            Paragraph(f"Normal approximation doubtful: a cell is below 5 in {joined(list(c.sparse))}.", "answer")
        )
    if look:
        blocks.append(Section("What the answer rests on", (Items(tuple(look), "caveats"),)))
    return Section("In short", tuple(blocks), "overview")


def _geometry(c: NetworkComparison) -> Section:
    pairs = c.contrasts.pairs()
    counts: dict[tuple[str, str], int] = {}
    for one, two in zip(pairs["treat1"], pairs["treat2"], strict=True):
        pair = (min(one, two), max(one, two))
        counts[pair] = counts.get(pair, 0) + 1
    lines = tuple(Line((f"{a} : {b}", str(k))) for (a, b), k in sorted(counts.items()))
    about = Paragraph(
        f"{len(counts)} of {len(c.order) * (len(c.order) - 1) // 2} pairs of treatments are compared directly in some "
        "study."
    )
    return Section(
        "Network", (figures.graph_figure(c), about, Table(("Direct comparison", "Studies"), lines)), "network"
    )


def _relative(c: NetworkComparison) -> Section:
    natural, lines = find_measure(c.measure).to_natural, []
    for row in c.relatives.to_dict(orient="records"):
        bayes = row["school"] == "bayesian"
        new = DASH
        if math.isfinite(row["new_low"]):
            new = f"[{float(natural(row['new_low'])):.3g}, {float(natural(row['new_high'])):.3g}]"
        lines.append(
            Line(
                (
                    row["treatment"],
                    row["school"].capitalize(),
                    _effect(c, row["estimate"], row["low"], row["high"]),
                    new,
                    f"P(benefit) = {row['p_benefit']:.3f}" if bayes else f"p {p_text(row['p_value'])}",
                ),
                row["school"],
            )
        )
    heads = (
        f"Against {c.reference}",
        "School",
        f"{find_measure(c.measure).label} [{level_text(c.level)}]",
        "New study",
        "",
    )
    return Section(
        "Relative effects",
        (
            figures.forest_figure(c),
            Table(heads, tuple(lines), left=2),
        ),
        "relative",
    )


def _league(c: NetworkComparison) -> Section:
    table = c.league
    lines = tuple(Line((name, *(str(table.loc[name, other]) or DASH for other in c.order))) for name in c.order)
    about = Paragraph(
        "Below the diagonal classical, above it Bayesian. Either cell of a pair is the better ranked treatment "
        "against the "
        f"other: {find_measure(c.measure).label.lower()} with {level_text(c.level)} interval.",
        "note",
    )
    drawn = (figures.league_figure(c),) if len(c.order) <= figures.LEAGUE_UP_TO else ()
    return Section("League table", (about, Table(("", *c.order), lines), *drawn), "league")


def _ranks(c: NetworkComparison) -> Section:
    about = c.ranks.attrs
    heads = [f"Rank {r + 1}" for r in range(len(c.order))]
    lines = []
    for r in c.ranks.to_dict(orient="records"):
        each = [f"{r[f'rank_{i + 1}']:.3f}" for i in range(len(c.order))]
        lines.append(Line((r["treatment"], f"{r['p_score']:.3f}", f"{r['sucra']:.3f}", f"{r['mean_rank']:.2f}", *each)))
    note = (
        f"{c.benefit.capitalize()} effects are better. P-scores are classical, all else Bayesian. SUCRA and mean rank "
        "follow "
        f"from probabilities of pairs; probabilities of ranks have a standard error of at most {about['error']:.1g}. "
        f"Precision of the hierarchy (POTH): {about['poth']:.3f}, 1 where it is certain. A rank says nothing of how "
        "much "
        "better a treatment is."
    )
    table = Table(("", "P-score", "SUCRA", "Mean rank", *heads), tuple(lines))
    return Section("Ranks", (figures.rank_figure(c), table, Paragraph(note, "note")), "ranks")


def _heterogeneity(c: NetworkComparison) -> Section:
    fit, tau = c.classical, c.posterior.tau
    low, high = tau.eti(c.level)
    facts = [
        Fact(f"Classical tau ({fit.method})", f"{fit.tau:.4f}"),
        Fact(
            "Bayesian tau",
            f"{tau.median():.4f} [{low:.4f}, {high:.4f}], median and {level_text(c.level)} credible interval",
        ),
    ]
    if fit.Q_p is not None:
        facts.append(Fact("Q of the network", f"{fit.Q:.2f}, df {fit.Q_df}, p {p_text(fit.Q_p)}"))
    if fit.I2 is not None:
        facts.append(Fact("I²", f"{fit.I2:.1f}%"))
    about = Paragraph("One heterogeneity for all comparisons, as a standard deviation on the analysis scale.", "note")
    return Section("Heterogeneity", (Facts(tuple(facts)), about), "heterogeneity")


def _inconsistency(c: NetworkComparison) -> Section:
    lines = [
        Line(
            (
                r["source"],
                f"{r['Q']:.3f}",
                str(r["df"]),
                DASH if _none(r["p_value"]) else p_text(r["p_value"]).lstrip("= "),
            )
        )
        for r in c.q.to_dict(orient="records")
    ]
    blocks: list[Block] = [
        Section("Q within and between designs", (Table(("Source", "Q", "df", "p"), tuple(lines)),)),
    ]
    frame = c.node_splits
    rows = []
    for r in frame.to_dict(orient="records"):
        both = not _none(r.get("difference"))
        bayes = not _none(r["bayesian_difference"])
        rows.append(
            Line(
                (
                    f"{r['treatment']} : {r['reference']}",
                    str(r["k"]),
                    f"{100 * r['proportion']:.0f}%",
                    f"{r['direct']:.3f} ({r['direct_se']:.3f})",
                    f"{r['indirect']:.3f} ({r['indirect_se']:.3f})" if both else DASH,
                    f"{r['difference']:.3f}, p {p_text(r['p_value'])}" if both else DASH,
                    f"{r['bayesian_difference']:.3f}, P = {r['bayesian_p']:.3f}" if bayes else DASH,
                    DASH if _none(r["bayes_factor"]) else f"{r['bayes_factor']:.3g}",
                )
            )
        )
    heads = (
        "Comparison",
        "k",
        "Direct share",
        "Direct (SE)",
        "Indirect (SE)",
        "Difference, classical",
        "Bayesian",
        "BF",
    )
    note = (
        "Analysis scale. Classical: direct evidence against the indirect evidence back-calculated from the network. "
        "Bayesian: "
        "one coefficient more; BF of consistency against a difference. Comparisons without indirect evidence have "
        "none to "
        "set against. No sign of inconsistency is no proof of consistency."
    )
    drawn = (figures.split_figure(c),) if "difference" in frame and frame["difference"].notna().any() else ()
    blocks.append(
        Section("Direct against indirect evidence", (*drawn, Table(heads, tuple(rows)), Paragraph(note, "note")))
    )
    return Section("Inconsistency", tuple(blocks), "inconsistency")


def _none(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _contributions(c: NetworkComparison) -> Section:
    shares: pd.DataFrame = c.classical.contributions
    lines = tuple(Line((str(name), *(f"{100 * float(x):.1f}" for x in shares.loc[name]))) for name in shares.index)
    about = Paragraph(
        "Percent of each network estimate (lines) that rests on each direct comparison (columns), by shortest paths "
        "(Papakonstantinou et al. 2018, F1000Research 7:610).",
        "note",
    )
    return Section("Contributions", (about, Table(("", *map(str, shares.columns)), lines)), "contributions")


def _cinema(c: NetworkComparison) -> Section:
    """Return what CINeMA's domains are judged from; the judgement is the authors'."""
    splits = {frozenset((r["treatment"], r["reference"])): r for r in c.node_splits.to_dict(orient="records")}
    natural, lines = find_measure(c.measure).to_natural, []
    for b, a, (middle, low, high), _ in c.pairs():
        new = c.classical.relative(b, a).prediction
        r = splits.get(frozenset((b, a)))
        kind = "indirect" if r is None else "direct" if _none(r.get("difference")) else "mixed"
        lines.append(
            Line(
                (
                    f"{b} : {a}",
                    kind,
                    DASH if r is None else f"{100 * r['proportion']:.0f}%",
                    _effect(c, middle, low, high),
                    DASH if new is None else f"[{float(natural(new.low)):.3g}, {float(natural(new.high)):.3g}]",
                    DASH if r is None or _none(r.get("p_value")) else p_text(r["p_value"]).lstrip("= "),
                )
            )
        )
    heads = (
        "Comparison",
        "Evidence",
        "Direct share",
        "Estimate (imprecision)",
        "Prediction (heterogeneity)",
        "Incoherence p",
    )
    about = Paragraph(
        "Inputs for CINeMA (Nikolakopoulou et al. 2020, PLoS Med. 17:e1003082): imprecision, heterogeneity and "
        "incoherence "
        "from this table, within-study bias and indirectness by the contributions above. The ratings are the authors'.",
        "note",
    )
    return Section("Inputs for CINeMA", (about, Table(heads, tuple(lines), left=2)), "cinema")


def _funnel(c: NetworkComparison) -> Section:
    about = Paragraph(
        "Each effect less the pooled effect of its comparison, the better ranked treatment against the other: small "
        "studies "
        "that favour what ranks better lie on one side. An order of novelty or sponsorship may be the better question.",
        "note",
    )
    return Section("Small-study effects", (figures.funnel_figure(c), about), "funnel")


def _data(c: NetworkComparison) -> Table:
    rows = c.contrasts.pairs().to_dict(orient="records")
    lines = tuple(
        Line((r["study"], f"{r['treat1']} : {r['treat2']}", f"{r['yi']:.4f}", f"{r['sei']:.4f}")) for r in rows
    )
    note = "All pairs of each study on the analysis scale; those of one study share arms and are correlated."
    return Table(("Study", "Comparison", "Effect", "SE"), lines, left=2, notes=(note,))


def methods(c: NetworkComparison) -> tuple[str, ...]:
    """Return paragraphs that say what was done, for both schools."""
    measure, fit = find_measure(c.measure), c.classical
    priors = joined(prior_texts(c))
    estimator = {
        "REML": "the maximum of the restricted likelihood of the contrasts",
        "ML": "maximum likelihood",
        "DL": "the generalised moment estimator (Jackson, White & Riley 2013)",
        "common": "none: a common effect",
    }[fit.method]
    return (
        f"Effect measure: {measure.label.lower()}, analysed as {measure.analysis_label}. Each study gives as many "
        "contrasts as "
        "it has arms less one, with their covariance.",
        f"Classical: generalised least squares of a consistent network with one heterogeneity; tau² by {fit.method} "
        f"({estimator}); {level_text(c.level)} normal confidence intervals; prediction intervals on t with the "
        "degrees of "
        f"freedom of Q. {fit.reference}",
        f"Bayesian: model {c.posterior.model.name}, priors {priors}; integrated deterministically, without sampling "
        "error. "
        f"Estimates are posterior medians with equal-tailed {level_text(c.level)} credible intervals.",
        "Inconsistency: Q within and between designs (Krahn, Binder & König 2013; Higgins et al. 2012), and direct "
        "against "
        "indirect evidence (Dias et al. 2010).",
        f"Software: bayesmeta {__version__}.",
    )
