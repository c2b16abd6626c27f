"""Moments of pooled effects whose own priors have heavy tails: which exist, and how large they are."""

import math

import numpy as np
import pytest
from scipy import special, stats

import bayesmeta as bm
from bayesmeta.engines.axes.tails import prior_tails
from bayesmeta.engines.counts.solve import integrate
from bayesmeta.errors import ConvergenceError
from bayesmeta.model import StudyLikelihoods
from bayesmeta.priors import parse_prior
from bayesmeta.studies import EffectSizes, TwoByTwo


def normal_fit(y, s, mu, tau):
    return bm.fit(EffectSizes(y, s, measure="OR"), priors={"mu": mu, "tau": tau}, engine="quadrature")


@pytest.mark.parametrize(
    ("k", "mu", "tau"),
    [
        (2, "cauchy(0, 1)", "uniform()"),
        (2, "student_t(1.2, 0, 1)", "uniform()"),
        (3, "cauchy(0, 1)", "uniform()"),
        (1, "cauchy(0, 1)", "half_cauchy(1)"),
        (2, "student_t(0.4, 0, 1)", "half_student_t(0.5, 1)"),
        (2, "student_t(0.3, 0, 1)", "uniform()"),
        (2, "0.5*normal(0, 1) + 0.5*cauchy(0, 1)", "uniform()"),
    ],
)
def test_a_variance_exists_where_the_density_falls_faster_than_the_third_power(k, mu, tau):
    """The slope of the density between 1e4 and 1e6 SDs of the prior tells which moments there are."""
    found = normal_fit([0.1, 0.8, 0.5][:k], [0.2, 0.5, 0.3][:k], mu, tau).mu
    near, far = found.logpdf(np.array([1e4, 1e6]))
    slope = float(near - far) / math.log(1e2)
    assert math.isinf(found.sd()) == (slope < 3.0 + 1e-3)
    assert math.isinf(found.sd()) == bool(found.notes)
    if found.notes:
        assert float(found.notes[0].split("|x|^-")[1].rstrip(".")) == pytest.approx(slope, abs=5e-3)


def test_a_variance_that_just_exists_counts_what_no_component_of_the_prior_holds():
    """With 1.2 degrees of freedom 5% of the variance lies beyond 1e9; plain sums over logs of mu and tau count it."""
    y, s = np.array([0.1, 0.8]), np.array([0.2, 0.5])
    u = np.linspace(-80.0, 80.0, 4001)
    mu, sums = np.sinh(u), np.zeros(3)
    prior = stats.t.logpdf(mu, 1.2) + np.log(np.cosh(u))
    for tau in np.exp(np.linspace(-16.0, 80.0, 2001)):
        log = stats.norm.logpdf(y[:, None], mu, np.hypot(s, tau)[:, None]).sum(axis=0)
        weight = np.exp(prior + log) * tau
        sums += [weight.sum(), weight @ mu, weight @ mu**2]
    mean, second = sums[1:] / sums[0]
    found = normal_fit(y, s, "student_t(1.2, 0, 1)", "uniform()").mu
    assert found.mean() == pytest.approx(mean, rel=1e-6)
    assert found.sd() == pytest.approx(math.sqrt(second - mean**2), rel=1e-5)


def one_sided(mu, tau, k=2):
    """Return the solution of k studies with likelihoods Phi(-theta)."""
    return integrate(
        StudyLikelihoods(
            study=tuple(f"s{i}" for i in range(k)),
            loglik=lambda theta: special.log_ndtr(-theta),
            center=np.full(k, -1.0),
            scale=np.ones(k),
            mu=parse_prior(mu),
            tau=parse_prior(tau),
        )
    )


def one_sided_moments(mu_prior, tau_prior, k=2):
    """Return mean and SD of mu from sums over asinh(mu) and log(tau): averaged likelihoods are Phi's too."""
    u, sums = np.linspace(-150.0, 150.0, 12001), np.zeros(3)
    mu = np.sinh(u)
    log_prior = parse_prior(mu_prior).logpdf(mu) + np.log(np.cosh(u))
    for tau in np.exp(np.linspace(-14.0, 3.0, 300)):
        log = log_prior + parse_prior(tau_prior).logpdf(tau) + k * special.log_ndtr(-mu / math.hypot(1.0, tau))
        weight = np.exp(log) * tau
        sums += [weight.sum(), weight @ mu, weight @ mu**2]
    mean, second = sums[1:] / sums[0]
    return mean, math.sqrt(second - mean**2)


@pytest.mark.parametrize("mu", ["student_t(2.2, 0, 1)", "student_t(5, 0, 1)"])
def test_a_tail_that_no_study_bounds_counts_beyond_the_range_of_mu(mu):
    """With 2.2 degrees of freedom 9% of the variance lies below -1e6; plain sums over 150 logs of mu count it."""
    mean, sd = one_sided_moments(mu, "half_normal(0.5)")
    found = one_sided(mu, "half_normal(0.5)").mu()
    assert found.mean() == pytest.approx(mean, rel=1e-6)
    assert found.sd() == pytest.approx(sd, rel=1e-7)
    assert not found.notes


@pytest.mark.parametrize("mu_prior", ["student_t(2.2, 0, 1)", "student_t(5, 0, 1)"])
def test_a_true_effect_that_its_study_does_not_bound_counts_beyond_its_grid(mu_prior):
    """Given mu and tau a true effect with likelihood Phi(-theta) is skew-normal: its moments are slopes of Phi."""
    u, sums = np.linspace(-170.0, 170.0, 12001), np.zeros(3)
    mu = np.sinh(u)
    log_prior = parse_prior(mu_prior).logpdf(mu) + np.log(np.cosh(u))
    for tau in np.exp(np.linspace(-18.0, 3.0, 370)):
        unit = math.hypot(1.0, tau)
        z = -mu / unit
        weight = np.exp(log_prior + stats.halfnorm.logpdf(tau, scale=0.5) + 2.0 * special.log_ndtr(z)) * tau
        ratio = np.exp(np.where(weight > 0.0, stats.norm.logpdf(z) - special.log_ndtr(z), 0.0))
        first = mu - tau**2 * ratio / unit
        second = mu**2 + tau**2 - 2.0 * mu * tau**2 * ratio / unit - tau**4 * ratio * z / unit**2
        sums += [weight.sum(), weight @ first, weight @ second]
    mean, square = sums[1:] / sums[0]
    found = one_sided(mu_prior, "half_normal(0.5)").true_effect(0)
    assert found.mean() == pytest.approx(mean, abs=5e-9)
    assert found.sd() == pytest.approx(math.sqrt(square - mean**2), rel=2e-6)


def test_a_cauchy_prior_that_no_study_bounds_below_leaves_no_mean():
    """The density times mu^2 tends to a constant far below and to nothing above; effects inherit that."""
    solution = one_sided("truncated(cauchy(0, 1), -inf, 2)", "half_normal(0.5)")
    found = solution.mu()
    scaled = found.pdf(np.array([-1e4, -1e5])) * np.array([1e8, 1e10])
    assert scaled[0] == pytest.approx(scaled[1], rel=1e-3)
    for quantity in (found, solution.theta_new(), solution.true_effect(0)):
        assert quantity.mean() == -math.inf
        assert quantity.sd() == math.inf
        assert "far below" in quantity.notes[0]
    assert math.isfinite(found.ppf(0.5))


@pytest.mark.parametrize(
    ("prior", "expected"),
    [
        ("cauchy(1, 2)", (2.0, 2.0)),
        ("student_t(4, 0, 1)", (5.0, 5.0)),
        ("normal(0, 1)", (math.inf, math.inf)),
        ("truncated(cauchy(0, 1), -2, inf)", (math.inf, 2.0)),
        ("0.9*student_t(3, 0, 1) + 0.1*truncated(cauchy(0, 1), -inf, 0)", (2.0, 4.0)),
        (stats.skewcauchy(0.5), (2.0, 2.0)),
        (stats.gumbel_r(0.0, 1.0), (math.inf, math.inf)),
        (stats.johnsonsu(0.0, 1.0), (math.inf, math.inf)),
        (stats.crystalball(2.0, 3.0), (3.0, math.inf)),
    ],
)
def test_tails_of_priors(prior, expected):
    """Each side has the exponent of its own density."""
    assert tuple(prior_tails(parse_prior(prior))) == pytest.approx(expected, abs=1e-2)


@pytest.mark.parametrize("tau", ["half_normal(0.5)", "half_cauchy(1)", "uniform(0, 2)"])
def test_the_density_of_tau_at_its_ends_is_the_limit(tau):
    """The exact engine's density of tau at 0 is that of the normal one; tau squared has none there, but a limit."""
    y, s = np.array([0.1, 0.8, 0.3]), np.array([0.2, 0.5, 0.4])
    studies = StudyLikelihoods(
        study=("a", "b", "c"),
        loglik=lambda theta: stats.norm.logpdf(y[:, None], theta, s[:, None]),
        center=y,
        scale=s,
        mu=parse_prior("normal(0, 1)"),
        tau=parse_prior(tau),
    )
    found, normal = integrate(studies), normal_fit(y, s, "normal(0, 1)", tau)
    ends = [0.0] if "uniform" not in tau else [0.0, 2.0]
    assert found.tau().pdf(np.array(ends)) == pytest.approx(normal.tau.pdf(np.array(ends)), rel=1e-8)
    assert found.tau2().pdf(0.0) == math.inf
    assert found.tau2().pdf(1e-40) == pytest.approx(0.5e20 * found.tau().pdf(0.0), rel=1e-8)


def three_counts(mu):
    data = TwoByTwo([1, 2, 4], [10, 20, 40], [3, 2, 9], [12, 22, 41], study=("a", "b", "c"))
    return bm.fit(data, "binomial_normal", priors={"mu": mu, "tau": "half_normal(0.5)"}, engine="quadrature")


@pytest.mark.parametrize("mu", [stats.gumbel_r(0.0, 1.0), stats.johnsonsu(0.0, 1.0), stats.hypsecant(0.0, 0.7)])
def test_priors_of_mu_from_scipy_reweigh_the_posterior_under_a_normal_one(mu):
    """The posterior is that under normal(0, 2) times the ratio of the priors, on a fine grid of mu."""
    found, normal = three_counts(mu).mu, three_counts("normal(0, 2)").mu
    grid = np.arange(-8.0, 8.0, 1e-3)
    weight = normal.pdf(grid) * np.exp(mu.logpdf(grid) - stats.norm.logpdf(grid, 0.0, 2.0))
    mean = weight @ grid / weight.sum()
    assert found.mean() == pytest.approx(mean, rel=1e-7)
    assert found.sd() == pytest.approx(math.sqrt(weight @ (grid - mean) ** 2 / weight.sum()), rel=1e-7)


def test_a_prior_with_a_kink_that_is_not_known_is_named():
    """Another package's density does not say where it is not smooth: the message names the prior, not a study."""
    with pytest.raises(ConvergenceError, match=r"scipy:laplace\(0, 1\) of mu.*kink"):
        three_counts(stats.laplace(0.0, 1.0))


@pytest.mark.parametrize("wrong", [1e-5, 300.0])
def test_a_true_effect_that_does_not_add_up_is_refused(monkeypatch, wrong):
    """A likelihood divided out that is not the one averaged in would move all of a study's effect elsewhere."""
    from dataclasses import dataclass

    from bayesmeta.engines.counts import solution

    one_study = solution.one_study

    @dataclass
    class Off:
        right: object

        def grid(self, mu, tau):
            return self.right.grid(mu, tau) - wrong * (mu < -1.0)

    table = TwoByTwo([3, 5, 2], [30, 40, 25], [8, 9, 6], [30, 40, 25])
    assert math.isfinite(bm.fit(table, "binomial_normal").theta["Study 1"].mean())
    monkeypatch.setattr(solution, "one_study", lambda averages, i: Off(one_study(averages, i)))
    with pytest.raises(ConvergenceError, match="does not add up to 1"):
        bm.fit(table, "binomial_normal").theta["Study 1"].mean()


def test_true_effects_are_answered_where_mu_has_no_mean():
    """An unbounded uniform prior of tau leaves mu a tail of 1 / x^2, which studies that bound their own do not share.

    With tau below 1e9 in place of everywhere the answer is the same to nine digits.
    """
    table = TwoByTwo([3, 2, 7], [50, 20, 60], [8, 5, 9], [40, 20, 50])
    found, bounded = (
        bm.fit(table, "hypergeometric_normal", priors={"mu": "flat()", "tau": tau})
        for tau in ("uniform()", "uniform(0, 1e9)")
    )
    assert math.isinf(found.mu.sd())
    for study, effect in found.theta.items():
        known = bounded.theta[study]
        assert effect.cdf(known.ppf([0.025, 0.5, 0.975])) == pytest.approx([0.025, 0.5, 0.975], abs=1e-9)
        assert effect.sd() == pytest.approx(known.sd(), rel=1e-8)
