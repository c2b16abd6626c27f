r"""Robust random-effects model with Student-t effects.

.. math::
    y_i \mid \theta_i &\sim N(\theta_i, s_i^2), \qquad i = 1, \dots, k \\
    \theta_i \mid \mu, \tau, \lambda_i &\sim N(\mu, \tau^2 / \lambda_i), \qquad
    \lambda_i \sim \mathrm{Gamma}(\nu / 2, \nu / 2), \quad \nu = 4

so that :math:`\theta_i \sim t_\nu(\mu, \tau)`. ``weight`` is :math:`\lambda_i`: about 1 for a study
like the others, near 0 for an outlying one, which then pulls less on mu. tau is the scale of the
t distribution, not its standard deviation (which is :math:`\tau \sqrt{2}` for four degrees of freedom).

Use it when a few studies may lie apart from the rest, and to see which. Not with fewer than about
five studies, where nothing can tell an outlier from heterogeneity. For other degrees of freedom copy
this file, change ``DF`` and pass the copy's path as the model.

Source: Lee & Thompson (2008), Statistics in Medicine 27:418-434.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.model import StudyLikelihoods, data_slots
from bayesmeta.priors import HalfNormal, Normal, Prior
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array

if TYPE_CHECKING:
    import pymc as pm

DATA = EffectSizes
PRIORS: dict[str, Prior] = {"mu": Normal(0.0, 2.82), "tau": HalfNormal(0.5)}
DF = 4.0


def inputs(data: EffectSizes) -> dict[str, Array]:
    """Return the arrays that the program takes."""
    return {"yi": data.yi, "sei": data.sei}


def build(data: EffectSizes, priors: Mapping[str, Prior]) -> "pm.Model":
    """Return the PyMC model: theta is integrated out given lambda."""
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        d = data_slots(inputs(data), dims="study")
        mu, tau = priors["mu"].rv("mu"), priors["tau"].resolve(data.sei).rv("tau")
        # float64 on purpose: PyTensor keeps a short Python float as float32, and takes its logarithm in it.
        half = np.float64(DF / 2)
        mixing = pm.Gamma("mixing", half, half, dims="study")
        pm.Deterministic("weight", mixing * 1.0, dims="study")
        pm.Normal("y", mu, pm.math.sqrt(d["sei"] ** 2 + tau**2 / mixing), observed=d["yi"], dims="study")
    return model


def theta_given(data: EffectSizes, draws: Mapping[str, Array]) -> tuple[Array, Array]:
    """Return mean and standard deviation of theta given mu, tau and lambda."""
    tau2 = draws["tau"][..., None] ** 2 / draws["mixing"]
    shrinkage = data.vi / (data.vi + tau2)
    mean = shrinkage * draws["mu"][..., None] + (1.0 - shrinkage) * data.yi
    return mean, np.sqrt(shrinkage * tau2)


def study_likelihoods(data: EffectSizes, priors: Mapping[str, Prior]) -> StudyLikelihoods:
    """Return log N(y; theta, s); the random effects are Student-t."""
    y, s = data.yi[:, None], data.sei[:, None]

    def loglik(theta: Array) -> Array:
        return np.asarray(-0.5 * ((y - theta) / s) ** 2 - np.log(s) - 0.5 * np.log(2 * np.pi))

    return StudyLikelihoods(
        study=data.study,
        loglik=loglik,
        center=data.yi,
        scale=data.sei,
        mu=priors["mu"],
        tau=priors["tau"].resolve(data.sei),
        random_effects="t",
        df=DF,
        normal=(data.yi, data.sei),
    )


def simulate(data: EffectSizes, p: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Return replicates of the estimates, given theta of shape ``(..., k)``."""
    return {"yi": p["theta"] + data.sei * rng.standard_normal(p["theta"].shape)}
