"""What a probability is about: direction of benefit, threshold, scale, and the probability itself."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bayesmeta.effects import MEASURES, Measure, find_measure
from bayesmeta.errors import DataError, ModelError, unknown
from bayesmeta.marginals.draws import DrawsMarginal
from bayesmeta.posterior import Marginal, Posterior
from bayesmeta.values import Array
from bayesmeta.words import probability_text

type Benefit = Literal["higher", "lower"]
DIRECTIONS: tuple[Benefit, ...] = ("higher", "lower")


def known_benefit(benefit: str | None) -> Benefit | None:
    """Return the direction of benefit, or None where there is none.

    Raises
    ------
    ModelError
        If it is neither of the two.
    """
    if benefit is None:
        return None
    if benefit not in DIRECTIONS:
        raise unknown("benefit", benefit, DIRECTIONS)
    return "lower" if benefit == "lower" else "higher"


def check_benefit(benefit: str | None) -> Benefit:
    """Return the direction of benefit, where one is needed.

    Raises
    ------
    ModelError
        If there is none: what helps cannot be told from a number.
    """
    known = known_benefit(benefit)
    if known is None:
        raise ModelError(
            "No direction of benefit: whether a larger effect helps or harms depends on the outcome. Write "
            "benefit='lower' where less of it is better (deaths), benefit='higher' where more is (recoveries)."
        )
    return known


def opposite(direction: Benefit) -> Benefit:
    """Return the other direction: that of harm."""
    return "higher" if direction == "lower" else "lower"


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """How the numbers of a quantity are written.

    Parameters
    ----------
    label
        Short name on the natural scale, e.g. ``"OR"``.
    to_natural, from_natural
        From the marginal's own scale to the one people read, and back.
    null
        No effect on the natural scale; None where no value means that.
    ratio
        Whether the natural scale is a ratio, greater than 0.
    words
        Makes an event in words from bounds on the natural scale, None for no bound.
    """

    label: str
    to_natural: Callable[[float], float]
    from_natural: Callable[[float], float]
    null: float | None
    ratio: bool
    words: Callable[[float | None, float | None], str]


def bounds_words(label: str) -> Callable[[float | None, float | None], str]:
    """Return the function that writes bounds as ``OR < 0.8`` or ``0.9 < OR < 1.1``."""

    def words(low: float | None, high: float | None) -> str:
        if low is None:
            assert high is not None
            return f"{label} < {plain(high)}"
        return f"{label} > {plain(low)}" if high is None else f"{plain(low)} < {label} < {plain(high)}"

    return words


def plain(value: float) -> str:
    """Return a bound as it was written; four digits where it has more than anybody writes.

    Examples
    --------
    >>> plain(0.67), plain(1.0), plain(1 / 0.9)
    ('0.67', '1', '1.111')
    """
    said = f"{value:.12g}"
    return said if len(said) <= 8 else f"{value:.4g}"


def measure_scale(name: str) -> Scale:
    """Return the scale of an effect measure.

    Raises
    ------
    ModelError
        If the measure is unknown.
    """
    chosen = find_measure(name)
    return Scale(
        label=chosen.short,
        to_natural=lambda x: float(chosen.to_natural(x)),
        from_natural=lambda x: float(chosen.from_natural(x)),
        null=chosen.null_natural,
        ratio=chosen.ratio,
        words=bounds_words(chosen.short),
    )


def check_values(scale: Scale, values: Sequence[float], what: str) -> tuple[float, ...]:
    """Return natural-scale `values` as floats.

    Raises
    ------
    ModelError
        If one is not a finite number, or not greater than 0 for a ratio.
    """
    numbers = tuple(float(v) for v in np.atleast_1d(np.asarray(values, dtype=float)))
    if not numbers:
        raise ModelError(f"{what} is empty: give at least one number on the scale of {scale.label}.")
    for value in numbers:
        if not np.isfinite(value):
            raise ModelError(f"{what} has {value}: give finite numbers on the scale of {scale.label}.")
        if scale.ratio and value <= 0:
            raise ModelError(
                f"{what} has {value:g}: {scale.label} is a ratio, greater than 0. Give it on the natural scale, "
                f"e.g. 0.8, not its log."
            )
    return numbers


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
    direction: Benefit
    threshold: float
    natural: float
    benefit: bool

    @property
    def label(self) -> str:
        """What the effect is called, e.g. ``OR`` or ``correlation``."""
        return MEASURES[self.measure].short

    @property
    def text(self) -> str:
        """The event, e.g. ``OR < 1``."""
        return f"{self.label} {'>' if self.direction == 'higher' else '<'} {self.natural:g}"

    @property
    def edge(self) -> str:
        """The threshold, e.g. ``OR = 1``."""
        return f"{self.label} = {self.natural:g}"

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
    direction = known_benefit(benefit)
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
    return Event(measure, direction or "higher", at, natural, direction is not None)


def probability(
    marginal: Marginal,
    *,
    above: float | None = None,
    below: float | None = None,
    or_: tuple[float | None, float | None] | None = None,
    natural: bool | None = None,
) -> float:
    """Return the posterior probability that a quantity lies in a range, strictly between its bounds.

    Parameters
    ----------
    marginal
        E.g. ``post.mu`` or ``post.theta_new``.
    above, below
        Bounds; given both, the range between them.
    natural
        Scale of the bounds: True for the one that people read (odds ratios, proportions, correlations), False for
        the analysis scale (their logs, logits, Fisher's z). When it is not given the bounds are on the analysis
        scale, and one that could be meant on either, such as 1 of an odds ratio, is refused.
    or_
        ``(low, high)`` on the natural scale of a ratio measure, None for no bound.

    Raises
    ------
    ModelError
        If `marginal` is a whole posterior, no bound is given, a bound is no number, both scales are mixed, the
        bounds are out of order, or they can be read on two scales.

    Examples
    --------
    ``probability(post.mu, or_=(None, 1.0))`` and ``probability(post.mu, below=1.0, natural=True)`` are
    P(OR < 1 | data).
    """
    if isinstance(marginal, Posterior):
        raise ModelError("probability takes one quantity of a posterior, e.g. post.mu or post.theta_new.")
    if or_ is not None:
        if above is not None or below is not None or natural is not None:
            raise ModelError("Give bounds in one way: above/below with natural=True or False, or or_ (natural scale).")
        above, below = _log_bounds(or_)
    for bound in (above, below):
        if bound is not None and (isinstance(bound, str) or math.isnan(bound)):
            raise ModelError(f"The bound {bound!r} is no number. Leave it out, or use None, where there is no bound.")
    if above is None and below is None:
        raise ModelError("Give at least one bound: above=, below= or or_=(low, high).")
    if above is not None and below is not None and above >= below:
        raise ModelError(f"The lower bound {above:g} must be less than the upper bound {below:g}.")
    if or_ is None:
        above, below = _on_analysis_scale(marginal, above, below, natural)
    return between(marginal, above, below)


def _on_analysis_scale(
    marginal: Marginal, low: float | None, high: float | None, natural: bool | None
) -> tuple[float | None, float | None]:
    """Return bounds on the analysis scale, or refuse those that could be meant on either scale."""
    name = getattr(marginal, "measure", "")
    if natural is False or (not name and natural is None):
        return low, high
    if not name:
        raise ModelError(
            "natural=True needs a quantity that knows its effect measure, as post.mu and post.theta_new do: give "
            "bounds on the analysis scale (the log of a ratio)."
        )
    measure = find_measure(name)
    if measure.scale.needs_n:
        if natural:
            raise ModelError(f"The natural scale of {name} depends on sample sizes: give bounds on the analysis scale.")
        return low, high
    if natural:
        return _moved(measure, low), _moved(measure, high)
    inside = [b for b in (low, high) if b is not None and measure.scale.low <= b <= measure.scale.high]
    differ = [b for b in inside if math.isfinite(b) and _reads_otherwise(measure, b)]
    if differ and len(inside) == sum(b is not None for b in (low, high)):
        raise ModelError(_two_readings(marginal, measure, low, high))
    return low, high


def _reads_otherwise(measure: Measure, bound: float) -> bool:
    """Return whether a number strictly inside the natural scale is another one on the analysis scale."""
    return measure.scale.low < bound < measure.scale.high and float(measure.from_natural(bound)) != bound


def _moved(measure: Measure, bound: float | None) -> float | None:
    """Return a natural-scale bound on the analysis scale."""
    if bound is None:
        return None
    try:
        return float(measure.from_natural(bound))
    except DataError as error:
        raise ModelError(f"The bound {bound:g} is not on the natural scale: {error}") from None


def _two_readings(marginal: Marginal, measure: Measure, low: float | None, high: float | None) -> str:
    """Return what bounds would mean on either scale, with the probability of each."""
    given = " and ".join(f"{word}={b:g}" for word, b in (("above", low), ("below", high)) if b is not None)
    moved = _moved(measure, low), _moved(measure, high)
    back = tuple(None if b is None else float(measure.to_natural(b)) for b in (low, high))
    words = bounds_words(measure.short)
    as_natural, as_analysis = (probability_text(between(marginal, *bounds)) for bounds in (moved, (low, high)))
    taken = bounds_words(measure.analysis_label)(low, high)
    return (
        f"{given} can be read on two scales. natural=True: {words(low, high)}, probability {as_natural}. "
        f"natural=False: {taken}, which is {words(*back)}, probability {as_analysis}. Say which."
    )


def between(marginal: Marginal, low: float | None, high: float | None) -> float:
    """Return the probability strictly between two bounds, analysis scale, None for no bound, accurate in both tails."""
    if low is None:
        return 1.0 if high is None else max(0.0, float(marginal.cdf(high)) - exactly(marginal, high))
    if high is None:
        return float(marginal.sf(low))
    # Two small numbers are subtracted, not two close to 1.
    if float(marginal.sf(low)) < 0.5:
        return max(0.0, float(marginal.sf(low)) - float(marginal.sf(high)) - exactly(marginal, high))
    return max(0.0, float(marginal.cdf(high)) - exactly(marginal, high) - float(marginal.cdf(low)))


def side_of_benefit(threshold: float, benefit: str) -> tuple[float | None, float | None]:
    """Return the bounds, for `between`, of effects beyond a threshold in the direction of benefit.

    Parameters
    ----------
    threshold
        On any scale; the bounds are on the same.
    benefit
        ``"lower"`` or ``"higher"``.
    """
    return (None, threshold) if benefit == "lower" else (threshold, None)


def exactly(marginal: Marginal, value: float) -> float:
    """Return the probability of exactly one value: 0 but for known quantities and averages of models with some."""
    if isinstance(marginal, DrawsMarginal):
        return float(np.mean(marginal.draws == value))
    return float(getattr(marginal, "atoms", {}).get(value, 0.0))


def _log_bounds(bounds: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        raise ModelError(f"or_={bounds!r}: give a pair (low, high), None where there is no bound, e.g. (None, 1.0).")
    if any(b is not None and (isinstance(b, str) or not b > 0) for b in bounds):
        raise ModelError(f"or_={bounds}: a ratio is a number greater than 0. Use None where there is no bound.")
    low, high = (None if b is None else float(np.log(b)) for b in bounds)
    return low, high
