"""What a probability is about: whose effect, on which scale it is read, and which direction is a benefit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bayesmeta.effects import MEASURES, find_measure
from bayesmeta.errors import ModelError, unknown
from bayesmeta.posterior import Marginal, Posterior
from bayesmeta.resources import models_dir
from bayesmeta.studies import EffectSizes

type Benefit = Literal["higher", "lower"]

MEAN = "mean effect"
NEW = "true effect of a new study"
ESTIMANDS: dict[str, str] = {"mean": MEAN, "new": NEW}


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """How the numbers of a quantity are written.

    Parameters
    ----------
    label
        Short name on the natural scale, e.g. ``"OR"``.
    to_natural, from_natural
        From the marginal's own scale to the one people read, and back.
    null
        No effect on the natural scale; None where no value means that.
    ratio
        Whether the natural scale is a ratio, greater than 0.
    words
        Makes an event in words from bounds on the natural scale, None for no bound.
    """

    label: str
    to_natural: Callable[[float], float]
    from_natural: Callable[[float], float]
    null: float | None
    ratio: bool
    words: Callable[[float | None, float | None], str]


def bounds_words(label: str) -> Callable[[float | None, float | None], str]:
    """Return the function that writes bounds as ``OR < 0.8`` or ``0.9 < OR < 1.1``."""

    def words(low: float | None, high: float | None) -> str:
        if low is None:
            assert high is not None
            return f"{label} < {plain(high)}"
        return f"{label} > {plain(low)}" if high is None else f"{plain(low)} < {label} < {plain(high)}"

    return words


def plain(value: float) -> str:
    """Return a bound as it was written; four digits where it has more than anybody writes.

    Examples
    --------
    >>> plain(0.67), plain(1.0), plain(1 / 0.9)
    ('0.67', '1', '1.111')
    """
    said = f"{value:.12g}"
    return said if len(said) <= 8 else f"{value:.4g}"


def measure_scale(name: str) -> Scale:
    """Return the scale of an effect measure.

    Raises
    ------
    ModelError
        If the measure is unknown.
    """
    chosen = find_measure(name)
    return Scale(
        label="effect" if name == "GEN" else name,
        to_natural=lambda x: float(chosen.to_natural(x)),
        from_natural=lambda x: float(chosen.from_natural(x)),
        null=chosen.null_natural,
        ratio=chosen.ratio,
        words=bounds_words("effect" if name == "GEN" else name),
    )


def measure_of(posterior: Posterior, measure: str | None = None) -> str:
    """Return the effect measure of a posterior, or check that the one given is not another.

    Raises
    ------
    ModelError
        If it cannot be known (a model file of one's own on counts), or `measure` contradicts the data.
    """
    data, known = posterior.data, None
    if isinstance(data, EffectSizes):
        known = data.measure
    elif posterior.model.path.parent == models_dir():
        known = posterior.model.own_measure
    else:
        # A file of one's own that does not state it may have been written before anybody asked.
        known = posterior.model.measure
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


def check_benefit(benefit: str | None) -> Benefit:
    """Return the direction of benefit.

    Raises
    ------
    ModelError
        If there is none: what helps cannot be told from a number.
    """
    if benefit is None:
        raise ModelError(
            "No direction of benefit: whether a larger effect helps or harms depends on the outcome. Write "
            "benefit='lower' where less of it is better (deaths), benefit='higher' where more is (recoveries)."
        )
    if benefit not in ("lower", "higher"):
        raise unknown("benefit", benefit, ("lower", "higher"))
    return "lower" if benefit == "lower" else "higher"


def check_values(scale: Scale, values: Sequence[float], what: str) -> tuple[float, ...]:
    """Return natural-scale `values` as floats.

    Raises
    ------
    ModelError
        If one is not a finite number, or not greater than 0 for a ratio.
    """
    numbers = tuple(float(v) for v in np.atleast_1d(np.asarray(values, dtype=float)))
    if not numbers:
        raise ModelError(f"{what} is empty: give at least one number on the scale of {scale.label}.")
    for value in numbers:
        if not np.isfinite(value):
            raise ModelError(f"{what} has {value}: give finite numbers on the scale of {scale.label}.")
        if scale.ratio and value <= 0:
            raise ModelError(
                f"{what} has {value:g}: {scale.label} is a ratio, greater than 0. Give it on the natural scale, "
                f"e.g. 0.8, not its log."
            )
    return numbers
