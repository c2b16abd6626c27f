"""L'Abbé plot: the risk of each study's treatment arm against that of its control arm."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.errors import DataError
from bayesmeta.frequentist import pool
from bayesmeta.plots._style import CLASSICAL, FAINT, INK, MUTED, bare, new_axes
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array, frozen_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DRAWN = ("OR", "PETO", "RR", "RD")


@dataclass(frozen=True, slots=True, eq=False)
class LabbeData:
    """Risks of both arms, and the risks that one common effect would give.

    Parameters
    ----------
    control, treatment
        ``(k,)`` observed risks.
    n
        ``(k,)`` patients of both arms.
    mu
        Pooled effect, analysis scale.
    curve_control, curve_treatment
        ``(n,)`` risks of treatment that the pooled effect makes of risks of control.
    """

    study: tuple[str, ...]
    control: Array
    treatment: Array
    n: Array
    mu: float
    curve_control: Array
    curve_treatment: Array


def labbe_data(effects: EffectSizes, *, mu: float | None = None, points: int = 201) -> LabbeData:
    """Return observed risks and the curve of a pooled effect.

    Parameters
    ----------
    effects
        Odds ratios, risk ratios or risk differences from 2x2 counts.
    mu
        Pooled effect on the analysis scale; that of `frequentist.pool` when not given.
    points
        Of the curve.

    Raises
    ------
    DataError
        If the effects do not come from 2x2 counts, or are of another measure.

    References
    ----------
    L'Abbé, Detsky & O'Rourke (1987), Ann. Intern. Med. 107:224-233.
    """
    counts = effects.counts
    if counts is None or effects.measure not in DRAWN:
        raise DataError(
            f"An L'Abbé plot needs {', '.join(DRAWN)} from 2x2 counts: use bm.effect_sizes(table, measure='OR')."
        )
    centre = pool(effects).mu if mu is None else float(mu)
    risk = np.linspace(0.0, 1.0, points)
    if effects.measure == "RD":
        treated = risk + centre
    elif effects.measure == "RR":
        treated = risk * np.exp(centre)
    else:
        odds = np.exp(centre)
        treated = risk * odds / (1.0 - risk + risk * odds)
    # A ratio or a difference applied to every risk would leave the range of risks.
    inside = (treated >= 0.0) & (treated <= 1.0)
    return LabbeData(
        effects.study,
        frozen_array(counts.events_control / counts.n_control),
        frozen_array(counts.events_treatment / counts.n_treatment),
        frozen_array(counts.n_control + counts.n_treatment),
        centre,
        frozen_array(risk[inside]),
        frozen_array(treated[inside]),
    )


def labbe(effects: EffectSizes, *, mu: float | None = None, ax: "Axes | None" = None) -> "Axes":
    """Draw an L'Abbé plot: area by patients, a line of equal risks, and the curve of the pooled effect.

    Parameters
    ----------
    effects, mu
        As in `labbe_data`.
    ax
        Axes to draw in; None makes a figure.
    """
    data = labbe_data(effects, mu=mu)
    ax = new_axes(ax, 4.4, 4.4)
    ax.plot([0, 1], [0, 1], color=FAINT, lw=1.0)
    ax.plot(data.curve_control, data.curve_treatment, color=CLASSICAL, lw=1.4)
    area = 12.0 + 220.0 * data.n / data.n.max()
    ax.scatter(data.control, data.treatment, s=area, color=INK, alpha=0.55, linewidths=0, zorder=3)
    reach = min(1.0, 1.15 * float(max(data.control.max(), data.treatment.max())) + 0.01)
    ax.set_xlim(0.0, reach)
    ax.set_ylim(0.0, reach)
    bare(ax, left=True)
    ax.tick_params(colors=MUTED, labelcolor=INK)
    ax.set_xlabel("risk, control", color=INK, fontsize=9)
    ax.set_ylabel("risk, treatment", color=INK, fontsize=9)
    return ax
