"""A heat map of one quantity over a grid of priors."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.errors import ModelError
from bayesmeta.plots._style import BAYESIAN, INK, MUTED, new_axes, text
from bayesmeta.values import Array
from bayesmeta.words import number, probability_text

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

# With more cells than this in a row the numbers would overlap.
MOST_TEXTS = 9


@dataclass(frozen=True, slots=True, eq=False)
class HeatMap:
    """What the heat map draws.

    Parameters
    ----------
    mu, tau
        Labels of the rows and the columns.
    value
        ``(rows, columns)``; nan where there is no answer.
    cells
        The same as text.
    title
        What is drawn: estimand, direction and threshold of a probability.
    decided
        ``(rows, columns)`` whether a probability is beyond the mark of the interval, ``(1 + level) / 2``.
    """

    mu: tuple[str, ...]
    tau: tuple[str, ...]
    value: Array
    cells: tuple[tuple[str, ...], ...]
    title: str
    decided: Array


def sensitivity_data(grid: "xr.Dataset", name: str = "p_mu") -> HeatMap:
    """Return one quantity of a prior grid as drawn.

    Parameters
    ----------
    grid
        From ``bm.sensitivity``.
    name
        One of its variables.

    Raises
    ------
    ModelError
        If the grid has no such variable.
    """
    if name not in grid:
        raise ModelError(f"The grid has no {name!r}. It has: {', '.join(map(str, grid.data_vars))}.")
    value = np.asarray(grid[name], dtype=float)
    is_p = name.startswith("p_")
    write = probability_text if is_p else number
    mark = 0.5 + float(grid.attrs["level"]) / 2.0
    return HeatMap(
        tuple(map(str, grid["mu_prior"].values)),
        tuple(map(str, grid["tau_prior"].values)),
        value,
        tuple(tuple("" if np.isnan(v) else write(float(v)) for v in row) for row in value),
        f"P({grid[name].attrs['event']} | data)" if is_p else f"{name}, analysis scale ({grid.attrs['measure']})",
        np.where(np.isnan(value), 0.0, (value > mark) | (value < 1.0 - mark)) if is_p else np.zeros_like(value),
    )


def sensitivity(grid: "xr.Dataset", name: str = "p_mu", *, ax: "Axes | None" = None) -> "Axes":
    """Draw one quantity over a grid of priors, with its value in every cell where there is room.

    Parameters
    ----------
    grid
        From ``bm.sensitivity``.
    name
        One of its variables.
    ax
        Axes to draw in; None makes a figure.
    """
    from matplotlib.colors import LinearSegmentedColormap

    data = sensitivity_data(grid, name)
    rows, columns = data.value.shape
    ax = new_axes(ax, 2.4 + 0.75 * min(columns, 12), 1.2 + 0.34 * min(rows, 24))
    shades = LinearSegmentedColormap.from_list("white to blue", ["#ffffff", BAYESIAN])
    limits = (0.0, 1.0) if name.startswith("p_") else (float(np.nanmin(data.value)), float(np.nanmax(data.value)))
    ax.imshow(data.value, cmap=shades, vmin=limits[0], vmax=limits[1], aspect="auto", alpha=0.75)
    if columns <= MOST_TEXTS:
        for i in range(rows):
            for j in range(columns):
                weight = "bold" if data.decided[i, j] else "normal"
                text(ax, j, i, data.cells[i][j], ha="center", va="center", fontsize=8, color=INK, fontweight=weight)
    _labels(ax, data)
    return ax


def _labels(ax: "Axes", data: HeatMap) -> None:
    step_x, step_y = (int(np.ceil(len(names) / 16)) for names in (data.tau, data.mu))
    ax.set_xticks(range(0, len(data.tau), step_x), data.tau[::step_x], rotation=35, ha="right", fontsize=8)
    ax.set_yticks(range(0, len(data.mu), step_y), data.mu[::step_y], fontsize=8)
    ax.set_xlabel("prior of tau", color=INK, fontsize=9)
    ax.set_ylabel("prior of mu", color=INK, fontsize=9)
    ax.set_title(data.title, color=INK, fontsize=9, loc="left", parse_math=False)
    ax.tick_params(colors=MUTED, labelcolor=INK, length=2)
    for side in ax.spines.values():
        side.set_visible(False)
