"""What a model says of how results came to be reported: weights of intervals of p, or a slope on study size."""

from dataclasses import dataclass

import numpy as np

from bayesmeta.errors import ModelError
from bayesmeta.priors import Prior
from bayesmeta.priors.step_weights import StepWeights
from bayesmeta.values import Array


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Effects that were reported with a chance that depends on their p-value.

    Parameters
    ----------
    study
        ``(k,)`` labels.
    y, sei
        ``(k,)`` effects and standard errors.
    mu, tau, omega
        Priors; `omega` has the cut points and the side.
    """

    study: tuple[str, ...]
    y: Array
    sei: Array
    mu: Prior
    tau: Prior
    omega: StepWeights

    @property
    def sign(self) -> float:
        """What turns effects so that high ones are favoured."""
        return -1.0 if self.omega.side == "less" else 1.0

    @property
    def counts(self) -> Array:
        """``(J,)`` number of results in each interval, the least significant first.

        A result at a cut point lies in the more significant interval.
        """
        y = np.abs(self.y) if self.omega.side == "two-sided" else self.sign * self.y
        place = (y[:, None] >= self.omega.edges(self.sei)).sum(axis=1)
        return np.bincount(place, minlength=self.omega.J).astype(float)


@dataclass(frozen=True, slots=True, eq=False)
class SmallStudy:
    """Effects that lean with study size: ``y_i ~ N(mu + bias x_i, sei_i^2 + tau^2)``.

    Parameters
    ----------
    study
        ``(k,)`` labels.
    y, sei
        ``(k,)`` effects and standard errors.
    x
        ``(k,)`` standard errors (PET) or sampling variances (PEESE).
    mu, tau, bias
        Priors; `bias` is of the slope on `x`.
    """

    study: tuple[str, ...]
    y: Array
    sei: Array
    x: Array
    mu: Prior
    tau: Prior
    bias: Prior


type Reporting = Selection | SmallStudy


def step_prior(prior: Prior) -> StepWeights:
    """Return the prior of the weights, once it is sure that it is one.

    Raises
    ------
    ModelError
        If it is another kind of prior.
    """
    if not isinstance(prior, StepWeights):
        raise ModelError(
            f"omega={prior!r} is no prior of weights: say the cut points and which results are favoured, e.g. "
            "step_weights(0.025, 0.05, side='greater')."
        )
    return prior
