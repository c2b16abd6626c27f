"""Scale families on (0, inf) whose density is highest at 0 or nearly so: the usual priors for tau."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import special

from bayesmeta.priors.base import Base, register
from bayesmeta.values import Array


@register("half_normal")
@dataclass(frozen=True, slots=True, repr=False)
class HalfNormal(Base):
    """Half-normal prior for tau: the absolute value of a normal with mean 0 and SD `scale`.

    ``half_normal(0.5)`` for log odds ratios has median 0.337 and puts 5% of its mass above 0.98
    (Friede et al. 2017, Res Synth Methods 8:79-91; Roever et al. 2021, Res Synth Methods 12:448-474).
    """

    scale: float
    positive: ClassVar[tuple[str, ...]] = ("scale",)
    rescales: ClassVar[Mapping[str, str]] = {"scale": "times"}
    example: ClassVar[str] = "half_normal(0.5)"

    def _logpdf(self, x: Array) -> Array:
        z = x / self.scale
        return math.log(math.sqrt(2 / math.pi) / self.scale) - 0.5 * z * z

    def _cdf(self, x: Array) -> Array:
        return np.asarray(special.erf(x / (self.scale * math.sqrt(2))))

    def _sf(self, x: Array) -> Array:
        return np.asarray(special.erfc(x / (self.scale * math.sqrt(2))))

    def _ppf(self, q: Array) -> Array:
        return np.asarray(self.scale * math.sqrt(2) * special.erfinv(q))

    def _isf(self, q: Array) -> Array:
        return np.asarray(self.scale * math.sqrt(2) * special.erfcinv(q))

    def mean(self) -> float:
        return self.scale * math.sqrt(2 / math.pi)

    def sd(self) -> float:
        return self.scale * math.sqrt(1 - 2 / math.pi)

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        return "HalfNormal", (), {"sigma": p["scale"]}


@register("half_cauchy")
@dataclass(frozen=True, slots=True, repr=False)
class HalfCauchy(Base):
    """Half-Cauchy prior for tau; its median is `scale`, its mean is infinite.

    Gelman 2006, Bayesian Anal 1:515-534.
    """

    scale: float
    positive: ClassVar[tuple[str, ...]] = ("scale",)
    rescales: ClassVar[Mapping[str, str]] = {"scale": "times"}
    example: ClassVar[str] = "half_cauchy(0.5)"

    @property
    def tail_exponent(self) -> float:
        return 2.0

    def _logpdf(self, x: Array) -> Array:
        return math.log(2 / (math.pi * self.scale)) - 2 * np.log(np.hypot(1.0, x / self.scale))

    def _cdf(self, x: Array) -> Array:
        return 2 / math.pi * np.arctan(x / self.scale)

    def _sf(self, x: Array) -> Array:
        return 2 / math.pi * np.arctan2(self.scale, x)

    def _ppf(self, q: Array) -> Array:
        # Above the median the cotangent of the complement keeps its digits where the tangent has a pole.
        return self.scale * np.where(q < 0.5, np.tan(0.5 * math.pi * q), 1 / np.tan(0.5 * math.pi * (1 - q)))

    def _isf(self, q: Array) -> Array:
        return self.scale / np.tan(0.5 * math.pi * q)

    def mean(self) -> float:
        return math.inf

    def sd(self) -> float:
        return math.inf

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        return "HalfCauchy", (), {"beta": p["scale"]}


@register("half_student_t")
@dataclass(frozen=True, slots=True, repr=False)
class HalfStudentT(Base):
    """Half-Student-t prior for tau with `df` degrees of freedom.

    Between half-Cauchy (`df` 1) and half-normal (`df` infinite). Gelman 2006, Bayesian Anal 1:515-534.
    """

    df: float
    scale: float
    positive: ClassVar[tuple[str, ...]] = ("df", "scale")
    rescales: ClassVar[Mapping[str, str]] = {"scale": "times"}
    example: ClassVar[str] = "half_student_t(4, 0.5)"

    @property
    def tail_exponent(self) -> float:
        return self.df + 1

    def _logpdf(self, x: Array) -> Array:
        z = x / self.scale
        return math.log(2 / self.scale) + log_t_constant(self.df) - 0.5 * (self.df + 1) * np.log1p(z * z / self.df)

    def _cdf(self, x: Array) -> Array:
        z = x / self.scale
        return np.asarray(special.betainc(0.5, 0.5 * self.df, 1 / (1 + self.df / (z * z))))

    def _sf(self, x: Array) -> Array:
        z = x / self.scale
        # Near 0 the complement keeps the digits that 1 / (1 + z^2 / df) rounds away.
        far = special.betainc(0.5 * self.df, 0.5, 1 / (1 + z * z / self.df))
        return np.where(z * z < self.df, 1.0 - self._cdf(x), far)

    def _ppf(self, q: Array) -> Array:
        low = special.betaincinv(0.5, 0.5 * self.df, np.minimum(q, 0.5))
        below = self.scale * np.sqrt(self.df * low / (1 - low))
        return np.where(q <= 0.5, below, self._upper(1 - q))

    def _isf(self, q: Array) -> Array:
        return np.where(q <= 0.5, self._upper(np.minimum(q, 0.5)), self._ppf(1 - q))

    def _upper(self, q: Array) -> Array:
        w = special.betaincinv(0.5 * self.df, 0.5, q)
        return np.asarray(self.scale * np.sqrt(self.df * (1 - w) / w))

    def mean(self) -> float:
        if self.df <= 1:
            return math.inf
        return 2 * self.scale * math.exp(log_t_constant(self.df)) * self.df / (self.df - 1)

    def sd(self) -> float:
        if self.df <= 2:
            return math.inf
        return math.sqrt(self.scale**2 * self.df / (self.df - 2) - self.mean() ** 2)

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        return "HalfStudentT", (), {"nu": p["df"], "sigma": p["scale"]}


def log_t_constant(df: float) -> float:
    """Return the log normalising constant of Student's t with `df` degrees of freedom."""
    return float(-special.betaln(0.5 * df, 0.5) - 0.5 * math.log(df))


@register("half_logistic")
@dataclass(frozen=True, slots=True, repr=False)
class HalfLogistic(Base):
    """Half-logistic prior for tau: the absolute value of a logistic with mean 0 and this `scale`."""

    scale: float
    positive: ClassVar[tuple[str, ...]] = ("scale",)
    rescales: ClassVar[Mapping[str, str]] = {"scale": "times"}
    example: ClassVar[str] = "half_logistic(0.3)"

    def _logpdf(self, x: Array) -> Array:
        z = x / self.scale
        return np.asarray(math.log(2 / self.scale) - z - 2 * np.log1p(np.exp(-z)))

    def _cdf(self, x: Array) -> Array:
        return np.tanh(0.5 * x / self.scale)

    def _sf(self, x: Array) -> Array:
        return np.asarray(2 * special.expit(-x / self.scale))

    def _ppf(self, q: Array) -> Array:
        return 2 * self.scale * np.arctanh(q)

    def _isf(self, q: Array) -> Array:
        return self.scale * np.log((2 - q) / q)

    def mean(self) -> float:
        return 2 * math.log(2) * self.scale

    def sd(self) -> float:
        return self.scale * math.sqrt(math.pi**2 / 3 - 4 * math.log(2) ** 2)

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        import pymc as pm

        def half_logistic(scale: Any, size: Any) -> Any:
            return abs(pm.Logistic.dist(0.0, scale, size=size))

        return "CustomDist", (p["scale"],), {"dist": half_logistic}


@register("exponential")
@dataclass(frozen=True, slots=True, repr=False)
class Exponential(Base):
    """Exponential prior for tau with this `rate`; its mean is ``1 / rate``."""

    rate: float
    positive: ClassVar[tuple[str, ...]] = ("rate",)
    rescales: ClassVar[Mapping[str, str]] = {"rate": "over"}
    example: ClassVar[str] = "exponential(2)"

    def _logpdf(self, x: Array) -> Array:
        return math.log(self.rate) - self.rate * x

    def _cdf(self, x: Array) -> Array:
        return -np.expm1(-self.rate * x)

    def _sf(self, x: Array) -> Array:
        return np.exp(-self.rate * x)

    def _ppf(self, q: Array) -> Array:
        return -np.log1p(-q) / self.rate

    def _isf(self, q: Array) -> Array:
        return -np.log(q) / self.rate

    def mean(self) -> float:
        return 1 / self.rate

    def sd(self) -> float:
        return 1 / self.rate

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        return "Exponential", (), {"lam": p["rate"]}


@register("lomax")
@dataclass(frozen=True, slots=True, repr=False)
class Lomax(Base):
    """Lomax (Pareto II) prior for tau: density ``shape / scale * (1 + x / scale) ** -(shape + 1)``.

    With `shape` 1 it has DuMouchel's form.
    """

    shape: float
    scale: float
    positive: ClassVar[tuple[str, ...]] = ("shape", "scale")
    rescales: ClassVar[Mapping[str, str]] = {"scale": "times"}
    example: ClassVar[str] = "lomax(2, 1)"

    @property
    def tail_exponent(self) -> float:
        return self.shape + 1

    def _logpdf(self, x: Array) -> Array:
        return math.log(self.shape / self.scale) - (self.shape + 1) * np.log1p(x / self.scale)

    def _cdf(self, x: Array) -> Array:
        return -np.expm1(-self.shape * np.log1p(x / self.scale))

    def _sf(self, x: Array) -> Array:
        return np.exp(-self.shape * np.log1p(x / self.scale))

    def _ppf(self, q: Array) -> Array:
        return self.scale * np.expm1(-np.log1p(-q) / self.shape)

    def _isf(self, q: Array) -> Array:
        return self.scale * np.expm1(-np.log(q) / self.shape)

    def mean(self) -> float:
        return self.scale / (self.shape - 1) if self.shape > 1 else math.inf

    def sd(self) -> float:
        if self.shape <= 2:
            return math.inf
        return self.mean() * math.sqrt(self.shape / (self.shape - 2))

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        import pymc as pm

        def lomax(shape: Any, scale: Any, size: Any) -> Any:
            return pm.Pareto.dist(shape, scale, size=size) - scale

        return "CustomDist", (p["shape"], p["scale"]), {"dist": lomax}
