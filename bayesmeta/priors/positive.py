"""Families on (0, inf) whose density may vanish at 0."""

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


@register("log_normal")
@dataclass(frozen=True, slots=True, repr=False)
class LogNormal(Base):
    """Log-normal prior: ``log(tau)`` is normal with mean `mu` and SD `sigma`.

    The published priors for tau2 (Turner et al. 2015, Stat Med 34:984-998) become priors for tau
    by halving both numbers.
    """

    mu: float
    sigma: float
    positive: ClassVar[tuple[str, ...]] = ("sigma",)
    rescales: ClassVar[Mapping[str, str]] = {"mu": "log"}
    example: ClassVar[str] = "log_normal(-1.97, 0.67)"

    @property
    def origin_exponent(self) -> float:
        return math.inf

    def _logpdf(self, x: Array) -> Array:
        log_x = np.log(x)
        z = (log_x - self.mu) / self.sigma
        value = -math.log(self.sigma * math.sqrt(2 * math.pi)) - log_x - 0.5 * z * z
        return np.where(x > 0, value, -np.inf)

    def _cdf(self, x: Array) -> Array:
        return np.asarray(special.ndtr((np.log(x) - self.mu) / self.sigma))

    def _sf(self, x: Array) -> Array:
        return np.asarray(special.ndtr((self.mu - np.log(x)) / self.sigma))

    def _ppf(self, q: Array) -> Array:
        return np.asarray(np.exp(self.mu + self.sigma * special.ndtri(q)))

    def _isf(self, q: Array) -> Array:
        return np.asarray(np.exp(self.mu - self.sigma * special.ndtri(q)))

    def mean(self) -> float:
        return _exp(self.mu + 0.5 * self.sigma**2)

    def sd(self) -> float:
        # exp(s^2/2) sqrt(-expm1(-s^2)) is sqrt(expm1(s^2)) without its overflow.
        return self.mean() * _exp(0.5 * self.sigma**2) * math.sqrt(-math.expm1(-(self.sigma**2)))

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        return "LogNormal", (), {"mu": p["mu"], "sigma": p["sigma"]}


def _exp(x: float) -> float:
    return float(np.exp(min(x, 710.0)))


@register("log_student_t")
@dataclass(frozen=True, slots=True, repr=False)
class LogStudentT(Base):
    """Log-Student-t prior: ``(log(tau) - loc) / scale`` is Student-t with `df` degrees of freedom.

    Rhodes et al. 2015 (J Clin Epidemiol 68:52-60) give such priors for tau2; halving `loc` and
    `scale` turns one into a prior for tau. No moment exists.
    """

    df: float
    loc: float
    scale: float
    positive: ClassVar[tuple[str, ...]] = ("df", "scale")
    rescales: ClassVar[Mapping[str, str]] = {"loc": "log"}
    example: ClassVar[str] = "log_student_t(5, -1.72, 1.3)"

    @property
    def tail_exponent(self) -> float:
        return 1.0

    @property
    def origin_exponent(self) -> float:
        return -1.0

    def _logpdf(self, x: Array) -> Array:
        log_x = np.log(x)
        z = (log_x - self.loc) / self.scale
        core = log_t_constant(self.df) - math.log(self.scale) - 0.5 * (self.df + 1) * np.log1p(z * z / self.df)
        return np.where(x > 0, core - log_x, np.inf)

    def _cdf(self, x: Array) -> Array:
        return np.asarray(special.stdtr(self.df, (np.log(x) - self.loc) / self.scale))

    def _sf(self, x: Array) -> Array:
        return np.asarray(special.stdtr(self.df, (self.loc - np.log(x)) / self.scale))

    def _ppf(self, q: Array) -> Array:
        return np.asarray(np.exp(self.loc + self.scale * special.stdtrit(self.df, q)))

    def _isf(self, q: Array) -> Array:
        return np.asarray(np.exp(self.loc - self.scale * special.stdtrit(self.df, q)))

    def mean(self) -> float:
        return math.inf

    def sd(self) -> float:
        return math.inf

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        import pymc as pm
        import pytensor.tensor as pt

        def log_student_t(df: Any, loc: Any, scale: Any, size: Any) -> Any:
            return pt.exp(pm.StudentT.dist(nu=df, mu=loc, sigma=scale, size=size))

        return "CustomDist", (p["df"], p["loc"], p["scale"]), {"dist": log_student_t}


@register("gamma")
@dataclass(frozen=True, slots=True, repr=False)
class Gamma(Base):
    """Gamma prior with `shape` and `rate`: mean ``shape / rate``.

    With shape 2 and a small rate it keeps the mode of tau off 0 (Chung et al. 2013,
    Psychometrika 78:685-709).
    """

    shape: float
    rate: float
    positive: ClassVar[tuple[str, ...]] = ("shape", "rate")
    rescales: ClassVar[Mapping[str, str]] = {"rate": "over"}
    example: ClassVar[str] = "gamma(2, 5)"

    @property
    def origin_exponent(self) -> float:
        return self.shape - 1

    def _logpdf(self, x: Array) -> Array:
        constant = self.shape * math.log(self.rate) - math.lgamma(self.shape)
        return np.asarray(constant + special.xlogy(self.shape - 1, x) - self.rate * x)

    def _cdf(self, x: Array) -> Array:
        return np.asarray(special.gammainc(self.shape, self.rate * x))

    def _sf(self, x: Array) -> Array:
        return np.asarray(special.gammaincc(self.shape, self.rate * x))

    def _ppf(self, q: Array) -> Array:
        return np.asarray(special.gammaincinv(self.shape, q) / self.rate)

    def _isf(self, q: Array) -> Array:
        return np.asarray(special.gammainccinv(self.shape, q) / self.rate)

    def mean(self) -> float:
        return self.shape / self.rate

    def sd(self) -> float:
        return math.sqrt(self.shape) / self.rate

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        return "Gamma", (), {"alpha": p["shape"], "beta": p["rate"]}


@register("inverse_gamma")
@dataclass(frozen=True, slots=True, repr=False)
class InverseGamma(Base):
    """Inverse-gamma prior with `shape` and `scale`: the reciprocal is gamma with that shape and rate `scale`.

    On tau; for the old habit of an inverse-gamma on tau2 write ``tau2~inverse_gamma(0.001, 0.001)``,
    and see Gelman 2006 (Bayesian Anal 1:515-534) for why not to.
    """

    shape: float
    scale: float
    positive: ClassVar[tuple[str, ...]] = ("shape", "scale")
    rescales: ClassVar[Mapping[str, str]] = {"scale": "times"}
    example: ClassVar[str] = "inverse_gamma(1.36, 0.21)"

    @property
    def tail_exponent(self) -> float:
        return self.shape + 1

    @property
    def origin_exponent(self) -> float:
        return math.inf

    def _logpdf(self, x: Array) -> Array:
        constant = self.shape * math.log(self.scale) - math.lgamma(self.shape)
        return np.where(x > 0, constant - (self.shape + 1) * np.log(x) - self.scale / x, -np.inf)

    def _cdf(self, x: Array) -> Array:
        return np.asarray(special.gammaincc(self.shape, self.scale / x))

    def _sf(self, x: Array) -> Array:
        return np.asarray(special.gammainc(self.shape, self.scale / x))

    def _ppf(self, q: Array) -> Array:
        return np.asarray(self.scale / special.gammainccinv(self.shape, q))

    def _isf(self, q: Array) -> Array:
        return np.asarray(self.scale / special.gammaincinv(self.shape, q))

    def mean(self) -> float:
        return self.scale / (self.shape - 1) if self.shape > 1 else math.inf

    def sd(self) -> float:
        return self.mean() / math.sqrt(self.shape - 2) if self.shape > 2 else math.inf

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        return "InverseGamma", (), {"alpha": p["shape"], "beta": p["scale"]}


@register("inverse_chi")
@dataclass(frozen=True, slots=True, repr=False)
class InverseChi(Base):
    """Inverse-chi prior for tau: `scale` divided by a chi variable with `df` degrees of freedom.

    Tau is inverse_chi(df, scale) exactly when tau2 is inverse_gamma(df / 2, scale ** 2 / 2).
    """

    df: float
    scale: float
    positive: ClassVar[tuple[str, ...]] = ("df", "scale")
    rescales: ClassVar[Mapping[str, str]] = {"scale": "times"}
    example: ClassVar[str] = "inverse_chi(3, 0.5)"

    @property
    def tail_exponent(self) -> float:
        return self.df + 1

    @property
    def origin_exponent(self) -> float:
        return math.inf

    def _logpdf(self, x: Array) -> Array:
        constant = self.df * math.log(self.scale) - (0.5 * self.df - 1) * math.log(2) - math.lgamma(0.5 * self.df)
        return np.where(x > 0, constant - (self.df + 1) * np.log(x) - 0.5 * (self.scale / x) ** 2, -np.inf)

    def _cdf(self, x: Array) -> Array:
        return np.asarray(special.gammaincc(0.5 * self.df, 0.5 * (self.scale / x) ** 2))

    def _sf(self, x: Array) -> Array:
        return np.asarray(special.gammainc(0.5 * self.df, 0.5 * (self.scale / x) ** 2))

    def _ppf(self, q: Array) -> Array:
        return np.asarray(self.scale / np.sqrt(2 * special.gammainccinv(0.5 * self.df, q)))

    def _isf(self, q: Array) -> Array:
        return np.asarray(self.scale / np.sqrt(2 * special.gammaincinv(0.5 * self.df, q)))

    def mean(self) -> float:
        if self.df <= 1:
            return math.inf
        ratio = math.lgamma(0.5 * (self.df - 1)) - math.lgamma(0.5 * self.df)
        return self.scale / math.sqrt(2) * math.exp(ratio)

    def sd(self) -> float:
        return math.sqrt(self.scale**2 / (self.df - 2) - self.mean() ** 2) if self.df > 2 else math.inf

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        import pymc as pm
        import pytensor.tensor as pt

        def inverse_chi(df: Any, scale: Any, size: Any) -> Any:
            return scale / pt.sqrt(pm.ChiSquared.dist(df, size=size))

        return "CustomDist", (p["df"], p["scale"]), {"dist": inverse_chi}


@register("rayleigh")
@dataclass(frozen=True, slots=True, repr=False)
class Rayleigh(Base):
    """Rayleigh prior: density proportional to ``x exp(-x^2 / (2 scale^2))``; tau2 is then exponential."""

    scale: float
    positive: ClassVar[tuple[str, ...]] = ("scale",)
    rescales: ClassVar[Mapping[str, str]] = {"scale": "times"}
    example: ClassVar[str] = "rayleigh(0.5)"

    @property
    def origin_exponent(self) -> float:
        return 1.0

    def _logpdf(self, x: Array) -> Array:
        z = x / self.scale
        return np.log(z) - math.log(self.scale) - 0.5 * z * z

    def _cdf(self, x: Array) -> Array:
        return -np.expm1(-0.5 * (x / self.scale) ** 2)

    def _sf(self, x: Array) -> Array:
        return np.exp(-0.5 * (x / self.scale) ** 2)

    def _ppf(self, q: Array) -> Array:
        return self.scale * np.sqrt(-2 * np.log1p(-q))

    def _isf(self, q: Array) -> Array:
        return self.scale * np.sqrt(-2 * np.log(q))

    def mean(self) -> float:
        return self.scale * math.sqrt(math.pi / 2)

    def sd(self) -> float:
        return self.scale * math.sqrt(2 - math.pi / 2)

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        import pymc as pm
        import pytensor.tensor as pt

        def rayleigh(scale: Any, size: Any) -> Any:
            return scale * pt.sqrt(2 * pm.Exponential.dist(1.0, size=size))

        return "CustomDist", (p["scale"],), {"dist": rayleigh}
