"""How much each direct comparison contributes to each network estimate: hat matrices and shortest paths."""

from collections import deque

import numpy as np

from bayesmeta.values import Array

# Flows below this are rounding.
_NOTHING = 1e-10


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
