r"""Which choice drives a result: a variance decomposition over the choices of a multiverse.

With Y the result (a probability on the logit scale) and every analysis weighted equally, the law of total
variance splits Var(Y) for each choice X. The main share is ``Var(E[Y | X]) / Var(Y)``, what the choice explains
alone; the total share is ``E[Var(Y | all other choices)] / Var(Y)``, what disappears when nothing but this
choice is left open, interactions included (Sobol' 1993, Math. Model. Comput. Exp. 1:407-414; Homma & Saltelli
1996, Reliab. Eng. Syst. Saf. 52:1-17). In a full factorial both are exact, not estimates.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import ModelError
from bayesmeta.values import Array

# Probabilities are computed to about 1e-9, so odds beyond that would be noise.
FINEST = 1e-9


@dataclass(frozen=True, slots=True)
class Driver:
    """What one choice does to a result.

    Parameters
    ----------
    choice
        Its name.
    levels
        How many levels it has.
    main, total
        Shares of the variance: alone, and with its interactions; nan where nothing varies.
    low_level, low, high_level, high
        The levels with the smallest and largest mean of the result, and these means. For a probability the mean
        is taken on the logit scale and given back as a probability.
    """

    choice: str
    levels: int
    main: float
    total: float
    low_level: str
    low: float
    high_level: str
    high: float


def logit(p: Array) -> Array:
    """Return log odds, of probabilities kept within 1e-9 of 0 and 1."""
    q = np.clip(p, FINEST, 1.0 - FINEST)
    return np.asarray(np.log(q) - np.log1p(-q))


def expit(x: float) -> float:
    """Return the probability of log odds `x`."""
    return float(1.0 / (1.0 + np.exp(-x)))


def decompose(
    y: Array, codes: Mapping[str, NDArray[np.intp]], levels: Mapping[str, tuple[str, ...]], *, probability: bool
) -> tuple[Driver, ...]:
    """Return the choices with more than one level, the one with the largest total share first.

    Parameters
    ----------
    y
        ``(m,)`` results; a probability is taken to its logit. nan: not computed, left out.
    codes
        Choice to the ``(m,)`` index of the level used.
    levels
        Choice to its levels.
    probability
        Whether `y` is a probability.

    Raises
    ------
    ModelError
        If no analysis gave an answer.
    """
    there = np.isfinite(y)
    if not there.any():
        raise ModelError("No analysis gave an answer, so nothing can be said about what drives the result.")
    value = (logit(y) if probability else y)[there]
    used = {name: code[there] for name, code in codes.items()}
    open_ = [name for name, code in used.items() if len(np.unique(code)) > 1]
    variance = float(np.var(value))
    back = expit if probability else float
    found = []
    for name in open_:
        means = group_means(value, used[name])
        seen = np.unique(used[name])
        per_level = {int(code): float(means[used[name] == code][0]) for code in seen}
        low, high = min(per_level, key=per_level.__getitem__), max(per_level, key=per_level.__getitem__)
        others = cells([used[other] for other in open_ if other != name], len(value))
        within = float(np.mean((value - group_means(value, others)) ** 2))
        found.append(
            Driver(
                name,
                len(seen),
                float(np.var(means)) / variance if variance > 0 else np.nan,
                within / variance if variance > 0 else np.nan,
                levels[name][low],
                back(per_level[low]),
                levels[name][high],
                back(per_level[high]),
            )
        )
    return tuple(sorted(found, key=lambda d: -d.total if np.isfinite(d.total) else 0.0))


def group_means(value: Array, code: NDArray[np.intp]) -> Array:
    """Return ``(m,)`` for each entry the mean of its group."""
    _, index = np.unique(code, return_inverse=True)
    return np.asarray((np.bincount(index, value) / np.bincount(index))[index])


def cells(codes: list[NDArray[np.intp]], m: int) -> NDArray[np.intp]:
    """Return ``(m,)`` one number for every combination of codes."""
    if not codes:
        return np.zeros(m, dtype=np.intp)
    return np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)[1].ravel()
