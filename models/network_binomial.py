r"""Network meta-analysis of counts: binomial arms, consistent log odds ratios.

.. math::
    y_{ij} &\sim \mathrm{Binomial}(n_{ij}, p_{ij}), \qquad
    \mathrm{logit}\, p_{ij} = \alpha_i + d_{t(ij)} - d_{t(i1)} + u_{ij} \\
    u_{i1} &= 0, \qquad u_{ij} \sim N(0, \tau^2), \qquad \mathrm{cor}(u_{ij}, u_{il}) = 1/2

Arm :math:`j` of study :math:`i` has the treatment :math:`t(ij)`; each study keeps the log odds :math:`\alpha_i` of its
first arm as a baseline of its own. Nothing is added to zero cells, and no standard error is estimated. ``mu[b]`` is the
log odds ratio of treatment b against the reference, the first treatment in alphabetical order. The prior ``mu`` is that
of every relative effect, as in ``network_consistency``.

Use it for arms of counts (`bm.read_network`), above all where cells are below 5. Not for contrasts or other measures
(``network_consistency``), and not where most studies have no events at all: the prior of the baselines then speaks for
them. It is sampled, so that numbers have Monte Carlo error.

Source: Dias, Sutton, Ades & Welton (2013), Medical Decision Making 33:607-617; Lu & Ades (2004), Statistics in
Medicine 23:3105-3124.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.errors import DataError, ModelError
from bayesmeta.model import data_slots
from bayesmeta.priors import HalfNormal, Normal, Prior
from bayesmeta.studies import NetworkTable
from bayesmeta.studies.networks import check_connected
from bayesmeta.values import Array

if TYPE_CHECKING:
    import pymc as pm

DATA = NetworkTable
MEASURE = "OR"
PRIORS: dict[str, Prior] = {"mu": Normal(0.0, 2.82), "tau": HalfNormal(0.5), "baseline": Normal(0.0, 10.0)}
_HALF = 1.0 / np.sqrt(2.0)


def _root(data: NetworkTable) -> Array:
    """Return the root of the prior correlation of relative effects against the first treatment: one half."""
    others = len(data.treatments) - 1
    return np.linalg.cholesky(0.5 * (np.eye(others) + np.ones((others, others))))


def inputs(data: NetworkTable) -> dict[str, Any]:
    """Return the arrays that the program takes: counts, the first arm of each arm's study, and treatments."""
    if not {"events", "n"} <= set(data.columns):
        raise DataError("network_binomial takes arms with events and n: use model='network_consistency' for others.")
    if data.k < 2:
        raise DataError("One study says nothing of how studies differ: give two or more.")
    rows = list(data.rows().values())
    check_connected((data.treatment[at[0]], data.treatment[i]) for at in rows for i in at[1:])
    trial, first = np.empty(len(data.study), dtype=np.int64), np.empty(len(data.study), dtype=np.int64)
    for number, at in enumerate(rows):
        trial[at], first[at] = number, at[0]
    return {
        "events": data.columns["events"].astype(np.int64),
        "n": data.columns["n"].astype(np.int64),
        "trial_of": trial,
        "first_of": first,
        "starts": np.array([at[0] for at in rows], dtype=np.int64),
        "design": np.array([[float(t == name) for name in data.treatments[1:]] for t in data.treatment]) @ _root(data),
    }


def build(data: NetworkTable, priors: Mapping[str, Prior]) -> "pm.Model":
    r"""Return the PyMC model, non-centred.

    Every arm has an independent effect of variance :math:`\tau^2 / 2`, so that differences have the variances and
    correlations of the model. Treatments do not: the level of all of them would be known from its prior alone, hundreds
    of times wider than their differences. ``mu`` are independent with the prior of a relative effect, and the effects
    against the first treatment are those combinations of them that have it too, with correlation one half.
    """
    import pymc as pm

    if getattr(priors["mu"], "name", "") != "normal" or getattr(priors["mu"], "loc", 0.0) != 0.0:
        raise ModelError(
            f"The prior mu={priors['mu']!r} of relative effects: b against a is minus a against b, so that it is "
            "normal(0, S) here. Use one."
        )
    values = inputs(data)
    coords = {"study": range(len(data.study)), "trial": range(data.k), "other": list(data.treatments[1:])}
    with pm.Model(coords=coords) as model:
        d = data_slots({name: values[name] for name in ("events", "n", "trial_of", "first_of")}, dims="study")
        d |= data_slots({"starts": values["starts"]}, dims="trial")
        d |= data_slots({"design": values["design"]}, dims=("study", "other"))
        mu, tau = priors["mu"].rv("mu", dims="other"), priors["tau"].rv("tau")
        baseline = priors["baseline"].rv("baseline", dims="trial")
        eta = pm.Normal("eta", 0.0, 1.0, dims="study")
        arm = d["design"] @ mu + _HALF * tau * eta
        logit = baseline[d["trial_of"]] + arm - arm[d["first_of"]]
        pm.Binomial("y", d["n"], logit_p=logit, observed=d["events"], dims="study")
    return model


def reported(data: NetworkTable, draws: Mapping[str, Array]) -> dict[str, Array]:
    """Return each treatment against the first one."""
    each = draws["mu"] @ _root(data).T
    return {f"mu[{name}]": each[..., j] for j, name in enumerate(data.treatments[1:])}


def shapes(data: NetworkTable) -> dict[str, tuple[int, ...]]:
    """Return the parameters that are vectors."""
    return {"mu": (len(data.treatments) - 1,), "baseline": (data.k,)}
