"""Each mixed model fitted: its log likelihood maximised under a common effect, under random ones, and saturated."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.errors import DataError
from bayesmeta.frequentist.mixed_models.arm_logliks import (
    Loglik,
    TwoArms,
    hypergeometric,
    log_binomial,
    logit_binomial,
    poisson,
    shifted,
)
from bayesmeta.frequentist.mixed_models.maximise import Maximum, Objective, maximise
from bayesmeta.frequentist.mixed_models.mixed_logliks import (
    Profile,
    fixed_intercepts,
    one_effect,
    random_intercepts,
    saturated_random_intercepts,
    separate_effects,
)
from bayesmeta.studies import PersonTime, TwoByTwo
from bayesmeta.values import Array

# Heterogeneity at which the search begins, from nearly none to very much.
STARTS = (0.05, 0.3, 1.0, 2.5)
# A likelihood that tau raises by less is as high at 0.
RISES = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """Counts of one or two arms by column name, ``(k,)`` each: events with patients (``n``) or person-time."""

    study: tuple[str, ...]
    columns: Mapping[str, Array]

    @classmethod
    def of(cls, data: TwoByTwo | PersonTime) -> Self:
        """Return the counts of two arms."""
        second = "n" if isinstance(data, TwoByTwo) else "time"
        names = [f"{what}_{arm}" for arm in ("treatment", "control") for what in ("events", second)]
        return cls(data.study, {name: getattr(data, name) for name in names})

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(self.study)

    @property
    def arms(self) -> list[tuple[Array, Array]]:
        """Events, and patients or person-time, of each arm."""
        ends = ("_treatment", "_control") if "events_treatment" in self.columns else ("",)
        second = "n" if f"n{ends[0]}" in self.columns else "time"
        return [(self.columns[f"events{end}"], self.columns[f"{second}{end}"]) for end in ends]

    @property
    def binomial(self) -> bool:
        """Whether patients were counted, and not person-time."""
        return any(name.startswith("n") for name in self.columns)

    def informative(self) -> NDArray[np.bool_]:
        """Return which studies of two arms have events and non-events; of one arm all have something to say."""
        if len(self.arms) == 1:
            return np.ones(self.k, dtype=bool)
        events, sizes = (sum(arm[i] for arm in self.arms) for i in (0, 1))
        return np.asarray((events > 0) & ((events < sizes) if self.binomial else True))

    def take(self, keep: NDArray[np.bool_]) -> "Counted":
        """Return some of the studies."""
        study = tuple(s for s, kept in zip(self.study, keep, strict=True) if kept)
        return Counted(study, {name: values[keep] for name, values in self.columns.items()})

    def effect_variances(self, measure: str) -> Array:
        """Return ``(k,)`` sampling variances of the effect sizes, 0.5 added to the cells of studies with a zero one."""
        cells = [part for e, n in self.arms for part in ((e, n - e) if self.binomial else (e,))]
        add = 0.5 * (np.min(cells, axis=0) == 0.0)
        total = np.zeros(self.k)
        for e, n in self.arms:
            total += 1.0 / (e + add)
            if self.binomial:
                total += -1.0 / (n + 2.0 * add) if measure == "RR" else 1.0 / (n - e + add)
        return total


@dataclass(frozen=True, slots=True)
class Fitted:
    """Estimates, and the log likelihoods of this fit, of a common effect, and of an effect for each study."""

    mu: float
    se: float
    tau2: float
    sigma2: float | None
    loglik: float
    common: float
    saturated: float


def one_arm(counts: Counted, measure: str, *, random: bool, points: int) -> Fitted:
    """Return the log odds of an event (PLO) or the log rate (IRLN) of one arm."""
    events, size = counts.arms[0]
    _some(events, size, "the group", binomial=measure == "PLO")
    loglik = logit_binomial(events, size) if measure == "PLO" else poisson(events, size)
    start = _logit(events, size) if measure == "PLO" else float(np.log(events.sum() / size.sum()))
    return _one_effect(loglik, counts.k, start, _saturated(counts), random=random, points=points)


def two_arms(counts: Counted, model: str, measure: str, *, random: bool, points: int) -> Fitted:
    """Return the log odds, risk or rate ratio of two arms by one of the four models."""
    (a, n1), (c, n2) = counts.arms
    for events, size, arm in ((a, n1, "the treatment arm"), (c, n2, "the control arm")):
        _some(events, size, arm, binomial=measure == "OR")
    link = {"OR": logit_binomial, "RR": log_binomial, "IRR": poisson}[measure]
    level = _logit if measure == "OR" else (lambda e, n: float(np.log(e.sum() / n.sum())))
    start = level(a, n1) - level(c, n2)
    if model in ("CM.EL", "CM.AL"):
        if measure == "OR" and model == "CM.EL":
            loglik = hypergeometric(a, n1, c, n2)
            saturated = separate_effects(loglik, Profile(np.zeros(counts.k), np.ones(counts.k)))
        else:
            loglik = shifted(logit_binomial(a, a + c), np.log(n1 / n2))
            saturated = _binomial_top(a, a + c)
        return _one_effect(loglik, counts.k, start, saturated, random=random, points=points)
    arms = TwoArms(link(a, n1), link(c, n2))
    middle = 0.5 * (level(a, n1) + level(c, n2))
    if model == "UM.FS":
        return _fixed(arms, counts, start, middle, measure, random=random, points=points)
    return _random(arms, counts, (start, middle), measure, random=random, points=points)


def _one_effect(loglik: Loglik, k: int, start: float, saturated: float, *, random: bool, points: int) -> Fitted:
    common = maximise(one_effect(loglik, k, points, random=False), [np.array([start])])
    whole = one_effect(loglik, k, points, random=True)
    return _with_tau(common, whole if random else None, saturated)


def _fixed(
    arms: TwoArms, counts: Counted, start: float, middle: float, measure: str, *, random: bool, points: int
) -> Fitted:
    log_link = measure == "RR"

    def profile() -> Profile:
        # Each study's own level, moved towards that of all.
        events, sizes = (sum(arm[i] for arm in counts.arms) for i in (0, 1))
        risk = (events + np.exp(middle)) / (sizes + 1.0)
        at = special.logit(np.minimum(risk, 0.99)) if measure == "OR" else np.log(risk)
        return Profile(at, 1.0 / np.sqrt(events * (1.0 - events / sizes) if counts.binomial else events))

    common = maximise(fixed_intercepts(arms, profile(), points, random=False, log_link=log_link), [np.array([start])])
    whole = fixed_intercepts(arms, profile(), points, random=True, log_link=log_link) if random else None
    return _with_tau(common, whole, _saturated(counts))


def _random(
    arms: TwoArms, counts: Counted, start: tuple[float, float], measure: str, *, random: bool, points: int
) -> Fitted:
    k = counts.k
    single = random_intercepts(arms, k, max(points, 7) if not random else points, random=False)
    low = -1.0 if measure == "RR" else 0.0
    starts = [np.array([*start, s]) for s in (0.1, 0.5, 1.0)]
    starts += [np.array([start[0], start[1] + low, s]) for s in (0.1, 0.5)]
    common = maximise(single, starts)
    effects = Profile(np.full(k, common.at[0]), np.ones(k))
    top = maximise(saturated_random_intercepts(arms, effects, points), [common.at[1:]]).value
    whole = random_intercepts(arms, k, points, random=True) if random else None
    return _with_tau(common, whole, top)


def _with_tau(common: Maximum, whole: Objective | None, saturated: float) -> Fitted:
    """Return the fit with random effects, or that of a common effect where no heterogeneity is as likely."""
    found, tau = common, 0.0
    if whole is not None:
        best = maximise(whole, [np.append(common.at, tau) for tau in STARTS])
        if best.value > whole(np.append(common.at, 0.0)) + RISES:
            found, tau = best, float(best.at[-1])
    sigma = found.at[2] if len(common.at) == 3 else None
    return Fitted(
        mu=float(found.at[0]),
        se=float(np.sqrt(found.variance(0))),
        tau2=tau**2,
        sigma2=None if sigma is None else float(sigma) ** 2,
        loglik=found.value,
        common=common.value,
        saturated=saturated,
    )


def _some(events: Array, size: Array, where: str, *, binomial: bool) -> None:
    what = "has an event" if events.sum() == 0 else "is without one" if binomial and (events == size).all() else ""
    if what:
        raise DataError(
            f"No patient of {where} {what} in any study: the estimate of maximum likelihood is infinite. Use a model "
            "with priors, bm.fit(counts)."
        )


def _logit(events: Array, size: Array) -> float:
    return float(special.logit((events.sum() + 0.5) / (size.sum() + 1.0)))


def _saturated(counts: Counted) -> float:
    """Return the log likelihood where each arm of each study has its own risk or rate."""
    if counts.binomial:
        return sum(_binomial_top(events, n) for events, n in counts.arms)
    return sum(
        float((special.xlogy(events, events) - events - special.gammaln(events + 1.0)).sum())
        for events, _ in counts.arms
    )


def _binomial_top(events: Array, n: Array) -> float:
    """Return the log probability of events whose risks are as observed."""
    p = events / n
    choose = special.gammaln(n + 1.0) - special.gammaln(events + 1.0) - special.gammaln(n - events + 1.0)
    return float((choose + special.xlogy(events, p) + special.xlogy(n - events, 1.0 - p)).sum())
