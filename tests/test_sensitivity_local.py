"""Power-scaling, prior-data conflict and priors in words, each against closed forms or brute-force draws."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.stats import norm

import bayesmeta as bm
from bayesmeta.errors import DataError, ModelError
from bayesmeta.priors import parse_prior
from bayesmeta.resources import data_dir
from bayesmeta.sensitivity import power_scaling, prior_data_conflict, priors_in_words
from bayesmeta.sensitivity.power import ScaledPrior, diagnosis, distance, scaled_prior


@pytest.fixture(scope="module")
def effects():
    return bm.effect_sizes(bm.read_studies(data_dir() / "rescue_stenting.csv", outcome="mortality"), "OR")


@pytest.fixture(scope="module")
def posterior(effects):
    return bm.fit(effects, engine="quadrature")


@pytest.mark.parametrize("alpha", [0.7, 0.99, 2.0])
@pytest.mark.parametrize(
    "text", ["normal(0.3, 0.7)", "student_t(4, 0.1, 0.5)", "cauchy(0, 1)", "half_normal(0.5)", "log_normal(-2, 0.6)"]
)
def test_a_prior_raised_to_a_power_has_that_density(text, alpha):
    """The log density is alpha times the original's, up to a constant."""
    prior = parse_prior(text)
    x = np.array([0.05, 0.3, 1.0, 2.5])
    found = scaled_prior(prior, alpha).logpdf(x) - alpha * prior.logpdf(x)
    np.testing.assert_allclose(found, found[0], rtol=1e-10)


def test_the_scaled_prior_integrates_as_the_family_it_belongs_to(effects):
    """A half-normal prior to a power, given as a bare density, gives the posterior of the narrower half-normal."""
    from bayesmeta.engines import ENGINES
    from bayesmeta.model import load_model

    model, mu = load_model("normal_normal"), parse_prior("normal(0, 2.82)")
    found = ENGINES["quadrature"](model, effects, {"mu": mu, "tau": ScaledPrior(parse_prior("half_normal(0.5)"), 2.0)})
    own = bm.fit(effects, priors={"tau": f"half_normal({0.5 / math.sqrt(2)!r})"}, engine="quadrature")
    assert found.mu.mean() == pytest.approx(own.mu.mean(), rel=1e-9)
    assert found.tau.median() == pytest.approx(own.tau.median(), rel=1e-9)


def test_the_distance_of_two_normals_is_that_of_brute_force(effects):
    """The distance equals the integral of the definition on a grid a hundred times finer."""
    p = bm.fit(effects, model="common_effect", engine="quadrature").mu
    q = bm.fit(effects, model="common_effect", priors={"mu": "normal(0, 0.5)"}, engine="quadrature").mu
    x = np.linspace(float(p.ppf(1 / 8000)), float(p.ppf(1 - 1 / 8000)), 40_001)

    def one_way(a, b):
        return np.trapezoid(a * np.log2(2 * a / (a + b)), x) + np.trapezoid(b - a, x) / (2 * math.log(2))

    both = []
    for f in ("cdf", "sf"):
        a, b = (norm.cdf if f == "cdf" else norm.sf)(x, p.mean(), p.sd()), getattr(q, f)(x)
        both.append(math.sqrt((one_way(a, b) + one_way(b, a)) / np.trapezoid(a + b, x)))
    assert distance(p, q) == pytest.approx(max(both), rel=1e-3)
    assert distance(p, p) == 0.0


@pytest.mark.parametrize("tau", [None, "dumouchel()"])
def test_power_scaling_agrees_with_importance_weighted_draws(effects, tau):
    """Exact sensitivities agree with ArviZ's psense of 20,000 independent draws."""
    posterior = bm.fit(effects, priors={} if tau is None else {"tau": tau}, engine="quadrature")
    exact = {s.quantity: s for s in power_scaling(posterior)}
    tree = posterior.to_datatree(draws=20_000, seed=3)
    drawn = dataclasses.replace(posterior, engine="nuts", datatree=lambda draws, seed: tree)
    for s in power_scaling(drawn):
        own = exact[s.quantity]
        # The range of the axis is that of the draws, which differs from that of the exact integral by some percent.
        assert s.prior == pytest.approx(own.prior, rel=0.2, abs=0.005)
        assert s.likelihood == pytest.approx(own.likelihood, rel=0.2, abs=0.005)
        assert s.by_prior["tau"] == pytest.approx(own.by_prior["tau"], rel=0.2, abs=0.005)


def test_a_scaled_likelihood_of_student_effects_is_that_of_wider_estimates(effects):
    """The power of N(y; theta, s) is N(y; theta, s / sqrt(power)): the mean of both distances to such fits."""
    posterior = bm.fit(effects, "robust_t", engine="quadrature")
    found = {s.quantity: s.likelihood for s in power_scaling(posterior)}
    for name in ("mu", "tau", "theta_new"):
        slopes = []
        for power in (0.99, 1.01):
            wider = dataclasses.replace(effects, sei=effects.sei / math.sqrt(power), counts=None)
            other = bm.fit(wider, "robust_t", engine="quadrature")
            slopes.append(distance(posterior[name], other[name]) / abs(math.log2(power)))
        assert found[name] == pytest.approx(np.mean(slopes), rel=1e-6)


def test_a_flat_prior_has_no_sensitivity(effects):
    """Raised to any power a flat prior stays flat, so mu does not react to it."""
    found = power_scaling(bm.fit(effects, priors={"mu": "flat()"}, engine="quadrature"))
    assert all(s.by_prior["mu"] == pytest.approx(0.0, abs=1e-6) for s in found)


def test_a_prior_against_the_data_shows_as_conflict(effects):
    """A confident prior far from the data reacts to prior and likelihood alike."""
    priors = {"mu": "normal(3, 0.5)", "tau": "log_normal(-4, 0.3)"}
    found = {s.quantity: s for s in power_scaling(bm.fit(effects, priors=priors, engine="quadrature"))}
    assert found["mu"].diagnosis == "possible conflict of prior and data"
    assert diagnosis(0.2, 0.01) == "strong prior or weak likelihood"
    assert diagnosis(0.01, 0.3) == "no sign of prior sensitivity"


def test_a_mixture_has_no_power_in_closed_form(effects):
    """A mixture prior of mu raised to a power is refused with what to do instead."""
    post = bm.fit(effects, priors={"mu": "0.5*normal(0, 1) + 0.5*normal(0, 3)"}, engine="quadrature")
    with pytest.raises(ModelError, match="engine='nuts'"):
        power_scaling(post)


@pytest.mark.parametrize(
    ("mu", "tau"), [("normal(0, 2.82)", "half_normal(0.5)"), ("normal(1, 0.5)", "log_normal(-3, 0.5)")]
)
def test_conflict_tail_areas_are_those_of_simulated_data(effects, mu, tau):
    """Tail areas equal those of 20,000 data sets simulated from the priors, within four standard errors."""
    rng = np.random.default_rng(11)
    n = 20_000
    draw = {"mu": parse_prior(mu).ppf(rng.random(n)), "tau": parse_prior(tau).ppf(rng.random(n))}
    y = draw["mu"] + np.sqrt(effects.vi[:, None] + draw["tau"] ** 2) * rng.standard_normal((effects.k, n))
    w = 1 / effects.vi
    mean = w @ y / w.sum()
    simulated = {"mu": mean, "tau": w @ (y - mean) ** 2}
    for found in prior_data_conflict(effects, priors={"mu": mu, "tau": tau}):
        below = float(np.mean(simulated[found.parameter] <= found.observed))
        assert found.below == pytest.approx(below, abs=4 * math.sqrt(0.25 / n))
        assert found.below + found.above == pytest.approx(1.0, abs=1e-9)
        assert found.p == min(1.0, 2 * min(found.below, found.above))


def test_conflict_under_a_known_tau_of_zero_is_the_classical_q_test(effects):
    """Without heterogeneity the tail area of Q is its chi-square p-value."""
    fit = bm.frequentist.pool(effects, method="DL")
    found = prior_data_conflict(effects, priors={"tau": "point(0)"})[0]
    assert found.above == pytest.approx(fit.Q_p, abs=1e-9)


def test_improper_priors_predict_nothing(effects):
    """Checks of improper priors are left out, and data that are no effect sizes are refused."""
    assert [c.parameter for c in prior_data_conflict(effects, priors={"mu": "flat()"})] == ["tau"]
    assert prior_data_conflict(effects, priors={"tau": "uniform()"}) == ()
    with pytest.raises(DataError, match="effect_sizes"):
        prior_data_conflict([0.1, 0.2])
    with pytest.raises(ModelError, match="normal or a flat"):
        prior_data_conflict(effects, priors={"mu": "cauchy(0, 1)"})


def test_priors_in_words_are_their_quantiles():
    """The factor in the sentence is exp(3.92 tau) at the prior's median, and the interval its own 95%."""
    lines = priors_in_words("normal(0, 2.82)", "half_normal(0.5)")
    assert "OR 0.00398 to 251 with probability 95%" in lines[0]
    assert f"within a factor of {math.exp(3.92 * 0.5 * norm.ppf(0.75)):.2f} of each other" in lines[1]
    assert "new study" in lines[2]
    assert "improper" in priors_in_words("flat()", "uniform()")[0]
    assert "one true effect" in priors_in_words("normal(0, 1)")[1]
    assert "lie within" in priors_in_words("normal(0, 1)", "half_normal(0.1)", measure="RD")[1]


def test_a_new_study_in_words_is_the_prior_predictive():
    """The interval of a new study's effect is that of draws from both priors."""
    rng = np.random.default_rng(2)
    n = 200_000
    new = 0.5 * rng.standard_normal(n) + np.abs(0.4 * rng.standard_normal(n)) * rng.standard_normal(n)
    line = priors_in_words("normal(0, 0.5)", "half_normal(0.4)")[2]
    low, high = (float(word) for word in line.split("OR ")[1].split(" with")[0].split(" to "))
    assert (math.log(low), math.log(high)) == pytest.approx(tuple(np.quantile(new, [0.025, 0.975])), abs=0.03)
