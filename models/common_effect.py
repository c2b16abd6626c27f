r"""Common-effect model.

.. math::
    y_i \mid \mu \sim N(\mu, s_i^2), \qquad i = 1, \dots, k

Every study estimates the same effect; differences between studies are chance alone.

Use it when the studies are replicates of one another, or for two estimates from one population. Not
when populations, doses or follow-up differ: the interval is then too narrow, and there is no
statement about a new study. ``normal_normal`` contains this model as tau = 0.

Source: Rice, Higgins & Lumley (2018), J. R. Stat. Soc. A 181:205-227.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.model import Gaussian, data_slots, independent_studies
from bayesmeta.priors import Normal, Prior
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array

if TYPE_CHECKING:
    import pymc as pm

DATA = EffectSizes
PRIORS: dict[str, Prior] = {"mu": Normal(0.0, 2.82)}


def inputs(data: EffectSizes) -> dict[str, Array]:
    """Return the arrays that the program takes."""
    return {"yi": data.yi, "sei": data.sei}


def build(data: EffectSizes, priors: Mapping[str, Prior]) -> "pm.Model":
    """Return the PyMC model."""
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        d = data_slots(inputs(data), dims="study")
        mu = priors["mu"].rv("mu")
        pm.Normal("y", mu, d["sei"], observed=d["yi"], dims="study")
    return model


def gaussian(data: EffectSizes, priors: Mapping[str, Prior]) -> Gaussian:
    """Return y, v and X; there is no tau."""
    return independent_studies(
        study=data.study,
        y=data.yi,
        v=data.vi,
        X=np.ones((data.k, 1)),
        terms=("mu",),
        beta=(priors["mu"],),
        tau=None,
    )


def simulate(data: EffectSizes, p: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Return replicates of the estimates, given theta of shape ``(..., k)``."""
    return {"yi": p["theta"] + data.sei * rng.standard_normal(p["theta"].shape)}
