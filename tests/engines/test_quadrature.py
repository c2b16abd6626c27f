"""The quadrature engine: identities, extremes, conditions for a posterior, draws."""

import math
from pathlib import Path

import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

import bayesmeta as bm
from bayesmeta.engines.gaussian.integrate import integrate as solve
from bayesmeta.model import independent_studies
from bayesmeta.priors import Flat, HalfNormal, Normal

RNG = np.random.default_rng(20)
YI, SEI = RNG.normal(0.3, 0.4, 10), RNG.uniform(0.1, 0.6, 10)


def effects(yi, sei):
    return bm.EffectSizes(yi=yi, sei=sei, study=[f"s{i}" for i in range(len(yi))], measure="GEN")


def fit(yi=YI, sei=SEI, mu="normal(0, 2.82)", tau="half_normal(0.5)", **options):
    return bm.fit(effects(yi, sei), priors={"mu": mu, "tau": tau}, engine="quadrature", **options)


def inverse_variance(yi, sei, tau=0.0):
    w = 1.0 / (np.asarray(sei) ** 2 + tau**2)
    return float(w @ yi / w.sum()), float(w.sum() ** -0.5)


studies = st.integers(2, 6).flatmap(
    lambda k: st.tuples(
        st.lists(st.floats(-3, 3), min_size=k, max_size=k), st.lists(st.floats(0.05, 2), min_size=k, max_size=k)
    )
)


@examples(25)
@given(studies, st.floats(-50, 50), st.floats(1e-6, 1e6))
def test_moves_and_stretches_with_the_data(data, shift, scale):
    """Moving all effects moves mu; changing the unit of data and priors changes every answer by that unit."""
    yi, sei = (np.array(a) for a in data)
    post = fit(yi, sei, mu="flat()")
    other = fit(scale * (yi + shift), scale * sei, mu="flat()", tau=f"half_normal({0.5 * scale!r})")
    limits = scale * (np.array(list(post.mu.eti())) + shift)
    assert np.allclose(list(other.mu.eti()), limits, rtol=0, atol=1e-9 * scale * (post.mu.sd() + abs(shift)))
    assert list(other.tau.eti()) == pytest.approx([scale * x for x in post.tau.eti()], rel=1e-8)


@examples(15)
@given(studies)
def test_flat_mu_and_fixed_tau_give_the_classical_estimate(data):
    """With tau fixed and mu flat, the posterior is the inverse-variance estimate with its standard error."""
    yi, sei = data
    post = fit(yi, sei, mu="flat()", tau="point(0.4)")
    mean, se = inverse_variance(yi, sei, 0.4)
    assert post.mu.mean() == pytest.approx(mean, abs=1e-12)
    assert post.mu.sd() == pytest.approx(se, rel=1e-12)
    assert post.mu.ppf(0.975) == pytest.approx(mean + se * stats.norm.ppf(0.975), abs=1e-11)


@pytest.mark.parametrize("scale", [1e-6, 1e-9])
def test_tau_prior_going_to_zero_gives_the_common_effect_posterior(scale):
    """A prior of tau ever closer to 0 gives the common-effect posterior."""
    post = fit(mu="flat()", tau=f"half_normal({scale})")
    mean, se = inverse_variance(YI, SEI)
    assert post.mu.mean() == pytest.approx(mean, abs=1e-9)
    assert post.mu.sd() == pytest.approx(se, rel=1e-9)


def test_splitting_a_precise_study_leaves_mu_unchanged_in_the_common_effect_limit():
    """Two halves of a study, each with twice its variance, say the same as the study."""
    halves = np.append(YI, YI[0]), np.append(SEI, SEI[0] * math.sqrt(2))
    halves[1][0] *= math.sqrt(2)
    whole, split = fit(tau="half_normal(1e-7)"), fit(*halves, tau="half_normal(1e-7)")
    assert split.mu.mean() == pytest.approx(whole.mu.mean(), abs=1e-9)
    assert split.mu.sd() == pytest.approx(whole.mu.sd(), rel=1e-9)


@pytest.mark.parametrize("tau", ["half_normal(0.5)", "half_cauchy(0.5)", "log_normal(-2, 0.7)", "uniform(0, 4)"])
def test_evidence_is_the_product_of_sequential_predictions(tau):
    """Log evidence adds up over studies: each one's predictive density given those before it."""
    total = fit(YI[:1], SEI[:1], tau=tau).log_evidence
    for k in range(1, 4):
        before = fit(YI[:k], SEI[:k], tau=tau)
        # Predictive density of study k: the new study's true effect, blurred by its standard error.
        new = before.theta_new
        spread = np.sqrt(new.sds**2 + SEI[k] ** 2)
        total += math.log(float(new.weights @ stats.norm.pdf(YI[k], new.origin + new.means, spread)))
        assert fit(YI[: k + 1], SEI[: k + 1], tau=tau).log_evidence == pytest.approx(total, abs=1e-9)


def gauss(low, high, panels):
    """Return nodes and weights of composite Gauss-Legendre quadrature."""
    x, w = np.polynomial.legendre.leggauss(20)
    edges = np.linspace(low, high, panels + 1)
    half = 0.5 * np.diff(edges)[:, None]
    return (edges[:-1, None] + half + half * x).ravel(), (half * w).ravel()


def brute_force(yi, v, mu_logpdf):
    """Return evidence and mean of mu by plain integration over mu and tau."""
    mu, w_mu = gauss(-12, 12, 60)
    tau, w_tau = gauss(0, 5, 15)
    loglik = sum(stats.norm.logpdf(y, mu[:, None], np.sqrt(s2 + tau**2)) for y, s2 in zip(yi, v, strict=True))
    joint = np.exp(loglik + mu_logpdf(mu)[:, None] + stats.halfnorm(scale=0.5).logpdf(tau)) * w_mu[:, None] * w_tau
    return joint.sum(), (joint.sum(axis=1) @ mu) / joint.sum()


@pytest.mark.parametrize(
    ("text", "frozen"),
    [
        ("student_t(4, 0.1, 0.5)", stats.t(4, 0.1, 0.5)),
        ("cauchy(0, 0.3)", stats.cauchy(0, 0.3)),
        ("normal(0, 1)", stats.norm(0, 1)),
    ],
)
def test_priors_of_mu_agree_with_brute_force(text, frozen):
    """Student-t and Cauchy priors of mu, as scale mixtures, agree with two-dimensional integration."""
    yi, sei = YI[:3], SEI[:3]
    post = fit(yi, sei, mu=text)
    evidence, mean = brute_force(yi, sei**2, frozen.logpdf)
    assert post.log_evidence == pytest.approx(math.log(evidence), abs=1e-10)
    assert post.mu.mean() == pytest.approx(mean, abs=1e-10)


def test_a_mixture_prior_is_the_average_of_its_parts():
    """Evidence and posterior of a robust mixture are those of its parts, weighted by their evidence."""
    parts = [fit(mu="normal(0, 0.1)"), fit(mu="normal(0, 3)")]
    mixed = fit(mu="0.8*normal(0, 0.1) + 0.2*normal(0, 3)")
    evidence = [w * math.exp(p.log_evidence) for w, p in zip((0.8, 0.2), parts, strict=True)]
    assert mixed.log_evidence == pytest.approx(math.log(sum(evidence)), abs=1e-11)
    share = evidence[0] / sum(evidence)
    expected = share * parts[0].mu.cdf(0.2) + (1 - share) * parts[1].mu.cdf(0.2)
    assert mixed.mu.cdf(0.2) == pytest.approx(expected, abs=1e-12)


def test_coefficients_agree_with_generalised_least_squares_integrated_by_scipy():
    """A meta-regression on calendar year, badly scaled on purpose, agrees with scipy to 1e-9."""
    year = np.array([1981.0, 1985, 1990, 1991, 1999, 2003, 2004, 2010, 2015, 2019])
    X = np.column_stack([np.ones(10), year])
    v, tau = SEI**2, HalfNormal(0.5)

    def conditional(t):
        w = 1.0 / (v + t**2)
        A = X.T * w @ X
        b = np.linalg.solve(A, X.T @ (w * YI))
        loglik = -0.5 * (8 * math.log(2 * math.pi) + np.log(v + t**2).sum() + np.linalg.slogdet(A)[1])
        return loglik - 0.5 * float(w @ (YI - X @ b) ** 2), b, np.linalg.inv(A)

    def expect(g):
        return integrate.quad(
            lambda t: math.exp(conditional(t)[0] + tau.logpdf(t)) * g(*conditional(t)[1:]),
            0,
            6,
            epsrel=1e-11,
            limit=200,
        )[0]

    given = independent_studies(tuple("abcdefghij"), YI, v, X, ("intrcpt", "year"), (Flat(), Flat()), tau)
    solved = solve(given)
    z = expect(lambda b, V: 1.0)
    assert solved.log_normaliser == pytest.approx(math.log(z), abs=1e-9)
    slope = solved.linear([0.0, 1.0])
    assert slope.mean() == pytest.approx(expect(lambda b, V: b[1]) / z, abs=1e-9 * slope.sd())
    cdf = expect(lambda b, V: stats.norm.cdf((0.01 - b[1]) / math.sqrt(V[1, 1]))) / z
    assert slope.cdf(0.01) == pytest.approx(cdf, abs=1e-9)
    row = np.array([1.0, 2000.0])
    fitted = solved.linear(row)
    assert fitted.mean() == pytest.approx(expect(lambda b, V: row @ b) / z, abs=1e-8 * fitted.sd())


def test_common_effect_model_has_no_tau():
    """Without tau every study's true effect is mu, and asking for tau names what there is."""
    post = bm.fit(effects(YI, SEI), "common_effect", priors={"mu": "flat()"}, engine="quadrature")
    mean, se = inverse_variance(YI, SEI)
    assert post.mu.mean() == pytest.approx(mean, abs=1e-13)
    assert post.theta["s3"].sd() == pytest.approx(se, rel=1e-12)
    with pytest.raises(bm.ModelError, match="tau"):
        post.tau.mean()


def test_joint_density_integrates_to_the_marginal():
    """The joint density of (mu, tau), integrated over mu, is the density of tau; over tau, that of mu."""
    post = fit()
    over_mu = integrate.quad(lambda m: float(post.joint_density(m, 0.2)), -4, 4, epsabs=1e-12)[0]
    assert over_mu == pytest.approx(post.tau.pdf(0.2), rel=1e-9)
    over_tau = integrate.quad(lambda t: float(post.joint_density(0.3, t)), 0, 5, epsabs=1e-12)[0]
    assert over_tau == pytest.approx(post.mu.pdf(0.3), rel=1e-9)
    assert post.joint_density(np.zeros((3, 1)), np.array([-1.0, 0.1])).shape == (3, 2)


@pytest.mark.parametrize("study", [None, "s0", "s9"])
def test_weights_add_up_and_give_the_mean(study):
    """Weights add up to one; with a flat prior and fixed tau they reproduce the posterior mean."""
    assert sum(fit().weights(study).values()) == pytest.approx(1.0, abs=1e-12)
    post = fit(mu="flat()", tau="point(0.3)")
    weights = np.array(list(post.weights(study).values()))
    mean = (post.mu if study is None else post.theta[study]).mean()
    assert weights @ YI == pytest.approx(mean, abs=1e-12)


def test_draws_follow_the_marginals_and_depend_on_the_seed_alone():
    """ECDFs of exact draws stay within the Kolmogorov band of the marginals; a seed fixes them."""
    post = fit(tau="half_cauchy(0.5)", seed=3)
    tree = post.to_datatree(draws=4000, seed=11)["posterior"]
    draws = {name: np.asarray(tree[name]).ravel() for name in ("mu", "tau", "theta_new")}
    draws["s4"] = np.asarray(tree["theta"].sel(study="s4")).ravel()
    for name, values in draws.items():
        marginal = post.theta[name] if name == "s4" else post[name]
        assert stats.kstest(values, lambda x, m=marginal: np.asarray(m.cdf(x))).pvalue > 1e-3
    # theta and mu are drawn jointly: theta's distance from mu, standardised by tau, is what the model says on average.
    theta = np.asarray(tree["theta"])[0]
    precise = post.theta["s4"].mean()
    assert abs(theta[:, 4].mean() - precise) < 5 * post.theta["s4"].sd() / math.sqrt(4000)
    again = post.to_datatree(draws=4000, seed=11)["posterior"]
    assert np.array_equal(np.asarray(again["mu"]), np.asarray(tree["mu"]))
    assert not np.array_equal(
        np.asarray(post.to_datatree(draws=4000, seed=12)["posterior"]["mu"]), np.asarray(tree["mu"])
    )


def test_draws_of_coefficients_and_mixture_priors():
    """Draws under a mixture prior follow its posterior, two-peaked as it is."""
    post = fit(YI[:2], SEI[:2], mu="0.5*normal(-1, 0.05) + 0.5*normal(1.5, 0.05)")
    values = np.asarray(post.to_datatree(draws=3000, seed=1)["posterior"]["mu"]).ravel()
    assert stats.kstest(values, lambda x: np.asarray(post.mu.cdf(x))).pvalue > 1e-3


def test_every_result_has_its_error_estimate():
    """The error estimate is in the diagnostics, small, and an unreachable tolerance is an error, not a number."""
    post = fit()
    assert 0.0 <= post.diagnostics.figures["error_estimate"] < 1e-10
    assert post.diagnostics.figures["nodes"] > 50
    with pytest.raises(bm.ConvergenceError, match="Refining"):
        fit(YI, SEI, mu="student_t(4, 0, 1)", tolerance=1e-18)


def test_a_logistic_prior_of_mu_is_integrated_in_two_dimensions():
    """A smooth prior of mu that is no mixture of normals agrees with plain integration."""
    yi, sei = YI[:3], SEI[:3]
    post = fit(yi, sei, mu="logistic(0, 0.4)")
    evidence, mean = brute_force(yi, sei**2, stats.logistic(0, 0.4).logpdf)
    assert post.log_evidence == pytest.approx(math.log(evidence), abs=1e-9)
    assert post.mu.mean() == pytest.approx(mean, abs=1e-9)


def test_one_and_two_dimensions_agree(monkeypatch):
    """The two-dimensional engine, given normal likelihoods, finds what the closed form finds."""
    closed = fit(mu="student_t(4, 0, 1)")
    monkeypatch.setattr("bayesmeta.engines.quadrature.is_normal_mixture", lambda prior: False)
    plane = fit(mu="student_t(4, 0, 1)")
    assert plane.log_evidence == pytest.approx(closed.log_evidence, abs=1e-9)
    for q in (0.025, 0.5, 0.975):
        assert plane.mu.ppf(q) == pytest.approx(closed.mu.ppf(q), abs=1e-9)
        assert plane.tau.ppf(q) == pytest.approx(closed.tau.ppf(q), abs=1e-9)
        assert plane.theta["s2"].ppf(q) == pytest.approx(closed.theta["s2"].ppf(q), abs=1e-8)
        assert plane.theta_new.ppf(q) == pytest.approx(closed.theta_new.ppf(q), abs=1e-8)


@pytest.mark.parametrize(
    ("outcome", "above", "expected"),
    [("favourable_outcome", True, 0.99884), ("mortality", False, 0.98605), ("symptomatic_ich", False, 0.84275)],
)
def test_rescue_stenting(outcome, above, expected):
    """Probabilities of benefit and harm of rescue stenting, 0.5 added in studies with a zero cell only."""
    table = bm.read_studies(Path(__file__).parents[2] / "data" / "rescue_stenting.csv", outcome=outcome)
    post = bm.fit(bm.effect_sizes(table, measure="OR"), engine="quadrature")
    probability = bm.probability(post.mu, above=0.0) if above else bm.probability(post.mu, below=0.0)
    assert probability == pytest.approx(expected, abs=5.01e-6)


def test_normal_priors_of_a_flat_limit():
    """A very wide normal prior of mu gives the posterior of a flat one."""
    wide, flat = fit(mu=Normal(0.0, 1e5)), fit(mu="flat()")
    assert wide.mu.ppf(0.9) == pytest.approx(flat.mu.ppf(0.9), abs=1e-8)


@pytest.mark.parametrize("tau", ["half_normal(0.5)", "point(0.2)"])
def test_a_level_that_no_study_has_any_more_leaves_its_coefficient_the_prior(tau):
    """A column of zeros changes nothing about the others, and its own coefficient has the prior's moments."""
    y, s = np.array([0.1, -0.4, 0.3, -0.2]), np.array([0.2, 0.3, 0.4, 0.15])
    priors = {"beta": "normal(0.3, 1)", "tau": tau}
    X = np.ones((4, 1))
    alone, beside = (
        bm.fit(bm.EffectSizes(y, s, X=x, terms=terms), "meta_regression", priors=priors)
        for x, terms in ((X, ("intercept",)), (np.column_stack([X, 0.0 * X]), ("intercept", "arm[b]")))
    )
    assert beside["beta[intercept]"].sd() == pytest.approx(alone["beta[intercept]"].sd(), rel=1e-12)
    assert beside.log_evidence == pytest.approx(alone.log_evidence, abs=1e-12)
    assert (beside["beta[arm[b]]"].mean(), beside["beta[arm[b]]"].sd()) == pytest.approx((0.3, 1.0))
