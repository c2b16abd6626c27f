"""Tipping points in sentences."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from bayesmeta.effects import MEASURES
from bayesmeta.model import resolved
from bayesmeta.words import joined, level_text, number, probability_text, small_number

if TYPE_CHECKING:
    from bayesmeta.sensitivity.reverse_bayes import CriticalPrior
    from bayesmeta.sensitivity.tipping import TippingPoints


def tipping_text(result: "TippingPoints") -> str:
    """Return all tipping points, one sentence each."""
    return "\n".join(tipping_lines(result))


def tipping_lines(
    result: "TippingPoints", *, label: Callable[[str], str] = str, ranges: tuple[str, str] = ("", "")
) -> list[str]:
    """Return the conclusion, what would overturn it, the analysis without each study, and what is missing.

    Parameters
    ----------
    result
        The tipping points.
    label
        Maps a study's label to what is printed for it.
    ranges
        Of both probabilities over other priors, as text, where they are known.
    """
    lines = [conclusion_line(result, ranges)]
    if result.conclusion != "open":
        lines += [*prior_lines(result), *data_lines(result, label)]
    if result.critical is not None:
        lines.append(critical_line(result, result.critical))
    lines += without_lines(result, label)
    return [*lines, *(f"Note: {note}" for note in result.notes)]


def conclusion_line(result: "TippingPoints", ranges: tuple[str, str] = ("", "")) -> str:
    """Return the probability and whether the interval lies on one side of the threshold."""
    event, level = result.event, level_text(result.question.level)
    mean, new = (f" ({text} over the priors)" if text else "" for text in ranges)
    said = (
        f"P({event.said('mean effect')} | data) = {probability_text(result.p_mean)}{mean}; "
        f"for the true effect of a new study {probability_text(result.p_new)}{new}. "
    )
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
            f"{event.measure} {_natural(result, low)} to {_natural(result, high)}, would just overturn it."
        )
    if result.tau_fixed is not None and result.p_tau_exceeds is not None:
        lines.append(
            f"Heterogeneity: were tau known to be {small_number(result.tau_fixed)}{_factor(result, result.tau_fixed)}, "
            f"the interval would include {event.measure} = {event.natural:g}; "
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
        lines.append(
            f"Null studies: {count} further {noun} with {result.event.measure} = "
            f"{result.event.natural:g}, {size}, would overturn it."
        )
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
            f"Matthews' critical prior interval of the DerSimonian-Laird estimate: {event.measure} {low} to {high}. "
            f"The estimate is credible at {level} to those who thought effects outside it plausible beforehand."
        )
    return (
        "Matthews' critical prior interval of the DerSimonian-Laird estimate, whose confidence interval includes "
        f"{event.measure} = {event.natural:g}: "
        f"{event.measure} {low} to {high}. Prior evidence for effects within it would make a benefit or harm credible "
        f"at {level}."
    )


def without_lines(result: "TippingPoints", label: Callable[[str], str] = str) -> list[str]:
    """Return the probability without each study, and which studies the conclusion rests on."""
    if not result.without:
        return []
    each = [f"{probability_text(w.p_mean)} without {label(w.study)}" for w in result.without]
    tips = [label(w.study) for w in result.without if w.tips]
    verdict = (
        f"The conclusion changes without {joined(tips)}." if tips else "Leaving out any one study does not change it."
    )
    return [f"Fragility: P({result.event.said('mean effect')} | data) is {joined(each)}. {verdict}"]
