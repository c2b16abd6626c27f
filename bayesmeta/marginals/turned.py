"""A quantity turned about 0: minus another."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.values import Array, Interval, IntervalKind


@dataclass(frozen=True, slots=True, eq=False)
class Turned:
    """The distribution of minus a quantity.

    Parameters
    ----------
    of
        The marginal of the quantity.
    """

    of: Any
    kind: IntervalKind = "credible"

    @property
    def support(self) -> tuple[float, float]:
        """Ends of the support."""
        low, high = self.of.support
        return -high, -low

    def mean(self) -> float:
        """Return the mean."""
        return -float(self.of.mean())

    def sd(self) -> float:
        """Return the standard deviation."""
        return float(self.of.sd())

    def median(self) -> float:
        """Return the median."""
        return -float(self.of.median())

    def mode(self) -> float:
        """Return where the density is highest."""
        return -float(self.of.mode())

    def pdf(self, x: ArrayLike) -> Array:
        """Return the density."""
        return np.asarray(self.of.pdf(-np.asarray(x, dtype=float)))[()]

    def cdf(self, x: ArrayLike) -> Array:
        """Return the probability at or below."""
        return np.asarray(self.of.sf(-np.asarray(x, dtype=float)))[()]

    def sf(self, x: ArrayLike) -> Array:
        """Return the probability above."""
        return np.asarray(self.of.cdf(-np.asarray(x, dtype=float)))[()]

    def ppf(self, q: ArrayLike) -> Array:
        """Return quantiles."""
        return -np.asarray(self.of.ppf(1.0 - np.asarray(q, dtype=float)))[()]

    def eti(self, level: float = 0.95) -> Interval:
        """Return the equal-tailed interval."""
        low, high = self.of.eti(level)
        return Interval(-high, -low, level, self.kind, "eti")

    def hdi(self, level: float = 0.95) -> Interval:
        """Return the shortest interval."""
        low, high = self.of.hdi(level)
        return Interval(-high, -low, level, self.kind, "hdi")
