"""Accept distributions of other packages: scipy.stats frozen ones, and objects that speak the same words."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesmeta.errors import ModelError
from bayesmeta.priors.base import Base, number
from bayesmeta.priors.combine import Truncated
from bayesmeta.priors.half import Exponential, HalfCauchy, HalfLogistic, HalfNormal, Lomax
from bayesmeta.priors.interval import Beta, Uniform
from bayesmeta.priors.line import Cauchy, Logistic, Normal, StudentT
from bayesmeta.priors.positive import Gamma, InverseGamma, LogNormal, Rayleigh
from bayesmeta.values import Array


def _truncated_normal(a: float, b: float, loc: float, scale: float) -> Truncated:
    return Truncated(Normal(loc, scale), loc + a * scale, loc + b * scale)


# scipy.stats name -> our prior given its shapes, loc and scale; those in _AT_ZERO only where loc is 0.
_SAME: dict[str, Callable[..., Any]] = {
    "norm": Normal,
    "t": StudentT,
    "cauchy": Cauchy,
    "logistic": Logistic,
    "truncnorm": _truncated_normal,
    "uniform": lambda loc, scale: Uniform(loc, loc + scale),
    "halfnorm": lambda loc, scale: HalfNormal(scale),
    "halfcauchy": lambda loc, scale: HalfCauchy(scale),
    "halflogistic": lambda loc, scale: HalfLogistic(scale),
    "expon": lambda loc, scale: Exponential(1 / scale),
    "lomax": lambda c, loc, scale: Lomax(c, scale),
    "gamma": lambda a, loc, scale: Gamma(a, 1 / scale),
    "invgamma": lambda a, loc, scale: InverseGamma(a, scale),
    "rayleigh": lambda loc, scale: Rayleigh(scale),
    "lognorm": lambda s, loc, scale: LogNormal(math.log(scale), s),
}
_ANYWHERE = {"norm", "t", "cauchy", "logistic", "truncnorm", "uniform"}


def from_scipy(distribution: Any) -> Any:
    """Return a prior from a frozen distribution: the same family here where there is one, else wrapped.

    Parameters
    ----------
    distribution
        A continuous ``scipy.stats`` frozen distribution, or any object with ``logpdf``, ``cdf``, ``ppf``,
        ``mean`` and ``std``. With a ``to_pymc(name)`` method it can be sampled by NUTS too.

    Raises
    ------
    ModelError
        If the distribution is discrete or not univariate.
    """
    family = getattr(getattr(distribution, "dist", None), "name", type(distribution).__name__)
    if hasattr(distribution, "dist") and not hasattr(distribution.dist, "_parse_args"):
        raise ModelError(f"Cannot use {family} as a prior: it must be one continuous distribution.")
    if hasattr(distribution, "dist"):
        shapes, loc, scale = distribution.dist._parse_args(*distribution.args, **distribution.kwds)
        shapes, loc, scale = tuple(map(float, shapes)), float(loc), float(scale)
        if family == "beta" and (loc, scale) == (0, 1):
            return Beta(*shapes)
        if family in _SAME and (family in _ANYWHERE or loc == 0):
            return _SAME[family](*shapes, loc, scale)
        return Wrapped(distribution, f"{family}({', '.join(number(v) for v in (*shapes, loc, scale))})")
    return Wrapped(distribution, repr(distribution))


@dataclass(frozen=True, slots=True, repr=False)
class Wrapped(Base):
    """A distribution of another package, used through its own functions."""

    distribution: Any
    label: str

    def __post_init__(self) -> None:
        values = np.asarray(self.distribution.ppf(np.array([0.25, 0.5])), dtype=float)
        if values.shape != (2,) or not np.isfinite(values).all() or not values[0] < values[1]:
            raise ModelError(f"Cannot use {self.label} as a prior: it must be one continuous distribution.")

    def __repr__(self) -> str:
        return f"scipy:{self.label}" if hasattr(self.distribution, "dist") else self.label

    def parameters(self) -> dict[str, Any]:
        return {}

    @property
    def structure(self) -> str:
        return repr(self)

    @property
    def support(self) -> tuple[float, float]:
        low, high = self.distribution.ppf(np.array([0.0, 1.0]))
        return (float(low), float(high))

    @property
    def tail_exponent(self) -> float:
        """Estimated from the density far out: infinite where its log-log slope keeps growing."""
        if math.isfinite(self.support[1]):
            return math.inf
        near, far = (self._slope(float(self.distribution.isf(q))) for q in (1e-10, 1e-14))
        return math.inf if not abs(far) < 1.05 * abs(near) else -far

    @property
    def origin_exponent(self) -> float:
        """Estimated from the density near 0: infinite where its log-log slope keeps growing."""
        low, high = self.support
        if low < 0 < high:
            return 0.0
        if not low <= 0 <= high:
            return math.inf
        near, far = (self._slope(float(self.distribution.ppf(q))) for q in (1e-10, 1e-14))
        return math.inf if far > 1.05 * near + 1e-3 else far

    def _slope(self, x: float) -> float:
        step = 0.01
        high, low = self.distribution.logpdf(np.array([x * math.exp(step), x * math.exp(-step)]))
        return float(high - low) / (2 * step)

    def _logpdf(self, x: Array) -> Array:
        return np.asarray(self.distribution.logpdf(x), dtype=float)

    def _cdf(self, x: Array) -> Array:
        return np.asarray(self.distribution.cdf(x), dtype=float)

    def _sf(self, x: Array) -> Array:
        return np.asarray(self.distribution.sf(x), dtype=float)

    def _ppf(self, q: Array) -> Array:
        return np.asarray(self.distribution.ppf(q), dtype=float)

    def _isf(self, q: Array) -> Array:
        return np.asarray(self.distribution.isf(q), dtype=float)

    def mean(self) -> float:
        return float(self.distribution.mean())

    def sd(self) -> float:
        return float(self.distribution.std())

    def rv(self, name: str, *, dims: str | None = None) -> Any:
        if hasattr(self.distribution, "to_pymc"):
            return self.distribution.to_pymc(name, **({} if dims is None else {"dims": dims}))
        raise ModelError(
            f"{self!r} has no PyMC form, so it cannot be sampled. Use engine='quadrature', "
            "or write the prior in its text form, e.g. half_normal(0.5)."
        )
