"""The distribution of a study's random effect: its density, and nodes that average over it."""

import math
from dataclasses import dataclass

import numpy as np

from bayesmeta.engines.axes.hermite import exponent, hermite
from bayesmeta.errors import ConvergenceError
from bayesmeta.values import Array

# Spacing of the nodes that average over a t distribution, and how far its density is followed (log scale). Out in its
# tail nodes lie as far apart as that part of their distance: there, RESOLVED SDs apart, they average over a normal to
# 1e-12.
T_STEP, T_FALL, RESOLVED = 0.1, 38.0, 0.85
# Nodes to either side of an effect, at most: with more of them a marginal would take minutes.
MOST = 5_000
# Powers of whole degrees of freedom up to this are taken by products.
MOST_PRODUCTS = 12.0


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
        # exp(-2 pi r sqrt(df) / step) for the t far from it, which has poles. In between neither is enough: with both,
        # the product of the t's characteristic function and a normal's is below 2e-12 whatever df is.
        return math.hypot(1.45, 4.8 / math.sqrt(self.df)) * step

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
        z *= 1.0 / self.df
        z += 1.0
        constant = math.lgamma(0.5 * (self.df + 1.0)) - math.lgamma(0.5 * self.df) - 0.5 * math.log(self.df * math.pi)
        if self.df.is_integer() and self.df <= MOST_PRODUCTS:
            out = _root_power(z, int(self.df) + 1)
            return np.asarray(np.divide(math.exp(constant), out, out=out))
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
                "True effects by quadrature: what the studies, or a wide prior of mu, say lies too many of its widths "
                f"apart for random effects of a t distribution with {self.df:g} degrees of freedom. Use engine='nuts'."
            )
        v = step * np.arange(-count, count + 1)
        constant = math.exp(math.lgamma(0.5 * (self.df + 1.0)) - math.lgamma(0.5 * self.df)) / math.sqrt(math.pi)
        return math.sqrt(self.df) * np.sinh(v), step * constant * np.cosh(v) ** -self.df
