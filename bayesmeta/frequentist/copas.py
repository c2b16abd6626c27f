"""The Copas selection model: how the pooled effect falls as more small studies are supposed unpublished."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.optimize import minimize
from scipy.special import chdtrc, log_ndtr, ndtr, ndtri

from bayesmeta.errors import ConvergenceError, DataError, ModelError, unknown
from bayesmeta.frequentist.significance import quantile
from bayesmeta.frequentist.small_study import block, check_level, interval_text, require_one_mean
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array, Interval, frozen_array

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = "Copas & Shi (2001), Stat. Methods Med. Res. 10:251-265."
_MOST_CORRELATED = 0.9999
"""At a correlation of 1 the likelihood is singular."""
_SMALLEST = (0.99, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
"""Chances of being published of the study with the largest standard error."""
_LARGEST = 0.99
"""The same of the study with the smallest one: large studies are published whatever they find."""


@dataclass(frozen=True, slots=True, eq=False)
class CopasEstimate:
    """The maximum of the Copas likelihood at one strength of selection.

    Parameters
    ----------
    gamma0, gamma1
        A study with standard error s is published with probability ``Phi(gamma0 + gamma1 / s)`` on average.
    published_smallest
        That probability for the study with the largest standard error.
    mu, se, ci
        Pooled effect, its standard error from the curvature at the maximum and its normal interval; None where the
        maximum lies at a bound and the curvature says nothing.
    tau, rho
        Heterogeneity, and the correlation of a result with being published.
    loglik
        Log likelihood of the published results given that they were published, without ``-k log(2 pi) / 2``.
    residual_p
        p-value of what asymmetry is left: the likelihood ratio of adding a slope on the standard error.
    """

    gamma0: float
    gamma1: float
    published_smallest: float
    mu: float
    se: float | None
    ci: Interval | None
    tau: float
    rho: float
    loglik: float
    residual_p: float


@dataclass(frozen=True, slots=True, eq=False)
class Copas:
    """Estimates of the Copas model from hardly any selection to strong selection.

    Parameters
    ----------
    direction
        Which results are favoured.
    path
        Estimates from hardly any selection to strong, by the chance that the smallest study is published.
    accepted
        The first of `path` that leaves no asymmetry at p above 0.10; None where none does.
    """

    direction: str
    measure: str
    path: tuple[CopasEstimate, ...]
    accepted: CopasEstimate | None
    level: float
    yi: Array
    sei: Array
    reference: str = REFERENCE

    @property
    def k(self) -> int:
        """Number of studies."""
        return self.yi.size

    def at(self, gamma0: float, gamma1: float) -> CopasEstimate:
        """Return the estimate at one strength of selection.

        Raises
        ------
        ModelError
            If `gamma0` is not finite or `gamma1` is negative.
        """
        if not (np.isfinite(gamma0) and np.isfinite(gamma1) and gamma1 >= 0.0):
            raise ModelError(
                f"gamma0 = {gamma0!r}, gamma1 = {gamma1!r}; they are numbers, the second at least 0: a study with "
                "standard error s is published with probability Phi(gamma0 + gamma1 / s)."
            )
        return _estimate(self.yi, self.sei, gamma0, gamma1, self.direction, self.level)

    def contour(self, gamma0: Array, gamma1: Array) -> Array:
        """Return mu over a grid, ``(len(gamma0), len(gamma1))``, analysis scale."""
        values = [self.at(float(a), float(b)).mu for a, b in product(gamma0, gamma1)]
        return np.array(values).reshape(len(gamma0), len(gamma1))

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row a strength of selection."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "published_smallest": e.published_smallest,
                    "gamma0": e.gamma0,
                    "gamma1": e.gamma1,
                    "mu": e.mu,
                    "se": e.se,
                    "ci_low": None if e.ci is None else e.ci.low,
                    "ci_high": None if e.ci is None else e.ci.high,
                    "tau": e.tau,
                    "rho": e.rho,
                    "loglik": e.loglik,
                    "residual_p": e.residual_p,
                }
                for e in self.path
            ]
        )

    def __str__(self) -> str:
        lines = [
            f"smallest study published with {e.published_smallest:.0%}: mu = {e.mu:.4f}, "
            + ("no interval (at a bound)" if e.ci is None else interval_text(e.ci))
            + f", tau = {e.tau:.4f}, asymmetry left p = {e.residual_p:.3f}"
            for e in self.path
        ]
        lines.append(
            "No strength of selection shown leaves no asymmetry (p above 0.10)."
            if self.accepted is None
            else "Least selection that leaves no asymmetry (p above 0.10): smallest study published with "
            f"{self.accepted.published_smallest:.0%}, mu = {self.accepted.mu:.4f}."
        )
        caution = (
            "How many studies are unpublished cannot be told from the published ones: the table says what would follow "
            "from each supposition, and any cause of small-study effects looks the same."
        )
        return block(
            f"Copas model, k = {self.k}, measure {self.measure}", lines, caution=caution, reference=self.reference
        )


def copas(effects: EffectSizes, *, direction: Literal["greater", "less"], level: float = 0.95) -> Copas:
    r"""Estimate the mean effect where results that are large and from small studies are more often published.

    A study with standard error s is published if ``gamma0 + gamma1 / s + delta > 0``, delta standard normal and
    correlated with its result. The strength of selection (gamma0, gamma1) is not estimable; it is varied, with the
    study of smallest standard error published with probability 0.99 and that of the largest with 0.99 to 0.3.

    Parameters
    ----------
    effects
        At least 3 independent effects on the analysis scale, without moderators, of different standard errors.
    direction
        Whether results ``"greater"`` or ``"less"`` are favoured. It has no default.
    level
        Coverage of the normal intervals.

    Raises
    ------
    DataError
        With fewer than 3 studies, equal standard errors, several rows a study, or moderators.
    ModelError
        If an option is unknown.
    ConvergenceError
        If a maximum is not found.

    References
    ----------
    Copas & Shi (2001), Stat. Methods Med. Res. 10:251-265.
    """
    check_level(level)
    require_one_mean(effects, "The Copas model")
    if direction not in ("greater", "less"):
        raise unknown("direction", direction, ("greater", "less"))
    if effects.k < 3:
        raise DataError(f"The Copas model needs at least 3 studies; there are {effects.k}.")
    if not np.ptp(effects.sei) > 1e-9 * float(effects.sei.max()):
        raise DataError("All studies have the same standard error: the Copas model cannot tell small from large ones.")
    ends = 1.0 / effects.sei.max(), 1.0 / effects.sei.min()
    path = []
    for share in _SMALLEST:
        gamma1 = float((ndtri(_LARGEST) - ndtri(share)) / (ends[1] - ends[0]))
        gamma0 = float(ndtri(share) - gamma1 * ends[0])
        path.append(_estimate(effects.yi, effects.sei, gamma0, gamma1, direction, level))
    return Copas(
        direction=direction,
        measure=effects.measure,
        path=tuple(path),
        accepted=next((e for e in path if e.residual_p > 0.10), None),
        level=level,
        yi=frozen_array(effects.yi),
        sei=frozen_array(effects.sei),
    )


def _estimate(yi: Array, sei: Array, gamma0: float, gamma1: float, direction: str, level: float) -> CopasEstimate:
    sign = 1.0 if direction == "greater" else -1.0
    scale = float(np.median(sei))
    u = gamma0 + gamma1 / sei
    y, s = sign * yi / scale, sei / scale

    def minus(x: Array) -> float:
        return -_loglik(y, s, u, x[0] + (x[3] * s if x.size > 3 else 0.0), x[1], float(np.tanh(x[2])))

    plain, slope = _climb(minus, y, s, slope=False), _climb(minus, y, s, slope=True)
    mu, tau, rho = float(plain.x[0]), abs(float(plain.x[1])), float(np.tanh(plain.x[2]))
    se = _standard_error(minus, plain.x)
    ci = None
    if se is not None:
        half = quantile(level, None) * se * scale
        ci = Interval(sign * mu * scale - half, sign * mu * scale + half, level, "confidence", "wald")
    return CopasEstimate(
        gamma0=gamma0,
        gamma1=gamma1,
        published_smallest=float(ndtr(u.min())),
        mu=sign * mu * scale,
        se=None if se is None else se * scale,
        ci=ci,
        tau=tau * scale,
        rho=sign * rho,
        loglik=-plain.fun - y.size * float(np.log(scale)),
        residual_p=float(chdtrc(1, max(2.0 * (plain.fun - slope.fun), 0.0))),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Minimum:
    x: Array
    fun: float


def _climb(minus: Callable[[Array], float], y: Array, s: Array, *, slope: bool) -> _Minimum:
    mean, spread = float(np.average(y, weights=1.0 / s**2)), float(np.std(y))
    most = float(np.arctanh(_MOST_CORRELATED))
    bounds = [(None, None), (0.0, None), (-most, most), *([(None, None)] if slope else [])]
    best: _Minimum | None = None
    # Selection can pull either way at first, and tau at 0 is a saddle: neither is left out of the starts.
    for tau, rho in product((0.1, max(spread, 0.3)), (-0.8, 0.1, 0.9)):
        x = np.array([mean, tau, np.arctanh(rho), *([0.0] if slope else [])])
        for _ in range(2):
            found = minimize(minus, x, method="L-BFGS-B", jac="3-point", bounds=bounds, options={"ftol": 1e-14})
            x = found.x
        if np.isfinite(found.fun) and (best is None or found.fun < best.fun):
            best = _Minimum(found.x, float(found.fun))
    if best is None:
        raise ConvergenceError("The likelihood of the Copas model has no maximum that could be found from any start.")
    return best


def _loglik(y: Array, s: Array, u: Array, mean: Array | float, tau: float, rho: float) -> float:
    """Return the log likelihood given publication; `s` estimates the SD of the published results of a study.

    The published results of one study vary less than all its results would: its own variance is
    ``s^2 / (1 - c^2 rho^2)`` with ``c^2 = lambda (u + lambda)``, lambda = phi(u) / Phi(u).
    """
    mills = np.exp(-0.5 * u**2 - 0.5 * np.log(2.0 * np.pi) - log_ndtr(u))
    own = s**2 / (1.0 - mills * (u + mills) * rho**2)
    total = own + tau**2
    share = np.sqrt(own / total) * rho
    v = (u + share * (y - mean) / np.sqrt(total)) / np.sqrt(1.0 - share**2)
    return float((-0.5 * np.log(total) - 0.5 * (y - mean) ** 2 / total - log_ndtr(u) + log_ndtr(v)).sum())


def _standard_error(minus: Callable[[Array], float], x: Array) -> float | None:
    """Return the SE of mu from the curvature in (mu, tau, rho), those at a bound held; None where rho is at its."""
    if abs(np.tanh(x[2])) > 0.999:
        return None
    free = [0, 2] if x[1] < 1e-4 else [0, 1, 2]
    step = np.full(len(free), 1e-4)
    curve = np.empty((len(free), len(free)))
    for (i, a), (j, b) in product(enumerate(free), enumerate(free)):
        da, db = np.eye(x.size)[a] * step[i], np.eye(x.size)[b] * step[j]
        curve[i, j] = (minus(x + da + db) - minus(x + da - db) - minus(x - da + db) + minus(x - da - db)) / (
            4.0 * step[i] * step[j]
        )
    if not np.all(np.isfinite(curve)) or np.linalg.eigvalsh(curve).min() <= 0.0:
        return None
    return float(np.sqrt(np.linalg.inv(curve)[0, 0]))
