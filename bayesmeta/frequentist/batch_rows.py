"""Rows of studies in normal form, and their weighted moments, for pooling many meta-analyses at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesmeta.errors import DataError
from bayesmeta.values import Array


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows in normal form: most precise study first, effects measured from it, unit near its standard error."""

    y: Array
    v: Array
    on: Array
    k: NDArray[np.intp]
    scale: Array
    shift: Array

    def weights(self, tau2: Array) -> Array:
        """Return ``1 / (v + tau2)``, 0 for absent studies."""
        return self.on / (self.v + tau2[:, None])


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """The weighted mean of each row and the moments built on it; see ``MeanAt``."""

    w: Array
    rest: Array
    total: Array
    mean: Array
    wr: Array
    Q: Array

    @property
    def trace(self) -> Array:
        """``tr P`` of each row."""
        square = np.einsum("ij,ij->i", self.w[:, 1:], self.w[:, 1:])
        return np.asarray(self.w[:, 0] * self.rest / self.total + self.rest - square / self.total)

    @property
    def squared(self) -> Array:
        """``y'PPy`` of each row."""
        return np.asarray(np.einsum("ij,ij->i", self.wr, self.wr))


def moments(rows: Rows, tau2: Array) -> Moments:
    """Return the moments of each row at its tau2."""
    w = rows.weights(tau2)
    rest = w[:, 1:].sum(axis=1)
    total = w[:, 0] + rest
    mean = np.einsum("ij,ij->i", w, rows.y) / total
    residual = rows.y - mean[:, None]
    wr = w * residual
    return Moments(w, rest, total, mean, wr, np.einsum("ij,ij->i", wr, residual))


def matrix(yi: ArrayLike, vi: ArrayLike, group: ArrayLike | None) -> tuple[Array, Array]:
    """Return effects and variances as ``(m, k)`` matrices, NaN where a row has fewer studies."""
    y, v = np.ma.filled(np.ma.asarray(yi, dtype=float), np.nan), np.ma.filled(np.ma.asarray(vi, dtype=float), np.nan)
    if y.shape != v.shape:
        raise DataError(f"yi has shape {y.shape} but vi {v.shape}: give one variance per effect.")
    if group is not None:
        return _grouped(y, v, np.asarray(group))
    if y.ndim != 2:
        raise DataError(f"yi has {y.ndim} dimensions: give a matrix with one meta-analysis a row, or group=[...].")
    return y, v


def _grouped(y: Array, v: Array, group: NDArray[np.intp]) -> tuple[Array, Array]:
    if y.ndim != 1 or group.shape != y.shape or group.dtype.kind not in "iu" or (group < 0).any():
        raise DataError("group needs one integer >= 0 per study, and yi and vi in one dimension.")
    size = np.bincount(group)
    order = np.argsort(group, kind="stable")
    column = np.arange(len(group)) - np.repeat(np.cumsum(size) - size, size)
    Y, V = np.full((len(size), int(size.max())), np.nan), np.full((len(size), int(size.max())), np.nan)
    Y[group[order], column], V[group[order], column] = y[order], v[order]
    return Y, V


def normal_rows(y: Array, v: Array) -> Rows:
    """Return the normal form of each row, or raise a DataError that names row and column."""
    on = np.isfinite(y) & ~np.isnan(v)
    bad = on & ~(np.isfinite(v) & (v > 0))
    if bad.any():
        i, j = (int(x[0]) for x in np.nonzero(bad))
        raise DataError(f"Row {i}, column {j}: vi is {v[i, j]:g}; a sampling variance must be finite and > 0.")
    k = on.sum(axis=1)
    if not k.all():
        raise DataError(f"Row {int(np.flatnonzero(k == 0)[0])} has no studies: remove it.")
    order = np.argsort(np.where(on, v, np.inf), axis=1, kind="stable")
    y, v = np.take_along_axis(y, order, axis=1), np.take_along_axis(v, order, axis=1)
    on = np.take_along_axis(on, order, axis=1)
    scale = np.ldexp(1.0, np.frexp(np.sqrt(v[:, 0]))[1])
    shift = y[:, 0].copy()
    y = np.where(on, (y - shift[:, None]) / scale[:, None], 0.0)
    v = np.where(on, v / scale[:, None] / scale[:, None], 1.0)
    return Rows(y, v, on.astype(float), k, scale, shift)


def take(rows: Rows, which: NDArray[np.bool_] | NDArray[np.intp]) -> Rows:
    """Return some of the rows."""
    return Rows(rows.y[which], rows.v[which], rows.on[which], rows.k[which], rows.scale[which], rows.shift[which])
