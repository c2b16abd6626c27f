"""The columns and priors of a network: effects of treatments of which only differences mean something."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayesmeta.errors import ModelError
from bayesmeta.model.contract import priors_by_label
from bayesmeta.priors import Prior, fixed_value
from bayesmeta.studies import Contrasts
from bayesmeta.values import Array, FrozenMap


@dataclass(frozen=True, slots=True, eq=False)
class TreatmentColumns:
    """Columns of a network's design.

    Parameters
    ----------
    X
        ``(n, p)`` design matrix.
    terms, beta
        ``(p,)`` names of the columns and priors of their coefficients.
    means
        ``mu[treatment]`` to the combination that is this treatment against the reference.
    """

    X: Array
    terms: tuple[str, ...]
    beta: tuple[Prior, ...]
    means: Mapping[str, Array]


def relative_effects(data: Contrasts, priors: Mapping[str, Prior]) -> TreatmentColumns:
    """Return the columns of a network whose every relative effect has the same prior.

    A proper prior is put on an effect of each treatment, whose differences then have `prior`; with a flat one a column
    less identifies them, and which is left out changes nothing.

    Parameters
    ----------
    data
        Contrasts of a connected network.
    priors
        ``mu`` of every relative effect, ``normal(0, s)`` or flat; ``beta``, or ``beta[term]``, of the coefficients of
        further columns of the contrasts, moderators.

    Raises
    ------
    ModelError
        If ``mu`` is another one, or is not centred at 0: a relative effect has no direction that is its own.
    """
    treatments, prior = data.treatments, priors["mu"]
    X, identity = data.design, np.eye(len(treatments))
    if not prior.proper and getattr(prior, "name", "") == "flat":
        X, identity, named, each = X[:, 1:], identity[:, 1:], treatments[1:], prior
    elif getattr(prior, "name", "") == "normal" and fixed_value(prior) is None and prior.loc == 0.0:  # type: ignore[attr-defined]
        identity, named, each = identity - identity[0], treatments, prior.rescale(1.0 / math.sqrt(2.0))
    else:
        raise ModelError(
            f"The prior mu={prior!r} of relative effects: b against a is minus a against b, so that it is normal(0, S) "
            "or flat(). Use one of these."
        )
    terms, beta = tuple(f"d[{t}]" for t in named), (each,) * len(named)
    means = {f"mu[{t}]": identity[j] for j, t in enumerate(treatments) if j}
    if data.X is None:
        return TreatmentColumns(X, terms, beta, FrozenMap(means))
    q = len(data.terms)
    means = {name: np.concatenate([x, np.zeros(q)]) for name, x in means.items()}
    slopes = np.eye(len(terms) + q)[len(terms) :]
    means |= {f"beta[{term}]": row for term, row in zip(data.terms, slopes, strict=True)}
    X = np.column_stack([X, data.X])
    return TreatmentColumns(
        X, terms + data.terms, beta + tuple(priors_by_label(priors, "beta", data.terms)), FrozenMap(means)
    )
