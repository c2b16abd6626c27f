"""A quantity that is known: its posterior is one value."""

import math
from dataclasses import dataclass

import numpy as np

from bayesmeta.marginals.mixture import NormalMixture
from bayesmeta.marginals.search import check_level
from bayesmeta.values import Array, Interval, IntervalKind


@dataclass(frozen=True, slots=True, eq=False)
class Known(NormalMixture):
    """One value: a mixture of normals with SD 0. It has an atom there and no density elsewhere."""

    @property
    def value(self) -> float:
        """The value."""
        return self.mean()

    @property
    def support(self) -> tuple[float, float]:  # type: ignore[override]
        """The value, twice."""
        return (self.value, self.value)

    @property
    def atoms(self) -> dict[float, float]:
        """The value, with probability 1."""
        return {self.value: 1.0}

    def _cdf(self, x: Array) -> Array:
        return np.where(x >= self.value, 1.0, 0.0)

    def _sf(self, x: Array) -> Array:
        return np.where(x >= self.value, 0.0, 1.0)

    def _logpdf(self, x: Array) -> Array:
        return np.full(len(x), -math.inf)

    def _ppf(self, q: Array) -> Array:
        return np.full(len(q), self.value)

    def isf(self, q: float) -> float:
        """Return the value."""
        return self.value

    def sd(self) -> float:
        """Return 0."""
        return 0.0

    def mode(self) -> float:
        """Return the value."""
        return self.value

    def hdi(self, level: float = 0.95) -> Interval:
        """Return the value, twice."""
        return Interval(self.value, self.value, check_level(level), self.kind, "hdi")


def known(value: float, kind: IntervalKind = "credible") -> Known:
    """Return the posterior of a quantity that is `value` for certain."""
    return Known(np.ones(1), np.zeros(1), np.zeros(1), float(value), kind=kind)
