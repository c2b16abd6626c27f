"""Priors made of priors: set on tau2, truncated, mixed, robust."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.errors import ModelError
from bayesmeta.priors.base import Base, as_number, number
from bayesmeta.priors.numeric import invert, mean_by_quadrature, sd_by_quadrature
from bayesmeta.priors.text import parse_prior, readable
from bayesmeta.values import Array


def _part(owner: str, value: Any) -> Any:
    prior = parse_prior(value)
    if prior.structure == "point":
        raise ModelError(
            f"{owner} cannot hold {prior!r}: a single value has no density. To weigh tau = 0 against tau > 0, "
            "compare the evidence of the two models."
        )
    return prior


def _sub(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}


class _Compound(Base):
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
class OnTau2(_Compound):
    r"""The prior of tau when `base` is the prior of tau2: density :math:`2 \tau\, p_{\tau^2}(\tau^2)`."""

    base: Any

    def __post_init__(self) -> None:
        base = _part("on_tau2", self.base)
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
        return OnTau2(self.base.resolve(np.asarray(sei, dtype=float) ** 2))

    def rescale(self, factor: float) -> OnTau2:
        return OnTau2(self.base.rescale(factor**2))

    def _initval(self) -> float:
        return math.sqrt(float(self.base.ppf(0.5))) if self.proper else 1.0

    def _log_density_of(self, value: Any, p: Mapping[str, Any]) -> Any:
        import pytensor.tensor as pt

        return math.log(2) + pt.log(value) + self.base.log_density(value**2, p)


@dataclass(frozen=True, slots=True, repr=False)
class Truncated(_Compound):
    """`base` restricted to (lower, upper) and normalised again, e.g. ``truncated(normal(0, 1), 0, inf)``."""

    base: Any
    lower: float
    upper: float

    def __post_init__(self) -> None:
        base = _part("truncated", self.base)
        object.__setattr__(self, "base", base)
        for key in ("lower", "upper"):
            object.__setattr__(self, key, float(getattr(self, key)))
        if not self.lower < self.upper:
            raise ModelError(f"{self!r}: lower must be less than upper. Write e.g. truncated(normal(0, 1), 0, inf).")
        if not base.proper:
            raise ModelError(f"{self!r}: an improper prior cannot be truncated. Use uniform(lower, upper).")
        if not self._mass() > 0:
            raise ModelError(f"{self!r}: {base!r} has no probability between {self.lower:g} and {self.upper:g}.")

    def __repr__(self) -> str:
        return f"truncated({self.base!r}, {number(self.lower)}, {number(self.upper)})"

    def _tails(self) -> bool:
        """Whether to count probability from above: differences of small upper tails keep their digits."""
        return float(self.base.cdf(self.lower)) > 0.5

    def _mass(self) -> float:
        if self._tails():
            return float(self.base.sf(self.lower) - self.base.sf(self.upper))
        return float(self.base.cdf(self.upper) - self.base.cdf(self.lower))

    def parameters(self) -> dict[str, Any]:
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


@dataclass(frozen=True, slots=True, repr=False)
class Mixture(_Compound):
    """A weighted mixture of proper priors, e.g. ``0.5*half_normal(0.1) + 0.5*half_normal(1)``."""

    weights: tuple[float, ...]
    components: tuple[Any, ...]
    name: ClassVar[str] = "mixture"
    example: ClassVar[str] = "0.5*half_normal(0.1) + 0.5*half_normal(1)"

    def __post_init__(self) -> None:
        weights = tuple(as_number(self, "weight", w) for w in self.weights)
        components = tuple(_part("A mixture", c) for c in self.components)
        if len(weights) != len(components) or not weights:
            raise ModelError(f"A mixture has {len(weights)} weights for {len(components)} priors: give one each.")
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "components", components)
        if not all(w > 0 for w in weights) or not abs(math.fsum(weights) - 1) <= 1e-9:
            raise ModelError(
                f"{self!r}: the weights must be greater than 0 and add up to 1, but add up to "
                f"{number(math.fsum(weights))}. Write e.g. 0.5*half_normal(0.1) + 0.5*half_normal(1)."
            )
        for c in components:
            if not c.proper:
                raise ModelError(f"{self!r}: {c!r} is improper and cannot be part of a mixture. Use a proper one.")

    def __repr__(self) -> str:
        return " + ".join(f"{number(w)}*{c!r}" for w, c in zip(self.weights, self.components, strict=True))

    def parameters(self) -> dict[str, Any]:
        weights: dict[str, Any] = {f"weight_{i}": w for i, w in enumerate(self.weights)}
        parts = {f"{i}_{k}": v for i, c in enumerate(self.components) for k, v in c.parameters().items()}
        return weights | parts

    def with_parameters(self, values: Mapping[str, Any]) -> Mixture:
        weights = tuple(float(values[f"weight_{i}"]) for i in range(len(self.weights)))
        parts = tuple(c.with_parameters(_sub(values, f"{i}_")) for i, c in enumerate(self.components))
        return Mixture(weights, parts)

    @property
    def support(self) -> tuple[float, float]:
        return (min(c.support[0] for c in self.components), max(c.support[1] for c in self.components))

    @property
    def structure(self) -> str:
        return f"mixture({', '.join(c.structure for c in self.components)})"

    @property
    def tail_exponent(self) -> float:
        return min(float(c.tail_exponent) for c in self.components)

    @property
    def origin_exponent(self) -> float:
        return min(float(c.origin_exponent) for c in self.components)

    @property
    def breaks(self) -> tuple[float, ...]:
        low, high = self.support
        points = {b for c in self.components for b in (*c.breaks, *c.support)}
        return tuple(sorted(b for b in points if low < b < high))

    def _log_weights(self) -> list[float]:
        total = math.fsum(self.weights)
        return [math.log(w / total) for w in self.weights]

    def _logpdf(self, x: Array) -> Array:
        parts = [w + c.logpdf(x) for w, c in zip(self._log_weights(), self.components, strict=True)]
        value = parts[0]
        for part in parts[1:]:
            value = np.logaddexp(value, part)
        return np.asarray(value)

    def _average(self, values: Sequence[Any]) -> Any:
        return sum(math.exp(w) * v for w, v in zip(self._log_weights(), values, strict=True))

    def _cdf(self, x: Array) -> Array:
        return np.asarray(self._average([c.cdf(x) for c in self.components]))

    def _sf(self, x: Array) -> Array:
        return np.asarray(self._average([c.sf(x) for c in self.components]))

    def _ppf(self, q: Array) -> Array:
        parts = np.array([c.ppf(q) for c in self.components])
        return invert(self.cdf, q, parts.min(axis=0), parts.max(axis=0))

    def _isf(self, q: Array) -> Array:
        parts = np.array([c.isf(q) for c in self.components])
        return invert(lambda x: -self.sf(x), -q, parts.min(axis=0), parts.max(axis=0))

    def mean(self) -> float:
        return float(self._average([c.mean() for c in self.components]))

    def sd(self) -> float:
        mean = self.mean()
        if not math.isfinite(mean):
            return math.nan if math.isnan(mean) else math.inf
        return math.sqrt(self._average([c.sd() ** 2 + (c.mean() - mean) ** 2 for c in self.components]))

    def resolve(self, sei: ArrayLike) -> Mixture:
        return Mixture(self.weights, tuple(c.resolve(sei) for c in self.components))

    def rescale(self, factor: float) -> Mixture:
        return Mixture(self.weights, tuple(c.rescale(factor) for c in self.components))

    def _log_density_of(self, value: Any, p: Mapping[str, Any]) -> Any:
        import pytensor.tensor as pt

        total = sum(p[f"weight_{i}"] for i in range(len(self.weights)))
        parts = [
            pt.log(p[f"weight_{i}"] / total) + c.log_density(value, _sub(p, f"{i}_"))
            for i, c in enumerate(self.components)
        ]
        return pt.logsumexp(pt.stack(parts), axis=0)


@readable
def on_tau2(prior: Any) -> OnTau2:
    """Return the prior of tau that `prior` on tau2 implies; text form ``tau2~inverse_gamma(0.001, 0.001)``."""
    return OnTau2(prior)


@readable
def truncated(prior: Any, lower: float = -math.inf, upper: float = math.inf) -> Truncated:
    """Return `prior` restricted to (lower, upper) and normalised again."""
    return Truncated(prior, lower, upper)


@readable
def robust(prior: Any, weight: float, vague: Any) -> Mixture:
    """Return the robust mixture of an informative prior with a vague one.

    Parameters
    ----------
    prior
        The informative prior, e.g. a MAP prior from historical data.
    weight
        Prior probability of `vague`: that the informative prior does not apply, between 0 and 1.
    vague
        The vague prior, e.g. ``"normal(0, 2.82)"``.

    References
    ----------
    Schmidli, Gsteiger, Roychoudhury, O'Hagan, Spiegelhalter & Neuenschwander 2014, Biometrics 70:1023-1032.
    """
    if not 0 < weight < 1:
        raise ModelError(f"robust: weight is {weight}; it is the probability of the vague prior, between 0 and 1.")
    return mixture([(1 - weight, prior), (weight, vague)])


def mixture(terms: Sequence[tuple[float, Any]]) -> Mixture:
    """Return a mixture from pairs of weight and prior; mixtures among the priors are opened."""
    flat: list[tuple[float, Any]] = []
    for weight, prior in terms:
        value = parse_prior(prior)
        if isinstance(value, Mixture):
            flat += [(weight * w, c) for w, c in zip(value.weights, value.components, strict=True)]
        else:
            flat.append((weight, value))
    return Mixture(tuple(w for w, _ in flat), tuple(p for _, p in flat))
