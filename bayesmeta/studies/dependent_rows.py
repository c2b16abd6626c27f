"""Several rows of one study: labels of their own, and the sampling covariance of their estimates."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg, sparse

from bayesmeta.errors import DataError
from bayesmeta.values import Array, frozen_array

# A covariance matrix of more rows takes gigabytes.
MOST_ROWS = 6000
# Relative rounding that a covariance matrix read from a file may have.
ROUNDING = 1e-8


def text_column(name: str, values: Sequence[str] | None, n: int) -> tuple[str, ...] | None:
    """Return labels as text, None where none are given.

    Raises
    ------
    DataError
        If there is not one for each of ``n`` rows.
    """
    if values is None or len(values) == 0:
        return None
    if isinstance(values, str):
        raise DataError(f"{name} is the text {values!r}: give a list with one label per row.")
    if len(values) != n:
        raise DataError(f"{name} has {len(values)} labels for {n} rows: give one per row, in the same order.")
    return tuple(str(value) for value in values)


def rows_of_studies(study: Sequence[str], cluster: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return each cluster's name with the names of its rows, in the order in which clusters appear.

    Examples
    --------
    >>> rows_of_studies(["Kern (1)", "Kern (2)", "Lund"], ["Kern", "Kern", "Lund"])
    {'Kern': ('Kern (1)', 'Kern (2)'), 'Lund': ('Lund',)}
    """
    found: dict[str, dict[str, None]] = {}
    for row, label in zip(study, cluster, strict=True):
        found.setdefault(label, {})[row] = None
    return {label: tuple(rows) for label, rows in found.items()}


def row_labels(study: Sequence[str], outcome: Sequence[str] | None, effect: Sequence[str] | None) -> tuple[str, ...]:
    """Return one unique label for each row: the study's, where it has several rows with outcome, effect or number."""
    several = Counter(study)
    out: list[str] = []
    for i, label in enumerate(study):
        parts = [part[i] for part in (outcome, effect) if part is not None]
        out.append(", ".join([label, *parts]) if several[label] > 1 and parts else label)
    counts, number = Counter(out), Counter[str]()
    for i, label in enumerate(out):
        if counts[label] > 1:
            number[label] += 1
            out[i] = f"{label} ({number[label]})"
    return tuple(out)


def standard_errors(
    sei: ArrayLike | None, vi: ArrayLike | None, V: ArrayLike | Sequence[ArrayLike] | None
) -> ArrayLike:
    """Return standard errors from what was given: themselves, variances, or a covariance matrix.

    Raises
    ------
    DataError
        If nothing was given, or too much.
    """
    if sei is not None and vi is not None:
        raise DataError("sei and vi are both given: give standard errors or variances, not both.")
    if sei is not None:
        return sei
    if vi is not None:
        with np.errstate(invalid="ignore"):
            return np.sqrt(np.asarray(vi, dtype=float))
    if V is None:
        raise DataError("Standard errors are missing: give sei=, variances vi=, or a covariance matrix V=.")
    with np.errstate(invalid="ignore"):
        return np.sqrt(np.diagonal(_square(_joined(V))))


def _square(V: ArrayLike) -> Array:
    matrix = np.array(V, dtype=float)
    if matrix.ndim == 1:
        matrix = np.diag(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise DataError(f"V has shape {matrix.shape}: it is a square matrix with a row and a column for each effect.")
    return matrix


def covariance(V: ArrayLike | Sequence[ArrayLike], sei: Array, labels: Sequence[str]) -> Array | None:
    """Return the checked sampling covariance; None where it is diagonal.

    Parameters
    ----------
    V
        ``(n, n)`` matrix, or a sequence of square blocks in the order of the rows.
    sei
        ``(n,)`` standard errors, whose squares are its diagonal.
    labels
        ``(n,)`` labels of rows, for messages.

    Raises
    ------
    DataError
        If it is not symmetric, contradicts the standard errors, or is not positive definite.
    """
    matrix = _square(_joined(V))
    if len(matrix) != len(sei):
        raise DataError(f"V has {len(matrix)} rows for {len(sei)} effects: give one row and column for each.")
    if not np.isfinite(matrix).all():
        i, j = np.argwhere(~np.isfinite(matrix))[0]
        raise DataError(f"V holds {matrix[i, j]} for {labels[i]} and {labels[j]}: every covariance must be finite.")
    scale = np.outer(sei, sei)
    off = np.abs(matrix - matrix.T) > ROUNDING * scale
    if off.any():
        i, j = np.argwhere(off)[0]
        raise DataError(
            f"V is not symmetric: {matrix[i, j]:g} for {labels[i]} and {labels[j]}, but {matrix[j, i]:g} the other way."
        )
    wrong = np.abs(np.diagonal(matrix) / sei**2 - 1.0) > ROUNDING
    if wrong.any():
        i = int(np.argmax(wrong))
        raise DataError(
            f"V and the standard errors contradict each other: {labels[i]} has variance {matrix[i, i]:g} in V and "
            f"{sei[i] ** 2:g} = sei squared. Give one of the two, or correct it."
        )
    matrix = 0.5 * (matrix + matrix.T)
    if not np.any(matrix[~np.eye(len(sei), dtype=bool)]):
        return None
    _check_definite(matrix / scale, labels)
    return frozen_array(matrix)


def _joined(V: ArrayLike | Sequence[ArrayLike]) -> ArrayLike:
    if isinstance(V, list | tuple) and V and all(np.ndim(block) == 2 for block in V):
        return np.asarray(linalg.block_diag(*[_square(block) for block in V]))
    return np.asarray(V, dtype=float)


def _check_definite(correlation: Array, labels: Sequence[str], name: str = "V") -> None:
    count, block = sparse.csgraph.connected_components(sparse.csr_array(correlation != 0.0), directed=False)
    order = np.argsort(block, kind="stable")
    for rows in np.split(order, np.cumsum(np.bincount(block, minlength=count))[:-1]):
        smallest, vectors = np.linalg.eigh(correlation[np.ix_(rows, rows)])
        if smallest[0] <= len(rows) * np.finfo(float).eps:
            worst = np.argsort(-np.abs(vectors[:, 0]))[:2]
            raise DataError(
                f"{name} is not positive definite: the correlations of {', '.join(labels[rows[i]] for i in worst)} "
                f"have the eigenvalue {smallest[0]:.3g}. They contradict each other, or one of these is a combination "
                f"of others: correct {name}, or leave one out."
            )


def constant_correlation(correlation: float, sei: Array, cluster: Sequence[str], labels: Sequence[str]) -> Array | None:
    """Return the sampling covariance of estimates that correlate by the same number within each cluster.

    Raises
    ------
    DataError
        If the correlation is not one that so many estimates can have, or there are too many rows for a matrix.
    """
    if not -1.0 < correlation < 1.0:
        raise DataError(f"sampling_correlation = {correlation:g}: it must lie between -1 and 1, e.g. 0.6.")
    if len(sei) > MOST_ROWS:
        raise DataError(
            f"A covariance matrix of {len(sei)} rows takes too much memory; {MOST_ROWS} are possible. Leave "
            "sampling_correlation out and use cluster-robust standard errors, or analyse parts of the data."
        )
    names = np.array(cluster, dtype=object)
    same = names[:, None] == names[None, :]
    return covariance(
        np.where(same, correlation, 0.0) * np.outer(sei, sei) + np.diag((1 - correlation) * sei**2), sei, labels
    )


def relation(R: ArrayLike, clusters: Sequence[str]) -> Array:
    """Return the checked correlation of clusters' true effects.

    Raises
    ------
    DataError
        If it has another size, is not symmetric with ones on its diagonal, or is not positive definite.
    """
    matrix = _square(R)
    if len(matrix) != len(clusters):
        raise DataError(
            f"R has {len(matrix)} rows for {len(clusters)} clusters ({clusters[0]}, ...): give one for each."
        )
    if not np.isfinite(matrix).all() or np.max(np.abs(matrix - matrix.T)) > ROUNDING:
        raise DataError("R is not symmetric, or holds what is no number: it is a matrix of correlations.")
    wrong = np.abs(np.diagonal(matrix) - 1.0) > ROUNDING
    if wrong.any():
        i = int(np.argmax(wrong))
        raise DataError(f"R has {matrix[i, i]:g} for {clusters[i]} with itself: a correlation is 1 there.")
    matrix = 0.5 * (matrix + matrix.T)
    _check_definite(matrix, clusters, "R")
    return frozen_array(matrix)
