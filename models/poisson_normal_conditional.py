r"""Poisson-normal random-effects model of event rates, given each study's total of events.

.. math::
    y_{iT} \mid y_{iT} + y_{iC} &\sim \mathrm{Binomial}(y_{iT} + y_{iC}, \pi_i), \qquad
    \mathrm{logit}\, \pi_i = \theta_i + \log(t_{iT} / t_{iC}) \\
    \theta_i \mid \mu, \tau &\sim N(\mu, \tau^2)

theta is the log incidence rate ratio; t is person-time. Conditioning on each study's total number of events removes
its baseline rate exactly, so there is no prior for it, and exchanging the arms only changes the sign of theta.

Use it for events per person-time, above all few of them; it is the model for rates that leans on neither arm. Studies
without events in both arms say nothing here, by construction. Not when one patient can have many events that cluster
(the counts then vary more than a Poisson).

Source: Stijnen, Hamza & Özdemir (2010), Statistics in Medicine 29:3046-3067.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from bayesmeta.likelihoods.baselines import binomial_logpmf
from bayesmeta.model import StudyLikelihoods, data_slots
from bayesmeta.priors import HalfNormal, Normal, Prior
from bayesmeta.studies import PersonTime
from bayesmeta.values import Array

if TYPE_CHECKING:
    import pymc as pm

DATA = PersonTime
PRIORS: dict[str, Prior] = {"mu": Normal(0.0, 2.82), "tau": HalfNormal(0.5)}


def inputs(data: PersonTime) -> dict[str, Any]:
    """Return the arrays that the program takes."""
    return {
        "events_treatment": data.events_treatment.astype(np.int64),
        "events": (data.events_treatment + data.events_control).astype(np.int64),
        "log_time_ratio": log_time_ratio(data),
    }


def log_time_ratio(data: PersonTime) -> Array:
    """Return ``(k,)`` log of treatment's person-time over control's."""
    return np.asarray(np.log(data.time_treatment) - np.log(data.time_control))


def build(data: PersonTime, priors: Mapping[str, Prior]) -> "pm.Model":
    """Return the PyMC model, non-centred: theta = mu + tau * eta."""
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        mu, tau = priors["mu"].rv("mu"), priors["tau"].rv("tau")
        eta = pm.Normal("eta", 0.0, 1.0, dims="study")
        theta = pm.Deterministic("theta", mu + tau * eta, dims="study")
        _treated(data, theta)
    return model


def centred(data: PersonTime, priors: Mapping[str, Prior]) -> "pm.Model":
    """Return the PyMC model with theta ~ N(mu, tau): good when the studies say much."""
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        mu, tau = priors["mu"].rv("mu"), priors["tau"].rv("tau")
        _treated(data, pm.Normal("theta", mu, tau, dims="study"))
    return model


VARIANTS = {"centred": centred}


def study_likelihoods(data: PersonTime, priors: Mapping[str, Prior]) -> StudyLikelihoods:
    """Return log p(treatment events given theta and the total)."""
    treatment, control = data.events_treatment, data.events_control

    def loglik(theta: Array) -> Array:
        share = theta + log_time_ratio(data)[:, None]
        return binomial_logpmf(treatment[:, None], (treatment + control)[:, None], share)

    return StudyLikelihoods(
        study=data.study,
        loglik=loglik,
        center=np.log((treatment + 0.5) / (control + 0.5)) - log_time_ratio(data),
        scale=np.sqrt(1.0 / (treatment + 0.5) + 1.0 / (control + 0.5)),
        mu=priors["mu"],
        tau=priors["tau"],
    )


def _treated(data: PersonTime, theta: Any) -> None:
    import pymc as pm

    d = data_slots(inputs(data), dims="study")
    share = theta + d["log_time_ratio"]
    pm.Binomial("y_treatment", d["events"], logit_p=share, observed=d["events_treatment"], dims="study")


def simulate(data: PersonTime, p: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Return replicates of the treatment events given theta of shape ``(..., k)``; each study's total is kept."""
    total = data.events_treatment + data.events_control
    treatment = rng.binomial(total.astype(int), special.expit(p["theta"] + log_time_ratio(data)))
    return {"events_treatment": np.asarray(treatment, dtype=float), "events_control": total - treatment}
