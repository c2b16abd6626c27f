r"""Binomial-normal random-effects model of 2x2 tables with random baselines.

.. math::
    y_{iC} &\sim \mathrm{Binomial}(n_{iC}, p_{iC}), \quad \mathrm{logit}\, p_{iC} = \alpha_i \\
    y_{iT} &\sim \mathrm{Binomial}(n_{iT}, p_{iT}), \quad \mathrm{logit}\, p_{iT} = \alpha_i + \theta_i \\
    \theta_i \mid \mu, \tau &\sim N(\mu, \tau^2), \qquad \alpha_i \mid \gamma, \omega \sim N(\gamma, \omega^2)

As ``binomial_normal``, but the control arms' log odds are exchangeable between studies: the baselines
learn from each other, with mean :math:`\gamma` (``baseline``) and standard deviation :math:`\omega`
(``baseline_sd``).

Leans on: the distribution of the control arms' log odds. The treatment arms' are those plus theta and vary more, so
that studies without events speak for the treatment

Use it for sparse tables of studies in similar populations, where a study's own baseline is poorly
known. Not when baselines are not exchangeable: their common distribution then leaks into the
comparison of the arms, which randomisation does not protect (``binomial_normal`` does not do that).

Source: Jackson, Law, Stijnen, Viechtbauer & White (2018), Statistics in Medicine 37:1059-1085.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from bayesmeta.model import data_slots
from bayesmeta.priors import HalfNormal, Normal, Prior
from bayesmeta.studies import TwoByTwo
from bayesmeta.values import Array

if TYPE_CHECKING:
    import pymc as pm

DATA = TwoByTwo
PRIORS: dict[str, Prior] = {
    "mu": Normal(0.0, 2.82),
    "tau": HalfNormal(0.5),
    "baseline": Normal(0.0, 10.0),
    "baseline_sd": HalfNormal(2.0),
}

RANDOM_EFFECTS = "normal"


def inputs(data: TwoByTwo) -> dict[str, Any]:
    """Return the arrays that the program takes."""
    names = ("events_treatment", "n_treatment", "events_control", "n_control")
    return {name: getattr(data, name).astype(np.int64) for name in names}


def build(data: TwoByTwo, priors: Mapping[str, Prior]) -> "pm.Model":
    r"""Return the PyMC model, non-centred in the effects; baselines are centred as far as control arms inform them.

    With :math:`\hat\alpha_i` and :math:`v_i` the estimate and variance of an arm's log odds and
    :math:`b_i = \omega^2 / (\omega^2 + v_i)`, the baseline is :math:`\gamma + b_i (\hat\alpha_i - \gamma) +
    \omega \sqrt{1 - b_i}\, \eta_i`, where :math:`\eta_i` is nearly standard normal whatever gamma and omega are. The
    potential is the ratio of the baseline's density to that of :math:`\eta_i`.

    Source: Papaspiliopoulos, Roberts & Skold (2007), Statistical Science 22:59-73.
    """
    import pymc as pm
    import pytensor.tensor as pt

    with pm.Model(coords={"study": data.study}) as model:
        mu, tau = priors["mu"].rv("mu"), priors["tau"].rv("tau")
        center, spread = priors["baseline"].rv("baseline"), priors["baseline_sd"].rv("baseline_sd")
        theta = pm.Deterministic("theta", mu + tau * pm.Normal("eta", 0.0, 1.0, dims="study"), dims="study")
        eta = pm.Normal("baseline_eta", 0.0, 1.0, dims="study")
        d = data_slots(inputs(data), dims="study")
        events, others = d["events_control"] + np.float64(0.5), d["n_control"] - d["events_control"] + np.float64(0.5)
        away, v = pt.log(events / others) - center, 1.0 / events + 1.0 / others
        total = spread**2 + v
        z = spread * away / total + pt.sqrt(v / total) * eta
        pm.Potential("adaptation", 0.5 * (eta**2 - z**2 + pt.log(v / total)), dims="study")
        _observed(d, center + spread * z, theta)
    return model


def non_centred(data: TwoByTwo, priors: Mapping[str, Prior]) -> "pm.Model":
    """Return the PyMC model with standard normal deviations for the baselines, as simple as can be."""
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        mu, tau = priors["mu"].rv("mu"), priors["tau"].rv("tau")
        center, spread = priors["baseline"].rv("baseline"), priors["baseline_sd"].rv("baseline_sd")
        theta = pm.Deterministic("theta", mu + tau * pm.Normal("eta", 0.0, 1.0, dims="study"), dims="study")
        alpha = center + spread * pm.Normal("baseline_eta", 0.0, 1.0, dims="study")
        _observed(data_slots(inputs(data), dims="study"), alpha, theta)
    return model


VARIANTS = {"non_centred": non_centred}


def _observed(d: Mapping[str, Any], alpha: Any, theta: Any) -> None:
    import pymc as pm

    pm.Binomial("y_control", d["n_control"], logit_p=alpha, observed=d["events_control"], dims="study")
    pm.Binomial("y_treatment", d["n_treatment"], logit_p=alpha + theta, observed=d["events_treatment"], dims="study")


def simulate(data: TwoByTwo, p: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Return replicates of the events, given theta of shape ``(..., k)``; baselines are drawn anew."""
    noise = rng.standard_normal(p["theta"].shape)
    control = p["baseline"][..., None] + p["baseline_sd"][..., None] * noise
    return {
        "events_control": rng.binomial(data.n_control.astype(int), special.expit(control)),
        "events_treatment": rng.binomial(data.n_treatment.astype(int), special.expit(control + p["theta"])),
    }
