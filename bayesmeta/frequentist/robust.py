r"""Cluster-robust covariance of coefficients, with small-sample corrections and degrees of freedom.

With working covariance :math:`\Phi = \hat\Sigma` and weights :math:`W = \Phi^{-1}`,

.. math:: V = M \Bigl(\sum_c X_c' W_c A_c e_c e_c' A_c' W_c X_c\Bigr) M, \qquad M = (X' W X)^{-1}

CR0 has :math:`A = I`; CR1 multiplies it by :math:`m / (m - 1)` for m clusters, CR1p by :math:`m / (m - p)`, CR1S by
:math:`m (n - 1) / ((m - 1)(n - p))`; CR2 has the A with which V is unbiased under the working model (Bell & McCaffrey
2002, Survey Methodology 28:169-181; Pustejovsky & Tipton 2018, J. Bus. Econ. Stat. 36:672-683); CR3 approximates the
jackknife.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import DataError, unknown
from bayesmeta.values import Array

type Robust = Literal["CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3"]

KINDS: tuple[Robust, ...] = ("CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3")


@dataclass(frozen=True, slots=True, eq=False)
class Working:
    """A fit by generalised least squares, and the groups of rows that are independent.

    Parameters
    ----------
    X, residual
        ``(n, p)`` design and ``(n,)`` residuals.
    Phi
        ``(n, n)`` working covariance; zero between clusters.
    cluster
        ``(n,)`` labels.
    """

    X: Array
    residual: Array
    Phi: Array
    cluster: tuple[str, ...]

    @property
    def groups(self) -> list[NDArray[np.intp]]:
        """Rows of each cluster."""
        names = np.array(self.cluster, dtype=object)
        return [np.flatnonzero(names == label) for label in dict.fromkeys(self.cluster)]

    @property
    def bread(self) -> Array:
        """``(p, p)`` inverse of ``X' W X``."""
        parts = [self.X[g].T @ np.linalg.solve(self.Phi[np.ix_(g, g)], self.X[g]) for g in self.groups]
        return np.asarray(np.linalg.inv(np.sum(parts, axis=0)))


def robust_vcov(work: Working, kind: Robust) -> tuple[Array, Array]:
    """Return the ``(p, p)`` covariance of the coefficients, and ``(p,)`` Satterthwaite degrees of freedom of each.

    Raises
    ------
    DataError
        If there are no more clusters than coefficients, or a cluster determines a coefficient alone.
    """
    if kind not in KINDS:
        raise unknown("robust =", kind, KINDS)
    groups, (n, p) = work.groups, work.X.shape
    m = len(groups)
    if m <= p:
        raise DataError(
            f"Cluster-robust standard errors need more clusters than coefficients; there are {m} and {p}. Leave "
            "moderators out, or use robust=None."
        )
    factor = {"CR1": m / (m - 1), "CR1p": m / (m - p), "CR1S": m * (n - 1) / ((m - 1) * (n - p))}.get(kind, 1.0)
    M = work.bread
    # Each cluster's rows of W X times its correction.
    scores = [_adjusted(work, g, M, kind) for g in groups]
    sums = np.array([E.T @ work.residual[g] for E, g in zip(scores, groups, strict=True)])
    return factor * M @ (sums.T @ sums) @ M, _degrees(work, groups, scores, M)


def _adjusted(work: Working, g: NDArray[np.intp], M: Array, kind: Robust) -> Array:
    """Return ``(rows, p)``: ``A' W X`` of one cluster."""
    X, Phi = work.X[g], work.Phi[np.ix_(g, g)]
    WX = np.linalg.solve(Phi, X)
    if kind == "CR2":
        # Phi = D' D; A = D' (D (Phi - X M X') D')^(-1/2) D.
        D = np.linalg.cholesky(Phi).T
        eigen, Q = np.linalg.eigh(D @ (Phi - X @ M @ X.T) @ D.T)
        # A cluster that determines a coefficient alone leaves nothing of some direction, which then stays out.
        root = np.where(eigen > 1e-10 * eigen.max(), 1.0 / np.sqrt(np.maximum(eigen, 1e-300)), 0.0)
        A = D.T @ (Q * root) @ Q.T @ D
        return np.asarray(A.T @ WX)
    if kind == "CR3":
        left = np.eye(len(g)) - X @ M @ WX.T
        if np.linalg.cond(left) > 1e12:
            raise DataError(
                f"Without cluster {work.cluster[g[0]]!r} the coefficients are not determined, so CR3 does not exist: "
                "use CR2, or drop the moderator that varies in that cluster alone."
            )
        return np.asarray(np.linalg.solve(left.T, WX))
    return np.asarray(WX)


def _degrees(work: Working, groups: list[NDArray[np.intp]], scores: list[Array], M: Array) -> Array:
    """Return Satterthwaite's degrees of freedom: of sums of squares with the working model's eigenvalues."""
    n, p = work.X.shape
    found = np.empty(p)
    for j in range(p):
        # Column c: (I - H)' times cluster c's score for coefficient j.
        G = np.zeros((n, len(groups)))
        shared = np.zeros((p, len(groups)))
        for c, (g, E) in enumerate(zip(groups, scores, strict=True)):
            G[g, c] = E @ M[:, j]
            shared[:, c] = work.X[g].T @ G[g, c]
        own = [G[g, c] @ work.Phi[np.ix_(g, g)] @ G[g, c] for c, g in enumerate(groups)]
        product = np.diag(own) - shared.T @ M @ shared
        found[j] = np.trace(product) ** 2 / np.sum(product**2)
    return found
