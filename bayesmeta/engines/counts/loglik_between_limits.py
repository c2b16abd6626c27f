"""Likelihoods of an effect that only exists between two limits, such as a risk difference.

They are tabulated in ``xi = artanh((theta - middle) / half)``, in which log likelihoods are straight lines
far out. At the limits they have fallen below exp(-60) of their height, and fall on beyond.
"""

from dataclasses import dataclass, replace

import numpy as np

from bayesmeta.engines.counts import loglik_tables as curves
from bayesmeta.engines.counts.loglik_tables import Curves
from bayesmeta.engines.counts.row_splines import Index
from bayesmeta.model import StudyLikelihoods
from bayesmeta.values import Array

# The table ends where theta is within 1e-4 of its limits, relative to their distance.
REACH = 5.0
# A likelihood must have fallen by this (log scale) at both ends of the table, so that what lies beyond is nothing.
FALL = 60.0

# Slope of the log likelihood beyond: steeper than any density of random effects, whose mass may lie there. Minus
# infinity itself would poison sums in which nothing else counts.
WALL = 1e200

# A likelihood with a kink in the middle never gets smooth; this many cells resolve those that do.
MAX_CELLS = 2**10


@dataclass(frozen=True, slots=True, eq=False)
class Bounded:
    """Log likelihoods of ``k`` studies as functions of theta, falling from next to nothing beyond the limits.

    Parameters
    ----------
    inner
        The same as functions of xi.
    middle, half
        Of the interval in which theta lies.
    center, scale
        ``(k,)`` rough place and width of each likelihood, in theta.
    wall
        Slope of the log likelihoods beyond the limits. Without one they fall there like a normal likelihood: small
        enough for averages that are not divided by the probability between the limits, and smooth.
    """

    inner: Curves
    middle: float
    half: float
    center: Array
    scale: Array
    wall: float = WALL

    def _xi(self, theta: Array) -> Array:
        edge = np.tanh(REACH)
        return np.arctanh(np.clip((theta - self.middle) / self.half, -edge, edge))

    def _outside(self, theta: Array) -> Array:
        return np.asarray(np.abs(theta - self.middle) > self.half * np.tanh(REACH))

    def __call__(self, theta: Array) -> Array:
        """Return the log likelihoods at `theta`, ``(k, ...)``, one row a study."""
        beyond = np.maximum(np.abs(theta - self.middle) - self.half * np.tanh(REACH), 0.0)
        away = beyond / self.scale.reshape((-1,) + (1,) * (theta.ndim - 1))
        return np.asarray(self.inner(self._xi(theta)) - 0.5 * away**2 - self.wall * beyond / self.half)

    def derivatives(self, theta: Array) -> tuple[Array, Array]:
        """Return the first and second derivatives with respect to theta, ``(k, ...)`` each.

        Beyond the limits they are those of a normal likelihood, which lead a search back inside.
        """
        xi = self._xi(theta)
        first, second = self.inner.derivatives(xi)
        slope = np.cosh(xi) ** 2 / self.half
        shape = (-1,) + (1,) * (theta.ndim - 1)
        center, scale = self.center.reshape(shape), self.scale.reshape(shape)
        away = self._outside(theta)
        bend = (second + 2.0 * np.tanh(xi) * first) * slope**2
        return (
            np.where(away, (center - theta) / scale**2, first * slope),
            np.where(away, -1.0 / scale**2, bend),
        )

    def take(self, index: Index) -> "Bounded":
        """Return the tables of the studies at `index` alone."""
        return replace(self, inner=self.inner.take(index), center=self.center[index], scale=self.scale[index])

    def one(self, i: int) -> "Bounded":
        """Return the table of study `i` alone."""
        return self.take(np.array([i]))


def tabulate(likelihoods: StudyLikelihoods, low: Array, high: Array) -> Curves | Bounded:
    """Return the studies' log likelihoods as checked tables, on ``[low, high]`` or on the interval where theta exists.

    Raises
    ------
    RoughError
        If a likelihood is too rough to be represented, or does not vanish at a limit; the message names the study.
    """
    start, end = likelihoods.support
    if np.isinf(start) or np.isinf(end):
        return curves.tabulate(likelihoods, low, high)
    middle, half = 0.5 * (start + end), 0.5 * (end - start)
    center, scale = likelihoods.center, np.where(np.isfinite(likelihoods.scale), likelihoods.scale, half)
    at = (center - middle) / half

    def loglik(xi: Array) -> Array:
        return likelihoods.loglik(middle + half * np.tanh(xi))

    # The widest points of the table, and the study's own.
    fallen = loglik(np.column_stack([np.full_like(at, -REACH), np.arctanh(at), np.full_like(at, REACH)]))
    short = np.flatnonzero((fallen[:, [0, 2]] > fallen[:, [1]] - FALL).any(axis=1))
    if short.size:
        raise curves.RoughError(
            f"Study {likelihoods.study[short[0]]!r}: its data hardly rule out an effect of {start:g} or {end:g}, "
            "where the effect's scale ends. Use engine='nuts'.",
            np.isin(np.arange(len(scale)), short),
        )
    inside = replace(likelihoods, loglik=loglik, center=np.arctanh(at), scale=scale / (half * (1.0 - at**2)))
    reach = np.full(len(at), REACH)
    table = curves.tabulate(inside, -reach, reach, max_cells=MAX_CELLS)
    return Bounded(table, middle, half, center, scale)
