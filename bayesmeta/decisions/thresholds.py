"""How probable it is that the effect is beyond a threshold, inside a range, or of a certain size."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from bayesmeta.decisions.event_table import EventRow, EventTable, event_row, exact_notes
from bayesmeta.decisions.quantities import quantities
from bayesmeta.errors import ModelError
from bayesmeta.events import Benefit, Scale, check_benefit, check_values, opposite, side_of_benefit
from bayesmeta.posterior import Marginal

JUDGEMENT = (
    "These are inputs to a judgement, not a verdict: how sure one may be also depends on risk of bias, indirectness "
    "and publication bias, which no model of these data sees."
)
SIZES = {
    1: ("trivial", "important"),
    2: ("trivial", "small to moderate", "large"),
    3: ("trivial", "small", "moderate", "large"),
}


def threshold_table(
    source: Any,
    thresholds: Sequence[float],
    *,
    benefit: Benefit | None,
    measure: str | None = None,
    others: Sequence[Any] = (),
) -> EventTable:
    """Return the probability that the effect is beyond each threshold, in the direction of benefit.

    Parameters
    ----------
    source
        A posterior (mean effect and new study), a marginal, or an absolute effect.
    thresholds
        Natural scale of the measure; events per 1000 for an absolute effect (fewer is negative).
    benefit
        ``"lower"`` or ``"higher"``.
    measure
        Where `source` does not know it.
    others
        The same under other sets of priors: their range is printed beside each probability.

    Raises
    ------
    ModelError
        If there is no direction of benefit, or a threshold cannot be a value of the measure.
    """
    direction = check_benefit(benefit)
    scale, marginals = quantities(source, measure)
    numbers = check_values(scale, thresholds, "thresholds")
    beyond = [quantities(other, measure)[1] for other in others]
    events = tuple(event_row(scale, marginals, side_of_benefit(t, direction), others=beyond) for t in numbers)
    notes = (
        f"A benefit is {'a smaller' if direction == 'lower' else 'a larger'} {scale.label}.",
        *_notes(scale, marginals, events, others),
    )
    return EventTable("Probability of an effect beyond a threshold, in the direction of benefit", events, notes)


def _notes(
    scale: Scale, marginals: Mapping[str, Marginal], events: Sequence[EventRow], others: Sequence[Any]
) -> tuple[str, ...]:
    """Return how probable bounds of the events are themselves, and what is in brackets beside other sets of priors."""
    exact = exact_notes(scale, marginals, [bound for e in events for bound in (e.low, e.high)])
    if not others:
        return exact
    n = len(others) + 1
    return (*exact, f"In brackets: the smallest and largest value over {n} sets of priors, the primary one included.")


def _ordered(scale: Scale, low: float, high: float, what: str) -> tuple[float, float]:
    first, second = check_values(scale, (low, high), what)
    if not first < second:
        raise ModelError(f"{what} is {first:g} to {second:g}: write the lower bound first, two different numbers.")
    return first, second


def rope(source: Any, low: float, high: float, *, measure: str | None = None, others: Sequence[Any] = ()) -> EventTable:
    """Return the probabilities below, inside and above a region of practical equivalence.

    Parameters
    ----------
    source, measure, others
        As in `threshold_table`.
    low, high
        The region on the natural scale, e.g. 0.9 and 1.11 for an odds ratio.

    Raises
    ------
    ModelError
        If the bounds are out of order, or cannot be values of the measure.

    References
    ----------
    Kruschke (2018), Advances in Methods and Practices in Psychological Science 1:270-280.
    """
    scale, marginals = quantities(source, measure)
    low, high = _ordered(scale, low, high, "The region of practical equivalence")
    beyond = [quantities(other, measure)[1] for other in others]
    named = (("below", (None, low)), ("inside", (low, high)), ("above", (high, None)))
    events = tuple(event_row(scale, marginals, bounds, label=label, others=beyond) for label, bounds in named)
    return EventTable(
        "Region of practical equivalence: the effect below it, inside it, above it",
        events,
        _notes(scale, marginals, events, others),
    )


def three_way(
    source: Any,
    low: float,
    high: float,
    *,
    benefit: Benefit | None,
    measure: str | None = None,
    others: Sequence[Any] = (),
) -> EventTable:
    """Return the probabilities of benefit, equivalence and harm, which add up to one.

    Parameters
    ----------
    source, benefit, measure, others
        As in `threshold_table`.
    low, high
        Effects between them count as equivalent; natural scale, no effect among them.

    Raises
    ------
    ModelError
        If there is no direction of benefit, the bounds are out of order, or no effect lies outside them.
    """
    direction = check_benefit(benefit)
    scale, marginals = quantities(source, measure)
    low, high = _ordered(scale, low, high, "The range of equivalence")
    if scale.null is None or not low <= scale.null <= high:
        none = "has no value that means no effect" if scale.null is None else f"means no effect at {scale.null:g}"
        raise ModelError(
            f"The range of equivalence, {low:g} to {high:g}, must include no effect, and {scale.label} {none}. "
            "For any other range use bm.rope."
        )
    beyond = [quantities(other, measure)[1] for other in others]
    below, above = ("benefit", "harm") if direction == "lower" else ("harm", "benefit")
    rows = {
        label: event_row(scale, marginals, bounds, label=label, others=beyond)
        for label, bounds in ((below, (None, low)), ("equivalence", (low, high)), (above, (high, None)))
    }
    events = (rows["benefit"], rows["equivalence"], rows["harm"])
    notes = (JUDGEMENT, *_notes(scale, marginals, events, others))
    return EventTable("Benefit, equivalence, harm", events, notes)


def ranges(
    source: Any,
    thresholds: Sequence[float],
    *,
    benefit: Benefit | None,
    harm: Sequence[float] | None = None,
    names: Sequence[str] | None = None,
    measure: str | None = None,
    others: Sequence[Any] = (),
) -> EventTable:
    """Return how probable trivial, small, moderate and large effects are, in both directions.

    Parameters
    ----------
    source, benefit, measure, others
        As in `threshold_table`.
    thresholds
        Where a small, a moderate and a large benefit begin: natural scale, from no effect outwards. They are
        yours to choose for the outcome: nothing here knows how much matters.
    harm
        The same for harm; the mirror image of `thresholds` about no effect when not given (1/OR for a ratio).
    names
        Names of the sizes, one more than there are thresholds; known for one to three thresholds.

    Raises
    ------
    ModelError
        If there is no direction of benefit, or the thresholds do not go from no effect outwards.

    References
    ----------
    Hultcrantz et al. (2017), Journal of Clinical Epidemiology 87:4-13.
    """
    direction = check_benefit(benefit)
    scale, marginals = quantities(source, measure)
    if scale.null is None:
        raise ModelError(f"{scale.label} has no value that means no effect, so effects have no size. Use bm.rope.")
    good = _outwards(scale, thresholds, "thresholds", direction)
    other = opposite(direction)
    bad = _mirrored(scale, good) if harm is None else _outwards(scale, harm, "harm", other)
    if len(bad) != len(good):
        raise ModelError(f"There are {len(good)} thresholds of benefit and {len(bad)} of harm: give as many of each.")
    sizes = _names(names, len(good))
    beyond = [quantities(o, measure)[1] for o in others]
    bands = [(f"{size} benefit", b) for size, b in zip(sizes[1:], _bands(good, direction), strict=True)][::-1]
    bands.append((sizes[0], (min(good[0], bad[0]), max(good[0], bad[0]))))
    bands += [(f"{size} harm", b) for size, b in zip(sizes[1:], _bands(bad, other), strict=True)]
    events = tuple(event_row(scale, marginals, bounds, label=label, others=beyond) for label, bounds in bands)
    mirrored = " The thresholds of harm mirror those of benefit." if harm is None else ""
    notes = (f"The thresholds are the user's.{mirrored} {JUDGEMENT}", *_notes(scale, marginals, events, others))
    return EventTable("How large the effect may be", events, notes)


def _outwards(scale: Scale, values: Sequence[float], what: str, side: Benefit) -> tuple[float, ...]:
    """Return thresholds that begin beyond no effect and move away from it."""
    numbers = check_values(scale, values, what)
    assert scale.null is not None
    steps = (scale.null, *numbers)
    sign = -1.0 if side == "lower" else 1.0
    if not all(sign * (b - a) > 0 for a, b in pairwise(steps)):
        way = "falling numbers below" if side == "lower" else "rising numbers above"
        raise ModelError(
            f"{what} = {', '.join(f'{v:g}' for v in numbers)} do not go outwards from no effect. Write "
            f"{way} {scale.null:g} ({scale.label}), the threshold of a small effect first."
        )
    return numbers


def _mirrored(scale: Scale, values: tuple[float, ...]) -> tuple[float, ...]:
    assert scale.null is not None
    centre = scale.from_natural(scale.null)
    return tuple(scale.to_natural(2.0 * centre - scale.from_natural(v)) for v in values)


def _bands(cuts: tuple[float, ...], side: Benefit) -> list[tuple[float | None, float | None]]:
    """Return the ranges between thresholds, from the smallest size to the largest."""
    ends: list[float | None] = [*cuts, None]
    pairs = list(pairwise(ends))
    return pairs if side == "higher" else [(b, a) for a, b in pairs]


def _names(names: Sequence[str] | None, n: int) -> tuple[str, ...]:
    chosen = tuple(names) if names is not None else SIZES.get(n, ())
    if len(chosen) != n + 1 or len(set(chosen)) != len(chosen):
        raise ModelError(
            f"{n} thresholds make {n + 1} sizes of effect: give names=, {n + 1} different ones, the smallest first."
        )
    return chosen
