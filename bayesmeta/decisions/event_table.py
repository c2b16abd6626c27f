"""Probabilities of events, each with its direction, threshold and estimand."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bayesmeta.compare.precision import probability_error, worst
from bayesmeta.errors import unknown
from bayesmeta.events import Scale, between, exactly, plain
from bayesmeta.marginals.convergence import decimals
from bayesmeta.posterior import Marginal
from bayesmeta.values import FrozenMap
from bayesmeta.words import CAP_DECIMALS, aligned, folded, probability_text, spread_decimals

if TYPE_CHECKING:
    import pandas as pd

GIVEN = "Each figure is a posterior probability, given the model, the data and the priors."


@dataclass(frozen=True, slots=True)
class Probability:
    """One posterior probability.

    Parameters
    ----------
    value
        The probability.
    error
        Its Monte Carlo standard error; None where nothing was sampled.
    low, high
        Smallest and largest value over other sets of priors, the primary one included; None without any.
    range_error
        The largest Monte Carlo standard error of these values; None where none was sampled.
    """

    value: float
    error: float | None = None
    low: float | None = None
    high: float | None = None
    range_error: float | None = None

    @classmethod
    def over(cls, found: Sequence[tuple[float, Marginal | None]]) -> "Probability":
        """Return the first of several probabilities, each with its marginal, and the range of all."""
        values = [value for value, _ in found]
        errors = [probability_error(marginal, value) for value, marginal in found]
        if len(found) == 1:
            return cls(values[0], errors[0])
        return cls(values[0], errors[0], min(values), max(values), worst(errors))

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return self.alone()
        # As coarse as its range, in which it must be seen to lie.
        low, high = self._ends(self.low, self.high)
        return f"{probability_text(self.value, self._decimals(self.range_error))} ({low} to {high})"

    def alone(self) -> str:
        """Return the probability, no finer than its error, nor than its range leaves a meaning to."""
        return probability_text(self.value, self._decimals(self.error))

    def span(self) -> str:
        """Return the range over other sets of priors, e.g. ``0.954 to 0.995``; empty without any."""
        if self.low is None or self.high is None:
            return ""
        low, high = self._ends(self.low, self.high)
        return low if low == high else f"{low} to {high}"

    def _decimals(self, error: float | None) -> int:
        most = CAP_DECIMALS if self.low is None or self.high is None else spread_decimals(self.low, self.high)
        return decimals(error, most)

    def _ends(self, low: float, high: float) -> tuple[str, str]:
        shown = self._decimals(self.range_error)
        return probability_text(low, shown), probability_text(high, shown)


@dataclass(frozen=True, slots=True, eq=False)
class EventRow:
    """A range of the effect and how probable it is.

    Parameters
    ----------
    label
        What the range stands for, e.g. ``"benefit"``; empty where it stands for itself.
    words
        The event, e.g. ``"OR < 0.8"``.
    low, high
        Bounds on the natural scale; None for no bound.
    probability
        Estimand to probability.
    """

    label: str
    words: str
    low: float | None
    high: float | None
    probability: Mapping[str, Probability]


@dataclass(frozen=True, slots=True, eq=False)
class EventTable:
    """Events in rows, estimands in columns.

    Parameters
    ----------
    title
        What the table answers.
    events
        The rows.
    notes
        What a reader must know to use them.
    """

    title: str
    events: tuple[EventRow, ...]
    notes: tuple[str, ...] = ()

    def __getitem__(self, key: str) -> EventRow:
        """Return the event with that label, or those words."""
        for event in self.events:
            if key in (event.label, event.words):
                return event
        raise unknown("event of this table:", key, [e.label or e.words for e in self.events])

    @property
    def estimands(self) -> tuple[str, ...]:
        """The columns."""
        return tuple(self.events[0].probability)

    def cells(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return headings and rows as text; probabilities are capped, never printed as 0 or 1."""
        labelled = any(e.label for e in self.events)
        heads = (*(("range",) if labelled else ()), "event", *(f"P, {name}" for name in self.estimands))
        rows = [
            (*((e.label,) if labelled else ()), e.words, *(str(e.probability[name]) for name in self.estimands))
            for e in self.events
        ]
        return heads, rows

    def __str__(self) -> str:
        notes = [line for note in (GIVEN, *self.notes) for line in folded(note)]
        return "\n".join([self.title, *aligned(*self.cells()), *notes])

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row an event and estimand, probabilities with every digit."""
        import pandas as pd

        rows = [
            {
                "label": e.label,
                "event": e.words,
                "low": e.low,
                "high": e.high,
                "estimand": name,
                "probability": p.value,
                "mcse": p.error,
                "lowest": p.low,
                "highest": p.high,
            }
            for e in self.events
            for name, p in e.probability.items()
        ]
        return pd.DataFrame(rows)


def exact_notes(scale: Scale, marginals: Mapping[str, Marginal], bounds: Sequence[float | None]) -> tuple[str, ...]:
    """Return how probable it is that an effect is one of the bounds exactly, for each that has such a probability.

    Parameters
    ----------
    scale, marginals
        What is asked about, of `quantities`.
    bounds
        Natural scale; None for no bound.
    """
    values = [b for b in dict.fromkeys(bounds) if b is not None and math.isfinite(b)]
    found = [(b, name, exactly(m, scale.from_natural(b))) for b in values for name, m in marginals.items()]
    return tuple(
        f"P({scale.label} = {plain(b)} exactly | data), {name}: {probability_text(share)}. It counts neither as "
        "below nor as above."
        for b, name, share in found
        if share > 0.0
    )


def event_row(
    scale: Scale,
    marginals: Mapping[str, Marginal],
    bounds: tuple[float | None, float | None],
    *,
    label: str = "",
    others: Sequence[Mapping[str, Marginal]] = (),
) -> EventRow:
    """Return an event with its probability for every estimand.

    Parameters
    ----------
    scale, marginals
        What is asked about, of `quantities`.
    bounds
        Natural scale; None for no bound.
    label
        What the range stands for.
    others
        The same marginals under other sets of priors.
    """
    low, high = (None if b is None or math.isinf(b) else scale.from_natural(b) for b in bounds)
    found = {}
    for name, marginal in marginals.items():
        known = [marginal, *(other[name] for other in others if name in other)]
        found[name] = Probability.over([(between(m, low, high), m) for m in known])
    return EventRow(label, scale.words(*bounds), *bounds, FrozenMap(found))
