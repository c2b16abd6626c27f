r"""Normal-normal random-effects model.

.. math::
    y_i \mid \theta_i &\sim N(\theta_i, s_i^2), \qquad i = 1, \dots, k \\
    \theta_i \mid \mu, \tau &\sim N(\mu, \tau^2)

The studies' true effects are integrated out, so the program samples mu and tau alone:
:math:`y_i \sim N(\mu, s_i^2 + \tau^2)`. theta is then drawn from its normal conditional.

Use it for any effect size with a known standard error, when the normal approximation of each
study's estimate is good. Not for sparse 2x2 tables (few events, zero cells): use ``binomial_normal``
on the counts there. Not for the question whether tau is exactly zero.

Source: Higgins, Thompson & Spiegelhalter (2009), J. R. Stat. Soc. A 172:137-159.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.model import GaussianMarginal
from bayesmeta.priors import HalfNormal, Normal, Prior
from bayesmeta.studies import EffectSizes

if TYPE_CHECKING:
    import pymc as pm

DATA = EffectSizes
PRIORS: dict[str, Prior] = {"mu": Normal(0.0, 2.82), "tau": HalfNormal(0.5)}


def build(data: EffectSizes, priors: Mapping[str, Prior]) -> "pm.Model":
    """Return the PyMC model, marginal form: theta is integrated out."""
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        yi = pm.Data("yi", data.yi, dims="study")
        sei = pm.Data("sei", data.sei, dims="study")
        mu = priors["mu"].rv("mu")
        tau = priors["tau"].resolve(data.sei).rv("tau")
        pm.Normal("y", mu, pm.math.sqrt(sei**2 + tau**2), observed=yi, dims="study")
    return model


def gaussian_marginal(data: EffectSizes, priors: Mapping[str, Prior]) -> GaussianMarginal:
    """Return y, v and X: theta integrates out analytically."""
    return GaussianMarginal(
        study=data.study,
        y=data.yi,
        v=data.vi,
        X=np.ones((data.k, 1)),
        terms=("mu",),
        beta=(priors["mu"],),
        tau=priors["tau"].resolve(data.sei),
    )
