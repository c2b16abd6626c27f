"""Bayes factors, model averages, divergences and predictive p-values."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

import bayesmeta as bm
from bayesmeta.errors import DataError
from bayesmeta.evidence.divergence import kl_normal
from bayesmeta.model import load_model
from bayesmeta.resources import data_dir

GOLDEN = json.loads((Path(__file__).parent / "golden" / "bayesmeta_misc.json").read_text(encoding="utf-8"))["results"]
EFFECTS = bm.EffectSizes(yi=[0.9, 0.2, 0.6, -0.1], sei=[0.3, 0.25, 0.4, 0.5], study=["a", "b", "c", "d"])


def fit(mu="normal(0, 1)", tau="half_normal(0.5)"):
    return bm.fit(EFFECTS, priors={"mu": mu, "tau": tau}, engine="quadrature")


@pytest.mark.parametrize("case", sorted(GOLDEN["kldiv"]))
def test_kullback_leibler_of_normals_agrees_with_bayesmeta(case):
    """Divergence, and the sum of both directions, agree with the R package."""
    given = GOLDEN["kldiv"][case]
    one = given["mu1"], given["sigma1"]["rows"]
    two = given["mu2"], given["sigma2"]["rows"]
    assert kl_normal(*one, *two) == pytest.approx(given["kl"], rel=1e-12)
    assert kl_normal(*one, *two) + kl_normal(*two, *one) == pytest.approx(given["sym"], rel=1e-12)


def test_kullback_leibler_of_marginals_agrees_with_the_closed_form():
    """With tau fixed, posteriors of mu are normal, and their divergence is the closed form."""
    one, two = fit(tau="point(0)").mu, fit(tau="point(0.4)").mu
    expected = kl_normal(one.mean(), one.sd() ** 2, two.mean(), two.sd() ** 2)
    assert bm.kl_divergence(one, two) == pytest.approx(expected, rel=1e-9)


def test_bayes_factor_of_a_value_is_the_density_ratio():
    """Savage-Dickey: the Bayes factor of mu = 0 is posterior over prior density there."""
    post = fit()
    assert bm.bayes_factor_null(post, mu=0.0) == pytest.approx(float(post.mu.pdf(0.0)) / stats.norm.pdf(0.0), rel=1e-9)
    ratio = float(post.tau.pdf(0.0)) / stats.halfnorm(scale=0.5).pdf(0.0)
    assert bm.bayes_factor_null(post, tau=0.0) == pytest.approx(ratio, rel=1e-9)


def test_bayes_factors_chain():
    """The Bayes factor of a against c is that of a against b times that of b against c."""
    a, b, c = fit(), fit(tau="half_cauchy(0.5)"), fit(tau="point(0)")
    assert bm.bayes_factor(a, c) == pytest.approx(bm.bayes_factor(a, b) * bm.bayes_factor(b, c), rel=1e-12)


def test_an_improper_prior_has_no_bayes_factor():
    """With a flat prior there is no evidence; the error names the prior."""
    with pytest.raises(bm.ModelError, match=r"mu ~ flat\(\)"):
        bm.bayes_factor_null(fit(mu="flat()"), tau=0.0)


def test_other_studies_cannot_be_compared():
    """Fits to different studies have no Bayes factor and no average."""
    other = bm.fit(EFFECTS.drop(["a"]), priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"}, engine="quadrature")
    with pytest.raises(bm.DataError):
        bm.bayes_factor(fit(), other)
    with pytest.raises(bm.DataError):
        bm.model_average([fit(), other])


def test_average_over_priors_is_the_fit_with_their_mixture():
    """Averaging over two priors of mu is fitting with their mixture as the prior."""
    average = bm.model_average([fit(mu="normal(0, 0.2)"), fit(mu="normal(0, 3)")], weights=[1, 3])
    mixed = fit(mu="0.25*normal(0, 0.2) + 0.75*normal(0, 3)")
    assert average.log_evidence == pytest.approx(mixed.log_evidence, abs=1e-11)
    for name in ("mu", "tau", "theta_new", "I2"):
        assert list(average[name].eti()) == pytest.approx(list(mixed[name].eti()), abs=1e-9)
        assert average[name].mean() == pytest.approx(mixed[name].mean(), abs=1e-9)
        assert average[name].sd() == pytest.approx(mixed[name].sd(), rel=1e-9)
    assert average.theta["b"].ppf(0.2) == pytest.approx(mixed.theta["b"].ppf(0.2), abs=1e-9)


def test_average_with_the_common_effect_has_an_atom_at_zero():
    """Averaging with tau = 0 leaves its posterior probability exactly there."""
    average = bm.model_average([fit(), fit(tau="point(0)")])
    share = float(average.details.weights[1])
    assert average.tau.cdf(0.0) == pytest.approx(share)
    included = average.details.inclusion_bayes_factor([True, False])
    assert included == pytest.approx(1.0 / bm.bayes_factor_null(fit(), tau=0.0), rel=1e-9)
    draws = average.to_datatree(draws=2000, seed=2)["posterior"]
    assert float((draws["tau"] == 0).mean()) == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / 2000))
    assert stats.kstest(np.asarray(draws["mu"]).ravel(), lambda x: np.asarray(average.mu.cdf(x))).pvalue > 1e-3


def test_predictive_p_is_uniform_in_the_middle_and_small_for_an_effect():
    """Data at the null have a large p-value, data far from it a small one; a seed fixes both."""
    null = bm.EffectSizes(yi=[0.02, -0.01, 0.0, 0.01], sei=[0.3] * 4)
    strong = bm.EffectSizes(yi=[1.2, 1.0, 1.1, 1.3], sei=[0.2] * 4)
    priors = {"mu": "normal(0, 2)", "tau": "half_normal(0.2)"}
    at_null = bm.predictive_p(bm.fit(null, priors=priors), draws=400, seed=1)
    assert at_null.p > 0.8
    assert bm.predictive_p(bm.fit(strong, priors=priors), draws=400, seed=1).p < 0.05
    assert bm.predictive_p(bm.fit(null, priors=priors), draws=400, seed=1).p == at_null.p
    assert at_null.replicates.shape == (400,)


def test_predictive_p_of_homogeneity():
    """Effects that scatter far beyond their errors speak against tau = 0."""
    apart = bm.EffectSizes(yi=[0.0, 1.0, 2.0, 3.0], sei=[0.2] * 4)
    post = bm.fit(apart, priors={"mu": "normal(0, 5)", "tau": "half_normal(1)"})
    found = bm.predictive_p(post, "tau", draws=300, seed=3)
    assert found.p < 0.02
    assert found.mcse <= math.sqrt(0.25 / 300)


def regression(slope, scatter):
    """Return effects that rise with a moderator and scatter about the line, by hand."""
    x = np.arange(8.0) - 3.5
    apart = np.array([1.0, -1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0])
    X = np.column_stack([np.ones(8), x])
    return bm.EffectSizes(yi=slope * x + scatter * apart, sei=[0.2] * 8, X=X, terms=("intercept", "x"), measure="OR")


def test_predictive_p_of_what_moderators_leave():
    """A line explains effects that rise with a moderator, so homogeneity is kept that a mean alone refutes."""
    priors = {"intercept": "normal(0, 5)", "beta": "normal(0, 5)", "tau": "half_normal(1)"}
    lined = bm.fit(regression(0.5, 0.1), "meta_regression", priors=priors)
    found = bm.predictive_p(lined, "tau", draws=60, seed=4)
    assert found.p > 0.5
    assert found.observed == lined.tau.median()
    scattered = bm.fit(regression(0.5, 1.0), "meta_regression", priors=priors)
    assert bm.predictive_p(scattered, "tau", draws=60, seed=4).p == 0.0
    flat = bm.EffectSizes(yi=lined.data.yi, sei=lined.data.sei)
    mean = bm.fit(flat, priors={"mu": "normal(0, 5)", "tau": "half_normal(1)"})
    assert bm.predictive_p(mean, "tau", draws=60, seed=4).p == 0.0


def test_predictive_p_of_a_line_without_slope_is_that_of_the_mean():
    """A regression whose slope is known to be 0 predicts and judges like the model of one mean, of the same data."""
    data = regression(0.02, 0.21)
    known = {"intercept": "normal(0, 5)", "beta": "point(0)", "tau": "half_normal(1)"}
    line = bm.predictive_p(bm.fit(data, "meta_regression", priors=known), "tau", draws=200, seed=4)
    plain = bm.fit(bm.EffectSizes(yi=data.yi, sei=data.sei), priors={"mu": "normal(0, 5)", "tau": "half_normal(1)"})
    mean = bm.predictive_p(plain, "tau", draws=200, seed=4)
    assert line.observed == pytest.approx(mean.observed, rel=1e-8)
    assert 0.05 < mean.p < 0.95
    assert abs(line.p - mean.p) < 4.5 * math.hypot(line.mcse, mean.mcse)
    assert stats.ks_2samp(line.replicates, mean.replicates, method="asymp").pvalue > 1e-3


def test_parameters_that_a_model_does_not_have_are_refused_in_words():
    """A regression has no mu and a common effect no tau, and what to ask instead is said."""
    with pytest.raises(bm.ModelError, match=r"coefficients in place of one mean effect mu: ask for 'tau'"):
        bm.predictive_p(bm.fit(regression(0.5, 0.1), "meta_regression"), draws=10, seed=1)
    alike = bm.EffectSizes(yi=[0.1, 0.2], sei=[0.2, 0.2], measure="OR")
    with pytest.raises(bm.ModelError, match=r"has no tau .*fit 'normal_normal'"):
        bm.predictive_p(bm.fit(alike, "common_effect"), "tau", draws=10, seed=1)


@pytest.mark.parametrize(("parameter", "alternative"), [("phi", None), ("mu", "both")])
def test_unknown_words_are_refused(parameter, alternative):
    """Unknown parameters and alternatives are named, with those known."""
    with pytest.raises(bm.ModelError, match="Known"):
        bm.predictive_p(fit(), parameter, alternative=alternative, draws=10, seed=1)


JUMP = "0.5*uniform(0, 0.2) + 0.5*half_normal(1)"


@pytest.mark.parametrize("name", ["tau", "tau2"])
@pytest.mark.parametrize("pair", [("half_normal(0.5)", JUMP), (JUMP, "half_normal(0.5)"), (JUMP, "half_cauchy(0.5)")])
def test_kullback_leibler_over_a_jump_agrees_with_adaptive_quadrature(pair, name):
    """Where a density jumps, the divergence is that of integrating both sides apart."""
    p, q = (fit(tau=tau)[name] for tau in pair)
    jump = 0.2 if name == "tau" else 0.04
    ends = [float(p.ppf(1e-13)), 0.25 * jump, jump, *p.ppf([0.5, 0.9, 0.99, 1 - 1e-6, 1 - 1e-10, 1 - 1e-13]).tolist()]
    parts = [
        integrate.quad(lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), a, b, epsabs=1e-13, limit=200)[0]
        for a, b in itertools.pairwise(sorted(ends))
    ]
    assert bm.kl_divergence(p, q) == pytest.approx(math.fsum(parts), abs=1e-9)


def test_kullback_leibler_of_posteriors_far_apart_agrees_with_the_closed_form():
    """Where one density is below the smallest float it still counts: SDs 50 times apart, either way round."""
    wide = bm.fit(EFFECTS, priors={"mu": "normal(0, 1)", "tau": "point(30)"}).mu
    narrow = bm.fit(EFFECTS, priors={"mu": "normal(0, 0.03)", "tau": "point(0)"}).mu
    for p, q in ((wide, narrow), (narrow, wide)):
        expected = kl_normal(p.mean(), p.sd() ** 2, q.mean(), q.sd() ** 2)
        assert bm.kl_divergence(p, q) == pytest.approx(expected, rel=1e-9)


def test_kullback_leibler_of_heavy_from_light_tails_is_refused():
    """A posterior of tau that falls as tau^-2 has an infinite divergence from one that falls like a normal."""
    heavy, light = (
        bm.fit(EFFECTS.drop(["b", "c", "d"]), priors={"mu": "normal(0, 1)", "tau": tau}).tau
        for tau in ("lomax(0.5, 1)", "half_normal(1)")
    )
    with pytest.raises(bm.ConvergenceError, match="tails of the first"):
        bm.kl_divergence(heavy, light)
    assert 0 < bm.kl_divergence(light, heavy) < math.inf


def test_kullback_leibler_counts_the_probability_of_tau_zero():
    """An average with an atom diverges infinitely from its part without; the other way by the log of the share."""
    part = fit()
    average = bm.model_average([part, fit(tau="point(0)")])
    assert bm.kl_divergence(average.tau, part.tau) == math.inf
    share = float(average.details.weights[0])
    assert bm.kl_divergence(part.tau, average.tau) == pytest.approx(-math.log(share), rel=1e-9)
    other = bm.model_average([part, fit(tau="point(0)")], weights=[1, 3])
    a, b = average.details.weights, other.details.weights
    assert bm.kl_divergence(average.tau, other.tau) == pytest.approx(float(a @ np.log(a / b)), rel=1e-9)


def test_kullback_leibler_is_infinite_where_the_second_has_no_probability():
    """A posterior bounded at 0.3 gives the values beyond no probability."""
    bounded, free = fit(tau="uniform(0, 0.3)").tau, fit(tau="half_normal(0.5)").tau
    assert bm.kl_divergence(free, bounded) == math.inf
    assert 0 < bm.kl_divergence(bounded, free) < math.inf


def test_bayes_factors_beyond_the_floats_are_infinite_or_zero():
    """Precise studies far from zero favour an effect by more than a float can say."""
    far = bm.EffectSizes(yi=[40.0, 41.0], sei=[0.2, 0.2], measure="MD")
    free, null = (bm.fit(far, priors={"mu": mu, "tau": "half_normal(0.02)"}) for mu in ("normal(0, 50)", "point(0)"))
    assert free.log_evidence - null.log_evidence > 720
    assert bm.bayes_factor(free, null) == math.inf
    assert bm.bayes_factor(null, free) == 0.0
    assert bm.bayes_factor_null(null, mu=40.0) == math.inf
    average = bm.model_average([free, null])
    assert average.details.inclusion_bayes_factor([True, False]) == math.inf
    assert average.details.inclusion_bayes_factor([False, True]) == 0.0


def test_a_posterior_without_unknowns_says_so():
    """With mu and tau fixed at 0 every true effect is 0: one value, in print, summary and average."""
    post = fit(mu="point(0)", tau="point(0)")
    assert "theta_new" in str(post)
    assert (post.summary()[["mean", "sd", "median", "eti_low", "eti_high"]] == 0).all(axis=None)
    assert post.theta_new.cdf([-1e-9, 0.0, 1e-9]).tolist() == [0.0, 1.0, 1.0]
    assert post.log_evidence == pytest.approx(stats.norm.logpdf(EFFECTS.yi, scale=EFFECTS.sei).sum(), abs=1e-12)
    free = fit()
    average = bm.model_average([free, post])
    w = average.details.weights
    assert average.theta_new.cdf([-0.5, 0.5]) == pytest.approx(
        w[0] * free.theta_new.cdf([-0.5, 0.5]) + w[1] * np.array([0, 1])
    )
    below = w[0] * float(free.theta_new.cdf(0.0))
    assert average.theta_new.ppf(below + np.array([0.1, 0.9]) * w[1]) == pytest.approx([0.0, 0.0], abs=1e-12)
    assert float(average.theta_new.cdf(average.theta_new.ppf(0.97))) == pytest.approx(0.97, abs=1e-12)


COUNTS = bm.TwoByTwo(
    study=["a", "b", "c"],
    events_treatment=[1, 3, 5],
    n_treatment=[20, 30, 40],
    events_control=[2, 6, 5],
    n_control=[20, 31, 42],
)
# tau at Gauss-Legendre nodes that thin out from 0, and true effects on a fine grid.
TAU_X, TAU_W = np.polynomial.legendre.leggauss(60)
ROOT = 0.5 * 2.4 * (1 + TAU_X)
TAU, TAU_MASS = 1e-3 + ROOT**2, 0.5 * 2.4 * TAU_W * 2 * ROOT


def null_evidence(given, tau=None):
    """Return the likelihood of mu = 0, averaged over half_normal(0.5) for tau, by plain sums."""
    theta = np.sinh(np.linspace(-11, 11, 60001))
    slope = np.cosh(np.linspace(-11, 11, 60001)) * (22 / 60000)
    likelihood = np.exp(given.loglik(np.tile(theta, (len(given.study), 1)))) * slope
    effects = stats.norm if given.random_effects == "normal" else stats.t(given.df)
    if tau is not None:
        return float(np.prod(likelihood @ (effects.pdf(theta / tau) / tau)))
    each = [float(np.prod(likelihood @ (effects.pdf(theta / t) / t))) for t in TAU]
    return float(np.sum(TAU_MASS * stats.halfnorm(scale=0.5).pdf(TAU) * each))


@pytest.mark.parametrize(("model", "data"), [("robust_t", EFFECTS), ("binomial_normal", COUNTS)])
def test_bayes_factor_of_no_effect_without_a_closed_form(model, data):
    """The evidence of mu = 0 is a sum over tau and the true effects, in exact and Student-t models as well."""
    post = bm.fit(data, model, priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"}, engine="quadrature")
    given = load_model(model).study_likelihoods(data, post.priors)
    evidence = math.exp(post.log_evidence)
    # The sum leaves out tau below 0.001, which has a share of 0.0016 and the likelihood of the smallest node.
    missing = stats.halfnorm(scale=0.5).cdf(1e-3) * null_evidence(given, 1e-3)
    assert bm.bayes_factor_null(post, mu=0.0) == pytest.approx((null_evidence(given) + missing) / evidence, rel=1e-6)
    both = bm.bayes_factor_null(post, mu=0.0, tau=0.3)
    assert both == pytest.approx(null_evidence(given, 0.3) / evidence, rel=1e-6)


def test_a_value_outside_the_prior_cannot_be_tested_by_its_density():
    """Far values are lost beside the peak of a tabulated density, and values the prior excludes have none."""
    post = bm.fit(COUNTS, "binomial_normal", priors={"mu": "uniform(-1, 1)", "tau": "half_normal(0.5)"})
    with pytest.raises(bm.ModelError, match="under the prior uniform"):
        bm.bayes_factor_null(post, mu=2.0)
    far = bm.fit(COUNTS, "binomial_normal", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.1)"})
    with pytest.raises(bm.ConvergenceError, match="lost beside its peak"):
        bm.bayes_factor_null(far, mu=-9.0)


def test_evidences_of_different_data_are_not_compared():
    """Estimates are no counts, nor other estimates; conditional counts are not both arms' counts."""
    table = bm.read_studies(data_dir() / "rescue_stenting.csv", outcome="mortality")
    odds, risks = (bm.fit(bm.effect_sizes(table, m)) for m in ("OR", "RR"))
    exact, conditional = (bm.fit(table, m) for m in ("binomial_normal", "hypergeometric_normal"))
    for pair in ((odds, exact), (odds, risks), (exact, conditional)):
        with pytest.raises(DataError, match="cannot be compared"):
            bm.bayes_factor(*pair)
        with pytest.raises(DataError, match="cannot be compared"):
            bm.model_average(pair)
    ratio = bm.fit(table, "binomial_normal_rr")
    assert math.isfinite(bm.bayes_factor(exact, ratio))
    with pytest.raises(DataError, match="mu has not one meaning"):
        bm.model_average((exact, ratio))
    with pytest.raises(DataError, match="at least one"):
        bm.model_average(())


def test_other_priors_and_models_of_the_same_data_are_compared():
    """As is a common-effect model, and a copy of the data."""
    table = bm.read_studies(data_dir() / "rescue_stenting.csv", outcome="mortality")
    first, again = (bm.fit(bm.effect_sizes(table, "OR")) for _ in range(2))
    assert bm.bayes_factor(first, again) == 1.0
    common = bm.fit(bm.effect_sizes(table, "OR"), "common_effect")
    assert bm.model_average((first, common))["mu"].mean() == pytest.approx(first.mu.mean(), abs=0.5)
