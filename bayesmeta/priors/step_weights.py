"""Prior of the weights of a selection model: how likely results in each interval of p are to be reported."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from bayesmeta.errors import ModelError, unknown
from bayesmeta.priors.base import number
from bayesmeta.priors.text import readable
from bayesmeta.values import Array

SIDES = ("greater", "less", "two-sided")
CRITICAL = ("z", "d", "r")


@dataclass(frozen=True, slots=True, repr=False)
class StepWeights:
    """Joint prior of weights that rise with significance, uniform on ``0 < omega_0 < ... < omega_(J-1) = 1``.

    The weights are cumulative sums of a Dirichlet(1, ..., 1): `steps` are cut points of p, and the most significant
    interval has weight 1 (Vevea & Hedges 1995, Psychometrika 60:419-435; Maier, Bartoš & Wagenmakers 2023, Psychol.
    Methods 28:107-122).

    Parameters
    ----------
    steps
        Cut points of the p-value, strictly between 0 and 1; one-sided, unless `side` is ``"two-sided"``.
    side
        ``"greater"`` or ``"less"``: the direction in which results are favoured; ``"two-sided"``: either.
    critical
        How a cut point becomes an effect: ``"z"``, the normal quantile times the standard error; ``"d"`` or ``"r"``,
        the t quantile that a standardised mean difference or a correlation turned into Fisher's z was judged by.
    """

    steps: tuple[float, ...]
    side: str
    critical: str = "z"
    proper: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        steps = tuple(sorted((float(step) for step in self.steps), reverse=True))
        if not steps or len(set(steps)) < len(steps) or not all(0.0 < step < 1.0 for step in steps):
            raise ModelError(
                f"step_weights{self.steps!r}: cut points are different p-values strictly between 0 and 1, e.g. "
                "step_weights(0.025, 0.05, side='greater')."
            )
        if self.side not in SIDES:
            raise unknown("side of step_weights:", self.side, SIDES)
        if self.critical not in CRITICAL:
            raise unknown("critical of step_weights:", self.critical, CRITICAL)
        object.__setattr__(self, "steps", steps)

    def __repr__(self) -> str:
        critical = "" if self.critical == "z" else f", critical={self.critical!r}"
        return f"step_weights({', '.join(number(s) for s in sorted(self.steps))}, side={self.side!r}{critical})"

    @property
    def J(self) -> int:
        """Number of intervals."""
        return len(self.steps) + 1

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the weights that are not known, the least significant interval first: ``omega[p > 0.05]``."""
        ends = [1.0, *self.steps]
        return tuple(
            f"omega[p > {number(low)}]" if j == 0 else f"omega[{number(low)} < p <= {number(ends[j])}]"
            for j, low in enumerate(self.steps)
        )

    def edges(self, sei: Array) -> Array:
        """Return ``(k, J - 1)`` effects at the cut points, in the favoured direction, rising."""
        p = np.array(self.steps) / (2.0 if self.side == "two-sided" else 1.0)
        if self.critical == "z":
            return np.asarray(-special.ndtri(p)[None, :] * sei[:, None])
        n = 3.0 + 1.0 / sei[:, None] ** 2
        t = -special.stdtrit(n - 2.0, p[None, :])
        return np.asarray(np.arctanh(t / np.sqrt(t**2 + (n if self.critical == "d" else n - 2.0))))

    def marginal(self, j: int) -> tuple[float, float]:
        """Return the parameters of the beta distribution of weight j, the least significant interval being 0."""
        return float(j + 1), float(self.J - 1 - j)

    @property
    def support(self) -> tuple[float, float]:
        """Range of each weight."""
        return (0.0, 1.0)

    @property
    def structure(self) -> str:
        """Family, number of weights and side."""
        return f"step_weights[{len(self.steps)}, {self.side}]"

    @property
    def tail_exponent(self) -> float:
        """Weights have an end."""
        return math.inf

    @property
    def origin_exponent(self) -> float:
        """The density of the lowest weight does not vanish at 0."""
        return 0.0

    @property
    def breaks(self) -> tuple[float, ...]:
        """There are none."""
        return ()

    def parameters(self) -> dict[str, Any]:
        """Return no numbers: the prior is uniform."""
        return {}

    def with_parameters(self, values: Mapping[str, Any]) -> StepWeights:
        """Return itself: it has no numbers."""
        del values
        return self

    def scale_hint(self) -> float:
        """Return a typical magnitude."""
        return 0.5

    def _lowest(self) -> tuple[float, float]:
        return self.marginal(0)

    def logpdf(self, x: ArrayLike) -> Array:
        """Return the log density of the lowest weight."""
        a, b = self._lowest()
        x = np.asarray(x, dtype=float)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = special.xlogy(a - 1.0, x) + special.xlog1py(b - 1.0, -x) - special.betaln(a, b)
        return np.where((x >= 0.0) & (x <= 1.0), value, -np.inf)

    def cdf(self, x: ArrayLike) -> Array:
        """Return the distribution function of the lowest weight."""
        return np.asarray(special.betainc(*self._lowest(), np.clip(np.asarray(x, dtype=float), 0.0, 1.0)))

    def sf(self, x: ArrayLike) -> Array:
        """Return the probability that the lowest weight is above."""
        return 1.0 - self.cdf(x)

    def ppf(self, q: ArrayLike) -> Array:
        """Return quantiles of the lowest weight."""
        return np.asarray(special.betaincinv(*self._lowest(), np.asarray(q, dtype=float)))

    def isf(self, q: ArrayLike) -> Array:
        """Return the value that the lowest weight exceeds with probability `q`."""
        return self.ppf(1.0 - np.asarray(q, dtype=float))

    def mean(self) -> float:
        """Return the mean of the lowest weight."""
        a, b = self._lowest()
        return a / (a + b)

    def sd(self) -> float:
        """Return the standard deviation of the lowest weight."""
        a, b = self._lowest()
        return math.sqrt(a * b / (a + b + 1.0)) / (a + b)

    def rv(self, name: str, *, dims: str | None = None) -> Any:
        """Return the ``(J,)`` weights in a PyMC program, the last of them 1."""
        import pymc as pm
        import pytensor.tensor as pt

        # v_j ~ Beta(j + 1, 1), and each weight is the next one times v_j: the same prior, and nothing is ordered.
        share = pm.Beta(f"{name}_share", np.arange(1.0, self.J), 1.0, shape=self.J - 1)
        logs = pt.cumsum(pt.log(share[::-1]))[::-1]
        return pm.Deterministic(name, pt.concatenate([pt.exp(logs), pt.ones(1)]), dims=dims)

    def resolve(self, sei: ArrayLike) -> StepWeights:
        """Return itself: it does not depend on the standard errors."""
        del sei
        return self

    def rescale(self, factor: float) -> StepWeights:
        """Return itself: weights have no unit."""
        del factor
        return self


@readable
def step_weights(*steps: float, side: str, critical: str = "z") -> StepWeights:
    """Return the prior of the weights of a selection model with cut points `steps` of p; see `StepWeights`.

    Examples
    --------
    >>> step_weights(0.025, 0.05, side="greater").labels
    ('omega[p > 0.05]', 'omega[0.025 < p <= 0.05]')
    """
    return StepWeights(tuple(steps), side, critical)
