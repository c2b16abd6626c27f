"""Averages over the random effects on a grid of mu and tau."""

import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import logsumexp

from bayesmeta.engines.counts.average_laplace import convolve, mode_and_width
from bayesmeta.engines.counts.average_shared import total
from bayesmeta.engines.counts.loglik_tables import tabulate
from bayesmeta.likelihoods.baselines import hypergeometric_loglik, hypergeometric_support
from bayesmeta.model import StudyLikelihoods
from bayesmeta.priors import HalfNormal, Normal

TAUS = 10.0 ** np.arange(-9.0, 7.0)


def likelihoods(loglik, center, scale):
    return StudyLikelihoods(
        tuple(f"study {i}" for i in range(len(center))),
        loglik,
        np.asarray(center, float),
        np.asarray(scale, float),
        Normal(0.0, 1.0),
        HalfNormal(1.0),
    )


def normal_studies(y, s):
    y, s = np.asarray(y, float), np.asarray(s, float)
    return likelihoods(lambda theta: stats.norm.logpdf(y[:, None], theta, s[:, None]), y, s)


def tables(given, reach):
    ends = np.full(len(given.center), reach)
    return tabulate(given, -ends, ends)


@examples(25)
@given(
    y=st.lists(st.floats(-3.0, 3.0), min_size=1, max_size=5),
    log_s=st.lists(st.floats(-4.0, 1.0), min_size=5, max_size=5),
    tau=st.lists(st.floats(-8.0, 4.0), min_size=1, max_size=6),
    center=st.floats(-2.0, 2.0),
)
def test_a_normal_likelihood_averages_to_a_normal(y, log_s, tau, center):
    """Averaged over N(mu, tau^2), the density of y becomes N(mu, s^2 + tau^2), whatever s, tau and the distance."""
    s = np.exp(log_s[: len(y)])
    tau = np.exp(tau)
    # As far as a posterior reaches: eight standard deviations of mu given tau.
    spread = 1.0 / np.sqrt(np.sum(1.0 / (s[:, None] ** 2 + tau**2), axis=0))
    mu = center + spread[:, None] * np.linspace(-8.0, 8.0, 9)
    known = stats.norm.logpdf(np.array(y)[:, None, None], mu, np.sqrt(s[:, None, None] ** 2 + tau[:, None] ** 2)).sum(
        axis=0
    )
    found = total(tables(normal_studies(y, s), 1e4), mu, tau)
    np.testing.assert_allclose(found, known, rtol=2e-11, atol=1e-10)


@pytest.mark.parametrize(
    "table",
    [(0, 12, 4, 15), (7, 20, 0, 18), (1, 1, 0, 1), (3, 40, 2, 50), (60, 200, 90, 210)],
    ids=["no treatment events", "no control events", "two patients", "few events", "many events"],
)
def test_lopsided_likelihoods_average_as_a_dense_sum_says(table):
    """A sum over 20,000 nodes of the conditional likelihood gives the same, from a tau of 1e-4 to one of 1e6."""
    counts = [np.array([float(x)]) for x in table]
    support, weight = hypergeometric_support(*counts)

    def loglik(theta):
        return hypergeometric_loglik(counts[0], support, weight, theta)

    cells = np.array([table[0], table[1] - table[0], table[2], table[3] - table[2]]) + 0.5
    center, scale = np.log(cells[0] * cells[3] / (cells[1] * cells[2])), np.sqrt((1.0 / cells).sum())
    curves = tables(likelihoods(loglik, [center], [scale]), 1e8)
    mu, taus = np.array([-9.0, -2.0, 0.7, 5.0]), np.array([1e-4, 0.02, 0.3, 1.0, 6.0, 1e2, 1e6])
    found = total(curves, np.tile(mu, (len(taus), 1)), taus)
    for row, tau in enumerate(taus):
        for column, m in enumerate(mu):
            # Nodes that are dense about mu for a small tau, and about the likelihood for a large one.
            at = m if tau < 0.1 else center
            unit = min(tau, 0.1)
            ends = m + 40.0 * tau * np.array([-1.0, 1.0])
            u = np.linspace(*np.arcsinh((ends - at) / unit), 20_001)
            theta = at + unit * np.sinh(u)
            log = loglik(theta[None])[0] + stats.norm.logpdf(theta, m, tau) + np.log(unit * np.cosh(u) * (u[1] - u[0]))
            assert found[row, column] == pytest.approx(logsumexp(log), rel=1e-10, abs=1e-10)


def test_each_study_may_contradict_the_others_by_a_hundred_standard_errors():
    """Where the products underflow the averages are still those of the normal distribution."""
    y, s, tau = np.array([0.0, 10.0]), np.array([0.1, 0.1]), np.array([1e-3, 0.05, 1.0])
    mu = np.tile(np.linspace(-0.5, 10.5, 12), (3, 1))
    known = stats.norm.logpdf(y[:, None, None], mu, np.sqrt(s[:, None, None] ** 2 + tau[:, None] ** 2)).sum(axis=0)
    found = total(tables(normal_studies(y, s), 100.0), mu, tau)
    np.testing.assert_allclose(found, known, rtol=1e-10)


def test_rows_of_very_different_tau_do_not_disturb_each_other():
    """A grid gives the same as its rows one by one."""
    curves = tables(normal_studies([0.3, -0.2, 1.4], [0.02, 0.3, 1.5]), 1e4)
    mu = np.tile(np.linspace(-1.0, 1.0, 7), (len(TAUS), 1))
    tau = TAUS[::-1].copy()
    together = total(curves, mu, tau)
    apart = np.concatenate([total(curves, mu[i : i + 1], tau[i : i + 1]) for i in range(len(tau))])
    np.testing.assert_allclose(together, apart, rtol=1e-11)


class Gumbel:
    """The log likelihood -exp(theta): it levels off below and falls as fast as the exponential above."""

    center, scale = np.array([-1.0]), np.array([2.0])

    def derivatives(self, theta):
        return -np.exp(theta), -np.exp(theta)


@pytest.mark.parametrize("far", [-3e4, -600.0, -30.0, 30.0, 250.0])
@pytest.mark.parametrize("tau", [0.02, 0.5, 1.0, 5.0])
def test_a_mode_is_found_however_far_mu_is_from_the_study(far, tau):
    """The slope of the log integrand changes its sign within a fifth of the width that the curvature there implies."""
    mode, width = mode_and_width(Gumbel(), np.array([far]), np.array([tau]))
    assert width[0, 0] == pytest.approx(1.0 / np.sqrt(np.exp(mode[0, 0]) + tau**-2.0), rel=0.1)
    below, above = mode[0, 0] + 0.2 * width[0, 0] * np.array([-1.0, 1.0])
    slopes = [-np.exp(theta) - (theta - far) / tau**2 for theta in (below, above)]
    assert slopes[0] > 0.0 > slopes[1]


@pytest.mark.parametrize("mu", [-0.3, 1.0 / 3.0, 7e-5])
def test_a_random_effect_far_smaller_than_what_mu_rounds_to_has_its_mode_at_mu(mu):
    """The least rounding of the mode would be 1e13 of its widths."""
    mode, width = mode_and_width(Gumbel(), np.array([mu]), np.array([1e-30]))
    assert mode[0, 0] == mu
    assert width[0, 0] == pytest.approx(1e-30)


@pytest.mark.parametrize("tau", [0.1, 1.0, 3.0])
def test_a_likelihood_that_is_level_far_out_averages_to_its_level(tau):
    """A logistic curve of 10 patients is 1 far below, whatever tau: so is its average."""
    curves = tables(likelihoods(lambda theta: -10.0 * np.logaddexp(0.0, theta), [-2.0], [1.0]), 1e6)
    mu = -np.array([100.0, 592.0, 2000.0, 3e4])
    assert np.abs(total(curves, mu[None], np.array([tau]))).max() < 1e-10
    assert np.abs(convolve(curves, mu, np.full(4, tau))).max() < 1e-10
