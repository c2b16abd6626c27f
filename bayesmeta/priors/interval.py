"""Uniform priors, proper and flat; a fixed value; and the beta, for a probability."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import special

from bayesmeta.errors import ModelError
from bayesmeta.priors.base import Base, as_number, number, register
from bayesmeta.priors.line import LINE
from bayesmeta.values import Array


@register("uniform")
@dataclass(frozen=True, slots=True, repr=False)
class Uniform(Base):
    """Uniform prior between `lower` and `upper`; ``uniform()`` is the improper one on (0, inf).

    The improper one gives a proper posterior from 3 studies on (flat mu; Roever 2020,
    J Stat Softw 93(6), section 2.2).
    """

    lower: float = math.nan
    upper: float = math.nan
    rescales: ClassVar[Mapping[str, str]] = {"lower": "times", "upper": "times"}
    example: ClassVar[str] = "uniform(0, 4)"

    def __post_init__(self) -> None:
        for key in ("lower", "upper"):
            object.__setattr__(self, key, as_number(self, key, getattr(self, key)))
        if math.isnan(self.lower) and math.isnan(self.upper):
            object.__setattr__(self, "lower", 0.0)
            object.__setattr__(self, "upper", math.inf)
        if math.isnan(self.lower) or math.isnan(self.upper):
            raise ModelError(
                "uniform takes both limits, e.g. uniform(0, 4), or none: uniform() on (0, inf) is improper."
            )
        if not self.lower < self.upper:
            raise ModelError(f"{self!r}: lower must be less than upper. Write e.g. {self.example}.")
        if not math.isfinite(self.lower) or (math.isinf(self.upper) and self.lower != 0):
            raise ModelError(
                f"{self!r}: the limits must be finite. uniform() is the improper uniform prior on (0, inf) "
                "for tau; flat() is the one on the whole line for mu."
            )

    def __repr__(self) -> str:
        return f"uniform({number(self.lower)}, {number(self.upper)})" if self.proper else "uniform()"

    def parameters(self) -> dict[str, Any]:
        return {"lower": self.lower, "upper": self.upper} if self.proper else {}

    @property
    def proper(self) -> bool:
        return math.isfinite(self.upper)

    @property
    def support(self) -> tuple[float, float]:
        return (self.lower, self.upper)

    @property
    def structure(self) -> str:
        return "uniform" if self.proper else "uniform()"

    @property
    def tail_exponent(self) -> float:
        return math.inf if self.proper else 0.0

    @property
    def origin_exponent(self) -> float:
        return 0.0 if self.lower <= 0 else math.inf

    def scale_hint(self) -> float:
        return Base.scale_hint(self) if self.proper else math.inf

    def _logpdf(self, x: Array) -> Array:
        return np.full_like(x, -math.log(self.upper - self.lower) if self.proper else 0.0)

    def _cdf(self, x: Array) -> Array:
        if not self.proper:
            raise self._improper("distribution function")
        return (x - self.lower) / (self.upper - self.lower)

    def _sf(self, x: Array) -> Array:
        if not self.proper:
            raise self._improper("distribution function")
        return (self.upper - x) / (self.upper - self.lower)

    def _ppf(self, q: Array) -> Array:
        if not self.proper:
            raise self._improper("quantiles")
        return self.lower + q * (self.upper - self.lower)

    def mean(self) -> float:
        if not self.proper:
            raise self._improper("mean")
        return 0.5 * (self.lower + self.upper)

    def sd(self) -> float:
        if not self.proper:
            raise self._improper("standard deviation")
        return (self.upper - self.lower) / math.sqrt(12)

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        if self.proper:
            return "Uniform", (), {"lower": p["lower"], "upper": p["upper"]}
        return "HalfFlat", (), {}


@register("flat")
@dataclass(frozen=True, slots=True, repr=False)
class Flat(Base):
    """Improper uniform prior on the whole line, for mu or a coefficient."""

    support_: ClassVar[tuple[float, float]] = LINE
    example: ClassVar[str] = "flat()"

    @property
    def proper(self) -> bool:
        return False

    @property
    def tail_exponent(self) -> float:
        return 0.0

    def scale_hint(self) -> float:
        return math.inf

    def _logpdf(self, x: Array) -> Array:
        return np.zeros_like(x)

    def rescale(self, factor: float) -> Flat:
        return self

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        return "Flat", (), {}


@register("point")
@dataclass(frozen=True, slots=True, repr=False)
class Point(Base):
    """All mass on one value, e.g. a known tau; `logpdf` is then the log probability of the value (0 or -inf)."""

    value: float
    rescales: ClassVar[Mapping[str, str]] = {"value": "times"}
    example: ClassVar[str] = "point(0.3)"

    @property
    def support(self) -> tuple[float, float]:
        return (self.value, self.value)

    @property
    def origin_exponent(self) -> float:
        return math.inf if self.value else 0.0

    def scale_hint(self) -> float:
        return abs(self.value)

    def logpdf(self, x: Any) -> Array:
        return np.where(np.asarray(x, dtype=float) == self.value, 0.0, -np.inf)

    def cdf(self, x: Any) -> Array:
        return np.where(np.asarray(x, dtype=float) >= self.value, 1.0, 0.0)

    def sf(self, x: Any) -> Array:
        return 1.0 - self.cdf(x)

    def _ppf(self, q: Array) -> Array:
        return np.full_like(q, self.value)

    def mean(self) -> float:
        return self.value

    def sd(self) -> float:
        return 0.0

    def rv(self, name: str, *, dims: str | None = None) -> Any:
        import pymc as pm
        import pytensor.tensor as pt

        value = self._data(name)["value"]
        if dims is None:
            return pm.Deterministic(name, value * 1.0)
        length = pm.modelcontext(None).dim_lengths[dims]
        return pm.Deterministic(name, pt.full((length,), value), dims=dims)


@register("beta")
@dataclass(frozen=True, slots=True, repr=False)
class Beta(Base):
    """Beta prior with shapes `a` and `b`, for a probability."""

    a: float
    b: float
    support_: ClassVar[tuple[float, float]] = (0.0, 1.0)
    positive: ClassVar[tuple[str, ...]] = ("a", "b")
    example: ClassVar[str] = "beta(1, 1)"

    @property
    def origin_exponent(self) -> float:
        return self.a - 1

    def _logpdf(self, x: Array) -> Array:
        return np.asarray(
            special.xlogy(self.a - 1, x) + special.xlog1py(self.b - 1, -x) - special.betaln(self.a, self.b)
        )

    def _cdf(self, x: Array) -> Array:
        return np.asarray(special.betainc(self.a, self.b, x))

    def _sf(self, x: Array) -> Array:
        return np.asarray(special.betainc(self.b, self.a, 1 - x))

    def _ppf(self, q: Array) -> Array:
        return np.asarray(special.betaincinv(self.a, self.b, q))

    def mean(self) -> float:
        return self.a / (self.a + self.b)

    def sd(self) -> float:
        total = self.a + self.b
        return math.sqrt(self.a * self.b / (total + 1)) / total

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        return "Beta", (), {"alpha": p["a"], "beta": p["b"]}
