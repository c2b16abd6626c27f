"""The methods paragraphs, made from what was run."""

from bayesmeta.analysis import Analysis, OutcomeResult
from bayesmeta.compare.rows import DL_HKSJ, DL_WALD, MH_COMMON, MH_RANDOM, REML_CR2
from bayesmeta.effects import MEASURES
from bayesmeta.posterior import Posterior
from bayesmeta.report.priors import used_priors
from bayesmeta.words import joined, level_text

CLASSICAL_WORDS = {
    MH_RANDOM: (
        "Mantel-Haenszel random effects as Review Manager computes it: 0.5 added to all cells of the studies with a "
        "zero cell and of no other, Q about the Mantel-Haenszel estimate, tau² from that Q by DerSimonian and Laird, "
        "inverse-variance pooling"
    ),
    MH_COMMON: "Mantel-Haenszel common effect (Mantel & Haenszel 1959; variance of Robins, Breslow & Greenland 1986)",
    REML_CR2: (
        "several variance components by restricted maximum likelihood, with cluster-robust standard errors CR2 and "
        "Satterthwaite degrees of freedom (Pustejovsky & Tipton 2018, J. Bus. Econ. Stat. 36:672-683)"
    ),
    DL_WALD: "inverse-variance random effects with the tau² of DerSimonian & Laird (1986) and Wald intervals",
    DL_HKSJ: (
        "the same with Hartung-Knapp-Sidik-Jonkman intervals, on t with k - 1 degrees of freedom "
        "(Hartung & Knapp 2001; Sidik & Jonkman 2002)"
    ),
}


def methods(analysis: Analysis) -> tuple[str, ...]:
    """Return paragraphs that say what was done, for both kinds of analysis."""
    first = analysis.outcomes[0]
    return (_effects(analysis, first), _classical(analysis), _bayesian(analysis, first), _sensitivity(analysis))


def _effects(analysis: Analysis, result: OutcomeResult) -> str:
    measure = MEASURES[analysis.protocol.measure]
    rule = analysis.protocol.zero_cells
    said = f"Effect measure: {measure.label.lower()}, pooled as {measure.analysis_label}."
    if result.comparison.effects.counts is not None:
        where = {
            "only0": "every cell of the studies with a zero cell, and only of those",
            "all": "every cell of every study",
            "if0all": "every cell of every study when any study has a zero cell",
            "none": "no cell",
        }[rule.to]
        said += f" Zero cells: {rule.add:g} was to be added to {where}; the data section lists what was changed."
    return said


def _classical(analysis: Analysis) -> str:
    used = [m for m in CLASSICAL_WORDS if any(r.method == m for o in analysis.outcomes for r in o.comparison.rows)]
    if not used:
        return "No classical analysis could be computed; the reasons stand below the tables."
    intervals = level_text(analysis.protocol.level)
    from_q = " I² comes from the Q of its row." if used != [REML_CR2] else ""
    return (
        f"Classical analysis: {'; '.join(CLASSICAL_WORDS[m] for m in used)}. Intervals are {intervals} confidence "
        "intervals. A prediction interval takes the quantile of the confidence interval of its row and the variance "
        f"se² + tau².{from_q}"
    )


def _bayesian(analysis: Analysis, result: OutcomeResult) -> str:
    posterior = result.posterior
    priors = joined([f"{name} ~ {prior!r}" for name, prior in used_priors(posterior).items()])
    model = posterior.model
    said = (
        f"Bayesian analysis: model {model.name} ({model.title.lower()}), priors {priors}. Estimates are posterior "
        f"medians, intervals are equal-tailed {level_text(analysis.protocol.level)} credible intervals: given the "
        "model, the data and the priors, the quantity lies inside with that probability. The prediction interval is "
        "that of the true effect of a new study."
    )
    if model.name == "normal_normal":
        said += " y_i ~ N(theta_i, s_i²), theta_i ~ N(mu, tau²), with the standard errors s_i taken as known."
    engines = {p.engine: p for r in result.comparison.rows if isinstance(p := r.source, Posterior) and not r.without}
    if "quadrature" in engines:
        said += " Quadrature: the posterior was integrated deterministically, without sampling error."
    if "nuts" in engines:
        options = ", ".join(
            f"{name} {engines['nuts'].options[name]}"
            for name in ("chains", "draws", "tune", "target_accept")
            if name in engines["nuts"].options
        )
        said += f" NUTS: the model's PyMC program was sampled with nutpie ({options}, seed {analysis.seed})."
    return said


def _sensitivity(analysis: Analysis) -> str:
    sets = analysis.outcomes[0].prior_sets[1:]
    without = [o for o in analysis.outcomes if any(r.without for r in o.comparison.rows)]
    said = (
        f"Sensitivity: the primary Bayesian analysis was repeated under {len(sets)} other sets of priors."
        if sets
        else "Sensitivity: no alternative priors were planned."
    )
    if analysis.integrated_though_sampled:
        said += " These were integrated by quadrature, without sampling error, though the primary analysis was sampled."
    if without:
        said += " Every analysis was repeated without the studies whose counts were reconstructed."
    return said
