r"""Phylogenetic random-effects model.

.. math::
    y_{ij} &= x_{ij}^\top \beta + u_i + w_{ij} + e_{ij}, \qquad i = 1, \dots, k, \quad j = 1, \dots, n_i \\
    u &\sim N(0, \tau^2 R), \qquad w_{ij} \sim N(0, \omega^2), \qquad e \sim N(0, V)

The clusters :math:`i` are species (or regions, or anything else) whose effects are correlated as the known matrix
:math:`R` says, ``EffectSizes(R=)``, with its rows in the order in which the clusters first appear; :math:`\omega` is
the standard deviation between effects of one cluster. ``theta`` is a cluster's mean effect. There is no prediction for
a new cluster, because its place in the tree is not known. Priors are those of ``multilevel``.

Use it when related clusters are expected to have similar effects, and how related they are is known from elsewhere. Not
when :math:`R` was estimated from the same effects.

Source: Nakagawa & Santos (2012), Evol. Ecol. 26:1253-1274.
"""

from collections.abc import Mapping

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
    """Return the rows, their design, and random effects of related clusters and of rows."""
    assert data.X is not None
    if data.R is None:
        raise DataError("The correlation of the clusters is missing: give EffectSizes(R=...), or use 'multilevel'.")
    terms = data.terms if data.moderators else ("mu",)
    mean = {label: data.X[[c == label for c in data.cluster]].mean(axis=0) for label in dict.fromkeys(data.cluster)}
    return Gaussian(
        study=data.rows,
        y=data.yi,
        V=data.vi if data.V is None else data.V,
        X=data.X,
        terms=terms,
        beta=tuple(priors["mu" if term in ("mu", "intercept") else "beta"] for term in terms),
        components=(
            Component("tau", priors["tau"].resolve(data.sei), levels=data.cluster, relation=data.R),
            Component("omega", priors["omega"].resolve(data.sei)),
        ),
        effects={label: Effect(x, {"tau": label}) for label, x in mean.items()},
        predictions={},
    )
