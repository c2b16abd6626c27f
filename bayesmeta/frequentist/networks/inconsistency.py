"""Whether designs of a network agree: Cochran's Q within and between designs, and direct against indirect evidence."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bayesmeta.frequentist.networks.least_squares import Network, generalised_dl, solved
from bayesmeta.values import Array


def basic_columns(X: Array) -> Array:
    """Return the columns of a design of treatments that identify the differences: without each part's first."""
    used = X[:, np.abs(X).sum(axis=0) > 0.0]
    rank = int(np.linalg.matrix_rank(used))
    if rank == used.shape[1]:
        return used
    kept: list[int] = []
    for j in range(used.shape[1] - 1, -1, -1):
        if np.linalg.matrix_rank(used[:, [*kept, j]]) == len(kept) + 1:
            kept.append(j)
    return used[:, sorted(kept)]


def within(net: Network, rows: Sequence[int]) -> Network:
    """Return some rows of a network alone, with effects of their own."""
    at = np.array(rows)
    return Network(net.y[at], net.V[np.ix_(at, at)], net.R[np.ix_(at, at)], basic_columns(net.X[at]))


def q_of(net: Network, tau2: float = 0.0) -> tuple[float, int]:
    """Return Q and its degrees of freedom."""
    return solved(net, tau2).Q, len(net.y) - net.X.shape[1]


def detached(net: Network, full: Array, rows: Sequence[int]) -> Network:
    """Return the network with some rows, one design, given effects of their own.

    Parameters
    ----------
    full
        ``(n, T)`` design with a column for each treatment.
    """
    at = np.zeros(len(net.y), dtype=bool)
    at[list(rows)] = True
    own = np.zeros((len(net.y), 0))
    part = basic_columns(full[at])
    own = np.zeros((len(net.y), part.shape[1]))
    own[at] = part
    rest = full.copy()
    rest[at] = 0.0
    others = basic_columns(rest)
    return replace(net, X=np.column_stack([others, own]))


def interaction(net: Network, full: Array, design: Sequence[str]) -> Network:
    """Return the network with effects of each design's own: the full design-by-treatment interaction."""
    blocks = []
    for name in dict.fromkeys(design):
        at = np.array([d == name for d in design])
        part = basic_columns(full[at])
        block = np.zeros((len(net.y), part.shape[1]))
        block[at] = part
        blocks.append(block)
    return replace(net, X=np.column_stack(blocks))


def random_interaction(net: Network, full: Array, design: Sequence[str]) -> tuple[float, int, float]:
    """Return Q between designs with random effects of the heterogeneity within designs, its df, and that tau."""
    saturated = interaction(net, full, design)
    tau2 = generalised_dl(saturated)
    between = solved(net, tau2).Q - solved(saturated, tau2).Q
    return max(between, 0.0), saturated.X.shape[1] - net.X.shape[1], float(np.sqrt(tau2))
