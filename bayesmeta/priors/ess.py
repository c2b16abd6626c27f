"""How much a prior for mu weighs: unit information SD, and effective sample size."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.errors import ConvergenceError, DataError, ModelError, unknown
from bayesmeta.priors.numeric import Nodes
from bayesmeta.values import Array

type Uisd = float | Callable[[Array], Array]


def uisd(ni: ArrayLike, sei: ArrayLike, *, individual: bool = False) -> Any:
    r"""Return the unit information standard deviation: the standard error one patient's data would have.

    :math:`\sqrt{\sum n_i / \sum s_i^{-2}}` over the studies, or each study's own :math:`\sqrt{n_i}\, s_i`.

    Parameters
    ----------
    ni
        ``(k,)`` total sample sizes.
    sei
        ``(k,)`` standard errors, on the analysis scale.
    individual
        Return the ``(k,)`` studies' own values.

    Raises
    ------
    DataError
        If lengths differ, or a value is not finite and greater than 0.

    References
    ----------
    Roever, Bender, Dias, Schmid, Schmidli, Sturtz, Weber & Friede 2021, Res Synth Methods 12:448-474.
    """
    n, s = np.atleast_1d(np.asarray(ni, dtype=float)), np.atleast_1d(np.asarray(sei, dtype=float))
    if n.shape != s.shape or n.ndim != 1 or not n.size:
        raise DataError(f"uisd needs one sample size and one standard error per study: got {n.size} and {s.size}.")
    if not (np.isfinite(n) & (n > 0) & np.isfinite(s) & (s > 0)).all():
        raise DataError("uisd needs sample sizes and standard errors that are finite and greater than 0.")
    if individual:
        return np.sqrt(n) * s
    least = float(s.min())
    return least * math.sqrt(float(n.sum()) / float(np.sum((least / s) ** 2)))


def _variance_function(unit: Uisd) -> Callable[[Array], Array]:
    if callable(unit):
        return lambda x: np.asarray(unit(x), dtype=float) ** 2
    if not (math.isfinite(unit) and unit > 0):
        raise ModelError(f"uisd is {unit}; it must be a number > 0 on the analysis scale, or a function of the effect.")
    return lambda x: np.full_like(x, float(unit) ** 2)


# Seven points about a place, in steps.
_OFFSETS = np.arange(-3.0, 4.0)
# From the shortest step, a share of a panel, steps are longer by this factor each.
_FIRST_STEP, _LONGER = 0.02, 4.0
# The least distance of a point from a jump of the density, in steps.
_CLEAR = 0.25
# Sums of seven log densities round at about this size, relative to the log density.
_ROUNDING = 1e-14


def _too_heavy(method: str) -> ConvergenceError:
    instead = "a distribution with lighter tails" if method == "elir" else "method 'elir'"
    return ConvergenceError(
        f"An expectation behind this effective sample size ({method}) does not exist, or was not reached: the tails of "
        f"the distribution are too heavy for it. Use {instead}, or a constant uisd."
    )


def _second_derivative_weights(offsets: Array) -> Array:
    """Return ``(n, 7)`` weights of the values at ``(n, 7)`` offsets in the second derivative at 0."""
    powers = offsets[:, None, :] ** np.arange(7.0)[:, None]
    wanted = np.zeros((7, 1))
    wanted[2] = 2.0
    return np.asarray(np.linalg.solve(powers, np.broadcast_to(wanted, (len(offsets), 7, 1)))[..., 0])


class _Distribution:
    """A distribution as weighted points, with derivatives of its log density."""

    def __init__(self, distribution: Any) -> None:
        self._pdf, self._sd = distribution.pdf, distribution.sd
        nodes = Nodes(distribution)
        self.x, self.weights, self.width = nodes.x, nodes.weights, nodes.width
        ends = getattr(distribution, "support", (-math.inf, math.inf))
        self.pieces = np.unique([*ends, *getattr(distribution, "breaks", ())])
        self.spread = float(distribution.ppf(0.75) - distribution.ppf(0.25))

    def log_density(self, x: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.log(np.asarray(self._pdf(x), dtype=float))

    def curvature(self, x: Array, width: Array) -> tuple[Array, Array]:
        """Return minus the second derivative of the log density, and its rough error.

        Differences over longer and longer steps, never across a jump of the density: near an end of the support the
        panels are far shorter than what the density is smooth on, and the shortest steps are all rounding.

        Parameters
        ----------
        x, width
            ``(n,)`` places, and lengths on which the density is smooth.
        """
        piece = np.clip(np.searchsorted(self.pieces, x, side="right") - 1, 0, len(self.pieces) - 2)
        low, high = self.pieces[piece], self.pieces[piece + 1]
        rungs = 2 + max(0, math.ceil(math.log(self.spread / float(width.min()), _LONGER)))
        steps = _FIRST_STEP * width * _LONGER ** np.arange(float(rungs))[:, None]
        steps = np.minimum(steps, (high - low) / 8)
        found = np.array([self._differences(x, step, low, high) for step in steps])
        rounding = _ROUNDING * (1.0 + np.abs(self.log_density(x))) / steps**2
        with np.errstate(invalid="ignore"):
            error = np.abs(np.diff(found, axis=0)) + rounding[:-1]
        error = np.where(np.isnan(error), np.inf, error)
        best = error.argmin(axis=0)
        return np.take_along_axis(found, best[None], 0)[0], np.take_along_axis(error, best[None], 0)[0]

    def _differences(self, x: Array, step: Array, low: Array, high: Array) -> Array:
        reach = 3.0 + _CLEAR
        shift = np.maximum(0.0, reach - (x - low) / step) - np.maximum(0.0, reach - (high - x) / step)
        offsets = _OFFSETS + shift[:, None]
        values = self.log_density(x[:, None] + step[:, None] * offsets)
        with np.errstate(invalid="ignore"):
            return -np.sum(_second_derivative_weights(offsets) * values, axis=1) / step**2

    def information(self) -> Array:
        """Return minus the second derivative of the log density at the nodes."""
        return self.curvature(self.x, self.width)[0]

    def expectation(self, values: Array, method: str) -> float:
        terms = values * self.weights
        total = float(terms.sum())
        edge = float(np.abs(terms[:10]).max() + np.abs(terms[-10:]).max())
        if not (math.isfinite(total) and edge <= 1e-7 * abs(total)):
            raise _too_heavy(method)
        return total

    def variance(self, method: str) -> float:
        sd = float(self._sd())
        if not math.isfinite(sd):
            raise _too_heavy(method)
        return sd**2

    def mode(self) -> float:
        from scipy.optimize import minimize_scalar

        best = int(np.argmax(self.log_density(self.x)))
        low, high = self.x[max(best - 1, 0)], self.x[min(best + 1, len(self.x) - 1)]
        found = minimize_scalar(
            lambda x: -float(self.log_density(np.array(x))),
            bounds=(low, high),
            method="bounded",
            options={"xatol": 1e-9 * float(high - low)},
        )
        # A mode at an end of a piece is approached, not reached.
        ends = self.pieces[np.isfinite(self.pieces)]
        places = np.concatenate([[float(found.x)], ends[(ends >= low - (high - low)) & (ends <= high + (high - low))]])
        return float(places[int(np.argmax(self.log_density(places)))])


def _elir(d: _Distribution, variance: Callable[[Array], Array]) -> float:
    return d.expectation(d.information() * variance(d.x), "elir")


def _vr(d: _Distribution, variance: Callable[[Array], Array]) -> float:
    return d.expectation(variance(d.x), "vr") / d.variance("vr")


def _pr(d: _Distribution, variance: Callable[[Array], Array]) -> float:
    return 1 / (d.variance("pr") * d.expectation(1 / variance(d.x), "pr"))


def _mtm_pt(d: _Distribution, variance: Callable[[Array], Array]) -> float:
    mode = np.array([d.mode()])
    (information,), (error,) = d.curvature(mode, np.interp(mode, d.x, d.width))
    if not (error <= 1e-3 * abs(information) + 1e-6 / d.spread**2 and information > -1e-6 / d.spread**2):
        raise ModelError(
            f"ess(method='mtm.pt') takes the curvature of the log density at its mode, {float(mode[0]):.4g}, where the "
            "density is not a smooth peak. Use method 'elir'."
        )
    return max(float(information), 0.0) * float(variance(mode)[0])


ESS_METHODS: dict[str, Callable[[_Distribution, Callable[[Array], Array]], float]] = {
    "elir": _elir,
    "vr": _vr,
    "pr": _pr,
    "mtm.pt": _mtm_pt,
}


def ess(distribution: Any, uisd: Uisd, *, method: str = "elir") -> float:
    r"""Return the effective sample size of a prior for mu: how many patients' data it is worth.

    Parameters
    ----------
    distribution
        A prior for mu, or a marginal such as ``post.theta_new`` used as a prior (MAP prior); it needs
        ``pdf``, ``ppf`` and ``sd``.
    uisd
        Unit information standard deviation, on the same scale: a number (see `uisd`), or a function of
        the effect, e.g. ``lambda x: 2 * np.cosh(x / 2)`` for a log odds.
    method
        ``"elir"``: expected local information ratio, the only one of the four that is predictively
        consistent; ``"vr"`` variance ratio; ``"pr"`` precision ratio; ``"mtm.pt"`` information ratio at
        the mode (inside the support where the mode is an end of it).

    Raises
    ------
    ModelError
        If the method is unknown, or is ``"mtm.pt"`` and the mode no smooth peak.
    ConvergenceError
        If the expectation does not exist, e.g. the variance ratio of a heavy-tailed distribution.

    References
    ----------
    Neuenschwander, Weber, Schmidli & O'Hagan 2020, Biometrics 76:578-587.

    Examples
    --------
    >>> from bayesmeta.priors import parse_prior
    >>> round(ess(parse_prior("normal(0, 1)"), 4.0), 6)
    16.0
    """
    if method not in ESS_METHODS:
        raise unknown("method of ess", method, ESS_METHODS)
    return ESS_METHODS[method](_Distribution(distribution), _variance_function(uisd))
