"""Results of sensitivity analyses in words: direction, threshold and estimand with every probability."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.words import joined, level_text, probability_text

if TYPE_CHECKING:
    from bayesmeta.sensitivity.drivers import Driver
    from bayesmeta.sensitivity.universes import Multiverse

FEW = 3


def p_text(low: float, high: float) -> str:
    """Return the range of a probability, e.g. ``0.954 to >0.999``."""
    a, b = probability_text(low, 3), probability_text(high, 3)
    return a if a == b else f"{a} to {b}"


def event_text(measures: Sequence[str], direction: str) -> str:
    """Return e.g. ``OR or RR on the side of benefit (lower)``."""
    return f"{joined(list(measures))} on the side of benefit ({direction} than no effect)"


def multiverse_text(result: "Multiverse") -> str:
    """Return what a multiverse found: ranges, the share beyond the usual mark, and what drives the result."""
    target = 0.5 + result.level / 2.0
    events = list(result.events.values())
    said = joined([event.text for event in events])
    lines = [f"{result.m} Bayesian analyses and {len(result.classical['estimator'])} classical ones."]
    for name, estimand in (("p_mu", "mean effect"), ("p_theta_new", "true effect of a new study")):
        low, middle, high = result.range(name)
        lines.append(
            f"P(benefit: {said} | data), {estimand}: {p_text(low, high)} (median {probability_text(middle, 3)}); "
            f"at least {target:g} in {100 * result.share(target, name):.0f}% of the analyses."
        )
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
        f"{probability_text(d.low, 3)} with {d.low_level} to {probability_text(d.high, 3)} with {d.high_level}"
        for d in drivers
    ]


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
