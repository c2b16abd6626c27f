"""The axis of mu given tau: uniform, or fine about the studies and about the prior, and logarithmic far out."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bayesmeta.values import Array

# Newton's steps are that many at most; they end where they are as small as rounding.
NEWTON_STEPS, CONVERGED = 100, 1e-15


class Axis(Protocol):
    """Maps a uniform grid of u to mu; u is 0 at the centre. All arrays broadcast."""

    def mu(self, u: Array, center: Array, scale: Array) -> Array:
        """Return the mu of each u."""
        ...

    def u(self, mu: Array, center: Array, scale: Array) -> Array:
        """Return the u of each mu."""
        ...

    def slope(self, mu: Array, center: Array, scale: Array) -> Array:
        """Return dmu/du at each mu."""
        ...


@dataclass(frozen=True, slots=True)
class Uniform:
    """``mu = center + scale * u``."""

    def mu(self, u: Array, center: Array, scale: Array) -> Array:
        """Return the mu of each u."""
        return np.asarray(center + scale * u)

    def u(self, mu: Array, center: Array, scale: Array) -> Array:
        """Return the u of each mu."""
        return np.asarray((mu - center) / scale)

    def slope(self, mu: Array, center: Array, scale: Array) -> Array:
        """Return dmu/du at each mu."""
        return np.broadcast_to(scale, np.broadcast_shapes(mu.shape, scale.shape))


@dataclass(frozen=True, slots=True)
class Stretched:
    r""":math:`u = \mathrm{asinh}((\mu - c) / s) + \mathrm{asinh}((\mu - c_0) / s_0)`, up to a constant.

    Under a heavy-tailed prior mu can lie within a bell as wide as tau that has a peak as narrow as the prior. About
    either place nodes lie as close as features there are narrow, and far out their distances grow.

    Parameters
    ----------
    place, width
        Of the prior: :math:`c_0` and :math:`s_0`; a prior that is flat has an infinite width, and takes no nodes.
    """

    place: float
    width: float

    def mu(self, u: Array, center: Array, scale: Array) -> Array:
        """Return the mu of each u, by Newton's method or halving a bracket."""
        u, center, scale = np.broadcast_arrays(u, center, scale)
        low, high = np.minimum(u, 0.0), np.maximum(u, 0.0)
        # Rounding may put an end of the bracket beyond the root, by much less than this.
        w, beyond, before = 0.5 * u, 1e-12 * np.abs(u), np.full(u.shape, np.inf)
        for _ in range(NEWTON_STEPS):
            mu = center + scale * np.sinh(w)
            excess = self.u(mu, center, scale) - u
            low, high = np.where(excess < 0.0, w, low), np.where(excess > 0.0, w, high)
            new = w - excess * self.slope(mu, center, scale) / (scale * np.cosh(w))
            # Between two steep places Newton's steps can go back and forth.
            better = (np.abs(excess) < 0.5 * before) | (np.abs(excess) <= beyond)
            better &= (new >= low - beyond) & (new <= high + beyond)
            new, before = np.where(better, new, 0.5 * (low + high)), np.abs(excess)
            moved, w = np.abs(new - w), new
            if np.all(moved <= CONVERGED * np.abs(u)):
                break
        return np.asarray(center + scale * np.sinh(w))

    def u(self, mu: Array, center: Array, scale: Array) -> Array:
        """Return the u of each mu."""
        prior = np.arcsinh((mu - self.place) / self.width) - np.arcsinh((center - self.place) / self.width)
        return np.asarray(np.arcsinh((mu - center) / scale) + prior)

    def slope(self, mu: Array, center: Array, scale: Array) -> Array:
        """Return dmu/du at each mu."""
        return np.asarray(1.0 / (1.0 / np.hypot(mu - center, scale) + 1.0 / np.hypot(mu - self.place, self.width)))
