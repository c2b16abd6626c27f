"""Moments of exact likelihoods where the posterior of tau, or the random effects, have heavy tails."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import special, stats
from scipy.integrate import quad

import bayesmeta as bm
from bayesmeta.engines.counts.random_effect_density import Kernel
from bayesmeta.engines.counts.solve import integrate
from bayesmeta.errors import ConvergenceError
from bayesmeta.model import StudyLikelihoods
from bayesmeta.priors import parse_prior
from bayesmeta.studies import EffectSizes, TwoByTwo


def given(y, s, mu, tau, one_sided=0):
    """Return normal studies, and last so many that only say that their effect is hardly positive."""
    y, s = np.array(y, dtype=float), np.array(s, dtype=float)
    k = len(y)

    def loglik(theta):
        return np.concatenate([stats.norm.logpdf(y[:, None], theta[:k], s[:, None]), special.log_ndtr(-theta[k:])])

    return StudyLikelihoods(
        study=tuple(f"s{i}" for i in range(k + one_sided)),
        loglik=loglik,
        center=np.concatenate([y, np.full(one_sided, -1.0)]),
        scale=np.concatenate([s, np.ones(one_sided)]),
        mu=parse_prior(mu),
        tau=parse_prior(tau),
    )


def one_sided_moments(y, s, tau_prior):
    """Return mean and SD of the effect of a study with likelihood Phi(-theta), from sums over log tau and mu.

    Given mu and tau it is skew-normal. The prior of mu is normal(0, 2).
    """
    y, s, prior = np.array(y), np.array(s), parse_prior(tau_prior)
    mu = np.linspace(-30.0, 30.0, 3001)
    log_tau = np.linspace(-14.0, 26.0, 4001)
    sums = np.zeros(3)
    for t, log_weight in zip(np.exp(log_tau), prior.logpdf(np.exp(log_tau)) + log_tau, strict=True):
        a = mu / math.hypot(1.0, t)
        log = log_weight + stats.norm.logpdf(mu, 0.0, 2.0) + special.log_ndtr(-a)
        log = log + stats.norm.logpdf(y[:, None], mu, np.hypot(s, t)[:, None]).sum(axis=0)
        mills, shrunk = np.exp(stats.norm.logpdf(a) - special.log_ndtr(-a)), t * t / math.hypot(1.0, t)
        mean = mu - shrunk * mills
        weight = np.exp(log)
        sums += [weight.sum(), weight @ mean, weight @ (t * t - shrunk**2 * mills * (mills - a) + mean**2)]
    mean, second = sums[1:] / sums[0]
    return mean, math.sqrt(second - mean**2)


def test_the_effect_of_a_study_that_bounds_it_on_one_side_has_moments_of_its_own():
    """Mean and SD under a half-Cauchy prior, whose tail lies beyond any grid, agree with plain sums."""
    y, s = [0.3, 0.6, -0.2], [0.3, 0.4, 0.5]
    solution = integrate(given(y, s, "normal(0, 2)", "half_cauchy(1)", one_sided=1))
    mean, sd = one_sided_moments(y, s, "half_cauchy(1)")
    effect = solution.true_effect(3)
    assert effect.mean() == pytest.approx(mean, abs=1e-6)
    assert effect.sd() == pytest.approx(sd, rel=1e-6)
    assert solution.theta_new().sd() > 1.03 * sd


def test_a_mean_that_just_exists_counts_its_tail():
    """E(theta) of one study that bounds its effect from above agrees with a plain sum over 150 logs of tau, to 1e-4."""
    prior = parse_prior("half_student_t(1.2, 1)")
    effect = integrate(given([], [], "normal(0, 2)", "half_student_t(1.2, 1)", one_sided=1)).true_effect(0)
    t = np.exp(np.linspace(-16.0, 140.0, 40_001))
    # With tau, theta is normal(0, 4 + tau^2) and its likelihood Phi(-theta): a skew-normal distribution.
    spread = np.sqrt(4.0 + t * t)
    weight = np.exp(prior.logpdf(t)) * t
    mean = -spread * spread / np.sqrt(1.0 + spread * spread) * math.sqrt(2.0 / math.pi)
    assert effect.mean() == pytest.approx(weight @ mean / weight.sum(), rel=1e-4)
    assert math.isinf(effect.sd())


@pytest.mark.parametrize("scale", [0.7, 2.5])
def test_a_cauchy_prior_that_nothing_bounds_below(scale):
    """Two studies that only bound the effect from above leave mu the prior's tail, out to where tau is no distance."""
    mu = integrate(given([], [], f"cauchy(0, {scale})", "half_normal(0.5)", one_sided=2)).mu()
    t, weight = special.roots_legendre(60)
    t, weight = 2.25 * (1.0 + t), weight * stats.halfnorm(scale=0.5).pdf(2.25 * (1.0 + t))

    def density(v):
        # With theta ~ N(mu, tau^2) the mean of Phi(-theta) is Phi(-mu / sqrt(1 + tau^2)).
        likelihood = np.exp(2.0 * special.log_ndtr(-math.sinh(v) / np.hypot(1.0, t)))
        return float(weight @ likelihood) * stats.cauchy.pdf(math.sinh(v), 0.0, scale) * math.cosh(v)

    cuts = (-1e6, -50.0, -2.0, 0.3)
    ends = np.arcsinh([-1e13, *cuts, 30.0])
    parts = [quad(density, a, b, epsabs=0.0, epsrel=1e-11, limit=200)[0] for a, b in pairwise(ends)]
    below = np.cumsum(parts)[:-1] / sum(parts)
    assert mu.cdf(np.array(cuts)) == pytest.approx(below, abs=1e-9)


def test_a_prior_cut_far_out_hardly_moves_the_effect_of_a_study_without_events():
    """With the prior cut at 1000 nothing has a heavy tail; SDs hardly differ from those with it."""
    data = TwoByTwo(
        [12, 8, 15, 0], [100, 80, 120, 300], [10, 9, 12, 1], [100, 80, 120, 300], study=("a", "b", "c", "z")
    )
    whole, cut = (
        bm.fit(data, "binomial_normal", priors={"mu": "normal(0, 0.2)", "tau": tau}, engine="quadrature")
        for tau in ("half_cauchy(1)", "truncated(half_cauchy(1), 0, 1000)")
    )
    for name in ("z", "a"):
        assert whole.theta[name].sd() == pytest.approx(cut.theta[name].sd(), rel=2e-6)
        assert whole.theta[name].mean() == pytest.approx(cut.theta[name].mean(), abs=1e-6)


@pytest.mark.parametrize(
    "tau", ["half_student_t(0.02, 1)", "half_student_t(0.3, 1)", "log_student_t(0.5, 0, 1)", "log_student_t(1, 0, 3)"]
)
def test_a_mean_of_tau_that_just_exists_is_that_of_the_normal_engine(tau):
    """What lies between the bulk of tau and its farthest panels is not left out of its mean."""
    exact = integrate(given([0.3], [0.3], "normal(0, 2)", tau)).tau()
    normal = bm.fit(EffectSizes([0.3], [0.3]), priors={"mu": "normal(0, 2)", "tau": tau}, engine="quadrature").tau
    assert exact.mean() == pytest.approx(normal.mean(), rel=1e-8)
    assert exact.infinite_sd
    assert normal.infinite_sd


@pytest.mark.parametrize("tau", ["half_normal(0.5)", "half_cauchy(0.5)"])
@pytest.mark.parametrize("df", [2.5, 4.0, 30.0])
def test_the_variance_of_a_new_effect_adds_that_of_the_t_distribution(df, tau):
    """Var(theta_new) = Var(mu) + E(tau^2) df / (df - 2), though its tail lies beyond any grid."""
    y, s = [0.3, 0.6, -0.2, 0.1, 0.5], [0.3, 0.4, 0.5, 0.3, 0.2]
    studies = given(y, s, "normal(0, 2)", tau)
    solution = integrate(replace(studies, random_effects="t", df=df, normal=(np.array(y), np.array(s))))
    expected = solution.mu().sd() ** 2 + solution.tau2().mean() * df / (df - 2.0)
    assert solution.theta_new().sd() ** 2 == pytest.approx(expected, rel=1e-8)


def test_random_effects_without_a_variance_leave_a_new_effect_without_one():
    """With two degrees of freedom the variance of a new study's effect is infinite, and a note says why."""
    y, s = [0.3, 0.6, -0.2], [0.3, 0.4, 0.5]
    studies = given(y, s, "normal(0, 2)", "half_normal(0.5)")
    new = integrate(replace(studies, random_effects="t", df=2.0, normal=(np.array(y), np.array(s)))).theta_new()
    assert math.isinf(new.sd())
    assert math.isfinite(new.mean())
    assert "2 degrees of freedom" in " ".join(new.notes)


def outlier_moments(y, s):
    """Return mean and SD of the last study's effect among Cauchy random effects, by plain sums over mu, tau and theta.

    The others' averaged likelihoods are Voigt profiles; the priors are normal(0, 2.82) and half_normal(0.5).
    """
    node, weight = special.roots_legendre(100)
    root = 0.85 * (node + 1.0)
    tau, weight = root**2, weight * root
    mu, theta = np.arange(-3.0, 8.0, 0.008), y[-1] + s[-1] * np.linspace(-9.0, 9.0, 241)
    log = stats.norm.logpdf(mu, 0.0, 2.82) + stats.halfnorm.logpdf(tau, scale=0.5)[:, None]
    for estimate, error in zip(y[:-1], s[:-1], strict=True):
        log = log + np.log(special.voigt_profile(estimate - mu, error, tau[:, None]))
    others = weight[:, None] * np.exp(log - log.max())
    mass = sum(stats.cauchy.pdf(theta[:, None], mu, t) @ row for t, row in zip(tau, others, strict=True))
    mass *= stats.norm.pdf(theta, y[-1], s[-1])
    mass /= mass.sum()
    return mass @ theta, math.sqrt(mass @ (theta - mass @ theta) ** 2)


def test_the_effect_of_an_outlying_study_among_t_effects():
    """Far out in the tail of a Cauchy random effect the others' posterior of mu is still resolved."""
    y, s = np.array([-0.2, 0.1, 0.0, 0.3, 5.0]), np.array([0.2, 0.25, 0.15, 0.3, 0.2])
    studies = given(y, s, "normal(0, 2.82)", "half_normal(0.5)")
    found = integrate(replace(studies, random_effects="t", df=1.0, normal=(y, s))).true_effect(4)
    assert (found.mean(), found.sd()) == pytest.approx(outlier_moments(y, s), rel=1e-8)


def test_the_effect_of_one_outlying_study_among_many_precise_ones():
    """Where its effect lies apart from all the others, sums over their grid and sums about it meet without a step."""
    y, s = np.append(np.linspace(-0.065, 0.045, 11), 3.0), np.append(np.full(11, 0.05), 0.1)
    studies = given(y, s, "normal(0, 2.82)", "half_normal(0.5)")
    found = integrate(replace(studies, random_effects="t", df=4.0, normal=(y, s))).true_effect(11)
    assert found.error < 1e-10
    # The tail of the t distribution about the others pulls by its slope, -5 / (theta - mu), times the variance.
    assert found.mean() == pytest.approx(3.0 - 5.0 / 3.0 * 0.01, abs=3e-4)


@pytest.mark.parametrize("df", [1.0, 2.5, 4.0, 8.0])
def test_nodes_of_a_t_distribution_average_what_lies_far_away(df):
    """A bell eight of its SDs from the effect, and one a hundred away: the averages of scipy's t density over it."""
    for away in (8.0, 100.0):
        z, w = Kernel(df).nodes(1.0, away + 3.0)
        grid = np.arange(away - 12.0, away + 12.0, 0.01)
        expected = 0.01 * stats.t.pdf(grid, df) @ stats.norm.pdf(grid, away)
        assert w @ stats.norm.pdf(z, away) == pytest.approx(expected, rel=1e-9)


def test_nodes_that_would_take_minutes_are_refused():
    """Where the others' posterior is ten thousand times narrower than its distance, quadrature says so."""
    with pytest.raises(ConvergenceError, match="too many of its widths apart"):
        Kernel(1.0).nodes(1.0, 1e4)
