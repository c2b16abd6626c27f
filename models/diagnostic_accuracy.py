r"""Bivariate model of diagnostic accuracy.

.. math::
    \mathrm{logit}(\hat{se}_i) \sim N(\theta_{i1}, 1/tp_i + 1/fn_i), \qquad
    \mathrm{logit}(\hat{sp}_i) \sim N(\theta_{i2}, 1/tn_i + 1/fp_i) \\
    (\theta_{i1}, \theta_{i2}) \sim N\Bigl((\mu_1, \mu_2),\;
    \begin{pmatrix} \tau_1^2 & \rho \tau_1 \tau_2 \\ \rho \tau_1 \tau_2 & \tau_2^2 \end{pmatrix}\Bigr)

The first outcome is sensitivity, the second specificity, both on the logit scale; :math:`\rho` is usually negative, as
where studies use different thresholds. 0.5 is added to all cells of all studies if one is 0. ``post.sensitivity`` and
``post.specificity`` are those of a study at the means, on the scale of probabilities, and ``post.sroc()`` is the
summary receiver operating characteristic. Priors may be given for both (``mu``, ``tau``) or for one
(``mu[sensitivity]``).

Use it when every study gives the four counts of one test at one threshold. Not with many empty cells (few patients,
or a test that is nearly perfect), where the normal approximation leans towards 0.5, and not for several
thresholds of one study.

Source: Reitsma et al. (2005), J. Clin. Epidemiol. 58:982-990.
"""

from collections.abc import Mapping

import numpy as np

from bayesmeta.errors import DataError
from bayesmeta.model import Component, Correlation, Effect, Gaussian, priors_by_label
from bayesmeta.priors import HalfNormal, Normal, Prior, Uniform
from bayesmeta.studies import DiagnosticTable

DATA = DiagnosticTable
# normal(0, 1.5) for a logit is close to uniform for the probability.
PRIORS: dict[str, Prior] = {"mu": Normal(0.0, 1.5), "tau": HalfNormal(1.0), "rho": Uniform(-1.0, 1.0)}
OUTCOMES = ("sensitivity", "specificity")


def gaussian(data: DiagnosticTable, priors: Mapping[str, Prior]) -> Gaussian:
    """Return the logits, two rows a study, with a random effect for each of the two."""
    if data.k < 2:
        raise DataError("One study says nothing of how studies differ: give two or more.")
    rows = data.logits()
    Z = np.tile(np.eye(2), (data.k, 1))
    names = tuple(f"tau[{outcome}]" for outcome in OUTCOMES)
    tau = priors_by_label(priors, "tau", OUTCOMES)
    parts = dict(zip(OUTCOMES, names, strict=True))
    return Gaussian(
        study=rows.rows,
        y=rows.yi,
        V=rows.vi,
        X=Z,
        terms=tuple(f"mu[{outcome}]" for outcome in OUTCOMES),
        beta=tuple(priors_by_label(priors, "mu", OUTCOMES)),
        components=tuple(Component(name, tau[j], rows.study, Z[:, j]) for j, name in enumerate(names)),
        correlations=(Correlation("rho", priors["rho"], names),),
        effects={
            label: Effect(z, {names[i % 2]: rows.study[i]})
            for i, (label, z) in enumerate(zip(rows.rows, Z, strict=True))
        },
        predictions={
            f"theta_new[{outcome}]": Effect(z, {parts[outcome]: None})
            for outcome, z in zip(OUTCOMES, np.eye(2), strict=True)
        },
    )
