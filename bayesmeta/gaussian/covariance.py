r"""Which rows go together, and the matrices that variance parameters are multiplied with.

``Sigma(psi) = V + sum_j s_j(psi) B_j``: one matrix B for each component, whose scale is ``psi_a^2``, and one for each
pair of correlated components, whose scale is ``rho psi_a psi_b``.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bayesmeta.gaussian.statement import Component, Gaussian
from bayesmeta.values import Array

type Index = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Loading:
    """How the random effects of one component enter the rows.

    Parameters
    ----------
    z
        ``(n,)`` multipliers.
    level
        ``(n,)`` number of each row's level.
    names
        Labels of the levels.
    relation
        ``(q, q)`` correlation of the levels; None where they are independent.
    """

    z: Array
    level: Index
    names: tuple[str, ...]
    relation: Array | None

    @classmethod
    def of(cls, component: Component, n: int) -> "Loading":
        """Return the loading of a component in ``n`` rows."""
        names = component.level_names(n)
        place = {name: i for i, name in enumerate(names)}
        level = np.arange(n) if component.levels is None else np.array([place[name] for name in component.levels])
        z = np.ones(n) if component.design is None else np.asarray(component.design, dtype=float)
        return cls(z, level, names, component.relation)

    def between(self, other: "Loading", rows: Index, columns: Index) -> Array:
        """Return how the effects of two loadings go together in some rows, for effects of variance one."""
        i, j = self.level[rows], other.level[columns]
        same = (
            i[..., :, None] == j[..., None, :]
            if self.relation is None
            else self.relation[i[..., :, None], j[..., None, :]]
        )
        return np.asarray(self.z[rows][..., :, None] * other.z[columns][..., None, :] * same)

    def used(self) -> sparse.csr_array:
        """Return an ``(n, q)`` pattern of the levels that enter each row."""
        rows = np.flatnonzero(self.z)
        shape = (len(self.z), len(self.names))
        return sparse.csr_array((np.ones(len(rows)), (rows, self.level[rows])), shape=shape)

    def edges(self, other: "Loading") -> sparse.csr_array:
        """Return an ``(n, n)`` pattern that links rows whose levels are the same, or correlated."""
        Z, Y = self.used(), other.used()
        if self.relation is not None:
            Z = Z @ sparse.csr_array((self.relation != 0.0).astype(float))
        return sparse.csr_array(Z @ Y.T)


@dataclass(frozen=True, eq=False)
class Covariance:
    """The covariance of the rows as a function of the variance parameters.

    Parameters
    ----------
    given
        The model.
    """

    given: Gaussian

    @cached_property
    def loadings(self) -> tuple[Loading, ...]:
        """One for each component."""
        return tuple(Loading.of(component, self.given.n) for component in self.given.components)

    @cached_property
    def pairs(self) -> tuple[tuple[int, int, int], ...]:
        """Two components that are correlated, and which correlation it is."""
        place = {component.name: i for i, component in enumerate(self.given.components)}
        return tuple(
            (place[one], place[other], r)
            for r, correlation in enumerate(self.given.correlations)
            for one, other in combinations(correlation.components, 2)
        )

    def scales(self, psi: Array) -> Array:
        """Return ``(n, J)`` multipliers of the matrices at ``(n, d)`` values of the variance parameters."""
        m = len(self.given.components)
        crossed = [psi[:, m + r] * psi[:, a] * psi[:, b] for a, b, r in self.pairs]
        return np.column_stack([psi[:, :m] ** 2, *crossed])

    def matrices(self, rows: Index) -> Array:
        """Return ``(J, ..., b, b)`` matrices for some rows, ``(..., b)``."""
        whole = [loading.between(loading, rows, rows) for loading in self.loadings]
        for a, b, _ in self.pairs:
            one = self.loadings[a].between(self.loadings[b], rows, rows)
            whole.append(one + np.swapaxes(one, -1, -2))
        return np.stack(whole) if whole else np.zeros((0, *rows.shape, rows.shape[-1]))

    def known(self, rows: Index) -> Array:
        """Return ``(..., b, b)`` sampling covariances of some rows."""
        if self.given.V.ndim == 1:
            return np.asarray(self.given.V[rows][..., None] * np.eye(rows.shape[-1]))
        return np.asarray(self.given.V[rows[..., :, None], rows[..., None, :]])

    @cached_property
    def blocks(self) -> tuple[Index, ...]:
        """Rows in groups that are independent of each other."""
        n = self.given.n
        links = sparse.csr_array(sparse.eye_array(n))
        if self.given.V.ndim == 2:
            links = links + sparse.csr_array((self.given.V != 0.0).astype(float))
        for loading in self.loadings:
            links = links + loading.edges(loading)
        for a, b, _ in self.pairs:
            links = links + self.loadings[a].edges(self.loadings[b])
        count, label = sparse.csgraph.connected_components(links, directed=False)
        order = np.argsort(label, kind="stable")
        return tuple(np.split(order, np.cumsum(np.bincount(label, minlength=count))[:-1]))

    @cached_property
    def block_of(self) -> Index:
        """``(n,)`` number of each row's block."""
        out = np.empty(self.given.n, dtype=np.intp)
        for i, rows in enumerate(self.blocks):
            out[rows] = i
        return out

    @cached_property
    def nested(self) -> tuple[int, int] | None:
        """Return the components of a level for each row and of groups of rows, where there is nothing else.

        The number of either is -1 where there is no such component.
        """
        if (
            self.given.V.ndim == 2
            or self.pairs
            or any(x.relation is not None or np.any(x.z != 1.0) for x in self.loadings)
        ):
            return None
        inner = [i for i, x in enumerate(self.loadings) if len(x.names) == self.given.n]
        outer = [i for i, x in enumerate(self.loadings) if len(x.names) < self.given.n]
        if len(inner) > 1 or len(outer) != 1:
            return None
        return (inner[0] if inner else -1, outer[0])
