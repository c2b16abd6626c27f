"""How much contrary data would overturn a conclusion: further studies without effect, and changed outcomes."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesmeta.effects import effect_sizes
from bayesmeta.errors import BayesMetaError
from bayesmeta.sensitivity.question import Question
from bayesmeta.sensitivity.roots import first_below, first_below_one_by_one
from bayesmeta.studies import EffectSizes, TwoByTwo
from bayesmeta.values import Array

MOST_STUDIES = 1000
MOST_MOVES = 200


@dataclass(frozen=True, slots=True)
class NullStudies:
    """How many further studies with their estimate at the threshold overturn the conclusion.

    Parameters
    ----------
    size
        What kind of study, in words.
    se
        Standard error of each, analysis scale; None for studies given by counts.
    count
        How many; None where 1000 are not enough.
    """

    size: str
    se: float | None
    count: int | None


@dataclass(frozen=True, slots=True)
class Move:
    """One patient's outcome changed: the study, the arm, events before and after, and the probability then."""

    study: str
    arm: str
    before: int
    after: int
    p_mean: float


def null_studies(question: Question, notes: list[str]) -> tuple[NullStudies, ...]:
    """Return how many studies without effect, of typical and of large size, overturn the conclusion."""
    data = question.data
    if isinstance(data, EffectSizes):
        sizes = {"of the median standard error": float(np.median(data.sei))}
        if data.k > 1:
            sizes["as precise as the most precise study"] = float(data.sei.min())
        return tuple(
            NullStudies(label, se, _count(question, _with_estimate(question, se))) for label, se in sizes.items()
        )
    if question.event.threshold != 0.0:
        notes.append("Further studies are not counted: with counts they are defined for no effect only.")
        return ()
    arm, events = _typical_arm(data)
    label = f"of {arm} patients and {events} events in each arm"
    return (NullStudies(label, None, _count(question, _with_counts(data, arm, events), most=64)),)


def _count(question: Question, make: Any, most: int = MOST_STUDIES) -> int | None:
    def curve(n: Array) -> Array:
        return question.probabilities(data=[make(int(i)) for i in n])[0]

    # Without a closed form fits are made one by one, and those of many studies take long.
    search = first_below if question.model.abilities.batched else first_below_one_by_one
    return search(curve, question.target, most)


def _with_estimate(question: Question, se: float) -> Any:
    data = question.data
    at = question.event.threshold

    def make(n: int) -> EffectSizes:
        return EffectSizes(
            yi=np.concatenate([data.yi, np.full(n, at)]),
            sei=np.concatenate([data.sei, np.full(n, se)]),
            measure=data.measure,
        )

    return make


def _typical_arm(data: TwoByTwo) -> tuple[int, int]:
    arm = int(np.median(np.concatenate([data.n_treatment, data.n_control])).round())
    risk = float((data.events_treatment.sum() + data.events_control.sum()) / (data.n_treatment + data.n_control).sum())
    return arm, int(np.clip(round(risk * arm), 1, max(1, arm - 1)))


def _with_counts(data: TwoByTwo, arm: int, events: int) -> Any:
    def make(n: int) -> TwoByTwo:
        def more(values: Array, each: int) -> Array:
            return np.concatenate([values, np.full(n, float(each))])

        return TwoByTwo(
            more(data.events_treatment, events),
            more(data.n_treatment, arm),
            more(data.events_control, events),
            more(data.n_control, arm),
        )

    return make


def changed_outcomes(question: Question, notes: list[str]) -> tuple[Move, ...] | None:
    """Return the patients whose outcomes would have to change, found one at a time; None where it cannot be said."""
    counts = question.data if isinstance(question.data, TwoByTwo) else question.data.counts
    if counts is None:
        notes.append("Changed outcomes are not counted: that takes the 2x2 counts, and the data are ready estimates.")
        return None
    if isinstance(question.data, EffectSizes) and not _reproduced(question.data, counts):
        notes.append(
            "Changed outcomes are not counted: the effect sizes were not made with the default zero-cell rule, so "
            "they cannot be made again from changed counts. Give the study table instead."
        )
        return None
    moves: list[Move] = []
    for _ in range(MOST_MOVES):
        options = _options(counts, question.event.direction)
        if not options:
            break
        p = question.probabilities(data=[_remade(question, changed) for changed, *_ in options])[0]
        best = int(np.argmin(p))
        counts, study, arm, before, after = options[best]
        moves.append(Move(study, arm, before, after, float(p[best])))
        if p[best] < question.target:
            return tuple(moves)
    notes.append(f"Changed outcomes: {len(moves)} are not enough to overturn the conclusion.")
    return None


def _reproduced(effects: EffectSizes, counts: TwoByTwo) -> bool:
    try:
        again = effect_sizes(counts, effects.measure)
    except BayesMetaError:
        return False
    same = again.study == effects.study
    return same and bool(
        np.allclose(again.yi, effects.yi, rtol=1e-9) and np.allclose(again.sei, effects.sei, rtol=1e-9)
    )


def _remade(question: Question, counts: TwoByTwo) -> Any:
    return counts if isinstance(question.data, TwoByTwo) else effect_sizes(counts, question.data.measure)


type Option = tuple[TwoByTwo, str, str, int, int]


def _options(counts: TwoByTwo, direction: str) -> list[Option]:
    """Return every change of one patient's outcome that works against the effect."""
    step = -1 if direction == "higher" else 1
    options: list[Option] = []
    for i, study in enumerate(counts.study):
        for arm, change in (("treatment", step), ("control", -step)):
            events, n = getattr(counts, f"events_{arm}"), getattr(counts, f"n_{arm}")
            after = events[i] + change
            if 0 <= after <= n[i]:
                changed = events.copy()
                changed[i] = after
                options.append((_replaced(counts, arm, changed), study, arm, int(events[i]), int(after)))
    return options


def _replaced(counts: TwoByTwo, arm: str, events: Array) -> TwoByTwo:
    both = {"treatment": counts.events_treatment, "control": counts.events_control, arm: events}
    return TwoByTwo(
        both["treatment"],
        counts.n_treatment,
        both["control"],
        counts.n_control,
        study=counts.study,
        status=counts.status,
    )
