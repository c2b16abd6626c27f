"""A function with creases averaged over a normal distribution, at many means and one standard deviation."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bayesmeta.engines.axes.hermite import hermite
from bayesmeta.engines.axes.panels import NODES, ORDER, WEIGHTS, Panels
from bayesmeta.engines.counts.kinks.kinked_functions import ABOVE, Pieces, ends_of, series
from bayesmeta.errors import ConvergenceError
from bayesmeta.likelihoods.cut_normal import log_mass_near
from bayesmeta.marginals.axis import from_axis, log_jacobian
from bayesmeta.values import Array

# A smaller tau averages over nothing, and its square, which is needed, would underflow.
LEAST_TAU = 1e-140
# A Gaussian has fallen to 1e-18 of its height at 9 standard deviations.
REACH = 9.0
# A panel is used as it is where it is at most this many standard deviations wide.
FINE = 2.5
# Where panels are this wide, and cuts this far, a function bends so little that a few nodes about the mean average it.
WIDE, AWAY = 8.0, 12.0
# Rise of a log over WIDE standard deviations from which on it is not averaged about the mean.
STEEP = 20.0
# Rise of a log over a panel that its nodes still resolve.
RISE = 16.0
# What is below exp(-40) of the integral does not count.
FALL = 40.0
LARGE, SMALL = 32, 10
# Longest panel of the logistic axis that resolves an exponential, and the shortest one, beside the limits' distance,
# that is not a point.
SHORT, PRESSED = 1.25, 1e-15
DEEP = 1000.0
# So many standard deviations from where a function is known there is nothing of it but what says how little.
NOTHING = 14.0
MAX_PANELS = 20_000
# Elements of a table worked on at once, and of one that is to stay in the processor's cache.
CHUNK, CACHED = 1_000_000, 60_000

type Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Normal:
    """The density of theta about mu, times ``tau sqrt(2 pi)``, relative to that at the possible theta next to mu.

    Parameters
    ----------
    tau
        Standard deviation.
    limits
        Ends of what is possible; for mu beyond them the density itself can be too small for any floating-point number.
    reverse
        Whether the nodes are values of mu, at which a density is known, and the targets of theta.
    """

    tau: float
    limits: tuple[float, float] = (-math.inf, math.inf)
    reverse: bool = False

    def log(self, node: Array, target: Array) -> Array:
        """Return the log of it, for arrays of nodes and targets that broadcast."""
        theta, mu = (target, node) if self.reverse else (node, target)
        near = np.clip(mu, *self.limits)
        value = np.asarray(theta - near)
        if np.array_equal(near, mu):
            value *= value
        else:
            value *= value + 2.0 * (near - mu)
        value *= (-0.5 / self.tau) / self.tau
        return value


def blur(f: Pieces, normal: Normal, at: Array, fine: float = FINE, about: str = "a function") -> Array:
    r"""Return ``(R, n)`` logs of :math:`\int f(x) N(x; \mu, \tau^2) dx`, relative to `Normal`'s unit, at n targets.

    Messages say what the functions are: `about`.

    Raises
    ------
    ConvergenceError
        If the functions vary too much for their size: no panels of a sensible number resolve the integrals.
    """
    normal = replace(normal, tau=max(normal.tau, LEAST_TAU))
    out = np.empty((len(f.log), len(at)))
    calm, still = _calm(f, normal.tau, at)
    inside = (at >= normal.limits[0]) & (at <= normal.limits[1])
    calm &= inside
    for rows, size in ((calm & ~still, LARGE), (calm & still, SMALL)):
        if rows.any():
            out[:, rows] = _about(f, normal.tau, at[rows], size)
    # A mean far beyond a limit leaves only what is next to it.
    with np.errstate(over="ignore"):
        left_over = normal.tau * (normal.tau / np.maximum(np.abs(at - np.clip(at, *normal.limits)), 1e-300))
    pressed = ~inside & (left_over < PRESSED * (normal.limits[1] - normal.limits[0]))
    if pressed.any():
        side = np.where(at[pressed] > 0.5 * sum(normal.limits), -1.0, 1.0)
        place = np.clip(at[pressed], *normal.limits) + side * left_over[pressed]
        out[:, pressed] = f.at(place) + np.log(left_over[pressed] / normal.tau / math.sqrt(2.0 * math.pi))
    point = inside & ~calm & _pointlike(f, normal, at)
    if point.any():
        out[:, point] = f.at(at[point])
        if math.isfinite(normal.limits[0]) and not normal.reverse:
            out[:, point] += log_mass_near(at[point], np.array(normal.tau), normal.limits)
    left, right = ends_of(f.panels)
    far = inside & (np.maximum(left[0] - at, at - right[-1]) > NOTHING * normal.tau)
    if far.any():
        end = np.clip(at[far], left[0], right[-1])
        out[:, far] = f.at(end) + normal.log(end, at[far])
    for rows in (inside & ~calm & ~point & ~far, ~inside & ~pressed):
        if rows.any():
            out[:, rows] = _shared(f, normal, at[rows], fine, about)
    return out


def _calm(f: Pieces, tau: float, mu: Array) -> tuple[Flags, Flags]:
    """Return where the functions bend little within the reach of the normal, and where hardly at all."""
    left, right = ends_of(f.panels)
    width = right - left
    with np.errstate(over="ignore"):
        share = np.minimum(1.0, WIDE * tau / np.maximum(width, 1e-300))
    rise = (f.log.max(axis=2) - f.log.min(axis=2)).max(axis=0) * share
    cuts = np.unique(np.concatenate([f.panels.lower, f.panels.upper, left[:1], right[-1:]]))
    # Where panels were left out the function is not known: as good as a cut.
    holes = np.flatnonzero(left[1:] - right[:-1] > 1e-12 * width[:-1])
    cuts = np.sort(np.concatenate([cuts, right[holes], left[holes + 1]]))
    near = np.clip(np.searchsorted(cuts, mu), 1, len(cuts) - 1)
    away = np.minimum(np.abs(mu - cuts[near - 1]), np.abs(cuts[near] - mu)) / tau
    inside = (mu > left[0]) & (mu < right[-1])
    first, last = (np.clip(np.searchsorted(left, mu + s * REACH * tau, side="right") - 1, 0, None) for s in (-1, 1))
    found = []
    for factor in (1.0, 30.0):
        bad = np.concatenate([[0], np.cumsum((width < factor * WIDE * tau) | (rise > STEEP / factor))])
        found.append(inside & (away >= factor * AWAY) & (bad[last + 1] == bad[first]))
    return found[0], found[1] & found[0]


def _pointlike(f: Pieces, normal: Normal, at: Array) -> Flags:
    """Return where tau is too small for the distances from a cut that doubles and the panels can tell apart."""
    left, right = ends_of(f.panels)
    reach = right[-1] - left[0]
    close = np.min(np.abs(at[:, None] - np.array([left[0], right[-1], *normal.limits])), axis=1) < 1e-11 * reach
    return np.asarray((normal.tau < 1e-21 * reach) | (close & (normal.tau < 1e-13 * reach)))


def _about(f: Pieces, tau: float, mu: Array, size: int) -> Array:
    """Average by Gauss-Hermite nodes about each mean."""
    z, w = hermite(size)
    log_w = np.log(w)
    out = np.empty((len(f.log), len(mu)))
    step = max(1, CHUNK // (len(f.log) * size * ORDER))
    for start in range(0, len(mu), step):
        block = slice(start, start + step)
        values = f.at((mu[block, None] + tau * z).ravel(), -1e300).reshape(len(f.log), -1, size) + log_w
        top = values.max(axis=2)
        out[:, block] = top + np.log(np.exp(values - top[:, :, None]).sum(axis=2))
    return out


def _shared(f: Pieces, normal: Normal, at: Array, fine: float, about: str) -> Array:
    """Average by nodes that all targets share: the panels, cut to the size of tau where they count."""
    parent, u_left, u_right = cut(f, normal, np.sort(at), fine, about)
    x, log, half = subnodes(f, parent, u_left, u_right)
    log = log + np.repeat(np.log(half), ORDER) + np.tile(np.log(WEIGHTS), len(half))
    top = log.max(axis=1, keepdims=True)
    scaled = np.exp(log - top)
    out = np.empty((len(log), len(at)))
    step = max(1, CACHED // len(x))
    for start in range(0, len(at), step):
        block = slice(start, start + step)
        kernel = normal.log(x[:, None], at[block])
        value = scaled @ np.exp(kernel, out=kernel)
        if normal.reverse:
            # Of a density nothing so small is asked.
            out[:, block] = top + np.log(np.maximum(value, 1e-300))
            continue
        with np.errstate(divide="ignore"):
            out[:, block] = top + np.log(value)
        # What underflows is added up on the log scale.
        lost = value < 1e-280
        for column in np.flatnonzero(lost.any(axis=0)):
            rows = lost[:, column]
            term = log[rows] + normal.log(x, at[start + column])
            peak = term.max(axis=1)
            term -= peak[:, None]
            out[rows, start + column] = peak + np.log(np.exp(term, out=term).sum(axis=1))
    return np.asarray(out - math.log(normal.tau * math.sqrt(2.0 * math.pi)))


def subnodes(f: Pieces, parent: NDArray[np.intp], u_left: Array, u_right: Array) -> tuple[Array, Array, Array]:
    """Return the nodes of parts of panels.

    Returns
    -------
    x, log, half
        ``(J,)`` nodes, ``(R, J)`` logs of the functions per unit of the parts' axis, and half the parts' lengths.
    """
    lower, upper = f.panels.lower[parent][:, None], f.panels.upper[parent][:, None]
    half = 0.5 * (u_right - u_left)
    u = u_left[:, None] + half[:, None] * (1.0 + NODES)
    own = 0.5 * (f.panels.right - f.panels.left)[parent][:, None]
    place = np.clip((u - f.panels.left[parent][:, None]) / own - 1.0, -1.0, 1.0)
    log = series(f.coefficients(), np.repeat(parent, ORDER), place.ravel())
    # As in `Pieces.at`: where a log falls by thousands within a panel its series swings.
    log = np.minimum(log, np.repeat(f.finite.max(axis=2)[:, parent] + ABOVE, ORDER, axis=1))
    return from_axis(u, lower, upper).ravel(), log + log_jacobian(u, lower, upper).ravel(), half


def cut(
    f: Pieces, normal: Normal, at: Array, fine: float = FINE, about: str = "a function"
) -> tuple[NDArray[np.intp], Array, Array]:
    """Return the panels that count for any of the sorted targets, cut in halves until they are small beside tau.

    Returns
    -------
    parent, left, right
        Which panel each is part of, and its ends on that panel's axis.

    Raises
    ------
    ConvergenceError
        If there are too many; the message says what the functions are: `about`.
    """
    counts, room = _counting(f, normal, at)
    # What is below exp(-DEEP) of a function's peak is added up as coarsely as it comes.
    top = f.log.max(axis=2)
    shallow = counts & (top >= top.max(axis=1, keepdims=True) - DEEP)[:, None]
    some = shallow.any()
    parent = np.flatnonzero((shallow if some else counts).any(axis=(0, 1)))
    u_left, u_right = f.panels.left[parent], f.panels.right[parent]
    if not some:
        return parent, u_left, u_right
    cutting = _cutting(f, normal, at, shallow, room, fine)
    while True:
        kept, wide = cutting.judge(parent, u_left, u_right)
        parent, u_left, u_right, wide = parent[kept], u_left[kept], u_right[kept], wide[kept]
        if not wide.any():
            return parent, u_left, u_right
        if len(parent) > MAX_PANELS:
            raise ConvergenceError(
                f"Averages of {about} over random effects with tau = {normal.tau:.3g} take more than "
                f"{MAX_PANELS * ORDER} nodes: a study's likelihood is too narrow, or contradicts the others too much. "
                "Use engine='nuts'."
            )
        half = 0.5 * (u_left + u_right)
        parent = np.concatenate([parent, parent[wide]])
        u_left, u_right = (
            np.concatenate([u_left, half[wide]]),
            np.concatenate([np.where(wide, half, u_right), u_right[wide]]),
        )


def _counting(f: Pieces, normal: Normal, at: Array) -> tuple[Flags, Array]:
    """Return ``(R, n, P)`` which panels count for which targets, and down to what fall of the normal's log they do."""
    middle = ORDER // 2
    left, right = ends_of(f.panels)
    near = np.clip(at, *normal.limits)
    highest = normal.log(np.clip(near[:, None], left, right), at[:, None])
    # Where the panel is wide its middle may be far away, but the function is no less than its least on it.
    least = np.maximum(
        f.log[:, None, :, middle] + normal.log(f.x[:, middle], at[:, None]), f.log.min(axis=2)[:, None] + highest
    )
    room = f.log.max(axis=2)[:, None, :] - least.max(axis=2, keepdims=True) + FALL
    return -highest <= room, room


@dataclass(frozen=True, slots=True, eq=False)
class _Cutting:
    """What decides which parts of ``P`` panels count, and which of them are to be cut.

    Parameters
    ----------
    panels
        Whose parts they are.
    near
        ``(n,)`` the possible values next to the sorted targets.
    radius
        ``(P,)`` distance from these at which a panel still counts.
    steep
        ``(P,)`` rise of the logs over a panel.
    pressed, free
        ``(P,)`` where the normal falls exponentially; and where its parts count wherever they are, however wide.
    widest, longest
        Length in x from which on a part is too wide for the normal, and on its panel's axis for an exponential.
    short
        Length in x that no exponential falls over.
    """

    panels: Panels
    near: Array
    radius: Array
    steep: Array
    pressed: Flags
    free: Flags
    widest: float
    longest: float
    short: float

    def judge(self, parent: NDArray[np.intp], u_left: Array, u_right: Array) -> tuple[Flags, Flags]:
        """Return which of some parts count, and which are too large."""
        lower, upper = self.panels.lower[parent], self.panels.upper[parent]
        x_left, x_right = from_axis(u_left, lower, upper), from_axis(u_right, lower, upper)
        free, size = self.free[parent], (self.panels.right - self.panels.left)[parent]
        wide = (x_right - x_left > self.widest) & ~free
        wide |= self.steep[parent] * (u_right - u_left) / size > RISE
        wide |= self.pressed[parent] & (u_right - u_left > self.longest) & (x_right - x_left > self.short)
        return (self._distance(x_left, x_right) <= self.radius[parent]) | free, wide

    def _distance(self, x_left: Array, x_right: Array) -> Array:
        """Return how far parts are from the nearest of the values; at most 0 where they hold one."""
        near = self.near
        place = np.searchsorted(near, x_left)
        after = np.where(place < len(near), near[np.minimum(place, len(near) - 1)] - x_right, np.inf)
        before = np.where(place > 0, x_left - near[np.maximum(place, 1) - 1], np.inf)
        return np.minimum(after, before)


def _cutting(f: Pieces, normal: Normal, at: Array, counts: Flags, room: Array, fine: float) -> _Cutting:
    """Return what decides which parts of panels are to be cut, from what `_counting` says of whole ones."""
    pressed, free, short = _pressed(f, normal, at)
    return _Cutting(
        f.panels,
        np.clip(at, *normal.limits),
        normal.tau * np.sqrt(2.0 * np.where(counts, room, 0.0).max(axis=(0, 1))),
        np.where(counts.any(axis=1), f.log.max(axis=2) - f.log.min(axis=2), 0.0).max(axis=0, initial=0.0),
        pressed,
        free,
        fine * normal.tau,
        SHORT * fine / FINE,
        short,
    )


def _pressed(f: Pieces, normal: Normal, at: Array) -> tuple[Flags, Flags, float]:
    """Return `pressed`, `free` and `short` of `_Cutting`.

    For a mean beyond a limit the density falls exponentially from it, which short panels of its own axis resolve.
    """
    tau, (left, right) = normal.tau, ends_of(f.panels)
    if normal.reverse:
        beyond = (right <= normal.limits[0]) | (left >= normal.limits[1])
        return beyond, beyond, tau / REACH
    farthest = float(np.abs(at - np.clip(at, *normal.limits)).max())
    pressed = np.full(len(left), (at[0] < normal.limits[0]) | (at[-1] > normal.limits[1]))
    return pressed, np.zeros(len(left), dtype=bool), tau * min(tau / max(farthest, 1e-300), 1.0)
