r"""Hypergeometric-normal random-effects model of 2x2 tables.

.. math::
    p(y_{iT} \mid y_{iT} + y_{iC}, \theta_i) &=
    \binom{n_{iT}}{y_{iT}} \binom{n_{iC}}{y_{iC}} e^{\theta_i y_{iT}} \Big/
    \sum_j \binom{n_{iT}}{j} \binom{n_{iC}}{y_{iT} + y_{iC} - j} e^{\theta_i j} \\
    \theta_i \mid \mu, \tau &\sim N(\mu, \tau^2)

theta is the log odds ratio. Conditioning on each study's total number of events removes its
baseline exactly (Fisher's noncentral hypergeometric distribution), so there is no prior for it.

Use it for 2x2 tables, above all sparse ones: it leans on neither arm, and is the model that reports and errors send
to. Exchanging the arms only changes the sign of theta. Studies without events (or with events only) in both arms say
nothing here, by construction. Not for large counts where speed matters: the sum has one term for every possible table;
``binomial_normal_symmetric`` gives nearly the same answer there.

Source: Stijnen, Hamza & Özdemir (2010), Statistics in Medicine 29:3046-3067.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.likelihoods.baselines import NO_TABLE, hypergeometric_loglik, hypergeometric_support, log_observed
from bayesmeta.model import StudyLikelihoods, data_slots
from bayesmeta.priors import HalfNormal, Normal, Prior
from bayesmeta.studies import TwoByTwo
from bayesmeta.values import Array

if TYPE_CHECKING:
    import pymc as pm

DATA = TwoByTwo
PRIORS: dict[str, Prior] = {"mu": Normal(0.0, 2.82), "tau": HalfNormal(0.5)}
# Tables of each study whose terms show about where the largest is: near enough, of 100,000 tables, for its exponential.
FEW = 64


def inputs(data: TwoByTwo) -> dict[str, Any]:
    """Return the arrays that the program takes: the possible tables of one study after the other, and a few of each."""
    support, log_weight = hypergeometric_support(
        data.events_treatment, data.n_treatment, data.events_control, data.n_control
    )
    possible = support - data.events_treatment[:, None]
    # Numbers of tables relative to the observed one: large counts do not cancel then.
    log_tables = log_weight - log_observed(possible, log_weight)
    exists = log_weight > NO_TABLE
    last = exists.sum(axis=1) - 1
    few = np.rint(np.linspace(0.0, 1.0, FEW) * last[:, None]).astype(np.int64)
    return {
        "possible_minus_observed": possible[exists],
        "log_tables": log_tables[exists],
        "study_of_table": np.nonzero(exists)[0],
        "few_minus_observed": np.take_along_axis(possible, few, axis=1),
        "few_log_tables": np.take_along_axis(log_tables, few, axis=1),
    }


def build(data: TwoByTwo, priors: Mapping[str, Prior]) -> "pm.Model":
    """Return the PyMC model, non-centred: theta = mu + tau * eta."""
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        mu, tau = priors["mu"].rv("mu"), priors["tau"].rv("tau")
        eta = pm.Normal("eta", 0.0, 1.0, dims="study")
        theta = pm.Deterministic("theta", mu + tau * eta, dims="study")
        _tables(data, theta)
    return model


def centred(data: TwoByTwo, priors: Mapping[str, Prior]) -> "pm.Model":
    """Return the PyMC model with theta ~ N(mu, tau): good when the studies say much."""
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        mu, tau = priors["mu"].rv("mu"), priors["tau"].rv("tau")
        _tables(data, pm.Normal("theta", mu, tau, dims="study"))
    return model


VARIANTS = {"centred": centred}


def study_likelihoods(data: TwoByTwo, priors: Mapping[str, Prior]) -> StudyLikelihoods:
    """Return log p(treatment events given theta and the total)."""
    support, log_weight = hypergeometric_support(
        data.events_treatment, data.n_treatment, data.events_control, data.n_control
    )
    cells = (
        np.stack(
            [
                data.events_treatment,
                data.n_treatment - data.events_treatment,
                data.events_control,
                data.n_control - data.events_control,
            ]
        )
        + 0.5
    )

    def loglik(theta: Array) -> Array:
        return hypergeometric_loglik(data.events_treatment, support, log_weight, theta)

    return StudyLikelihoods(
        study=data.study,
        loglik=loglik,
        center=np.log(cells[0] * cells[3] / (cells[1] * cells[2])),
        scale=np.sqrt((1.0 / cells).sum(axis=0)),
        mu=priors["mu"],
        tau=priors["tau"],
    )


def _tables(data: TwoByTwo, theta: Any) -> None:
    import pymc as pm
    import pytensor.tensor as pt
    from pytensor.gradient import disconnected_grad

    arrays = inputs(data)
    names = ("possible_minus_observed", "log_tables", "study_of_table")
    d = data_slots({name: arrays[name] for name in names}, dims="table")
    few = data_slots({name: arrays[name] for name in ("few_minus_observed", "few_log_tables")}, dims=("study", "few"))
    # Near the largest term, so that nothing overflows; what it is does not matter to the sum or its derivative.
    most = pt.max(few["few_log_tables"] + theta[:, None] * few["few_minus_observed"], axis=1)
    # The observed table's term is 1.
    top = disconnected_grad(pt.maximum(most, 0.0))
    study = d["study_of_table"]
    terms = pt.exp(d["log_tables"] + theta[study] * d["possible_minus_observed"] - top[study])
    total = pt.zeros_like(theta)[study].inc(terms)
    pm.Potential("y", -(top + pt.log(total)), dims="study")


def simulate(data: TwoByTwo, p: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Return replicates of the treatment events given theta of shape ``(..., k)``; each study's total is kept."""
    support, log_weight = hypergeometric_support(
        data.events_treatment, data.n_treatment, data.events_control, data.n_control
    )
    log_terms = log_weight + p["theta"][..., None] * support
    # The largest of independently Gumbel-disturbed log probabilities is a draw from them.
    at = np.argmax(log_terms + rng.gumbel(size=log_terms.shape), axis=-1)
    treatment = np.take_along_axis(np.broadcast_to(support, log_terms.shape), at[..., None], axis=-1)[..., 0]
    total = data.events_treatment + data.events_control
    return {"events_treatment": treatment, "events_control": total - treatment}
