"""Probability of an effect beyond every threshold: the reader picks the threshold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.decisions.quantities import NEW, quantities
from bayesmeta.events import Benefit, check_benefit, check_values
from bayesmeta.plots._style import BAYESIAN, FAINT, INK, MUTED, bare, new_axes, ratio_ticks, text
from bayesmeta.posterior import Marginal
from bayesmeta.values import Array, frozen_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class DecisionCurves:
    """P(effect beyond x) for every x, in the direction of benefit.

    Parameters
    ----------
    x
        ``(n,)`` thresholds on the scale of the marginal (log for a ratio).
    natural
        ``(n,)`` the same on the natural scale.
    curves
        Estimand to ``(n,)`` probabilities.
    marked
        Thresholds of the user, natural scale.
    label
        Of the natural scale, e.g. ``"OR"``.
    ratio
        Whether the natural scale is a ratio.
    benefit
        Direction that is a benefit.
    null
        No effect, on the scale of `x`; None where there is none.
    """

    x: Array
    natural: Array
    curves: Mapping[str, Array]
    marked: tuple[float, ...]
    label: str
    ratio: bool
    benefit: Benefit
    null: float | None


def decisions_data(
    source: Any,
    *,
    benefit: Benefit | None,
    thresholds: Sequence[float] = (),
    measure: str | None = None,
    points: int = 301,
) -> DecisionCurves:
    """Return the probability of an effect beyond each of a grid of thresholds.

    Parameters
    ----------
    source, benefit, measure
        As in `bayesmeta.threshold_table`: a posterior, a marginal or an absolute effect.
    thresholds
        Thresholds to mark, natural scale.
    points
        Size of the grid.
    """
    direction = check_benefit(benefit)
    scale, marginals = quantities(source, measure)
    marked = check_values(scale, thresholds, "thresholds") if len(thresholds) else ()
    ends = np.array([np.asarray(m.ppf([0.005, 0.995]), dtype=float) for m in marginals.values()])
    null = None if scale.null is None else scale.from_natural(scale.null)
    inside = [*ends.ravel(), *(scale.from_natural(t) for t in marked), *(() if null is None else (null,))]
    # Known effects, and no other threshold, are one place.
    around = 0.5 if min(inside) == max(inside) else 0.0
    x = np.linspace(min(inside) - around, max(inside) + around, points)
    curves = {name: frozen_array(_beyond(m, x, direction)) for name, m in marginals.items()}
    natural = frozen_array([scale.to_natural(float(v)) for v in x])
    return DecisionCurves(frozen_array(x), natural, curves, marked, scale.label, scale.ratio, direction, null)


def _beyond(marginal: Marginal, x: Array, direction: Benefit) -> Array:
    """Return ``(n,)`` probabilities beyond each threshold; that of the threshold itself counts on neither side."""
    if direction == "higher":
        return marginal.sf(x)
    below = np.array(marginal.cdf(x))
    for at, share in getattr(marginal, "atoms", {}).items():
        below[x == at] -= share
    return np.maximum(below, 0.0)


def decisions(
    source: Any,
    *,
    benefit: Benefit | None,
    thresholds: Sequence[float] = (),
    measure: str | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw P(effect beyond threshold) against the threshold, for the mean effect and for a new study.

    Parameters
    ----------
    source, benefit, thresholds, measure
        As in `decisions_data`.
    ax
        Axes to draw in; None makes a figure.
    """
    data = decisions_data(source, benefit=benefit, thresholds=thresholds, measure=measure)
    ax = new_axes(ax, 7.0, 3.6)
    at = np.asarray(data.x if data.ratio else data.natural)
    for name, curve in data.curves.items():
        new = name == NEW
        ax.plot(at, curve, color=BAYESIAN, label=name, lw=1.4 if new else 2.2, ls="--" if new else "-")
    for threshold in data.marked:
        ax.axvline(np.log(threshold) if data.ratio else threshold, color=FAINT, lw=1.0, zorder=0)
        place = np.log(threshold) if data.ratio else threshold
        text(ax, float(place), 1.02, f"{threshold:g}", ha="center", va="bottom", fontsize=8, color=MUTED, rotation=90)
    if data.null is not None:
        null = data.null if data.ratio else float(np.interp(data.null, data.x, data.natural))
        ax.axvline(null, color=MUTED, lw=0.8, zorder=0)
    bare(ax, left=True)
    ax.set_ylim(0.0, 1.0)
    ax.set_xlim(float(at[0]), float(at[-1]))
    if data.ratio:
        ticks = ratio_ticks(float(at[0]), float(at[-1]))
        ax.set_xticks(np.log(ticks), [f"{t:g}" for t in ticks])
        ax.set_xticks([], minor=True)
    sign = "<" if data.benefit == "lower" else ">"
    ax.set_xlabel(f"threshold t, {data.label}{' (log scale)' if data.ratio else ''}", color=INK, fontsize=9)
    ax.set_ylabel(f"P({data.label} {sign} t)", color=INK, fontsize=9)
    ax.legend(frameon=False, fontsize=8, loc="best")
    return ax
