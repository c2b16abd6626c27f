r"""The studies' averaged likelihoods on a whole grid of mu and tau at once.

`convolve` answers for any pair (mu, tau), each with nodes of its own. On a grid most of that work is shared: given
tau, one set of nodes of theta serves every mu and, in groups of similar precision, every study. Then

.. math::
    \bar L_i(\mu_m, \tau) = \sum_j L_i(\theta_j)\, N(\theta_j; \mu_m, \tau^2)\, h

is a product of two matrices, and the costly look-ups of likelihoods no longer multiply with the grid of mu. The
trapezoidal rule converges geometrically (Trefethen & Weideman 2014, SIAM Review 56:385-458). Where tau is so small
that this takes more nodes than Gauss-Hermite rules about every mu, those are used; and `convolve` where a study
contradicts the others so much that the products underflow.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil, pi, sqrt

import numpy as np

from bayesmeta.engines.axes.hermite import exponent, hermite
from bayesmeta.engines.counts import average_laplace as convolve
from bayesmeta.engines.counts.loglik_between_limits import Bounded
from bayesmeta.engines.counts.loglik_tables import Curves
from bayesmeta.values import Array

# Spacing of the nodes, in widths of the sharpest integrand of a group: its error is exp(-2 pi^2 / STEP^2) = 4e-43
# for a Gaussian of just that width, and still 1e-13 for one whose curvature is four times what was allowed for.
STEP = 0.45
# A likelihood's curvature counts where it is within this of its maximum (log scale).
NEAR = 6.0
# A logistic curve's curvature changes over 1.4 units, and its poles at 3.1 ask for steps of 0.5: STEP times this.
CHANGE = 0.8
# Studies share nodes when their sharpest widths differ by no more than this factor.
SIMILAR = 3.0
# A Gaussian has fallen by this (log scale) at `convolve.REACH` standard deviations.
FALL = 34.0
# Sums smaller than this beside their largest possible term may have lost digits to underflow.
UNDERFLOW = 1e-250
# Gauss-Hermite rules are used up to this ratio of tau to a likelihood's width, and this slope of it in units of tau.
NARROW, STEEP = 0.8, 2.0
# Nodes of theta this much closer than a likelihood is wide could not be told apart.
TINY = 1e-6
# Spacings grow from this many widths of the integrand on.
UNITS = 15.0
# Costs of an exponential and of a look-up with its exponential, relatively.
EXP, LOOK = 1.0, 6.0
# A group that needs more nodes than this lies too far apart, and its studies are averaged one by one.
APART = 1_500
# Columns of mu that together need more nodes than this, and lie over more than so many tau, are worked on in halves:
# most nodes are nothing to most of them.
FAR_APART, SPLIT = 1_000, 20.0
# Columns that lie this many tau from each other have no nodes in common.
ALONE = 10.0
# One study's sum over more nodes than this costs more than going about its mode for every pair.
MANY = 10_000
# Nodes over less than this (in u) belong to a mu so many tau away that rounding moves them.
BLURRED = 1e-11
# Rows of the grid are worked on together where tau differs by no more than this factor.
ALIKE = 3.0
# Elements of a table worked on at once: they stay in the processor's cache.
CHUNK = 60_000
ROWS = 16


def total(curves: Curves | Bounded, mu: Array, tau: Array, fine: float = 1.0) -> Array:
    """Return the sum over studies of the logs of their likelihoods averaged over ``theta ~ N(mu, tau^2)``.

    Parameters
    ----------
    curves
        The log likelihoods.
    mu
        ``(T, M)``, a row for each tau.
    tau
        ``(T,)``, all > 0.
    fine
        Every spacing is multiplied by this: halve it to see whether the answer stands still.

    Returns
    -------
    ``(T, M)``
    """
    tau = np.maximum(tau, convolve.LEAST_TAU)
    out = np.zeros(mu.shape)
    for studies, sharpest in _groups(curves):
        group = _Group(studies, sharpest, *_reach(studies, mu, tau))
        for block in alike(tau, max(1, min(ROWS, CHUNK // (8 * len(studies.center) * mu.shape[1])))):
            out[block] += _block(group.rows(block), mu[block], tau[block], fine)
    return out


def alike(tau: Array, most: int) -> Iterator[slice]:
    """Yield runs of at most so many rows whose values of tau can share a rule."""
    start = 0
    for row in range(1, len(tau) + 1):
        if row == len(tau) or row - start == most or not 1.0 / ALIKE < tau[row] / tau[start] < ALIKE:
            yield slice(start, row)
            start = row


def sharpest_width(curves: Curves | Bounded) -> Array:
    """Return ``(k,)`` the width of the narrowest feature of each likelihood where it is not far below its peak.

    That is what its largest curvature implies, or the length over which its curvature changes, if that is shorter:
    the edge of a plateau is as wide as it is however low the plateau.
    """
    z = np.sinh(np.linspace(-4.4, 4.4, 177))
    theta = curves.center[:, None] + curves.scale[:, None] * z
    value, bend = curves(theta), -curves.derivatives(theta)[1]
    near = value > value.max(axis=1)[:, None] - NEAR
    change = np.gradient(np.gradient(bend, z, axis=1), z, axis=1) / curves.scale[:, None] ** 2
    steepest, fastest = (np.max(np.where(near, np.abs(a), 0.0), axis=1) for a in (bend, change))
    largest = np.maximum(steepest, 1e-6 / curves.scale**2)
    return np.asarray(np.minimum(1.0 / np.sqrt(largest), CHANGE * np.sqrt(largest / np.maximum(fastest, 1e-300))))


def _groups(curves: Curves | Bounded) -> Iterator[tuple[Curves | Bounded, float]]:
    """Yield studies of similar precision, and the sharpest width among them."""
    width = sharpest_width(curves)
    order = np.argsort(width)
    while order.size:
        size = int(np.searchsorted(width[order], SIMILAR * width[order[0]], side="right"))
        yield curves.take(order[:size]), float(width[order[0]])
        order = order[size:]


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Studies that share nodes: their sharpest width, and what `_reach` says of each for every row, ``(k, T)``."""

    curves: Curves | Bounded
    sharpest: float
    low: Array
    high: Array
    slope: Array

    def rows(self, block: slice) -> "_Group":
        low, high, slope = (a[:, block] for a in (self.low, self.high, self.slope))
        return replace(self, low=low, high=high, slope=slope)

    def over(self, mu: Array, tau: Array) -> "_Group":
        """Return the group for some columns of mu and all of its rows."""
        return _Group(self.curves, self.sharpest, *_reach(self.curves, mu, tau))

    def one(self, i: int) -> "_Group":
        low, high, slope = (a[i : i + 1] for a in (self.low, self.high, self.slope))
        return _Group(self.curves.one(i), self.sharpest, low, high, slope)


def _block(group: _Group, mu: Array, tau: Array, fine: float) -> Array:
    """Return the sum over a group of studies for a few rows of the grid, by whichever way costs least."""
    curves, sharpest, slope = group.curves, group.sharpest, float(group.slope.max())
    k, columns = len(curves.center), mu.shape[1]
    unit, first, last, count = _span(group, tau, fine)
    shared = count * (k * LOOK + columns * EXP)
    ratio = float(tau.max()) / sharpest
    if ratio < NARROW and slope < STEEP:
        # A slope needs some more.
        points = 2 + ceil((exponent(ratio) + 2.0 * slope**2) / sqrt(fine))
        if ratio < TINY or points * columns * k * LOOK < shared:
            return _narrow(curves, mu, tau, points)
    if count > FAR_APART and columns > 1 and float(np.max(np.ptp(mu, axis=1) / tau)) > SPLIT:
        if float(np.min(np.diff(mu, axis=1) / tau[:, None])) > ALONE:
            return _own(curves, mu, tau, fine)
        halves = slice(None, columns // 2), slice(columns // 2, None)
        return np.concatenate([_block(group.over(mu[:, h], tau), mu[:, h], tau, fine) for h in halves], axis=1)
    if count > APART and k > 1:
        return np.asarray(sum(_block(group.one(i), mu, tau, fine) for i in range(k)))
    if count > MANY or float(np.min(last - first)) < BLURRED:
        return _own(curves, mu, tau, fine)
    u = first[:, None] + ((last - first) / (count - 1))[:, None] * np.arange(count)
    return _shared(curves, mu, tau, _Nodes(_middle(curves), unit, u), fine)


@dataclass(frozen=True, slots=True, eq=False)
class _Nodes:
    """Nodes ``theta = middle + unit * sinh(u)`` for each row, ``(T, J)``; `unit` is ``(T,)``."""

    middle: float
    unit: Array
    u: Array

    @property
    def theta(self) -> Array:
        return np.asarray(self.middle + self.unit[:, None] * np.sinh(self.u))

    @property
    def weight(self) -> Array:
        step = self.u[:, 1] - self.u[:, 0]
        return np.asarray((self.unit * step)[:, None] * np.cosh(self.u))


def _middle(curves: Curves | Bounded) -> float:
    return 0.5 * float(curves.center.min() + curves.center.max())


def _span(group: _Group, tau: Array, fine: float) -> tuple[Array, Array, Array, int]:
    """Return unit, first and last u of the nodes of a row, ``(T,)`` each, and how many it takes.

    About the estimates the spacing follows the sharpest integrand; it grows with the distance from them, where
    likelihoods are flat or next to nothing, up to what tau needs. Among studies that lie far apart it does not grow.
    """
    curves, low, high = group.curves, group.low.min(axis=0), group.high.max(axis=0)
    width = 1.0 / np.hypot(1.0 / tau, 1.0 / group.sharpest)
    middle = _middle(curves)
    about = float(np.max(np.abs(curves.center - middle) + 2.0 * curves.scale))
    reach = np.maximum(high - middle, middle - low)
    # With this many widths to the unit, spacings are at most STEP widths within a unit, and STEP tau at the ends.
    units = np.maximum(np.maximum(UNITS, reach / tau), about / width)
    unit = units * width
    first, last = np.arcsinh((low - middle) / unit), np.arcsinh((high - middle) / unit)
    # More nodes than a billion need not be told apart.
    count = ceil(min(float(np.max((last - first) * units)) / (fine * STEP), 1e9)) + 1
    return unit, first, last, count


def _reach(curves: Curves | Bounded, mu: Array, tau: Array) -> tuple[Array, Array, Array]:
    """Return ends between which each integrand of a row lies, and its steepest slope in units of tau, ``(k, T)``."""
    ends, twice = np.concatenate([mu.min(axis=1), mu.max(axis=1)]), np.tile(tau, 2)
    mode, width = convolve.mode_and_width(curves, ends, twice)

    def log(theta: Array) -> Array:
        return np.asarray(curves(theta) - 0.5 * ((theta - ends) / twice) ** 2)

    # A lopsided integrand falls more slowly on one side than its curvature at the mode says:
    # there it still falls like the random-effects normal.
    peak, rows = log(mode), len(tau)
    low, high = (
        np.where(peak - log(mode + sign * convolve.REACH * width) > FALL, width, np.maximum(width, twice))
        for sign in (-1.0, 1.0)
    )
    first, last = mode - convolve.REACH * low, mode + convolve.REACH * high
    slope = np.abs(curves.derivatives(np.broadcast_to(ends, mode.shape))[0]) * twice
    return first[:, :rows], last[:, rows:], np.maximum(slope[:, :rows], slope[:, rows:])


def _shared(curves: Curves | Bounded, mu: Array, tau: Array, nodes: _Nodes, fine: float) -> Array:
    """Sum over nodes of theta that all mu of a row and all studies of a group share."""
    theta = nodes.theta
    likelihood = np.ascontiguousarray(np.moveaxis(curves(theta[None]), 0, 1))
    likelihood += np.log(nodes.weight)[:, None, :]
    top = likelihood.max(axis=2)
    likelihood -= top[:, :, None]
    np.exp(likelihood, out=likelihood)
    kernel = (theta[:, :, None] - mu[:, None, :]) / tau[:, None, None]
    kernel *= kernel
    kernel *= -0.5
    sums = likelihood @ np.exp(kernel, out=kernel)
    lost = (sums < UNDERFLOW).any(axis=(1, 2))
    with np.errstate(divide="ignore"):
        value = np.log(sums).sum(axis=1) + top.sum(axis=1)[:, None]
    value -= (len(curves.center) * np.log(tau * sqrt(2.0 * pi)))[:, None]
    if lost.any():
        value[lost] = _own(curves, mu[lost], tau[lost], fine)
    return np.asarray(value)


def _narrow(curves: Curves | Bounded, mu: Array, tau: Array, points: int) -> Array:
    """Average over Gauss-Hermite nodes about every mu."""
    z, weight = hermite(points)
    value = curves((mu[:, :, None] + tau[:, None, None] * z)[None])
    top = value.max(axis=3)
    value -= top[:, :, :, None]
    return np.asarray((np.log(np.exp(value, out=value) @ weight) + top).sum(axis=0))


def _own(curves: Curves | Bounded, mu: Array, tau: Array, fine: float) -> Array:
    """Average each study about its own mode for every pair."""
    pairs = convolve.convolve(curves, mu.ravel(), np.repeat(tau, mu.shape[1]), fine * convolve.STEP)
    return np.asarray(pairs.sum(axis=0).reshape(mu.shape))
