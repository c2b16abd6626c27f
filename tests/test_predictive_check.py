"""A study is where the others predict it, or the check says that it is not."""

import numpy as np
import pytest
from scipy.stats import norm

import bayesmeta as bm
from bayesmeta.evidence.predictive_check import predictive_check
from bayesmeta.marginals.noisy import with_error
from bayesmeta.studies import EffectSizes, TwoByTwo

EFFECTS = EffectSizes([0.3, 0.1, 0.5, 0.2, 3.0], [0.2, 0.25, 0.3, 0.2, 0.2], measure="OR")


def test_a_study_far_from_the_others_is_found():
    """The outlying study alone lies outside its predicted interval, with the smallest probability."""
    checks = predictive_check(bm.fit(EFFECTS, priors={"tau": "half_normal(0.3)"}, engine="quadrature"))
    outside = [c.study for c in checks if c.observed not in c.predicted]
    assert outside == ["Study 5"]
    assert min(checks, key=lambda c: c.p).study == "Study 5"


def test_a_prediction_is_that_of_a_simulated_study():
    """The predictive cdf is the share of simulated studies below, within four Monte Carlo standard errors."""
    posterior = bm.fit(EFFECTS, engine="quadrature")
    rng = np.random.default_rng(1)
    n = 8_000
    theta = posterior.theta_new.ppf((np.arange(n) + 0.5) / n)
    simulated = theta + 0.4 * rng.standard_normal(n)
    prediction = with_error(posterior.theta_new, 0.4)
    for x in (-0.5, 0.6, 2.0):
        p = float(prediction.cdf(x))
        assert np.mean(simulated <= x) == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / n))


def test_without_heterogeneity_the_prediction_is_a_normal_distribution():
    """With tau nearly 0 and a flat mu, study i is predicted by N(mean of the others, its variance plus theirs)."""
    posterior = bm.fit(EFFECTS, priors={"mu": "flat()", "tau": "half_normal(1e-7)"}, engine="quadrature")
    w = 1 / EFFECTS.vi[1:]
    expected = norm(np.average(EFFECTS.yi[1:], weights=w), np.sqrt(1 / w.sum() + EFFECTS.vi[0]))
    check = predictive_check(posterior)[0]
    assert tuple(check.predicted) == pytest.approx(expected.interval(0.95), abs=1e-6)
    assert check.p == pytest.approx(2 * min(expected.cdf(0.3), expected.sf(0.3)), rel=1e-6)


@pytest.mark.parametrize("se", [0.6, 0.01, 1e-5])
def test_a_common_effect_predicts_a_normal_however_precise_the_study(se):
    """The estimate is N(mean of the others, both variances together), whichever of the two is much the larger."""
    effects = EffectSizes([0.5, 0.0, 0.02, -0.01], [se, 0.01, 0.012, 0.011], measure="OR")
    check = predictive_check(bm.fit(effects, "common_effect", priors={"mu": "normal(0, 1)"}))[0]
    w = 1.0 / effects.vi[1:]
    precision = w.sum() + 1.0
    expected = norm(float(w @ effects.yi[1:]) / precision, np.sqrt(1.0 / precision + se**2))
    assert tuple(check.predicted) == pytest.approx(expected.interval(0.95), abs=1e-9)
    assert check.p == pytest.approx(2 * expected.sf(0.5), rel=1e-6)


def test_a_prediction_known_on_a_grid_is_checked_like_a_mixture():
    """Under a logistic prior of mu, flat where the data are, the check is that under a wide normal one."""
    effects = EffectSizes([0.5, 0.0, 0.02, -0.01], [0.6, 0.01, 0.012, 0.011], measure="OR")
    tau = {"tau": "half_normal(0.01)"}
    closed = predictive_check(bm.fit(effects, priors={"mu": "normal(0, 1.7)", **tau}))
    grid = predictive_check(bm.fit(effects, priors={"mu": "logistic(0, 1)", **tau}))
    assert grid[0].p == pytest.approx(closed[0].p, abs=1e-6)
    assert tuple(grid[0].predicted) == pytest.approx(tuple(closed[0].predicted), abs=1e-5)


def test_one_study_and_counts_have_no_check():
    """A single study has no others, and models on counts predict counts, not effects."""
    assert predictive_check(bm.fit(EffectSizes([0.1], [0.2], measure="OR"), engine="quadrature")) == ()
    counts = TwoByTwo([3, 4], [20, 30], [7, 9], [21, 33])
    assert predictive_check(bm.fit(counts, "binomial_normal", engine="quadrature")) == ()
