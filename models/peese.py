r"""PEESE: effects that lean with their sampling variance (precision-effect estimate with standard errors).

.. math::
    \theta_i &\sim N(\mu, \tau^2), \qquad y_i \mid \theta_i \sim N(\theta_i + b\, s_i^2,\; s_i^2)

``bias`` is the prior of the slope :math:`b`; ``mu`` the effect that is left when the sampling variance goes to zero.
The default lets small studies lean upwards only; ``mirrored(half_cauchy(1))`` lets them lean downwards.

Use it beside ``pet`` and the unadjusted model, to see what would follow if small studies exaggerated. Not with few
studies or studies of similar size, where slope and effect cannot be told apart and the priors decide, and not for
measures whose standard error depends on the effect.

Source: Stanley & Doucouliagos (2014), Research Synthesis Methods 5:60-78; Bartoš, Maier, Wagenmakers, Doucouliagos &
Stanley (2023), Research Synthesis Methods 14:99-116.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.model import SmallStudy, data_slots
from bayesmeta.priors import HalfCauchy, HalfNormal, Normal, Prior
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array

if TYPE_CHECKING:
    import pymc as pm

DATA = EffectSizes
PRIORS: dict[str, Prior] = {"mu": Normal(0.0, 2.82), "tau": HalfNormal(0.5), "bias": HalfCauchy(5.0)}
RANDOM_EFFECTS = "normal"


def selection(data: EffectSizes, priors: Mapping[str, Prior]) -> SmallStudy:
    """Return the effects with their sampling variances."""
    tau = priors["tau"].resolve(data.sei)
    return SmallStudy(data.study, data.yi, data.sei, data.vi, priors["mu"], tau, priors["bias"])


def inputs(data: EffectSizes) -> dict[str, Array]:
    """Return the arrays that the program takes."""
    return {"yi": data.yi, "sei": data.sei}


def build(data: EffectSizes, priors: Mapping[str, Prior]) -> "pm.Model":
    """Return the PyMC model: theta is integrated out."""
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        d = data_slots(inputs(data), dims="study")
        mu, tau = priors["mu"].rv("mu"), priors["tau"].resolve(data.sei).rv("tau")
        bias = priors["bias"].rv("bias")
        mean = mu + bias * d["sei"] ** 2
        pm.Normal("y", mean, pm.math.sqrt(d["sei"] ** 2 + tau**2), observed=d["yi"], dims="study")
    return model


def theta_given(data: EffectSizes, draws: Mapping[str, Array]) -> tuple[Array, Array]:
    """Return mean and standard deviation of theta given mu, tau and the slope."""
    tau2 = draws["tau"][..., None] ** 2
    shrinkage = data.vi / (data.vi + tau2)
    observed = data.yi - draws["bias"][..., None] * data.vi
    mean = shrinkage * draws["mu"][..., None] + (1.0 - shrinkage) * observed
    return mean, np.sqrt(shrinkage * tau2)


def marginal_loglik(data: EffectSizes, p: Mapping[str, Array]) -> Array:
    """Return the log probability of each study's effect given mu, tau and the slope, theta integrated out."""
    variance = data.vi + p["tau"][..., None] ** 2
    away = data.yi - p["mu"][..., None] - p["bias"][..., None] * data.vi
    return np.asarray(-0.5 * (away**2 / variance + np.log(2.0 * np.pi * variance)))
