"""Every exact-likelihood model against plain sums over baseline, theta, mu and tau, written without the engine."""

import math
from itertools import pairwise

import numpy as np
import pytest
from brute_force import binomial, ratio_risks, restricted_arms
from scipy import special, stats

import bayesmeta as bm
from bayesmeta.studies import PersonTime, TwoByTwo


def logit_arms(theta, table, low, high, step, treatment=1.0, control=0.0):
    """Sum both binomials over a dense grid of the baseline's log odds, with a normal(0, 10) prior."""
    a, n1, c, n0 = table
    alpha = np.arange(low, high, step)
    out = []
    for t in theta:
        x, y = alpha + control * t, alpha + treatment * t
        both = binomial(c, n0, special.log_expit(x), special.log_expit(-x))
        both = both * binomial(a, n1, special.log_expit(y), special.log_expit(-y))
        out.append(both @ stats.norm.pdf(alpha, 0, 10) * step)
    return np.array(out)


def poisson_arms(theta, row, low, high, step):
    """Sum both Poisson probabilities over a dense grid of the baseline's log rate."""
    a, time1, c, time0 = row
    alpha = np.arange(low, high, step)
    weight = stats.poisson.pmf(c, time0 * np.exp(alpha)) * stats.norm.pdf(alpha, 0, 10) * step
    return np.array([weight @ stats.poisson.pmf(a, time1 * np.exp(alpha + t)) for t in theta])


def conditional(theta, table):
    """Return scipy's noncentral hypergeometric probabilities."""
    a, n1, c, n0 = table
    return np.array([stats.nchypergeom_fisher.pmf(a, n1 + n0, n1, a + c, math.exp(t)) for t in theta])


def brute(likelihood, theta, mu, mu_prior, tau_prior, limits):
    """Sum likelihood times priors over plain grids: log evidence, mean and spread of mu, mean of tau."""
    x, w = np.polynomial.legendre.leggauss(20)
    cuts = np.geomspace(*limits, 4)
    tau = np.concatenate([a + (b - a) * (x + 1) / 2 for a, b in pairwise(cuts)])
    weight = np.concatenate([(b - a) / 2 * w for a, b in pairwise(cuts)]) * tau_prior.pdf(tau)
    d_theta, d_mu = theta[1] - theta[0], mu[1] - mu[0]
    away = -0.5 * (theta - mu[:, None]) ** 2
    mass = np.empty((len(tau), len(mu)))
    for row, (t, wt) in enumerate(zip(tau, weight, strict=True)):
        average = np.exp(away / t**2) @ likelihood.T * (d_theta / (t * math.sqrt(2 * math.pi)))
        mass[row] = wt * d_mu * mu_prior.pdf(mu) * average.prod(axis=1)
    total = mass.sum()
    mean = (mass @ mu).sum() / total
    spread = math.sqrt((mass @ (mu - mean) ** 2).sum() / total)
    evidence = math.log(total / (tau_prior.cdf(limits[1]) - tau_prior.cdf(limits[0])))
    return evidence, mean, spread, (mass.sum(axis=1) @ tau) / total


SMALL = (-85.0, 85.0, 0.05)
LARGE = (-4.0, 2.0, 0.01)
SPARSE, ZERO, ALL, BIG = (0, 12, 5, 14), (0, 30, 0, 28), (17, 17, 16, 16), (1130, 4000, 1010, 3800)
PAIRS = {"sparse": (SPARSE, (1, 23, 9, 23)), "no events": (ZERO, (3, 20, 6, 21)), "only events": (ALL, (3, 20, 6, 21))}
MODELS = {
    "binomial_normal": lambda theta, table, grid: logit_arms(theta, table, *grid),
    "binomial_normal_symmetric": lambda theta, table, grid: logit_arms(theta, table, *grid, 0.5, -0.5),
    "hypergeometric_normal": lambda theta, table, grid: conditional(theta, table),
}


def compare(post, expected, unit=1.0):
    """Hold a posterior against the sums."""
    evidence, mean, spread, tau = expected
    assert post.log_evidence == pytest.approx(evidence, abs=2e-8)
    assert post.mu.mean() == pytest.approx(mean, abs=1e-8 * unit)
    assert post.mu.sd() == pytest.approx(spread, rel=1e-7)
    assert post.tau.mean() == pytest.approx(tau, rel=1e-8)


def solve(model, data, mu, tau, limits):
    """Fit with a prior of tau cut to the range of the grid, so that both integrate the same thing."""
    priors = {"mu": mu, "tau": f"truncated({tau}, {limits[0]}, {limits[1]})"}
    return bm.fit(data, model=model, priors=priors, engine="quadrature")


def check_counts(model, tables, theta, mu, grids):
    """Compare the engine with the sums for 2x2 tables, on log scales."""
    limits = (0.2, 1.5)
    likelihood = np.array([MODELS[model](theta, table, grid) for table, grid in zip(tables, grids, strict=True)])
    expected = brute(likelihood, theta, mu, stats.norm(0, 1), stats.halfnorm(scale=0.5), limits)
    compare(solve(model, TwoByTwo(*zip(*tables, strict=True)), "normal(0, 1)", "half_normal(0.5)", limits), expected)


THETA, MU = np.arange(-17.0, 17.0, 0.06), np.arange(-7.0, 7.0, 0.06)


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("model", MODELS)
def test_two_by_two_models_equal_plain_sums(model, pair):
    """Evidence, mean and spread of mu and mean of tau equal sums over grids, with zero cells of every kind."""
    check_counts(model, PAIRS[pair], THETA, MU, (SMALL, SMALL))


@pytest.mark.parametrize("model", ["binomial_normal", "hypergeometric_normal"])
def test_thousands_of_patients_equal_plain_sums(model):
    """A study of thousands beside a sparse one is integrated as exactly."""
    check_counts(model, (SPARSE, BIG), np.arange(-9.0, 9.0, 0.02), np.arange(-5.0, 5.0, 0.06), (SMALL, LARGE))


@pytest.mark.parametrize("tables", [PAIRS["sparse"], PAIRS["no events"], ((8, 20, 5, 21), (2, 19, 9, 22))], ids=str)
def test_the_risk_ratio_equals_plain_sums(tables):
    """The posterior of the log risk ratio equals a sum over the possible risks, theta, mu and tau."""
    limits = (0.2, 1.5)
    likelihood = np.array([restricted_arms(THETA, table, ratio_risks) for table in tables])
    expected = brute(likelihood, THETA, MU, stats.norm(0, 1), stats.halfnorm(scale=0.5), limits)
    counts = TwoByTwo(*zip(*tables, strict=True))
    compare(solve("binomial_normal_rr", counts, "normal(0, 1)", "half_normal(0.5)", limits), expected)


def test_a_risk_difference_cannot_be_larger_than_one():
    """A true risk difference beyond 1 has no probability, however large the effect is."""
    post = bm.fit(TwoByTwo([42, 40], [60, 58], [6, 8], [59, 62]), model="binomial_normal_rd", engine="quadrature")
    theta = next(iter(post.theta.values()))
    assert theta.sf(1.0) == pytest.approx(0.0, abs=1e-10)
    assert theta.cdf(1.0) == pytest.approx(1.0, abs=1e-10)
    assert 0.5 < theta.mean() < 0.65


RATES = {
    "sparse": ((0, 40.5, 4, 38.0), (2, 61.0, 5, 60.0)),
    "no events": ((0, 40.5, 0, 38.0), (2, 61.0, 5, 60.0)),
    "thousands": ((0, 40.5, 4, 38.0), (1130, 4000.0, 1010, 3800.0)),
}


@pytest.mark.parametrize("case", RATES)
def test_poisson_rates_equal_plain_sums(case):
    """The posterior of the log rate ratio equals sums over the baseline rate, theta, mu and tau."""
    limits, many = (0.2, 1.5), case == "thousands"
    theta = np.arange(-9.0, 9.0, 0.02) if many else THETA
    mu = np.arange(-5.0, 5.0, 0.06) if many else MU
    grids = [(-90.0, 40.0, 0.05), LARGE if many else (-90.0, 40.0, 0.05)]
    likelihood = np.array([poisson_arms(theta, row, *grid) for row, grid in zip(RATES[case], grids, strict=True)])
    expected = brute(likelihood, theta, mu, stats.norm(0, 1), stats.halfnorm(scale=0.5), limits)
    data = PersonTime(*zip(*RATES[case], strict=True))
    compare(solve("poisson_normal", data, "normal(0, 1)", "half_normal(0.5)", limits), expected)


def test_exchanging_the_arms_changes_the_sign():
    """The risk models treat both arms alike: exchanged arms give the mirrored posterior."""
    arms = ([4, 9, 3], [30, 41, 28]), ([8, 11, 9], [33, 38, 27])
    for model in ("binomial_normal_rr", "binomial_normal_rd"):
        one = bm.fit(TwoByTwo(*arms[0], *arms[1]), model=model, engine="quadrature")
        other = bm.fit(TwoByTwo(*arms[1], *arms[0]), model=model, engine="quadrature")
        assert one.mu.ppf(0.1) == pytest.approx(-other.mu.ppf(0.9), abs=1e-9)
        assert one.log_evidence == pytest.approx(other.log_evidence, abs=1e-9)


@pytest.mark.parametrize(
    ("model", "measure"), [("binomial_normal", "OR"), ("binomial_normal_rr", "RR"), ("binomial_normal_rd", "RD")]
)
def test_the_exact_posterior_becomes_the_normal_one(model, measure):
    """As all counts grow tenfold the exact posterior's distance from that of normal estimates falls tenfold."""
    base = np.array([[12, 40, 19, 42], [7, 33, 9, 30], [15, 60, 22, 55]]).T
    gaps = []
    for factor in (10, 100, 1000, 10_000):
        counts = TwoByTwo(*(factor * base))
        # With so small a tau no risk difference comes near its limits.
        priors = {"tau": "half_normal(0.03)"} if measure == "RD" else {}
        exact = bm.fit(counts, model=model, priors=priors, engine="quadrature")
        priors = {name: exact.priors[name] for name in ("mu", "tau")}
        normal = bm.fit(bm.effect_sizes(counts, measure=measure), priors=priors, engine="quadrature")
        q = np.array([0.025, 0.5, 0.975])
        gaps.append(np.abs(exact.mu.ppf(q) - normal.mu.ppf(q)).max())
    ratios = np.array(gaps[:-1]) / np.array(gaps[1:])
    assert (ratios > 5).all(), gaps
    assert (ratios < 20).all(), gaps
