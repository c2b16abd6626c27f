"""Gleser & Olkin 2009, Stochastically dependent effect sizes (Handbook of Research Synthesis, pages 357-376).

Studies with several treatments share their controls, so that their effects are dependent with a known covariance.
"""

import numpy as np
import pytest
from as_printed import assert_printed

import bayesmeta as bm

STUDY = np.array([1, 1, 2, 3, 3, 3])
TREATMENT = np.array([1, 2, 1, 1, 2, 3])
# The chapter's effects are control less treatment, as rates of those who do not respond.
ONE = np.array([40, 40, 10, 150, 150, 150]), np.array([1000, 1000, 200, 2000, 2000, 2000])
OTHER = np.array([100, 150, 15, 40, 80, 50]), np.array([4000, 4000, 400, 1000, 1000, 1000])


def pooled(measure, shared):
    """Return the effects, and the fit without heterogeneity of one effect a treatment."""
    effects = bm.effect_sizes(bm.TwoByTwo(ONE[0], ONE[1], OTHER[0], OTHER[1]), measure)
    V = np.where(STUDY[:, None] == STUDY, shared(ONE[0] / ONE[1], ONE[1])[:, None], 0.0)
    np.fill_diagonal(V, effects.vi)
    X = (TREATMENT[:, None] == np.array([1, 2, 3])).astype(float)
    rows = bm.EffectSizes(
        effects.yi, V=V, measure=measure, cluster=[str(s) for s in STUDY], X=X, terms=("A", "B", "C"),
        study=[f"{s} {t}" for s, t in zip(STUDY, TREATMENT, strict=True)],
    )  # fmt: skip
    return effects.yi, bm.frequentist.components(rows, method="ML", fixed={"tau": 0.0, "omega": 0.0})


@pytest.mark.parametrize(
    ("measure", "shared", "yi", "beta", "Q"),
    [
        (
            "RD",
            lambda p, n: p * (1 - p) / n,
            "0.0150 0.0025 0.0125 0.0350 -0.0050 0.0250",
            "0.0200 0.0043 0.0211",
            "7.1907",
        ),
        (
            "OR",
            lambda p, n: 1 / (n * p * (1 - p)),
            "0.4855 0.0671 0.3008 0.6657 -0.0700 0.4321",
            "0.5099 0.0044 0.4301",
            "2.0563",
        ),
        (
            "RR",
            lambda p, n: (1 - p) / (n * p),
            "0.4700 0.0645 0.2877 0.6286 -0.0645 0.4055",
            "0.4875 0.0006 0.4047",
            "1.8954",
        ),
    ],
)
def test_treatments_against_a_shared_control(measure, shared, yi, beta, Q):
    """Effects, pooled effects of three treatments, and Q: Table 19.2, equations 19.6 and 19.8, pages 360-364."""
    effects, fit = pooled(measure, shared)
    assert_printed(effects, yi)
    assert_printed(fit.beta, beta)
    assert_printed(fit.Q, Q)


def test_covariance_of_the_pooled_risk_differences():
    """Equation 19.7, page 361, in millionths."""
    _, fit = pooled("RD", lambda p, n: p * (1 - p) / n)
    found = 1e6 * fit.vcov[np.triu_indices(3)]
    assert_printed(found, "24.612 19.954 13.323 28.538 13.255 69.806")
