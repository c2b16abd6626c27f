"""From (mu, tau) to a true effect: averages over the normal random effect, row by row of a plane."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from bayesmeta.engines.plane import Plane
from bayesmeta.marginals.sinc import sinc_basis
from bayesmeta.values import Array

# From this ratio of tau to the grid's unit on, the trapezoidal rule over the grid resolves the normal kernel
# (aliasing error exp(-(2 pi / step)^2 r^2 / (1 + r^2) / 2) below 1e-12); below it Gauss-Hermite does.
WIDE = 0.6
CHUNK = 1_000_000


@lru_cache
def _hermite(n: int) -> tuple[Array, Array]:
    z, w = np.polynomial.hermite_e.hermegauss(n)
    return np.asarray(z), np.asarray(w / w.sum())


def _normal_nodes(ratio: float) -> tuple[Array, Array]:
    """Return nodes that average a function as smooth as a unit normal over a normal of this much smaller width.

    The error of n nodes is about ``(ratio^2 / (1 + ratio^2))^n``.
    """
    return _hermite(2 + int(np.ceil(30.0 / np.log1p(1.0 / ratio**2))))


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

    def density(self, x: Array) -> Array:
        """Return ``sum_t integral p(mu, tau_t) / own(mu, tau_t) N(x; mu, tau_t^2) dmu`` at each x, up to a constant."""
        plane = self.plane
        wide = plane.tau >= WIDE * plane.scale
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
            z = (x[start : start + size, None] - mu) / tau
            z *= z
            z *= -0.5
            out[start : start + size] = np.exp(z, out=z) @ value
        return np.asarray(out / np.sqrt(2.0 * np.pi))

    def _narrow(self, x: Array, t: int) -> Array:
        plane = self.plane
        z, w = _normal_nodes(float(plane.tau[t] / plane.scale[t]))
        at = (x[:, None] - plane.tau[t] * z - plane.center[t]) / plane.scale[t]
        out = np.zeros(len(x))
        inside = np.flatnonzero((at.min(axis=1) < plane.u[-1]) & (at.max(axis=1) > plane.u[0]))
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
