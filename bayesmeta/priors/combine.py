"""Priors made of another prior: set on tau2, truncated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.errors import ModelError
from bayesmeta.priors.base import Base, number
from bayesmeta.priors.numeric import mean_by_quadrature, sd_by_quadrature
from bayesmeta.priors.text import parse_prior, readable
from bayesmeta.values import Array


def part_of(owner: str, value: Any) -> Any:
    """Return a part of a combination, which must have a density."""
    prior = parse_prior(value)
    if prior.structure == "point":
        raise ModelError(
            f"{owner} cannot hold {prior!r}: a single value has no density. To weigh tau = 0 against tau > 0, "
            "compare the evidence of the two models."
        )
    return prior


class Compound(Base):
    """Shared by the combinations: one PyMC form, a custom log density of the parts' log densities."""

    __slots__ = ()

    def _log_density_of(self, value: Any, p: Mapping[str, Any]) -> Any:
        raise NotImplementedError

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        keys = list(p)

        def logp(value: Any, *args: Any) -> Any:
            return self._log_density_of(value, dict(zip(keys, args, strict=True)))

        def random(*args: Any, rng: np.random.Generator, size: Any) -> Array:
            return self.with_parameters(dict(zip(keys, args, strict=True))).ppf(rng.uniform(size=size))

        shapes = ",".join("(k)" if np.ndim(v) else "()" for v in self.parameters().values())
        return "CustomDist", tuple(p.values()), {"logp": logp, "random": random, "signature": f"{shapes}->()"}

    def log_density(self, value: Any, p: Mapping[str, Any]) -> Any:
        return self._log_density_of(value, p)


@dataclass(frozen=True, slots=True, repr=False)
class OnTau2(Compound):
    r"""The prior of tau when `base` is the prior of tau2: density :math:`2 \tau\, p_{\tau^2}(\tau^2)`."""

    base: Any

    def __post_init__(self) -> None:
        base = part_of("on_tau2", self.base)
        if getattr(base, "awaits_data", False):
            raise ModelError(
                f"tau2~{base!r}: priors that depend on the standard errors are stated for tau. Write {base!r} without "
                "tau2~ (Jeffreys priors are the same prior whether tau or tau2 is the parameter)."
            )
        if base.support[0] < 0:
            raise ModelError(f"on_tau2({base!r}): tau2 cannot be negative. Use a prior on (0, inf).")
        object.__setattr__(self, "base", base)

    def __repr__(self) -> str:
        return f"on_tau2({self.base!r})"

    def parameters(self) -> dict[str, Any]:
        return dict(self.base.parameters())

    def with_parameters(self, values: Mapping[str, Any]) -> OnTau2:
        return OnTau2(self.base.with_parameters(values))

    @property
    def support(self) -> tuple[float, float]:
        low, high = self.base.support
        return (math.sqrt(low), math.sqrt(high))

    @property
    def proper(self) -> bool:
        return bool(self.base.proper)

    @property
    def structure(self) -> str:
        return f"on_tau2({self.base.structure})"

    @property
    def tail_exponent(self) -> float:
        return 2 * float(self.base.tail_exponent) - 1

    @property
    def origin_exponent(self) -> float:
        return 2 * float(self.base.origin_exponent) + 1

    @property
    def breaks(self) -> tuple[float, ...]:
        return tuple(math.sqrt(b) for b in self.base.breaks)

    def scale_hint(self) -> float:
        return math.sqrt(self.base.scale_hint())

    def _logpdf(self, x: Array) -> Array:
        # Below this the square underflows, and the power law of the origin continues the density exactly.
        held = np.maximum(x, 1e-150)
        value = np.log(2 * held) + self.base.logpdf(held * held)
        exponent = self.origin_exponent
        if exponent == 0 or math.isinf(exponent):
            return np.asarray(value)
        return np.asarray(value + exponent * np.log(x / held))

    def _cdf(self, x: Array) -> Array:
        return np.asarray(self.base.cdf(x * x))

    def _sf(self, x: Array) -> Array:
        return np.asarray(self.base.sf(x * x))

    def _ppf(self, q: Array) -> Array:
        return np.asarray(np.sqrt(self.base.ppf(q)))

    def _isf(self, q: Array) -> Array:
        return np.asarray(np.sqrt(self.base.isf(q)))

    def mean(self) -> float:
        return mean_by_quadrature(self) if self.proper else float(self.base.mean())

    def sd(self) -> float:
        return sd_by_quadrature(self) if self.proper else float(self.base.sd())

    def resolve(self, sei: ArrayLike) -> OnTau2:
        # No prior on tau2 depends on the standard errors.
        return self

    def rescale(self, factor: float) -> OnTau2:
        return OnTau2(self.base.rescale(factor**2))

    def _initval(self) -> float:
        return math.sqrt(float(self.base.ppf(0.5))) if self.proper else 1.0

    def _log_density_of(self, value: Any, p: Mapping[str, Any]) -> Any:
        import pytensor.tensor as pt

        return math.log(2) + pt.log(value) + self.base.log_density(value**2, p)


@dataclass(frozen=True, slots=True, repr=False)
class Truncated(Compound):
    """`base` restricted to (lower, upper) and normalised again, e.g. ``truncated(normal(0, 1), 0, inf)``."""

    base: Any
    lower: float
    upper: float

    def __post_init__(self) -> None:
        base = part_of("truncated", self.base)
        object.__setattr__(self, "base", base)
        for key in ("lower", "upper"):
            object.__setattr__(self, key, float(getattr(self, key)))
        if not self.lower < self.upper:
            raise ModelError(f"{self!r}: lower must be less than upper. Write e.g. truncated(normal(0, 1), 0, inf).")
        if not base.proper:
            raise ModelError(f"{self!r}: an improper prior cannot be truncated. Use uniform(lower, upper).")
        if not self.awaits_data and not self._mass() > 0:
            raise ModelError(f"{self!r}: {base!r} has no probability between {self.lower:g} and {self.upper:g}.")

    def __repr__(self) -> str:
        return f"truncated({self.base!r}, {number(self.lower)}, {number(self.upper)})"

    @property
    def awaits_data(self) -> bool:
        return bool(getattr(self.base, "awaits_data", False))

    def _tails(self) -> bool:
        """Whether to count probability from above: differences of small upper tails keep their digits."""
        return float(self.base.cdf(self.lower)) > 0.5

    def _mass(self) -> float:
        if self._tails():
            return float(self.base.sf(self.lower) - self.base.sf(self.upper))
        return float(self.base.cdf(self.upper) - self.base.cdf(self.lower))

    def parameters(self) -> dict[str, Any]:
        if self.awaits_data:
            return dict(self.base.parameters())
        return {**self.base.parameters(), "log_mass": math.log(self._mass())}

    def with_parameters(self, values: Mapping[str, Any]) -> Truncated:
        base = self.base.with_parameters({k: v for k, v in values.items() if k != "log_mass"})
        return Truncated(base, self.lower, self.upper)

    @property
    def support(self) -> tuple[float, float]:
        low, high = self.base.support
        return (max(low, self.lower), min(high, self.upper))

    @property
    def structure(self) -> str:
        # The bounds shape the change of variables of the compiled program, so they belong to the structure.
        return f"truncated({self.base.structure}, {number(self.lower)}, {number(self.upper)})"

    @property
    def tail_exponent(self) -> float:
        return math.inf if all(map(math.isfinite, self.support)) else float(self.base.tail_exponent)

    @property
    def origin_exponent(self) -> float:
        low, high = self.support
        return float(self.base.origin_exponent) if low <= 0 <= high else math.inf

    @property
    def breaks(self) -> tuple[float, ...]:
        low, high = self.support
        return tuple(b for b in self.base.breaks if low < b < high)

    def _logpdf(self, x: Array) -> Array:
        return np.asarray(self.base.logpdf(x) - math.log(self._mass()))

    def _cdf(self, x: Array) -> Array:
        if self._tails():
            return np.asarray((self.base.sf(self.lower) - self.base.sf(x)) / self._mass())
        return np.asarray((self.base.cdf(x) - self.base.cdf(self.lower)) / self._mass())

    def _sf(self, x: Array) -> Array:
        if float(self.base.cdf(self.upper)) > 0.5:
            return np.asarray((self.base.sf(x) - self.base.sf(self.upper)) / self._mass())
        return np.asarray((self.base.cdf(self.upper) - self.base.cdf(x)) / self._mass())

    def _ppf(self, q: Array) -> Array:
        if self._tails():
            return np.asarray(self.base.isf(self.base.sf(self.lower) - q * self._mass()))
        return np.asarray(self.base.ppf(self.base.cdf(self.lower) + q * self._mass()))

    def _isf(self, q: Array) -> Array:
        if float(self.base.cdf(self.upper)) > 0.5:
            return np.asarray(self.base.isf(self.base.sf(self.upper) + q * self._mass()))
        return np.asarray(self.base.ppf(self.base.cdf(self.upper) - q * self._mass()))

    def mean(self) -> float:
        return mean_by_quadrature(self)

    def sd(self) -> float:
        return sd_by_quadrature(self)

    def resolve(self, sei: ArrayLike) -> Truncated:
        return Truncated(self.base.resolve(sei), self.lower, self.upper)

    def rescale(self, factor: float) -> Truncated:
        return Truncated(self.base.rescale(factor), self.lower * factor, self.upper * factor)

    def _log_density_of(self, value: Any, p: Mapping[str, Any]) -> Any:
        import pytensor.tensor as pt

        low, high = self.support
        inside = pt.and_(pt.ge(value, low), pt.le(value, high))
        inner = self.base.log_density(value, {k: v for k, v in p.items() if k != "log_mass"})
        return pt.switch(inside, inner - p["log_mass"], -np.inf)


@readable
def on_tau2(prior: Any) -> OnTau2:
    """Return the prior of tau that `prior` on tau2 implies; text form ``tau2~inverse_gamma(0.001, 0.001)``."""
    return OnTau2(prior)


@readable
def truncated(prior: Any, lower: float = -math.inf, upper: float = math.inf) -> Truncated:
    """Return `prior` restricted to (lower, upper) and normalised again."""
    return Truncated(prior, lower, upper)
