"""Priors for a correlation, on (-1, 1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import special

from bayesmeta.priors.base import Base, register
from bayesmeta.values import Array


@register("lkj")
@dataclass(frozen=True, slots=True, repr=False)
class LKJ(Base):
    """LKJ prior of one correlation: density proportional to ``(1 - rho^2)^(eta - 1)``.

    ``lkj(1)`` is uniform on (-1, 1); ``lkj(2)`` leans towards 0, with 95% of its mass within 0.81 (Lewandowski,
    Kurowicka & Joe 2009, J Multivar Anal 100:1989-2001).
    """

    eta: float
    support_: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    positive: ClassVar[tuple[str, ...]] = ("eta",)
    example: ClassVar[str] = "lkj(2)"

    def _logpdf(self, x: Array) -> Array:
        kernel = special.xlog1py(self.eta - 1, -x) + special.xlog1py(self.eta - 1, x)
        return np.asarray(kernel - special.betaln(self.eta, self.eta) - (2 * self.eta - 1) * math.log(2.0))

    def _cdf(self, x: Array) -> Array:
        return np.asarray(special.betainc(self.eta, self.eta, 0.5 * (1.0 + x)))

    def _sf(self, x: Array) -> Array:
        return np.asarray(special.betainc(self.eta, self.eta, 0.5 * (1.0 - x)))

    def _ppf(self, q: Array) -> Array:
        return np.asarray(2.0 * special.betaincinv(self.eta, self.eta, q) - 1.0)

    def _isf(self, q: Array) -> Array:
        return np.asarray(1.0 - 2.0 * special.betaincinv(self.eta, self.eta, q))

    def mean(self) -> float:
        return 0.0

    def sd(self) -> float:
        return 1.0 / math.sqrt(2.0 * self.eta + 1.0)

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        import pymc as pm

        def lkj(eta: Any, size: Any) -> Any:
            return 2.0 * pm.Beta.dist(alpha=eta, beta=eta, size=size) - 1.0

        return "CustomDist", (p["eta"],), {"dist": lkj}


@register("fisher_z")
@dataclass(frozen=True, slots=True, repr=False)
class FisherZ(Base):
    """Prior of a correlation whose Fisher z, ``atanh(rho)``, is normal with mean `loc` and SD `scale`."""

    loc: float
    scale: float
    support_: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    positive: ClassVar[tuple[str, ...]] = ("scale",)
    example: ClassVar[str] = "fisher_z(0, 0.5)"

    def _logpdf(self, x: Array) -> Array:
        z = (np.arctanh(x) - self.loc) / self.scale
        # At the very ends the square of z outweighs the Jacobian.
        log = -0.5 * z * z - np.log1p(-x) - np.log1p(x) - math.log(self.scale * math.sqrt(2.0 * math.pi))
        return np.where(np.isinf(z), -np.inf, log)

    def _cdf(self, x: Array) -> Array:
        return np.asarray(special.ndtr((np.arctanh(x) - self.loc) / self.scale))

    def _sf(self, x: Array) -> Array:
        return np.asarray(special.ndtr((self.loc - np.arctanh(x)) / self.scale))

    def _ppf(self, q: Array) -> Array:
        return np.asarray(np.tanh(self.loc + self.scale * special.ndtri(q)))

    def _isf(self, q: Array) -> Array:
        return np.asarray(np.tanh(self.loc - self.scale * special.ndtri(q)))

    def mean(self) -> float:
        return self._moment(1)

    def sd(self) -> float:
        return math.sqrt(self._moment(2) - self._moment(1) ** 2)

    def _moment(self, power: int) -> float:
        # The trapezoidal rule on the normal's scale is exact to rounding.
        z = np.linspace(-9.0, 9.0, 721)
        weight = np.exp(-0.5 * z * z)
        return float(weight @ np.tanh(self.loc + self.scale * z) ** power / weight.sum())

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        import pymc as pm
        import pytensor.tensor as pt

        def fisher_z(loc: Any, scale: Any, size: Any) -> Any:
            return pt.tanh(pm.Normal.dist(mu=loc, sigma=scale, size=size))

        return "CustomDist", (p["loc"], p["scale"]), {"dist": fisher_z}
