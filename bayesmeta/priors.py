"""Prior distributions as frozen values whose repr is their text form."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from scipy import stats

from bayesmeta.errors import ModelError, unknown
from bayesmeta.values import Array

if TYPE_CHECKING:
    from pytensor.tensor.variable import TensorVariable


@runtime_checkable
class Prior(Protocol):
    """What an engine, a report and a PyMC program ask of a prior.

    ``support`` is its range on the analysis scale; ``proper`` is False for densities that do not
    integrate to one. ``structure`` names the family without its parameters: two priors of one
    structure share a compiled PyMC program.
    """

    @property
    def support(self) -> tuple[float, float]: ...
    @property
    def proper(self) -> bool: ...
    @property
    def structure(self) -> str: ...
    def logpdf(self, x: Array) -> Array: ...
    def cdf(self, x: Array) -> Array: ...
    def ppf(self, q: Array) -> Array: ...
    def mean(self) -> float: ...
    def sd(self) -> float: ...
    def rv(self, name: str) -> TensorVariable: ...
    def resolve(self, sei: Array) -> Prior: ...


PRIORS: dict[str, type[Any]] = {}


def register[T](name: str) -> Callable[[type[T]], type[T]]:
    """Add a prior class to ``PRIORS`` under the name used in its text form."""

    def add(cls: type[T]) -> type[T]:
        PRIORS[name] = cls
        cls.name = name  # type: ignore[attr-defined]
        return cls

    return add


class _Base:
    """Shared behaviour: text form, scipy for the numbers, pm.Data for the parameters."""

    __slots__ = ()
    name: ClassVar[str] = ""
    proper: ClassVar[bool] = True
    support: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{v:g}' for v in self.parameters().values())})"

    def parameters(self) -> dict[str, float]:
        """Return the parameters by name, in the order of the text form."""
        return {f.name: float(getattr(self, f.name)) for f in fields(self)}  # type: ignore[arg-type]

    @property
    def structure(self) -> str:
        return self.name

    def _scipy(self) -> Any:
        raise ModelError(f"{self!r} has no normalised density: it is improper.")

    def logpdf(self, x: Array) -> Array:
        return np.asarray(self._scipy().logpdf(x))

    def cdf(self, x: Array) -> Array:
        return np.asarray(self._scipy().cdf(x))

    def ppf(self, q: Array) -> Array:
        return np.asarray(self._scipy().ppf(q))

    def mean(self) -> float:
        return float(self._scipy().mean())

    def sd(self) -> float:
        return float(self._scipy().std())

    def resolve(self, sei: Array) -> Any:
        """Return the prior given the studies' standard errors; itself when it does not depend on them."""
        return self

    def _data(self, name: str) -> dict[str, Any]:
        """Declare the parameters as pm.Data, so that one compilation serves every value."""
        import pymc as pm

        return {key: pm.Data(f"{name}_prior_{key}", np.float64(v)) for key, v in self.parameters().items()}


@register("half_normal")
@dataclass(frozen=True, slots=True, repr=False)
class HalfNormal(_Base):
    """Half-normal prior for tau, on the unit of the effect measure."""

    scale: float

    def _scipy(self) -> Any:
        return stats.halfnorm(scale=self.scale)

    def rv(self, name: str) -> TensorVariable:
        import pymc as pm

        return pm.HalfNormal(name, sigma=self._data(name)["scale"])


@register("normal")
@dataclass(frozen=True, slots=True, repr=False)
class Normal(_Base):
    """Normal prior, for mu or a coefficient."""

    loc: float
    scale: float
    support: ClassVar[tuple[float, float]] = (-math.inf, math.inf)

    def _scipy(self) -> Any:
        return stats.norm(self.loc, self.scale)

    def rv(self, name: str) -> TensorVariable:
        import pymc as pm

        data = self._data(name)
        return pm.Normal(name, data["loc"], data["scale"])


@register("flat")
@dataclass(frozen=True, slots=True, repr=False)
class Flat(_Base):
    """Improper uniform prior on the whole line, for mu or a coefficient."""

    proper: ClassVar[bool] = False
    support: ClassVar[tuple[float, float]] = (-math.inf, math.inf)

    def logpdf(self, x: Array) -> Array:
        return np.zeros_like(np.asarray(x, dtype=float))

    def rv(self, name: str) -> TensorVariable:
        import pymc as pm

        return pm.Flat(name)


def parse_prior(prior: Any) -> Any:
    """Return a prior from its text form; a prior value passes through.

    Raises
    ------
    ModelError
        If the text is not ``name(number, ...)`` or names no known prior.
    """
    if isinstance(prior, Prior):
        return prior
    match = re.fullmatch(r"\s*(\w+)\s*\(([^()]*)\)\s*", str(prior))
    if match is None:
        raise ModelError(f"Cannot read the prior {prior!r}: write it as name(number, ...), e.g. half_normal(0.5).")
    name, arguments = match.groups()
    if name not in PRIORS:
        raise unknown("prior", name, PRIORS)
    return PRIORS[name](*(float(a) for a in arguments.split(",") if a.strip()))
