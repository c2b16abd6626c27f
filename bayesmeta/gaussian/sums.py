r"""The numerical heart: ``log |Sigma|`` and ``W' Sigma^-1 W`` at many values of the variance parameters at once.

`kernel` picks the form that suits the structure. Independent rows are sums of quotients. Rows nested in groups take
the Woodbury identity in its within-and-between form, which stays positive definite however large the scales are: within
a group deviations from the weighted mean, between groups those means. Everything else is small dense blocks: of two
rows in closed form, of more by Cholesky's method, all blocks of a size and all values together. With one scale alone
the blocks are diagonal in the coordinates of their generalised eigenvectors, found once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.errors import ConvergenceError
from bayesmeta.gaussian.covariance import Covariance, Index
from bayesmeta.gaussian.statement import Gaussian
from bayesmeta.values import Array

# Doubles held at once by one step: 32 MB.
CHUNK = 4_000_000

type Sums = tuple[Array, Array]


class Kernel(Protocol):
    """Maps ``(n, J)`` scales to ``(n,)`` log determinants and ``(n, q, q)`` products ``W' Sigma^-1 W``."""

    def __call__(self, scales: Array, /) -> Sums: ...


def sums(given: Gaussian, psi: ArrayLike) -> Sums:
    """Return ``log |Sigma|`` and ``[X y]' Sigma^-1 [X y]`` at values of the variance parameters.

    Parameters
    ----------
    given
        The model.
    psi
        ``(n, d)`` values, in the order of `Gaussian.parameters`.

    Returns
    -------
    tuple
        ``(n,)`` and ``(n, p + 1, p + 1)``.
    """
    covariance = Covariance(given)
    columns = np.column_stack([given.X, given.y])
    return kernel(covariance, columns)(covariance.scales(np.atleast_2d(np.asarray(psi, dtype=float))))


def kernel(covariance: Covariance, W: Array) -> Kernel:
    """Return the function of the scales that suits the structure.

    Parameters
    ----------
    W
        ``(n, q)`` columns, e.g. design and effects.
    """
    if covariance.nested is not None:
        return Nested.of(covariance, W)
    return Blocks(tuple(_groups(covariance, W)))


@dataclass(frozen=True, slots=True, eq=False)
class Nested:
    """Rows in groups: ``diag(v) + s_inner I`` within, and ``s_outer`` common to each group.

    Parameters
    ----------
    W
        ``(n, q)`` columns, rows sorted by group.
    v
        ``(n,)`` sampling variances.
    start
        ``(G,)`` first row of each group.
    group
        ``(n,)`` number of each row's group.
    inner, outer
        Places of the scales; -1 where there is none within.
    """

    W: Array
    v: Array
    start: Index
    group: Index
    inner: int
    outer: int

    @classmethod
    def of(cls, covariance: Covariance, W: Array) -> "Nested":
        """Return the kernel of rows nested in groups."""
        assert covariance.nested is not None
        inner, outer = covariance.nested
        level = covariance.loadings[outer].level
        order = np.argsort(level, kind="stable")
        group = level[order]
        start = np.concatenate([[0], np.flatnonzero(np.diff(group)) + 1])
        return cls(W[order], covariance.given.V[order], start, group, inner, outer)

    def __call__(self, scales: Array, /) -> Sums:
        size = self.W.shape[0] * (self.W.shape[1] + 2)
        return _in_chunks(self._some, scales, size)

    def _some(self, scales: Array) -> Sums:
        tau2 = scales[:, self.outer, None]
        within = scales[:, self.inner, None] if self.inner >= 0 else 0.0
        w = 1.0 / (self.v + within)
        w = np.broadcast_to(w, (len(scales), len(self.v)))
        total = np.add.reduceat(w, self.start, axis=1)
        bar = np.add.reduceat(w[:, :, None] * self.W, self.start, axis=1) / total[:, :, None]
        away = self.W - bar[:, self.group]
        shrunk = total / (1.0 + tau2 * total)
        M = np.swapaxes(away * w[:, :, None], 1, 2) @ away + np.swapaxes(bar * shrunk[:, :, None], 1, 2) @ bar
        return np.log1p(tau2 * total).sum(axis=1) - np.log(w).sum(axis=1), M


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """``m`` independent blocks of ``b`` rows each.

    Parameters
    ----------
    W
        ``(m, b, q)`` columns.
    V
        ``(m, b, b)`` sampling covariances.
    B
        ``(J, m, b, b)`` matrices of the scales.
    logdet
        Constant to add to the log determinant.
    """

    W: Array
    V: Array
    B: Array
    logdet: float = 0.0

    @property
    def size(self) -> int:
        """Doubles that one value of the scales takes."""
        return int(self.W.shape[0] * self.W.shape[1] * (2 * self.W.shape[1] + self.W.shape[2]))

    def at(self, scales: Array) -> Sums:
        """Return what the blocks add to the log determinant and the products."""
        b = self.W.shape[1]
        logdet, M = (_single if b == 1 else _double if b == 2 else _cholesky)(self, scales)
        return logdet + self.logdet, M


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Independent blocks, by size."""

    groups: tuple[Group, ...]

    def __call__(self, scales: Array, /) -> Sums:
        parts = [_in_chunks(group.at, scales, group.size) for group in self.groups]
        return sum(part[0] for part in parts), sum(part[1] for part in parts)  # type: ignore[return-value]


def _in_chunks(function: Callable[[Array], Sums], scales: Array, size: int) -> Sums:
    step = max(1, CHUNK // max(size, 1))
    parts = [function(scales[i : i + step]) for i in range(0, len(scales), step)]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _groups(covariance: Covariance, W: Array) -> list[Group]:
    sizes: dict[int, list[Index]] = {}
    for rows in covariance.blocks:
        sizes.setdefault(len(rows), []).append(rows)
    found = []
    for b, blocks in sorted(sizes.items()):
        rows = np.array(blocks)
        group = Group(W[rows], covariance.known(rows), covariance.matrices(rows))
        found.append(_rotated(group) if b > 1 and len(group.B) == 1 else group)
    return found


def _rotated(group: Group) -> Group:
    """Return blocks with one scale as single rows, in the coordinates of their generalised eigenvectors."""
    L = np.linalg.cholesky(group.V)
    half = np.linalg.solve(L, group.B[0])
    eigen, Q = np.linalg.eigh(np.linalg.solve(L, np.swapaxes(half, 1, 2)))
    W = np.swapaxes(Q, 1, 2) @ np.linalg.solve(L, group.W)
    logdet = 2.0 * float(np.log(np.diagonal(L, axis1=1, axis2=2)).sum())
    return Group(
        W.reshape(-1, 1, W.shape[-1]),
        np.ones((eigen.size, 1, 1)),
        np.maximum(eigen, 0.0).reshape(1, -1, 1, 1),
        logdet,
    )


def _products(one: Array, other: Array) -> Array:
    return (one[:, :, None] * other[:, None, :]).reshape(len(one), -1)


def _single(group: Group, scales: Array) -> Sums:
    variance = group.V[:, 0, 0] + scales @ group.B[:, :, 0, 0]
    w, q = group.W[:, 0], group.W.shape[2]
    M = ((1.0 / variance) @ _products(w, w)).reshape(-1, q, q)
    return np.log(variance).sum(axis=1), M


def _double(group: Group, scales: Array) -> Sums:
    first, second, cross = (group.V[:, i, j] + scales @ group.B[:, :, i, j] for i, j in ((0, 0), (1, 1), (0, 1)))
    det = first * second - cross * cross
    one, other, q = group.W[:, 0], group.W[:, 1], group.W.shape[2]
    M = (second / det) @ _products(one, one) + (first / det) @ _products(other, other)
    M = M - (cross / det) @ (_products(one, other) + _products(other, one))
    return np.log(det).sum(axis=1), M.reshape(-1, q, q)


def _cholesky(group: Group, scales: Array) -> Sums:
    L = factor(group.V + np.tensordot(scales, group.B, 1))
    half = np.linalg.solve(L, np.broadcast_to(group.W, (len(scales), *group.W.shape)))
    n, q = len(scales), group.W.shape[2]
    flat = half.reshape(n, -1, q)
    return 2.0 * np.log(np.diagonal(L, axis1=-2, axis2=-1)).sum(axis=(1, 2)), np.swapaxes(flat, 1, 2) @ flat


def factor(Sigma: Array) -> Array:
    """Return the Cholesky factors of covariance matrices.

    Raises
    ------
    ConvergenceError
        If one is not positive definite to within rounding.
    """
    try:
        return np.linalg.cholesky(Sigma)
    except np.linalg.LinAlgError as error:
        raise ConvergenceError(
            "The covariance of some rows is singular to within rounding where random effects are far larger than "
            "standard errors. Use priors of variance parameters with lighter tails, or engine='nuts'."
        ) from error
