"""A probability whose logit has a known posterior."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import expit, logit

from bayesmeta.marginals.search import Searched
from bayesmeta.values import Array, IntervalKind

# Evenly spaced places of the logit's density that moments are summed over: its sum converges geometrically.
PLACES = 801
END = 1e-12


@dataclass(frozen=True, eq=False)
class Probability(Searched):
    """``expit(x)`` of a quantity x.

    Parameters
    ----------
    base
        The logit.
    """

    base: Any

    @property
    def support(self) -> tuple[float, float]:  # type: ignore[override]
        """Zero and one."""
        return (0.0, 1.0)

    @property
    def kind(self) -> IntervalKind:
        """That of the logit."""
        return self.base.kind  # type: ignore[no-any-return]

    def _cdf(self, x: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.asarray(self.base.cdf(logit(np.clip(x, 0.0, 1.0))))

    def _sf(self, x: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.asarray(self.base.sf(logit(np.clip(x, 0.0, 1.0))))

    def _ppf(self, q: Array) -> Array:
        return np.asarray(expit(self.base.ppf(q)))

    def _logpdf(self, x: Array) -> Array:
        inside = (x > 0.0) & (x < 1.0)
        at = np.where(inside, x, 0.5)
        with np.errstate(divide="ignore"):
            value = np.log(self.base.pdf(logit(at))) - np.log(at) - np.log1p(-at)
        return np.where(inside, value, -np.inf)

    @cached_property
    def _nodes(self) -> tuple[Array, Array]:
        low, high = self.base.ppf(np.array([END, 1.0 - END]))
        x = np.linspace(low, high, PLACES)
        mass = np.asarray(self.base.pdf(x))
        return np.asarray(expit(x), dtype=np.float64), mass / mass.sum()

    def mean(self) -> float:
        """Return the mean."""
        value, mass = self._nodes
        return float(mass @ value)

    def sd(self) -> float:
        """Return the standard deviation."""
        value, mass = self._nodes
        return float(np.sqrt(mass @ (value - mass @ value) ** 2))
