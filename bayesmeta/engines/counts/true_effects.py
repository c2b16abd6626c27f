"""From (mu, tau) to a true effect: averages over the random effect, row by row of a plane."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bayesmeta.engines.counts.grid.integrand import LogAverage, averaged_where
from bayesmeta.engines.counts.grid.mu_axis import Uniform
from bayesmeta.engines.counts.grid.mu_tau_grid import Plane
from bayesmeta.engines.counts.grid.search import STEP
from bayesmeta.engines.counts.random_effect_density import Kernel
from bayesmeta.engines.counts.row_splines import Index, RowSplines, band_limited, oversampled, through
from bayesmeta.engines.counts.true_effects_tables import FINER, ConvolvedRows, Values, convolved, tabulated
from bayesmeta.likelihoods.cut_normal import log_mass
from bayesmeta.values import Array

# Rows share nodes where the numbers of them that they need differ by no more than this factor.
ALIKE = 1.4
# A row's effects are averaged by nodes of their own as far as its posterior of mu is more than exp(-NOTHING) of its
# peak; its bulk, which nodes far away must resolve so well, is what is more than exp(-BULK).
NOTHING, BULK = 41.0, 4.0
# From farther away the grid itself is summed over; nodes this close to the effect, in steps, have next to no mass
# there.
CLOSE = 3.0
# Where the posterior of mu is less than this beside its row's peak its interpolant is rounding.
REAL = 1e-14
# Nodes with less probability than this are left out.
NO_MASS = 1e-22
# Nodes about the effect are for random effects no wider than this, in widths of what is averaged: Gauss-Hermite rules
# of hundreds of nodes overflow.
NARROW = 3.0
# On a stretched axis tau can be much wider than the distances of some nodes and narrower than those of others, far out.
# Effects within so many tau of the former are averaged over nodes of the row, others over nodes about the effect; the
# former are those closer to each other than suits nodes about an effect with this ratio.
ZONE, LOCAL = 9.0, 1.0
# Nodes where the density is below exp(-FAINT) of the row's peak need not resolve the random effect.
FAINT = 35.0
CHUNK = 100_000
EVERYWHERE = (-math.inf, math.inf)
# Cost of looking up the posterior of mu and a study's averaged likelihood, in densities of the normal.
LOOK_UP = 16.0
# A finer grid of more nodes than this takes too long to make, for its cost grows with their number squared.
LARGEST = 4_000


@dataclass(frozen=True, slots=True, eq=False)
class _Zone:
    """Nodes of one row, for effects between two ends.

    Parameters
    ----------
    row
        Of the plane.
    ends
        Of the effects.
    mu, value
        ``(n,)`` nodes, and what each adds to the density per unit of the kernel's.
    """

    row: int
    ends: tuple[float, float]
    mu: Array
    value: Array

    def holds(self, x: Array) -> NDArray[np.bool_]:
        """Return which effects lie between the ends."""
        return np.asarray((x >= self.ends[0]) & (x <= self.ends[1]))


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
    zones: list[_Zone] = field(init=False)
    narrow: Index = field(init=False)
    ratio: Array = field(init=False)
    groups: list[Index] = field(init=False)
    span: Array = field(init=False)
    away: Array = field(init=False)
    peak: Array = field(init=False)
    value: Array = field(init=False)
    mass_of: RowSplines | None = field(init=False)
    own_of: RowSplines | None = field(init=False)
    tables: ConvolvedRows | None = field(init=False)

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
        direct, zoned, nodes = self._ways(times, kept, np.array([ratio, away, reach]))
        ratio[zoned], nodes[zoned] = LOCAL, self.kernel.number(LOCAL)
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
        put("zones", [self._zone(int(row), counts[row]) for row in np.flatnonzero(zoned)])
        put("narrow", narrow)
        put("ratio", ratio[narrow])
        put("groups", list(_similar(nodes[narrow])))
        put("span", span[:, narrow])
        put("away", away[narrow])
        put("peak", plane.mass[narrow].max(axis=1))
        masses = np.exp(log_value[narrow] - top)
        put("value", masses / plane.tau[narrow, None])
        put("mass_of", band_limited(plane.mass[narrow], plane.u) if narrow.size and not self._tabulates else None)
        put(
            "own_of",
            through(log_own[narrow], plane.u) if narrow.size and self.own is not None and not self._tabulates else None,
        )
        put("tables", self._tables(masses) if narrow.size and self._tabulates else None)

    def _ways(
        self, times: Array, kept: NDArray[np.bool_], given: Array
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Index]:
        """Return how each row is averaged: over its own nodes, or finer ones; in zones; how many nodes of its own.

        Parameters
        ----------
        times
            ``(T,)`` how many times finer a grid of mu would serve the random effects.
        kept
            ``(T,)`` whether a row has any weight.
        given
            ``(3, T)`` ratio, distance and reach that the number of nodes depends on.
        """
        direct, zoned, nodes = times <= 1.0, np.zeros(len(times), dtype=np.bool_), np.zeros(len(times), dtype=np.intp)
        for row in np.flatnonzero(kept & ~direct).tolist():
            ratio, away, reach = given[:, row].tolist()
            nodes[row] = self.kernel.number(min(ratio, NARROW), away, reach)
            fine = times[row] * len(self.plane.u)
            cheap = not self._tabulates and fine <= LARGEST and fine * self.kernel.cost <= LOOK_UP * nodes[row]
            wide = not cheap and ratio > NARROW
            zoned[row] = wide and not isinstance(self.plane.axis, Uniform) and math.isinf(self.kernel.df)
            direct[row] = cheap or (wide and not zoned[row])
        return direct, zoned, nodes

    @property
    def _tabulates(self) -> bool:
        """Whether narrow rows are tabulated: their grids of mu are uniform, and beyond these t effects are smooth."""
        return isinstance(self.plane.axis, Uniform) and not math.isinf(self.kernel.df) and self.limits is None

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

    def _zone(self, row: int, counts: NDArray[np.bool_]) -> _Zone:
        """Return the nodes for effects near those of a row's own nodes that are closer to each other than tau."""
        plane, tau = self.plane, float(self.plane.tau[row])
        mu, pad = plane.mu[row], ZONE * tau
        spacing = plane.step * plane.axis.slope(mu, plane.center[row], plane.scale[row])
        close = mu[spacing < STEP / LOCAL * tau]
        ends = float(close.min()) - pad, float(close.max()) + pad
        within = ends[0] - pad, ends[1] + pad
        largest = float(spacing[counts & (mu >= within[0]) & (mu <= within[1])].max(initial=0.0))
        times = max(1, math.ceil(self.kernel.wide(plane.step) * largest / plane.step / tau))
        nodes, _, log_weight = self._finer_nodes(np.array([row]), times, within)
        return _Zone(row, ends, nodes, np.exp(log_weight - self.top) / tau)

    def _finer_nodes(
        self, rows: Index, times: int, within: tuple[float, float] = EVERYWHERE
    ) -> tuple[Array, Array, Array]:
        """Return mu, tau and log weight of the nodes of some rows on a grid of mu that many times finer."""
        plane, tau = self.plane, self.plane.tau[rows]
        fine, mass = oversampled(plane.mass[rows], plane.u, times)
        mass /= times
        mu = plane.axis.mu(fine, plane.center[rows, None], plane.scale[rows, None])
        near = (mu >= within[0]) & (mu <= within[1])
        used = (mass > NO_MASS) & near
        spread = np.broadcast_to(tau[:, None], mass.shape)[used]
        return mu[used], spread, np.log(mass[used]) - self._log_own(mu, tau, (mass > 0.0) & near)[used]

    def _tables(self, masses: Array) -> ConvolvedRows:
        """Return the narrow rows averaged over the random effect; `masses` are those of the plane's own nodes."""
        plane, rows = self.plane, self.narrow
        fine, value = oversampled(plane.mass[rows], plane.u, FINER)
        real = value > REAL * self.peak[:, None]
        # A spline through the likelihood on the plane's grid errs by 1e-9 where its tail begins: it is made anew.
        mu = plane.axis.mu(fine, plane.center[rows, None], plane.scale[rows, None])
        log_own = self._log_own(mu, plane.tau[rows], real)
        value *= np.exp(np.where(real, -log_own - self.top, 0.0))
        value = np.where(real, value, 0.0) / (plane.step * plane.scale[rows, None])
        average, unit = np.empty_like(value), FINER * plane.tau[rows] / (plane.step * plane.scale[rows])
        for members in self.groups:
            average[members] = convolved(value[members], unit[members], *self._nodes_of(members))
        values = Values(plane.u, plane.center[rows], plane.scale[rows], plane.tau[rows], self.kernel, masses, self.span)
        return tabulated(values.within(), average, fine, None if self.own is None else log_own)

    def _nodes_of(self, members: Index) -> tuple[Array, Array]:
        """Return nodes and weights that average over the random effect of some narrow rows."""
        low, high = self.span[:, members]
        reach = float(((high - low) / self.plane.tau[self.narrow[members]]).max())
        return self.kernel.nodes(float(self.ratio[members].max()), float(self.away[members].max()), reach)

    def density(self, x: Array) -> Array:
        """Return ``sum_t integral p(mu, tau_t) / own(mu, tau_t) p(x | mu, tau_t) dmu`` at each x, up to a constant."""
        out = self._summed(x)
        if self.tables is not None:
            return out + self.tables.density(x)
        for zone in self.zones:
            near = zone.holds(x)
            out[near] += self.kernel.density((x[near, None] - zone.mu) / self.plane.tau[zone.row]) @ zone.value
        for members in self.groups:
            out += self._narrow(x, members)
        return out

    def _summed(self, x: Array) -> Array:
        """Return the part of the rows whose grid resolves the random effect."""
        mu, tau, value = self.direct
        out, inverse = np.empty(len(x)), 1.0 / tau
        size = max(1, CHUNK // max(1, len(mu)))
        for start in range(0, len(x), size):
            z = x[start : start + size, None] - mu
            z *= inverse
            out[start : start + size] = self.kernel.density(z) @ value
        return out

    def _narrow(self, x: Array, members: Index) -> Array:
        """Return the part of some of the narrow rows, which share the nodes that average over the random effect."""
        at, (low, high), tau = self.plane, self.span[:, members], self.plane.tau[self.narrow[members]]
        z, w = self._nodes_of(members)
        normal = math.isinf(self.kernel.df)
        # Far from a row's mass a normal is nothing, and a t distribution so smooth that the grid resolves it.
        pad = float(z[-1]) * tau if normal else 0.0
        near = (x[:, None] >= low - pad) & (x[:, None] <= high + pad)
        for zone in self.zones:
            near[:, self.narrow[members] == zone.row] &= ~zone.holds(x)[:, None]
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
        real = (value > REAL * self.peak[members][:, None]) & (u >= plane.u[0]) & (u <= plane.u[-1])
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
