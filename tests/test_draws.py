"""A marginal made of draws speaks the words of scipy.stats."""

import numpy as np
import pytest
from scipy import stats

from bayesmeta.errors import ModelError
from bayesmeta.events import probability
from bayesmeta.marginals import convergence
from bayesmeta.marginals.draws import DrawsMarginal
from bayesmeta.posterior import Marginal


@pytest.fixture(scope="module")
def gamma():
    """Return draws placed at a gamma distribution's quantiles, so that nothing is left to chance."""
    law = stats.gamma(2.0, scale=0.5)
    x = law.ppf((np.arange(8000) + 0.5) / 8000)
    return law, DrawsMarginal(np.random.default_rng(1).permutation(x).reshape(4, 2000), support=(0.0, np.inf))


def test_draws_are_a_marginal(gamma):
    """A DrawsMarginal is what the rest of the package calls a Marginal."""
    assert isinstance(gamma[1], Marginal)


def test_moments_and_probabilities_are_those_of_the_distribution(gamma):
    """Mean, SD, median, cdf, sf and quantiles are the distribution's, up to the grid of the draws."""
    law, marginal = gamma
    assert marginal.mean() == pytest.approx(law.mean(), rel=1e-3)
    assert marginal.sd() == pytest.approx(law.std(), rel=1e-2)
    assert marginal.median() == pytest.approx(law.median(), rel=1e-3)
    x = np.array([0.1, 1.0, 3.0])
    np.testing.assert_allclose(marginal.cdf(x), law.cdf(x), atol=2e-4)
    np.testing.assert_allclose(marginal.sf(x), law.sf(x), atol=2e-4)
    np.testing.assert_allclose(marginal.ppf([0.025, 0.5, 0.975]), law.ppf([0.025, 0.5, 0.975]), rtol=1e-2)
    assert probability(marginal, above=1.0) == pytest.approx(law.sf(1.0), abs=2e-4)


def test_cdf_and_sf_are_complementary(gamma):
    """P(x <= a) and P(x > a) sum to one, also at a draw."""
    at = gamma[1].draws.ravel()[:50]
    np.testing.assert_allclose(gamma[1].cdf(at) + gamma[1].sf(at), 1.0, rtol=1e-14)


def test_density_integrates_to_one_within_its_support(gamma):
    """The kernel density has mass one, none of it outside the support, and its peak is near the mode."""
    law, marginal = gamma
    x = np.linspace(-1.0, 8.0, 20_001)
    density = marginal.pdf(x)
    assert np.trapezoid(density, x) == pytest.approx(1.0, abs=2e-3)
    assert np.all(density[x < 0] == 0.0)
    assert marginal.mode() == pytest.approx(0.5, abs=0.1)
    np.testing.assert_allclose(marginal.pdf([0.5, 1.0]), law.pdf([0.5, 1.0]), rtol=0.05)


def test_density_does_not_fall_off_at_a_bound():
    """A half-normal's density at 0 is its peak: nothing leaks below 0."""
    law = stats.halfnorm(scale=0.5)
    draws = law.ppf((np.arange(8000) + 0.5) / 8000).reshape(4, 2000)
    marginal = DrawsMarginal(draws, support=(0.0, np.inf))
    assert marginal.pdf(0.0) == pytest.approx(law.pdf(0.0), rel=0.05)


def test_intervals_hold_what_they_say(gamma):
    """Both intervals hold 95% of the draws; the shortest is no longer than the equal-tailed one."""
    marginal = gamma[1]
    eti, hdi = marginal.eti(0.95), marginal.hdi(0.95)
    for interval in (eti, hdi):
        held = np.mean((marginal.draws >= interval.low) & (marginal.draws <= interval.high))
        assert held == pytest.approx(0.95, abs=1e-3)
        assert interval.kind == "credible"
    assert hdi.high - hdi.low <= eti.high - eti.low
    assert (eti.rule, hdi.rule) == ("eti", "hdi")


def test_errors_are_those_of_convergence(gamma):
    """mcse, ess and rhat are the functions of the convergence module, by name or by probability."""
    marginal = gamma[1]
    assert marginal.mcse() == convergence.mcse_mean(marginal.draws)
    assert marginal.mcse("sd") == convergence.mcse_sd(marginal.draws)
    assert marginal.mcse("median") == marginal.mcse(0.5) == convergence.mcse_quantile(marginal.draws, 0.5)
    assert marginal.ess() == convergence.ess_bulk(marginal.draws)
    assert marginal.ess("tail") == convergence.ess_tail(marginal.draws)
    assert marginal.ess(0.9) == convergence.ess_quantile(marginal.draws, 0.9)
    assert marginal.rhat() == convergence.rhat(marginal.draws)


def test_a_constant_can_be_summarised():
    """A quantity fixed by a point prior has an interval of no width and a mode where it is."""
    marginal = DrawsMarginal(np.full((2, 50), 0.3))
    assert marginal.eti()[0] == marginal.eti()[1] == 0.3
    assert marginal.mode() == pytest.approx(0.3)


@pytest.mark.parametrize("bad", [np.zeros(5), np.full((2, 10), np.nan), np.zeros((2, 2))])
def test_draws_that_cannot_be_used_are_refused(bad):
    """One dimension, too few draws, or draws that are not numbers are errors."""
    with pytest.raises(ModelError):
        DrawsMarginal(bad)


@pytest.mark.parametrize("call", [lambda m: m.eti(95), lambda m: m.mcse("mode"), lambda m: m.ess(1.0)])
def test_impossible_requests_are_refused(gamma, call):
    """A level of 95 and unknown figures are errors that say what is possible."""
    with pytest.raises(ModelError):
        call(gamma[1])
