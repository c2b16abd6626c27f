r"""Confidence intervals for tau2, and I2 and H2 derived from them."""

from collections.abc import Callable
from dataclasses import dataclass
from math import log, sqrt
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtri

from bayesmeta.errors import ConvergenceError, ModelError, unknown
from bayesmeta.frequentist.generalised import fixed_weights, weighted_fit
from bayesmeta.frequentist.likelihood import log_likelihood, maximise, search_grid
from bayesmeta.frequentist.normal_form import model_of, typical_variance
from bayesmeta.frequentist.quadratic_forms import cdf
from bayesmeta.gaussian.weighted import Model, q_root
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array, Interval

if TYPE_CHECKING:
    import pandas as pd

type Tau2IntervalMethod = Literal[
    "qprofile", "generalised_q", "biggerstaff_jackson", "jackson", "profile_ml", "profile_reml"
]

REFERENCES: dict[str, str] = {
    "qprofile": "Viechtbauer (2007), Stat. Med. 26:37-52.",
    "generalised_q": "Jackson (2013), Res. Synth. Methods 4:220-229.",
    "biggerstaff_jackson": "Biggerstaff & Jackson (2008), Stat. Med. 27:6093-6110.",
    "jackson": "Jackson (2013), Res. Synth. Methods 4:220-229.",
    "profile_ml": "Hardy & Thompson (1996), Stat. Med. 15:619-629.",
    "profile_reml": "Viechtbauer (2007), Stat. Med. 26:37-52.",
}
_EMPTY = " (empty: the effects agree more closely than their standard errors allow)"


@dataclass(frozen=True, slots=True)
class Heterogeneity:
    """Intervals for tau2, tau, I2 (percent) and H2, all from the same interval for tau2."""

    tau2: Interval
    tau: Interval
    I2: Interval
    H2: Interval
    reference: str

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row a quantity."""
        import pandas as pd

        names = ("tau2", "tau", "I2", "H2")
        rows = [getattr(self, name) for name in names]
        return pd.DataFrame(
            {
                "quantity": names,
                "ci_low": [i.low for i in rows],
                "ci_high": [i.high for i in rows],
                "level": [i.level for i in rows],
                "rule": [i.rule for i in rows],
            }
        )

    def __str__(self) -> str:
        lines = [f"Heterogeneity: {100 * self.tau2.level:g}% confidence intervals, {self.tau2.rule}"]
        lines += [
            f"  {name}: {i.low:.4g} to {i.high:.4g}"
            for name, i in (("tau2", self.tau2), ("tau", self.tau), ("I2 (%)", self.I2), ("H2", self.H2))
        ]
        return "\n".join([*lines, f"  Reference: {self.reference}"])


def heterogeneity_intervals(
    effects: EffectSizes,
    *,
    method: Tau2IntervalMethod = "qprofile",
    level: float = 0.95,
    weights: Array | None = None,
) -> Heterogeneity:
    """Return confidence intervals for tau2, tau, I2 and H2.

    Parameters
    ----------
    effects
        At least two studies more than there are coefficients in ``effects.X``, less one.
    method
        Of the interval for tau2, see :func:`tau2_interval`.
    level
        Coverage, e.g. ``0.95``.
    weights
        ``(k,)`` for ``"generalised_q"``.

    References
    ----------
    Higgins & Thompson (2002), Stat. Med. 21:1539-1558.
    """
    tau2 = tau2_interval(effects, method=method, level=level, weights=weights)
    model = model_of(effects)
    typical = typical_variance(model, model.at(0.0)) * model.scale**2

    def along(function: Callable[[float], float]) -> Interval:
        return Interval(function(tau2.low), function(tau2.high), level, "confidence", tau2.rule)

    return Heterogeneity(
        tau2=tau2,
        tau=along(sqrt),
        I2=along(lambda t: 100.0 * t / (typical + t)),
        H2=along(lambda t: t / typical + 1.0),
        reference=REFERENCES[method],
    )


def tau2_interval(
    effects: EffectSizes,
    *,
    method: Tau2IntervalMethod = "qprofile",
    level: float = 0.95,
    weights: Array | None = None,
) -> Interval:
    r"""Return a confidence interval for tau2, on the scale of the effects squared.

    Parameters
    ----------
    effects
        ``k`` effects; moderators in ``effects.X`` are accounted for.
    method
        ``"qprofile"``: the tau2 at which Q has its chi-squared quantiles; exact.

        ``"biggerstaff_jackson"``, ``"jackson"``: generalised Q with fixed weights ``1/v`` and ``1/sqrt(v)``;
        ``"generalised_q"`` with the `weights` given. Exact, often shorter for small or moderate heterogeneity.

        ``"profile_ml"``, ``"profile_reml"``: where the profile likelihood is within half a chi-squared
        quantile of its maximum.
    level
        Coverage, e.g. ``0.95``.
    weights
        ``(k,)`` positive weights that do not depend on the effects, for ``"generalised_q"`` only.

    Returns
    -------
    Interval
        Limits at 0 where the data do not exclude 0; an empty Q interval is ``(0, 0)`` and its rule says so.

    Raises
    ------
    ModelError
        If `method` or `level` is not known, or there are no residual degrees of freedom.
    ConvergenceError
        If an upper limit cannot be bracketed.

    References
    ----------
    Viechtbauer (2007), Stat. Med. 26:37-52; Biggerstaff & Jackson (2008), Stat. Med. 27:6093-6110;
    Jackson (2013), Res. Synth. Methods 4:220-229; Hardy & Thompson (1996), Stat. Med. 15:619-629.
    """
    if method not in REFERENCES:
        raise unknown("tau2 interval method", method, REFERENCES)
    if not 0.0 < level < 1.0:
        raise ModelError(f"level is {level!r}; it is a coverage strictly between 0 and 1, e.g. 0.95 for 95%.")
    model = model_of(effects)
    if model.df < 1:
        raise ModelError(
            f"tau2 has no interval with {model.k} studies and {model.p} coefficients: more studies are needed."
        )
    if (weights is not None) != (method == "generalised_q"):
        raise ModelError("weights go with method='generalised_q', and only with it: one positive number per study.")
    if weights is not None:
        ordered = fixed_weights(effects, weights)[model.order]
        low, high, rule = _generalised_q(model, level, ordered, "generalised Q, weights given")
    else:
        low, high, rule = _METHODS[method](model, level)
    return Interval(low * model.scale**2, high * model.scale**2, level, "confidence", rule)


def _q_profile(model: Model, level: float) -> tuple[float, float, str]:
    tail = (1.0 - level) / 2.0
    upper_quantile, lower_quantile = float(chdtri(model.df, tail)), float(chdtri(model.df, 1.0 - tail))
    empty = lower_quantile > model.at(0.0).Q
    return q_root(model, upper_quantile), q_root(model, lower_quantile), "Q-profile" + (_EMPTY if empty else "")


def _generalised_q(model: Model, level: float, weights: Array, name: str) -> tuple[float, float, str]:
    observed = weighted_fit(model, weights).Q
    root = np.sqrt(weights)
    basis = np.linalg.qr(root[:, None] * (np.ones((model.k, 1)) if model.X is None else model.X))[0]
    across = root[:, None] * basis
    projector = np.diag(weights) - across @ across.T

    def tail_above(tau2: float) -> float:
        sd = np.sqrt(model.v + tau2)
        eigenvalues: Array = np.linalg.eigvalsh(sd[:, None] * projector * sd)[model.p :]
        return 1.0 - cdf(observed, np.maximum(eigenvalues, 0.0))

    tail, at_zero = (1.0 - level) / 2.0, tail_above(0.0)
    low = 0.0 if at_zero >= tail else _crossing(model, lambda t: tail_above(t) - tail)
    high = 0.0 if at_zero >= 1.0 - tail else _crossing(model, lambda t: tail_above(t) - (1.0 - tail))
    return low, high, name + (_EMPTY if at_zero >= 1.0 - tail else "")


def _crossing(model: Model, rising: Callable[[float], float]) -> float:
    """Return the zero of an increasing function that is negative at 0, by bracketing in log(tau2)."""
    high = float(model.v[0])
    while rising(high) < 0.0:
        high *= 8.0
        if not np.isfinite(high):
            raise ConvergenceError("The upper limit of tau2 overflows. Use method='qprofile', or check yi and sei.")
    low = high / 8.0
    while rising(low) > 0.0 and low > 1e-18 * high:
        low /= 8.0
    if rising(low) > 0.0:
        return 0.0
    return float(np.exp(brentq(lambda u: rising(float(np.exp(u))), log(low), log(high), xtol=1e-13, rtol=1e-14)))


def _profile(model: Model, level: float, restricted: bool) -> tuple[float, float, str]:
    def ll(tau2: float) -> float:
        return log_likelihood(model, tau2, restricted=restricted)

    best = maximise(model, restricted=restricted)
    cut = ll(best) - 0.5 * float(chdtri(1, 1.0 - level))
    grid = np.union1d(search_grid(model), [best])
    high = float(grid[-1])
    while ll(high) > cut:
        high *= 4.0
    inside = np.flatnonzero(np.array([ll(float(t)) for t in grid]) >= cut)
    first, last = int(inside[0]), int(inside[-1])
    low = 0.0 if first == 0 else _root(lambda t: ll(t) - cut, float(grid[first - 1]), float(grid[first]))
    beyond = float(grid[last + 1]) if last + 1 < len(grid) else high
    name = "profile restricted likelihood" if restricted else "profile likelihood"
    return low, _root(lambda t: ll(t) - cut, float(grid[last]), beyond), name


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(brentq(function, low, high, xtol=1e-15 * high, rtol=1e-14))


_METHODS: dict[str, Callable[[Model, float], tuple[float, float, str]]] = {
    "qprofile": _q_profile,
    "biggerstaff_jackson": lambda m, level: _generalised_q(m, level, 1.0 / m.v, "generalised Q, weights 1/v"),
    "jackson": lambda m, level: _generalised_q(m, level, 1.0 / np.sqrt(m.v), "generalised Q, weights 1/sqrt(v)"),
    "profile_ml": lambda m, level: _profile(m, level, False),
    "profile_reml": lambda m, level: _profile(m, level, True),
}
