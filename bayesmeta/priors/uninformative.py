r"""Noninformative priors for tau whose density depends on every study's standard error, and sqrt().

They are written without parameters, e.g. ``jeffreys()``; `resolve` gives them the standard errors
:math:`s_i`, which `bayesmeta.fit` does by itself. Formulas and sources are collected in Roever 2020,
J Stat Softw 93(6), section 2.2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.priors.base import Base, register
from bayesmeta.priors.numeric import LogGrid
from bayesmeta.priors.scaled import checked, harmonic_scale, unresolved
from bayesmeta.values import Array

# Values of tau times studies held in memory at once.
_CHUNK = 2_000_000


@dataclass(frozen=True, repr=False)
class _FromStudies(Base):
    """A prior whose density depends on every standard error."""

    sei: tuple[float, ...] | None = None
    integrable: ClassVar[bool] = False
    tail_: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        if self.sei is not None:
            object.__setattr__(self, "sei", tuple(map(float, checked(self, self.sei))))

    def __repr__(self) -> str:
        return f"{self.name}()"

    def resolve(self, sei: ArrayLike) -> Self:
        return self if self.sei is not None else type(self)(tuple(checked(self, sei)))

    def rescale(self, factor: float) -> Self:
        return self if self.sei is None else type(self)(tuple(factor * s for s in self.sei))

    @property
    def awaits_data(self) -> bool:
        return self.sei is None

    def parameters(self) -> dict[str, Any]:
        if self.sei is None:
            return {}
        return {"sei": np.array(self.sei), "log_constant": self._log_constant}

    def with_parameters(self, values: Mapping[str, Any]) -> Self:
        return type(self)(tuple(np.asarray(values["sei"], dtype=float)))

    @property
    def proper(self) -> bool:
        return self.integrable

    @property
    def tail_exponent(self) -> float:
        return self.tail_

    @property
    def origin_exponent(self) -> float:
        return 1.0

    @cached_property
    def _variances(self) -> Array:
        if self.sei is None:
            raise unresolved(self)
        return np.asarray(self.sei) ** 2

    @cached_property
    def s0(self) -> float:
        """Typical standard error: square root of the harmonic mean of the squares."""
        return harmonic_scale(np.sqrt(self._variances))

    @cached_property
    def _log_constant(self) -> float:
        return -math.log(self._grid.total) if self.integrable else 0.0

    @cached_property
    def _grid(self) -> LogGrid:
        if not self.integrable:
            raise self._improper("distribution function")
        s = np.sqrt(self._variances)
        return LogGrid(self._kernel, float(s.min()), float(s.max()), below=2.0, above=self.tail_ - 1)

    def scale_hint(self) -> float:
        return self.s0

    @staticmethod
    def _terms(xp: Any, x: Any, v: Any) -> Any:
        """Return the log kernel at `x` given ``s_i^2 + x^2`` on the last axis of `v`; `xp` numpy or pytensor."""
        raise NotImplementedError

    def _kernel(self, x: Array) -> Array:
        flat = x.reshape(-1)
        step = max(1, _CHUNK // len(self._variances))
        parts = [self._part(flat[i : i + step]) for i in range(0, len(flat), step)]
        return np.concatenate(parts).reshape(x.shape) if parts else np.empty(x.shape)

    def _part(self, x: Array) -> Array:
        return np.asarray(self._terms(np, x, self._variances + (x * x)[:, None]))

    def _logpdf(self, x: Array) -> Array:
        return np.asarray(self._kernel(x) + self._log_constant)

    def _cdf(self, x: Array) -> Array:
        return self._grid.cdf(x)

    def _sf(self, x: Array) -> Array:
        return self._grid.sf(x)

    def _ppf(self, q: Array) -> Array:
        return self._grid.ppf(q)

    def _isf(self, q: Array) -> Array:
        return self._grid.isf(q)

    def mean(self) -> float:
        if not self.integrable:
            raise self._improper("mean")
        return math.inf

    def sd(self) -> float:
        if not self.integrable:
            raise self._improper("standard deviation")
        return math.inf

    def _initval(self) -> float:
        return self.s0

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        import pytensor.tensor as pt

        if self.sei is None:
            raise unresolved(self)

        def logp(value: Any, sei: Any, log_constant: Any) -> Any:
            return self._terms(pt, value, sei**2 + pt.expand_dims(value, -1) ** 2) + log_constant

        def random(sei: Array, log_constant: Array, rng: np.random.Generator, size: Any) -> Array:
            return self.with_parameters({"sei": sei}).ppf(rng.uniform(size=size))

        return "CustomDist", (p["sei"], p["log_constant"]), {"logp": logp, "random": random, "signature": "(k),()->()"}


@register("sqrt")
@dataclass(frozen=True, slots=True, repr=False)
class Sqrt(Base):
    r"""Improper prior uniform in :math:`\sqrt\tau`: density :math:`\tau^{-1/2}`."""

    example: ClassVar[str] = "sqrt()"

    @property
    def proper(self) -> bool:
        return False

    @property
    def tail_exponent(self) -> float:
        return 0.5

    @property
    def origin_exponent(self) -> float:
        return -0.5

    def scale_hint(self) -> float:
        return math.inf

    def _logpdf(self, x: Array) -> Array:
        return -0.5 * np.log(x)

    def rescale(self, factor: float) -> Sqrt:
        return self

    def _initval(self) -> float:
        return 1.0

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        import pytensor.tensor as pt

        return "CustomDist", (), {"logp": lambda value: -0.5 * pt.log(value)}


@register("jeffreys")
@dataclass(frozen=True, repr=False)
class Jeffreys(_FromStudies):
    r"""Jeffreys prior for tau: :math:`\sqrt{\sum_i (\tau / (s_i^2 + \tau^2))^2}`, improper.

    Tibshirani's noninformative prior with tau the parameter of interest (Tibshirani 1989, Biometrika
    76:604-608; Bodnar, Link, Arendacka, Possolo & Elster 2017, Stat Med 36:378-399).
    """

    example: ClassVar[str] = "jeffreys()"

    @staticmethod
    def _terms(xp: Any, x: Any, v: Any) -> Any:
        return xp.log(x) + 0.5 * xp.log(xp.sum(v**-2.0, axis=-1))


@register("overall_jeffreys")
@dataclass(frozen=True, repr=False)
class OverallJeffreys(_FromStudies):
    r"""Jeffreys prior for mu and tau together, as a prior for tau.

    Density :math:`\propto \sqrt{\sum_i (s_i^2 + \tau^2)^{-1} \sum_i (\tau / (s_i^2 + \tau^2))^2}`. It falls
    as :math:`\tau^{-2}`, so for tau alone it is proper, and is normalised here; with it mu is flat.
    """

    example: ClassVar[str] = "overall_jeffreys()"
    integrable: ClassVar[bool] = True
    tail_: ClassVar[float] = 2.0

    @staticmethod
    def _terms(xp: Any, x: Any, v: Any) -> Any:
        return xp.log(x) + 0.5 * xp.log(xp.sum(1 / v, axis=-1)) + 0.5 * xp.log(xp.sum(v**-2.0, axis=-1))


@register("berger_deely")
@dataclass(frozen=True, repr=False)
class BergerDeely(_FromStudies):
    r"""Berger & Deely's prior: :math:`\prod_i (\tau / (s_i^2 + \tau^2))^{1/k}`, improper.

    Berger & Deely 1988, J Am Stat Assoc 83:364-373.
    """

    example: ClassVar[str] = "berger_deely()"

    @staticmethod
    def _terms(xp: Any, x: Any, v: Any) -> Any:
        return xp.log(x) - xp.mean(xp.log(v), axis=-1)


@register("conventional")
@dataclass(frozen=True, repr=False)
class Conventional(_FromStudies):
    r"""Conventional prior: :math:`\propto \prod_i (\tau / (s_i^2 + \tau^2)^{3/2})^{1/k}`, proper.

    A proper variant of Berger & Deely's prior for testing (Berger & Deely 1988, J Am Stat Assoc
    83:364-373); normalised here.
    """

    example: ClassVar[str] = "conventional()"
    integrable: ClassVar[bool] = True
    tail_: ClassVar[float] = 2.0

    @staticmethod
    def _terms(xp: Any, x: Any, v: Any) -> Any:
        return xp.log(x) - 1.5 * xp.mean(xp.log(v), axis=-1)


def min_studies(tau: Any, *, flat: int = 1) -> int:
    r"""Return how many studies the normal model needs for a proper posterior.

    With `flat` coefficients under a flat prior, the likelihood of tau falls as
    :math:`\tau^{-(k - flat)}` (for large tau) and is positive at 0, so the posterior of tau is proper when its prior's
    `tail_exponent` and ``k - flat`` add up to more than 1: uniform 3, sqrt and Jeffreys 2, with flat mu
    (Gelman 2006, Bayesian Anal 1:515-534; Roever 2020, J Stat Softw 93(6), section 2.2).
    The coefficients need at least one study each.

    Parameters
    ----------
    tau
        Prior of tau.
    flat
        Number of coefficients with a flat prior; 0 when every prior of the coefficients is proper.

    Examples
    --------
    >>> from bayesmeta.priors import parse_prior
    >>> min_studies(parse_prior("uniform()")), min_studies(parse_prior("uniform()"), flat=0)
    (3, 2)
    """
    needed = max(1, flat)
    if tau.proper:
        return needed
    return max(needed, math.floor(1 + flat - float(tau.tail_exponent)) + 1)
