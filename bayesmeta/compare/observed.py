"""What was counted in each study, as a table shows it: before anything was added to a zero cell."""

from bayesmeta.effects import MEASURES
from bayesmeta.studies import EffectSizes, PersonTime, TwoByTwo
from bayesmeta.words import number

type Counts = TwoByTwo | PersonTime | None


def counts_of(effects: EffectSizes) -> Counts:
    """Return the counts of both arms behind effects, where they come from such; None for ready estimates."""
    if effects.counts is not None:
        return effects.counts
    if MEASURES[effects.measure].family == "person_time" and effects.observed:
        seen = effects.observed
        return PersonTime(
            seen["events_treatment"],
            seen["time_treatment"],
            seen["events_control"],
            seen["time_control"],
            study=effects.study,
        )
    return None


def observed_heads(effects: EffectSizes) -> tuple[str, ...]:
    """Return the headings of `observed_cells`: one for each arm; none for ready estimates."""
    family = MEASURES[effects.measure].family
    if effects.counts is not None:
        return "Treatment\nevents/n", "Control\nevents/n"
    if not effects.observed:
        return ()
    return {
        "person_time": ("Treatment\nevents/time", "Control\nevents/time"),
        "proportion": ("events/n",),
        "rate": ("events/time",),
    }.get(family, ())


def observed_cells(effects: EffectSizes, i: int) -> tuple[str, ...]:
    """Return the counts of one study as text, e.g. ``("0/20",)``, one for each heading."""
    counts, seen = effects.counts, effects.observed
    if counts is not None:
        return (
            f"{counts.events_treatment[i]:.0f}/{counts.n_treatment[i]:.0f}",
            f"{counts.events_control[i]:.0f}/{counts.n_control[i]:.0f}",
        )
    if not observed_heads(effects):
        return ()
    if "events" in seen:
        return (_pair(seen["events"][i], seen["n" if "n" in seen else "time"][i]),)
    return tuple(_pair(seen[f"events_{arm}"][i], seen[f"time_{arm}"][i]) for arm in ("treatment", "control"))


def _pair(events: float, size: float) -> str:
    return f"{events:.0f}/{size:.0f}" if float(size).is_integer() else f"{events:.0f}/{number(size, 4)}"


def observed_effect(effects: EffectSizes, i: int) -> float | None:
    """Return the effect of one study as its counts have it, natural scale; None where that is the pooled estimate.

    A proportion of 0/20 is 0, whatever was added to take its logit.
    """
    seen, family = effects.observed, MEASURES[effects.measure].family
    if family not in ("proportion", "rate") or not seen:
        return None
    return float(seen["events"][i] / seen["n" if family == "proportion" else "time"][i])


def totals(effects: EffectSizes) -> str:
    """Return what was counted in all studies, to follow their number; empty for ready estimates.

    Examples
    --------
    >>> from bayesmeta.effects import effect_sizes
    >>> totals(effect_sizes(TwoByTwo([6, 0], [17, 20], [2, 3], [28, 21]), "OR"))
    '; treatment 6 events in 37 patients, control 5 in 49'
    """
    seen, counts = effects.observed, effects.counts
    if counts is not None:
        return (
            f"; treatment {counts.events_treatment.sum():.0f} events in {counts.n_treatment.sum():.0f} patients, "
            f"control {counts.events_control.sum():.0f} in {counts.n_control.sum():.0f}"
        )
    if not observed_heads(effects):
        return ""
    if "n" in seen:
        return f"; {seen['events'].sum():.0f} events in {seen['n'].sum():.0f} patients"
    if "events" in seen:
        return f"; {seen['events'].sum():.0f} events in {number(float(seen['time'].sum()), 5)} units of person-time"
    sums = {name: float(values.sum()) for name, values in seen.items()}
    time = [number(sums[f"time_{arm}"], 5) for arm in ("treatment", "control")]
    return (
        f"; treatment {sums['events_treatment']:.0f} events in {time[0]} units of person-time, "
        f"control {sums['events_control']:.0f} in {time[1]}"
    )
