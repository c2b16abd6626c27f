"""What the data say between models: Bayes factors, model averaging and predictive checks."""

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.errors import DataError, ModelError
from bayesmeta.posterior import Posterior
from bayesmeta.studies import EffectSizes

if TYPE_CHECKING:
    pass


def log_evidence(posterior: Posterior) -> float:
    """Return the log marginal likelihood of a fit.

    Raises
    ------
    ModelError
        If it has none: a prior is improper, or the engine does not compute it.
    """
    if posterior.log_evidence is None:
        improper = [f"{name} ~ {prior!r}" for name, prior in posterior.priors.items() if not prior.proper]
        why = f"the prior {', '.join(improper)} is improper" if improper else f"engine {posterior.engine!r} has none"
        raise ModelError(
            f"There is no marginal likelihood to compare models with: {why}. Use proper priors and engine='quadrature'."
        )
    return posterior.log_evidence


def bayes_factor(first: Posterior, second: Posterior) -> float:
    """Return the Bayes factor of one fit against another: how many times better it predicted the data.

    Infinite beyond the largest float (1.8e308), and 0 below the smallest; the difference of `log_evidence` is exact.

    Raises
    ------
    ModelError
        If a fit has no marginal likelihood.
    DataError
        If the two were fitted to different data.
    """
    if not isinstance(first, Posterior) or not isinstance(second, Posterior):
        raise ModelError("A Bayes factor compares two fits: give two results of bm.fit.")
    check_same_data((first, second), "A Bayes factor compares")
    return ratio(log_evidence(first) - log_evidence(second))


def check_same_data(fits: Sequence[Posterior], what: str) -> None:
    """Refuse fits whose evidences are densities of different data."""
    first = fits[0]
    for other in fits[1:]:
        if tuple(first.data.study) != tuple(other.data.study):
            raise DataError(f"{what} models of the same studies; these fits have different ones.")
        why = _difference(first, other)
        if why:
            raise DataError(f"{what} models of the same data, and {why}. Their evidences cannot be compared.")


def _difference(first: Posterior, other: Posterior) -> str:
    a, b = first.data, other.data
    if type(a) is not type(b):
        return f"these are {type(a).__name__} in one fit and {type(b).__name__} in the other"
    known = ("yi", "sei") if isinstance(a, EffectSizes) else tuple(f.name for f in fields(a))
    for name in known:
        x, y = getattr(a, name), getattr(b, name)
        if isinstance(x, np.ndarray) and not np.array_equal(x, y):
            return f"these differ between the fits ({name})"
    # The one is the probability of both arms' events, the other that of one arm's given their sum.
    if not isinstance(a, EffectSizes) and ("baseline" in first.priors) != ("baseline" in other.priors):
        return f"{first.model.name} and {other.model.name} do not state the probability of the same counts"
    return ""


def measure_of_mu(posterior: Posterior) -> str:
    """Return what mu is: the measure of estimates, or that of a model of counts."""
    return str(getattr(posterior.data, "measure", None) or posterior.model.own_measure or "not stated")


def ratio(log: float) -> float:
    """Return ``exp(log)``, infinity where that is beyond the largest float."""
    try:
        return math.exp(log)
    except OverflowError:
        return math.inf
