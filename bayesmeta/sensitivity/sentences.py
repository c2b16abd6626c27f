"""Sensitivity analyses in sentences: priors, grids of priors, multiverses and tipping points.

Direction, threshold and estimand stand with every probability.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.effects import MEASURES, Measure, find_measure
from bayesmeta.model import resolved
from bayesmeta.priors import parse_prior
from bayesmeta.priors.predictive import implied
from bayesmeta.words import (
    aligned,
    folded,
    interval_text,
    joined,
    level_text,
    number,
    probability_text,
    small_number,
    stopped,
)

if TYPE_CHECKING:
    import xarray as xr

    from bayesmeta.sensitivity.drivers import Driver
    from bayesmeta.sensitivity.multiverse import Multiverse
    from bayesmeta.sensitivity.reverse_bayes import CriticalPrior
    from bayesmeta.sensitivity.tipping import TippingPoints


def priors_in_words(
    mu: Any, tau: Any = None, *, measure: str = "OR", sei: Any = None, level: float = 0.95
) -> tuple[str, ...]:
    """Return what priors of mu and tau predict: the mean effect, how far studies differ, and a new study's effect.

    Parameters
    ----------
    mu, tau
        Values or text forms; `tau` None for a common effect.
    measure
        Effect measure; ratios are given on the natural scale.
    sei
        Standard errors, for priors that depend on them.
    level
        Of the intervals.

    Examples
    --------
    >>> for line in priors_in_words("normal(0, 2.82)", "half_normal(0.5)"):
    ...     print(line)
    mu ~ normal(0, 2.82) says that the mean effect is on OR 0.00398 to 251 with probability 95%.
    tau ~ half_normal(0.5) says that 95% of studies' true ORs lie within a factor of 3.75 of each other if tau is at \
its median (0.34), and of 46.6 at its upper 95% limit (0.98).
    Together they say that the true effect of a new study is on OR 0.00365 to 274 with probability 95%.
    """
    scale = find_measure(measure)
    own_mu, own_tau = parse_prior(mu), None if tau is None else parse_prior(tau)
    if sei is not None:
        own_mu, own_tau = own_mu.resolve(sei), None if own_tau is None else own_tau.resolve(sei)
    name = scale.short
    facts, said = implied(own_mu, own_tau, level=level), level_text(level)

    def span(low: float, high: float) -> str:
        return interval_text(float(scale.to_natural(low)), float(scale.to_natural(high)))

    if facts.mu_low is None or facts.mu_high is None:
        lines = [f"mu ~ {own_mu!r} is improper: it says nothing about the mean effect before the data."]
    else:
        lines = [
            f"mu ~ {own_mu!r} says that the mean effect is on {name} {span(facts.mu_low, facts.mu_high)} "
            f"with probability {said}."
        ]
    if own_tau is None:
        lines.append("There is no tau: all studies have one true effect.")
    elif facts.spread_median is None or facts.spread_high is None:
        lines.append(f"tau ~ {own_tau!r} is improper: it calls heterogeneity of any size as plausible.")
    else:
        if scale.ratio:
            with np.errstate(over="ignore"):
                near, far = (number(float(np.exp(s))) for s in (facts.spread_median, facts.spread_high))
            within = f"true {name}s lie within a factor of {near} of each other"
        else:
            near, far = number(facts.spread_median), number(facts.spread_high)
            within = f"true effects ({scale.analysis_label}) lie within {near} of each other"
        lines.append(
            f"tau ~ {own_tau!r} says that 95% of studies' {within} if tau is at its median "
            f"({small_number(facts.tau_median)}), and of {far} at its upper 95% limit ({small_number(facts.tau_high)})."
        )
    if own_tau is not None and facts.new_low is not None and facts.new_high is not None:
        lines.append(
            f"Together they say that the true effect of a new study is on {name} "
            f"{span(facts.new_low, facts.new_high)} with probability {said}."
        )
    return tuple(lines)


FEW = 3


def p_text(low: float, high: float) -> str:
    """Return the range of a probability, e.g. ``0.954 to >0.999``."""
    a, b = probability_text(low), probability_text(high)
    return a if a == b else f"{a} to {b}"


def multiverse_text(result: "Multiverse") -> str:
    """Return what a multiverse found: ranges, the share beyond the usual mark, and what drives the result."""
    target = 0.5 + result.level / 2.0
    events = list(result.events.values())
    said = joined([event.text for event in events])
    lines = [f"{result.m} Bayesian analyses and {len(result.classical['estimator'])} classical ones."]
    for name, estimand in (("p_mu", "mean effect"), ("p_theta_new", "true effect of a new study")):
        low, middle, high = result.range(name)
        lines.append(
            f"P(benefit: {said} | data), {estimand}: {p_text(low, high)} (median {probability_text(middle)}); "
            f"at least {target:g} in {100 * result.share(target, name):.0f}% of the analyses."
        )
        n = int((result.column(f"{name}_exactly") > 0).sum())
        if n:
            edges = joined([event.edge for event in events])
            lines.append(exact_line(f"{edges}, {estimand}", n, "analysis", "analyses"))
    lines.append("What drives P(benefit) of the mean effect (share of the variance of its log odds, alone / in all):")
    lines += [f"  {line}" for line in driver_lines(result.drivers("p_mu"))]
    lines += _classical_lines(result)
    if result.reasons or result.missing:
        lines.append(f"Not computed: {len(result.reasons)} analyses, {len(result.missing)} data sets.")
        lines += [f"  {reason}" for reason in dict.fromkeys([*result.missing, *result.reasons.values()])][:FEW]
    return "\n".join(lines)


def driver_lines(drivers: "Sequence[Driver]") -> list[str]:
    """Return one line a choice."""
    if not drivers:
        return ["no choice has more than one level"]
    return [
        f"{d.choice} ({d.levels} levels): {share(d.main)} / {share(d.total)}; "
        f"{probability_text(d.low)} {_with(d.low_level)} to {probability_text(d.high)} {_with(d.high_level)}"
        for d in drivers
    ]


def _with(level: str) -> str:
    """Return a level of a choice as what an analysis was done with, or without: some levels say so themselves."""
    return level if level.startswith("without ") else f"with {level}"


def share(value: float) -> str:
    """Return a share of variance in percent."""
    return "-" if not np.isfinite(value) else f"{100 * value:.0f}%"


def _classical_lines(result: "Multiverse") -> list[str]:
    low, high = (np.asarray(result.classical[name], dtype=float) for name in ("low", "high"))
    there = np.isfinite(low) & np.isfinite(high)
    if not there.any():
        return []
    null = np.array([result.events[m].threshold for m in result.classical["measure"]])
    excluded = ((low > null) | (high < null))[there]
    return [
        f"The classical {level_text(result.level)} confidence interval of the mean effect excludes no effect in "
        f"{int(excluded.sum())} of {int(there.sum())} analyses."
    ]


def grid_table(grid: "xr.Dataset") -> list[str]:
    """Return the table a paper prints, as lines that fit 80 columns: a block for each prior of mu, natural scale."""
    scale, level = MEASURES[grid.attrs["measure"]], level_text(grid.attrs["level"])
    p = "p_mu" in grid
    heads = ("prior of tau", scale.short, f"{level} cred.", "tau", "new study", *(("P mean", "P new") if p else ()))
    mus, taus = _named(grid, "mu_prior"), _named(grid, "tau_prior")
    blocks = [
        [(text, *_cells(grid.isel(mu_prior=i, tau_prior=j), scale, with_p=p)) for j, (text, _) in enumerate(taus)]
        for i in range(len(mus))
    ]
    every = [row for block in blocks for row in block]
    lines = aligned(heads, [row + ("",) * (len(heads) - len(row)) for row in every])
    said = [f"P({grid.attrs['event']} | data) by prior"] if p else []
    said.append(lines[0])
    for i, (text, label) in enumerate(mus):
        said.append(f"mu ~ {text}{label}")
        said += lines[1 + i * len(taus) : 1 + (i + 1) * len(taus)]
    names = joined([f"{text}{label}" for text, label in taus if label])
    said.append("new study: posterior prediction interval of its true effect; estimates are posterior medians.")
    return [*said, *folded(f"Priors of tau: {names}.", 80)] if names else said


def _named(grid: "xr.Dataset", dim: str) -> list[tuple[str, str]]:
    """Return each prior's text form, and its label in brackets where that is not the text form itself."""
    pairs = zip(map(str, grid[dim].values), map(str, grid[f"{dim}_text"].values), strict=True)
    return [(_shortened(text), "" if label == text else f" ({label})") for label, text in pairs]


def _shortened(prior: str) -> str:
    """Return a prior's text form with four digits where it has more than anybody writes.

    Examples
    --------
    >>> _shortened("normal(-0.6931471805599453, 0.4214035639417995)"), _shortened("log_normal(-1.28, 0.87)")
    ('normal(-0.6931, 0.4214)', 'log_normal(-1.28, 0.87)')
    """
    return re.sub(r"\d+\.\d{5,}", lambda found: f"{float(found[0]):.4g}", prior)


def _cells(cell: "xr.Dataset", scale: Measure, *, with_p: bool) -> tuple[str, ...]:
    value = {str(name): float(cell[name]) for name in cell.data_vars}
    if np.isnan(value["mu_median"]):
        return ("no answer",)
    natural = {name: float(scale.to_natural(v)) for name, v in value.items() if name.startswith(("mu_", "theta_new_"))}
    return (
        number(natural["mu_median"]),
        interval_text(natural["mu_low"], natural["mu_high"]),
        small_number(value["tau_median"]),
        interval_text(natural["theta_new_low"], natural["theta_new_high"]),
        *((probability_text(value[name]) for name in ("p_mu", "p_theta_new")) if with_p else ()),
    )


def _exact_lines(grid: "xr.Dataset", name: str) -> list[str]:
    """Return in how many pairs of priors the effect is known to be the threshold, which is on neither side of it."""
    exact = grid[f"{name}_exactly"]
    n = int((np.asarray(exact) > 0).sum())
    return [exact_line(exact.attrs["event"], n, "pair of priors", "pairs of priors")] if n else []


def exact_line(event: str, n: int, one: str, several: str) -> str:
    """Return that a quantity is known to be the threshold, e.g. ``OR = 1, mean effect``, and how that counts."""
    return f"Known to be {event}, in {n} {one if n == 1 else several}: that counts neither as below nor as above."


def grid_lines(grid: "xr.Dataset") -> list[str]:
    """Return the range of each probability over the priors, and what could not be computed."""
    lines = []
    for name in ("p_mu", "p_theta_new"):
        if name in grid:
            value = np.asarray(grid[name])
            lines.append(
                f"P({grid[name].attrs['event']} | data) over {int(np.isfinite(value).sum())} pairs of priors: "
                f"{p_text(float(np.nanmin(value)), float(np.nanmax(value)))}."
            )
    lines += [line for name in ("p_mu", "p_theta_new") if name in grid for line in _exact_lines(grid, name)]
    return [*lines, *(f"Not computed: {reason}" for reason in grid.attrs["not_computed"])]


def tipping_text(result: "TippingPoints") -> str:
    """Return all tipping points, one sentence each."""
    return "\n".join(tipping_lines(result))


def tipping_lines(
    result: "TippingPoints", *, label: Callable[[str], str] = str, shown: Sequence[tuple[str, str]] = ()
) -> list[str]:
    """Return the conclusion, what would overturn it, the analysis without each study, and what is missing.

    Parameters
    ----------
    result
        The tipping points.
    label
        Maps a study's label to what is printed for it.
    shown
        Both probabilities and their ranges over other priors, as text, where these are known.
    """
    lines = [conclusion_line(result, shown)]
    if result.conclusion != "open":
        lines += [*prior_lines(result), *data_lines(result, label)]
    if result.critical is not None:
        lines.append(critical_line(result, result.critical))
    lines += without_lines(result, label)
    return [*lines, *(f"Note: {note}" for note in result.notes)]


def conclusion_line(result: "TippingPoints", shown: Sequence[tuple[str, str]] = ()) -> str:
    """Return the probability and whether the interval lies on one side of the threshold."""
    event, level = result.event, level_text(result.question.level)
    known = [p for p, _ in shown] or ["", ""]
    p_mean, p_new = (text or probability_text(p) for text, p in zip(known, (result.p_mean, result.p_new), strict=True))
    mean, new = (f" ({text} over the priors)" if text else "" for text in [r for _, r in shown] or ["", ""])
    said = f"P({event.said('mean effect')} | data) = {p_mean}{mean}; for the true effect of a new study {p_new}{new}. "
    if event.benefit and result.p_mean < 0.5:
        harm = result.question.flipped().event
        p_harm = 1.0 - result.p_mean - result.question.exactly()[0]
        said += f"P(harm ({harm.text}), mean effect | data) = {probability_text(p_harm)}. "
    edge = event.edge
    for estimand, share in zip(("mean effect", "true effect of a new study"), result.question.exactly(), strict=True):
        if share > 0.0:
            said += f"By the priors the {estimand} is {edge} exactly, which is on neither side. "
    if result.conclusion == "open":
        return (
            f"{said}The {level} credible interval of the mean effect includes {edge}: there is no conclusion that "
            "scepticism, heterogeneity or further data could overturn."
        )
    side = "benefit" if result.conclusion == "benefit" else "harm"
    return f"{said}The {level} credible interval of the mean effect excludes {edge} on the side of {side}."


def prior_lines(result: "TippingPoints") -> list[str]:
    """Return the tipping points of the priors."""
    lines, event = [], result.event
    if result.sceptical_sd is not None:
        low, high = (event.threshold + side * 1.959964 * result.sceptical_sd for side in (-1, 1))
        lines.append(
            f"Sceptical prior: mu ~ normal({event.threshold:g}, {number(result.sceptical_sd)}), 95% of it on "
            f"{event.label} {_natural(result, low)} to {_natural(result, high)}, would just overturn it."
        )
    if result.tau_fixed is not None and result.p_tau_exceeds is not None:
        lines.append(
            f"Heterogeneity: were tau known to be {small_number(result.tau_fixed)}{_factor(result, result.tau_fixed)}, "
            f"the interval would include {event.edge}; "
            f"P(tau > {small_number(result.tau_fixed)} | data) = {probability_text(result.p_tau_exceeds)}."
        )
    if result.tau_scale is not None:
        lines.append(
            f"Prior of tau: a half-normal prior of scale {small_number(result.tau_scale)} would just overturn it "
            f"(here tau ~ {resolved(result.question.priors['tau'], result.question.data)!r})."
        )
    return lines


def _factor(result: "TippingPoints", tau: float) -> str:
    if not MEASURES[result.event.measure].ratio or 3.92 * tau > 20:
        return ""
    return (
        f" (true {result.event.measure}s of the middle 95% of studies within a factor {number(math.exp(3.92 * tau))})"
    )


def _natural(result: "TippingPoints", value: float) -> str:
    return number(float(MEASURES[result.event.measure].to_natural(value)))


def data_lines(result: "TippingPoints", label: Callable[[str], str] = str) -> list[str]:
    """Return how much contrary data would overturn the conclusion."""
    lines = []
    for kind in result.studies:
        size = kind.size if kind.se is None else f"{kind.size} ({number(kind.se)})"
        count = "more than can be counted here" if kind.count is None else str(kind.count)
        noun = "study" if kind.count == 1 else "studies"
        lines.append(f"Null studies: {count} further {noun} with {result.event.edge}, {size}, would overturn it.")
    if result.moves is not None:
        arms: dict[str, int] = {}
        for move in result.moves:
            sign = "more" if move.after > move.before else "fewer"
            key = f"event{{}} {sign} in the {move.arm} arm of {label(move.study)}"
            arms[key] = arms.get(key, 0) + 1
        said = joined([f"{n} {key.format('' if n == 1 else 's')}" for key, n in arms.items()])
        lines.append(
            f"Changed outcomes: {len(result.moves)} patient{'' if len(result.moves) == 1 else 's'} "
            f"with another outcome ({said}) would overturn it."
        )
    return lines


def critical_line(result: "TippingPoints", critical: "CriticalPrior") -> str:
    """Return Matthews' critical prior interval of the DerSimonian-Laird estimate in a sentence."""
    event = result.event
    low, high = (_natural(result, event.threshold + end) for end in (critical.low, critical.high))
    level = level_text(critical.level)
    if critical.kind == "sceptical":
        return (
            f"Matthews' critical prior interval of the DerSimonian-Laird estimate: {event.label} {low} to {high}. "
            f"The estimate is credible at {level} to those who thought effects outside it plausible beforehand."
        )
    return (
        "Matthews' critical prior interval of the DerSimonian-Laird estimate, whose confidence interval includes "
        f"{event.edge}: {event.label} {low} to {high}. Prior evidence for effects within it would make a benefit or "
        f"harm credible at {level}."
    )


def without_lines(result: "TippingPoints", label: Callable[[str], str] = str) -> list[str]:
    """Return the probability without each study, and which studies the conclusion rests on."""
    if not result.without:
        return []
    each = [f"{probability_text(w.p_mean)} without {label(w.study)}" for w in result.without]
    tips = [label(w.study) for w in result.without if w.tips]
    verdict = (
        stopped(f"The conclusion changes without {joined(tips)}")
        if tips
        else "Leaving out any one study does not change it."
    )
    return [f"{stopped(f'Fragility: P({result.event.said("mean effect")} | data) is {joined(each)}')} {verdict}"]
