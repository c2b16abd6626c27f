"""Prior and posterior density of one quantity on one axis: what the data added."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from bayesmeta.effects import MEASURES, Measure
from bayesmeta.errors import ModelError, unknown
from bayesmeta.plots._style import BAYESIAN, INK, MUTED, bare, natural_axis, new_axes
from bayesmeta.posterior import Posterior, check_single_fit, fixed_at
from bayesmeta.priors import Prior
from bayesmeta.values import Array, Interval, frozen_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

type Quantity = Literal["mu", "tau"]


@dataclass(frozen=True, slots=True, eq=False)
class PriorPosteriorData:
    """Densities on the analysis scale, on one grid.

    Parameters
    ----------
    x
        ``(n,)`` grid.
    posterior
        ``(n,)`` density.
    prior
        ``(n,)`` density; None when the prior has none (improper).
    interval
        Equal-tailed credible interval of the posterior.
    prior_text
        The prior as it is written.
    """

    quantity: str
    x: Array
    posterior: Array
    prior: Array | None
    interval: Interval
    median: float
    prior_text: str


def prior_of(posterior: Posterior, quantity: str) -> Prior:
    """Return the prior of a parameter, with anything that depends on the data filled in.

    Raises
    ------
    ModelError
        If there is no parameter of that name, or the posterior is an average of models.
    """
    check_single_fit(posterior, "A prior beside its posterior")
    if quantity not in posterior.priors:
        raise unknown("parameter with a prior:", quantity, posterior.priors)
    prior = posterior.priors[quantity]
    sei = getattr(posterior.data, "sei", None)
    resolved: Prior = prior if sei is None else prior.resolve(sei)
    return resolved


def prior_posterior_data(
    posterior: Posterior, quantity: Quantity = "mu", *, level: float = 0.95, points: int = 400
) -> PriorPosteriorData:
    """Return prior and posterior density on a grid that holds the posterior and some of the prior.

    Parameters
    ----------
    posterior
        Of either engine.
    quantity
        ``"mu"`` or ``"tau"``.
    level
        Of the credible interval.
    points
        Size of the grid.

    Raises
    ------
    ModelError
        If there is no such parameter, its prior fixes it, or the posterior is an average of models.
    """
    prior = prior_of(posterior, quantity)
    if fixed_at(posterior, quantity) is not None:
        raise ModelError(
            f"{quantity} is known: the prior {posterior.priors[quantity]!r} fixes it, so there are no densities "
            "to draw."
        )
    marginal = posterior[quantity]
    low, high = (float(marginal.ppf(q)) for q in (0.0005, 0.9995))
    if quantity == "tau":
        low = 0.0
        high = max(high, float(prior.ppf(np.float64(0.95)))) if prior.proper else high
    else:
        # A vague prior would need an axis on which the posterior is a spike; show where it matters.
        low, high = low - 0.35 * (high - low), high + 0.35 * (high - low)
    # The density of some priors is infinite at 0; the grid starts just above.
    x = (
        np.linspace(low, high, points)
        if low < 0 or quantity == "mu"
        else np.linspace(high / (10 * points), high, points)
    )
    return PriorPosteriorData(
        quantity=quantity,
        x=frozen_array(x),
        posterior=frozen_array(marginal.pdf(x)),
        prior=frozen_array(np.exp(prior.logpdf(x))) if prior.proper else None,
        interval=marginal.eti(level),
        median=marginal.median(),
        prior_text=repr(posterior.priors[quantity]),
    )


def prior_posterior(
    posterior: Posterior,
    quantity: Quantity = "mu",
    *,
    measure: str | Measure | None = None,
    level: float = 0.95,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw the prior (dashed) and the posterior (filled over its credible interval) of mu or tau.

    Parameters
    ----------
    posterior
        Of either engine.
    quantity
        ``"mu"`` or ``"tau"``.
    measure
        For the axis of mu; that of the data or of the model of counts when not given.
    level
        Of the shaded credible interval.
    ax
        Axes to draw in; None makes a figure.
    """
    data = prior_posterior_data(posterior, quantity, level=level)
    ax = new_axes(ax, 5.2, 3.0)
    name = measure or posterior.measure or "GEN"
    scale = name if isinstance(name, Measure) else MEASURES[name]
    if data.prior is not None:
        ax.plot(data.x, data.prior, color=MUTED, lw=1.2, ls=(0, (5, 3)), label=f"prior {data.prior_text}")
    ax.plot(data.x, data.posterior, color=BAYESIAN, lw=1.6, label="posterior")
    inside = (data.x >= data.interval.low) & (data.x <= data.interval.high)
    ax.fill_between(data.x, data.posterior, where=inside, color=BAYESIAN, alpha=0.18, lw=0)
    ax.set_xlim(0.0 if quantity == "tau" else float(data.x[0]), float(data.x[-1]))
    ax.set_ylim(0, 1.12 * float(np.max(data.posterior)))
    bare(ax)
    if quantity == "mu":
        if scale.null is not None:
            ax.axvline(scale.null, color=MUTED, lw=0.8)
        natural_axis(ax, scale)
    else:
        ax.set_xlabel(f"tau, between-study SD ({scale.analysis_label})", color=INK, fontsize=9)
    ax.legend(frameon=False, fontsize=8, labelcolor=INK, loc="best")
    return ax
