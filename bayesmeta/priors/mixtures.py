"""Mixtures of priors, and the robust mixture of an informative prior with a vague one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.errors import ModelError
from bayesmeta.priors.base import Prior, as_number, number
from bayesmeta.priors.combine import Compound, part_of
from bayesmeta.priors.numeric import invert
from bayesmeta.priors.text import parse_prior, readable
from bayesmeta.values import Array


def _sub(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}


@dataclass(frozen=True, slots=True, repr=False)
class Mixture(Compound):
    """A weighted mixture of proper priors, e.g. ``0.5*half_normal(0.1) + 0.5*half_normal(1)``."""

    weights: tuple[float, ...]
    components: tuple[Any, ...]
    name: ClassVar[str] = "mixture"
    example: ClassVar[str] = "0.5*half_normal(0.1) + 0.5*half_normal(1)"

    def __post_init__(self) -> None:
        weights = tuple(as_number(self, "weight", w) for w in self.weights)
        components = tuple(part_of("A mixture", c) for c in self.components)
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

    @property
    def awaits_data(self) -> bool:
        return any(getattr(c, "awaits_data", False) for c in self.components)

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

    Raises
    ------
    ModelError
        If `weight` is not between 0 and 1, or a prior cannot be read.

    References
    ----------
    Schmidli, Gsteiger, Roychoudhury, O'Hagan, Spiegelhalter & Neuenschwander 2014, Biometrics 70:1023-1032.
    """
    if not 0 < weight < 1:
        raise ModelError(f"robust: weight is {weight}; it is the probability of the vague prior, between 0 and 1.")
    return mixture([(1 - weight, prior), (weight, vague)])


def parts_of(prior: Prior) -> list[Prior]:
    """Return the proper prior, and what it is a mixture of: each may be far narrower than the whole."""
    parts = [part for c in getattr(prior, "components", ()) for part in parts_of(c)]
    return [prior, *parts] if prior.proper else []


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
