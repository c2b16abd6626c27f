"""Berkey et al. 1998, Stat Med 17:2537-2550: probing depth and attachment level in five trials, Table II, page 2545.

The shipped model of several outcomes has no moderators: this is a model of one's own, in a file as a user writes one.
"""

import numpy as np
from as_printed import assert_printed, columns

import bayesmeta as bm

MODEL = '''"""Two outcomes with a slope on the year each."""

import numpy as np

from bayesmeta.model import Component, Correlation, Effect, Gaussian
from bayesmeta.priors import HalfNormal, Normal, Uniform
from bayesmeta.studies import EffectSizes

DATA = EffectSizes
PRIORS = {"beta": Normal(0.0, 1.0), "tau": HalfNormal(0.5), "rho": Uniform(-1.0, 1.0)}


def gaussian(data, priors):
    Z = (np.array(data.outcome)[:, None] == np.array(["AL", "PD"])).astype(float)
    names = ("tau[AL]", "tau[PD]")
    return Gaussian(
        study=data.rows,
        y=data.yi,
        V=data.V,
        X=data.X,
        terms=data.terms,
        beta=tuple(priors["beta"] for _ in data.terms),
        components=tuple(Component(n, priors["tau"], data.cluster, z) for n, z in zip(names, Z.T)),
        correlations=(Correlation("rho", priors["rho"], names),),
        effects={row: Effect(x, {}) for row, x in zip(data.rows, data.X)},
    )
'''


def test_two_outcomes_with_the_year(tmp_path):
    """Intercepts and slopes of both outcomes, standard errors, variances and covariance by ML."""
    path = tmp_path / "two_outcomes.py"
    path.write_text(MODEL)
    c = columns("periodontal_berkey1998")
    probing = (c["outcome"] == "PD").astype(float)
    year = c["year"] - 1983
    X = np.column_stack([1 - probing, probing, (1 - probing) * year, probing * year])
    n = len(probing)
    V = np.zeros((n, n))
    for i in range(0, n, 2):
        V[i : i + 2, i : i + 2] = np.column_stack([c["v1i"][i : i + 2], c["v2i"][i : i + 2]])
    data = bm.EffectSizes(
        c["yi"],
        V=V,
        measure="MD",
        study=list(c["study"]),
        cluster=list(c["cluster"]),
        outcome=list(c["outcome"]),
        X=X,
        terms=("AL", "PD", "year (AL)", "year (PD)"),
    )
    fit = bm.frequentist.components(data, model=path, method="ML")
    assert_printed(fit.beta, "-0.3351 0.3479 -0.0108 0.0010")
    assert_printed(fit.se, "0.0787 0.0520 0.0243 0.0154")
    al, pd = fit.tau2["AL"], fit.tau2["PD"]
    assert_printed([al, pd, fit.rho], "0.0250 0.0080 0.6587")
    assert_printed(fit.rho * np.sqrt(al * pd), "0.0093")
