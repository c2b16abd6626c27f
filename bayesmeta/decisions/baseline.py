"""The risk without treatment: a number, a distribution, or pooled from the control arms."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, roots_legendre

from bayesmeta.compare.precision import figure_error, natural_error
from bayesmeta.effects import compute_effects
from bayesmeta.errors import DataError, ModelError, unknown
from bayesmeta.fit import fit
from bayesmeta.posterior import Marginal, Posterior
from bayesmeta.studies import EffectSizes, StudyTable, TwoByTwo
from bayesmeta.values import Array, frozen_array
from bayesmeta.words import supported

# Panels of probability, finer towards both tails, where a quantile function is steep; twelve Gauss points in each.
_TAIL = (0.0, 1e-15, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-3, 0.01, 0.03, 0.08, 0.15, 0.25, 0.37)
_EDGES = np.array([*_TAIL, 0.5, *(1.0 - p for p in _TAIL[::-1])])
_X, _W = (np.asarray(a) for a in roots_legendre(12))
LEVELS: Array = (0.5 * (_EDGES[:-1] + _EDGES[1:])[:, None] + 0.5 * np.diff(_EDGES)[:, None] * _X).ravel()
SHARES: Array = (0.5 * np.diff(_EDGES)[:, None] * _W).ravel()


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """A risk without treatment, known or uncertain.

    Parameters
    ----------
    words
        For the reader, e.g. ``"300 per 1000"``.
    risk, weight
        ``(n,)`` risks and their probabilities: one of each for a number, nodes of a quadrature for a distribution.
    source
        Where it comes from.
    posterior
        The meta-analysis of the control arms' log odds, where it comes from one.
    """

    words: str
    risk: Array
    weight: Array
    source: str = ""
    posterior: Posterior | None = None

    @property
    def fixed(self) -> bool:
        """Whether it is one number."""
        return len(self.risk) == 1

    @property
    def mean(self) -> float:
        """The mean risk."""
        return float(self.weight @ self.risk)


def baseline_risk(value: Any) -> Baseline:
    """Return a risk without treatment from a number, a scipy distribution or 2x2 counts.

    Parameters
    ----------
    value
        A probability; a frozen ``scipy.stats`` distribution on (0, 1), e.g. ``beta(30, 70)``; a `Baseline`;
        or counts, whose control arms are then pooled by `pooled_baseline` for a new study.

    Raises
    ------
    ModelError
        If it is not a probability strictly between 0 and 1, or a distribution reaches beyond 0 and 1.
    """
    if isinstance(value, Baseline):
        return value
    if isinstance(value, TwoByTwo | StudyTable):
        return pooled_baseline(value)
    if hasattr(value, "ppf"):
        return _distributed(value)
    try:
        risk = float(value)
    except (TypeError, ValueError):
        raise ModelError(
            f"The baseline risk is {value!r}: write a probability such as 0.3, a scipy distribution such as "
            "scipy.stats.beta(30, 70), or give the counts to pool the control arms."
        ) from None
    if not 0.0 < risk < 1.0:
        hint = f" For {risk:g}% write {risk / 100:g}." if 1.0 < risk < 100.0 else ""
        raise ModelError(
            f"The baseline risk is {risk:g}: a risk is a probability strictly between 0 and 1, such as 0.3 for 300 per "
            f"1000.{hint}"
        )
    return Baseline(f"{events_per_1000(1000.0 * risk)} per 1000", frozen_array([risk]), frozen_array([1.0]), "given")


def _distributed(distribution: Any) -> Baseline:
    low, high = (float(distribution.ppf(q)) for q in (0.0, 1.0))
    if not (low >= 0.0 and high <= 1.0):
        raise ModelError(
            f"The distribution of the baseline risk reaches from {low:g} to {high:g}: a risk lies between 0 and 1. "
            "Use e.g. scipy.stats.beta(30, 70) or scipy.stats.uniform(0.2, 0.2), which is 0.2 to 0.4."
        )
    middle, first, last = (events_per_1000(1000.0 * float(distribution.ppf(q))) for q in (0.5, 0.025, 0.975))
    words = f"{middle} per 1000 (95% of its distribution {first} to {last})"
    risk = np.clip(np.asarray(distribution.ppf(LEVELS), dtype=float), 0.0, 1.0)
    return Baseline(words, *_inside(risk), "given as a distribution")


def _inside(risk: Array) -> tuple[Array, Array]:
    """Return the nodes strictly between 0 and 1 and their weights; at 0 or 1 no treatment can change anything."""
    tiny = np.finfo(float).tiny
    return frozen_array(np.clip(risk, tiny, 1.0 - np.finfo(float).epsneg)), frozen_array(SHARES / SHARES.sum())


def pooled_baseline(
    counts: TwoByTwo | StudyTable,
    *,
    of: str = "new",
    priors: Mapping[str, Any] | None = None,
    engine: str = "auto",
    seed: int | None = None,
) -> Baseline:
    """Return the risk without treatment, pooled from the control arms.

    The log odds of the control arms (0.5 added to both cells of an arm without events or without non-events) are
    pooled by the normal-normal model, heterogeneity included.

    Parameters
    ----------
    counts
        2x2 tables.
    of
        ``"new"``: the risk in a new setting, whose uncertainty includes the differences between studies;
        ``"mean"``: the typical risk, at the mean of the log odds.
    priors
        Of ``mu`` and ``tau`` on the log odds; flat and ``half_normal(1)`` by default.
    engine, seed
        As in `bayesmeta.fit`.

    Raises
    ------
    ModelError
        If `of` is unknown, or the priors give no proper posterior.
    """
    if of not in ("new", "mean"):
        raise unknown("kind of baseline:", of, ("mean", "new"))
    table = counts.two_by_two() if isinstance(counts, StudyTable) else counts
    raw = compute_effects("PLO", {"events": table.events_control, "n": table.n_control})
    if not np.isfinite(raw.yi).all():
        raise DataError("The control arms' log odds cannot be computed: check the counts.")
    logits = EffectSizes(yi=raw.yi, sei=np.sqrt(raw.vi), study=table.study, measure="PLO", ni=table.n_control)
    posterior = fit(logits, priors=priors, engine=engine, seed=seed)
    marginal = posterior.theta_new if of == "new" else posterior.mu
    middle, first, last = (_per_1000(marginal, q) for q in (0.5, 0.025, 0.975))
    kind, where = ("posterior prediction", "in a new setting") if of == "new" else ("credible", "typical")
    return Baseline(
        f"{middle} per 1000 (95% {kind} interval {first} to {last})",
        *_inside(np.asarray(expit(marginal.ppf(LEVELS)), dtype=float)),
        f"pooled from {table.k} control arms, {where}",
        posterior,
    )


def finer(baseline: Baseline, times: int) -> tuple[Array, Array, Array]:
    """Return risks of an uncertain baseline, on so many times as many nodes as `LEVELS` of each panel.

    Returns
    -------
    risk, weight, level
        ``(n,)`` risks in rising order, interpolated on each panel, their probabilities, and that of a lower risk.
    """
    cuts = np.linspace(-1.0, 1.0, times + 1)
    place = (0.5 * (cuts[:-1] + cuts[1:])[:, None] + _X / times).ravel()
    at_nodes, at_places = (np.polynomial.legendre.legvander(x, len(_X) - 1).T for x in (_X, place))
    risk = baseline.risk.reshape(-1, len(_X)) @ np.linalg.solve(at_nodes, at_places)
    half = 0.5 * np.diff(_EDGES)[:, None]
    weight = half * np.tile(_W / times, times)
    level = 0.5 * (_EDGES[:-1] + _EDGES[1:])[:, None] + half * place
    risk = np.clip(risk, baseline.risk.min(), baseline.risk.max())
    return risk.ravel(), weight.ravel() / weight.sum(), level.ravel()


def _per_1000(logit: Marginal, q: float) -> str:
    """Return a quantile of a logit risk as events per 1000."""
    value = float(logit.ppf(q))
    return events_per_1000(_events(value), natural_error(_events, value, figure_error(logit, q)))


def _events(logit: float) -> float:
    return float(1000.0 * expit(logit))


def events_per_1000(value: float, error: float | None = None) -> str:
    """Return a number of events per 1000 as text: whole from 10 on, else with one decimal; less if its error says so.

    Examples
    --------
    >>> events_per_1000(61.8), events_per_1000(-4.26), events_per_1000(0.01), events_per_1000(999.7)
    ('62', '4.3', '<0.1', '>999')
    >>> events_per_1000(61.8, 2.1), events_per_1000(-4.26, 0.3)
    ('60', '4')
    """
    size = abs(value)
    if 999.0 < size < 1000.0:
        return ">999"
    if size == 0 or not math.isfinite(size):
        return f"{size:g}"
    if size < 0.05:
        return "<0.1"
    places = 1 if size < 9.95 else 0
    most = max(1, math.floor(math.log10(size)) + 1 + places)
    return supported(size, error, most) if error else f"{size:.{places}f}"
