"""From (mu, tau) to a true effect: averages over the random effect, row by row of a plane."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from bayesmeta.engines.plane import Plane
from bayesmeta.marginals.sinc import sinc_basis
from bayesmeta.values import Array

# Spacing of the nodes that average over a t distribution.
T_STEP = 0.15
CHUNK = 1_000_000


@lru_cache
def _hermite(n: int) -> tuple[Array, Array]:
    z, w = np.polynomial.hermite_e.hermegauss(n)
    return np.asarray(z), np.asarray(w / w.sum())


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
            # The error of n nodes is about (ratio^2 / (1 + ratio^2))^n.
            # Written without the ratio's square, which underflows where tau is next to nothing.
            return _hermite(2 + int(np.ceil(15.0 / (np.log(np.hypot(1.0, ratio)) - np.log(ratio)))))
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
    """

    plane: Plane
    log_own: Array
    kernel: Kernel

    def density(self, x: Array) -> Array:
        """Return ``sum_t integral p(mu, tau_t) / own(mu, tau_t) p(x | mu, tau_t) dmu`` at each x, up to a constant."""
        plane = self.plane
        wide = plane.tau >= self.kernel.wide(plane.step) * plane.scale
        out = self._wide(x, wide)
        weight = plane.weight
        for t in np.flatnonzero(~wide & (weight > 1e-15)):
            out += self._narrow(x, int(t))
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

    def _narrow(self, x: Array, t: int) -> Array:
        plane = self.plane
        z, w = self.kernel.nodes(float(plane.tau[t] / plane.scale[t]))
        at = (x[:, None] - plane.tau[t] * z - plane.center[t]) / plane.scale[t]
        out = np.zeros(len(x))
        inside = np.flatnonzero(((at < plane.u[-1]) & (at > plane.u[0])).any(axis=1))
        own = make_interp_spline(plane.u, self.log_own[t], k=7)
        ends, peak = (plane.u[0], plane.u[-1]), plane.mass[t].max()
        size = max(1, CHUNK // (len(z) * len(plane.u)))
        for start in range(0, len(inside), size):
            rows = inside[start : start + size]
            basis = sinc_basis(at[rows] / plane.step, plane.m)
            mass = np.maximum(basis @ plane.mass[t], 0.0)
            # Where the posterior of mu is negligible its interpolant is rounding, which division would blow up.
            real = (mass > 1e-16 * peak) & (at[rows] >= plane.u[0]) & (at[rows] <= plane.u[-1])
            ratio = np.where(real, mass, 0.0) * np.exp(np.where(real, -own(np.clip(at[rows], *ends)), 0.0))
            out[rows] = ratio @ w / (plane.step * plane.scale[t])
        return out
