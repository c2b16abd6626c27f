"""One analysis and what may be changed about it: the question that tipping points are asked of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import ndtr

from bayesmeta.effects import effect_sizes
from bayesmeta.engines.gaussian.given_variances import Problem, condition, flat_sums, problem
from bayesmeta.errors import ConvergenceError, DataError, ModelError
from bayesmeta.events import Event, opposite
from bayesmeta.gaussian.covariance import Covariance
from bayesmeta.gaussian.statement import Gaussian
from bayesmeta.gaussian.sums import kernel
from bayesmeta.model import Model
from bayesmeta.priors import fill_defaults, fixed_value
from bayesmeta.sensitivity.many import Job, answers, known_at
from bayesmeta.studies import EffectSizes, PersonTime, StudyTable, TwoByTwo
from bayesmeta.values import Array


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A model, its data and priors, and the event whose probability is the conclusion.

    Parameters
    ----------
    model, data, priors
        The analysis; every prior is there by name. One that depends on the studies' standard errors takes those of
        each data set that is asked about.
    event
        What the probability is of.
    level
        Of the credible interval that goes with the conclusion.
    """

    model: Model
    data: Any
    priors: Mapping[str, Any]
    event: Event
    level: float

    @property
    def target(self) -> float:
        """Probability at which the equal-tailed interval just excludes the threshold: 0.975 at 95%."""
        return 0.5 + self.level / 2.0

    @property
    def has_tau(self) -> bool:
        """Whether the model has heterogeneity."""
        return "tau" in self.priors

    @property
    def mu_is_known(self) -> bool:
        """Whether the prior of mu fixes it, so that no data say anything of it."""
        return fixed_value(self.priors.get("mu")) is not None

    def flipped(self) -> "Question":
        """Return the same question about the other side of the threshold."""
        return replace(self, event=replace(self.event, direction=opposite(self.event.direction), benefit=False))

    def probabilities(
        self, *, data: Sequence[Any] | None = None, priors: Sequence[Mapping[str, Any]] | None = None
    ) -> tuple[Array, Array]:
        """Return the event's probability for the mean effect and for a new study, of each data set or prior set.

        Raises
        ------
        ConvergenceError
            If one of the analyses has no answer; the message says why.
        """
        sets = [self.data] * (1 if priors is None else len(priors)) if data is None else list(data)
        changed: list[Mapping[str, Any]] = [{}] * len(sets) if priors is None else list(priors)
        jobs = [Job(d, {**self.priors, **p}, self.event.threshold) for d, p in zip(sets, changed, strict=True)]
        done = answers(self.model, jobs, level=self.level)
        if done.reasons:
            raise ConvergenceError(f"A tipping point cannot be computed: {next(iter(done.reasons.values()))}")
        v = done.values
        mean = self.event.probability(v["mu_above"], v["mu_exactly"])
        return mean, self.event.probability(v["theta_new_above"], v["theta_new_exactly"])

    def exactly(self) -> tuple[float, float]:
        """Return the probabilities that the mean effect and that a new study's effect is the threshold itself."""
        return known_at(self.priors, self.event.threshold)

    def under(self, parameter: str, priors: Sequence[Any]) -> Array:
        """Return the event's probability for the mean effect under each prior of one parameter."""
        return self.probabilities(priors=[{parameter: prior} for prior in priors])[0]

    def given_tau(self, tau: Array) -> Array:
        """Return the event's probability for the mean effect were tau known to be each of these values.

        For models whose true effects integrate out analytically.
        """
        assert self.model.gaussian is not None
        given = self.model.gaussian(self.data, self.priors)
        posed = problem(given)
        at = condition(posed, np.asarray(tau, dtype=float), _sums(given, posed, np.asarray(tau, dtype=float)))
        mean, variance = at.combination(posed.to_gamma(np.ones(1)))
        weight = np.exp(at.logw - at.logw.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        sign = -1.0 if self.event.direction == "higher" else 1.0
        if self.mu_is_known:
            # A known mean effect is on one side of the threshold whatever tau is, or on neither.
            return np.full(len(mean), float(sign * (self.event.threshold - float(posed.origin[0])) > 0.0))
        away = (self.event.threshold - float(posed.origin[0]) - mean) / np.sqrt(variance)
        return np.asarray((weight * ndtr(sign * away)).sum(axis=1))


def _sums(given: Gaussian, posed: Problem, tau: Array) -> Array | None:
    """Return what dependent rows say given tau; None for independent ones, where it follows from their variances."""
    if given.independent:
        return None
    covariance = Covariance(given)
    logdet, M = kernel(covariance, np.column_stack([posed.Z, posed.r]))(covariance.scales(tau[:, None]))
    return flat_sums(M, logdet, posed.p)


def data_for(model: Model, data: Any, measure: str | None) -> tuple[Any, str]:
    """Return what the model takes, made from a table where needed, and the measure of its effects."""
    if model.data_type is TwoByTwo:
        own = model.own_measure or "OR"
        known = data.measure if isinstance(data, EffectSizes) else None
        for name in (measure, known):
            model.check_measure(name or own)
        counts = data.two_by_two() if isinstance(data, StudyTable) else data
        counts = counts.counts if isinstance(counts, EffectSizes) else counts
        if not isinstance(counts, TwoByTwo):
            raise DataError(f"Model {model.name!r} needs the 2x2 counts, and the data are {type(data).__name__}.")
        return counts, own
    if model.data_type is not EffectSizes:
        raise ModelError(f"Tipping points are for models of effect sizes or 2x2 counts, not for {model.name!r}.")
    if isinstance(data, EffectSizes):
        if measure not in (None, data.measure):
            raise ModelError(f"The effect sizes are {data.measure}, not {measure}: leave measure out.")
        return data, data.measure
    if not isinstance(data, StudyTable | TwoByTwo | PersonTime):
        raise DataError(f"Tipping points take a study table, counts or effect sizes, not {type(data).__name__}.")
    effects = effect_sizes(data, measure or ("IRR" if isinstance(data, PersonTime) else "OR"))
    return effects, effects.measure


def all_priors(model: Model, data: Any, priors: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return every prior of the model, the user's in place of the defaults.

    One that depends on standard errors stays as it is, for each data set to fill in its own.
    """
    return dict(model.with_priors(fill_defaults(data, model.priors, priors)))
