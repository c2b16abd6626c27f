"""Rows of a plane averaged over the random effect as tables in theta, each a convolution on one uniform grid."""

from dataclasses import dataclass, replace

import numpy as np

from bayesmeta.engines.counts.random_effect_density import Kernel
from bayesmeta.engines.counts.row_splines import Index, RowSplines, through
from bayesmeta.values import Array

# A density is sampled this much finer than its grid, points 0.105 widths of a Gaussian apart. There a polynomial
# through this many points to either side errs by 1e-15 of its peak, and a spline of this degree by 1e-14.
FINER, HALF, DEGREE = 4, 8, 9
# Elements at a time: of weights, and of densities, which are to stay near the processor.
CHUNK, FAR = 200_000, 30_000


def lagrange(t: Array) -> Array:
    """Return ``(n, 2 * HALF)`` weights of the points ``1 - HALF, ..., HALF`` in the polynomial through them at each t.

    `t` is ``(n,)``, between 0 and 1.
    """
    points = np.arange(1.0 - HALF, HALF + 1.0)
    away = t - points[:, None]
    below, above = np.ones_like(away), np.ones_like(away)
    np.cumprod(away[:-1], axis=0, out=below[1:])
    above[:-1] = np.cumprod(away[:0:-1], axis=0)[::-1]
    gaps = points[:, None] - points
    np.fill_diagonal(gaps, 1.0)
    return np.asarray((below * above / gaps.prod(axis=1)[:, None]).T)


def kernels(shift: Array, w: Array, size: int) -> Array:
    """Return ``(n, 2 * size + 1)`` weights by which neighbours up to `size` steps away enter averages over shifts.

    Parameters
    ----------
    shift
        ``(n, m)`` how far each of n functions is shifted, in steps of the grid, all ``>= 0``; as far again to the other
        side.
    w
        ``(m,)`` weight of a shift to one side.
    size
        Largest distance that is used.
    """
    shift = np.minimum(shift, size + HALF)
    whole = shift.astype(np.intp)
    weight = lagrange(np.asarray(shift - whole).ravel()).reshape(*shift.shape, -1) * w[:, None]
    # Beyond `size` there is room for the points of a polynomial that reaches over it.
    length = 2 * (size + 2 * HALF) + 1
    place = whole[..., None] + np.arange(1 - HALF, HALF + 1) + length // 2
    place += length * np.arange(len(shift))[:, None, None]
    one_side = np.bincount(place.ravel(), weight.ravel(), length * len(shift)).reshape(-1, length)
    return np.asarray(one_side + one_side[:, ::-1])[:, 2 * HALF : length - 2 * HALF]


def convolved(values: Array, unit: Array, z: Array, w: Array) -> Array:
    """Return ``(n, M)`` averages of rows shifted by ``unit * z`` steps of their grid, outside of which they are zero.

    Every product is of a value with a weight that falls as the kernel does, so that an average is as accurate beside
    the values around it as they are, however large the row is elsewhere: a transform would not do that.

    Parameters
    ----------
    values
        ``(n, M)`` on a uniform grid that is fine beside their features.
    unit
        ``(n,)`` steps of the grid in a unit of z.
    z, w
        ``(m,)`` nodes, symmetric about zero, and weights of the random effect.
    """
    m, middle = values.shape[1], len(z) // 2
    z, w = z[middle:], w[middle:].copy()
    w[0] *= 0.5
    out, size = np.empty_like(values), max(1, CHUNK // (2 * HALF * len(z)))
    for start in range(0, len(values), size):
        rows = slice(start, start + size)
        for row, kernel in enumerate(kernels(unit[rows, None] * z, w, m - 1), start):
            out[row] = np.convolve(values[row], kernel, mode="valid")
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """What is averaged over a t distributed random effect: ``n`` rows of values on uniform grids of mu.

    Parameters
    ----------
    u
        ``(M,)`` uniform grid.
    center, scale
        ``(n,)`` place and unit of each row's grid.
    tau
        ``(n,)`` scale of the random effect.
    kernel
        Its distribution.
    value
        ``(n, M)`` masses of the nodes.
    span
        ``(2, n)`` between which values of mu a row counts.
    """

    u: Array
    center: Array
    scale: Array
    tau: Array
    kernel: Kernel
    value: Array
    span: Array

    def within(self) -> "Values":
        """Return the same without the nodes where a row does not count."""
        mu = self.center[:, None] + self.scale[:, None] * self.u
        low, high = self.span
        return replace(self, value=np.where((mu >= low[:, None]) & (mu <= high[:, None]), self.value, 0.0))

    def far(self, x: Array, row: Index) -> Array:
        """Return sums over the grids of the given rows at ``(n,)`` places so far that the grid resolves the effects."""
        z = ((x - self.center[row]) / self.scale[row])[:, None] - self.u
        z *= (self.scale / self.tau)[row][:, None]
        return np.asarray(np.einsum("nm,nm->n", self.kernel.density(z), self.value[row]) / self.tau[row])


@dataclass(frozen=True, slots=True, eq=False)
class ConvolvedRows:
    """Averages of ``n`` rows over the random effect, times the study's own averaged likelihood if there is one.

    The product is what is tabulated, for where the study contradicts the others the averages lie on very different
    scales.

    Parameters
    ----------
    values
        What is averaged.
    product
        Averages times likelihoods, these relative to their largest.
    most
        ``(n,)`` what no average of a row exceeds.
    own, own_top
        Log likelihoods, and ``(n,)`` the largest of them; None if there is none.
    """

    values: Values
    product: RowSplines
    most: Array
    own: RowSplines | None
    own_top: Array

    def near(self, x: Array, row: Index) -> Array:
        """Return the averages of the given rows at ``(n,)`` values of theta on their grids."""
        u = (x - self.values.center[row]) / self.values.scale[row]
        value = np.maximum(self.product(row, u), 0.0)
        if self.own is None:
            return value
        # Where the likelihood is next to nothing the product is rounding, which division would blow up.
        with np.errstate(over="ignore"):
            value *= np.exp(self.own_top[row] - self.own(row, u))
        return np.minimum(value, self.most[row])

    def density(self, x: Array) -> Array:
        """Return the sum of all rows' averages at ``(n,)`` values of theta."""
        low, high = self.values.span
        near = (x[:, None] >= low) & (x[:, None] <= high)
        place, row = np.nonzero(near)
        out = np.zeros(len(x))
        out += np.bincount(place, self.near(x[place], row), len(x))
        # Farther away a t distribution is so smooth that the grid resolves it.
        place, row = np.nonzero(~near)
        size = max(1, FAR // len(self.values.u))
        for start in range(0, len(place), size):
            pairs = slice(start, start + size)
            out += np.bincount(place[pairs], self.values.far(x[place[pairs]], row[pairs]), len(x))
        return out


def tabulated(values: Values, average: Array, fine: Array, log_own: Array | None) -> ConvolvedRows:
    """Return ``(n, M)`` averages on the grid `fine` as tables; `log_own` is the study's log likelihood there."""
    # Between points of so fine a grid it is hardly more than on them.
    most = 2.0 * average.max(axis=1)
    if log_own is None:
        return ConvolvedRows(values, through(average, fine, DEGREE), most, None, np.zeros(len(average)))
    top = log_own.max(axis=1)
    product = through(average * np.exp(log_own - top[:, None]), fine, DEGREE)
    return ConvolvedRows(values, product, most, through(log_own, fine), top)
