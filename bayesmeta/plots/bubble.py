"""Bubble plot: effects against one moderator, with the classical and the Bayesian regression line."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.effects import MEASURES
from bayesmeta.errors import DataError
from bayesmeta.fit import fit
from bayesmeta.frequentist import pool
from bayesmeta.frequentist.pool import CiRule
from bayesmeta.frequentist.tau2 import DEFAULT_ESTIMATOR
from bayesmeta.plots._style import BAYESIAN, CLASSICAL, INK, MUTED, bare, natural_ticks, new_axes
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array, frozen_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class BubbleData:
    """Effects over a moderator and both regressions, on the analysis scale.

    Parameters
    ----------
    moderator
        Its name.
    x, y, weight
        ``(k,)`` moderator, effect, and weight in percent.
    grid
        ``(n,)`` values of the moderator.
    classical, classical_low, classical_high
        ``(n,)`` fitted mean and its confidence limits.
    bayesian, bayesian_low, bayesian_high
        ``(n,)`` posterior median of the mean and its credible limits.
    """

    moderator: str
    study: tuple[str, ...]
    x: Array
    y: Array
    weight: Array
    grid: Array
    classical: Array
    classical_low: Array
    classical_high: Array
    bayesian: Array
    bayesian_low: Array
    bayesian_high: Array


def bubble_data(
    effects: EffectSizes,
    *,
    method: str = DEFAULT_ESTIMATOR,
    ci: CiRule = "wald",
    level: float = 0.95,
    priors: Mapping[str, Any] | None = None,
    points: int = 41,
) -> BubbleData:
    """Return the studies over their moderator, and both regression lines.

    Parameters
    ----------
    effects
        Effects with an intercept and one numeric moderator.
    method, ci, level
        As in `frequentist.pool`.
    priors
        Of the Bayesian regression; its defaults otherwise.
    points
        Of the lines.

    Raises
    ------
    DataError
        If there is not exactly one moderator beside an intercept.
    """
    moderators, X = effects.moderators, effects.X
    if len(moderators) != 1 or X is None or X.shape[1] != 2 or not (X[:, 0] == 1.0).all():
        raise DataError(
            "A bubble plot has one moderator on its axis, beside an intercept: bm.effect_sizes(table, measure=..., "
            "moderators='year')."
        )
    classical = pool(effects, method=method, ci=ci, level=level)
    posterior = fit(effects, "meta_regression", priors=priors, engine="quadrature")
    x = X[:, 1]
    grid = np.linspace(float(x.min()), float(x.max()), points)
    rows = np.column_stack([np.ones(points), grid])
    at = classical.predict(rows)
    tail = (1.0 - level) / 2.0
    lines = np.array([posterior.linear(row).ppf([0.5, tail, 1.0 - tail]) for row in rows]).T
    return BubbleData(
        moderators[0], effects.study, frozen_array(x), effects.yi, classical.weights, frozen_array(grid),
        frozen_array(at.estimate), frozen_array(at.ci_low), frozen_array(at.ci_high),
        *(frozen_array(line) for line in lines),
    )  # fmt: skip


def bubble(
    effects: EffectSizes,
    *,
    method: str = DEFAULT_ESTIMATOR,
    ci: CiRule = "wald",
    level: float = 0.95,
    priors: Mapping[str, Any] | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw a bubble plot: area by weight, the classical line with its band, and the Bayesian one.

    Parameters
    ----------
    effects, method, ci, level, priors
        As in `bubble_data`.
    ax
        Axes to draw in; None makes a figure.
    """
    data = bubble_data(effects, method=method, ci=ci, level=level, priors=priors)
    ax = new_axes(ax, 6.0, 4.0)
    for colour, line, low, high in (
        (CLASSICAL, data.classical, data.classical_low, data.classical_high),
        (BAYESIAN, data.bayesian, data.bayesian_low, data.bayesian_high),
    ):
        ax.fill_between(data.grid, low, high, color=colour, alpha=0.13, lw=0)
        ax.plot(data.grid, line, color=colour, lw=1.6)
    area = 14.0 + 260.0 * data.weight / data.weight.max()
    ax.scatter(data.x, data.y, s=area, color=INK, alpha=0.5, linewidths=0, zorder=3)
    scale = MEASURES[effects.measure]
    if scale.null is not None:
        ax.axhline(scale.null, color=MUTED, lw=0.8, zorder=0)
    bare(ax, left=True)
    ticks = natural_ticks(scale, *ax.get_ylim())
    if ticks is not None:
        ax.set_yticks(np.asarray(scale.from_natural(ticks)), [f"{t:g}" for t in ticks])
    ax.set_ylabel(scale.axis_label if scale.ratio else scale.label, color=INK, fontsize=9)
    ax.set_xlabel(data.moderator, color=INK, fontsize=9, parse_math=False)
    return ax
