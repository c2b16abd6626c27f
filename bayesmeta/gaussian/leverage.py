"""What regression leaves of the studies' weights, and the typical sampling variance that I squared compares with."""

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from bayesmeta.values import Array

# A study with more leverage than this leaves so little of 1 that the difference is rounded.
DOMINANT = 0.999


def typical_variance(v: Array, X: Array) -> float | None:
    """Return the typical sampling variance that I2 compares tau2 with; None where too few studies define it.

    ``(k - p) / trace(P)`` with ``P = W - W X (X' W X)^-1 X' W``, ``W = diag(1 / v)`` and p the rank of X: Higgins &
    Thompson (2002), Statistics in Medicine 21:1539-1558, equation 9, and its extension to moderators.

    Parameters
    ----------
    v
        ``(k,)`` sampling variances.
    X
        ``(k, p)`` design matrix, of any rank.
    """
    basis = _column_space(X)
    k, p = basis.shape
    if k <= p:
        return None
    unit = float(v.min())
    return float((k - p) * unit / trace_p(unit / v, basis))


def trace_p(w: Array, X: Array) -> float:
    """Return the trace of ``P = W - W X (X' W X)^-1 X' W`` for ``(k,)`` weights and an X of full column rank.

    It is the sum of ``w (1 - h)`` with the leverages h, where nothing cancels however precise one study is beside the
    others.
    """
    root = np.sqrt(w)
    rows = root[:, None] * X
    q, _, _ = _factored(rows)
    leverage = np.sum(q**2, axis=1)
    dominant = np.flatnonzero(leverage > DOMINANT)
    trace = float(np.sum(np.delete(w * (1.0 - leverage), dominant)))
    for i in dominant:
        # A study's 1 - h is 1 / (1 + w times the variance of what the others predict for it): Sherman & Morrison.
        _, r, order = _factored(np.delete(rows, i, axis=0))
        if np.abs(np.diag(r)).min(initial=np.inf) > 0.0 and len(r) == X.shape[1]:
            predicted = linalg.solve_triangular(r, X[i, order], trans="T")
            trace += 1.0 / float(1.0 / w[i] + predicted @ predicted)
    return trace


def _column_space(X: Array) -> Array:
    """Return an orthonormal basis of what the columns of X span."""
    size = np.sqrt(np.sum(X**2, axis=0))
    u, s, _ = np.linalg.svd(X / np.where(size > 0.0, size, 1.0), full_matrices=False)
    rank = int(np.sum(s > s.max(initial=0.0) * max(X.shape) * np.finfo(float).eps))
    return np.asarray(u[:, :rank])


def _factored(rows: Array) -> tuple[Array, Array, NDArray[np.signedinteger]]:
    """Return Q, R and the order of columns of a matrix whose rows differ by orders of magnitude.

    With rows sorted by size and pivoted columns Householder's method errs by little in every row (Cox & Higham 1998,
    BIT Numerical Mathematics 38:34-49).
    """
    order = np.argsort(-np.max(np.abs(rows), axis=1, initial=0.0), kind="stable")
    q, r, columns = linalg.qr(rows[order], mode="economic", pivoting=True)
    back = np.empty_like(q)
    back[order] = q
    return back, np.asarray(r), columns
