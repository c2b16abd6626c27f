"""Berkey et al. 1995, Stat Med 14:395-411: BCG and latitude by empirical Bayes, page 408."""

import numpy as np
import pytest
from as_printed import assert_printed, columns

import bayesmeta as bm


@pytest.fixture(scope="module")
def effects():
    """Return log risk ratios with the paper's smoothed variances, and latitude about its mean of 33.46 degrees."""
    c = columns("bcg_vaccine")
    a, n1, b, n2 = (c[name] for name in ("events_treatment", "n_treatment", "events_control", "n_control"))
    yi = np.log(a / n1) - np.log(b / n2)
    vi = ((n1 - a) / a).sum() / (13 * n1) + ((n2 - b) / b).sum() / (13 * n2)
    X = np.column_stack([np.ones(13), c["abs_latitude"] - 33.46])
    return bm.EffectSizes(yi, vi=vi, measure="RR"), bm.EffectSizes(
        yi, vi=vi, measure="RR", X=X, terms=("intercept", "latitude")
    )


def test_without_moderators(effects):
    """Pooled log risk ratio, standard error and tau2."""
    fit = bm.frequentist.pool(effects[0], method="EB")
    assert_printed([fit.mu, fit.se, fit.tau2], "-0.5429 0.1842 0.2682")


def test_with_latitude(effects):
    """Coefficients, standard errors, tau2, and the risk ratios predicted at 33.46 and 42 degrees."""
    fit = bm.frequentist.regress(effects[1], method="EB")
    assert_printed(fit.beta, "-0.6303 -0.0268")
    assert_printed(fit.beta_se, "0.1591 0.0110")
    assert_printed(fit.tau2, "0.1572")
    assert_printed(np.exp(fit.predict([[0.0], [42 - 33.46]]).estimate), "0.5324 0.4236")


def test_with_latitude_and_no_other_heterogeneity(effects):
    """The fixed-effects regression and its predictions."""
    fit = bm.frequentist.regress(effects[1], method="FE")
    intercept, slope = fit.beta
    assert_printed([intercept, slope], "-0.5949 -0.0282")
    assert_printed(np.exp([intercept, intercept + slope * (42 - 33.46)]), "0.5516 0.4336")
