"""DerSimonian & Kacker 2007, Contemp Clin Trials 28:105-114: the CLASP trial by country, Tables 3 and 4."""

import numpy as np
import pytest
from as_printed import assert_printed

import bayesmeta as bm

EVENTS = np.array([[5, 5, 12, 69, 9, 313], [8, 17, 9, 94, 11, 352]])
N = np.array([[156, 303, 565, 1570, 103, 4659], [74, 303, 477, 1565, 105, 4650]])
# Method: tau, pooled log odds ratio and its standard error.
TABLES = {
    "PM": "0.3681 -0.3811 0.2060",
    "HE": "0.4410 -0.4035 0.2327",
    "DL": "0.2323 -0.3240 0.1540",
    "EB": "0.3681 -0.3811 0.2060",
    "REML": "0.1843 -0.2980 0.1343",
    "HS": "0.1330 -0.2666 0.1125",
    "SJ": "0.4572 -0.4079 0.2386",
}


@pytest.fixture(scope="module")
def effects():
    """Return the log odds ratios of pre-eclampsia under aspirin."""
    return bm.effect_sizes(bm.TwoByTwo(EVENTS[0], N[0], EVENTS[1], N[1]), "OR")


@pytest.mark.parametrize("method", TABLES)
def test_a_row_of_the_tables(effects, method):
    """Heterogeneity, pooled log odds ratio and standard error of one estimator (the paper's CA is HE)."""
    fit = bm.frequentist.pool(effects, method=method)
    assert_printed([fit.tau, fit.mu, fit.se], TABLES[method])


def test_maximum_likelihood(effects):
    """The likelihood is highest without heterogeneity; a search that stops early says tau = 0.0023."""
    fit = bm.frequentist.pool(effects, method="ML")
    assert fit.tau == 0.0
    assert_printed([fit.mu, fit.se], "-0.197 0.069")


@pytest.mark.parametrize(
    ("start", "printed"), [("HE", "0.3831 -0.3861 0.2115"), ("DL", "0.3254 -0.3655 0.1901")], ids=["CA2", "DL2"]
)
def test_two_steps_with_the_weights_of_the_first(effects, start, printed):
    """The two-step estimators CA2 and DL2 are moments with weights of the first step, pooled with the second's."""
    first = bm.frequentist.pool(effects, method=start).tau2
    tau2 = bm.frequentist.pool(effects, method="GENQ", weights=1 / (effects.vi + first)).tau2
    weights = 1 / (effects.vi + tau2)
    mu = float(weights @ effects.yi / weights.sum())
    assert_printed([np.sqrt(tau2), mu, weights.sum() ** -0.5], printed)
    given = bm.fit(effects, priors={"mu": "flat()", "tau": f"point({float(np.sqrt(tau2))!r})"}).mu
    assert_printed([given.mean(), given.sd()], " ".join(printed.split()[1:]))
