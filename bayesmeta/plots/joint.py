"""The joint posterior of mu and tau: regions of highest density."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.effects import MEASURES
from bayesmeta.errors import ModelError
from bayesmeta.plots._style import BAYESIAN, INK, MUTED, bare, natural_axis, new_axes
from bayesmeta.posterior import Posterior
from bayesmeta.values import Array, frozen_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class JointData:
    """The joint density on a grid.

    Parameters
    ----------
    mu, tau
        ``(m,)`` and ``(n,)`` grid, analysis scale.
    density
        ``(n, m)`` joint density.
    levels
        Probabilities of the regions, from the largest.
    heights
        Density at the edge of each region, rising.
    """

    mu: Array
    tau: Array
    density: Array
    levels: tuple[float, ...]
    heights: tuple[float, ...]


def joint_data(posterior: Posterior, *, levels: Sequence[float] = (0.95, 0.8, 0.5), points: int = 161) -> JointData:
    """Return the joint density of mu and tau, and the heights that bound regions of highest density.

    Parameters
    ----------
    posterior
        One that offers ``joint_density``: a model of one mean, by quadrature.
    levels
        Probabilities of the regions.
    points
        Of the grid, in each direction.

    Raises
    ------
    ModelError
        If a level is not between 0 and 1, or the posterior has no joint density.
    """
    chosen = tuple(sorted({float(level) for level in levels}, reverse=True))
    if not chosen or not all(0.0 < level < 1.0 for level in chosen):
        raise ModelError(f"levels={list(levels)}: give probabilities between 0 and 1, e.g. (0.95, 0.5).")
    ends = np.asarray(posterior.mu.ppf([5e-4, 1.0 - 5e-4]), dtype=float)
    mu = np.linspace(ends[0], ends[1], points)
    # From half a step above 0, where the density of tau may be infinite.
    high = float(posterior.tau.ppf(1.0 - 5e-4))
    tau = (np.arange(points) + 0.5) * (high / points)
    density = posterior.joint_density(mu[None, :], tau[:, None])
    ordered = np.sort(density.ravel())[::-1]
    # All cells have one area: the region of highest density is filled from the highest cell down.
    held = np.cumsum(ordered) * float(mu[1] - mu[0]) * float(tau[1] - tau[0])
    heights = tuple(float(ordered[min(int(np.searchsorted(held, level)), len(ordered) - 1)]) for level in chosen)
    return JointData(frozen_array(mu), frozen_array(tau), frozen_array(density), chosen, heights)


def joint(
    posterior: Posterior,
    *,
    levels: Sequence[float] = (0.95, 0.8, 0.5),
    measure: str | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw the regions of highest joint density of mu and tau, darker where it is higher.

    Parameters
    ----------
    posterior, levels
        As in `joint_data`.
    measure
        Effect measure of mu, where the posterior does not know it.
    ax
        Axes to draw in; None makes a figure.
    """
    data = joint_data(posterior, levels=levels)
    ax = new_axes(ax, 5.4, 4.0)
    edges = [*data.heights, float(data.density.max()) * 1.001]
    from matplotlib.colors import to_rgba

    shades = [to_rgba(BAYESIAN, 0.18 + 0.55 * i / len(data.levels)) for i in range(len(data.levels))]
    ax.contourf(data.mu, data.tau, data.density, levels=edges, colors=shades)
    name = measure or posterior.measure or "GEN"
    if MEASURES[name].null is not None:
        ax.axvline(float(MEASURES[name].null or 0.0), color=MUTED, lw=0.8)
    ax.set_ylim(0.0, float(data.tau[-1]))
    bare(ax, left=True)
    natural_axis(ax, MEASURES[name])
    ax.set_ylabel("tau", color=INK, fontsize=9)
    said = ", ".join(f"{100 * level:g}%" for level in data.levels)
    ax.set_title(f"regions that hold {said}", color=INK, fontsize=9, loc="left")
    return ax
