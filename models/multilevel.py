r"""Multilevel random-effects model: effects within studies.

.. math::
    y_{ij} &= x_{ij}^\top \beta + u_i + w_{ij} + e_{ij}, \qquad i = 1, \dots, k, \quad j = 1, \dots, n_i \\
    u_i &\sim N(0, \tau^2), \qquad w_{ij} \sim N(0, \omega^2), \qquad e \sim N(0, V)

Rows :math:`j` are effects of the study (or cluster) :math:`i`; :math:`\tau` is the standard deviation between clusters,
:math:`\omega` that between effects of one cluster. ``theta`` is the mean effect of a cluster,
:math:`\bar x_i^\top \beta + u_i`; ``theta_new`` that of a new cluster, ``effect_new`` a single effect in it. :math:`V`
is the sampling covariance of the estimates: diagonal, a known matrix, or of one correlation within clusters
(``sampling_correlation=``), which is the correlated-and-hierarchical-effects model. Without moderators the one
coefficient is ``mu``; with them the intercept has the prior of ``mu``, every other the prior ``beta``.

Use it when studies report several effects: outcomes, subgroups, time points, several experiments of one laboratory. Not
when every study has one row (``normal_normal`` is that model), and not with :math:`V` left out where estimates
come from the same patients: say what is known of their correlation, and vary it.

Source: Konstantopoulos (2011), Research Synthesis Methods 2:61-76; Pustejovsky & Tipton (2022), Prevention Science
23:425-438.
"""

from collections.abc import Mapping

import numpy as np

from bayesmeta.errors import DataError
from bayesmeta.model import Component, Effect, Gaussian
from bayesmeta.priors import HalfNormal, Normal, Prior
from bayesmeta.studies import EffectSizes

DATA = EffectSizes
PRIORS: dict[str, Prior] = {
    "mu": Normal(0.0, 2.82),
    "beta": Normal(0.0, 2.82),
    "tau": HalfNormal(0.5),
    "omega": HalfNormal(0.5),
}


def gaussian(data: EffectSizes, priors: Mapping[str, Prior]) -> Gaussian:
    """Return the rows, their design, and two levels of random effects."""
    assert data.X is not None
    if data.k == data.n:
        raise DataError("Every cluster has one row, so tau and omega cannot be told apart: use model='normal_normal'.")
    if data.k == 1:
        raise DataError(
            f"All rows belong to one cluster, {data.cluster[0]!r}: nothing is known of the scatter between them. Give "
            "each row as a study of its own and use model='normal_normal'."
        )
    terms = data.terms if data.moderators else ("mu",)
    mean = {label: data.X[[c == label for c in data.cluster]].mean(axis=0) for label in dict.fromkeys(data.cluster)}
    new = {"theta_new": {"tau": None}, "effect_new": {"tau": None, "omega": None}}
    return Gaussian(
        study=data.rows,
        y=data.yi,
        V=data.vi if data.V is None else data.V,
        X=data.X,
        terms=terms,
        beta=tuple(priors["mu" if term in ("mu", "intercept") else "beta"] for term in terms),
        components=(
            Component("tau", priors["tau"].resolve(data.sei), levels=data.cluster),
            Component("omega", priors["omega"].resolve(data.sei)),
        ),
        effects={label: Effect(x, {"tau": label}) for label, x in mean.items()},
        predictions={} if data.moderators else {name: Effect(np.ones(1), parts) for name, parts in new.items()},
    )
