"""What every prior is: a frozen value whose repr is its text form, and the registry of families."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.errors import ModelError
from bayesmeta.values import Array

if TYPE_CHECKING:
    from pytensor.tensor.variable import TensorVariable


@runtime_checkable
class Prior(Protocol):
    """What an engine, a report and a PyMC program ask of a prior.

    ``support`` is its range on the analysis scale; ``proper`` is False for densities that do not
    integrate to one. ``structure`` names the family without its parameters: two priors of one
    structure share a compiled PyMC program, and ``parameters()`` are the numbers they differ in.

    Hints for integration: ``scale_hint()`` is a typical magnitude (infinite where the prior has
    none); the density falls as ``x ** -tail_exponent`` (infinite: faster than every power) and
    behaves as ``x ** origin_exponent`` near 0; ``breaks`` are the interior points of the support
    where the density jumps or has a kink.
    """

    @property
    def support(self) -> tuple[float, float]: ...
    @property
    def proper(self) -> bool: ...
    @property
    def structure(self) -> str: ...
    @property
    def tail_exponent(self) -> float: ...
    @property
    def origin_exponent(self) -> float: ...
    @property
    def breaks(self) -> tuple[float, ...]: ...
    def parameters(self) -> dict[str, Any]: ...
    def scale_hint(self) -> float: ...
    def logpdf(self, x: ArrayLike) -> Array: ...
    def cdf(self, x: ArrayLike) -> Array: ...
    def sf(self, x: ArrayLike) -> Array: ...
    def ppf(self, q: ArrayLike) -> Array: ...
    def isf(self, q: ArrayLike) -> Array: ...
    def mean(self) -> float: ...
    def sd(self) -> float: ...
    def rv(self, name: str, *, dims: str | None = None) -> TensorVariable: ...
    def resolve(self, sei: ArrayLike) -> Prior: ...
    def rescale(self, factor: float) -> Prior: ...


PRIORS: dict[str, type[Any]] = {}


def fixed_value(prior: Prior | None) -> float | None:
    """Return the one value that all of a prior's mass is on; None where there is no such value, or no prior."""
    return None if prior is None or prior.support[0] != prior.support[1] else float(prior.support[0])


def register[T](name: str) -> Callable[[type[T]], type[T]]:
    """Add a prior class to ``PRIORS`` under the name used in its text form."""

    def add(cls: type[T]) -> type[T]:
        PRIORS[name] = cls
        cls.name = name  # type: ignore[attr-defined]
        return cls

    return add


def number(value: float) -> str:
    """Return the shortest text that reads back as exactly `value`."""
    text = repr(float(value))
    return text.removesuffix(".0")


class Base:
    """Shared behaviour of the families: checks, text form, support, parameters as ``pm.Data``.

    A family writes its density, distribution function and quantiles as direct formulas
    (`_logpdf`, `_cdf`, `_sf`, `_ppf`, `_isf`, for x inside the support), because quadrature calls
    them thousands of times.
    """

    __slots__ = ()
    name: ClassVar[str] = ""
    support_: ClassVar[tuple[float, float]] = (0.0, math.inf)
    positive: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[str] = ""
    # How each parameter changes when the quantity is multiplied by c: "times" c, "over" c, plus "log" c.
    rescales: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self) -> None:
        for f in fields(self):  # type: ignore[arg-type]
            value = as_number(self, f.name, getattr(self, f.name))
            object.__setattr__(self, f.name, value)
        for key, value in self.parameters().items():
            if not math.isfinite(value):
                raise ModelError(f"{self!r}: {key} must be a finite number. Write e.g. {self.example}.")
            if key in self.positive and not value > 0:
                raise ModelError(f"{self!r}: {key} must be greater than 0. Write e.g. {self.example}.")

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(number(v) for v in self.parameters().values())})"

    def parameters(self) -> dict[str, Any]:
        """Return the parameters by name, in the order of the text form."""
        return {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]

    def with_parameters(self, values: Mapping[str, Any]) -> Self:
        """Return a prior of the same structure with these parameters."""
        return type(self)(**values)

    @property
    def support(self) -> tuple[float, float]:
        return self.support_

    @property
    def proper(self) -> bool:
        return True

    @property
    def structure(self) -> str:
        return self.name

    @property
    def tail_exponent(self) -> float:
        return math.inf

    @property
    def origin_exponent(self) -> float:
        return 0.0

    @property
    def breaks(self) -> tuple[float, ...]:
        return ()

    @property
    def awaits_data(self) -> bool:
        """Whether the density is known only after `resolve` was given the studies' standard errors."""
        return False

    def scale_hint(self) -> float:
        """Return a typical magnitude: the median of a positive quantity, else half the interquartile range."""
        if self.support[0] >= 0:
            return float(self.ppf(0.5))
        low, high = self.ppf([0.25, 0.75])
        return float(high - low) / 2

    def logpdf(self, x: ArrayLike) -> Array:
        """Return the log density, ``-inf`` outside the support; the shape of `x`."""
        x = np.asarray(x, dtype=float)
        low, high = self.support
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            value = self._logpdf(x)
        return np.where((x >= low) & (x <= high), value, -np.inf)

    def pdf(self, x: ArrayLike) -> Array:
        """Return the density; the shape of `x`."""
        return np.exp(self.logpdf(x))

    def cdf(self, x: ArrayLike) -> Array:
        """Return the probability at or below `x`; the shape of `x`."""
        return self._clipped(self._cdf, x, 0.0, 1.0)

    def sf(self, x: ArrayLike) -> Array:
        """Return the probability above `x`, accurate in the upper tail; the shape of `x`."""
        return self._clipped(self._sf, x, 1.0, 0.0)

    def _clipped(self, function: Callable[[Array], Array], x: ArrayLike, below: float, above: float) -> Array:
        x = np.asarray(x, dtype=float)
        low, high = self.support
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            value = function(np.clip(x, low, high))
        return np.where(np.isnan(x), np.nan, np.where(x <= low, below, np.where(x >= high, above, value)))

    def ppf(self, q: ArrayLike) -> Array:
        """Return the quantile of probability `q`; nan outside [0, 1]."""
        low, high = self.support
        return _quantile(self._ppf, q, low, high)

    def isf(self, q: ArrayLike) -> Array:
        """Return the value exceeded with probability `q`, accurate for small `q`."""
        low, high = self.support
        return _quantile(self._isf, q, high, low)

    def median(self) -> float:
        """Return the median."""
        return float(self.ppf(0.5))

    def mean(self) -> float:
        """Return the mean; infinite where it diverges, nan where it does not exist."""
        raise self._improper("mean")

    def sd(self) -> float:
        """Return the standard deviation; infinite where it diverges, nan where it does not exist."""
        raise self._improper("standard deviation")

    def _improper(self, what: str) -> ModelError:
        return ModelError(f"{self!r} has no {what}: it is not a proper distribution. Use a proper prior for this.")

    def _logpdf(self, x: Array) -> Array:
        raise NotImplementedError

    def _cdf(self, x: Array) -> Array:
        raise self._improper("distribution function")

    def _sf(self, x: Array) -> Array:
        return 1.0 - self._cdf(x)

    def _ppf(self, q: Array) -> Array:
        raise self._improper("quantiles")

    def _isf(self, q: Array) -> Array:
        return self._ppf(1.0 - q)

    def resolve(self, sei: ArrayLike) -> Any:
        """Return the prior given the studies' standard errors; itself when it does not depend on them."""
        return self

    def rescale(self, factor: float) -> Any:
        """Return the prior of `factor` times the quantity, e.g. of tau on another unit.

        From log odds ratios to standardised mean differences the factor is ``sqrt(3) / pi``
        (Chinn 2000, Stat Med 19:3127-3131).
        """
        if not (math.isfinite(factor) and factor > 0):
            raise ModelError(f"Cannot rescale {self!r} by {factor}: the factor must be a finite number > 0.")
        if not self.rescales:
            raise ModelError(f"{self!r} cannot be rescaled: its range is fixed.")
        change = {"times": lambda v: v * factor, "over": lambda v: v / factor, "log": lambda v: v + math.log(factor)}
        values = {k: change[self.rescales[k]](v) if k in self.rescales else v for k, v in self.parameters().items()}
        return self.with_parameters(values)

    # PyMC: parameters go through pm.Data, so that one compilation serves every value.

    def _pymc(self, p: Mapping[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """Return the PyMC class, its positional and its keyword arguments given parameters `p`."""
        raise NotImplementedError

    def rv(self, name: str, *, dims: str | None = None) -> TensorVariable:
        """Add the random variable `name` to the PyMC model in context; a vector of independent ones given `dims`.

        Its parameters are ``pm.Data`` named ``{name}_prior_{parameter}``.
        """
        import pymc as pm

        family, args, kwargs = self._pymc(self._data(name))
        if family == "CustomDist":
            shape = () if dims is None else (int(pm.modelcontext(None).dim_lengths[dims].eval()),)
            kwargs = {**kwargs, "initval": np.full(shape, self._initval())}
            if not all(map(math.isinf, self.support)):
                kwargs["transform"] = self._transform()
        if dims is not None:
            kwargs = {**kwargs, "dims": dims}
        return getattr(pm, family)(name, *args, **kwargs)

    def log_density(self, value: Any, p: Mapping[str, Any]) -> Any:
        """Return the symbolic log density at `value` given symbolic parameters `p` (for mixtures, truncation)."""
        import pymc as pm

        family, args, kwargs = self._pymc(p)
        return pm.logp(getattr(pm, family).dist(*args, **kwargs), value)

    def _initval(self) -> float:
        return float(self.ppf(0.5))

    def _transform(self) -> Any:
        from pymc.distributions import transforms

        low, high = self.support
        if low == 0 and math.isinf(high):
            return transforms.log
        return transforms.Interval(*(None if math.isinf(end) else end for end in (low, high)))

    def _data(self, name: str) -> dict[str, Any]:
        import pymc as pm

        return {
            key: pm.Data(f"{name}_prior_{key}", np.asarray(v, dtype=np.float64)) for key, v in self.parameters().items()
        }


def as_number(prior: Base, key: str, value: Any) -> float:
    """Return a parameter as a float, or say which one is not a number."""
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"{prior.name}: {key} is {value!r}; it must be a number. Write e.g. {prior.example}."
        ) from error


def _quantile(function: Callable[[Array], Array], q: ArrayLike, at_zero: float, at_one: float) -> Array:
    q = np.asarray(q, dtype=float)
    inside = np.where((q > 0) & (q < 1), q, 0.5)
    with np.errstate(divide="ignore", over="ignore"):
        value = function(inside)
    value = np.where(q == 0, at_zero, np.where(q == 1, at_one, value))
    return np.where((q >= 0) & (q <= 1), value, np.nan)
