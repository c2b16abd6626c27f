"""What a probability is about: whose effect, on which scale it is read, and which direction is a benefit."""

from collections.abc import Mapping
from typing import Any

from bayesmeta.effects import MEASURES, find_measure
from bayesmeta.errors import ModelError
from bayesmeta.events import Scale, measure_scale
from bayesmeta.posterior import Marginal, Posterior

MEAN = "mean effect"
NEW = "true effect of a new study"
ESTIMANDS: dict[str, str] = {"mean": MEAN, "new": NEW}


def measure_of(posterior: Posterior, measure: str | None = None) -> str:
    """Return the effect measure of a posterior, or check that the one given is not another.

    Raises
    ------
    ModelError
        If it cannot be known (a model file of one's own on counts), or `measure` contradicts the data.
    """
    known = posterior.measure
    if known is None and measure is None:
        raise ModelError(
            f"Which effect measure is mu of model {posterior.model.name!r}? Write it, e.g. measure='OR' for a log "
            "odds ratio."
        )
    # A generic effect says nothing of its scale, so the user may.
    if measure is not None and known not in (None, "GEN", measure):
        raise ModelError(f"This posterior is about {known}, not {measure}: leave measure out.")
    return find_measure(measure or str(known)).name


def marginals_of(posterior: Posterior) -> dict[str, Marginal]:
    """Return estimand to marginal: the mean effect and, where the model has one, a new study's true effect.

    Raises
    ------
    ModelError
        If there is no mean effect: a meta-regression.
    """
    if "mu" not in posterior.marginals:
        raise ModelError(
            "A meta-regression has no single mean effect: ask about one place of the moderators, e.g. "
            "bm.threshold_table(post.linear([1, x]), ..., measure='OR')."
        )
    named = {MEAN: posterior.mu}
    if "theta_new" in posterior.marginals:
        named[NEW] = posterior.theta_new
    return named


def quantities(source: Any, measure: str | None = None) -> tuple[Scale, Mapping[str, Marginal]]:
    """Return the scale and the marginals of what is asked about.

    Parameters
    ----------
    source
        A posterior, a marginal (with `measure`), or an absolute effect.
    measure
        Effect measure of a marginal, or of a posterior that does not know its own.

    Raises
    ------
    ModelError
        If it is none of these, or the measure is unknown.
    """
    if isinstance(source, Posterior):
        return measure_scale(measure_of(source, measure)), marginals_of(source)
    own = getattr(source, "quantities", None)
    if own is not None:
        return own()  # type: ignore[no-any-return]
    if isinstance(source, Marginal):
        if measure is None:
            raise ModelError(f"A marginal does not know its effect measure: write measure=, one of {_some()}.")
        return measure_scale(measure), {"effect": source}
    raise ModelError(f"Give a posterior, a marginal or an absolute effect, not {type(source).__name__}.")


def _some() -> str:
    return ", ".join(repr(name) for name in list(MEASURES)[:4]) + ", ..."
