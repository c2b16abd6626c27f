"""Viechtbauer 2005, J Educ Behav Stat 30:261-293: seven estimators of tau2 on two data sets, pages 271 and 272."""

import pytest
from as_printed import assert_printed

import bayesmeta as bm

ONE = bm.EffectSizes(
    yi=[-0.581, 0.530, 0.771, 1.031, 0.553, 0.295, 0.078, 0.573, -0.176, -0.232],
    vi=[0.023, 0.052, 0.060, 0.115, 0.095, 0.203, 0.200, 0.211, 0.051, 0.040],
    measure="SMD",
)
TWO = bm.EffectSizes(
    yi=[0.100, -0.162, -0.090, -0.049, -0.046, -0.010, -0.431, -0.261, 0.134, 0.019, 0.175, 0.056, 0.045, 0.103,
        0.121, -0.482, 0.290, 0.342],
    vi=[0.016, 0.015, 0.050, 0.050, 0.032, 0.052, 0.036, 0.024, 0.034, 0.033, 0.031, 0.034, 0.039, 0.167, 0.134,
        0.096, 0.016, 0.035],
    measure="SMD",
)  # fmt: skip
METHODS = ("HS", "HE", "DL", "ML", "REML", "EB", "SJ")


@pytest.mark.parametrize(
    ("effects", "tau2", "i2"),
    [
        (ONE, "0.2282 0.1484 0.2768 0.1967 0.2232 0.192 0.1992", "77.23 68.80 80.44 74.51 76.84 74.05 74.75"),
        (TWO, "0.0099 0 0.0126 0.0132 0.0157 0.0104 0.0248", "22.93 0 27.53 28.45 32.02 23.72 42.67"),
    ],
    ids=["page 271", "page 272"],
)  # fmt: skip
def test_estimates_of_tau2_and_i2_are_the_published_ones(effects, tau2, i2):
    """Hunter-Schmidt, Hedges, DerSimonian-Laird, ML, REML, empirical Bayes and Sidik-Jonkman."""
    fits = [bm.frequentist.pool(effects, method=method) for method in METHODS]
    assert_printed([fit.tau2 for fit in fits], tau2)
    assert_printed([fit.I2 for fit in fits], i2)


def test_standard_errors_of_tau2_are_the_published_ones():
    """Page 271; that of Sidik and Jonkman's estimator is left out, for which there are several formulas."""
    found = [bm.frequentist.pool(ONE, method=method).tau2_se for method in METHODS[:-1]]
    assert_printed(found, "0.1328 0.1234 0.1841 0.1255 0.1464 0.133")
