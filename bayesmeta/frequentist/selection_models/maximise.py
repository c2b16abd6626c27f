"""The likelihood of a selection model, its maximum and its profile."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.optimize import brentq, minimize

from bayesmeta.errors import ConvergenceError
from bayesmeta.values import Array

_IMPOSSIBLE = 1e10
"""What minus the log likelihood counts as where the parameters cannot be."""


class Weights(Protocol):
    """A weight function of the p-value with its free parameters."""

    @property
    def starts(self) -> tuple[tuple[float, ...], ...]: ...
    @property
    def bounds(self) -> tuple[tuple[float, float], ...]: ...
    def delta(self, free: Array) -> Array: ...
    def log_weight(self, free: Array) -> float: ...
    def log_normaliser(self, free: Array, mean: Array, sd: Array) -> Array: ...


@dataclass(frozen=True, slots=True, eq=False)
class Maximum:
    """Where the likelihood is largest: `mu` in the favoured direction, `tau2`, free parameters, log likelihood."""

    mu: float
    tau2: float
    free: Array
    loglik: float


@dataclass(frozen=True, slots=True, eq=False)
class SelectedEffects:
    """``k`` effects, positive in the favoured direction, with or without (None) selection by `weights`."""

    yi: Array
    sei: Array
    weights: Weights | None
    common: bool

    def loglik(self, mu: float, tau2: float, free: Array) -> float:
        """Return the log likelihood; -inf where the parameters cannot be."""
        v = self.sei**2 + tau2
        value = float(-0.5 * ((self.yi - mu) ** 2 / v + np.log(2.0 * np.pi * v)).sum())
        if self.weights is None:
            return value
        sd = np.sqrt(1.0 + tau2 / self.sei**2)
        lost = self.weights.log_normaliser(free, mu / self.sei, sd)
        total = value + self.weights.log_weight(free) - float(lost.sum())
        return total if np.isfinite(total) else -np.inf

    def maximum(self, *, start: Maximum | None = None, mu: float | None = None) -> Maximum:
        """Return the maximum, from several starts or from one; with `mu` given, over the other parameters."""
        scale = float(np.median(self.sei))
        bounds = self._bounds(scale, mu)
        low, high = (np.array(side) for side in zip(*bounds, strict=True))
        tries = 3 if start is None else 1
        found = [self._climb(np.clip(x, low, high), bounds, scale, tries) for x in self._starts(scale, start)]
        best = max(found, key=lambda maximum: maximum.loglik)
        if best.loglik > -_IMPOSSIBLE:
            return best
        if start is not None:
            return self.maximum(mu=mu)
        raise ConvergenceError(
            "The selection model has no maximum that could be found from any start. Use a weight function with fewer "
            "parameters, or weight='beta' with steps."
        )

    def profile_interval(self, at: Maximum, drop: float) -> tuple[float, float]:
        """Return the values of mu whose profile log likelihood lies `drop` below the maximum; inf where none does."""
        step = float(1.0 / np.sqrt((1.0 / (self.sei**2 + at.tau2)).sum()))
        return self._limit(at, drop, -step), self._limit(at, drop, step)

    def _limit(self, at: Maximum, drop: float, step: float) -> float:
        """Walk from the maximum until the likelihood has dropped, and find where between the last two places."""
        reach, inside, far = np.sqrt(drop), at, step
        for _ in range(40):

            def beyond(mu: float, nearby: Maximum = inside) -> float:
                # The root of the fall is nearly linear in mu, so that the secants of brentq need few steps.
                return float(np.sqrt(max(at.loglik - self.maximum(start=nearby, mu=mu).loglik, 0.0)) - reach)

            outside = self.maximum(start=inside, mu=inside.mu + far)
            if at.loglik - outside.loglik > drop:
                a, b = sorted((inside.mu, outside.mu))
                return float(brentq(beyond, a, b, xtol=2e-5 * abs(step)))
            inside, far = outside, far * 1.3
        return float(np.sign(step) * np.inf)

    def _climb(self, x: Array, bounds: list[tuple[float, float]], scale: float, tries: int) -> Maximum:
        best = np.inf
        for _ in range(tries):  # a restart forgets a wrong curvature at a bound
            found = minimize(
                self._minus,
                x,
                args=(scale,),
                jac="3-point",
                method="L-BFGS-B",
                bounds=bounds,
                options={"maxiter": 300, "ftol": 1e-13, "gtol": 1e-8},
            )
            x = found.x
            if not found.fun < best - 1e-9:
                break
            best = float(found.fun)
        return Maximum(*self._unpack(x, scale), -float(found.fun))

    def _bounds(self, scale: float, mu: float | None) -> list[tuple[float, float]]:
        widest = 10.0 * float(np.abs(self.yi).max() / scale + self.sei.max() / scale)
        centre = (-widest, widest) if mu is None else (mu / scale, mu / scale)
        free = () if self.weights is None else self.weights.bounds
        return [centre, (0.0, 0.0 if self.common else widest), *[(np.log1p(a), np.log1p(b)) for a, b in free]]

    def _starts(self, scale: float, start: Maximum | None) -> list[Array]:
        if start is not None:
            tau = float(np.sqrt(start.tau2)) / scale
            # The likelihood is even in tau, so that a climb which starts at 0 never leaves it.
            taus = (tau,) if self.common or tau > 0.1 else (tau, 0.3)
            return [np.concatenate([[start.mu / scale, t], np.log1p(start.free)]) for t in taus]
        precision = 1.0 / self.sei**2
        mean = float((precision * self.yi).sum() / precision.sum())
        spread = float(np.sqrt(max(np.var(self.yi) - np.median(self.sei**2), 0.05 * scale**2)))
        frees: Sequence[tuple[float, ...]] = ((),) if self.weights is None else self.weights.starts
        return [
            np.array([m / scale, t / scale, *np.log1p(free)])
            for free in frees
            for m in (mean, 0.5 * mean)
            for t in ((0.0,) if self.common else (spread, 0.2 * scale))
        ]

    def _unpack(self, x: Array, scale: float) -> tuple[float, float, Array]:
        return float(x[0] * scale), float((x[1] * scale) ** 2), np.expm1(x[2:])

    def _minus(self, x: Array, scale: float) -> float:
        value = self.loglik(*self._unpack(x, scale))
        return -value if np.isfinite(value) else _IMPOSSIBLE
