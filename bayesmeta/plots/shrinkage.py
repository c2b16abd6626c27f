"""True effects given tau: how far each study is drawn towards the others as tau falls, and how probable each tau is."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.effects import MEASURES
from bayesmeta.errors import ModelError
from bayesmeta.fit import fit
from bayesmeta.plots._style import BAYESIAN, FAINT, INK, MUTED, bare, natural_ticks, new_axes, text
from bayesmeta.posterior import Posterior, check_single_fit, fixed_at
from bayesmeta.values import Array, frozen_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class ShrinkageData:
    """Posterior means given tau, on the analysis scale.

    Parameters
    ----------
    tau
        ``(n,)`` values of tau.
    theta
        ``(n, k)`` mean of each study's true effect, given tau.
    mu, mu_sd
        ``(n,)`` mean and SD of the mean effect, given tau.
    density
        ``(n,)`` posterior density of tau.
    """

    study: tuple[str, ...]
    tau: Array
    theta: Array
    mu: Array
    mu_sd: Array
    density: Array


def shrinkage_data(posterior: Posterior, *, points: int = 41) -> ShrinkageData:
    """Return the posterior means of true effects and of the mean effect at fixed values of tau.

    Parameters
    ----------
    posterior
        Of a model with a closed form given tau.
    points
        Values of tau, from near 0 to the 99% quantile.

    Raises
    ------
    ModelError
        If the model has no closed form given tau, or tau is known.

    References
    ----------
    Rubin (1981), J. Educ. Stat. 6:377-401.
    """
    check_single_fit(posterior, "a shrinkage plot")
    if not posterior.model.abilities.batched or "tau" not in posterior.marginals:
        raise ModelError(
            f"Model {posterior.model.name!r} has no closed form given tau: this plot needs 'normal_normal'."
        )
    if fixed_at(posterior, "tau") is not None:
        raise ModelError("tau is known here, so nothing can be drawn over it: give tau a prior that leaves it open.")
    top = float(posterior.tau.ppf(0.99))
    tau = np.linspace(top / points, top, points)
    given = [_at(posterior, float(t)) for t in tau]
    theta = [[p.theta[study].mean() for study in posterior.data.study] for p in given]
    return ShrinkageData(
        tuple(posterior.data.study),
        frozen_array(tau),
        frozen_array(theta),
        frozen_array([p.mu.mean() for p in given]),
        frozen_array([p.mu.sd() for p in given]),
        frozen_array(posterior.tau.pdf(tau)),
    )


def _at(posterior: Posterior, tau: float) -> Posterior:
    priors = {**posterior.priors, "tau": f"point({tau!r})"}
    return fit(posterior.data, posterior.model, priors=priors, engine="quadrature")


def shrinkage(posterior: Posterior, *, measure: str | None = None, ax: "Axes | None" = None) -> "Axes":
    """Draw each study's true effect against tau (thin), the mean effect with its 95% band (blue), and tau's density.

    Parameters
    ----------
    posterior
        As in `shrinkage_data`.
    measure
        Effect measure, where the posterior does not know it.
    ax
        Axes to draw in; None makes a figure.
    """
    data = shrinkage_data(posterior)
    ax = new_axes(ax, 6.4, 4.2)
    low, high = float(min(data.theta.min(), data.mu.min())), float(max(data.theta.max(), data.mu.max()))
    room = 0.35 * (high - low) or 1.0
    ax.set_ylim(low - room, high + room)
    # The density of tau stands on the floor, a quarter of the height: its units are not those of the axis.
    floor = low - room
    ax.fill_between(data.tau, floor, floor + 0.7 * room * data.density / data.density.max(), color=FAINT, lw=0)
    ax.fill_between(
        data.tau, data.mu - 1.96 * data.mu_sd, data.mu + 1.96 * data.mu_sd, color=BAYESIAN, alpha=0.15, lw=0
    )
    ax.plot(data.tau, data.mu, color=BAYESIAN, lw=2.0)
    for study, path in zip(data.study, data.theta.T, strict=True):
        ax.plot(data.tau, path, color=INK, lw=0.8)
        text(ax, float(data.tau[-1]), float(path[-1]), f" {study}", ha="left", va="center", fontsize=7.5, color=INK)
    bare(ax, left=True)
    scale = MEASURES[measure or posterior.measure or "GEN"]
    ticks = natural_ticks(scale, *ax.get_ylim())
    if ticks is not None:
        ax.set_yticks(np.asarray(scale.from_natural(ticks)), [f"{t:g}" for t in ticks])
    ax.set_ylabel(scale.axis_label if scale.ratio else scale.label, color=INK, fontsize=9)
    ax.set_xlabel("tau", color=INK, fontsize=9)
    ax.set_xlim(0.0, float(data.tau[-1]))
    ax.tick_params(colors=MUTED, labelcolor=INK)
    return ax
