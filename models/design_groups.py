r"""Random-effects model of several designs.

.. math::
    y_{ij} &\sim N(\theta_{ij}, s_{ij}^2), \qquad i = 1, \dots, k_j, \quad j = 1, \dots, m \\
    \theta_{ij} &\sim N(\mu_j, \tau^2), \qquad \mu_j \sim N(\mu, \omega^2)

Designs :math:`j` (randomised trials, cohorts, ...) are the ``cluster`` of the rows; :math:`\mu_j` is the mean effect in
studies of that design, reported as ``mu[design]``; :math:`\tau` is the standard deviation between studies of one
design, :math:`\omega` that between designs. ``theta_new[design]`` is the true effect of a new study of a design,
``theta_new`` that of one of a new design. With one design there is nothing between designs, and it is
``normal_normal``.

Use it when studies of several designs answer one question and may do so differently: each design then borrows from the
others as far as they agree. Not to correct a bias whose direction is known (``bm.allow_for_bias``). With two or three
designs :math:`\omega` rests on its prior: vary that.

Source: Prevost, Abrams & Jones (2000), Statistics in Medicine 19:3359-3376, with one :math:`\tau` for all designs.
"""

from collections.abc import Mapping

import numpy as np

from bayesmeta.errors import DataError
from bayesmeta.model import Component, Effect, Gaussian, independent_studies
from bayesmeta.priors import HalfNormal, Normal, Prior
from bayesmeta.studies import EffectSizes

DATA = EffectSizes
PRIORS: dict[str, Prior] = {"mu": Normal(0.0, 2.82), "tau": HalfNormal(0.5), "omega": HalfNormal(0.5)}


def gaussian(data: EffectSizes, priors: Mapping[str, Prior]) -> Gaussian:
    """Return the rows with two levels of random effects; with one design those of the plain model."""
    if data.V is not None or len(set(data.rows)) > len(set(data.study)):
        raise DataError("design_groups takes one independent row a study: use model='multilevel' for several.")
    one, tau = np.ones(1), priors["tau"].resolve(data.sei)
    if data.k == 1 or data.cluster == data.study:
        if data.k > 1:
            raise DataError(
                "The studies are not grouped by design: give EffectSizes(cluster=[...]), 'randomised' or 'cohort', say."
            )
        return independent_studies(data.rows, data.yi, data.vi, np.ones((data.n, 1)), ("mu",), (priors["mu"],), tau)
    designs = tuple(dict.fromkeys(data.cluster))
    return Gaussian(
        study=data.rows,
        y=data.yi,
        V=data.vi,
        X=np.ones((data.n, 1)),
        terms=("mu",),
        beta=(priors["mu"],),
        components=(
            Component("tau", tau),
            Component("omega", priors["omega"].resolve(data.sei), levels=data.cluster),
        ),
        effects={
            row: Effect(one, {"tau": str(i), "omega": design})
            for i, (row, design) in enumerate(zip(data.rows, data.cluster, strict=True))
        },
        predictions={
            **{f"mu[{design}]": Effect(one, {"omega": design}) for design in designs},
            "theta_new": Effect(one, {"tau": None, "omega": None}),
            **{f"theta_new[{design}]": Effect(one, {"tau": None, "omega": design}) for design in designs},
        },
    )
