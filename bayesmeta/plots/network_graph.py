"""Graph of a network: treatments as circles by patients, direct comparisons as lines by studies."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.plots._style import BAYESIAN, FAINT, INK, new_axes, text
from bayesmeta.studies import Contrasts
from bayesmeta.values import Array, frozen_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class NetworkGraphData:
    """Places and sizes of what is drawn.

    Parameters
    ----------
    treatments
        ``(T,)`` names.
    x, y
        ``(T,)`` places on the unit circle, clockwise from the top.
    patients
        ``(T,)`` people treated; None where sizes of arms are not known.
    studies_of
        ``(T,)`` studies of each treatment.
    edges
        Direct comparisons, as places in `treatments`.
    studies
        ``(E,)`` studies that make each comparison.
    precision
        ``(E,)`` inverse variance of each comparison's studies together, common effect.
    """

    treatments: tuple[str, ...]
    x: Array
    y: Array
    patients: Array | None
    studies_of: Array
    edges: tuple[tuple[int, int], ...]
    studies: Array
    precision: Array


def network_graph_data(contrasts: Contrasts) -> NetworkGraphData:
    """Return the graph of a network.

    Parameters
    ----------
    contrasts
        Of a connected network; a study of several arms makes all its comparisons.
    """
    names = contrasts.treatments
    angle = 2.0 * np.pi * np.arange(len(names)) / len(names)
    pairs, place = contrasts.pairs(), {name: i for i, name in enumerate(names)}
    counts: dict[tuple[int, int], int] = {}
    weight: dict[tuple[int, int], float] = {}
    members: list[set[str]] = [set() for _ in names]
    for study, one, two, sei in zip(pairs["study"], pairs["treat1"], pairs["treat2"], pairs["sei"], strict=True):
        a, b = sorted((place[one], place[two]))
        counts[a, b] = counts.get((a, b), 0) + 1
        weight[a, b] = weight.get((a, b), 0.0) + float(sei) ** -2
        members[a].add(study)
        members[b].add(study)
    edges = tuple(sorted(counts))
    return NetworkGraphData(
        names,
        frozen_array(np.sin(angle)),
        frozen_array(np.cos(angle)),
        _patients(contrasts),
        frozen_array(np.array([len(m) for m in members], dtype=float)),
        edges,
        frozen_array(np.array([counts[e] for e in edges], dtype=float)),
        frozen_array(np.array([weight[e] for e in edges])),
    )


def _patients(contrasts: Contrasts) -> Array | None:
    arms, used = contrasts.arms, set(contrasts.study)
    if arms is None or "n" not in arms.columns:
        return None
    total = dict.fromkeys(contrasts.treatments, 0.0)
    for study, treatment, n in zip(arms.study, arms.treatment, arms.columns["n"], strict=True):
        if study in used:
            total[treatment] += float(n)
    return frozen_array(np.array(list(total.values())))


def network_graph(contrasts: Contrasts, *, edges: str = "studies", ax: "Axes | None" = None) -> "Axes":
    """Draw a network: circles by patients (studies where these are unknown), lines by studies or by precision.

    Parameters
    ----------
    contrasts
        Of a connected network.
    edges
        What the width of a line is: ``"studies"``, whose number stands on it, or ``"precision"``.
    ax
        Axes to draw in; None makes a figure.

    Raises
    ------
    ModelError
        If `edges` is another word.
    """
    from bayesmeta.errors import unknown

    if edges not in ("studies", "precision"):
        raise unknown("width of edges", edges, ("studies", "precision"))
    data = network_graph_data(contrasts)
    ax = new_axes(ax, 6.4, 5.2)
    width = data.studies if edges == "studies" else data.precision
    for (a, b), w, k in zip(data.edges, width, data.studies, strict=True):
        line = 0.8 + 9.0 * float(w / width.max())
        ax.plot(data.x[[a, b]], data.y[[a, b]], color=FAINT, lw=line, solid_capstyle="round", zorder=1)
        # Not in the middle, where lines cross.
        at = 0.38
        text(
            ax,
            float(data.x[a] + at * (data.x[b] - data.x[a])),
            float(data.y[a] + at * (data.y[b] - data.y[a])),
            f"{k:g}",
            ha="center",
            va="center",
            fontsize=8,
            color=INK,
            zorder=2,
        )
    size = data.studies_of if data.patients is None else data.patients
    ax.scatter(data.x, data.y, s=60.0 + 900.0 * size / size.max(), color=BAYESIAN, linewidths=0, zorder=3)
    for i, name in enumerate(data.treatments):
        side = "left" if data.x[i] > 0.05 else "right" if data.x[i] < -0.05 else "center"
        level = "center" if side != "center" else "bottom" if data.y[i] > 0 else "top"
        said = name if data.patients is None else f"{name}\n{data.patients[i]:g} patients"
        reach = 1.24 if side != "center" else 1.22
        text(ax, reach * data.x[i], reach * data.y[i], said, ha=side, va=level, fontsize=9, color=INK)
    ax.set_xlim(-2.2, 2.2)
    ax.set_ylim(-1.6, 1.6)
    ax.set_aspect("equal")
    ax.axis("off")
    return ax
