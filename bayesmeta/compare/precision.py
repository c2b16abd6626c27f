"""Figures as text with no digit finer than their Monte Carlo error; figures without one get all."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bayesmeta.marginals.convergence import decimals
from bayesmeta.marginals.draws import DrawsMarginal
from bayesmeta.posterior import Marginal
from bayesmeta.values import Interval
from bayesmeta.words import CAP_DECIMALS, number, probability_text, supported


def figure_error(marginal: Marginal | None, what: str | float) -> float | None:
    """Return the Monte Carlo standard error of ``"mean"``, ``"sd"`` or a quantile; None where nothing was sampled."""
    return marginal.mcse(what) if isinstance(marginal, DrawsMarginal) else None


def probability_error(marginal: Marginal | None, p: float | None) -> float | None:
    """Return the Monte Carlo standard error of a tail probability; None where nothing was sampled.

    From the share with one more draw on either side (Laplace's rule of succession): that none of n draws lies beyond a
    threshold does not make its probability 0 without error.
    """
    if p is None or not isinstance(marginal, DrawsMarginal):
        return None
    n = marginal.ess("bulk")
    share = (n * p + 1.0) / (n + 2.0)
    return math.sqrt(share * (1.0 - share) / n)


def worst(errors: Iterable[float | None]) -> float | None:
    """Return the largest error; None where nothing was sampled."""
    return max((e for e in errors if e is not None), default=None)


def natural_error(natural: Callable[[float], float], value: float, error: float | None) -> float | None:
    """Return the error of a transformed figure: half of what one error down and up of `value` make of it."""
    if error is None or not math.isfinite(value) or not math.isfinite(error):
        return None
    return abs(natural(value + error) - natural(value - error)) / 2.0


def written(natural: Callable[[float], float], value: float, error: float | None) -> str:
    """Return a transformed figure as text, given the error that it has before."""
    shown = natural(value)
    return supported(shown, natural_error(natural, value, error))


@dataclass(frozen=True, slots=True)
class Printed:
    """The figures of one quantity as text.

    Parameters
    ----------
    marginal
        Whose quantiles and probabilities they are; None for figures that are not a posterior's.
    natural
        From the scale of the marginal to the one that is printed.
    """

    marginal: Marginal | None
    natural: Callable[[float], float] = float

    def figure(self, value: float | None, what: str | float) -> str:
        """Return ``"mean"``, ``"sd"`` or the quantile of a probability, whose value is known, as text."""
        return number(None) if value is None else written(self.natural, value, figure_error(self.marginal, what))

    def median(self) -> str:
        """Return the marginal's median as text."""
        return number(None) if self.marginal is None else self.figure(self.marginal.median(), 0.5)

    def limits(self, interval: Interval) -> str:
        """Return an equal-tailed interval as ``low to high``."""
        tail = (1.0 - interval.level) / 2.0
        return f"{self.figure(interval.low, tail)} to {self.figure(interval.high, 1.0 - tail)}"

    def probability(self, value: float | None, most: int = CAP_DECIMALS) -> str:
        """Return a tail probability as text, with at most so many decimals."""
        return probability_text(value, decimals(probability_error(self.marginal, value), most))
