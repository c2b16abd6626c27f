"""Exact likelihoods: the two-dimensional engine against the one-dimensional one, brute force and its own draws."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import special, stats

import bayesmeta as bm
from bayesmeta.engines.counts import solve as exact
from bayesmeta.engines.counts.draws import draw
from bayesmeta.errors import ModelError
from bayesmeta.model import StudyLikelihoods, load_model
from bayesmeta.priors import parse_prior
from bayesmeta.studies import TwoByTwo

QUANTILES = np.array([0.001, 0.025, 0.5, 0.975, 0.999])


def normal_likelihoods(y, s, mu, tau) -> StudyLikelihoods:
    """Normal likelihoods, which the one-dimensional engine solves independently in closed form."""
    y, s = np.asarray(y, float), np.asarray(s, float)

    def loglik(theta):
        return stats.norm.logpdf(y[:, None], theta, s[:, None])

    names = tuple(f"s{i}" for i in range(len(y)))
    return StudyLikelihoods(names, loglik, y, s, parse_prior(mu), None if tau is None else parse_prior(tau))


CASES = {
    "heterogeneous": ([-2.3, -0.45, -2.3, -1.75, -1.25, -2.4], [0.6, 0.55, 0.88, 0.45, 0.64, 1.5], 1.0),
    "one study": ([0.3], [0.2], 1.0),
    "contradicting": ([-5.0, 5.0], [0.1, 0.1], 1.0),
    "tiny": ([1e-8, 3e-8, 2e-8], [1e-8, 2e-8, 1e-8], 1e-8),
}
PRIORS = [
    ("normal(0, {5})", "half_normal({0.5})"),
    ("normal(0, {5})", "half_cauchy({1})"),
    ("normal(0, {5})", "log_normal({log 1}, 1.7)"),
    ("normal(0, {5})", "log_student_t(5, {log 1}, 0.65)"),
    ("student_t(4, 0, {2})", "uniform(0, {4})"),
    ("cauchy(0, {2})", "half_normal({2})"),
    ("flat()", "half_normal({1})"),
]


def scaled(text: str, unit: float) -> str:
    """Fill in a prior's numbers in the unit of the data."""

    def number(match: re.Match[str]) -> str:
        inside = match.group(1)
        return repr(math.log(float(inside[4:]) * unit) if inside.startswith("log ") else float(inside) * unit)

    return re.sub(r"\{([^}]*)\}", number, text)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("priors", PRIORS, ids=" | ".join)
def test_normal_likelihoods_give_what_the_one_dimensional_engine_gives(case, priors):
    """With normal likelihoods both engines agree on evidence, every quantile and every spread to 1e-8."""
    y, s, unit = CASES[case]
    mu, tau = (scaled(p, unit) for p in priors)
    solved = exact.integrate(normal_likelihoods(y, s, mu, tau))
    known = bm.fit(bm.EffectSizes(yi=y, sei=s, measure="OR"), priors={"mu": mu, "tau": tau}, engine="quadrature")
    pairs = [(solved.mu(), known.mu), (solved.tau(), known.tau), (solved.theta_new(), known.theta_new)]
    pairs.append((solved.true_effect(0), next(iter(known.theta.values()))))
    for found, true in pairs:
        assert found.cdf(true.ppf(QUANTILES)) == pytest.approx(QUANTILES, rel=1e-8)
        assert found.ppf(QUANTILES) == pytest.approx(true.ppf(QUANTILES), rel=1e-7, abs=1e-7 * unit)
        if math.isfinite(true.sd()):
            assert found.mean() == pytest.approx(true.mean(), abs=1e-6 * unit)
            assert found.sd() == pytest.approx(true.sd(), rel=1e-5)
    if known.log_evidence is not None:
        assert solved.plane.log_evidence == pytest.approx(known.log_evidence, abs=1e-9)


def brute_likelihood(theta, a, n1, c, n0):
    """One study's binomial likelihood at each theta, the baseline summed over a dense grid of its log odds."""
    alpha = np.arange(-60.0, 40.0, 0.02)
    weight = stats.binom.pmf(c, n0, special.expit(alpha)) * stats.norm.pdf(alpha, 0, 10) * 0.02
    return np.array([weight @ stats.binom.pmf(a, n1, special.expit(alpha + t)) for t in theta])


def test_the_binomial_posterior_equals_a_sum_over_a_dense_grid():
    """Mean, spread and P(mu < 0) of a small binomial-normal posterior equal a plain sum over theta, mu and tau."""
    tables = [(0, 12, 5, 14), (1, 23, 9, 23)]
    theta = np.arange(-16.0, 9.0, 0.05)
    likelihood = np.array([brute_likelihood(theta, *table) for table in tables])
    mu = np.arange(-14.0, 9.0, 0.1)
    x, w = np.polynomial.legendre.leggauss(48)
    tau, weight = 0.15 + 2.35 * (x + 1) / 2, 2.35 / 2 * w
    prior = stats.norm.pdf(mu, 0, 2.82)
    mass = np.empty((len(tau), len(mu)))
    for row, (t, wt) in enumerate(zip(tau, weight, strict=True)):
        kernel = stats.norm.pdf(theta[None, :], mu[:, None], t) * 0.05
        mass[row] = wt * stats.halfnorm.pdf(t, scale=0.5) * prior * (kernel @ likelihood.T).prod(axis=1)
    total = mass.sum()
    mean = (mass * mu).sum() / total
    sd = math.sqrt((mass * (mu - mean) ** 2).sum() / total)
    counts = TwoByTwo(*(np.array(column, float) for column in zip(*tables, strict=True)))
    # tau is cut to the range of the grid, so that both integrate the same thing.
    post = bm.fit(
        counts, model="binomial_normal", priors={"tau": "truncated(half_normal(0.5), 0.15, 2.5)"}, engine="quadrature"
    )
    assert post.mu.mean() == pytest.approx(mean, abs=1e-8)
    assert post.mu.sd() == pytest.approx(sd, rel=1e-8)


def test_draws_follow_the_marginals():
    """Draws of mu, tau, theta and theta_new pass Kolmogorov-Smirnov tests against their own cdf."""
    model = load_model("hypergeometric_normal")
    counts = TwoByTwo([0, 6, 21, 1], [12, 48, 66, 23], [5, 19, 29, 9], [14, 100, 66, 23])
    solved = exact.integrate(model.study_likelihoods(counts, model.priors))
    draws = draw(solved, 2000, np.random.default_rng(20260101))
    marginals = {"mu": solved.mu(), "tau": solved.tau(), "theta_new": solved.theta_new()}
    values = {name: draws[name] for name in marginals}
    for i in range(counts.k):
        marginals[f"theta{i}"], values[f"theta{i}"] = solved.true_effect(i), draws["theta"][:, i]
    for name, marginal in marginals.items():
        assert stats.kstest(values[name], marginal.cdf).pvalue > 1e-4, name
    # They are joint draws: theta_0's regression on mu has the slope that the posterior implies.
    gap = np.mean(draws["theta"][:, 3] - draws["mu"])
    assert gap == pytest.approx(solved.true_effect(3).mean() - solved.mu().mean(), abs=5 * 0.7 / math.sqrt(2000))


def test_a_known_tau_of_zero_is_one_integral():
    """Without heterogeneity the density of mu is prior times likelihoods, a normal one for normal likelihoods."""
    given = normal_likelihoods([0.1, 0.5], [0.2, 0.3], "normal(0, 1)", None)
    solved = exact.integrate(given)
    precision = 1 / 0.2**2 + 1 / 0.3**2 + 1
    mean = (0.1 / 0.2**2 + 0.5 / 0.3**2) / precision
    assert solved.mu().mean() == pytest.approx(mean, abs=1e-12)
    assert solved.mu().sd() == pytest.approx(precision**-0.5, rel=1e-10)


def test_studies_without_events_leave_the_odds_ratio_to_its_prior():
    """Given its margins, a study without events says nothing: the posterior of mu is its prior."""
    model = load_model("hypergeometric_normal")
    counts = TwoByTwo([0, 0], [20, 30], [0, 0], [25, 35])
    post = bm.fit(counts, model=model, engine="quadrature")
    prior = post.priors["mu"]
    assert post.mu.ppf(QUANTILES) == pytest.approx(prior.ppf(QUANTILES), abs=1e-8)
    assert post.log_evidence == pytest.approx(0.0, abs=1e-10)


def test_moments_that_do_not_exist_are_infinite():
    """A half-Cauchy prior and one bounding study leave the variance of a new study's effect infinite, and say why."""
    solved = exact.integrate(normal_likelihoods([0.3], [0.2], "normal(0, 1)", "half_cauchy(0.5)"))
    assert solved.tau().sd() == math.inf
    assert solved.theta_new().sd() == math.inf
    assert "tau^-3" in solved.theta_new().notes[0]
    assert math.isfinite(solved.mu().sd())


def test_an_improper_posterior_is_refused():
    """A uniform prior of tau needs enough studies that bound their own effect."""
    with pytest.raises(ModelError, match="improper"):
        exact.integrate(normal_likelihoods([0.3], [0.2], "normal(0, 1)", "uniform()"))


def brute_student(y, s, df, mu, tau):
    """Sums of likelihood times prior over mu, tau and theta on plain grids: total, mean of mu, of tau, of theta_0."""
    theta = np.arange(-4.0, 6.0, 0.02)
    grid = np.arange(-18.0, 18.0, 0.05)
    x, w = np.polynomial.legendre.leggauss(12)
    sums = np.zeros(4)
    likelihood = stats.norm.pdf(y[:, None], theta, s[:, None]) * 0.02
    for low, high in ((0.1, 0.3), (0.3, 0.6), (0.6, 1.2), (1.2, 2.5)):
        for t, wt in zip(low + (high - low) * (x + 1) / 2, (high - low) / 2 * w, strict=True):
            kernel = stats.t.pdf((theta - grid[:, None]) / t, df) / t
            average, moment = kernel @ likelihood.T, kernel @ (likelihood * theta)[0]
            mass = 0.05 * wt * tau.pdf(t) * mu.pdf(grid) * average.prod(axis=1)
            sums += [mass.sum(), mass @ grid, mass.sum() * t, mass @ (moment / average[:, 0])]
    return sums[0], *(sums[1:] / sums[0])


def test_student_effects_equal_a_sum_over_dense_grids():
    """With t random effects and an outlying study, evidence and means equal plain sums over theta, mu and tau."""
    y, s = np.array([0.1, 0.3, 2.5]), np.array([0.2, 0.15, 0.2])
    total, mu, tau, theta = brute_student(y, s, 4.0, stats.norm(0, 2.82), stats.halfnorm(scale=0.5))
    effects = bm.EffectSizes(yi=y, sei=s, measure="OR")
    # tau is cut to the range of the grid, so that both integrate the same thing.
    cut = "truncated(half_normal(0.5), 0.1, 2.5)"
    post = bm.fit(effects, model="robust_t", priors={"tau": cut}, engine="quadrature")
    inside = np.diff(stats.halfnorm(scale=0.5).cdf([0.1, 2.5]))[0]
    assert post.log_evidence == pytest.approx(math.log(total / inside), abs=1e-7)
    assert post.mu.mean() == pytest.approx(mu, abs=1e-7)
    assert post.tau.mean() == pytest.approx(tau, rel=1e-7)
    assert next(iter(post.theta.values())).mean() == pytest.approx(theta, abs=1e-7)


def test_student_effects_with_many_degrees_of_freedom_are_normal():
    """As the degrees of freedom grow the posterior becomes that of normal random effects."""
    y, s = np.array([0.1, 0.3, 1.5]), np.array([0.2, 0.15, 0.2])
    given = normal_likelihoods(y, s, "normal(0, 2)", "half_normal(0.5)")
    normal = exact.integrate(given).mu()
    gaps = []
    for df in (1e2, 1e3):
        student = replace(given, random_effects="t", df=df, normal=(y, s))
        gaps.append(abs(exact.integrate(student).mu().sd() - normal.sd()))
    assert gaps[1] < 0.15 * gaps[0] < 1e-3


def test_draws_of_student_effects_follow_the_marginals():
    """With t random effects, draws of an outlying study's effect and of a new one follow their own cdf."""
    effects = bm.EffectSizes(yi=[0.1, 0.3, 2.5], sei=[0.2, 0.15, 0.2], study=["a", "b", "far"], measure="OR")
    post = bm.fit(effects, model="robust_t", engine="quadrature", seed=7)
    draws = post.to_datatree(draws=2000)["posterior"]
    assert stats.kstest(draws["theta"].sel(study="far").values.ravel(), post.theta["far"].cdf).pvalue > 1e-4
    assert stats.kstest(draws["theta_new"].values.ravel(), post.theta_new.cdf).pvalue > 1e-4


@pytest.mark.parametrize("table", [(0, 12, 5, 14), (0, 12, 0, 14), (12, 12, 14, 14), (1, 20, 0, 20)])
@pytest.mark.parametrize("model", ["binomial_normal", "binomial_normal_symmetric", "hypergeometric_normal"])
def test_one_study_without_events_in_an_arm_is_enough(model, table):
    """A single sparse study gives a posterior with the engine's own accuracy."""
    counts = TwoByTwo(*([value] for value in table))
    post = bm.fit(counts, model=model, engine="quadrature")
    assert post.diagnostics.figures["error_estimate"] < 1e-8
    assert post.theta_new.mean() == pytest.approx(post.mu.mean(), abs=1e-8)


def test_a_known_tau_is_the_limit_of_narrow_priors():
    """A point prior of tau gives what an ever narrower prior about it gives, for mu, theta and theta_new."""
    counts = TwoByTwo([3, 4], [20, 30], [5, 6], [22, 31], study=("a", "b"))
    post = bm.fit(counts, "hypergeometric_normal", priors={"tau": "point(0.3)"}, engine="quadrature", seed=1)
    near = bm.fit(counts, "hypergeometric_normal", priors={"tau": "uniform(0.2999, 0.3001)"}, engine="quadrature")
    for one, other in ((post.mu, near.mu), (post.theta_new, near.theta_new), (post.theta["a"], near.theta["a"])):
        assert one.ppf(QUANTILES) == pytest.approx(other.ppf(QUANTILES), abs=1e-6)
    assert stats.kstest(post.to_datatree(2000)["posterior"]["mu"].values.ravel(), post.mu.cdf).pvalue > 1e-4


@pytest.mark.parametrize("prior", ["flat()", "normal(0, 1)", "uniform(-1, 2)", "point(-1)"])
def test_a_prior_that_lets_tau_be_negative_is_refused(prior):
    """tau is a standard deviation, for every model."""
    counts = TwoByTwo([3, 4], [20, 30], [5, 6], [22, 31])
    with pytest.raises(ModelError, match="lets tau be negative"):
        bm.fit(counts, "hypergeometric_normal", priors={"tau": prior}, engine="quadrature")


@pytest.mark.parametrize(
    ("tables", "side"),
    [(([0, 0], [12, 20], [5, 3], [14, 20]), "below"), (([5, 3], [12, 20], [0, 0], [14, 20]), "above")],
)
def test_a_flat_prior_needs_a_bound_on_each_side(tables, side):
    """Without any event in one arm a flat prior of mu leaves the odds ratio free towards that side."""
    with pytest.raises(ModelError, match=f"bound the effect from {side}"):
        bm.fit(TwoByTwo(*tables), "hypergeometric_normal", priors={"mu": "flat()"}, engine="quadrature")
