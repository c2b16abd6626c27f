"""How much each direct comparison contributes to each network estimate: hat matrices and shortest paths."""

from collections import deque
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from bayesmeta.frequentist.networks.least_squares import Network
from bayesmeta.values import Array

# A pair of treatments, by their numbers; an edge is one within a study.
type Pair = tuple[int, int]
type Edge = tuple[str, int, int]

# Flows below this are rounding.
_NOTHING = 1e-10


def edge_weights(net: Network, study: Sequence[str], design: Array, tau2: float) -> tuple[list[Edge], Array]:
    """Return pairs of treatments within studies, with their edge weights: those of the reduced network.

    A study of several arms has the weights ``-L_ab`` of the Laplacian of its contrasts' precision.
    """
    edges, weights = [], []
    for label in dict.fromkeys(study):
        rows = [i for i, s in enumerate(study) if s == label]
        X = design[rows]
        L = X.T @ np.linalg.solve(net.V[np.ix_(rows, rows)] + tau2 * net.R[np.ix_(rows, rows)], X)
        arms = np.flatnonzero(np.abs(X).sum(axis=0))
        for a, b in combinations(arms.tolist(), 2):
            edges.append((label, a, b))
            weights.append(-L[a, b])
    return edges, np.array(weights)


def incidence(pairs: Sequence[Pair], treatments: int) -> Array:
    """Return ``(pairs, treatments)`` with 1 for the first of a pair and -1 for the second."""
    B = np.zeros((len(pairs), treatments))
    for i, (a, b) in enumerate(pairs):
        B[i, a], B[i, b] = 1.0, -1.0
    return B


def comparison_hat(edges: Sequence[Edge], w: Array, treatments: int) -> tuple[Array, list[Pair], list[Pair]]:
    """Return the hat matrix of all pairs (rows) by direct comparisons (columns), studies pooled, and both lists."""
    direct = sorted({(a, b) for _, a, b in edges})
    every = list(combinations(range(treatments), 2))
    total = np.array([sum(x for (_, a, b), x in zip(edges, w, strict=True) if (a, b) == pair) for pair in direct])
    B = incidence(direct, treatments)
    inverse = np.linalg.pinv(B.T * total @ B, hermitian=True)
    return incidence(every, treatments) @ inverse @ B.T * total, every, direct


def shortest_paths(row: Array, pairs: list[tuple[int, int]], source: int, sink: int) -> tuple[Array, float]:
    """Return the contributions of direct comparisons to one network estimate, and the mean length of its paths.

    The row of the hat matrix is a flow of 1 from `source` to `sink`. Again and again the shortest path with flow
    left takes the least of its edges' flows; its edges share that equally.

    Parameters
    ----------
    row
        ``(c,)`` of the hat matrix; the flow along each pair, negative where it runs from its second to its first.
    pairs
        ``c`` treatments that are directly compared.

    References
    ----------
    Papakonstantinou, Nikolakopoulou, Rücker, Chaimani, Schwarzer, Egger & Salanti (2018), F1000Research 7:610.
    """
    flow: dict[tuple[int, int], float] = {}
    for (a, b), h in zip(pairs, row, strict=True):
        if abs(h) > _NOTHING:
            flow[(a, b) if h > 0.0 else (b, a)] = abs(float(h))
    place = {pair: i for i, pair in enumerate(pairs)}
    share, length = np.zeros(len(pairs)), 0.0
    while path := _shortest(flow, source, sink):
        amount = min(flow[edge] for edge in path)
        length += amount * len(path)
        for edge in path:
            share[place.get(edge, place.get(edge[::-1], -1))] += amount / len(path)
            flow[edge] -= amount
            if flow[edge] <= _NOTHING:
                del flow[edge]
    return share, length


def _shortest(flow: dict[tuple[int, int], float], source: int, sink: int) -> list[tuple[int, int]]:
    """Return the edges of a shortest path; of equal ones the one met first in the order of the treatments."""
    came: dict[int, int] = {source: source}
    waiting = deque([source])
    while waiting:
        here = waiting.popleft()
        if here == sink:
            path = []
            while here != source:
                path.append((came[here], here))
                here = came[here]
            return path[::-1]
        for a, b in sorted(flow):
            if a == here and b not in came:
                came[b] = here
                waiting.append(b)
    return []
