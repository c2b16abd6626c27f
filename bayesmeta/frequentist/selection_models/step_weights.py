"""Weights that are constant between cut points of the p-value: steps, truncation, and fixed weights."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri, xlogy

from bayesmeta.values import Array


@dataclass(frozen=True, slots=True, eq=False)
class StepWeights:
    """Relative chances of being reported in the intervals of p; 1 in the first (most significant).

    Parameters
    ----------
    z
        ``(k,)`` results over their standard errors, positive in the favoured direction.
    steps
        Cut points of p, ascending, without 0 and 1. A p at a cut point lies in the more significant interval.
    two_sided
        Whether p is two-sided.
    decreasing
        Whether the weights may not rise with p.
    fixed
        Given weights ``(J,)``, the first 1; None where they are estimated.
    """

    z: Array
    steps: tuple[float, ...]
    two_sided: bool
    decreasing: bool
    fixed: Array | None

    @property
    def starts(self) -> tuple[tuple[float, ...], ...]:
        """Values of the free parameters to start from."""
        if self.fixed is not None:
            return ((),)
        return ((1.0,) * len(self.steps), (0.3,) * len(self.steps))

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """Lower and upper bound of each free parameter."""
        if self.fixed is not None:
            return ()
        return ((0.0, 1.0 if self.decreasing else 1000.0),) * len(self.steps)

    def delta(self, free: Array) -> Array:
        """Return the weights of all intervals, ``(J,)``."""
        if self.fixed is not None:
            return self.fixed
        return np.concatenate([[1.0], np.cumprod(free) if self.decreasing else free])

    @property
    def counts(self) -> Array:
        """Number of results in each interval, ``(J,)``."""
        edges = self._edges()
        place = (np.abs(self.z) if self.two_sided else self.z)[:, None] < edges
        return np.bincount(place.sum(axis=1), minlength=len(self.steps) + 1).astype(float)

    def log_weight(self, free: Array) -> float:
        """Return the sum over studies of the log weight of what was observed."""
        return float(xlogy(self.counts, self.delta(free)).sum())

    def log_normaliser(self, free: Array, mean: Array, sd: Array) -> Array:
        """Return ``(k,)`` logs of the chance of being reported; `mean` and `sd` are those of z."""
        upper = self._tail(mean, sd)
        mass = np.diff(upper, axis=1, prepend=0.0, append=1.0)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(np.maximum(mass, 0.0) @ self.delta(free)))

    def _edges(self) -> Array:
        steps = np.array(self.steps)
        return np.asarray(-ndtri(steps / 2.0 if self.two_sided else steps))

    def _tail(self, mean: Array, sd: Array) -> Array:
        edges = self._edges()[None, :]
        beyond = ndtr((mean[:, None] - edges) / sd[:, None])
        if self.two_sided:
            beyond = beyond + ndtr((-edges - mean[:, None]) / sd[:, None])
        return np.asarray(beyond)
