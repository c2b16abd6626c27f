"""Number needed to treat for one more patient to benefit or be harmed, with its awkward interval."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bayesmeta.compare.precision import Printed, figure_error
from bayesmeta.decisions.quantities import MEAN
from bayesmeta.errors import ModelError
from bayesmeta.events import Benefit, between, check_benefit, exactly, side_of_benefit
from bayesmeta.posterior import Marginal
from bayesmeta.values import Interval
from bayesmeta.words import digits, level_text, number

type Direction = Literal["NNTB", "NNTH"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of numbers needed in one direction; `high` may be infinite.

    Parameters
    ----------
    direction
        ``"NNTB"`` (benefit) or ``"NNTH"`` (harm).
    low, high
        Patients treated for one more event of that kind, not rounded.
    """

    direction: Direction
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class NumberNeeded:
    """How many must be treated for one more to benefit, or to be harmed.

    The number needed is 1 / (risk difference). It jumps from plus to minus infinity where treatment makes no
    difference, so it has no mean, and an interval that includes no difference has two pieces.

    Parameters
    ----------
    p_benefit
        Posterior probability that treatment helps: without it no number needed means anything.
    direction, value
        Of the median risk difference, not rounded; infinite where that is 0.
    pieces
        The equal-tailed interval of the risk difference as numbers needed, in one piece or in two.
    reduction
        That interval, in the direction of benefit (positive helps).
    level
        Of the interval.
    estimand
        Whose effect.
    difference
        Posterior of the risk difference.
    benefit
        Direction that is a benefit.
    """

    p_benefit: float
    direction: Direction
    value: float
    pieces: tuple[Piece, ...]
    reduction: Interval
    level: float
    estimand: str
    difference: Marginal
    benefit: Benefit

    def probability(self, at_most: float) -> float:
        """Return the posterior probability that treating so many patients helps at least one more, on average.

        Raises
        ------
        ModelError
            If `at_most` is less than 1.
        """
        if not at_most >= 1.0:
            raise ModelError(f"at_most={at_most:g}: a number needed to treat is at least 1.")
        least = 1.0 / at_most
        # To help "at least" one more counts the bound itself.
        return float(self.difference.cdf(-least)) if self.benefit == "lower" else _at_least(self.difference, least)

    def words(self) -> str:
        """Return the number and its interval, e.g. ``NNTB 10 (NNTB 4 to ∞ to NNTH 20)``."""
        return f"{self._written()} ({interval_words(self.pieces, self._whole)})"

    def __str__(self) -> str:
        return (
            f"{self._written()} ({level_text(self.level)} credible interval "
            f"{interval_words(self.pieces, self._whole)}); "
            f"P(treatment helps) {Printed(self.difference).probability(self.p_benefit)}; {self.estimand}."
        )

    def _written(self) -> str:
        return f"{self.direction} {self._whole(self.direction, self.value)}"

    def _whole(self, direction: Direction, value: float) -> str:
        """Return a number needed as text, with the digits that its Monte Carlo error supports."""
        if math.isinf(value):
            return whole(value)
        upwards = (direction == "NNTB") == (self.benefit == "higher")
        p = float(self.difference.cdf(1.0 / value if upwards else -1.0 / value))
        error = figure_error(self.difference, p) if 0.0 < p < 1.0 else None
        # The error of 1 / x is that of x, divided by x squared.
        return whole(value, None if error is None else error * value**2)


def _at_least(difference: Marginal, value: float) -> float:
    return float(difference.sf(value)) + exactly(difference, value)


def whole(value: float, error: float | None = None) -> str:
    """Return a number needed, rounded up as is the convention; to tens and so on where its error is beyond 1.

    Examples
    --------
    >>> whole(8.33), whole(1 / 0.05), whole(float("inf")), whole(143.0, 6.0)
    ('9', '20', '∞', '140')
    """
    if math.isinf(value):
        return "∞"
    # 1 / 0.05 is a hair above 20 in floating point, and 20 patients are meant.
    rounded = f"{math.ceil(value * (1.0 - 1e-11))}"
    shown = digits(value, error, len(rounded))
    return rounded if shown == len(rounded) else number(value, shown)


def _plain(direction: Direction, value: float) -> str:
    return whole(value)


def interval_words(pieces: tuple[Piece, ...], written: Callable[[Direction, float], str] = _plain) -> str:
    """Return the pieces of an interval, which meet at infinity.

    Examples
    --------
    >>> interval_words((Piece("NNTB", 4.0, float("inf")), Piece("NNTH", 20.0, float("inf"))))
    'NNTB 4 to ∞ to NNTH 20'
    """
    first, *rest = pieces
    if not rest:
        low, high = (written(first.direction, value) for value in (first.low, first.high))
        return f"{first.direction} {low} to {high}"
    second = rest[0]
    near, far = (f"{piece.direction} {written(piece.direction, piece.low)}" for piece in (first, second))
    return f"{near} to ∞ to {far}"


def needed_from(reduction: float) -> tuple[Direction, float]:
    """Return direction and number needed of a risk difference in the direction of benefit."""
    if reduction == 0:
        return "NNTB", math.inf
    return ("NNTB" if reduction > 0 else "NNTH"), 1.0 / abs(reduction)


def pieces_of(low: float, high: float) -> tuple[Piece, ...]:
    """Return an interval of the risk difference, in the direction of benefit, as numbers needed.

    Parameters
    ----------
    low, high
        Limits, positive where treatment helps: -0.05 and 0.25 become NNTB 4 to infinity to NNTH 20.

    References
    ----------
    Altman (1998), BMJ 317:1309-1312.
    """
    near, far = needed_from(high), needed_from(low)
    if low > 0:
        return (Piece("NNTB", near[1], far[1]),)
    if high < 0:
        return (Piece("NNTH", far[1], near[1]),)
    if low == 0:
        return (Piece("NNTB", near[1], math.inf),)
    if high == 0:
        return (Piece("NNTH", far[1], math.inf),)
    return (Piece("NNTB", near[1], math.inf), Piece("NNTH", far[1], math.inf))


def number_needed(
    difference: Marginal, *, benefit: Benefit | None, level: float = 0.95, estimand: str = MEAN
) -> NumberNeeded:
    """Return the number needed to treat or harm from the posterior of a risk difference.

    Parameters
    ----------
    difference
        Risk with treatment minus risk without.
    benefit
        ``"lower"`` where the event is a harm, ``"higher"`` where it is a good.
    level
        Of the interval.
    estimand
        Whose effect, for the reader.

    Raises
    ------
    ModelError
        If there is no direction of benefit.
    """
    direction = check_benefit(benefit)
    inside = difference.eti(level)
    low, high = (-inside.high, -inside.low) if direction == "lower" else (inside.low, inside.high)
    middle = -difference.median() if direction == "lower" else difference.median()
    helps = between(difference, *side_of_benefit(0.0, direction))
    which, value = needed_from(middle)
    return NumberNeeded(
        p_benefit=helps,
        direction=which,
        value=value,
        pieces=pieces_of(low, high),
        reduction=Interval(low, high, inside.level, inside.kind, inside.rule),
        level=level,
        estimand=estimand,
        difference=difference,
        benefit=direction,
    )
