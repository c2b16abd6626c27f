"""The quadrature engine at its limits: extreme data and priors, posteriors and moments that do not exist."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, special, stats

import bayesmeta as bm
from bayesmeta.engines.gaussian.integrate import integrate as solve
from bayesmeta.model import independent_studies
from bayesmeta.priors import Flat, HalfNormal, parse_prior

RNG = np.random.default_rng(20)
YI, SEI = RNG.normal(0.3, 0.4, 10), RNG.uniform(0.1, 0.6, 10)


def effects(yi, sei):
    return bm.EffectSizes(yi=yi, sei=sei, study=[f"s{i}" for i in range(len(yi))], measure="GEN")


def fit(yi=YI, sei=SEI, mu="normal(0, 2.82)", tau="half_normal(0.5)", **options):
    return bm.fit(effects(yi, sei), priors={"mu": mu, "tau": tau}, engine="quadrature", **options)


@pytest.mark.parametrize("unit", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_no_unit_is_out_of_reach(unit, offset):
    """Effects of 1e-8 or 1e8, or a million standard errors from 0, give the same standardised posterior."""
    base = fit(mu="flat()")
    post = fit(unit * (YI + offset), unit * SEI, mu="flat()", tau=f"half_normal({0.5 * unit!r})")
    # The data themselves are rounded at 1e-16 of the offset.
    accuracy = 1e-9 + 1e-15 * offset
    for q in (0.025, 0.5, 0.975):
        assert post.mu.ppf(q) / unit - offset == pytest.approx(base.mu.ppf(q), abs=10 * accuracy)
        assert post.tau.ppf(q) / unit == pytest.approx(base.tau.ppf(q), rel=1e3 * accuracy)


def test_standard_errors_over_twelve_orders_of_magnitude():
    """One study of very high precision rules mu's posterior as the arithmetic says, and the error estimate holds."""
    sei = np.geomspace(1e-8, 1e4, 10)
    post = fit(sei=sei, mu="flat()")
    assert post.diagnostics.figures["error_estimate"] < 1e-10
    assert post.theta["s0"].mean() == pytest.approx(YI[0], abs=1e-7)


@pytest.mark.parametrize(("tau_true", "k"), [(0.0, 2000), (0.3, 2000)])
def test_many_studies(tau_true, k):
    """Thousands of studies concentrate tau: at 0, or far from it, with mu where it should be."""
    rng = np.random.default_rng(4)
    yi = 1.0 + math.hypot(tau_true, 0.1) * rng.standard_normal(k)
    post = fit(yi, np.full(k, 0.1))
    assert abs(post.mu.mean() - 1.0) < 5 * math.hypot(tau_true, 0.1) / math.sqrt(k)
    assert post.tau.cdf(tau_true + 0.05) - post.tau.cdf(max(tau_true - 0.05, 0.0)) > 0.999
    # With equal standard errors the likelihood of tau depends on the data through one sum of squares alone.
    tau = post.tau.ppf(0.3)
    s2, centred = 0.01 + tau**2, float(np.sum((yi - yi.mean()) ** 2))
    logp = -0.5 * (k - 1) * math.log(s2) - 0.5 * centred / s2
    at = post.tau.ppf(0.6)
    s2 = 0.01 + at**2
    logp -= -0.5 * (k - 1) * math.log(s2) - 0.5 * centred / s2
    prior = HalfNormal(0.5).logpdf(np.array([tau, at]))
    mu = 0.5 * math.log((2.82**2 + (0.01 + at**2) / k) / (2.82**2 + (0.01 + tau**2) / k))
    expected = logp + prior[0] - prior[1] + mu
    assert post.tau.logpdf(tau) - post.tau.logpdf(at) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "tau",
    [
        "half_normal(1e-200)",
        "half_normal(1e-8)",
        "half_normal(1e6)",
        "gamma(0.1, 1)",
        "log_normal(0, 3)",
        "log_normal(-2, 0.001)",
        "inverse_gamma(0.001, 0.001)",
        "uniform(1, 1.5)",
        "0.5*half_normal(0.1) + 0.5*half_normal(1)",
        "0.5*log_normal(-2, 0.001) + 0.5*half_normal(1)",
        "0.5*uniform(0, 0.1) + 0.5*uniform(0, 2)",
    ],
)
def test_the_mass_is_found_wherever_the_prior_puts_it(tau):
    """The posterior of tau integrates to one, by scipy between its own quantiles, for priors of every shape."""
    post = fit(tau=tau)
    edges = np.log(post.tau.ppf([1e-6, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1 - 1e-6]))
    edges = np.sort(np.append(edges, math.log(0.1))) if edges[0] < math.log(0.1) < edges[-1] else edges
    mass = sum(
        integrate.quad(lambda u: math.exp(u) * float(post.tau.pdf(math.exp(u))), a, b, epsabs=1e-11, limit=200)[0]
        for a, b in pairwise(edges)
    )
    assert mass == pytest.approx(1 - 2e-6, abs=1e-9)
    prior = parse_prior(tau)
    low, high = prior.support
    assert low <= post.tau.ppf(0.0)
    assert post.tau.ppf(1.0) <= high


@pytest.mark.parametrize(
    ("k", "mu", "tau", "need"),
    [
        (2, "flat()", "uniform(0, inf)", 3),
        (1, "normal(0, 1)", "uniform(0, inf)", 2),
        (1, "flat()", "uniform(0, inf)", 3),
    ],
)
def test_improper_posteriors_are_refused_with_the_condition(k, mu, tau, need):
    """An improper posterior is an error that says how many studies it takes."""
    with pytest.raises(bm.ModelError, match=rf"k >= {need} studies, and there are {k}"):
        fit(YI[:k], SEI[:k], mu=mu, tau=tau)


def test_more_flat_coefficients_than_studies_are_refused():
    """Two flat coefficients cannot be told apart by one study."""
    given = independent_studies(
        ("a",), np.zeros(1), np.ones(1), np.ones((1, 2)), ("intrcpt", "x"), (Flat(), Flat()), HalfNormal(1.0)
    )
    with pytest.raises(bm.ModelError, match="cannot tell apart the 2 coefficient"):
        solve(given)


def test_one_study_with_proper_priors():
    """One study and proper priors: tau keeps its prior when mu is flat, for the study cannot speak about it."""
    post = fit(YI[:1], SEI[:1], mu="flat()", tau="half_normal(0.7)")
    assert post.tau.ppf([0.1, 0.5, 0.9]) == pytest.approx(stats.halfnorm(scale=0.7).ppf([0.1, 0.5, 0.9]), rel=1e-10)
    assert "I2" not in post.marginals


def test_moments_that_do_not_exist_are_infinite_and_say_so():
    """Three studies under a uniform prior: tau has no mean, mu no variance, and both say why."""
    post = fit(YI[:3], SEI[:3], mu="flat()", tau="uniform(0, inf)")
    assert post.tau.mean() == math.inf
    assert post.mu.sd() == math.inf
    assert post.theta_new.sd() == math.inf
    assert math.isfinite(post.theta["s0"].sd())
    assert "tau^-2" in " ".join(post.mu.notes)
    assert "SD of theta_new" in post.diagnostics.verdict


@pytest.mark.parametrize(("k", "finite"), [(5, False), (6, True)])
def test_the_variance_of_tau2_exists_from_a_tail_exponent_above_five(k, finite):
    """Under a uniform prior the density of tau falls as tau^-(k-1): its variance needs k - 1 > 5 and is then right."""
    post = fit(YI[: k + 1], SEI[: k + 1], mu="flat()", tau="uniform(0, inf)")
    assert math.isfinite(post["tau2"].sd()) == finite
    if finite:
        tau = post.tau
        second = integrate.quad(lambda u: math.exp(5 * u) * float(tau.pdf(math.exp(u))), -20, 12, epsabs=0, limit=400)[
            0
        ]
        # Beyond exp(12) the density is its power law: the integral of tau^(4 - k).
        rest = math.exp(60) * float(tau.pdf(math.exp(12))) / (k - 5)
        mean = post["tau2"].mean()
        assert post["tau2"].sd() == pytest.approx(math.sqrt(second + rest - mean**2), rel=1e-6)


@pytest.mark.parametrize("df", [0.01, 0.1, 0.5, 1.05])
def test_moments_that_barely_exist_are_right(df):
    """Variances whose integrals converge slowly agree with a trapezoidal sum that reaches as far, tail included."""
    post = fit([0.3, -0.2, 0.9], [0.2, 0.3, 0.25], mu="flat()", tau=f"half_student_t({df}, 0.5)")
    u = np.arange(-40.0, 60.0, 0.02)
    tau, a = np.exp(u), 3.0 + df
    mass = np.exp(post.tau.logpdf(tau) + u) * 0.02
    second = mass @ tau**2 - 0.5 * mass[-1] * tau[-1] ** 2 + mass[-1] / 0.02 * tau[-1] ** 2 / (a - 3.0)
    assert post.tau.sd() == pytest.approx(math.sqrt(second - (mass @ tau) ** 2), rel=1e-9)
    assert math.isfinite(post.mu.sd())


def test_the_sd_of_tau2_when_its_integral_barely_converges():
    """With a tail exponent of 5.05 the SD of tau squared hangs on tails a trapezoidal sum and a power law add up to."""
    post = fit([0.3, -0.2, 0.9], [0.2, 0.3, 0.25], mu="flat()", tau="half_student_t(2.05, 0.5)")
    u = np.arange(-40.0, 60.0, 0.02)
    tau = np.exp(u)
    mass = np.exp(post.tau.logpdf(tau) + u) * 0.02
    fourth = mass @ tau**4 - 0.5 * mass[-1] * tau[-1] ** 4 + mass[-1] / 0.02 * tau[-1] ** 4 / 0.05
    assert post["tau2"].sd() == pytest.approx(math.sqrt(fourth - (mass @ tau**2) ** 2), rel=1e-8)


def test_data_in_conflict_with_the_prior_keep_their_digits():
    """A prior ten thousand of its SDs away from the data: mu is the weighted average that tau implies."""
    post = fit(mu="normal(100, 0.01)")
    assert post.mu.mean() == pytest.approx(100.0, abs=1e-2)
    w = 1.0 / (SEI**2 + post.tau.median() ** 2)
    b = (w @ YI + 1e4 * 100) / (w.sum() + 1e4)
    assert post.mu.median() == pytest.approx(b, abs=1e-4)


@pytest.mark.parametrize("text", ["uniform(-1, 1)", "truncated(normal(0, 1), 0, inf)"])
def test_bounded_priors_of_mu_are_refused(text):
    """A prior of mu with bounds has no closed form here: the error names it and the way out."""
    with pytest.raises(bm.ModelError, match=r"not .*nuts"):
        fit(mu=text)


@pytest.mark.parametrize("text", ["normal(-1, 1)", "uniform(-0.5, 0.5)"])
def test_priors_that_let_tau_be_negative_are_refused(text):
    """A prior of tau must not reach below 0."""
    with pytest.raises(bm.ModelError, match="lets tau be negative"):
        fit(tau=text)


def test_precise_studies_far_apart_keep_their_digits():
    """Studies of every precision, 1e8 apart: each precise study's true effect is its own effect, to its own error."""
    post = fit([1e8, -1e8, 3.0], [1e-8, 1.0, 1e8], mu="flat()", tau="half_cauchy(1)")
    assert post.theta["s0"].mean() == 1e8
    assert post.theta["s1"].mean() == pytest.approx(-1e8, abs=1e-7)
    assert post.theta["s1"].sd() == pytest.approx(1.0, rel=1e-9)


def test_mass_beyond_the_range_of_doubles_is_an_error():
    """A prior whose mass does not fit between the smallest doubles is refused, not cut off in silence."""
    with pytest.raises((bm.ConvergenceError, bm.ModelError)):
        fit(tau="half_normal(1e-310)")
    with pytest.raises(bm.ConvergenceError, match="too heavy towards infinity"):
        fit(YI[:1], SEI[:1], mu="flat()", tau="log_student_t(3, -1.7, 1.3)")


def on_the_log_axis(yi, sei, mu_sd, log_prior):
    """Sum over u = log tau = sinh(t), tau never computed.

    Return u, the log prior masses, the log likelihoods where u < 300, the power of tau it falls by beyond, and mean
    over SD of mu given tau.
    """
    t = np.arange(-60.0, 60.0, 5e-4)
    u = np.sinh(t)
    log_total = np.logaddexp(np.log(sei**2)[:, None], 2.0 * np.minimum(u, 300.0))
    base = log_total.min(axis=0)
    w = np.exp(base - log_total)
    flat = math.isinf(mu_sd)
    log_a = np.log(w.sum(axis=0)) - base
    if not flat:
        log_a = np.logaddexp(log_a, -2.0 * math.log(mu_sd))
    mean = np.exp(-base - log_a) * (w * yi[:, None]).sum(axis=0)
    rss = np.exp(-base) * (w * yi[:, None] ** 2).sum(axis=0) - mean**2 * np.exp(log_a)
    loglik = -0.5 * (log_total.sum(axis=0) + log_a + rss + (len(yi) - flat) * math.log(2.0 * math.pi))
    loglik -= 0.0 if flat else math.log(mu_sd)
    return u, log_prior(u) + np.log(5e-4 * np.cosh(t)), loglik, len(yi) - flat, mean * np.exp(0.5 * log_a)


@pytest.mark.parametrize("df", [0.5, 1.0, 3.0, 5.0])
@pytest.mark.parametrize("mu_sd", [2.82, math.inf])
def test_a_log_student_t_prior_of_any_weight_equals_a_sum_on_the_log_axis(df, mu_sd):
    """Evidence, probabilities and moments are right though the tails go beyond doubles and fall by logarithms alone."""
    yi, sei = np.array([-2.3, -0.45]), np.array([0.6, 0.55])
    mu = "flat()" if math.isinf(mu_sd) else f"normal(0, {mu_sd})"
    post = fit(yi, sei, mu=mu, tau=f"log_student_t({df}, -1.72, 1.3)")
    u, log_prior, loglik, power, z = on_the_log_axis(yi, sei, mu_sd, stats.t(df, -1.72, 1.3).logpdf)
    far = np.maximum(u - 300.0, 0.0)
    log_z = special.logsumexp(log_prior + loglik - power * far)
    mass = np.exp(log_prior + loglik - power * far - log_z)
    assert post.details.log_normaliser == pytest.approx(log_z, abs=2e-10)
    assert post.mu.cdf(0.0) == pytest.approx(mass @ stats.norm.cdf(-z), abs=1e-10)
    for node in np.searchsorted(u, np.log([0.01, 0.3, 2.0, 50.0])):
        below = mass[:node].sum() + 0.5 * mass[node]
        assert post.tau.cdf(math.exp(u[node])) == pytest.approx(below, abs=1e-8)

    def moment(r):
        return math.exp(special.logsumexp(log_prior + loglik + r * np.minimum(u, 300.0) - (power - r) * far - log_z))

    # The moment of just the power by which the likelihood falls exists by the prior's logarithms alone.
    assert post.tau.mean() == pytest.approx(moment(1), rel=1e-8)
    if math.isinf(mu_sd):
        assert post.tau.sd() == math.inf
    else:
        assert post.tau.sd() == pytest.approx(math.sqrt(moment(2) - moment(1) ** 2), rel=1e-8)


def test_a_pole_at_zero_of_almost_all_mass_is_integrated():
    """A gamma prior of shape 0.01 has a thousandth of its mass below every double, and the evidence counts it."""
    post = fit(tau="gamma(0.01, 1)")
    far = post.tau.cdf(1e-140)
    u = np.arange(math.log(1e-140), 4.0, 0.002)
    null = fit(tau="point(0)").log_evidence
    prior = parse_prior("gamma(0.01, 1)")
    assert far == pytest.approx(float(prior.cdf(1e-140)) * math.exp(null - post.log_evidence), rel=1e-9)
    mass = 0.002 * np.exp(post.tau.logpdf(np.exp(u)) + u)
    assert far + mass.sum() - 0.5 * (mass[0] + mass[-1]) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("a", [0.001, 0.005, 0.02])
@pytest.mark.parametrize("on", ["tau", "tau2"])
@pytest.mark.parametrize("mu", ["flat()", "normal(0, 1)"])
def test_quantiles_under_a_tail_that_barely_ends(a, on, mu):
    """Vague inverse gamma priors spread nodes over hundreds of powers of ten: quantiles are those of a plain sum."""
    yi, sei = np.array([0.1, 0.8]), np.array([0.2, 0.5])
    prior = parse_prior(f"{'tau2~' if on == 'tau2' else ''}inverse_gamma({a}, {a})")
    precision = 0.0 if mu == "flat()" else 1.0

    def given(t):
        """Return log density of t = log tau, and mean and SD of mu."""
        v = sei**2 + math.exp(min(2.0 * t, 690.0))
        total = float(np.sum(1.0 / v)) + precision
        mean = float(np.sum(yi / v)) / total
        fit_ = -0.5 * (np.sum(np.log(v)) + math.log(total) + np.sum(yi**2 / v) - total * mean**2)
        return float(prior.logpdf(math.exp(t))) + t + fit_, mean, total**-0.5

    t = np.linspace(-60.0, 340.0, 40_001)
    log, mean, sd = (np.array(x) for x in zip(*map(given, t), strict=True))
    mass = np.exp(log - log.max())
    mass /= mass.sum()
    post = fit(yi, sei, mu=mu, tau=f"{'tau2~' if on == 'tau2' else ''}inverse_gamma({a}, {a})")
    for q in (0.025, 0.3, 0.5, 0.975):
        x = float(post.mu.ppf(q))
        assert float(mass @ stats.norm.cdf(x, mean, sd)) == pytest.approx(q, abs=1e-8)
        assert float(post.mu.cdf(x)) == pytest.approx(q, abs=1e-13)
        assert float(post.theta_new.cdf(post.theta_new.ppf(q))) == pytest.approx(q, abs=1e-13)
