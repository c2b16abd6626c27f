"""The likelihoods of a model file as functions that can be pickled: they travel as the model, the data and the priors.

A function that a model file defines is part of no package that another process could import. On arrival the file is
asked again, the first time that a likelihood is wanted: what was computed from it before comes along as numbers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bayesmeta.model import Model, StudyLikelihoods
from bayesmeta.priors import Prior
from bayesmeta.values import Array


@dataclass(frozen=True, slots=True, eq=False)
class StatedLoglik:
    """``loglik`` of what ``study_likelihoods(data, priors)`` of a model returns.

    Parameters
    ----------
    model, data, priors
        Who states it, and about what.
    known
        The function itself, once it is here.
    """

    model: Model
    data: Any
    priors: Mapping[str, Prior]
    known: list[Callable[[Array], Array]] = field(default_factory=list)

    def __call__(self, theta: Array) -> Array:
        """Return ``(k, m)`` log likelihoods at ``(k, m)`` values of theta."""
        if not self.known:
            assert self.model.study_likelihoods is not None
            self.known.append(self.model.study_likelihoods(self.data, self.priors).loglik)
        return self.known[0](theta)

    def __reduce__(self) -> tuple[Any, ...]:
        return StatedLoglik, (self.model, self.data, self.priors)


def stated(model: Model, data: Any, priors: Mapping[str, Prior]) -> StudyLikelihoods:
    """Return the studies' likelihoods by a model that offers them."""
    assert model.study_likelihoods is not None
    likelihoods = model.study_likelihoods(data, priors)
    return replace(likelihoods, loglik=StatedLoglik(model, data, priors, [likelihoods.loglik]))
