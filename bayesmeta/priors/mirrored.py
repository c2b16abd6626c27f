"""A prior turned about 0: that of minus the quantity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.priors.base import Prior
from bayesmeta.priors.text import readable
from bayesmeta.values import Array


@dataclass(frozen=True, slots=True, repr=False)
class Mirrored:
    """The prior of minus a quantity that has the prior `of`.

    ``mirrored(half_cauchy(1))`` is on the negative numbers: a small-study slope where low results are favoured.
    """

    of: Prior

    def __repr__(self) -> str:
        return f"mirrored({self.of!r})"

    @property
    def support(self) -> tuple[float, float]:
        """Range."""
        low, high = self.of.support
        return -high, -low

    @property
    def proper(self) -> bool:
        """Whether it integrates to one."""
        return self.of.proper

    @property
    def structure(self) -> str:
        """Family."""
        return f"mirrored({self.of.structure})"

    @property
    def tail_exponent(self) -> float:
        """That of the prior mirrored."""
        return self.of.tail_exponent

    @property
    def origin_exponent(self) -> float:
        """That of the prior mirrored."""
        return self.of.origin_exponent

    @property
    def breaks(self) -> tuple[float, ...]:
        """Places where the density jumps."""
        return tuple(-b for b in reversed(self.of.breaks))

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the prior mirrored."""
        return self.of.parameters()

    def with_parameters(self, values: Mapping[str, Any]) -> Mirrored:
        """Return the same with other parameters."""
        return Mirrored(self.of.with_parameters(values))  # type: ignore[attr-defined]

    def scale_hint(self) -> float:
        """Return a typical magnitude."""
        return self.of.scale_hint()

    def logpdf(self, x: ArrayLike) -> Array:
        """Return the log density."""
        return self.of.logpdf(-np.asarray(x, dtype=float))

    def cdf(self, x: ArrayLike) -> Array:
        """Return the distribution function."""
        return self.of.sf(-np.asarray(x, dtype=float))

    def sf(self, x: ArrayLike) -> Array:
        """Return the probability above."""
        return self.of.cdf(-np.asarray(x, dtype=float))

    def ppf(self, q: ArrayLike) -> Array:
        """Return quantiles."""
        return -self.of.isf(q)

    def isf(self, q: ArrayLike) -> Array:
        """Return the value exceeded with probability `q`."""
        return -self.of.ppf(q)

    def mean(self) -> float:
        """Return the mean."""
        return -self.of.mean()

    def sd(self) -> float:
        """Return the standard deviation."""
        return self.of.sd()

    def rv(self, name: str, *, dims: str | None = None) -> Any:
        """Return minus the variable in a PyMC program."""
        import pymc as pm

        return pm.Deterministic(name, -self.of.rv(f"{name}_mirrored"), dims=dims)

    def resolve(self, sei: ArrayLike) -> Mirrored:
        """Return the prior given the standard errors."""
        return Mirrored(self.of.resolve(sei))

    def rescale(self, factor: float) -> Mirrored:
        """Return the prior of `factor` times the quantity."""
        return Mirrored(self.of.rescale(factor))


@readable
def mirrored(of: Prior) -> Prior:
    """Return the prior of minus a quantity that has the prior `of`."""
    return of.of if isinstance(of, Mirrored) else Mirrored(of)
