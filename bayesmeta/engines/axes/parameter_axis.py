r"""The axis a variance parameter is integrated on: one on which the trapezoidal rule converges geometrically.

The prior decides, because it says what the density does at the ends. A standard deviation whose prior is even and
analytic (half-normal, half-t, half-Cauchy) continues evenly to the whole line, ``s sinh t``, of which one half is
needed: there is no end at 0. Between two finite ends, as for correlations, and towards 0 otherwise, the map is double
exponential, so that whatever the density does at the end is flattened (Takahasi & Mori 1974, Publ. RIMS 9:721-741).
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit, log_expit, logit, wrightomega

from bayesmeta.errors import ModelError
from bayesmeta.priors import Prior
from bayesmeta.values import Array

EVEN = frozenset({"half_normal", "half_student_t", "half_cauchy", "half_logistic"})
# Probability left out at either end of a prior when the axis is first looked at.
END = 1e-6
# Reach of the double exponential maps: beyond it what is left of the support is below rounding.
REACH = 3.2


@dataclass(frozen=True, slots=True, eq=False)
class ParameterAxis:
    """The place t of a parameter x, and back.

    Parameters
    ----------
    name, prior
        Of the parameter.
    kind
        ``"even"``: ``x = scale sinh t``; ``"positive"``: ``x = low + scale exp(t - exp(-t))``; ``"log"``:
        ``x = low + exp(t)`` in units of `scale`; ``"between"``: ``x = low + (high - low) expit(pi sinh t)``;
        ``"line"``: ``x = center + scale t``.
    scale, center
        Unit and middle.
    low, high
        Ends of the support.
    first, last
        Where to look for the mass.
    """

    name: str
    prior: Prior
    kind: Literal["even", "positive", "log", "between", "line"]
    scale: float
    center: float
    low: float
    high: float
    first: float
    last: float

    @property
    def folded(self) -> bool:
        """Whether t and -t are the same value of the parameter."""
        return self.kind == "even"

    def x(self, t: Array) -> Array:
        """Return the parameter."""
        if self.kind == "even":
            return np.abs(self.scale * np.sinh(t))
        if self.kind == "positive":
            return self.low + self.scale * np.exp(t - np.exp(-t))
        if self.kind == "log":
            return self.low + np.exp(self.center + self.scale * t)
        if self.kind == "between":
            u, width = math.pi * np.sinh(t), self.high - self.low
            return np.asarray(np.where(u < 0.0, self.low + width * expit(u), self.high - width * expit(-u)))
        return self.center + self.scale * t

    def t(self, x: Array) -> Array:
        """Return the place."""
        with np.errstate(divide="ignore"):
            if self.kind == "even":
                return np.arcsinh(x / self.scale)
            if self.kind == "positive":
                log = np.log((x - self.low) / self.scale)
                return np.asarray(log + wrightomega(-log).real)
            if self.kind == "log":
                return (np.log(x - self.low) - self.center) / self.scale
            if self.kind == "between":
                return np.asarray(np.arcsinh(logit((x - self.low) / (self.high - self.low)) / math.pi))
        return (x - self.center) / self.scale

    def log_slope(self, t: Array) -> Array:
        """Return ``log |dx / dt|``."""
        if self.kind == "even":
            return np.asarray(math.log(self.scale) + np.logaddexp(t, -t) - math.log(2.0))
        if self.kind == "positive":
            return np.asarray(math.log(self.scale) + t - np.exp(-t) + np.logaddexp(0.0, -t))
        if self.kind == "log":
            return math.log(self.scale) + self.center + self.scale * t
        if self.kind == "between":
            u = math.pi * np.sinh(t)
            steep = math.log(math.pi * (self.high - self.low)) + np.log(np.cosh(t))
            return np.asarray(steep + log_expit(u) + log_expit(-u))
        return np.full_like(t, math.log(self.scale))

    def log_weight(self, t: Array) -> Array:
        """Return the log prior density per unit of t."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            value = self.prior.logpdf(self.x(t)) + self.log_slope(t)
        return np.where(np.isnan(value), -np.inf, value)


def parameter_axis(name: str, prior: Prior, unit: float, spread: float, *, squared: bool = True) -> ParameterAxis:
    """Return the axis that suits a prior.

    Parameters
    ----------
    name, prior
        Of the parameter.
    unit
        Smallest scale at which the likelihood can tell two values of a standard deviation apart: a standard error.
    spread
        Largest scale that the data speak of: the range of the effects.
    squared
        Whether the likelihood depends on the square of the parameter alone. That of a standard deviation whose random
        effects are correlated with others does not, and has no even continuation.

    Raises
    ------
    ModelError
        If the density of the prior jumps or has a kink inside its support.
    """
    low, high = prior.support
    if any(low < place < high for place in prior.breaks):
        raise ModelError(
            f"The prior {prior!r} of {name} has a density that jumps or has a kink, which several parameters cannot be "
            "integrated over together. Use a smooth prior, or engine='nuts'."
        )
    if math.isfinite(low) and math.isfinite(high):
        return ParameterAxis(name, prior, "between", 1.0, 0.0, low, high, -REACH, REACH)
    if math.isinf(low):
        start, middle, end = (float(q) for q in prior.ppf([END, 0.5, 1.0 - END]))
        scale = prior.scale_hint()
        return ParameterAxis(
            name, prior, "line", scale, middle, low, high, (start - middle) / scale, (end - middle) / scale
        )
    largest = 10.0 * max(spread, unit, float(prior.ppf(1.0 - END)) if prior.proper else 0.0)
    if low == 0.0 and squared and _even(prior):
        return ParameterAxis(name, prior, "even", unit, 0.0, low, high, 0.0, math.asinh(largest / unit))
    if low == 0.0 and math.isinf(prior.origin_exponent):
        center, scale = math.log(prior.scale_hint()), 1.0
        start = math.log(float(prior.ppf(END))) - center
        return ParameterAxis(name, prior, "log", scale, center, low, high, start, math.log(largest) - center)
    return ParameterAxis(name, prior, "positive", unit, 0.0, low, high, -REACH, math.log(largest / unit))


def _even(prior: Prior) -> bool:
    parts = getattr(prior, "components", None)
    if parts:
        return all(_even(part) for part in parts)
    return getattr(prior, "name", "") in EVEN or not prior.proper
