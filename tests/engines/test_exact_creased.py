"""Likelihoods with creases and effects between limits, against sums over panels that share no code with the engine."""

import math
from itertools import pairwise

import numpy as np
import pytest
from brute_force import ratio_risks, restricted_arms
from scipy import integrate, interpolate, special, stats

import bayesmeta as bm
from bayesmeta.engines.counts.kinks import normal_average as blurring
from bayesmeta.engines.counts.kinks.kinked_functions import evaluate, first_panels, refine, resolves_logs
from bayesmeta.engines.counts.kinks.normal_average import Normal, blur
from bayesmeta.engines.counts.kinks.random_effects import likelihoods_of
from bayesmeta.errors import ConvergenceError, ModelError
from bayesmeta.likelihoods.cut_normal import log_mass, quantile
from bayesmeta.studies import TwoByTwo


def difference_risks(t, x):
    """Return both arms' risks with difference t; x are the log odds of the place in the possible interval."""
    p, q, room = special.expit(x), special.expit(-x), 1.0 - abs(t)
    lower, upper = (room * p, room * q + abs(t), room * p * q), (room * p + abs(t), room * q, room * p * q)
    return (lower, upper) if t > 0 else (upper, lower)


def panels(edges, order):
    """Return Gauss-Legendre nodes and weights on panels with these edges."""
    x, w = np.polynomial.legendre.leggauss(order)
    a, b = (np.array(e) for e in zip(*pairwise(sorted(set(edges))), strict=True))
    return (a[:, None] + (b - a)[:, None] * (x + 1) / 2).ravel(), ((b - a)[:, None] / 2 * w).ravel()


def mirrored(edges):
    """Return edges on both sides of 0."""
    return [*edges, 0.0, *(-e for e in edges)]


def sums(tables, risks, theta, mu, tau_limits, mu_prior, tau_prior, limited, baseline=(0, 10)):
    """Sum over theta, mu and tau: evidence, moments of mu and tau, and of every effect and a new one."""
    x, wx = theta
    m, wm = mu
    likelihood = np.array([restricted_arms(x, table, risks, baseline) for table in tables])
    tau, wt = panels(np.geomspace(*tau_limits, 5), 12)
    wt = wt * tau_prior.pdf(tau) / (tau_prior.cdf(tau_limits[1]) - tau_prior.cdf(tau_limits[0]))
    total, moments, effects = 0.0, np.zeros(3), np.zeros((len(tables) + 1, len(x)))
    for t, w in zip(tau, wt, strict=True):
        kernel = np.exp(-0.5 * ((x - m[:, None]) / t) ** 2) / (t * math.sqrt(2 * math.pi))
        if limited:
            # By symmetry: both tails of a normal above the middle.
            kernel /= (stats.norm.cdf((1 - np.abs(m)) / t) - stats.norm.cdf((-1 - np.abs(m)) / t))[:, None]
        average = (kernel * wx) @ likelihood.T
        p = w * wm * mu_prior.pdf(m) * average.prod(axis=1)
        total += p.sum()
        moments += p @ m, p @ m**2, t * p.sum()
        for i in range(len(tables)):
            effects[i] += (p / average[:, i]) @ kernel * likelihood[i]
        effects[-1] += p @ kernel
    mean, second, tau_mean = moments / total
    mass = effects * wx / total
    return math.log(total), mean, math.sqrt(second - mean**2), tau_mean, mass


class Flat:
    """The improper prior of mu that is the same everywhere."""

    pdf = staticmethod(np.ones_like)


def check(model, tables, risks, theta, mu, scale, flat=False, baseline=(0, 10)):
    """Hold a posterior against the sums."""
    limits = (0.5 * scale, 2.0 * scale)
    priors = {
        "mu": "flat()" if flat else f"normal(0, {scale})",
        "tau": f"truncated(half_normal({scale}), {limits[0]}, {limits[1]})",
        "baseline": f"normal{baseline}",
    }
    post = bm.fit(TwoByTwo(*zip(*tables, strict=True)), model=model, priors=priors, engine="quadrature")
    mu_prior = Flat if flat else stats.norm(0, scale)
    tau_prior = stats.halfnorm(scale=scale)
    expected = sums(tables, risks, theta, mu, limits, mu_prior, tau_prior, model.endswith("rd"), baseline)
    evidence, mean, spread, tau, mass = expected
    assert post.details.log_evidence == pytest.approx(evidence, abs=2e-8)
    assert post.mu.mean() == pytest.approx(mean, abs=1e-8)
    assert post.mu.sd() == pytest.approx(spread, rel=1e-7)
    assert post.tau.mean() == pytest.approx(tau, rel=1e-8)
    x = theta[0]
    for marginal, m in zip([*post.theta.values(), post.theta_new], mass, strict=True):
        assert m.sum() == pytest.approx(1.0, abs=1e-8)
        assert marginal.mean() == pytest.approx(m @ x, abs=1e-8)
        assert marginal.sd() == pytest.approx(math.sqrt(m @ x**2 - (m @ x) ** 2), rel=1e-7)
        assert marginal.cdf(0.0) == pytest.approx(m[x < 0].sum(), abs=1e-8)
    return post


RD_THETA = panels(
    mirrored([*np.geomspace(1e-8, 0.03, 20), *np.linspace(0.03, 0.97, 45), *(1 - np.geomspace(1e-8, 0.03, 12)), 1.0]),
    12,
)
RD_MU = panels(np.linspace(-1.6, 1.6, 90), 10)
RD = {
    "no events in a study": ((0, 30, 0, 28), (5, 31, 6, 30)),
    "one study without events": ((0, 20, 0, 30),),
    "only events": ((12, 12, 9, 9), (3, 20, 6, 21)),
    "hardly anybody": ((1, 2, 0, 1),),
    "ordinary": ((18, 40, 12, 42), (11, 39, 16, 42)),
    "a crease that a table does not show": ((4, 61, 3, 20), (1, 54, 3, 54), (4, 36, 3, 36), (2, 50, 3, 34)),
    "all against none": ((5, 5, 0, 5), (1, 40, 0, 44)),
}


@pytest.mark.parametrize("case", RD)
def test_creased_risk_differences_equal_plain_sums(case):
    """Studies without events, with only events and of a few patients: every figure equals a sum over graded panels."""
    check("binomial_normal_rd", RD[case], difference_risks, RD_THETA, RD_MU, 0.2)


RR_THETA = panels(mirrored([*np.geomspace(1e-8, 0.03, 18), *np.linspace(0.03, 7.0, 90)]), 12)
RR = {
    "only events": ((17, 17, 16, 16), (3, 20, 6, 21)),
    "one patient without the event in each arm": ((16, 17, 15, 16), (10, 20, 12, 21)),
    "a faint crease": ((18, 20, 18, 20), (10, 20, 12, 21)),
    "only events in one arm": ((16, 16, 15, 16), (10, 20, 12, 21)),
}


@pytest.mark.parametrize("case", RR)
def test_risk_ratios_of_likely_events_equal_plain_sums(case):
    """Studies in which nearly everybody has the event: every figure equals a sum over graded panels."""
    mu = panels(np.linspace(-3.6, 3.6, 100), 10)
    check("binomial_normal_rr", RR[case], ratio_risks, RR_THETA, mu, 0.45)


def test_a_risk_ratio_of_only_events_under_a_flat_prior_equals_plain_sums():
    """Beside studies that bound the pooled effect, one with only events is answered without a prior of mu too."""
    tables = ((20, 20, 21, 21), (12, 20, 14, 21), (15, 30, 17, 28))
    mu = panels(np.linspace(-7.0, 7.0, 190), 10)
    theta = panels(mirrored([*np.geomspace(1e-8, 0.03, 18), *np.linspace(0.03, 9.0, 116)]), 12)
    check("binomial_normal_rr", tables, ratio_risks, theta, mu, 0.45, flat=True)


def test_a_risk_difference_under_a_log_student_t_prior_of_tau_equals_plain_sums():
    """Evidence and mean are sums over log tau, with all effects equal below them and evenly spread beyond."""
    tables, log_tau = ((13, 40, 19, 41), (10, 33, 14, 33)), stats.t(5, -1.7, 1.3)
    post = bm.fit(
        TwoByTwo(*zip(*tables, strict=True)), "binomial_normal_rd", priors={"tau": "log_student_t(5, -1.7, 1.3)"}
    )
    x, wx = RD_THETA
    likelihood = np.array([restricted_arms(x, table, difference_risks) for table in tables])
    grid = np.linspace(-0.97, 0.9, 749)
    logs = [
        interpolate.make_interp_spline(grid, np.log(restricted_arms(grid, t, difference_risks)), k=7) for t in tables
    ]
    m, wm = panels(np.linspace(-4.0, 4.0, 81), 10)
    wm = wm * stats.norm.pdf(m, 0.0, 0.5)
    z, wz = np.polynomial.hermite_e.hermegauss(24)
    near = np.abs(m) < 0.75

    def product(tau):
        if tau < 0.02:
            out = np.zeros(len(m))
            theta = m[near][:, None] + tau * z
            out[near] = np.prod([np.exp(log(theta)) @ wz / wz.sum() for log in logs], axis=0)
            return out
        kernel = -0.5 * ((x - m[:, None]) / tau) ** 2
        kernel = np.exp(kernel - kernel.max(axis=1, keepdims=True)) * wx
        return np.prod(kernel @ likelihood.T, axis=1) / kernel.sum(axis=1) ** 2

    u, wu = panels(np.linspace(-14.0, 14.0, 29), 12)
    of_mu = sum(p * product(math.exp(at)) for at, p in zip(u, wu * log_tau.pdf(u), strict=True)) * wm
    of_mu += log_tau.cdf(-14.0) * product(1e-6) * wm + log_tau.sf(14.0) * np.prod(likelihood @ wx / 2.0) * wm
    assert post.log_evidence == pytest.approx(math.log(of_mu.sum()), abs=1e-8)
    assert post.mu.mean() == pytest.approx(of_mu @ m / of_mu.sum(), abs=1e-8)
    assert post.mu.cdf(0.0) == pytest.approx(of_mu[m < 0.0].sum() / of_mu.sum(), abs=1e-8)


def test_a_new_log_risk_ratio_has_the_tail_of_tau():
    """Under a heavy-tailed prior of tau a new effect lies far out as often as its normal distributions say."""
    counts = TwoByTwo([17, 3], [17, 20], [16, 6], [16, 21])
    post = bm.fit(counts, "binomial_normal_rr", priors={"tau": "half_cauchy(0.5)"}, engine="quadrature")
    tau = post.tau
    for far in (300.0, 3000.0):
        expected = tau.mass @ stats.norm.sf(far / tau.x)
        assert post.theta_new.sf(far) == pytest.approx(expected, rel=0.01)
        assert post.theta_new.cdf(-far) == pytest.approx(expected, rel=0.01)


def test_errors_of_panels_say_what_they_are_about():
    """A function that is nowhere a number is refused with what it is and where."""
    panels = first_panels(np.array([-1.0, 1.0]), np.array([0.0]))
    with pytest.raises(ConvergenceError, match=r"the likelihood of 'A': it could not be computed at -"):
        evaluate(lambda x: np.full((1, len(x)), np.nan), panels, "the likelihood of 'A'")


def test_an_error_of_averages_names_the_studies(monkeypatch):
    """Where averages over random effects take too many nodes the message says whose likelihoods, and with which tau."""
    monkeypatch.setattr(blurring, "MAX_PANELS", 3)
    data = TwoByTwo([0, 5, 0], [30, 31, 20], [0, 6, 1], [28, 30, 21], study=("North", "South", "East"))
    with pytest.raises(ConvergenceError, match=r"of the likelihoods? of .*'North'.* with tau = .* more than 48 nodes"):
        bm.fit(data, model="binomial_normal_rd", engine="quadrature")


def test_words_for_likelihoods_name_a_few_studies():
    """One study is named alone, several are listed, and of many only the first."""
    labels = tuple("ABCDEFGH")
    assert likelihoods_of(labels, np.arange(8) == 1) == "the likelihood of 'B'"
    assert likelihoods_of(labels, np.arange(8) < 3) == "the likelihoods of 'A', 'B' and 'C'"
    assert likelihoods_of(labels, np.arange(8) < 5) == "the likelihoods of 'A', 'B', 'C', 'D' and 'E'"
    assert likelihoods_of(labels, np.arange(8) < 8) == "the likelihoods of 'A', 'B', 'C', 'D' and 4 others"


def test_a_new_risk_difference_lies_between_the_limits():
    """The prediction of ordinary studies ends at -1 and 1, where its density does not vanish."""
    tables = ((9, 12, 2, 12), (10, 11, 3, 13))
    post = check("binomial_normal_rd", tables, difference_risks, RD_THETA, RD_MU, 0.2)
    assert post.theta_new.support == (-1.0, 1.0)
    assert post.theta_new.cdf(1.0) == pytest.approx(1.0, abs=1e-12)
    assert post.theta_new.pdf(1.0) > 1e-4
    assert post.theta_new.ppf(1.0) == 1.0


def test_draws_follow_the_marginals():
    """Draws of mu, tau and every effect of studies with creases pass Kolmogorov-Smirnov tests against their own cdf."""
    post = bm.fit(TwoByTwo([0, 5], [30, 31], [0, 6], [28, 30]), model="binomial_normal_rd", engine="quadrature")
    draws = post.to_datatree(draws=4000, seed=11)["posterior"]
    for name in ("mu", "tau", "theta_new"):
        assert stats.kstest(draws[name].values.ravel(), post[name].cdf).pvalue > 1e-3, name
    for label, marginal in post.theta.items():
        assert stats.kstest(draws["theta"].sel(study=label).values.ravel(), marginal.cdf).pvalue > 1e-3, label


def test_words_of_a_creased_marginal_agree_with_each_other():
    """Quantiles invert the cdf, the density is its slope, and the shortest interval has equal density at its ends."""
    post = bm.fit(TwoByTwo([0, 5], [30, 31], [0, 6], [28, 30]), model="binomial_normal_rd", engine="quadrature")
    for marginal in (post.mu, post.theta_new, post.theta["Study 1"]):
        q = np.array([1e-6, 0.025, 0.3, 0.5, 0.8, 0.975, 1 - 1e-6])
        np.testing.assert_allclose(marginal.cdf(marginal.ppf(q)), q, rtol=1e-9)
        np.testing.assert_allclose(marginal.cdf(q - 0.5) + marginal.sf(q - 0.5), 1.0, rtol=1e-9)
        area = integrate.quad(marginal.pdf, -0.01, 0.013, points=[0.0], epsabs=1e-12, epsrel=1e-11)[0]
        assert area == pytest.approx(marginal.cdf(0.013) - marginal.cdf(-0.01), rel=1e-8)
        hdi, eti = marginal.hdi(0.9), marginal.eti(0.9)
        assert marginal.pdf(hdi.low) == pytest.approx(marginal.pdf(hdi.high), rel=1e-6)
        assert hdi.high - hdi.low <= eti.high - eti.low + 1e-12


@pytest.mark.parametrize("tau", [1e-6, 1e-3, 0.05, 0.7, 20.0])
def test_averages_over_a_normal_equal_adaptive_quadrature(tau):
    """A function with a logarithmic crease, averaged by panels, equals scipy's quadrature with break points."""

    def logf(x):
        size = np.abs(x) + 1e-300
        return np.log1p(-0.5 * stats.norm.cdf(np.log(size) / 10) * -np.expm1(-30.0 * size))[None] - 3.0 * size

    cuts = np.array([-1.0, 0.0, 1.0])
    f = refine(
        logf, evaluate(logf, first_panels(cuts, np.array([0.05]))), resolves_logs(1e-11, 45.0, 1e-14, (-1.0, 1.0))
    )
    mu = np.array([-0.9, -0.2, -3.0 * tau, 0.0, 0.5 * tau, 20.0 * tau, 0.4])
    mu = mu[np.abs(mu) < 0.95]
    for at, value in zip(mu, blur(f, Normal(tau, (-1.0, 1.0)), mu)[0], strict=True):
        breaks = sorted(
            {
                -1.0,
                1.0,
                *np.clip(at + tau * np.array([-9, -5, -2, 0, 2, 5, 9]), -1, 1),
                *mirrored(10.0 ** np.arange(-9, 0)),
            }
        )
        total = sum(
            integrate.quad(
                lambda x, at=at: math.exp(logf(np.array([x]))[0, 0]) * stats.norm.pdf(x, at, tau), a, b, epsrel=1e-12
            )[0]
            for a, b in pairwise(breaks)
        )
        assert value == pytest.approx(math.log(total), abs=1e-9)


def test_the_mass_between_limits_is_that_of_the_normal():
    """The log of a normal's probability in (-1, 1), and its quantiles there, are scipy's, also far from the limits."""
    rng = np.random.default_rng(3)
    mu, tau = rng.normal(0, 1.5, 200), 10.0 ** rng.uniform(-1, 3, 200)
    x, w = np.polynomial.legendre.leggauss(200)
    with np.errstate(divide="ignore"):
        direct = np.log(stats.norm.pdf(x, mu[:, None], tau[:, None]) @ w)
    near = np.isfinite(direct) & (tau > 0.15)
    np.testing.assert_allclose(log_mass(mu, tau, (-1.0, 1.0))[near], direct[near], atol=1e-11)
    q = rng.random(200)
    expected = stats.truncnorm.ppf(q, (-1 - mu) / tau, (1 - mu) / tau, mu, tau)
    np.testing.assert_allclose(quantile(mu, tau, (-1.0, 1.0), q), expected, atol=1e-10)
    # Mills' ratio: far out the tail is the density over the distance.
    assert log_mass(np.array(41.0), np.array(1.0), (-1.0, 1.0)) == pytest.approx(stats.norm.logsf(40.0), rel=1e-12)


def test_flat_priors_of_a_risk_difference_state_their_condition():
    """Between limits tau needs a proper prior; a flat mu a light-tailed tau and studies that rule out both ends."""
    counts = TwoByTwo([4, 9], [30, 41], [8, 11], [33, 38])
    for priors, message in (
        ({"tau": "flat()"}, "prior flat.. of tau must be proper"),
        ({"mu": "flat()", "tau": "half_cauchy(0.1)"}, "no finite variance"),
    ):
        with pytest.raises(ModelError, match=message):
            bm.fit(counts, model="binomial_normal_rd", priors=priors, engine="quadrature")
    with pytest.raises(ModelError, match="rule out an effect of 1"):
        bm.fit(
            TwoByTwo([5, 4], [5, 4], [0, 0], [5, 6]),
            model="binomial_normal_rd",
            priors={"mu": "flat()"},
            engine="quadrature",
        )


def test_a_flat_prior_of_a_log_risk_ratio_needs_a_bound():
    """Studies without any event leave the risk ratio free: with a flat prior of mu that is refused, and said why."""
    with pytest.raises(ModelError, match="bound the effect"):
        bm.fit(
            TwoByTwo([0, 0], [30, 25], [0, 0], [28, 26]),
            model="binomial_normal_rr",
            priors={"mu": "flat()"},
            engine="quadrature",
        )


def test_a_predicted_risk_difference_has_the_moments_of_cut_normals():
    """Where tau is small beside the width of mu, mean and SD of theta_new are sums of cut normals' over mu and tau."""
    data = TwoByTwo([12, 20, 31], [40, 60, 90], [19, 25, 40], [42, 61, 92])
    post = bm.fit(data, "binomial_normal_rd", priors={"tau": "half_normal(0.05)"}, engine="quadrature")
    at = post.details.plane
    kept = at.weight > 1e-12
    mu, tau, mass = at.mu[kept], np.broadcast_to(at.tau[kept, None], at.mu[kept].shape), at.mass[kept]
    used = mass > 1e-14
    cut = stats.truncnorm((-1 - mu[used]) / tau[used], (1 - mu[used]) / tau[used], mu[used], tau[used])
    mean = mass[used] @ cut.mean()
    assert post.theta_new.mean() == pytest.approx(mean, abs=1e-7)
    assert post.theta_new.sd() ** 2 == pytest.approx(mass[used] @ (cut.var() + (cut.mean() - mean) ** 2), rel=1e-6)


def test_a_crease_felt_by_sums_but_in_no_table_is_answered_on_panels():
    """One event of 12 and one of 8 under a narrow tau: declined before, and equal to sums over graded panels."""
    tables = ((13, 33, 21, 57), (19, 34, 30, 52), (1, 12, 1, 8))
    check("binomial_normal_rd", tables, difference_risks, RD_THETA, RD_MU, 0.04, baseline=(-1, 1))
