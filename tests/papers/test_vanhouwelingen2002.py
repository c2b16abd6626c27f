"""Van Houwelingen, Arends & Stijnen 2002, Stat Med 21:589-624: BCG by log odds ratios, pages 596 to 609."""

import numpy as np
import pytest
from as_printed import DATA, assert_printed, columns

import bayesmeta as bm


@pytest.fixture(scope="module")
def effects():
    """Return the log odds ratios of tuberculosis."""
    return bm.effect_sizes(bm.read_studies(DATA / "bcg_vaccine.csv"), "OR")


def test_the_common_effect(effects):
    """Pooled odds ratio and interval, page 596."""
    fit = bm.frequentist.pool(effects, method="EE")
    assert_printed(np.exp([fit.mu, *fit.ci]), "0.6465 0.5951 0.7024")


def test_random_effects_by_maximum_likelihood(effects):
    """Odds ratio, interval, tau2 and the interval that its profile likelihood gives, page 597."""
    fit = bm.frequentist.pool(effects, method="ML")
    assert_printed(np.exp([fit.mu, *fit.ci]), "0.4762 0.3360 0.6749")
    assert_printed(fit.tau2, "0.3025")
    assert_printed(list(bm.frequentist.tau2_interval(effects, method="profile_ml")), "0.1151 0.8937")


def test_the_range_of_true_effects(effects):
    """Log odds ratios of 95% of studies, given the estimates, page 599."""
    fit = bm.frequentist.pool(effects, method="ML")
    z = 1.959963984540054
    assert_printed([fit.mu - z * fit.tau, fit.mu + z * fit.tau], "-1.820 0.336")


def test_latitude(effects):
    """Coefficients, standard errors and what is left of tau2, pages 608-609."""
    fit = bm.frequentist.regress(effects, {"latitude": columns("bcg_vaccine")["abs_latitude"]}, method="ML")
    assert_printed(fit.beta, "0.371 -0.0327")
    assert_printed(fit.beta_se, "0.106 0.0034")
    assert_printed(fit.tau2, "0.0040")
