"""Normand 1999, Stat Med 18:321-359: lidocaine after heart attacks and stroke stays, Tables III and VII to IX."""

import numpy as np
import pytest
from as_printed import DATA, assert_printed, columns

import bayesmeta as bm


@pytest.fixture(scope="module")
def lidocaine():
    """Return risk differences of death, as fractions."""
    return bm.effect_sizes(bm.read_studies(DATA / "lidocaine_hine1989.csv"), "RD")


@pytest.fixture(scope="module")
def stays():
    """Return differences of mean days in hospital, with the pooled SD of both arms as in the paper."""
    c = columns("stroke_stay_normand1999")
    n1, n2 = c["n_treatment"], c["n_control"]
    pooled = ((n1 - 1) * c["sd_treatment"] ** 2 + (n2 - 1) * c["sd_control"] ** 2) / (n1 + n2 - 2)
    return bm.EffectSizes(c["mean_treatment"] - c["mean_control"], vi=pooled * (1 / n1 + 1 / n2), measure="MD")


def test_risk_differences_of_table_3(lidocaine):
    """Percentage points, their variances and 95% limits, page 330."""
    yi, sei = 100 * lidocaine.yi, 100 * lidocaine.sei
    assert_printed(yi, "2.8026 0.0000 1.9711 1.7961 3.5334 4.4031")
    assert_printed(sei**2, "17.7575 37.5657 8.1323 10.8998 8.0114 6.1320")
    z = 1.959963984540054
    assert_printed(yi - z * sei, "-5.4566 -12.0128 -3.6182 -4.6747 -2.0141 -0.4503")
    assert_printed(yi + z * sei, "11.0618 12.0128 7.5604 8.2669 9.0810 9.2566")


@pytest.mark.parametrize("method", ["EE", "DL", "REML"])
def test_pooled_risk_difference_of_table_7(lidocaine, method):
    """All methods agree, as no heterogeneity is found, page 349."""
    fit = bm.frequentist.pool(lidocaine, method=method)
    assert_printed(100 * np.array([fit.mu, *fit.ci]), "2.9444 0.3831 5.5058")
    assert fit.tau2 == 0.0


def test_differences_of_table_8(stays):
    """Differences of means and their variances, page 351."""
    assert_printed(stays.yi, "-20 -2 -55 -71 -4 1 11 -10 7")
    assert_printed(stays.vi, "40.5863 2.0468 15.2809 150.2222 20.1923 1.2235 95.3756 8.0321 20.6936")


@pytest.mark.parametrize(
    ("method", "printed"),
    [
        ("EE", "-3.4939 -5.0265 -1.9613"),
        ("DL", "-14.0972 -24.4454 -3.7490"),
        ("REML", "-15.1217 -32.6716 2.4282"),
    ],
)
def test_pooled_difference_of_table_9(stays, method, printed):
    """Common-effect, DerSimonian-Laird and REML, page 352."""
    fit = bm.frequentist.pool(stays, method=method)
    assert_printed([fit.mu, *fit.ci], printed)


def test_heterogeneity_of_table_9(stays):
    """DerSimonian-Laird finds a third of the variance that REML finds."""
    found = [bm.frequentist.pool(stays, method=method).tau2 for method in ("DL", "REML")]
    assert_printed(found, "218.7216 685.1965")
