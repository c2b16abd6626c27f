"""From (mu, tau) to a true effect: averages over the random effect, row by row of a plane."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bayesmeta.engines.exact.hermite import exponent, hermite
from bayesmeta.engines.exact.plane import Plane
from bayesmeta.engines.exact.row_splines import Index, RowSplines, band_limited, through
from bayesmeta.truncated import log_mass
from bayesmeta.values import Array

# Rows share nodes where the numbers of them that they need differ by no more than this factor.
ALIKE = 1.4
# Spacing of the nodes that average over a t distribution.
T_STEP = 0.15
CHUNK = 100_000


@dataclass(frozen=True, slots=True)
class Kernel:
    """The distribution of ``z = (theta - mu) / tau``: Student-t, or normal where `df` is infinite."""

    df: float = math.inf

    def wide(self, step: float) -> float:
        """Return the ratio of tau to the grid's unit from which on the grid itself resolves the kernel."""
        # Aliasing errs by exp(-(2 pi / step)^2 r^2 / (1 + r^2) / 2) for the normal, and by
        # exp(-2 pi r sqrt(df) / step) for the t, which has poles.
        return 1.45 * step if math.isinf(self.df) else 4.2 * step / math.sqrt(self.df)

    def density(self, z: Array) -> Array:
        """Return the density, overwriting `z`."""
        z *= z
        if math.isinf(self.df):
            z *= -0.5
            return np.asarray(np.exp(z, out=z) / math.sqrt(2.0 * math.pi))
        z /= self.df
        log = -0.5 * (self.df + 1.0) * np.log1p(z, out=z)
        constant = math.lgamma(0.5 * (self.df + 1.0)) - math.lgamma(0.5 * self.df) - 0.5 * math.log(self.df * math.pi)
        return np.asarray(np.exp(log + constant))

    def nodes(self, ratio: float) -> tuple[Array, Array]:
        """Return nodes and weights that average a function as smooth as a normal `1 / ratio` times as wide."""
        if math.isinf(self.df):
            return hermite(2 + math.ceil(exponent(ratio)))
        # With z = sqrt(df) sinh(v) the t density becomes cosh(v)^-df, which the trapezoidal rule sums exactly.
        step = min(T_STEP, 0.5 / math.sqrt(self.df))
        half = math.ceil((math.log(2.0) + 34.0 / self.df + math.sqrt(68.0 / self.df)) / step)
        v = step * np.arange(-half, half + 1)
        weight = np.cosh(v) ** -self.df
        return math.sqrt(self.df) * np.sinh(v), weight / weight.sum()


@dataclass(frozen=True, slots=True, eq=False)
class Smoother:
    """The posterior of mu averaged over a new or a known study's random effect.

    Parameters
    ----------
    plane
        The joint posterior of mu and tau.
    log_own
        ``(T, M)`` averaged log likelihood of the study, which is divided out of the posterior because
        the study's likelihood at theta itself takes its place; zeros for a new study.
    limits
        Ends of what a new study's effect can be; `log_own` is then the log of the probability between them.
    """

    plane: Plane
    log_own: Array
    kernel: Kernel
    limits: tuple[float, float] | None = None

    wide: NDArray[np.bool_] = field(init=False)
    narrow: Index = field(init=False)
    groups: list[Index] = field(init=False)
    splines: tuple[RowSplines, RowSplines] | None = field(init=False)

    def __post_init__(self) -> None:
        plane, own = self.plane, self.log_own
        wide = plane.tau >= self.kernel.wide(plane.step) * plane.scale
        narrow = np.flatnonzero(~wide & (plane.weight > 1e-15))
        put = partial(object.__setattr__, self)
        put("wide", wide)
        put("narrow", narrow)
        put("groups", list(_similar(np.array([len(self.kernel.nodes(self._ratio(t))[0]) for t in narrow.tolist()]))))
        known = (band_limited(plane.mass[narrow], plane.u), through(own[narrow], plane.u)) if narrow.size else None
        put("splines", known)

    def _ratio(self, row: int) -> float:
        return float(self.plane.tau[row] / self.plane.scale[row])

    def density(self, x: Array) -> Array:
        """Return ``sum_t integral p(mu, tau_t) / own(mu, tau_t) p(x | mu, tau_t) dmu`` at each x, up to a constant."""
        out = self._wide(x, self.wide)
        for members in self.groups:
            out += self._narrow(x, members)
        return out

    def _wide(self, x: Array, rows: NDArray[np.bool_]) -> Array:
        plane = self.plane
        mu, tau = plane.mu[rows], np.broadcast_to(plane.tau[:, None], plane.mass.shape)[rows]
        mass = plane.mass[rows]
        used = mass > 1e-22
        mu, tau = mu[used], tau[used]
        value = mass[used] * np.exp(-self.log_own[rows][used]) / tau
        out = np.empty(len(x))
        size = max(1, CHUNK // max(1, len(mu)))
        for start in range(0, len(x), size):
            out[start : start + size] = self.kernel.density((x[start : start + size, None] - mu) / tau) @ value
        return out

    def _narrow(self, x: Array, members: Index) -> Array:
        """Return the part of some of the narrow rows, which share the nodes that average over the random effect."""
        assert self.splines is not None
        mass, own = self.splines
        plane, rows, out = self.plane, self.narrow[members], np.empty(len(x))
        center, scale = plane.center[rows], plane.scale[rows]
        peak, ratio = plane.mass[rows].max(axis=1)[:, None], (plane.tau[rows] / scale)[:, None]
        z, w = self.kernel.nodes(float(ratio.max()))
        divides = bool(self.log_own.any())
        size = max(1, CHUNK // (len(z) * len(members)))
        for start in range(0, len(x), size):
            u = ((x[start : start + size, None] - center) / scale)[:, :, None] - ratio * z
            value = mass(members[:, None], u)
            # Where the posterior of mu is negligible its interpolant is rounding, which division would blow up.
            real = (value > 1e-16 * peak) & (u >= plane.u[0]) & (u <= plane.u[-1])
            if self.limits is not None:
                log_own = log_mass(center[:, None] + scale[:, None] * u, plane.tau[rows][:, None], self.limits)
                value *= np.exp(np.where(real, -log_own, 0.0))
            elif divides:
                value *= np.exp(np.where(real, -own(members[:, None], u), 0.0))
            out[start : start + size] = (np.where(real, value, 0.0) @ w) @ (1.0 / (plane.step * scale))
        return out


def _similar(count: Array) -> Iterator[Index]:
    """Yield the places of numbers of nodes within a factor of each other."""
    order = np.argsort(count, kind="stable")
    while order.size:
        size = int(np.searchsorted(count[order], ALIKE * count[order[0]], side="right"))
        yield order[:size]
        order = order[size:]
