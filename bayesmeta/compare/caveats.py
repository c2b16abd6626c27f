"""What an answer rests on when the data are thin or not all printed in a source, in sentences."""

import numpy as np

from bayesmeta.effects.measure import is_ratio
from bayesmeta.studies import EffectSizes, PersonTime, StudyTable, TwoByTwo, fit_the_counts
from bayesmeta.words import joined, stopped

RECONSTRUCTED = "reconstructed"


def reconstructed(data: EffectSizes | TwoByTwo | StudyTable) -> tuple[str, ...]:
    """Return the studies whose counts were reconstructed, not read in a source."""
    if isinstance(data, EffectSizes):
        return () if data.counts is None else reconstructed(data.counts)
    status = data.status if isinstance(data, TwoByTwo) else data.columns.get("status", ())
    if len(status) == 0:
        return ()
    return tuple(s for s, kind in zip(data.study, status, strict=True) if str(kind).strip().lower() == RECONSTRUCTED)


def caveats(effects: EffectSizes) -> tuple[str, ...]:
    """Return what a reader must know before relying on the pooled answer.

    Parameters
    ----------
    effects
        The effect sizes pooled, with the counts behind them where there are any.
    """
    said = [_few(effects.k), *_zeros(effects)]
    names = reconstructed(effects)
    if names:
        said.append(
            f"† The counts of {joined(names)} are not printed in any source that could be read; they were "
            "reconstructed. The rows without that data show what rests on it."
        )
    return tuple(s for s in said if s)


def _few(k: int) -> str:
    if k == 1:
        return (
            "k = 1: one study cannot show how much studies differ. The posterior of tau is its prior, but for what the "
            "prior of mu adds, and the pooled effect and the prediction rest on that and on this one study."
        )
    if k == 2:
        return (
            "k = 2: two studies say almost nothing about how much studies differ, so tau, and with it the width of "
            "the credible interval, rests mostly on its prior; the Hartung-Knapp interval has one degree of freedom."
        )
    if k < 5:
        return (
            f"k = {k}: with fewer than five studies the between-study standard deviation is poorly determined; the "
            "prior of tau matters, so read the sensitivity analysis with the result."
        )
    return ""


def _zeros(effects: EffectSizes) -> list[str]:
    counts = effects.counts
    if counts is None:
        return []
    said = [_one_sided(counts, arm, effects.measure) for arm in ("treatment", "control")]
    if effects.adjusted:
        names = joined([a.study for a in effects.adjusted])
        said.append(
            f"Counts of {names} were changed before pooling. {stopped(effects.rule or effects.adjusted[0].what)}"
        )
    empty = double_zero(counts)
    if empty and is_ratio(effects.measure):
        said.append(
            f"{joined(empty)}: no event, or only events, in both arms; such a study says almost nothing about a "
            "ratio, and what it adds comes from the constant added to its cells."
        )
    return said


def _one_sided(counts: TwoByTwo, arm: str, measure: str) -> str:
    events, n = getattr(counts, f"events_{arm}"), getattr(counts, f"n_{arm}")
    if events.any() and (events < n).any():
        return ""
    what = "without an event" if events.any() else "with an event"
    return (
        f"No study has a patient {what} in the {arm} arm: the size of the effect rests on the constant added to zero "
        "cells and on the prior. Before relying on it, "
        f"{fit_the_counts(measure)} (an exact likelihood, which adds nothing to cells)."
    )


def double_zero(counts: TwoByTwo | PersonTime) -> list[str]:
    """Return the studies without events, or with events only, in both arms."""
    none = (counts.events_treatment == 0) & (counts.events_control == 0)
    if isinstance(counts, PersonTime):
        return [s for s, empty in zip(counts.study, np.asarray(none), strict=True) if empty]
    every = (counts.events_treatment == counts.n_treatment) & (counts.events_control == counts.n_control)
    return [s for s, empty in zip(counts.study, np.asarray(none | every), strict=True) if empty]
