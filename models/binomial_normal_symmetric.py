r"""Binomial-normal random-effects model of 2x2 tables, symmetric in the arms.

.. math::
    y_{iC} &\sim \mathrm{Binomial}(n_{iC}, p_{iC}), \quad \mathrm{logit}\, p_{iC} = \alpha_i - \theta_i / 2 \\
    y_{iT} &\sim \mathrm{Binomial}(n_{iT}, p_{iT}), \quad \mathrm{logit}\, p_{iT} = \alpha_i + \theta_i / 2 \\
    \theta_i \mid \mu, \tau &\sim N(\mu, \tau^2), \qquad \alpha_i \sim \text{the prior } \mathtt{baseline}

As ``binomial_normal``, but the baseline is the mean of the two arms' log odds, so that both arms'
log odds vary equally between studies and exchanging the arms only changes the sign of theta.

Use it for 2x2 tables, where both arms are alike to the model, above all where counts are too large for the sums of
``hypergeometric_normal``. Not for risk ratios or risk differences. Studies without events say nothing about the
direction where their arms are of equal size; where they are not, they speak a little for the larger arm (ten of 0/100
against 0/50: a probability of 0.602 that the odds ratio is below 1).

Source: Jackson, Law, Stijnen, Viechtbauer & White (2018), Statistics in Medicine 37:1059-1085, where
the two codings of the arms are compared.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from bayesmeta.likelihoods.baselines import baselines_given, binomial_logpmf, integrate_baseline, logit_baseline
from bayesmeta.model import StudyLikelihoods, data_slots
from bayesmeta.priors import HalfNormal, Normal, Prior
from bayesmeta.studies import TwoByTwo
from bayesmeta.values import Array

if TYPE_CHECKING:
    import pymc as pm

DATA = TwoByTwo
PRIORS: dict[str, Prior] = {"mu": Normal(0.0, 2.82), "tau": HalfNormal(0.5), "baseline": Normal(0.0, 10.0)}


def inputs(data: TwoByTwo) -> dict[str, Any]:
    """Return the arrays that the program takes."""
    names = ("events_treatment", "n_treatment", "events_control", "n_control")
    return {name: getattr(data, name).astype(np.int64) for name in names}


def build(data: TwoByTwo, priors: Mapping[str, Prior]) -> "pm.Model":
    """Return the PyMC model, non-centred: theta = mu + tau * eta."""
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        mu, tau = priors["mu"].rv("mu"), priors["tau"].rv("tau")
        eta = pm.Normal("eta", 0.0, 1.0, dims="study")
        theta = pm.Deterministic("theta", mu + tau * eta, dims="study")
        _arms(data, priors, theta)
    return model


def centred(data: TwoByTwo, priors: Mapping[str, Prior]) -> "pm.Model":
    """Return the PyMC model with theta ~ N(mu, tau): good when the studies say much."""
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        mu, tau = priors["mu"].rv("mu"), priors["tau"].rv("tau")
        _arms(data, priors, pm.Normal("theta", mu, tau, dims="study"))
    return model


VARIANTS = {"centred": centred}


def _both_arms(data: TwoByTwo) -> tuple[Callable[[Array, Array], Array], Callable[[Array, Prior], tuple[Array, Array]]]:
    """Return the log likelihood of both arms given baseline and theta, and where its integrand is, given a prior."""
    events, n = (data.events_control, data.events_treatment), (data.n_control, data.n_treatment)

    def arms(alpha: Array, theta: Array) -> Array:
        control = binomial_logpmf(events[0][:, None, None], n[0][:, None, None], alpha - theta / 2)
        return control + binomial_logpmf(events[1][:, None, None], n[1][:, None, None], alpha + theta / 2)

    def place(theta: Array, prior: Prior) -> tuple[Array, Array]:
        return logit_baseline(theta, (-0.5, 0.5), events, n, prior)

    return arms, place


def study_likelihoods(data: TwoByTwo, priors: Mapping[str, Prior]) -> StudyLikelihoods:
    """Return log p(both arms given theta), the baseline integrated out over its prior."""
    events, n = (data.events_control, data.events_treatment), (data.n_control, data.n_treatment)
    baseline, (arms, place) = priors["baseline"], _both_arms(data)

    def loglik(theta: Array) -> Array:
        center, width = place(theta, baseline)
        return integrate_baseline(arms, baseline, theta, center, width, data.study)

    cells = np.stack([events[1], n[1] - events[1], events[0], n[0] - events[0]]) + 0.5
    return StudyLikelihoods(
        study=data.study,
        loglik=loglik,
        center=np.log(cells[0] * cells[3] / (cells[1] * cells[2])),
        scale=np.sqrt((1.0 / cells).sum(axis=0)),
        mu=priors["mu"],
        tau=priors["tau"],
    )


def baseline_given(data: TwoByTwo, priors: Mapping[str, Prior], draws: Mapping[str, Array], uniform: Array) -> Array:
    """Return draws of the baselines from their distribution given theta and both arms."""
    return baselines_given(*_both_arms(data), draws["theta"], priors["baseline"], uniform)


def _arms(data: TwoByTwo, priors: Mapping[str, Prior], theta: Any) -> None:
    import pymc as pm

    d = data_slots(inputs(data), dims="study")
    alpha = priors["baseline"].rv("baseline", dims="study")
    pm.Binomial("y_control", d["n_control"], logit_p=alpha - theta / 2, observed=d["events_control"], dims="study")
    pm.Binomial(
        "y_treatment", d["n_treatment"], logit_p=alpha + theta / 2, observed=d["events_treatment"], dims="study"
    )


def simulate(data: TwoByTwo, p: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Return replicates of the events, given theta and baselines of shape ``(..., k)``."""
    control, treatment = p["baseline"] - p["theta"] / 2, p["baseline"] + p["theta"] / 2
    return {
        "events_control": rng.binomial(data.n_control.astype(int), special.expit(control)),
        "events_treatment": rng.binomial(data.n_treatment.astype(int), special.expit(treatment)),
    }


def shapes(data: TwoByTwo) -> dict[str, tuple[int, ...]]:
    """Return the parameters that are vectors."""
    return {"baseline": (data.k,)}
