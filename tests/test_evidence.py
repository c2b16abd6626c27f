"""Bayes factors, model averages, divergences and predictive p-values."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta.evidence import kl_normal

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


@pytest.mark.parametrize(("parameter", "alternative"), [("phi", None), ("mu", "both")])
def test_unknown_words_are_refused(parameter, alternative):
    """Unknown parameters and alternatives are named, with those known."""
    with pytest.raises(bm.ModelError, match="Known"):
        bm.predictive_p(fit(), parameter, alternative=alternative, draws=10, seed=1)
