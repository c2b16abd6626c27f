r"""Random-effects meta-regression.

.. math::
    y_i \mid \theta_i &\sim N(\theta_i, s_i^2), \qquad i = 1, \dots, k \\
    \theta_i \mid \beta, \tau &\sim N(x_i^\top \beta, \tau^2)

The rows :math:`x_i` are those of ``data.X``, whose columns ``data.terms`` names; a factor takes one
column a level but the first. A column named ``intercept`` has the prior ``intercept``, every other
the prior ``beta``. The studies' true effects are integrated out. tau is the heterogeneity that the
moderators leave unexplained.

Use it to ask whether the effect goes with a property of the studies, when there are about ten
studies or more for each moderator. Not for properties of patients averaged over a study (mean age):
what holds between studies need not hold within them. Measure moderators in a unit for which the
prior of beta makes sense, from a value that lies among the data (the intercept is the effect at 0).

Source: Thompson & Higgins (2002), Statistics in Medicine 21:1559-1573.
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
PRIORS: dict[str, Prior] = {"intercept": Normal(0.0, 2.82), "beta": Normal(0.0, 2.82), "tau": HalfNormal(0.5)}
INTERCEPT = "intercept"


def inputs(data: EffectSizes) -> dict[str, Any]:
    """Return the arrays that the program takes; ``order`` finds each term in intercept, then moderators."""
    assert data.X is not None
    moderators = [j for j, term in enumerate(data.terms) if term != INTERCEPT]
    sorted_terms = [j for j in range(len(data.terms)) if j not in moderators] + moderators
    return {
        "yi": data.yi,
        "sei": data.sei,
        "moderators": data.X[:, moderators],
        "order": np.argsort(sorted_terms),
    }


def build(data: EffectSizes, priors: Mapping[str, Prior]) -> "pm.Model":
    """Return the PyMC model, marginal form: theta is integrated out."""
    import pymc as pm

    with pm.Model(coords=_coords(data)) as model:
        d, prediction, tau = _parameters(data, priors)
        pm.Normal("y", prediction, pm.math.sqrt(d["sei"] ** 2 + tau**2), observed=d["yi"], dims="study")
    return model


def non_centred(data: EffectSizes, priors: Mapping[str, Prior]) -> "pm.Model":
    """Return the PyMC model that samples theta = X beta + tau * eta."""
    import pymc as pm

    with pm.Model(coords=_coords(data)) as model:
        d, prediction, tau = _parameters(data, priors)
        eta = pm.Normal("eta", 0.0, 1.0, dims="study")
        theta = pm.Deterministic("theta", prediction + tau * eta, dims="study")
        pm.Normal("y", theta, d["sei"], observed=d["yi"], dims="study")
    return model


VARIANTS = {"non_centred": non_centred}


def gaussian(data: EffectSizes, priors: Mapping[str, Prior]) -> Gaussian:
    """Return y, v and X: theta integrates out analytically."""
    assert data.X is not None
    return independent_studies(
        study=data.study,
        y=data.yi,
        v=data.vi,
        X=data.X,
        terms=data.terms,
        beta=tuple(priors["intercept" if term == INTERCEPT else "beta"] for term in data.terms),
        tau=priors["tau"].resolve(data.sei),
    )


def _coords(data: EffectSizes) -> dict[str, Any]:
    moderators = [term for term in data.terms if term != INTERCEPT]
    return {"study": data.study, "term": data.terms, "moderator": moderators}


def _parameters(data: EffectSizes, priors: Mapping[str, Prior]) -> tuple[dict[str, Any], Any, Any]:
    """Declare data and priors; return the data, X beta, and tau."""
    import pymc as pm
    import pytensor.tensor as pt

    arrays = inputs(data)
    d = data_slots({name: arrays[name] for name in ("yi", "sei")}, dims="study")
    d |= data_slots({"order": arrays["order"]}, dims="term")
    prediction, parts = pt.zeros(()), []
    if INTERCEPT in data.terms:
        intercept = priors["intercept"].rv("intercept")
        prediction = prediction + intercept
        parts.append(intercept[None])
    if arrays["moderators"].shape[1]:
        d |= data_slots({"moderators": arrays["moderators"]}, dims=("study", "moderator"))
        slopes = priors["beta"].rv("beta", dims="moderator")
        prediction = prediction + d["moderators"] @ slopes
        parts.append(slopes)
    pm.Deterministic("coefficients", pt.concatenate(parts)[d["order"]], dims="term")
    return d, prediction, priors["tau"].resolve(data.sei).rv("tau")


def simulate(data: EffectSizes, p: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Return replicates of the estimates, given theta of shape ``(..., k)``."""
    return {"yi": p["theta"] + data.sei * rng.standard_normal(p["theta"].shape)}


def shapes(data: EffectSizes) -> dict[str, tuple[int, ...]]:
    """Return the parameters that are vectors."""
    return {"beta": (sum(term != INTERCEPT for term in data.terms),)}
