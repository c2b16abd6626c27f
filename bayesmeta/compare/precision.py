"""How many digits of a figure its Monte Carlo error supports; figures without one get all."""

import math

from bayesmeta.draws import DrawsMarginal
from bayesmeta.posterior import Marginal


def digits(value: float | None, error: float | None, most: int = 3) -> int:
    """Return how many significant digits of `value` to print so that none is finer than its error.

    Examples
    --------
    >>> digits(2.97, 0.017), digits(0.4441, 0.004), digits(2.97, None), digits(0.004, 0.1)
    (2, 2, 3, 1)
    """
    if value is None or not error or not math.isfinite(value) or not math.isfinite(error) or value == 0:
        return most
    magnitude = math.floor(math.log10(abs(value)))
    return min(most, max(1, magnitude - math.ceil(math.log10(error)) + 1))


def quantile_error(marginal: Marginal | None, q: float) -> float | None:
    """Return the Monte Carlo standard error of a quantile; None where nothing was sampled."""
    return marginal.mcse(q) if isinstance(marginal, DrawsMarginal) else None


def probability_error(marginal: Marginal | None, p: float | None) -> float | None:
    """Return the Monte Carlo standard error of a tail probability; None where nothing was sampled."""
    if p is None or not isinstance(marginal, DrawsMarginal):
        return None
    return math.sqrt(p * (1.0 - p) / marginal.ess("bulk"))
