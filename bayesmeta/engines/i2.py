"""What I squared compares tau squared with, for either engine."""

import numpy as np

from bayesmeta.values import Array


def typical_variance(v: Array, X: Array) -> float | None:
    """Return the typical sampling variance that I2 compares tau2 with; None where too few studies define it.

    ``(k - p) / trace(P)`` with ``P = W - W X (X' W X)^-1 X' W`` and ``W = diag(1 / v)``: Higgins &
    Thompson (2002), Statistics in Medicine 21:1539-1558, equation 9, and its extension to moderators.
    """
    k, p = X.shape
    if k <= p:
        return None
    w = 1.0 / v
    XtW = X.T * w
    trace = w.sum() - np.trace(np.linalg.solve(XtW @ X, (XtW * w) @ X))
    return float((k - p) / trace)
