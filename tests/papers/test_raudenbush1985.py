"""Raudenbush & Bryk 1985, J Educ Stat 10:75-98, and Raudenbush 2009, chapter 16: teachers' expectations of pupils.

Pages 83 to 92 of the paper, its Figure 2, and Tables 16.2 and 16.3 of the chapter in the Handbook of Research Synthesis
and Meta-Analysis, 2nd edition, pages 295-315. The paper's variances are to two digits of the standard errors.
"""

import math

import numpy as np
import pytest
from as_printed import assert_printed, columns

import bayesmeta as bm


@pytest.fixture(scope="module")
def expectancy():
    """Return the effects, and the weeks of contact with 3 for three or more."""
    c = columns("teacher_expectancy_raudenbush1985")
    return bm.EffectSizes(c["yi"], c["sei"], measure="SMD"), np.minimum(c["weeks"], 3.0)


def test_random_effects(expectancy):
    """Variance, mean and z by REML; Q with the common effect and its z."""
    random, common = (bm.frequentist.pool(expectancy[0], method=method) for method in ("REML", "EE"))
    assert_printed([random.tau2, random.mu, random.statistic, random.Q], "0.0188 0.0837 1.6208 35.8295")
    assert_printed([common.mu, common.statistic], "0.0604 1.6553")


def test_weeks_of_contact_explain_the_heterogeneity(expectancy):
    """Coefficients, z, and Q that is left; no variance is."""
    fit = bm.frequentist.regress(expectancy[0], {"weeks": expectancy[1]}, method="REML")
    assert_printed(fit.beta, "0.4072 -0.1572")
    assert_printed(fit.QE, "16.5708")
    assert_printed(fit.tau2, "0.0000")


def test_empirical_bayes_estimates_of_figure_2(expectancy):
    """True effects given the REML estimate of tau are conditional posterior means under a flat prior of the mean."""
    tau = math.sqrt(bm.frequentist.pool(expectancy[0], method="REML").tau2)
    post = bm.fit(expectancy[0], priors={"mu": "flat()", "tau": f"point({tau!r})"}, engine="quadrature")
    found = np.array([theta.mean() for theta in post.theta.values()])
    assert_printed(found, "0.054 0.101 -0.006 0.214 0.105 -0.008 0.017 -0.029 0.160 0.248 0.162 0.110 0.065 0.110 "
                          "-0.029 0.026 0.190 0.074 0.025")  # fmt: skip
    low, high = (np.array([theta.eti(0.95)[side] for theta in post.theta.values()]) for side in (0, 1))
    assert_printed(low[:4], "-0.132 -0.103 -0.223 -0.053")
    assert_printed(high[:4], "0.241 0.304 0.210 0.482")


@pytest.mark.parametrize(
    ("ci", "method", "printed"),
    [
        ("wald", "EE", "0 0.0604 0.0365 1.6553"),
        ("wald", "ML", "0.0126 0.0777 0.0475 1.637"),
        ("wald", "REML", "0.0188 0.0837 0.0516 1.6208"),
        ("wald", "DL", "0.0259 0.0893 0.0558 1.6009"),
        ("wald", "HE", "0.0804 0.1143 0.0792 1.4432"),
        ("hksj", "ML", "0.0126 0.0777 0.0593 1.311"),
        ("hksj", "REML", "0.0188 0.0837 0.0616 1.359"),
        ("hksj", "DL", "0.0259 0.0893 0.0636 1.405"),
        ("hksj", "HE", "0.0804 0.1143 0.0711 1.6078"),
    ],
)
def test_a_row_of_table_16_3(expectancy, ci, method, printed):
    """Variance, mean, standard error and test, conventional and by Knapp and Hartung."""
    fit = bm.frequentist.pool(expectancy[0], method=method, ci=ci)
    assert_printed([fit.tau2, fit.mu, fit.se, fit.statistic], printed)
