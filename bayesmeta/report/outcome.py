"""One outcome's part of a report, from numbers to texts."""

from bayesmeta.analysis import OutcomeResult
from bayesmeta.compare.caveats import reconstructed
from bayesmeta.compare.precision import Printed
from bayesmeta.compare.rows import DL_WALD, MH_RANDOM
from bayesmeta.compare.table import (
    Shown,
    benefit_words,
    daggered,
    footnotes,
    harm_words,
    headings,
    natural_text,
    sections,
)
from bayesmeta.decisions.event_table import Probability
from bayesmeta.effects import MEASURES
from bayesmeta.posterior import Marginal, Posterior
from bayesmeta.report.values import Line, Table
from bayesmeta.words import DASH, level_text, p_value

ESTIMANDS = {"p_benefit_mean": "mu", "p_benefit_new": "theta_new"}


def p_over_sets(result: OutcomeResult, which: str) -> str:
    """Return the range of ``p_benefit_mean`` or ``p_benefit_new`` over the prior sets; empty for one set."""
    known = p_known(result, which)
    return "" if known is None else known.span()


def p_known(result: OutcomeResult, which: str) -> Probability | None:
    """Return a probability of benefit of the primary analysis with its range over the prior sets; None without one."""
    sets = [(s.row, s.posterior) for s in result.prior_sets if s.row is not None and s.posterior is not None]
    found = [(getattr(row, which), posterior.marginals.get(ESTIMANDS[which])) for row, posterior in sets]
    values = [(value, marginal) for value, marginal in found if value is not None]
    return Probability.over(values) if values and len(values) == len(found) else None


def headline(result: OutcomeResult) -> tuple[str, ...]:
    """Return the answer in sentences: probability with direction, estimand and range over priors; both estimates."""
    comparison, posterior = result.comparison, result.posterior
    level = level_text(comparison.level)
    row = next(r for r in comparison.rows if r.source is posterior)
    event, shown = benefit_words(comparison), Shown(row, comparison)
    said = [] if posterior.diagnostics.ok else [posterior.diagnostics.verdict]
    if event and row.p_benefit_mean is not None:
        mean, new = p_over_sets(result, "p_benefit_mean"), p_over_sets(result, "p_benefit_new")
        sets = len([s for s in result.prior_sets if s.row is not None])
        of_new = f" ({new})" if new else ""
        known = [p_known(result, which) for which in ("p_benefit_mean", "p_benefit_new")]
        p_mean = known[0].alone() if known[0] else shown.probability("mu", row.p_benefit_mean)
        p_new = known[1].alone() if known[1] else shown.probability("theta_new", row.p_benefit_new)
        said.append(
            f"Given the model, the data and the priors, the probability of a benefit ({event}) is "
            f"{p_mean}{f' ({mean} over {sets} sets of priors)' if mean else ''} for the mean effect"
            + ("." if row.p_benefit_new is None else f" and {p_new}{of_new} for the true effect of a new study.")
        )
        if row.p_benefit_mean < 0.5:
            said.append(harm_words(comparison, row))
    said.append(
        f"Bayesian: {MEASURES[comparison.measure].short} {shown.estimate()} "
        f"({level} credible interval {shown.limits('mu', row.interval)})."
    )
    classical = {r.method: r for r in comparison.rows if r.kind == "classical" and not r.without}
    best = classical.get(MH_RANDOM) or classical.get(DL_WALD)
    if best is not None:
        shown = Shown(best, comparison)
        said.append(
            f"{best.method}: {MEASURES[comparison.measure].short} {shown.estimate()} "
            f"({level} confidence interval {shown.limits('mu', best.interval)}"
            + (")." if best.p_value is None else f", p {_equals(p_value(best.p_value))}).")
        )
    return tuple(said)


def _equals(p: str) -> str:
    return p if p.startswith("<") else f"= {p}"


def comparison_table(result: OutcomeResult) -> Table:
    """Return the side-by-side table."""
    comparison = result.comparison
    parts = sections(comparison)
    lines = []
    for part in parts:
        if len(parts) > 1:
            lines.append(Line((part.heading,), "group"))
        lines += [Line(cells, kind) for cells, kind in zip(part.rows, part.kinds, strict=True)]
    notes = tuple(n for n in footnotes(comparison) if n not in comparison.caveats)
    return Table(headings(comparison), tuple(lines), notes=notes)


def published_table(result: OutcomeResult) -> Table | None:
    """Return the line-by-line check of the Mantel-Haenszel row against the published figures."""
    if not result.checks:
        return None
    lines = tuple(
        Line((c.figure, c.published, c.ours, c.exact, "yes" if c.equal else "no"), "" if c.equal else "differs")
        for c in result.checks
    )
    return Table(("Figure", "published", "ours, as printed", "ours, more digits", "equal"), lines)


def published_verdict(result: OutcomeResult) -> str:
    """Return in one sentence whether the published figures are reproduced."""
    if not result.checks:
        return ""
    equal = sum(c.equal for c in result.checks)
    if equal == len(result.checks):
        return f"All {equal} published figures equal the row {MH_RANDOM!r} at the precision they were printed with."
    return f"{equal} of {len(result.checks)} published figures equal the row {MH_RANDOM!r} at the printed precision."


def summary_table(result: OutcomeResult) -> Table:
    """Return mean, SD, median and interval of every quantity of the primary posterior."""
    posterior, level = result.posterior, result.comparison.level
    effects = result.comparison.effects
    scale = MEASURES[effects.measure]
    named: dict[str, tuple[Marginal, bool]] = {
        label: (posterior[name], shown)
        for name, label, shown in (
            ("mu", "mu, mean effect", True),
            ("theta_new", "theta, new study", True),
            ("tau", "tau", False),
            ("omega", "omega, within studies", False),
            ("rho", "rho, correlation", False),
            ("I2", "I² (%)", False),
        )
        if name in posterior.marginals
    }
    marked = reconstructed(effects)
    named |= {f"theta, {daggered(s, marked)}": (m, True) for s, m in posterior.theta.items()}
    lines = []
    for name, (marginal, transform) in named.items():
        inside, printed = marginal.eti(level), Printed(marginal)
        cells = [name, printed.figure(marginal.mean(), "mean"), printed.figure(marginal.sd(), "sd"), printed.median()]
        cells.append(printed.limits(inside))
        if scale.transformed:
            natural = natural_text(effects, marginal)
            cells.append(f"{natural.median()} [{natural.limits(inside)}]" if transform else DASH)
        lines.append(Line(tuple(cells)))
    heads = ["Quantity", "mean", "SD", "median", f"{level_text(level)} credible interval"]
    heads += [f"{scale.short}, median [interval]"] if scale.transformed else []
    return Table(
        tuple(heads),
        tuple(lines),
        caption=f"On the analysis scale ({scale.analysis_label}). {_engine_words(posterior)}",
    )


def _engine_words(posterior: Posterior) -> str:
    return "By quadrature." if posterior.engine == "quadrature" else "By NUTS."
