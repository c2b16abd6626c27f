r"""Normal-normal random-effects model.

.. math::
    y_i \mid \theta_i &\sim N(\theta_i, s_i^2), \qquad i = 1, \dots, k \\
    \theta_i \mid \mu, \tau &\sim N(\mu, \tau^2)

The studies' true effects are integrated out, so the program samples mu and tau alone:
:math:`y_i \sim N(\mu, s_i^2 + \tau^2)`. theta is then drawn from its normal conditional. The
variants ``non_centred`` and ``centred`` sample theta instead; the posterior is the same.

Use it for any effect size with a known standard error, when the normal approximation of each
study's estimate is good. Not for sparse 2x2 tables (few events, zero cells): use ``hypergeometric_normal``
on the counts there. Not for the question whether tau is exactly zero.

Source: Higgins, Thompson & Spiegelhalter (2009), J. R. Stat. Soc. A 172:137-159.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.model import Gaussian, data_slots, independent_studies
from bayesmeta.priors import HalfNormal, Normal, Prior
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array

if TYPE_CHECKING:
    import pymc as pm

DATA = EffectSizes
PRIORS: dict[str, Prior] = {"mu": Normal(0.0, 2.82), "tau": HalfNormal(0.5)}


def inputs(data: EffectSizes) -> dict[str, Array]:
    """Return the arrays that the program takes."""
    return {"yi": data.yi, "sei": data.sei}


def build(data: EffectSizes, priors: Mapping[str, Prior]) -> "pm.Model":
    """Return the PyMC model, marginal form: theta is integrated out."""
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        d, mu, tau = _parameters(data, priors)
        pm.Normal("y", mu, pm.math.sqrt(d["sei"] ** 2 + tau**2), observed=d["yi"], dims="study")
    return model


def non_centred(data: EffectSizes, priors: Mapping[str, Prior]) -> "pm.Model":
    """Return the PyMC model with theta = mu + tau * eta: good when the studies say little."""
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        d, mu, tau = _parameters(data, priors)
        eta = pm.Normal("eta", 0.0, 1.0, dims="study")
        theta = pm.Deterministic("theta", mu + tau * eta, dims="study")
        pm.Normal("y", theta, d["sei"], observed=d["yi"], dims="study")
    return model


def centred(data: EffectSizes, priors: Mapping[str, Prior]) -> "pm.Model":
    """Return the PyMC model with theta ~ N(mu, tau): good when the studies say much."""
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        d, mu, tau = _parameters(data, priors)
        theta = pm.Normal("theta", mu, tau, dims="study")
        pm.Normal("y", theta, d["sei"], observed=d["yi"], dims="study")
    return model


VARIANTS = {"non_centred": non_centred, "centred": centred}


def gaussian(data: EffectSizes, priors: Mapping[str, Prior]) -> Gaussian:
    """Return y, v and X: theta integrates out analytically."""
    return independent_studies(
        study=data.study,
        y=data.yi,
        v=data.vi,
        X=np.ones((data.k, 1)),
        terms=("mu",),
        beta=(priors["mu"],),
        tau=priors["tau"].resolve(data.sei),
    )


def _parameters(data: EffectSizes, priors: Mapping[str, Prior]) -> tuple[dict[str, Any], Any, Any]:
    d = data_slots(inputs(data), dims="study")
    return d, priors["mu"].rv("mu"), priors["tau"].resolve(data.sei).rv("tau")


def simulate(data: EffectSizes, p: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Return replicates of the estimates, given theta of shape ``(..., k)``."""
    return {"yi": p["theta"] + data.sei * rng.standard_normal(p["theta"].shape)}
