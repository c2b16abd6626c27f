r"""Poisson-normal random-effects model of event rates.

.. math::
    y_{iC} &\sim \mathrm{Poisson}(t_{iC} e^{\alpha_i}), \qquad
    y_{iT} \sim \mathrm{Poisson}(t_{iT} e^{\alpha_i + \theta_i}) \\
    \theta_i \mid \mu, \tau &\sim N(\mu, \tau^2), \qquad \alpha_i \sim \text{the prior } \mathtt{baseline}

theta is the log incidence rate ratio; t is person-time. Each study keeps its own log rate
:math:`\alpha_i` of the control arm; nothing is added to zero counts.

Leans on: the prior of the control arm's log rate. The treatment arm's is that plus theta and varies more, so that
studies without events speak for the treatment

Use it for events per person-time with events in most studies, where one arm is the natural reference, and for plans
that name it; ``poisson_normal_conditional`` leans on neither arm (ten studies without events in equal times give this
model a probability of 0.853 that the rate ratio is below 1, and that one 0.5). Not when one patient can have
many events that cluster (the counts then vary more than a Poisson). The prior of the baseline is on the log of
the rate per unit of time in which person-time is given.

Source: Stijnen, Hamza & Özdemir (2010), Statistics in Medicine 29:3046-3067.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.likelihoods.baselines import baselines_given, integrate_baseline, log_rate_baseline, poisson_logpmf
from bayesmeta.model import StudyLikelihoods, data_slots
from bayesmeta.priors import HalfNormal, Normal, Prior
from bayesmeta.studies import PersonTime
from bayesmeta.values import Array

if TYPE_CHECKING:
    import pymc as pm

DATA = PersonTime
PRIORS: dict[str, Prior] = {"mu": Normal(0.0, 2.82), "tau": HalfNormal(0.5), "baseline": Normal(0.0, 10.0)}


def inputs(data: PersonTime) -> dict[str, Any]:
    """Return the arrays that the program takes."""
    return {
        "events_treatment": data.events_treatment.astype(np.int64),
        "time_treatment": data.time_treatment,
        "events_control": data.events_control.astype(np.int64),
        "time_control": data.time_control,
    }


def build(data: PersonTime, priors: Mapping[str, Prior]) -> "pm.Model":
    """Return the PyMC model, non-centred: theta = mu + tau * eta."""
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        mu, tau = priors["mu"].rv("mu"), priors["tau"].rv("tau")
        eta = pm.Normal("eta", 0.0, 1.0, dims="study")
        theta = pm.Deterministic("theta", mu + tau * eta, dims="study")
        _arms(data, priors, theta)
    return model


def centred(data: PersonTime, priors: Mapping[str, Prior]) -> "pm.Model":
    """Return the PyMC model with theta ~ N(mu, tau): good when the studies say much."""
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        mu, tau = priors["mu"].rv("mu"), priors["tau"].rv("tau")
        _arms(data, priors, pm.Normal("theta", mu, tau, dims="study"))
    return model


VARIANTS = {"centred": centred}


def _both_arms(
    data: PersonTime,
) -> tuple[Callable[[Array, Array], Array], Callable[[Array, Prior], tuple[Array, Array]]]:
    """Return the log likelihood of both arms given baseline and theta, and where its integrand is, given a prior."""
    events, time = (data.events_control, data.events_treatment), (data.time_control, data.time_treatment)

    def arms(alpha: Array, theta: Array) -> Array:
        control = poisson_logpmf(events[0][:, None, None], time[0][:, None, None], alpha)
        return control + poisson_logpmf(events[1][:, None, None], time[1][:, None, None], alpha + theta)

    def place(theta: Array, prior: Prior) -> tuple[Array, Array]:
        return log_rate_baseline(theta, events, time, prior)

    return arms, place


def study_likelihoods(data: PersonTime, priors: Mapping[str, Prior]) -> StudyLikelihoods:
    """Return log p(both arms given theta), the baseline integrated out over its prior."""
    events, time = (data.events_control, data.events_treatment), (data.time_control, data.time_treatment)
    baseline, (arms, place) = priors["baseline"], _both_arms(data)

    def loglik(theta: Array) -> Array:
        center, width = place(theta, baseline)
        return integrate_baseline(arms, baseline, theta, center, width, data.study)

    return StudyLikelihoods(
        study=data.study,
        loglik=loglik,
        center=np.log((events[1] + 0.5) / time[1]) - np.log((events[0] + 0.5) / time[0]),
        scale=np.sqrt(1.0 / (events[1] + 0.5) + 1.0 / (events[0] + 0.5)),
        mu=priors["mu"],
        tau=priors["tau"],
    )


def baseline_given(data: PersonTime, priors: Mapping[str, Prior], draws: Mapping[str, Array], uniform: Array) -> Array:
    """Return draws of the baselines from their distribution given theta and both arms."""
    return baselines_given(*_both_arms(data), draws["theta"], priors["baseline"], uniform)


def _arms(data: PersonTime, priors: Mapping[str, Prior], theta: Any) -> None:
    import pymc as pm

    d = data_slots(inputs(data), dims="study")
    alpha = priors["baseline"].rv("baseline", dims="study")
    control, treatment = pm.math.exp(alpha), pm.math.exp(alpha + theta)
    pm.Poisson("y_control", d["time_control"] * control, observed=d["events_control"], dims="study")
    pm.Poisson("y_treatment", d["time_treatment"] * treatment, observed=d["events_treatment"], dims="study")


def simulate(data: PersonTime, p: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Return replicates of the events, given theta and baselines of shape ``(..., k)``."""
    # numpy's largest Poisson mean is near 9e18; counts beyond it are of no study.
    control = np.minimum(data.time_control * np.exp(p["baseline"]), 1e18)
    treatment = np.minimum(data.time_treatment * np.exp(p["baseline"] + p["theta"]), 1e18)
    events = (np.asarray(rng.poisson(mean), dtype=np.float64) for mean in (control, treatment))
    return dict(zip(("events_control", "events_treatment"), events, strict=True))


def shapes(data: PersonTime) -> dict[str, tuple[int, ...]]:
    """Return the parameters that are vectors."""
    return {"baseline": (data.k,)}
