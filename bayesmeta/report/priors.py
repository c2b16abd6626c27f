"""What the priors did to the answer: what they imply, the sensitivity to them, and thresholds."""

import numpy as np

from bayesmeta.analysis import Analysis, OutcomeResult, PriorSet
from bayesmeta.compare.precision import Printed, probability_error, worst
from bayesmeta.compare.table import Shown, benefit_words, natural_scale, tau_text
from bayesmeta.decisions.event_table import Probability
from bayesmeta.effects import MEASURES
from bayesmeta.plots.prior_posterior import prior_of
from bayesmeta.posterior import Posterior, fixed_at
from bayesmeta.priors import Prior
from bayesmeta.priors.defaults import default_source
from bayesmeta.priors.predictive import Implied, implied
from bayesmeta.report.outcome import p_over_sets
from bayesmeta.report.values import Line, Table
from bayesmeta.studies import EffectSizes
from bayesmeta.words import DASH, interval_text, joined, level_text, number


def implied_words(result: OutcomeResult) -> tuple[str, ...]:
    """Return what the priors say before any data, in sentences."""
    posterior, effects = result.posterior, result.comparison.effects
    level, short = level_text(result.comparison.level), MEASURES[effects.measure].short
    tau = prior_of(posterior, "tau") if "tau" in posterior.priors else None
    facts = implied(prior_of(posterior, "mu"), tau, level=result.comparison.level)
    said = [_mean_words(result, facts), *_tau_words(result, facts)]
    if facts.new_low is not None and facts.new_low != facts.new_high:
        limits = interval_text(natural_scale(effects, facts.new_low), natural_scale(effects, facts.new_high))
        said.append(f"Together they put {level} of a new study's true effect on {short} {limits}.")
    return tuple(said)


def _mean_words(result: OutcomeResult, facts: Implied) -> str:
    effects, prior = result.comparison.effects, result.posterior.priors["mu"]
    short = MEASURES[effects.measure].short
    if facts.mu_low is None:
        return f"mu ~ {prior!r} is improper: it says nothing before the data."
    low, high = natural_scale(effects, facts.mu_low), natural_scale(effects, facts.mu_high)
    if fixed_at(result.posterior, "mu") is not None:
        return f"The mean effect is not estimated: mu ~ {prior!r} fixes it at {short} {number(low)}."
    level, limits = level_text(result.comparison.level), interval_text(low, high)
    return f"Before the data, {level} of the prior of the mean effect lies on {short} {limits}."


def _tau_words(result: OutcomeResult, facts: Implied) -> tuple[str, ...]:
    measure, prior = result.comparison.measure, result.posterior.priors.get("tau")
    if prior is None:
        return ("The model has no between-study standard deviation: all studies share one true effect.",)
    if facts.tau_median is None or facts.spread_median is None or facts.spread_high is None:
        return (f"tau ~ {prior!r} is improper: heterogeneity of any size is as plausible.",)
    factors = [number(float(np.exp(spread)), 2) for spread in (facts.spread_median, facts.spread_high)]
    differ = f"So the true {measure}s of the middle 95% of studies would differ by a factor of"
    median, high = (tau_text(measure, t) for t in (facts.tau_median, facts.tau_high))
    fixed = fixed_at(result.posterior, "tau")
    if fixed is not None:
        said, size = f"tau is not estimated: tau ~ {prior!r} fixes it at {median}.", f"{differ} {factors[0]}."
        shown = MEASURES[measure].ratio and fixed > 0.0
    else:
        said = f"tau has prior median {median}; 95% of its prior lies below {high}."
        size = f"{differ} up to {factors[0]} at that median, and of up to {factors[1]} at that limit."
        shown = MEASURES[measure].ratio
    return (said, size) if shown else (said,)


def sensitivity_table(result: OutcomeResult) -> Table:
    """Return the answer under every set of priors."""
    comparison = result.comparison
    event = benefit_words(comparison)
    lines = [_prior_set_line(s, result, with_p=bool(event)) for s in result.prior_sets]
    heads = (
        "Priors",
        "mu",
        "tau",
        MEASURES[comparison.measure].short,
        "credible interval",
        "tau, median",
        "prediction interval",
    )
    chances = (f"P({event}) mean", f"P({event}) new") if event else ()
    return Table((*heads, *chances), tuple(lines), left=3)


def _prior_set_line(prior_set: PriorSet, result: OutcomeResult, *, with_p: bool) -> Line:
    first = (prior_set.label, prior_set.priors.get("mu", DASH), prior_set.priors.get("tau", DASH))
    row = prior_set.row
    if row is None:
        return Line((*first, f"not computed: {prior_set.reason}"), "reason")
    shown = Shown(row, result.comparison)
    cells = (
        *first,
        shown.estimate(),
        shown.limits("mu", row.interval),
        shown.tau(row.tau, 0.5),
        shown.limits("theta_new", row.prediction),
    )
    chances = (("mu", row.p_benefit_mean), ("theta_new", row.p_benefit_new)) if with_p else ()
    p = tuple(shown.probability(name, value) for name, value in chances)
    return Line((*cells, *p), "bayesian" if prior_set is result.prior_sets[0] else "")


def sensitivity_words(result: OutcomeResult) -> str:
    """Return the range of the answer over the prior sets, and whether any set overturns the interval."""
    mean, new = p_over_sets(result, "p_benefit_mean"), p_over_sets(result, "p_benefit_new")
    event = benefit_words(result.comparison)
    if len(result.prior_sets) == 1:
        return "No other priors were planned, so how far the answer depends on them is not known."
    if not mean:
        return ""
    of_new = f" and {new} for a new study" if new else ""
    return f"P({event}) ranges over {mean} for the mean effect{of_new}. {_null_words(result)}"


def _null_words(result: OutcomeResult) -> str:
    """Return under which sets of priors the credible interval of the mean effect includes no effect."""
    comparison = result.comparison
    scale = MEASURES[comparison.measure]
    rows = {s.label: s.row for s in result.prior_sets if s.row is not None and s.row.interval is not None}
    null = scale.null
    if null is None:
        return ""
    including = [label for label, row in rows.items() if row.interval is not None and null in row.interval]
    subject = f"The {level_text(comparison.level)} credible interval of the mean effect"
    event = f"{scale.short} = {scale.null_natural:g}"
    if not including:
        return f"{subject} excludes {event} under all {len(rows)} sets of priors."
    if len(including) == len(rows):
        return f"{subject} includes {event} under all {len(rows)} sets of priors."
    named = joined([f"“{label}”" for label in including])
    return f"{subject} includes {event} under {named}, and excludes it under the other sets."


def thresholds_table(result: OutcomeResult) -> Table | None:
    """Return P(effect beyond each threshold) for the mean effect and a new study, with its range over priors."""
    if not result.thresholds:
        return None
    comparison = result.comparison
    sign = ">" if comparison.benefit == "higher" else "<"
    several = len([s for s in result.prior_sets if s.row is not None]) > 1
    lines = []
    for t in result.thresholds:
        cells = [f"{MEASURES[comparison.measure].short} {sign} {t.threshold:g}"]
        cells += _beyond_cells(result, "mu", t.p_mean, (t.low_mean, t.high_mean))
        cells += _beyond_cells(result, "theta_new", t.p_new, (t.low_new, t.high_new))
        cells += [_crossed(result, t.threshold, kind) for kind in ("classical", "bayesian")]
        lines.append(Line(tuple(cells)))
    over = ("over the priors",) if several else ()
    heads = (
        "Effect beyond", "P, mean effect", *over, "P, new study", *over, "confidence interval", "credible interval",
    )  # fmt: skip
    source = result.plan.thresholds_source
    notes = (
        f"Thresholds: {source or 'who set them is not given.'}",
        f"Intervals of the mean effect: {_first(result, 'classical')} and {_first(result, 'bayesian')}. "
        "The last two columns say on which side of the threshold the interval of the mean effect lies: inputs for a "
        "judgement of imprecision, which remains the reader's.",
    )
    return Table(heads, tuple(lines), notes=notes)


def _beyond_cells(
    result: OutcomeResult, name: str, p: float | None, over: tuple[float | None, float | None]
) -> list[str]:
    """Return a probability as text and, where there are several sets of priors, its range over them."""
    marginals = [s.posterior.marginals.get(name) for s in result.prior_sets if s.posterior is not None]
    if p is None:
        return [DASH] * min(len(marginals), 2)
    error = worst(probability_error(marginal, value) for marginal in marginals for value in over)
    if len(marginals) == 1:
        return [Printed(marginals[0]).probability(p)]
    known = Probability(p, probability_error(marginals[0], p), over[0], over[1], error)
    return [known.alone(), known.span()]


def _first(result: OutcomeResult, kind: str) -> str:
    return next((r.method for r in result.comparison.rows if r.kind == kind and not r.without), DASH)


def _crossed(result: OutcomeResult, threshold: float, kind: str) -> str:
    comparison = result.comparison
    row = next((r for r in comparison.rows if r.kind == kind and not r.without and r.interval is not None), None)
    if row is None or row.interval is None:
        return DASH
    at = float(MEASURES[comparison.measure].from_natural(threshold))
    if at in row.interval:
        return "crosses"
    return "all beyond" if (row.interval.low > at) == (comparison.benefit == "higher") else "none beyond"


def used_priors(posterior: Posterior) -> dict[str, Prior]:
    """Return the priors that the answer rests on: those of moderators only where there are some."""
    moderators = isinstance(posterior.data, EffectSizes) and posterior.data.moderators
    return {name: prior for name, prior in posterior.priors.items() if name != "beta" or moderators}


def justification(analysis: Analysis, name: str) -> str:
    """Return why a prior was chosen: as the plan says, or where a default comes from; empty where neither is known."""
    said = analysis.protocol.priors.justification(name)
    if said or name in analysis.protocol.priors.texts():
        return said
    result = analysis.outcomes[0]
    return default_source(name, result.posterior.priors[name], result.comparison.effects)
