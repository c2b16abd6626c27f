"""The side-by-side analysis of a network as one readable block."""

import math
from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from bayesmeta.effects import find_measure
from bayesmeta.frequentist.printing import p_text
from bayesmeta.model import list_models
from bayesmeta.words import level_text

if TYPE_CHECKING:
    from bayesmeta.compare.network_comparison import NetworkComparison

WIDTH = 120
"""A league table that is wider is not printed: the text says where it is instead."""


def comparison_text(c: "NetworkComparison") -> str:
    """Return everything of a side-by-side analysis that fits on a page."""
    parts = [
        heading(c),
        relative_lines(c),
        rank_lines(c),
        league_lines(c),
        heterogeneity_lines(c),
        inconsistency_lines(c),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def heading(c: "NetworkComparison") -> list[str]:
    """Return what was analysed, how, and what is doubtful about it."""
    con, measure = c.contrasts, find_measure(c.measure)
    priors = ", ".join(prior_texts(c))
    lines = [
        f"Network meta-analysis, {measure.label.lower()}: {con.k} studies, {len(con.treatments)} treatments, {con.n} "
        f"contrasts, reference {c.reference}",
        f"Classical: generalised least squares, tau2 by {c.classical.method}. Bayesian: {c.posterior.model.name}, "
        f"{priors}.",
    ]
    if c.sparse:
        lines.append(
            f"NORMAL APPROXIMATION DOUBTFUL: a cell is below 5 in {', '.join(c.sparse)}; both analyses rest on it."
            + (" Compare model='network_binomial'." if "network_binomial" in list_models() else "")
        )
    # The sentence on sparse cells stands above in full.
    lines += [f"Note: {note}" for note in con.notes if not (c.sparse and note.startswith("Cells below 5"))]
    return [part for line in lines for part in wrap(line, WIDTH, subsequent_indent="  ")]


def prior_texts(c: "NetworkComparison") -> list[str]:
    """Return the priors that the analysis used; that of moderators only where there are any."""
    used = {n: p for n, p in c.posterior.priors.items() if n != "beta" or c.contrasts.terms}
    return [f"{name} ~ {prior!r}" for name, prior in used.items()]


def relative_lines(c: "NetworkComparison") -> list[str]:
    """Return each treatment against the reference by both schools, natural scale."""
    natural = find_measure(c.measure).to_natural
    level = level_text(c.level)
    rows = []
    for row in c.relatives.to_dict(orient="records"):
        low, high, new_low, new_high, middle = (
            float(natural(row[name])) for name in ("low", "high", "new_low", "new_high", "estimate")
        )
        bayes = row["school"] == "bayesian"
        rows.append(
            (
                "" if bayes else row["treatment"],
                row["school"].capitalize(),
                f"{middle:.3g} [{low:.3g}, {high:.3g}]",
                "-" if math.isnan(new_low) else f"[{new_low:.3g}, {new_high:.3g}]",
                f"P(benefit) {row['p_benefit']:.3f}" if bayes else f"p {p_text(row['p_value'])}",
            )
        )
    heads = (f"against {c.reference}", "", f"{find_measure(c.measure).label} [{level}]", "new study", "")
    return aligned(heads, rows, left=2)


def rank_lines(c: "NetworkComparison") -> list[str]:
    """Return the ranks of the treatments by both schools, and in which direction."""
    said = "" if c.benefit_given else " (not said, so taken; the other direction turns the order round)"
    lines = [f"Ranks: {c.benefit} effects are better{said}"]
    rows = [
        (r["treatment"], f"{r['p_score']:.3f}", f"{r['sucra']:.3f}", f"{r['mean_rank']:.2f}", f"{r['p_best']:.3f}")
        for r in c.ranks.to_dict(orient="records")
    ]
    lines += aligned(("", "P-score", "SUCRA", "mean rank", "P(best)"), rows, left=1)
    about = c.ranks.attrs
    lines.append(
        f"Precision of the hierarchy (POTH) {about['poth']:.3f}; standard error of P(best) <= {about['error']:.1g}."
    )
    return lines


def league_lines(c: "NetworkComparison") -> list[str]:
    """Return the league table, where it fits on a line."""
    table = c.league
    rows = [(name, *(table.loc[name, other] or "." for other in c.order)) for name in c.order]
    title = "League table, the upper or left treatment against the other: classical below, Bayesian above the diagonal"
    lines = aligned(("", *c.order), rows, left=1)
    if max(map(len, lines)) > WIDTH:
        return [
            f"League table: too wide for a line with {len(c.order)} treatments; see --json, the report, or .league."
        ]
    return [title, *lines]


def heterogeneity_lines(c: "NetworkComparison") -> list[str]:
    """Return tau by both schools, and Q."""
    fit, tau = c.classical, c.posterior.tau
    low, high = tau.eti(c.level)
    q = "" if fit.Q_p is None else f"; Q = {fit.Q:.2f} (df {fit.Q_df}), p {p_text(fit.Q_p)}"
    i2 = "" if fit.I2 is None else f"; I2 = {fit.I2:.1f}%"
    return [
        "Heterogeneity (analysis scale)",
        f"  Classical  tau = {fit.tau:.4f} ({fit.method}){q}{i2}",
        f"  Bayesian   tau = {tau.median():.4f} [{low:.4f}, {high:.4f}], median and {level_text(c.level)} credible "
        "interval",
    ]


def inconsistency_lines(c: "NetworkComparison") -> list[str]:
    """Return Q between designs, and direct against indirect evidence by both schools."""
    lines = ["Inconsistency"]
    for row in c.q.to_dict(orient="records"):
        if row["source"] in ("within designs", "between designs", "between designs, random effects") and row["df"]:
            lines.append(f"  Q {row['source']} = {row['Q']:.2f} (df {row['df']}), p {p_text(row['p_value'])}")
    frame = c.node_splits
    frame = frame[frame["difference"].notna()] if "difference" in frame else frame.iloc[:0]
    if frame.empty:
        return [*lines, "  No comparison has both direct and indirect evidence."]
    rows = []
    for r in frame.to_dict(orient="records"):
        b = math.isfinite(r["bayesian_difference"])
        rows.append(
            (
                f"{r['treatment']} : {r['reference']}",
                str(r["k"]),
                f"{r['direct']:.3f}",
                f"{r['indirect']:.3f}",
                f"{r['difference']:.3f} (p {p_text(r['p_value'])})",
                f"{r['bayesian_difference']:.3f} (P {r['bayesian_p']:.3f})" if b else "-",
                f"{r['bayes_factor']:.3g}" if b and math.isfinite(r["bayes_factor"]) else "-",
            )
        )
    lines.append("  Direct less indirect evidence, analysis scale; BF above 1 speaks for consistency")
    return lines + aligned(("", "k", "direct", "indirect", "classical", "Bayesian", "BF"), rows, left=1)


def aligned(heads: Sequence[str], rows: Sequence[Sequence[Any]], *, left: int) -> list[str]:
    """Return a table of texts in columns, the first `left` of them flush left."""
    widths = [max(len(str(line[j])) for line in (heads, *rows)) for j in range(len(heads))]
    found = []
    for line in (heads, *rows):
        cells = [
            str(x).ljust(w) if j < left else str(x).rjust(w) for j, (x, w) in enumerate(zip(line, widths, strict=True))
        ]
        found.append("  " + "  ".join(cells).rstrip())
    return found
