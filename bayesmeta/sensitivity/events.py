"""Which event a probability is about: direction, threshold and scale, said in words."""

from dataclasses import dataclass
from typing import Literal

from bayesmeta.effects import MEASURES, find_measure
from bayesmeta.errors import DataError, ModelError, unknown
from bayesmeta.values import Array

type Direction = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Event:
    """An effect beyond a threshold, e.g. an odds ratio below 1.

    Parameters
    ----------
    measure
        Effect measure.
    direction
        ``"higher"`` or ``"lower"`` than the threshold.
    threshold
        Analysis scale.
    natural
        The threshold on the natural scale.
    benefit
        Whether the direction is a benefit, so that the event may be called one.
    """

    measure: str
    direction: Direction
    threshold: float
    natural: float
    benefit: bool

    @property
    def text(self) -> str:
        """The event, e.g. ``OR < 1``."""
        return f"{self.measure} {'>' if self.direction == 'higher' else '<'} {self.natural:g}"

    @property
    def edge(self) -> str:
        """The threshold, e.g. ``OR = 1``."""
        return f"{self.measure} = {self.natural:g}"

    def said(self, estimand: str) -> str:
        """Return what a probability of this event is a probability of, e.g. ``benefit (OR < 1), mean effect``."""
        return f"{f'benefit ({self.text})' if self.benefit else self.text}, {estimand}"

    def probability(self, above: Array, exactly: Array) -> Array:
        """Return the event's probabilities from those of exceeding the threshold, and of the threshold itself."""
        return above if self.direction == "higher" else 1.0 - above - exactly


def event_for(measure: str, benefit: str | None, threshold: float | None = None) -> Event:
    """Return the event ``effect beyond threshold`` in the direction of benefit.

    Parameters
    ----------
    measure
        Effect measure.
    benefit
        ``"higher"`` or ``"lower"``; None stands for "higher", and is then not called a benefit.
    threshold
        Natural scale (an odds ratio, a risk difference, ...); no effect when not given.

    Raises
    ------
    ModelError
        If `benefit` is not a direction.
    DataError
        If the measure has no value for no effect and no threshold is given, or the threshold is not on its scale.
    """
    if benefit not in (None, "higher", "lower"):
        raise unknown("benefit", benefit, ["higher", "lower"])
    scale = find_measure(measure)
    if scale.scale.needs_n:
        raise DataError(f"Thresholds of {measure} depend on sample sizes: use measure 'PLO' or 'PR' instead.")
    if threshold is None:
        if scale.null is None:
            raise DataError(
                f"{measure} ({scale.label.lower()}) has no value that means no effect: give threshold=..., "
                "on the natural scale, e.g. the value that would matter."
            )
        natural = float(scale.to_natural(scale.null))
        at = scale.null
    else:
        natural, at = float(threshold), float(MEASURES[measure].from_natural(threshold))
        if not abs(at) < float("inf"):
            raise DataError(f"threshold={threshold:g} is at the end of the scale of {measure}: give a value inside it.")
    return Event(measure, "lower" if benefit == "lower" else "higher", at, natural, benefit is not None)


def need_benefit(benefit: str | None) -> str:
    """Return `benefit`, or say what to write where there is none."""
    if benefit is None:
        raise ModelError(
            "The direction of benefit is not known: give benefit='lower' when a smaller effect is better (death), "
            "or benefit='higher' when a larger one is (recovery)."
        )
    return benefit
