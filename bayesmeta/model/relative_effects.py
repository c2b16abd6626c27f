"""The columns and priors of a network: effects of treatments of which only differences mean something."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayesmeta.errors import ModelError
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


def relative_effects(data: Contrasts, prior: Prior) -> TreatmentColumns:
    """Return the columns of a network whose every relative effect has the same prior.

    A proper prior is put on an effect of each treatment, whose differences then have `prior`; with a flat one a column
    less identifies them, and which is left out changes nothing.

    Parameters
    ----------
    data
        Contrasts of a connected network.
    prior
        Of every relative effect: ``normal(0, s)`` or flat.

    Raises
    ------
    ModelError
        If it is another one, or is not centred at 0: a relative effect has no direction that is its own.
    """
    treatments = data.treatments
    X, identity = data.design, np.eye(len(treatments))
    if not prior.proper and getattr(prior, "name", "") == "flat":
        means = {f"mu[{t}]": identity[j, 1:] for j, t in enumerate(treatments) if j}
        return TreatmentColumns(
            X[:, 1:], tuple(f"d[{t}]" for t in treatments[1:]), (prior,) * (len(treatments) - 1), FrozenMap(means)
        )
    centred = getattr(prior, "name", "") == "normal" and fixed_value(prior) is None and prior.loc == 0.0  # type: ignore[attr-defined]
    if not centred:
        raise ModelError(
            f"The prior mu={prior!r} of relative effects: b against a is minus a against b, so that it is normal(0, S) "
            "or flat(). Use one of these."
        )
    each = prior.rescale(1.0 / math.sqrt(2.0))
    means = {f"mu[{t}]": identity[j] - identity[0] for j, t in enumerate(treatments) if j}
    terms = tuple(f"d[{t}]" for t in treatments)
    return TreatmentColumns(X, terms, (each,) * len(treatments), FrozenMap(means))
