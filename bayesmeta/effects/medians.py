"""Means and standard deviations of studies that report medians with quartiles, or ranges, instead."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.effects.conversions import mean_from_quantiles, sd_from_quantiles
from bayesmeta.values import Array

ARMS = ("treatment", "control")
RULE = (
    "means and SDs of {} come from medians and quartiles (Luo et al. 2018, Stat. Methods Med. Res. 27:1785-1805; "
    "Wan et al. 2014, BMC Med. Res. Methodol. 14:135), which holds for roughly symmetric outcomes"
)


def with_means(columns: Mapping[str, NDArray[Any]]) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]:
    """Return a table's columns with ``mean_*`` and ``sd_*`` of the arms that have quantiles instead, and which rows do.

    Parameters
    ----------
    columns
        bayesmeta's name to ``(k,)`` values: ``median_*`` and ``n_*`` with ``q1_*`` and ``q3_*``, or with ``min_*`` and
        ``max_*``, or all of them.

    Returns
    -------
    tuple
        The columns, and ``(k,)`` whether a mean of the row was computed here.
    """
    out = dict(columns)
    k = len(next(iter(columns.values())))
    changed = np.zeros(k, dtype=bool)
    for arm in ARMS:
        ends = [(f"q1_{arm}", f"q3_{arm}"), (f"min_{arm}", f"max_{arm}")]
        pairs = [pair for pair in ends if all(name in columns for name in pair)]
        if f"median_{arm}" not in columns or f"n_{arm}" not in columns or not pairs:
            continue
        mean, sd = (np.array(columns.get(f"{what}_{arm}", np.full(k, np.nan)), dtype=float) for what in ("mean", "sd"))
        for i in np.flatnonzero(~(np.isfinite(mean) & np.isfinite(sd))):
            found = _one(columns, arm, pairs, int(i))
            if found is not None:
                mean[i], sd[i] = found
                changed[i] = True
        if changed.any():
            out |= {f"mean_{arm}": mean, f"sd_{arm}": sd}
    return out, changed


def _one(
    columns: Mapping[str, NDArray[Any]], arm: str, pairs: list[tuple[str, str]], i: int
) -> tuple[float, float] | None:
    n, median = float(columns[f"n_{arm}"][i]), float(columns[f"median_{arm}"][i])
    known: dict[str, Array] = {}
    for low, high in pairs:
        values = np.array([float(columns[low][i]), float(columns[high][i])])
        if np.isfinite(values).all():
            names = ("q1", "q3") if low.startswith("q1") else ("minimum", "maximum")
            known |= {name: np.array([v]) for name, v in zip(names, values, strict=True)}
    if not (known and np.isfinite(n) and np.isfinite(median)):
        return None
    size = np.array([n])
    q1, q3, least, most = (known.get(name) for name in ("q1", "q3", "minimum", "maximum"))
    mean = mean_from_quantiles(size, np.array([median]), q1=q1, q3=q3, minimum=least, maximum=most)
    return float(mean[0]), float(sd_from_quantiles(size, q1=q1, q3=q3, minimum=least, maximum=most)[0])
