"""From (mu, tau) to a true effect: averages over the random effect, row by row of a plane."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bayesmeta.engines.exact.axis import Uniform
from bayesmeta.engines.exact.plane import Plane
from bayesmeta.engines.exact.posed import LogAverage, averaged_where
from bayesmeta.engines.exact.row_splines import Index, RowSplines, band_limited, oversampled, through
from bayesmeta.engines.exact.search import STEP
from bayesmeta.engines.hermite import exponent, hermite
from bayesmeta.errors import ConvergenceError
from bayesmeta.truncated import log_mass
from bayesmeta.values import Array

# Rows share nodes where the numbers of them that they need differ by no more than this factor.
ALIKE = 1.4
# Spacing of the nodes that average over a t distribution, and how far its density is followed (log scale). Out in its
# tail nodes lie as far apart as that part of their distance: there, RESOLVED SDs apart, they average over a normal to
# 1e-12.
T_STEP, T_FALL, RESOLVED = 0.1, 38.0, 0.85
# A row's effects are averaged by nodes of their own as far as its posterior of mu is more than exp(-NOTHING) of its
# peak; its bulk, which nodes far away must resolve so well, is what is more than exp(-BULK).
NOTHING, BULK = 41.0, 4.0
# From farther away the grid itself is summed over; nodes this close to the effect, in steps, have next to no mass
# there.
CLOSE = 3.0
# Nodes with less probability than this are left out.
NO_MASS = 1e-22
# Nodes about the effect are for random effects no wider than this, in widths of what is averaged: Gauss-Hermite rules
# of hundreds of nodes overflow.
NARROW = 3.0
# Nodes where the density is below exp(-FAINT) of the row's peak need not resolve the random effect.
FAINT = 35.0
CHUNK = 100_000
# Nodes to either side of an effect, at most: with more of them a marginal would take minutes.
MOST = 5_000
# Powers of whole degrees of freedom up to this are taken by products.
MOST_PRODUCTS = 12.0
# Cost of looking up the posterior of mu and a study's averaged likelihood, in densities of the normal.
LOOK_UP = 16.0
# A finer grid of more nodes than this takes too long to make, for its cost grows with their number squared.
LARGEST = 4_000


def _root_power(base: Array, n: int) -> Array:
    """Return ``base ** (n / 2)`` by products and one root, several times as fast as a power."""
    out = np.sqrt(base) if n % 2 else np.ones_like(base)
    for _ in range(n // 2):
        out *= base
    return out


@dataclass(frozen=True, slots=True)
class Kernel:
    """The distribution of ``z = (theta - mu) / tau``: Student-t, or normal where `df` is infinite."""

    df: float = math.inf

    def wide(self, step: float) -> float:
        """Return the ratio of tau to the grid's unit from which on the grid itself resolves the kernel."""
        # Aliasing errs by exp(-(2 pi / step)^2 r^2 / (1 + r^2) / 2) for the normal, and by
        # exp(-2 pi r sqrt(df) / step) for the t, which has poles.
        return 1.45 * step if math.isinf(self.df) else 4.8 * step / math.sqrt(self.df)

    @property
    def cost(self) -> float:
        """Cost of a density, in densities of the normal."""
        return 1.0 if math.isinf(self.df) or self.df <= MOST_PRODUCTS else 3.0

    def density(self, z: Array) -> Array:
        """Return the density, overwriting `z`."""
        z *= z
        if math.isinf(self.df):
            z *= -0.5
            return np.asarray(np.exp(z, out=z) / math.sqrt(2.0 * math.pi))
        z /= self.df
        z += 1.0
        constant = math.lgamma(0.5 * (self.df + 1.0)) - math.lgamma(0.5 * self.df) - 0.5 * math.log(self.df * math.pi)
        if self.df.is_integer() and self.df <= MOST_PRODUCTS:
            return np.asarray(math.exp(constant) / _root_power(z, int(self.df) + 1))
        return np.asarray(np.exp(constant - 0.5 * (self.df + 1.0) * np.log(z, out=z)))

    def _spaced(self, away: float, reach: float) -> tuple[float, int]:
        """Return the spacing of a t distribution's nodes in v, and how many lie to either side, as `nodes` says."""
        # With z = sqrt(df) sinh(v) the t density becomes cosh(v)^-df, which the trapezoidal rule sums exactly.
        # Its poles at +-i pi / 2 leave an error of exp(-pi^2 / step).
        step = min(T_STEP, 0.5 / math.sqrt(self.df), RESOLVED / max(away, 1e-300))
        fall = T_FALL / self.df
        last = math.acosh(math.exp(fall)) if fall < 300.0 else math.log(2.0) + fall
        return step, math.ceil(min(last, math.asinh(reach / math.sqrt(self.df)) + step) / step)

    def number(self, ratio: float, away: float = 0.0, reach: float = math.inf) -> int:
        """Return how many `nodes` there are."""
        return 2 + math.ceil(exponent(ratio)) if math.isinf(self.df) else 1 + 2 * self._spaced(away, reach)[1]

    def nodes(self, ratio: float, away: float = 0.0, reach: float = math.inf) -> tuple[Array, Array]:
        """Return nodes and weights that average a function as smooth as a normal `1 / ratio` times as wide.

        For a t distribution the function's bulk may end `away` from the effect, in that normal's SDs, and nodes farther
        than `reach`, in units of tau, are left out.

        Raises
        ------
        ConvergenceError
            If that takes too many.
        """
        if math.isinf(self.df):
            return hermite(self.number(ratio))
        step, count = self._spaced(away, reach)
        if count > MOST:
            raise ConvergenceError(
                "True effects by quadrature: the studies lie too many of their standard errors apart for random "
                f"effects of a t distribution with {self.df:g} degrees of freedom. Use engine='nuts'."
            )
        v = step * np.arange(-count, count + 1)
        constant = math.exp(math.lgamma(0.5 * (self.df + 1.0)) - math.lgamma(0.5 * self.df)) / math.sqrt(math.pi)
        return math.sqrt(self.df) * np.sinh(v), step * constant * np.cosh(v) ** -self.df


@dataclass(frozen=True, slots=True, eq=False)
class Smoother:
    """The posterior of mu averaged over a new or a known study's random effect.

    Parameters
    ----------
    plane
        The joint posterior of mu and tau.
    kernel
        The distribution of the random effect.
    own
        The study's averaged log likelihood, which is divided out of the posterior because the study's likelihood at
        theta itself takes its place; None for a new study.
    limits
        Ends of what a new study's effect can be: the probability between them is divided out.
    """

    plane: Plane
    kernel: Kernel
    own: LogAverage | None = None
    limits: tuple[float, float] | None = None

    top: float = field(init=False)
    direct: tuple[Array, Array, Array] = field(init=False)
    narrow: Index = field(init=False)
    ratio: Array = field(init=False)
    groups: list[Index] = field(init=False)
    span: Array = field(init=False)
    away: Array = field(init=False)
    peak: Array = field(init=False)
    value: Array = field(init=False)
    mass_of: RowSplines | None = field(init=False)
    own_of: RowSplines | None = field(init=False)

    def __post_init__(self) -> None:
        plane = self.plane
        used = plane.mass > NO_MASS
        log_own = self._log_own(plane.mu, plane.tau, plane.mass > 0.0)
        log_value = np.full(used.shape, -np.inf)
        log_value[used] = np.log(plane.mass[used]) - log_own[used]
        counts = used & (log_value > log_value.max(axis=1, keepdims=True) - FAINT)
        least, largest = plane.spacing(counts)
        with np.errstate(divide="ignore"):
            times = np.ceil(self.kernel.wide(plane.step) * largest / plane.step / plane.tau)
        # The grid was made as fine as the posterior of mu asks for: it is as smooth as a normal of this width.
        ratio = plane.tau * STEP / least
        kept = plane.weight > 1e-15
        span, away = _extent(plane, log_value)
        away *= ratio / plane.tau
        reach = (span[1] - span[0]) / plane.tau
        direct, nodes = times <= 1.0, np.zeros(len(times), dtype=np.intp)
        for row in np.flatnonzero(kept & ~direct).tolist():
            nodes[row] = self.kernel.number(float(min(ratio[row], NARROW)), float(away[row]), float(reach[row]))
            fine = times[row] * len(plane.u)
            cheap = fine <= LARGEST and fine * self.kernel.cost <= LOOK_UP * nodes[row]
            direct[row] = cheap or ratio[row] > NARROW
        narrow = np.flatnonzero(kept & ~direct)
        # With the largest ratio at 1 nothing overflows, however much this study contradicts the others.
        top = float(log_value.max())
        put = partial(object.__setattr__, self)
        parts = [self._nodes(np.flatnonzero(direct & (times <= 1.0)), plane.mass, log_own)]
        for n in np.unique(times[direct & (times > 1.0)]):
            parts.append(self._finer_nodes(np.flatnonzero(direct & (times == n)), int(n)))
        mu, tau, log_weight = (np.concatenate(column) for column in zip(*parts, strict=True))
        put("top", top)
        put("direct", (mu, tau, np.exp(log_weight - top) / tau))
        put("narrow", narrow)
        put("ratio", ratio[narrow])
        put("groups", list(_similar(nodes[narrow])))
        put("span", span[:, narrow])
        put("away", away[narrow])
        put("peak", plane.mass[narrow].max(axis=1))
        put("value", np.exp(log_value[narrow] - top) / plane.tau[narrow, None])
        put("mass_of", band_limited(plane.mass[narrow], plane.u) if narrow.size else None)
        put("own_of", through(log_own[narrow], plane.u) if narrow.size and self.own is not None else None)

    def _log_own(self, mu: Array, tau: Array, known: NDArray[np.bool_]) -> Array:
        """Return ``(T, M)`` logs of what is divided out, at least where the posterior is known to be anything.

        That reaches well beyond what is used, so that splines through them do not ring there.
        """
        if self.limits is not None:
            return log_mass(mu, np.broadcast_to(tau[:, None], mu.shape), self.limits)
        if self.own is None:
            return np.zeros(mu.shape)
        return (
            self.own(mu, tau) if isinstance(self.plane.axis, Uniform) else averaged_where(self.own, mu, tau, known, 0.0)
        )

    def _nodes(self, rows: Index, mass: Array, log_own: Array) -> tuple[Array, Array, Array]:
        """Return mu, tau and log weight of some of the plane's own nodes."""
        used = mass[rows] > NO_MASS
        tau = np.broadcast_to(self.plane.tau[rows, None], used.shape)[used]
        return self.plane.mu[rows][used], tau, np.log(mass[rows][used]) - log_own[rows][used]

    def _finer_nodes(self, rows: Index, times: int) -> tuple[Array, Array, Array]:
        """Return mu, tau and log weight of the nodes of some rows on a grid of mu that many times finer."""
        plane, tau = self.plane, self.plane.tau[rows]
        fine, mass = oversampled(plane.mass[rows], plane.u, times)
        mass /= times
        mu = plane.axis.mu(fine, plane.center[rows, None], plane.scale[rows, None])
        used = mass > NO_MASS
        spread = np.broadcast_to(tau[:, None], mass.shape)[used]
        return mu[used], spread, np.log(mass[used]) - self._log_own(mu, tau, mass > 0.0)[used]

    def density(self, x: Array) -> Array:
        """Return ``sum_t integral p(mu, tau_t) / own(mu, tau_t) p(x | mu, tau_t) dmu`` at each x, up to a constant."""
        out = self._summed(x)
        for members in self.groups:
            out += self._narrow(x, members)
        return out

    def _summed(self, x: Array) -> Array:
        """Return the part of the rows whose grid resolves the random effect."""
        mu, tau, value = self.direct
        out = np.empty(len(x))
        size = max(1, CHUNK // max(1, len(mu)))
        for start in range(0, len(x), size):
            out[start : start + size] = self.kernel.density((x[start : start + size, None] - mu) / tau) @ value
        return out

    def _narrow(self, x: Array, members: Index) -> Array:
        """Return the part of some of the narrow rows, which share the nodes that average over the random effect."""
        at, (low, high), tau = self.plane, self.span[:, members], self.plane.tau[self.narrow[members]]
        reach = float(((high - low) / tau).max())
        z, w = self.kernel.nodes(float(self.ratio[members].max()), float(self.away[members].max()), reach)
        normal = math.isinf(self.kernel.df)
        # Far from a row's mass a normal is nothing, and a t distribution so smooth that the grid resolves it.
        pad = float(z[-1]) * tau if normal else 0.0
        near = (x[:, None] >= low - pad) & (x[:, None] <= high + pad)
        out = np.zeros(len(x))
        for which, average, size in ((near, self._near, len(z)), (~near & (not normal), self._far, len(at.u))):
            place, column = np.nonzero(which)
            for start in range(0, len(place), max(1, CHUNK // size)):
                pairs = slice(start, start + max(1, CHUNK // size))
                value = average(x[place[pairs], None], members[column[pairs]], z, w)
                out += np.bincount(place[pairs], value, len(x))
        return out

    def _near(self, x: Array, members: Index, z: Array, w: Array) -> Array:
        """Return ``(n,)`` averages by nodes about ``(n, 1)`` places, of a narrow row each."""
        assert self.mass_of is not None
        plane, rows, member = self.plane, self.narrow[members], members[:, None]
        tau, center, scale = (of[rows][:, None] for of in (plane.tau, plane.center, plane.scale))
        uniform = isinstance(plane.axis, Uniform)
        # On a uniform axis this takes half the time.
        u = (x - center) / scale - tau / scale * z if uniform else plane.axis.u(x - tau * z, center, scale)
        value = self.mass_of(member, u)
        # Where the posterior of mu is negligible its interpolant is rounding, which division would blow up.
        real = (value > 1e-14 * self.peak[members][:, None]) & (u >= plane.u[0]) & (u <= plane.u[-1])
        if self.limits is not None:
            value *= np.exp(np.where(real, -log_mass(x - tau * z, tau, self.limits) - self.top, 0.0))
        elif self.own_of is not None:
            value *= np.exp(np.where(real, -self.own_of(member, u) - self.top, 0.0))
        else:
            value *= math.exp(-self.top)
        if not uniform:
            value *= scale / plane.axis.slope(x - tau * z, center, scale)
        return np.asarray((np.where(real, value, 0.0) @ w) / (plane.step * scale[:, 0]))

    def _far(self, x: Array, members: Index, *_: Array) -> Array:
        """Return ``(n,)`` averages by the plane's own nodes at ``(n, 1)`` places, of a narrow row each."""
        rows, (low, high) = self.narrow[members], self.span[:, members]
        away = x - self.plane.mu[rows]
        # What little mass there is next to a place is none, for the kernel's peak is narrower than the grid.
        beyond = (np.abs(away) < CLOSE * self.plane.step * self.plane.scale[rows, None]) & (
            (self.plane.mu[rows] < low[:, None]) | (self.plane.mu[rows] > high[:, None])
        )
        density = self.kernel.density(away / self.plane.tau[rows, None])
        return np.asarray(np.einsum("nm,nm->n", np.where(beyond, 0.0, density), self.value[members]))


def _extent(plane: Plane, log_value: Array) -> tuple[Array, Array]:
    """Return ``(2, T)`` between which values of mu a row counts, and ``(T,)`` how far from one its bulk may end."""
    mu, top = plane.mu, log_value.max(axis=1, keepdims=True)

    def ends(counts: NDArray[np.bool_]) -> Array:
        return np.stack([np.where(counts, mu, np.inf).min(axis=1), np.where(counts, mu, -np.inf).max(axis=1)])

    mass = plane.mass > math.exp(-NOTHING) * plane.mass.max(axis=1, keepdims=True)
    # A row without mass has no ends.
    known = np.isfinite(top[:, 0])
    low, high = np.where(known, ends(mass | (log_value > top - NOTHING)), 0.0)
    first, last = np.where(known, ends(log_value > top - BULK), 0.0)
    return np.stack([low, high]), np.maximum(high - first, last - low)


def _similar(count: Index) -> Iterator[Index]:
    """Yield the places of numbers of nodes within a factor of each other."""
    order = np.argsort(count, kind="stable")
    while order.size:
        size = int(np.searchsorted(count[order], ALIKE * count[order[0]], side="right"))
        yield order[:size]
        order = order[size:]
