"""Tipping points: how much scepticism, heterogeneity or contrary data would overturn the conclusion."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.special import ndtri

from bayesmeta.effects import effect_sizes
from bayesmeta.engines.axes.tau_prior import known_tau
from bayesmeta.errors import BayesMetaError, ConvergenceError
from bayesmeta.events import Event, check_benefit, event_for
from bayesmeta.frequentist import pool
from bayesmeta.model import Model, load_model
from bayesmeta.priors import HalfNormal, Normal
from bayesmeta.sensitivity.fragility import Move, NullStudies, changed_outcomes, null_studies
from bayesmeta.sensitivity.question import Question, all_priors, data_for
from bayesmeta.sensitivity.reverse_bayes import CriticalPrior, critical_prior
from bayesmeta.sensitivity.roots import crossing, crossing_one_by_one
from bayesmeta.studies import EffectSizes
from bayesmeta.studies.dependent_rows import rows_of_studies
from bayesmeta.values import Array

type Conclusion = Literal["benefit", "harm", "open"]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The probability without one study, and whether the conclusion then differs."""

    study: str
    p_mean: float
    p_new: float
    tips: bool


@dataclass(frozen=True, slots=True, eq=False)
class TippingPoints:
    """What would overturn the conclusion.

    Parameters
    ----------
    question
        The analysis.
    conclusion
        ``"benefit"`` or ``"harm"`` where the credible interval of the mean effect lies on that side of the
        threshold, else ``"open"``; the tipping points are then None, because there is nothing to overturn. Under
        a known mean effect all but `sceptical_sd` are None, because nothing else can.
    p_mean, p_new
        Probability of benefit for the mean effect and for a new study's true effect.
    sceptical_sd
        SD of the largest normal prior of mu, centred on the threshold, under which the interval just touches it.
    tau_fixed
        Smallest tau that, were it known, makes the interval touch the threshold.
    p_tau_exceeds
        Posterior probability that tau is larger than that.
    tau_scale
        Smallest scale of a half-normal prior of tau with which the interval touches the threshold.
    studies
        How many further studies without effect would do it, by their size.
    moves
        Patients whose outcomes would have to change, in order; None without counts.
    critical
        Matthews' critical prior of the DerSimonian-Laird interval, measured from the threshold.
    without
        The analysis without each study.
    notes
        Why something is missing.
    """

    question: Question
    conclusion: Conclusion
    p_mean: float
    p_new: float
    critical: CriticalPrior | None
    without: tuple[LeftOut, ...]
    sceptical_sd: float | None = None
    tau_fixed: float | None = None
    p_tau_exceeds: float | None = None
    tau_scale: float | None = None
    studies: tuple[NullStudies, ...] = ()
    moves: tuple[Move, ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def event(self) -> Event:
        """What the probabilities are of."""
        return self.question.event

    def __str__(self) -> str:
        from bayesmeta.sensitivity.sentences import tipping_text

        return tipping_text(self)


def tipping_point(
    data: Any,
    *,
    benefit: str | None,
    measure: str | None = None,
    model: str | Path | Model = "normal_normal",
    priors: Mapping[str, Any] | None = None,
    threshold: float | None = None,
    level: float = 0.95,
) -> TippingPoints:
    """Return what would overturn the conclusion about the mean effect.

    The conclusion is that the equal-tailed credible interval of mu lies on one side of the threshold, which is the
    same as a probability of more than ``(1 + level) / 2`` on that side.

    Parameters
    ----------
    data
        Effect sizes, 2x2 counts or a study table.
    benefit
        Direction that is a benefit, ``"higher"`` or ``"lower"``.
    measure
        For a table or counts; ``"OR"`` when not given.
    model
        A model with quadrature.
    priors
        Of the analysis; the model's defaults otherwise.
    threshold
        Natural scale; no effect when not given.
    level
        Of the credible interval.

    Raises
    ------
    ModelError
        If the direction of benefit is missing, a name is unknown, or the model has no quadrature.
    DataError
        If the data are not what the model takes.
    ConvergenceError
        If an analysis has no answer.

    Notes
    -----
    A further study "without effect" has its estimate at the threshold. Changed outcomes are searched one patient at
    a time, always the change that moves the probability most, so their number is an upper bound of the smallest
    (as for the fragility index of Atal et al. 2019, J Clin Epidemiol 111:32-40).

    Wherever studies are left out, added or changed, the priors stay those of the analysis, defaults included; but a
    prior that depends on standard errors, such as ``dumouchel()``, takes those of the studies that are then there.
    """
    loaded = load_model(model)
    own, kind = data_for(loaded, data, measure)
    event = event_for(kind, check_benefit(benefit), threshold)
    asked = Question(loaded, own, all_priors(loaded, own, priors), event, level)
    mean, new = (float(p[0]) for p in asked.probabilities())
    conclusion = _concluded(mean, asked)
    notes: list[str] = []
    without = _without(asked, conclusion, notes)
    critical = _critical(asked, notes)
    if conclusion == "open":
        return TippingPoints(asked, conclusion, mean, new, critical, without, notes=tuple(notes))
    held = asked if conclusion == "benefit" else asked.flipped()
    if asked.mu_is_known:
        sd = _tried(_sceptical_sd, held, notes)
        notes.append(
            f"The prior {asked.priors['mu']!r} fixes the mean effect: no heterogeneity, and no further or changed "
            "data, can overturn the conclusion."
        )
        return TippingPoints(asked, conclusion, mean, new, critical, without, sceptical_sd=sd, notes=tuple(notes))
    tau_fixed = _tried(_tau_fixed, held, notes) if held.has_tau else None
    return TippingPoints(
        question=asked,
        conclusion=conclusion,
        p_mean=mean,
        p_new=new,
        sceptical_sd=_tried(_sceptical_sd, held, notes),
        tau_fixed=tau_fixed,
        p_tau_exceeds=None if tau_fixed is None else _tau_exceeds(held, tau_fixed),
        tau_scale=_tried(_tau_scale, held, notes) if held.has_tau else None,
        studies=_tried(null_studies, held, notes) or (),
        moves=_tried(changed_outcomes, held, notes),
        critical=critical,
        without=without,
        notes=tuple(notes),
    )


def _tried[T](search: Callable[[Question, list[str]], T], question: Question, notes: list[str]) -> T | None:
    """Return what a search finds; None, with a note, where an analysis on its way has no answer."""
    try:
        return search(question, notes)
    except ConvergenceError as error:
        notes.append(str(error))
        return None


def _first_overturned(question: Question, curve: Callable[[Array], Array], x: Array) -> float | None:
    """Return the first place along a scan at which the conclusion falls."""
    if not question.model.abilities.batched:
        return crossing_one_by_one(curve, x, question.target)
    return crossing(curve, x, question.target)


def _estimates(question: Question) -> EffectSizes:
    """Return the studies' effects with standard errors, which say what is small and large on the scale of mu."""
    data = question.data
    return data if isinstance(data, EffectSizes) else effect_sizes(data, question.event.measure)


def _ladder(question: Question, low: float, high: float) -> Array:
    """Return scales of priors from low to high, so many to a factor of 10."""
    # One by one they take time.
    per_decade = 4.0 if not question.model.abilities.batched else 8.0
    return np.geomspace(low, high, max(2, math.ceil(per_decade * math.log10(high / low)) + 1))


def _sds_of_mu(question: Question) -> Array:
    """Return the SDs of sceptical priors to try, from vague to so tight that no conclusion is left.

    Whatever tau is, mu has a standard error of at least ``s``, that of the common effect, and an estimate at most
    ``d`` from the threshold. Under a prior with SD ``g`` around it the posterior is at most ``g d / s^2`` standard
    deviations away from the threshold, so the last prior tried cannot hold a conclusion whose normal quantile is z.
    """
    effects = _estimates(question)
    away = float(np.abs(effects.yi - question.event.threshold).max())
    s2 = 1.0 / float(np.sum(1.0 / effects.vi))
    widest = max(away, float(effects.sei.max()))
    tightest = min(0.5 * float(ndtri(question.target)) * s2 / away, 0.1 * widest) if away else 0.1 * widest
    return _ladder(question, tightest, 1e3 * widest)[::-1]


def _taus(question: Question) -> Array:
    """Return values of tau, or scales of its prior, from none beside the smallest standard error to the widest."""
    effects = _estimates(question)
    widest = max(float(effects.sei.max()), float(np.ptp(effects.yi)))
    return _ladder(question, 1e-2 * float(effects.sei.min()), 1e4 * widest)


def _sceptical_sd(question: Question, notes: list[str]) -> float | None:
    if "mu" not in question.priors:
        notes.append("No sceptical prior: the model has no single mean effect mu.")
        return None
    at = question.event.threshold

    def curve(sd: Array) -> Array:
        return question.under("mu", [Normal(at, float(s)) for s in sd])

    # From vague to tight: the first prior that overturns is the least sceptical one.
    sds = _sds_of_mu(question)
    found = _first_overturned(question, curve, sds)
    if found is None and curve(sds[:1])[0] < question.target:
        notes.append(
            "No normal prior centred on the threshold, however vague, supports the conclusion: it rests on the prior "
            f"of mu, {question.priors['mu']!r}."
        )
    elif found is None:
        notes.append(f"No sceptical prior: the conclusion holds down to a prior SD of {sds[-1]:.2g}.")
    return found


def _tau_fixed(question: Question, notes: list[str]) -> float | None:
    if not question.model.abilities.batched:
        notes.append(f"No tipping point of tau itself: model {question.model.name!r} has no closed form given tau.")
        return None
    taus = np.concatenate([[0.0], _taus(question)])
    found = crossing(question.given_tau, taus, question.target)
    if found is None:
        notes.append(_no_tau(question, question.given_tau(taus[:1])[0], "tau"))
    return found


def _tau_scale(question: Question, notes: list[str]) -> float | None:
    def curve(scale: Array) -> Array:
        return question.under("tau", [HalfNormal(float(s)) for s in scale])

    scales = _taus(question)
    found = _first_overturned(question, curve, scales)
    if found is None:
        notes.append(_no_tau(question, curve(scales[:1])[0], "the scale of a half-normal prior of tau"))
    return found


def _no_tau(question: Question, homogeneous: float, what: str) -> str:
    if homogeneous < question.target:
        return f"No tipping point of {what}: even without heterogeneity the interval includes the threshold."
    return f"No tipping point of {what}: the conclusion holds for every value tried."


def _tau_exceeds(question: Question, tau: float) -> float:
    from bayesmeta.fit import fit

    known = known_tau(question.priors["tau"])
    if known is not None:
        return float(known > tau)
    return float(fit(question.data, question.model, priors=question.priors, engine="quadrature").tau.sf(tau))


def _without(question: Question, conclusion: Conclusion, notes: list[str]) -> tuple[LeftOut, ...]:
    data = question.data
    # What is left out is a study, with all its rows.
    parts = rows_of_studies(data.study, data.cluster if isinstance(data, EffectSizes) else data.study)
    if len(parts) < 2:
        return ()
    try:
        mean, new = question.probabilities(data=[data.drop(rows) for rows in parts.values()])
    except ConvergenceError as error:
        # i2(), of two studies, has no scale without one of them.
        notes.append(f"No analysis without each study: {error}")
        return ()
    return tuple(
        LeftOut(name, float(p), float(q), _concluded(float(p), question) != conclusion)
        for name, p, q in zip(parts, mean, new, strict=True)
    )


def _concluded(p: float, question: Question) -> Conclusion:
    # A mean effect that is the threshold is on neither side of it.
    other = 1.0 - p - question.exactly()[0]
    return "benefit" if p > question.target else "harm" if other > question.target else "open"


def _critical(question: Question, notes: list[str]) -> CriticalPrior | None:
    if not isinstance(question.data, EffectSizes):
        return None
    if not question.data.independent:
        notes.append("No critical prior interval: the DerSimonian-Laird interval takes independent rows.")
        return None
    try:
        classical = pool(question.data, method="DL", ci="wald", level=question.level).ci
        at = question.event.threshold
        return critical_prior(classical.low - at, classical.high - at, level=question.level)
    except BayesMetaError as error:
        notes.append(f"No critical prior interval: {error}")
        return None
