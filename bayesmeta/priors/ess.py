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


# Central differences of 6th order for a second derivative.
_OFFSETS = np.arange(-3, 4)
_SECOND = np.array([2, -27, 270, -490, 270, -27, 2]) / 180


def _too_heavy() -> ConvergenceError:
    return ConvergenceError(
        "An expectation behind this effective sample size does not exist, or was not reached: the tails of the "
        "distribution are too heavy for it. Use method 'elir' or a constant uisd."
    )


class _Distribution:
    """A distribution as weighted points, with derivatives of its log density."""

    def __init__(self, distribution: Any) -> None:
        self._pdf, self._sd = distribution.pdf, distribution.sd
        nodes = Nodes(distribution)
        self.x, self.weights, self.width = nodes.x, nodes.weights, nodes.width

    def log_density(self, x: Array) -> Array:
        return np.log(np.asarray(self._pdf(x), dtype=float))

    def information(self) -> Array:
        """Return minus the second derivative of the log density at the nodes."""
        step = 0.02 * self.width
        values = self.log_density(self.x[:, None] + step[:, None] * _OFFSETS)
        return -(values @ _SECOND) / step**2

    def expectation(self, values: Array) -> float:
        terms = values * self.weights
        total = float(terms.sum())
        edge = float(np.abs(terms[:10]).max() + np.abs(terms[-10:]).max())
        if not (math.isfinite(total) and edge <= 1e-7 * abs(total)):
            raise _too_heavy()
        return total

    def variance(self) -> float:
        sd = float(self._sd())
        if not math.isfinite(sd):
            raise _too_heavy()
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
        return float(found.x)


def _elir(d: _Distribution, variance: Callable[[Array], Array]) -> float:
    return d.expectation(d.information() * variance(d.x))


def _vr(d: _Distribution, variance: Callable[[Array], Array]) -> float:
    return d.expectation(variance(d.x)) / d.variance()


def _pr(d: _Distribution, variance: Callable[[Array], Array]) -> float:
    return 1 / (d.variance() * d.expectation(1 / variance(d.x)))


def _mtm_pt(d: _Distribution, variance: Callable[[Array], Array]) -> float:
    mode = d.mode()
    step = 0.02 * float(np.interp(mode, d.x, d.width))
    information = -float(d.log_density(np.asarray(mode + step * _OFFSETS, dtype=float)) @ _SECOND) / step**2
    return information * float(variance(np.array([mode]))[0])


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
        the mode.

    Raises
    ------
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
