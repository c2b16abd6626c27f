"""Assurance of the next study against its size: what uncertainty and differences between studies take from power."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.errors import ModelError
from bayesmeta.planning import AssuranceCurve, assurance_curve
from bayesmeta.plots._style import BAYESIAN, CLASSICAL, INK, MUTED, bare, new_axes, text
from bayesmeta.posterior import Posterior

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 40


def assurance_data(posterior: Posterior, n: Sequence[int] = (10, 1000), **options: Any) -> AssuranceCurve:
    """Return assurance and power over sizes of the next study.

    Parameters
    ----------
    posterior
        Of the studies so far.
    n
        Patients per arm: the smallest and the largest, or all sizes where there are more than two.
    **options
        Of `bayesmeta.next_study`: ``control_risk``, ``benefit``, ``success``, ...

    Raises
    ------
    ModelError
        If `n` has fewer than two sizes; and as `bayesmeta.next_study`.
    """
    sizes = sorted({int(size) for size in n})
    if len(sizes) < 2:
        raise ModelError(f"n={list(n)!r}: a curve needs at least two sizes, e.g. n=(10, 1000).")
    if len(sizes) == 2:
        sizes = sorted({round(size) for size in np.geomspace(sizes[0], sizes[1], POINTS).tolist()})
    return assurance_curve(posterior, sizes, **options)


def assurance(
    posterior: Posterior, n: Sequence[int] = (10, 1000), *, ax: "Axes | None" = None, **options: Any
) -> "Axes":
    """Draw assurance and power of the next study against patients per arm, and the ceiling of assurance.

    Parameters
    ----------
    posterior, n, **options
        As in `assurance_data`.
    ax
        Axes to draw in; None makes a figure.
    """
    data = assurance_data(posterior, n, **options)
    ax = new_axes(ax, 6.4, 3.4)
    ax.axhline(data.ceiling, color=MUTED, lw=0.8, ls=":")
    text(ax, float(data.n[0]), data.ceiling, " however large", ha="left", va="bottom", fontsize=8, color=MUTED)
    ax.plot(data.n, data.power, color=CLASSICAL, lw=1.4, ls="--", label="power at the mean effect")
    ax.plot(data.n, data.assurance, color=BAYESIAN, lw=2.2, label="assurance")
    ax.set_xscale("log")
    ticks = _ticks(float(data.n[0]), float(data.n[-1]))
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xticks([], minor=True)
    ax.set_xlim(float(data.n[0]), float(data.n[-1]))
    ax.set_ylim(0.0, 1.0)
    bare(ax, left=True)
    ax.set_xlabel("patients per arm (log scale)", color=INK, fontsize=9)
    ax.set_ylabel("probability of success", color=INK, fontsize=9)
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    return ax


def _ticks(low: float, high: float) -> list[float]:
    """Return round sizes on the axis."""
    round_sizes = [m * 10.0**e for e in range(8) for m in (1, 2, 5)]
    inside = [size for size in round_sizes if low <= size <= high]
    return inside or [low, high]
