"""Lipsey & Wilson 2001, Practical Meta-Analysis: the delinquency example, Exhibits 7.3 to 7.7."""

import numpy as np
import pytest
from as_printed import assert_printed

import bayesmeta as bm

YI = [-0.33, 0.32, 0.39, 0.31, 0.17, 0.64, -0.33, 0.15, -0.02, 0.00]
VI = [0.084, 0.035, 0.017, 0.034, 0.072, 0.117, 0.102, 0.093, 0.012, 0.067]
RANDOM = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1])
INTENSITY = np.array([7, 3, 7, 5, 7, 7, 4, 4, 5, 6])
EFFECTS = bm.EffectSizes(YI, vi=VI, measure="SMD")


def test_fixed_and_random_effects():
    """Exhibit 7.3, page 133: means with z, p and limits, Q, and the variance between studies."""
    fixed, random = (bm.frequentist.pool(EFFECTS, method=method) for method in ("EE", "DL"))
    assert_printed(
        [fixed.mu, fixed.se, fixed.statistic, fixed.p_value, *fixed.ci], "0.1549 0.0609 2.5450 0.0109 0.0356 0.2742"
    )
    assert_printed([fixed.Q, fixed.Q_p], "14.7640 0.0976")
    assert_printed(
        [random.mu, random.se, random.statistic, random.p_value, *random.ci],
        "0.1534 0.0858 1.7893 0.0736 -0.0146 0.3215",
    )
    assert_printed(random.tau2, "0.025955")  # fmt: skip


def test_randomised_and_other_studies():
    """Exhibit 7.4, page 138: means of both groups, Q within and between them."""
    yi, vi, at = np.array(YI), np.array(VI), RANDOM.astype(bool)
    subsets = [bm.EffectSizes(yi[group], vi=vi[group], measure="SMD") for group in (~at, at)]
    others, randomised = (bm.frequentist.pool(part, method="EE") for part in subsets)
    assert_printed([others.mu, others.se, *others.ci], "0.2984 0.0813 0.1390 0.4578")
    assert_printed([randomised.mu, randomised.se, *randomised.ci], "-0.0277 0.0917 -0.2075 0.1521")
    assert_printed([others.Q, others.Q_p, randomised.Q, randomised.Q_p], "6.4382 0.2659 1.2519 0.7406")
    between = bm.frequentist.regress(EFFECTS, {"random": RANDOM}, method="FE")
    assert_printed([between.QM, between.QM_p, between.QE], "7.0739 0.0078 7.6901")


@pytest.mark.parametrize(
    ("method", "beta", "tests", "tau2"),
    [
        ("FE", "0.32233263 -0.32978043 -0.00408559", "7.0807 0.0290", "0"),
        ("DL", "0.33106915 -0.32691858 -0.00682302", "5.5711 0.0617", "0.00488"),
    ],
    ids=["7.6", "7.7"],
)
def test_meta_regression(method, beta, tests, tau2):
    """Exhibits 7.6 and 7.7, page 141: design and intensity, with fixed and with random effects."""
    fit = bm.frequentist.regress(EFFECTS, {"random": RANDOM, "intensity": INTENSITY}, method=method)
    assert_printed(fit.beta, beta)
    assert_printed([fit.QM, fit.QM_p], tests)
    assert_printed(fit.tau2, tau2)
