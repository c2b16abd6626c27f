"""Families on the whole line, for mu and coefficients."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import special

from bayesmeta.priors.base import Base, register
from bayesmeta.priors.half import log_t_constant
from bayesmeta.values import Array

LINE = (-math.inf, math.inf)


@register("normal")
@dataclass(frozen=True, slots=True, repr=False)
class Normal(Base):
    """Normal prior, for mu or a coefficient.

    ``normal(0, 2.82)`` for a log odds ratio puts 95% of its mass between 1/250 and 250
    (Guenhan et al. 2020, Res Synth Methods 11:74-90).
    """

    loc: float
    scale: float
    support_: ClassVar[tuple[float, float]] = LINE
    positive: ClassVar[tuple[str, ...]] = ("scale",)
    rescales: ClassVar[Mapping[str, str]] = {"loc": "times", "scale": "times"}
    example: ClassVar[str] = "normal(0, 2.82)"

    def _logpdf(self, x: Array) -> Array:
        z = (x - self.loc) / self.scale
        return -math.log(self.scale * math.sqrt(2 * math.pi)) - 0.5 * z * z

    def _cdf(self, x: Array) -> Array:
        return np.asarray(special.ndtr((x - self.loc) / self.scale))

    def _sf(self, x: Array) -> Array:
        return np.asarray(special.ndtr((self.loc - x) / self.scale))

    def _ppf(self, q: Array) -> Array:
        return np.asarray(self.loc + self.scale * special.ndtri(q))

    def _isf(self, q: Array) -> Array:
        return np.asarray(self.loc - self.scale * special.ndtri(q))

    def mean(self) -> float:
        return self.loc

    def sd(self) -> float:
        return self.scale

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        return "Normal", (), {"mu": p["loc"], "sigma": p["scale"]}


@register("student_t")
@dataclass(frozen=True, slots=True, repr=False)
class StudentT(Base):
    """Student-t prior with `df` degrees of freedom, for mu or a coefficient."""

    df: float
    loc: float
    scale: float
    support_: ClassVar[tuple[float, float]] = LINE
    positive: ClassVar[tuple[str, ...]] = ("df", "scale")
    rescales: ClassVar[Mapping[str, str]] = {"loc": "times", "scale": "times"}
    example: ClassVar[str] = "student_t(4, 0, 1)"

    @property
    def tail_exponent(self) -> float:
        return self.df + 1

    def _logpdf(self, x: Array) -> Array:
        z = (x - self.loc) / self.scale
        return log_t_constant(self.df) - math.log(self.scale) - 0.5 * (self.df + 1) * np.log1p(z * z / self.df)

    def _cdf(self, x: Array) -> Array:
        return np.asarray(special.stdtr(self.df, (x - self.loc) / self.scale))

    def _sf(self, x: Array) -> Array:
        return np.asarray(special.stdtr(self.df, (self.loc - x) / self.scale))

    def _ppf(self, q: Array) -> Array:
        return np.asarray(self.loc + self.scale * special.stdtrit(self.df, q))

    def _isf(self, q: Array) -> Array:
        return np.asarray(self.loc - self.scale * special.stdtrit(self.df, q))

    def mean(self) -> float:
        return self.loc if self.df > 1 else math.nan

    def sd(self) -> float:
        if self.df > 2:
            return self.scale * math.sqrt(self.df / (self.df - 2))
        return math.inf if self.df > 1 else math.nan

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        return "StudentT", (), {"nu": p["df"], "mu": p["loc"], "sigma": p["scale"]}


@register("cauchy")
@dataclass(frozen=True, slots=True, repr=False)
class Cauchy(Base):
    """Cauchy prior, for mu or a coefficient; `loc` is its median, no moment exists."""

    loc: float
    scale: float
    support_: ClassVar[tuple[float, float]] = LINE
    positive: ClassVar[tuple[str, ...]] = ("scale",)
    rescales: ClassVar[Mapping[str, str]] = {"loc": "times", "scale": "times"}
    example: ClassVar[str] = "cauchy(0, 1)"

    @property
    def tail_exponent(self) -> float:
        return 2.0

    def _logpdf(self, x: Array) -> Array:
        return -math.log(math.pi * self.scale) - 2 * np.log(np.hypot(1.0, (x - self.loc) / self.scale))

    def _cdf(self, x: Array) -> Array:
        # The angle from the negative axis: keeps its digits in the lower tail.
        return np.arctan2(self.scale, self.loc - x) / math.pi

    def _sf(self, x: Array) -> Array:
        return np.arctan2(self.scale, x - self.loc) / math.pi

    def _ppf(self, q: Array) -> Array:
        return self.loc + self.scale * np.where(q < 0.5, -_cot(q), _cot(1 - q))

    def _isf(self, q: Array) -> Array:
        return self.loc + self.scale * np.where(q < 0.5, _cot(q), -_cot(1 - q))

    def mean(self) -> float:
        return math.nan

    def sd(self) -> float:
        return math.nan

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        return "Cauchy", (), {"alpha": p["loc"], "beta": p["scale"]}


def _cot(q: Array) -> Array:
    # cot(pi q) as tan(pi/2 - pi q): exact zero at the median.
    return np.where(q < 0.25, 1 / np.tan(math.pi * q), np.tan(math.pi * (0.5 - q)))


@register("logistic")
@dataclass(frozen=True, slots=True, repr=False)
class Logistic(Base):
    """Logistic prior, for mu or a log odds; ``logistic(0, 1)`` for a log odds is uniform for its probability."""

    loc: float
    scale: float
    support_: ClassVar[tuple[float, float]] = LINE
    positive: ClassVar[tuple[str, ...]] = ("scale",)
    rescales: ClassVar[Mapping[str, str]] = {"loc": "times", "scale": "times"}
    example: ClassVar[str] = "logistic(0, 1)"

    def _logpdf(self, x: Array) -> Array:
        z = np.abs(x - self.loc) / self.scale
        return np.asarray(-math.log(self.scale) - z - 2 * np.log1p(np.exp(-z)))

    def _cdf(self, x: Array) -> Array:
        return np.asarray(special.expit((x - self.loc) / self.scale))

    def _sf(self, x: Array) -> Array:
        return np.asarray(special.expit((self.loc - x) / self.scale))

    def _ppf(self, q: Array) -> Array:
        return np.asarray(self.loc + self.scale * special.logit(q))

    def _isf(self, q: Array) -> Array:
        return np.asarray(self.loc - self.scale * special.logit(q))

    def mean(self) -> float:
        return self.loc

    def sd(self) -> float:
        return self.scale * math.pi / math.sqrt(3)

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        return "Logistic", (), {"mu": p["loc"], "s": p["scale"]}
