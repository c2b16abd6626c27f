"""The figures of a report: what is drawn, how large, and what is said below."""

from typing import TYPE_CHECKING, Any

from bayesmeta.plots import forest, funnel, prior_posterior, prior_sets, ranks
from bayesmeta.plots.forest import forest_data, forest_room
from bayesmeta.report.values import Figure, Words

if TYPE_CHECKING:
    from bayesmeta.analysis import OutcomeResult
    from bayesmeta.posterior import Posterior

FOREST_CAPTION = (
    Words("Black: each study as observed, with its confidence interval. "),
    Words("Blue circles", "bayesian"),
    Words(": its true effect by the Bayesian model, drawn towards the others. Diamonds: pooled mean effects, "),
    Words("published", "published"),
    Words(", "),
    Words("classical", "classical"),
    Words(" and "),
    Words("Bayesian", "bayesian"),
    Words("; the thin line below a diamond is its prediction interval for a new study."),
)


def forest_figure(result: "OutcomeResult", name: str) -> Figure:
    """Return the forest plot of an outcome."""
    height, position = forest_room(forest_data(result.comparison))
    return Figure(
        draw=lambda ax: forest(result.comparison, ax=ax),
        width=11.0,
        height=height,
        position=position,
        label=f"Forest plot: {result.label}",
        name=name,
        caption=FOREST_CAPTION,
        wide=True,
    )


def density_figure(posterior: "Posterior", quantity: Any, measure: str, level: float, name: str) -> Figure:
    """Return prior and posterior of mu or tau."""
    return Figure(
        draw=lambda ax: prior_posterior(posterior, quantity, measure=measure, level=level, ax=ax),
        width=5.3,
        height=2.7,
        label=f"Prior and posterior density of {quantity}",
        name=name,
    )


def prior_sets_figure(result: "OutcomeResult", measure: str, level: float, name: str) -> Figure:
    """Return the pooled effect under each set of priors."""
    posteriors = {s.label: s.posterior for s in result.prior_sets if s.posterior is not None}
    height = 0.75 + 0.3 * len(posteriors)
    return Figure(
        draw=lambda ax: prior_sets(posteriors, measure=measure, level=level, ax=ax),
        width=8.0,
        height=height,
        position=(0.32, 0.52 / height, 0.64, 1 - 0.56 / height),
        label=f"Pooled effect under each set of priors: {result.label}",
        name=name,
        caption=(
            Words("Thick: credible interval of the mean effect; thin: prediction interval of a new study; "),
            Words("dot: posterior median."),
        ),
        wide=True,
    )


def funnel_figure(result: "OutcomeResult", level: float, name: str) -> Figure:
    """Return the funnel plot of an outcome."""
    return Figure(
        draw=lambda ax: funnel(result.comparison.effects, level=level, ax=ax),
        width=5.3,
        height=3.3,
        position=(0.12, 0.17, 0.84, 0.78),
        label=f"Funnel plot: {result.label}",
        name=name,
    )


def ranks_figure(posterior: "Posterior", quantity: str, name: str) -> Figure:
    """Return the rank plot of a quantity's chains."""
    return Figure(
        draw=lambda ax: ranks(posterior, quantity, ax=ax),
        width=5.3,
        height=2.2,
        position=(0.12, 0.24, 0.84, 0.7),
        label=f"Rank plot of {quantity}",
        name=name,
    )
