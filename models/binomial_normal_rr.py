r"""Binomial-normal random-effects model of 2x2 tables on the risk ratio.

.. math::
    y_{iC} &\sim \mathrm{Binomial}(n_{iC}, p_{iC}), \qquad y_{iT} \sim \mathrm{Binomial}(n_{iT}, p_{iT}), \qquad
    \log p_{iT} - \log p_{iC} = \theta_i \\
    \tfrac12 (\mathrm{logit}\, p_{iC} + \mathrm{logit}\, p_{iT}) &= \alpha_i \sim \text{the prior } \mathtt{baseline},
    \qquad \theta_i \mid \mu, \tau \sim N(\mu, \tau^2)

theta is the log risk ratio. A risk ratio above 1 rules out large control risks, so a prior of the
control risk itself would need a limit that depends on theta, and would pull on theta. The mean of
the arms' log odds, which here is the baseline :math:`\alpha_i`, goes with every theta: half the log odds
ratio is :math:`\delta_i = \theta_i/2 + \mathrm{arsinh}(e^{\alpha_i} \sinh(\theta_i/2))`, and the arms' log odds are
:math:`\alpha_i \mp \delta_i`. Nothing is cut off, and exchanging the arms only changes the sign of theta. Nothing
is added to zero cells.

Use it for 2x2 tables when the risk ratio is thought to vary least between studies, or is what
readers want. Not to get a risk ratio of the absence of the event (count that instead: the two are different
models).
A study with events in everybody in both arms says that its risk ratio is near 1, and little else. Studies without
events say nothing about the direction where their arms are of equal size, and speak a little for the larger arm where
they are not: no conditional likelihood removes the baseline of a risk ratio.

Source: Warn, Thompson & Spiegelhalter (2002), Statistics in Medicine 21:1601-1623, for exact
binomial likelihoods on the risk scales; Richardson, Robins & Wang (2017), Journal of the American
Statistical Association 112:1121-1130, for the baseline (half their log odds product).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from bayesmeta.likelihoods.baselines import asinh_exp, log_sinh, odds_product_baseline, odds_product_loglik
from bayesmeta.model import StudyLikelihoods, data_slots
from bayesmeta.priors import HalfNormal, Normal, Prior
from bayesmeta.studies import TwoByTwo
from bayesmeta.values import Array

if TYPE_CHECKING:
    import pymc as pm

DATA = TwoByTwo
MEASURE = "RR"
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


def half_log_odds_ratio(alpha: Array, theta: Array) -> tuple[Array, Array]:
    """Return half the log odds ratio, and its slope in alpha, of a log risk ratio theta."""
    move = asinh_exp(np.sign(theta), alpha + log_sinh(0.5 * np.abs(theta)))
    return 0.5 * theta + move, np.tanh(move)


def study_likelihoods(data: TwoByTwo, priors: Mapping[str, Prior]) -> StudyLikelihoods:
    """Return log p(both arms given theta), the baseline integrated out over its prior."""
    events, n = (data.events_control, data.events_treatment), (data.n_control, data.n_treatment)
    control, treatment = ((e + 0.5) / (total + 1.0) for e, total in zip(events, n, strict=True))

    def loglik(theta: Array) -> Array:
        return odds_product_loglik(half_log_odds_ratio, theta, events, n, priors["baseline"], data.study)

    return StudyLikelihoods(
        study=data.study,
        loglik=loglik,
        center=np.log(treatment / control),
        scale=np.sqrt((1.0 - control) / (control * n[0]) + (1.0 - treatment) / (treatment * n[1])),
        mu=priors["mu"],
        tau=priors["tau"],
    )


def baseline_given(data: TwoByTwo, priors: Mapping[str, Prior], draws: Mapping[str, Array], uniform: Array) -> Array:
    """Return draws of the baselines from their distribution given theta and the tables of counts."""
    events, n = (data.events_control, data.events_treatment), (data.n_control, data.n_treatment)
    return odds_product_baseline(half_log_odds_ratio, draws["theta"], events, n, priors["baseline"], uniform)


def _arms(data: TwoByTwo, priors: Mapping[str, Prior], theta: Any) -> None:
    import pymc as pm

    d = data_slots(inputs(data), dims="study")
    alpha = priors["baseline"].rv("baseline", dims="study")
    half = 0.5 * theta + pm.math.arcsinh(pm.math.exp(alpha) * pm.math.sinh(0.5 * theta))
    pm.Binomial("y_control", d["n_control"], logit_p=alpha - half, observed=d["events_control"], dims="study")
    pm.Binomial("y_treatment", d["n_treatment"], logit_p=alpha + half, observed=d["events_treatment"], dims="study")


def simulate(data: TwoByTwo, p: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Return replicates of the events, given theta and baselines of shape ``(..., k)``."""
    half = half_log_odds_ratio(p["baseline"], p["theta"])[0]
    control, treatment = p["baseline"] - half, p["baseline"] + half
    return {
        "events_control": rng.binomial(data.n_control.astype(int), special.expit(control)),
        "events_treatment": rng.binomial(data.n_treatment.astype(int), special.expit(treatment)),
    }


def shapes(data: TwoByTwo) -> dict[str, tuple[int, ...]]:
    """Return the parameters that are vectors."""
    return {"baseline": (data.k,)}
