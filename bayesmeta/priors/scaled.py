r"""Proper priors for tau scaled by a summary of the studies' standard errors :math:`s_i`.

Written without a number, e.g. ``dumouchel()``, they take their scale from the data (`resolve`, which
`bayesmeta.fit` calls by itself) and then print with it. Collected in Roever 2020, J Stat Softw 93(6),
section 2.2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.errors import ModelError
from bayesmeta.priors.base import Base, number, register
from bayesmeta.values import Array


def unresolved(prior: Any) -> ModelError:
    """Return the error for a prior that was not given the standard errors."""
    return ModelError(
        f"{prior.name}() depends on the studies' standard errors: call .resolve(sei) first (bm.fit does it by itself)."
    )


def checked(prior: Any, sei: ArrayLike) -> Array:
    """Return the standard errors as an array, or say what is wrong with them."""
    s = np.atleast_1d(np.asarray(sei, dtype=float))
    if s.ndim != 1 or not s.size or not (np.isfinite(s) & (s > 0)).all():
        raise ModelError(f"{prior.name}() needs one finite standard error > 0 per study, but was given {sei!r}.")
    return s


def harmonic_scale(sei: ArrayLike) -> float:
    """Return the square root of the harmonic mean of the squared standard errors."""
    s = np.asarray(sei, dtype=float)
    least = float(s.min())
    return least / math.sqrt(float(np.mean((least / s) ** 2)))


def typical_scale(sei: ArrayLike) -> float:
    r"""Return the square root of the 'typical' sampling variance of I2.

    :math:`\hat s^2 = (k - 1) \sum w_i / ((\sum w_i)^2 - \sum w_i^2)` with :math:`w_i = s_i^{-2}`
    (Higgins & Thompson 2002, Stat Med 21:1539-1558).
    """
    s = np.asarray(sei, dtype=float)
    least = float(s.min())
    w = np.sort((least / s) ** 2)
    # Twice the sum over pairs is (sum w)^2 - sum w^2 without its cancellation.
    pairs = 2 * float(np.sum(w[1:] * np.cumsum(w)[:-1]))
    return least * math.sqrt((len(w) - 1) * float(w.sum()) / pairs)


@dataclass(frozen=True, slots=True, repr=False)
class _Scaled(Base):
    """A proper prior whose scale is a summary of the standard errors, or given."""

    scale: float | None = None
    positive: ClassVar[tuple[str, ...]] = ("scale",)
    rescales: ClassVar[Mapping[str, str]] = {"scale": "times"}

    def __post_init__(self) -> None:
        if self.scale is not None:
            Base.__post_init__(self)

    def __repr__(self) -> str:
        return f"{self.name}({'' if self.scale is None else number(self.scale)})"

    @property
    def awaits_data(self) -> bool:
        return self.scale is None

    def parameters(self) -> dict[str, Any]:
        return {} if self.scale is None else {"scale": self.scale}

    def rescale(self, factor: float) -> Any:
        # Unresolved, it follows the standard errors, which change with the unit.
        return self if self.scale is None else Base.rescale(self, factor)

    @property
    def s0(self) -> float:
        """Scale of the prior, on the unit of tau."""
        if self.scale is None:
            raise unresolved(self)
        return self.scale

    def rv(self, name: str, *, dims: str | None = None) -> Any:
        _ = self.s0
        return Base.rv(self, name, dims=dims)

    def sd(self) -> float:
        return math.inf


@register("dumouchel")
@dataclass(frozen=True, slots=True, repr=False)
class DuMouchel(_Scaled):
    r"""DuMouchel's prior: density :math:`s_0 / (s_0 + \tau)^2`; its median is :math:`s_0`.

    :math:`s_0^2` is the harmonic mean of the squared standard errors. DuMouchel & Normand 2000, in
    Stangl & Berry (eds), Meta-Analysis in Medicine and Health Policy.
    """

    example: ClassVar[str] = "dumouchel()"

    @property
    def tail_exponent(self) -> float:
        return 2.0

    def resolve(self, sei: ArrayLike) -> DuMouchel:
        return self if self.scale is not None else DuMouchel(harmonic_scale(checked(self, sei)))

    def _logpdf(self, x: Array) -> Array:
        return -math.log(self.s0) - 2 * np.log1p(x / self.s0)

    def _cdf(self, x: Array) -> Array:
        return 1 / (1 + self.s0 / x)

    def _sf(self, x: Array) -> Array:
        return 1 / (1 + x / self.s0)

    def _ppf(self, q: Array) -> Array:
        return self.s0 * q / (1 - q)

    def _isf(self, q: Array) -> Array:
        return self.s0 * (1 - q) / q

    def mean(self) -> float:
        return math.inf

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        import pymc as pm

        def dumouchel(scale: Any, size: Any) -> Any:
            return pm.Pareto.dist(1.0, scale, size=size) - scale

        return "CustomDist", (p["scale"],), {"dist": dumouchel}


@dataclass(frozen=True, slots=True, repr=False)
class _UniformShare(_Scaled):
    r"""Uniform for the share :math:`\tau^2 / (s_0^2 + \tau^2)`: density :math:`2 s_0^2 \tau / (s_0^2 + \tau^2)^2`."""

    @property
    def tail_exponent(self) -> float:
        return 3.0

    @property
    def origin_exponent(self) -> float:
        return 1.0

    def _logpdf(self, x: Array) -> Array:
        z = x / self.s0
        return np.asarray(math.log(2 / self.s0) + np.log(z) - 2 * np.log1p(z * z))

    def _cdf(self, x: Array) -> Array:
        return 1 / (1 + (self.s0 / x) ** 2)

    def _sf(self, x: Array) -> Array:
        return 1 / (1 + (x / self.s0) ** 2)

    def _ppf(self, q: Array) -> Array:
        return self.s0 * np.sqrt(q / (1 - q))

    def _isf(self, q: Array) -> Array:
        return self.s0 * np.sqrt((1 - q) / q)

    def mean(self) -> float:
        return 0.5 * math.pi * self.s0

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        import pymc as pm
        import pytensor.tensor as pt

        def uniform_share(scale: Any, size: Any) -> Any:
            return scale * pt.exp(0.5 * pm.Logistic.dist(0.0, 1.0, size=size))

        return "CustomDist", (p["scale"],), {"dist": uniform_share}


@register("shrinkage")
@dataclass(frozen=True, slots=True, repr=False)
class Shrinkage(_UniformShare):
    r"""Uniform shrinkage prior: uniform for :math:`s_0^2 / (s_0^2 + \tau^2)`.

    :math:`s_0^2` is the harmonic mean of the squared standard errors. Daniels 1999,
    Can J Stat 27:567-578; Spiegelhalter, Abrams & Myles 2004, section 5.7.3.
    """

    example: ClassVar[str] = "shrinkage()"

    def resolve(self, sei: ArrayLike) -> Shrinkage:
        return self if self.scale is not None else Shrinkage(harmonic_scale(checked(self, sei)))


@register("i2")
@dataclass(frozen=True, slots=True, repr=False)
class UniformI2(_UniformShare):
    r"""Uniform prior for I2, :math:`\tau^2 / (\hat s^2 + \tau^2)` with the typical variance of `typical_scale`."""

    example: ClassVar[str] = "i2()"

    def resolve(self, sei: ArrayLike) -> UniformI2:
        if self.scale is not None:
            return self
        s = checked(self, sei)
        if len(s) < 2:
            raise ModelError("i2() needs at least 2 studies: the typical variance of I2 is not defined for one.")
        return UniformI2(typical_scale(s))
