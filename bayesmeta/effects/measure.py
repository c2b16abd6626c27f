"""What an effect measure is, the registry of all of them, and the scales they live on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesmeta.errors import DataError
from bayesmeta.values import Array

type Transform = Callable[[Array, Array | None], Array]


type Groups = NDArray[np.intp] | None


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """How a formula is to be used.

    Parameters
    ----------
    vtype
        Kind of sampling variance, one of the measure's `vtypes`.
    correct
        Whether a small-sample bias correction is made, where the measure has one.
    group
        ``(k,)`` index of each study's meta-analysis, from 0; None when all are one.
    """

    vtype: str = "LS"
    correct: bool = True
    group: Groups = None


# Columns of the data, then the options; returns (k,) effects and (k,) sampling variances,
# NaN or infinite where not estimable.
type Compute = Callable[..., tuple[Array, Array]]


@dataclass(frozen=True, slots=True)
class Scale:
    """How a measure's analysis scale relates to the scale people read.

    Parameters
    ----------
    to_natural, from_natural
        Inverse functions on arrays; the second argument is the sample size (or person-time), which
        only the Freeman-Tukey scales use.
    null
        No effect on the analysis scale; None where no value means "no effect" (single-arm measures).
    needs_n
        Whether the functions need the second argument.
    low, high
        Range of the natural scale, limits included.
    """

    to_natural: Transform
    from_natural: Transform
    null: float | None = 0.0
    needs_n: bool = False
    low: float = -np.inf
    high: float = np.inf


# Measures whose code says how they are pooled, not what they are: a proportion is a proportion on any scale.
HELD = frozenset({"Effect", "Proportion", "Incidence rate", "Mean", "Correlation"})


@dataclass(frozen=True, slots=True)
class Measure:
    """An effect measure: its data, formula, scales and labels.

    Parameters
    ----------
    name
        metafor's string.
    family
        Kind of raw data: ``"two_by_two"``, ``"person_time"``, ``"means"``, ``"paired"``,
        ``"proportion"``, ``"rate"``, ``"mean"``, ``"correlation"`` or ``"estimate"`` (ready estimates only).
    columns
        Canonical names of the columns needed, in the order `compute` takes them.
    label
        On the natural scale, e.g. ``"Odds ratio"``.
    analysis_label
        On the scale where effects are pooled, e.g. ``"log odds ratio"``.
    scale
        Functions between the two scales and the reference line.
    compute
        The formula; None for measures that exist only as ready estimates.
    ratio
        Whether the natural scale is a ratio and the analysis scale its log.
    vtypes
        Sampling variances on offer, the default first.
    default_add
        What is added to zero cells when nothing else is said: 0.5, or 0 for measures that exist with zero
        cells; None for measures without counts.
    correctable
        Whether ``correct=False`` (no bias correction) is on offer.
    """

    name: str
    family: str
    columns: tuple[str, ...]
    label: str
    analysis_label: str
    scale: Scale
    compute: Compute | None = None
    ratio: bool = False
    vtypes: tuple[str, ...] = ("LS",)
    default_add: float | None = None
    correctable: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel by name: its functions are those of the package at the other end."""
        return _named, (self.name,)

    @property
    def short(self) -> str:
        """What a column of such effects is headed by: the abbreviation that people write, or what it holds."""
        return self.label.lower() if self.label in HELD else self.name

    @property
    def transformed(self) -> bool:
        """Whether effects are pooled on another scale than people read, and can be moved between them one by one."""
        return not self.scale.needs_n and float(self.to_natural(0.37)) != 0.37

    @property
    def counted(self) -> bool:
        """Whether the effects come from counts of events."""
        return self.family in ("two_by_two", "person_time", "proportion", "rate")

    @property
    def null(self) -> float | None:
        """Reference line on the analysis scale; None where there is none."""
        return self.scale.null

    @property
    def null_natural(self) -> float | None:
        """Reference line on the natural scale; None where there is none."""
        return None if self.scale.null is None else float(self.to_natural(self.scale.null))

    @property
    def axis_label(self) -> str:
        """Label of a plot axis that shows the natural scale."""
        return f"{self.label} (log scale)" if self.ratio else self.label

    def to_natural(self, values: ArrayLike, n: ArrayLike | None = None) -> Array:
        """Return analysis-scale `values` on the natural scale.

        Parameters
        ----------
        values
            Effects or interval limits on the analysis scale.
        n
            Sample size (``PFT``) or person-time (``IRFT``); for a pooled effect the harmonic mean of
            the studies' (Miller 1978, Am. Stat. 32:138). Ignored by every other measure.

        Raises
        ------
        DataError
            If the measure needs `n` and it was not given.
        """
        # A limit far out may be beyond the largest float: infinity is its right rounding.
        with np.errstate(over="ignore"):
            return self.scale.to_natural(_floats(values), self._size(n))

    def from_natural(self, values: ArrayLike, n: ArrayLike | None = None) -> Array:
        """Return natural-scale `values` on the analysis scale; the inverse of `to_natural`.

        Parameters
        ----------
        values
            On the natural scale; the end of its range may map to an infinite value (log of 0).
        n
            As in `to_natural`.

        Raises
        ------
        DataError
            If a value lies outside the natural scale, or `n` is needed and was not given.
        """
        x = _floats(values)
        outside = (x < self.scale.low) | (x > self.scale.high)
        if outside.any():
            raise DataError(
                f"{float(x[outside].flat[0]):g} is no {self.label.lower()}: "
                f"values lie in [{self.scale.low:g}, {self.scale.high:g}]."
            )
        with np.errstate(divide="ignore"):
            return self.scale.from_natural(x, self._size(n))

    def _size(self, n: ArrayLike | None) -> Array | None:
        if not self.scale.needs_n:
            return None
        if n is None:
            raise DataError(
                f"The {self.analysis_label} ({self.name}) has no inverse without a sample size: give n=..., "
                "for a pooled effect the harmonic mean of the studies' sample sizes."
            )
        return _floats(n)


def _floats(values: ArrayLike) -> Array:
    return np.asarray(values, dtype=np.float64)


IDENTITY = Scale(lambda y, n: y, lambda x, n: x)
LOG = Scale(lambda y, n: np.exp(y), lambda x, n: np.log(x), low=0.0)

MEASURES: dict[str, Measure] = {}

FAMILY_WORDS = {
    "two_by_two": "2x2 counts",
    "person_time": "events and person-time in two arms",
    "means": "means and standard deviations in two arms",
    "paired": "paired means and standard deviations",
    "proportion": "events and sample size in one group",
    "rate": "events and person-time in one group",
    "mean": "mean and standard deviation in one group",
    "correlation": "correlations",
    "estimate": "ready estimates",
}


def register(measure: Measure) -> Measure:
    """Put `measure` in `MEASURES` under its name."""
    MEASURES[measure.name] = measure
    return measure


def is_ratio(measure: str) -> bool:
    """Return whether effects of that measure are logs of ratios; False for a name that is not a measure."""
    return measure in MEASURES and MEASURES[measure].ratio


def group_mean(values: Array, weights: Array, group: Groups) -> Array:
    """Return, for every study, the weighted mean of `values` over the meta-analysis it belongs to.

    Parameters
    ----------
    values, weights
        ``(k,)`` numbers.
    group
        ``(k,)`` index of each study's meta-analysis, from 0; None when all are one.
    """
    used = np.isfinite(values) & np.isfinite(weights)
    w = np.where(used, weights, 0.0)
    product = np.where(used, values, 0.0) * w
    if group is None:
        return np.full(len(values), product.sum() / w.sum() if w.any() else np.nan)
    total, weight = np.bincount(group, product), np.bincount(group, w)
    with np.errstate(invalid="ignore"):
        return np.asarray((total / weight)[group])


def _named(name: str) -> Measure:
    return MEASURES[name]
