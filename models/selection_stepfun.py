r"""Selection model: results are reported with a chance that depends on their p-value, in steps.

.. math::
    \theta_i &\sim N(\mu, \tau^2), \qquad y_i \mid \theta_i \sim N(\theta_i, s_i^2) \\
    p(y_i \mid \text{reported}) &= \frac{\omega_{j(i)}\, N(y_i; \mu, s_i^2 + \tau^2)}
        {\sum_j \omega_j \Pr(\text{p in interval } j \mid \mu, \tau, s_i)}

:math:`j(i)` is the interval in which the p-value of study i lies; the most significant interval has weight 1, and
weights rise with significance. ``omega`` is the prior of the weights with the cut points and the side in its text,
e.g. ``step_weights(0.025, 0.05, side='greater')``: results above 0 are favoured, one-sided p.

Use it to see what would follow if significant results were more likely to be reported, beside the unadjusted model. Not
with few studies, where the weights are their prior, and not as the corrected answer: other causes of small-study
effects look the same. Several effects of one study are refused: how their reporting depends on each other is not known.

Source: Vevea & Hedges (1995), Psychometrika 60:419-435; Maier, Bartoš & Wagenmakers (2023), Psychological Methods
28:107-122.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.model import Selection, data_slots, step_prior
from bayesmeta.priors import HalfNormal, Normal, Prior, StepWeights
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array

if TYPE_CHECKING:
    import pymc as pm
    from pytensor.tensor.variable import TensorVariable

DATA = EffectSizes
PRIORS: dict[str, Prior] = {
    "mu": Normal(0.0, 2.82),
    "tau": HalfNormal(0.5),
    "omega": StepWeights((0.025, 0.05), "greater"),
}
RANDOM_EFFECTS = "normal"


def selection(data: EffectSizes, priors: Mapping[str, Prior]) -> Selection:
    """Return the effects, and how they came to be reported."""
    tau = priors["tau"].resolve(data.sei)
    return Selection(data.study, data.yi, data.sei, priors["mu"], tau, step_prior(priors["omega"]))


def inputs(data: EffectSizes) -> dict[str, Array]:
    """Return the arrays that the program takes."""
    return {"yi": data.yi, "sei": data.sei}


def tables(data: EffectSizes, priors: Mapping[str, Prior]) -> dict[str, Array]:
    """Return the cut points as effects, ``(k, J - 1)``, and how many results lie in each interval, ``(J,)``."""
    stated = selection(data, priors)
    return {"edges": stated.omega.edges(stated.sei), "counts": stated.counts}


def build(data: EffectSizes, priors: Mapping[str, Prior]) -> "pm.Model":
    """Return the PyMC model: theta is integrated out, the chance of being reported is a potential."""
    import pymc as pm
    import pytensor.tensor as pt

    stated = selection(data, priors)
    sign, two = stated.sign, stated.omega.side == "two-sided"
    with pm.Model(coords={"study": data.study}) as model:
        d = data_slots(inputs(data), dims="study")
        slots = {name: pm.Data(name, value) for name, value in tables(data, priors).items()}
        edges = [slots["edges"][:, j] for j in range(stated.omega.J - 1)]
        mu, tau = priors["mu"].rv("mu"), stated.tau.rv("tau")
        omega = stated.omega.rv("omega")
        sd = pm.math.sqrt(d["sei"] ** 2 + tau**2)
        pm.Normal("y", mu, sd, observed=d["yi"], dims="study")
        # The chance of each interval, from tails beyond the cut points.
        away = sign * mu
        beyond = [_upper((edge - away) / sd) for edge in edges]
        if two:
            beyond = [b + _upper((edge + away) / sd) for b, edge in zip(beyond, edges, strict=True)]
        beyond = [1.0, *beyond, 0.0]
        shares = [beyond[j] - beyond[j + 1] for j in range(stated.omega.J)]
        reported = sum(omega[j] * shares[j] for j in range(stated.omega.J))
        pm.Potential("reported", pt.sum(slots["counts"] * pt.log(omega)) - pt.sum(pt.log(reported)))
    return model


def _upper(z: "TensorVariable") -> "TensorVariable":
    """Return the probability that a standard normal variable exceeds z."""
    import pytensor.tensor as pt

    return 0.5 * pt.erfc(z / np.sqrt(2.0))


def theta_given(data: EffectSizes, draws: Mapping[str, Array]) -> tuple[Array, Array]:
    """Return mean and standard deviation of theta given mu and tau: selection is on what was observed."""
    tau2 = draws["tau"][..., None] ** 2
    shrinkage = data.vi / (data.vi + tau2)
    mean = shrinkage * draws["mu"][..., None] + (1.0 - shrinkage) * data.yi
    return mean, np.sqrt(shrinkage * tau2)
