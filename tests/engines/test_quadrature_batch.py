"""Many analyses at once: the batch against the engine for one, which uses another rule."""

import math

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.errors import DataError, ModelError

PRIORS = [
    ("normal(0, 2.82)", "half_normal(0.5)"),
    ("flat()", "half_cauchy(0.5)"),
    ("normal(0, 1)", "uniform(0, 4)"),
    ("normal(0, 1)", "log_normal(-1.97, 0.67)"),
    ("flat()", "uniform(0, inf)"),
    ("normal(0, 1)", "gamma(0.5, 1)"),
    ("normal(0, 1)", "inverse_gamma(1.36, 0.21)"),
    ("normal(5, 0.1)", "half_normal(1e-4)"),
    ("normal(0, 2)", "exponential(2)"),
    ("cauchy(0, 1)", "half_normal(0.5)"),
    ("flat()", "half_student_t(0.1, 0.5)"),
    ("flat()", "0.5*half_normal(0.1) + 0.5*half_normal(1)"),
    ("normal(0, 1)", "point(0)"),
]


def random_effects(rng, k):
    sei = np.exp(rng.normal(-1, 0.7, k))
    return bm.EffectSizes(yi=rng.normal(size=k) * np.sqrt(sei**2 + 0.2 * rng.random()) + rng.normal(), sei=sei)


def test_the_batch_agrees_with_single_fits():
    """Moments, quantiles, probabilities and evidence agree to 1e-8 for priors of every kind and 3 to 40 studies."""
    rng = np.random.default_rng(6)
    sets = [random_effects(rng, int(k)) for k in rng.integers(3, 40, 36)]
    priors = [dict(zip(("mu", "tau"), PRIORS[i % len(PRIORS)], strict=True)) for i in range(36)]
    many = bm.fit_many(sets, priors=priors, above=[0.3], tau_above=[0.2])
    for i, (data, prior) in enumerate(zip(sets, priors, strict=True)):
        post, row = bm.fit(data, priors=prior, engine="quadrature"), many.isel(analysis=i)
        width = post.mu.eti().high - post.mu.eti().low
        q = many["quantile"].values
        assert np.allclose(row.mu_quantile, post.mu.ppf(q), rtol=0, atol=1e-8 * width)
        assert np.allclose(row.theta_new_quantile, post.theta_new.ppf(q), rtol=0, atol=1e-8 * width)
        assert float(row.mu_mean) == pytest.approx(post.mu.mean(), abs=1e-9 * width)
        assert float(row.mu_sd) == pytest.approx(post.mu.sd(), rel=1e-9)
        assert float(row.mu_above[0]) == pytest.approx(float(post.mu.sf(0.3)), abs=1e-10)
        assert float(row.theta_new_above[0]) == pytest.approx(float(post.theta_new.sf(0.3)), abs=1e-10)
        assert float(row.theta_new_sd) == pytest.approx(post.theta_new.sd(), rel=1e-9)
        evidence = math.nan if post.log_evidence is None else post.log_evidence
        assert float(row.log_evidence) == pytest.approx(evidence, abs=1e-9, nan_ok=True)
        if "tau" in post.marginals:
            assert np.allclose(row.tau_quantile, post.tau.ppf(q), rtol=0, atol=1e-8 * post.tau.ppf(0.975))
            assert float(row.tau_exceeds[0]) == pytest.approx(float(post.tau.sf(0.2)), abs=1e-9)
            assert float(row.tau_mean) == pytest.approx(post.tau.mean(), rel=1e-9)
            assert float(row.tau_sd) == pytest.approx(post.tau.sd(), rel=1e-9)
    assert float(many.error_estimate.max()) <= 1e-9


def test_arrays_with_gaps_are_data_sets_of_different_sizes():
    """Rows of an array are data sets; nan marks the end of shorter ones."""
    yi = np.array([[0.1, 0.5, -0.2], [0.3, 0.2, np.nan]])
    sei = np.array([[0.2, 0.3, 0.4], [0.2, 0.25, np.nan]])
    many = bm.fit_many((yi, sei), priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"})
    second = bm.fit(
        bm.EffectSizes(yi=yi[1, :2], sei=sei[1, :2]), priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"}
    )
    assert float(many.mu_mean[1]) == pytest.approx(second.mu.mean(), abs=1e-10)


def test_one_data_set_with_many_priors():
    """A grid of priors over one data set gives one analysis each, in the order given."""
    data = random_effects(np.random.default_rng(1), 5)
    scales = [0.1, 0.5, 2.0]
    many = bm.fit_many(data, priors=[{"mu": "normal(0, 2)", "tau": f"half_normal({s})"} for s in scales])
    assert many.sizes["analysis"] == 3
    assert np.all(np.diff(many.tau_mean) > 0)


def test_unequal_numbers_are_refused():
    """Two data sets and three sets of priors do not match."""
    data = random_effects(np.random.default_rng(1), 4)
    with pytest.raises(bm.DataError, match="2 data sets and 3 sets of priors"):
        bm.fit_many([data, data], priors=[{}, {}, {}])


def test_an_improper_analysis_is_refused():
    """An analysis without a proper posterior stops the batch with the condition, never as nan."""
    data = random_effects(np.random.default_rng(1), 2)
    with pytest.raises(bm.ModelError, match="k >= 3"):
        bm.fit_many([data], priors={"mu": "flat()", "tau": "uniform(0, inf)"})


def test_models_without_a_closed_form_are_refused():
    """A binomial model cannot be batched; the error says what to use."""
    with pytest.raises(bm.ModelError, match="cannot be batched"):
        bm.fit_many([], "binomial_normal")


def test_thresholds_of_their_own():
    """Every analysis may have its own thresholds: exceeding one's own median has probability one half."""
    rng = np.random.default_rng(9)
    sets = [random_effects(rng, 5) for _ in range(6)]
    first = bm.fit_many(sets, priors=dict(zip(("mu", "tau"), PRIORS[0], strict=True)))
    medians = [first[f"{name}_quantile"].values[:, 1:2] for name in ("mu", "tau")]
    again = bm.fit_many(
        sets, priors=dict(zip(("mu", "tau"), PRIORS[0], strict=True)), above=medians[0], tau_above=medians[1]
    )
    assert np.allclose(again.mu_above, 0.5, atol=1e-9)
    assert np.allclose(again.tau_exceeds, 0.5, atol=1e-9)


@pytest.mark.parametrize("tau", ["jeffreys()", "overall_jeffreys()", "berger_deely()", "conventional()", "dumouchel()"])
def test_data_dependent_priors_are_those_of_each_data_set(tau):
    """Priors that read alike, and depend on standard errors, are not taken from the first analysis for the others."""
    sets = [bm.EffectSizes([0.1, 0.8, 0.3], sei) for sei in ([0.2, 0.5, 0.3], [1.2, 0.1, 0.3])]
    priors = {"mu": "flat()", "tau": tau}
    for order in (sets, sets[::-1]):
        found = bm.fit_many(order, priors=priors)
        for i, data in enumerate(order):
            post = bm.fit(data, priors=priors)
            assert float(found.tau_quantile[i, 1]) == pytest.approx(post.tau.median(), rel=1e-8)
            assert found.mu_quantile[i].values == pytest.approx(post.mu.ppf([0.025, 0.5, 0.975]), rel=1e-8)


@pytest.mark.parametrize("tau", ["tau2~inverse_gamma(0.001, 0.001)", "tau2~inverse_gamma(0.2, 0.3)", "lomax(0.3, 1)"])
def test_means_that_barely_exist_are_those_of_single_fits(tau):
    """The mean of tau where its tail falls just faster than tau^-2."""
    data, priors = bm.EffectSizes([0.7], [0.3]), {"mu": "normal(0, 1)", "tau": tau}
    found, post = bm.fit_many([data], priors=priors), bm.fit(data, priors=priors)
    assert float(found.tau_mean[0]) == pytest.approx(post.tau.mean(), rel=1e-8)


@pytest.mark.parametrize(
    ("asked", "message"),
    [({"quantiles": [0.0, 0.5]}, "quantiles="), ({"quantiles": [97.5]}, "quantiles="), ({"above": [np.nan]}, "above")],
)
def test_what_is_no_probability_or_no_number_is_refused(asked, message):
    """The quantile at 1 of a batch was 3.5, of a tau that has no end."""
    with pytest.raises((ModelError, DataError), match=message):
        bm.fit_many(bm.EffectSizes([0.1, 0.4, 0.2], [0.2, 0.3, 0.1], measure="OR"), **asked)
