r"""Beta-binomial model of 2x2 tables.

.. math::
    y_{ij} &\sim \mathrm{BetaBinomial}\big(n_{ij}, \pi_j (1 - \rho) / \rho, (1 - \pi_j) (1 - \rho) / \rho\big) \\
    \mathrm{logit}\, \pi_C &= \alpha, \qquad \mathrm{logit}\, \pi_T = \alpha + \mu

The arms of all studies vary about two event probabilities with one intraclass correlation
:math:`\rho`. mu is the log odds ratio between the two *mean* probabilities. There are no true effects
of single studies and no tau; rho takes their place (0: all arms alike).

Leans on: the prior of the control arm's log odds. The treatment arm's are that plus mu and vary more, so that where
events are few in all studies together, exchanging the arms changes more than the sign of mu

Use it for very sparse data with events in both arms of some studies, of which it uses all, and to check that an answer
does not hinge on the random-effects model. Not when baselines differ much between studies whose arms differ in size:
the two arms of a study are treated as unpaired.

Source: Kuss (2015), Statistics in Medicine 34:1097-1116.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from bayesmeta.model import data_slots
from bayesmeta.priors import Beta, Normal, Prior
from bayesmeta.studies import TwoByTwo
from bayesmeta.values import Array

if TYPE_CHECKING:
    import pymc as pm

DATA = TwoByTwo
PRIORS: dict[str, Prior] = {"mu": Normal(0.0, 2.82), "baseline": Normal(0.0, 10.0), "rho": Beta(1.0, 1.0)}


def inputs(data: TwoByTwo) -> dict[str, Any]:
    """Return the arrays that the program takes."""
    names = ("events_treatment", "n_treatment", "events_control", "n_control")
    return {name: getattr(data, name).astype(np.int64) for name in names}


def build(data: TwoByTwo, priors: Mapping[str, Prior]) -> "pm.Model":
    """Return the PyMC model."""
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        d = data_slots(inputs(data), dims="study")
        mu, alpha, rho = (priors[name].rv(name) for name in ("mu", "baseline", "rho"))
        size = (1.0 - rho) / rho
        for arm, logit in (("control", alpha), ("treatment", alpha + mu)):
            # Both tails by their own sigmoid: 1 - p would lose its digits when p is near 1.
            pm.BetaBinomial(
                f"y_{arm}",
                alpha=size * pm.math.sigmoid(logit),
                beta=size * pm.math.sigmoid(-logit),
                n=d[f"n_{arm}"],
                observed=d[f"events_{arm}"],
                dims="study",
            )
    return model


def simulate(data: TwoByTwo, p: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Return replicates of the events; each arm's probability is drawn anew."""
    size = ((1.0 - p["rho"]) / p["rho"])[..., None]

    def arm(logit: Array, n: Array) -> Array:
        a, b = size * special.expit(logit)[..., None], size * special.expit(-logit)[..., None]
        # Beta shapes below the smallest float make no difference to counts, and numpy refuses 0.
        a, b = (np.maximum(np.broadcast_to(x, (*logit.shape, len(n))), 1e-300) for x in (a, b))
        return np.asarray(rng.binomial(n.astype(int), rng.beta(a, b)))

    return {
        "events_control": arm(p["baseline"], data.n_control),
        "events_treatment": arm(p["baseline"] + p["mu"], data.n_treatment),
    }
