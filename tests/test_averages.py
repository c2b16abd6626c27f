"""Averages of models: answers for all of them, refusals, and values with a probability of their own."""

import numpy as np
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta.decisions.predictive import predicted_estimate
from bayesmeta.evidence.agreement import agreement
from bayesmeta.evidence.predictive_check import predictive_check
from bayesmeta.plots.prior_posterior import prior_posterior_data
from bayesmeta.sensitivity import power_scaling
from bayesmeta.sensitivity.sentences import grid_lines

Y, S = np.array([0.1, -0.4, -0.7, 0.3, -0.2]), np.array([0.2, 0.3, 0.25, 0.4, 0.15])
EFFECTS = bm.EffectSizes(yi=Y, sei=S, measure="OR")


def fit(mu="normal(0, 1)", tau="half_normal(0.5)"):
    return bm.fit(EFFECTS, priors={"mu": mu, "tau": tau}, engine="quadrature")


def wide_and_narrow():
    return [fit(), fit("normal(-0.3, 0.1)", "half_normal(0.1)")]


@pytest.mark.parametrize("weights", [[0.5, 0.5], [0.25, 0.75]])
def test_bayes_factor_of_a_value_against_an_average_is_the_ratio_of_its_densities(weights):
    """Posterior odds of a narrow range over its prior odds, whichever fit comes first."""
    fits = wide_and_narrow()
    average, turned = bm.model_average(fits, weights), bm.model_average(fits[::-1], weights[::-1])
    prior = {
        "mu": [stats.norm(0, 1), stats.norm(-0.3, 0.1)],
        "tau": [stats.halfnorm(scale=0.5), stats.halfnorm(scale=0.1)],
    }
    for name, low, high in (("mu", -5e-5, 5e-5), ("tau", 0.0, 1e-5)):
        before = sum(w * float(p.cdf(high) - p.cdf(low)) for w, p in zip(weights, prior[name], strict=True))
        after = float(average[name].cdf(high) - average[name].cdf(low))
        expected = after / before
        assert bm.bayes_factor_null(average, **{name: 0.0}) == pytest.approx(expected, rel=1e-4)
        turned_round = bm.bayes_factor_null(turned, **{name: 0.0})
        assert turned_round == pytest.approx(bm.bayes_factor_null(average, **{name: 0.0}), rel=1e-12)


def test_bayes_factor_against_an_average_over_priors_is_that_against_their_mixture():
    """An average over two priors of mu is the fit whose prior is the mixture, and so is an average of averages."""
    narrow, wide = fit("normal(0, 0.2)"), fit("normal(0.5, 3)")
    average = bm.model_average([narrow, wide], weights=[1, 3])
    mixed = fit("0.25*normal(0, 0.2) + 0.75*normal(0.5, 3)")
    nested = bm.model_average([bm.model_average([narrow, wide]), wide])
    for null in ({"mu": 0.0}, {"tau": 0.0}, {"mu": -0.3, "tau": 0.2}):
        expected = bm.bayes_factor_null(mixed, **null)
        assert bm.bayes_factor_null(average, **null) == pytest.approx(expected, rel=1e-9)
        assert bm.bayes_factor_null(nested, **null) == pytest.approx(expected, rel=1e-9)


def test_bayes_factor_of_both_values_against_an_average_is_the_likelihood_over_its_evidence():
    """With mu and tau given, the data are independent normals whatever the priors were."""
    average = bm.model_average(wide_and_narrow())
    log = stats.norm.logpdf(Y, 0.1, np.hypot(S, 0.3)).sum()
    expected = np.exp(log - average.log_evidence)
    assert bm.bayes_factor_null(average, mu=0.1, tau=0.3) == pytest.approx(expected, rel=1e-9)


def test_a_value_that_a_model_knows_is_asked_of_the_inclusion_bayes_factor():
    """Where a model knows tau, 0 has a probability beforehand; without a prior density there is no ratio."""
    average = bm.model_average([fit(), bm.fit(EFFECTS, "common_effect", priors={"mu": "normal(0, 1)"})])
    with pytest.raises(bm.ModelError, match="inclusion_bayes_factor"):
        bm.bayes_factor_null(average, tau=0.0)
    none = bm.model_average([fit(tau="log_normal(-1, 0.5)"), fit(tau="uniform(0.1, 1)")])
    with pytest.raises(bm.ModelError, match="priors with a density greater than 0"):
        bm.bayes_factor_null(none, tau=0.0)


@pytest.mark.parametrize(
    "asked",
    [
        power_scaling,
        predictive_check,
        lambda average: bm.predictive_p(average, draws=10, seed=1),
        lambda average: average.pymc_model(),
        lambda average: average.weights(),
        lambda average: average.linear([1.0]),
        lambda average: agreement(average, average),
        prior_posterior_data,
    ],
)
def test_what_takes_one_model_refuses_an_average(asked):
    """The first fit's model and priors are not the average's: one fit must be chosen."""
    with pytest.raises(bm.ModelError, match=r"average\.details\.posteriors"):
        asked(bm.model_average(wide_and_narrow()))


def test_an_average_is_not_taken_for_its_first_fit_which_knows_mu():
    """What the first fit's prior fixes is not fixed in the average: it is refused as an average."""
    with pytest.raises(bm.ModelError, match="an average of several"):
        prior_posterior_data(bm.model_average([fit("point(0)"), fit()]), "mu")


def test_a_value_that_one_fit_knows_is_named_alone():
    """Of mu and tau only tau is known by one of the fits, and only it is named."""
    average = bm.model_average([fit(), fit(tau="point(0.2)")])
    with pytest.raises(bm.ModelError, match="In normal_normal tau is known"):
        bm.bayes_factor_null(average, mu=0.0, tau=0.0)


@pytest.mark.parametrize("ask", [bm.multiverse, bm.sensitivity, bm.tipping_point])
@pytest.mark.parametrize("averaged", [True, False])
def test_what_analyses_studies_anew_refuses_a_posterior(ask, averaged):
    """Sensitivity analyses take the studies; a posterior, of one model or of several, is refused by name."""
    fits = wide_and_narrow()
    with pytest.raises(bm.DataError, match="Posterior"):
        ask(bm.model_average(fits) if averaged else fits[0], benefit="lower")


def test_the_data_of_a_posterior_are_what_a_multiverse_takes():
    """What the refusal says to give is taken."""
    average = bm.model_average(wide_and_narrow())
    with pytest.raises(bm.DataError, match=r"its \.data"):
        bm.multiverse(average, benefit="lower")
    assert bm.multiverse(average.data, benefit="lower", subsets="all", estimators=()).m > 0


def test_an_average_is_not_called_by_its_first_model():
    """Printed, it is an average of models, in whichever order they were given."""
    fits = [bm.fit(EFFECTS, "common_effect"), bm.fit(EFFECTS)]
    assert repr(bm.model_average(fits)) == repr(bm.model_average(fits[::-1]))
    assert str(bm.model_average(fits)).startswith("Average of models, 5 studies")


def regression(*columns, terms, k=5, **priors):
    X = np.column_stack([np.ones(k), *columns])
    data = bm.EffectSizes(yi=Y[:k], sei=S[:k], measure="OR", X=X, terms=("intercept", *terms))
    return bm.fit(data, "meta_regression", priors=priors or None, engine="quadrature")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_known_tau_keeps_its_value_in_an_average(order):
    """A model with tau = 0.3 puts its share at 0.3: in probabilities, moments, tau squared, I squared and draws."""
    pair = fit(), fit(tau="point(0.3)")
    average = bm.model_average([pair[i] for i in order])
    free, share = (float(average.details.weights[order.index(i)]) for i in (0, 1))
    tau = pair[0].tau
    assert average.tau.sf(0.2) == pytest.approx(free * tau.sf(0.2) + share, rel=1e-12)
    assert average.tau.cdf(0.2) == pytest.approx(free * tau.cdf(0.2), rel=1e-12)
    assert average.tau.mean() == pytest.approx(free * tau.mean() + share * 0.3, rel=1e-12)
    second = free * (tau.sd() ** 2 + tau.mean() ** 2) + share * 0.09
    assert average.tau.sd() == pytest.approx(np.sqrt(second - average.tau.mean() ** 2), rel=1e-9)
    w = 1 / S**2
    typical = 4 * w.sum() / (w.sum() ** 2 - (w**2).sum())
    for name, value in (("tau", 0.3), ("tau2", 0.09), ("I2", 100 * 0.09 / (0.09 + typical))):
        (at,), (mass,) = average[name].atoms.keys(), average[name].atoms.values()
        assert at == pytest.approx(value, rel=1e-12)
        assert mass == pytest.approx(share, rel=1e-12)
    draws = average.to_datatree(4000, seed=1)["posterior"]
    seen = float((draws["tau"] == 0.3).mean())
    assert seen == pytest.approx(share, abs=5 * np.sqrt(share * free / 4000))
    assert float((draws["tau"] == 0.0).mean()) == 0.0
    assert np.array_equal(draws["tau2"], draws["tau"] ** 2)


def test_an_average_of_known_values_is_a_step_function():
    """Two values of tau, each with its model's probability: quantiles and intervals are one of them or both."""
    average = bm.model_average([fit(tau="point(0.3)"), fit(tau="point(0.5)")])
    first = float(average.details.weights[0])
    q = np.array([1e-9, 0.2, first - 1e-6, first + 1e-6, 0.99, 1 - 1e-9])
    assert average.tau.ppf(q).tolist() == [0.3, 0.3, 0.3, 0.5, 0.5, 0.5]
    assert list(average.tau.eti()) == list(average.tau.hdi()) == [0.3, 0.5]
    assert list(average.tau.hdi(first - 0.01)) == [0.3, 0.3]
    assert average.tau.mean() == pytest.approx(0.3 * first + 0.5 * (1 - first), rel=1e-12)
    seen = set(np.unique(average.to_datatree(200, seed=3)["posterior"]["tau"]))
    assert seen == {0.3, 0.5}


def test_a_known_mean_effect_is_a_value_of_the_average():
    """Where one fit fixes mu, the average's mu is that value with the fit's probability, and so are the draws."""
    average = bm.model_average([fit(), fit("point(0)")])
    share = float(average.details.weights[1])
    assert average.mu.atoms == {0.0: pytest.approx(share, rel=1e-12)}
    assert average.mu.cdf(0.0) - average.mu.cdf(-1e-12) == pytest.approx(share, abs=1e-9)
    seen = float((average.to_datatree(4000, seed=1)["posterior"]["mu"] == 0.0).mean())
    assert seen == pytest.approx(share, abs=5 * np.sqrt(share * (1 - share) / 4000))


def test_what_a_fit_cannot_say_is_left_out_of_an_average():
    """Three terms for three studies have no I squared; that of a model without tau is 0."""
    part = bm.EffectSizes(yi=Y[:3], sei=S[:3], measure="OR")
    three = regression([0, 1, 0], [0, 0, 1], terms=("b", "c"), k=3)
    assert "I2" not in three.marginals
    average = bm.model_average([bm.fit(part), three])
    assert list(average.marginals) == ["tau", "tau2"]
    nested = bm.model_average([average, bm.fit(part)])
    assert list(nested.marginals) == ["tau", "tau2"]
    common = bm.model_average([bm.fit(part), bm.fit(part, "common_effect")])
    assert common["I2"].atoms == {0.0: pytest.approx(float(common.details.weights[1]))}
    assert common["I2"].sf(0.0) == pytest.approx(float(common.tau.sf(0.0)), rel=1e-12)


def test_draws_of_an_average_hold_what_every_fit_has():
    """No zeros for a mean effect that a regression has not, no gaps for coefficients of other moderators."""
    one, other = regression(np.arange(5.0), terms=("x",)), regression([0, 1, 0, 1, 1], terms=("z",))
    for fits in ([fit(), one], [one, other]):
        average = bm.model_average(fits)
        draws = average.to_datatree(2000, seed=1)["posterior"]
        assert set(draws.data_vars) == {"tau", "tau2", "theta"}
        assert not any(bool(draws[name].isnull().any()) for name in draws.data_vars)
        below = np.asarray(average.tau.cdf(np.asarray(draws["tau"]).ravel()))
        assert stats.kstest(below, stats.uniform.cdf).pvalue > 1e-3
    again = regression(np.arange(5.0), terms=("x",), tau="point(0.2)")
    average = bm.model_average([one, again])
    slopes = average.to_datatree(2000, seed=2)["posterior"]["beta"].sel(term="x")
    slope = average["beta[x]"]
    assert stats.kstest(np.asarray(slopes).ravel(), lambda x: np.asarray(slope.cdf(x))).pvalue > 1e-3


def test_draws_do_not_depend_on_which_fits_have_a_share_of_them():
    """A fit too improbable to be drawn from still says what not every fit has."""
    far = regression(np.arange(5.0), terms=("x",), intercept="normal(60, 0.5)", beta="normal(0, 1)")
    average = bm.model_average([fit(), far])
    assert float(average.details.weights[1]) < 1e-12
    assert set(average.to_datatree(50, seed=1)["posterior"].data_vars) == {"tau", "tau2", "theta"}


@pytest.mark.parametrize(
    ("tau", "weights", "value"),
    [
        ("half_normal(0.5)", [1, 1], 0.0),
        ("half_normal(0.5)", [99, 1], 0.3),
        ("log_normal(-1.5, 0.5)", [1, 1], 0.3),
        ("inverse_gamma(2, 0.5)", [99, 1], 0.0),
    ],
)
def test_shortest_intervals_with_an_atom_are_the_shortest_of_all(tau, weights, value):
    """None of a thousand intervals of the same probability is shorter, which it holds itself."""
    average = bm.model_average([fit(tau=tau), fit(tau=f"point({value})")], weights).tau
    for level in (0.5, 0.95):
        low, high = average.hdi(level)
        below = float(average.cdf(low)) - average.atoms.get(low, 0.0)
        assert float(average.cdf(high)) - below == pytest.approx(level, abs=1e-9) or high == low == value
        start = (1 - level) * np.linspace(0, 1, 1_001)
        widths = average.ppf(np.minimum(start + level, 1.0)) - average.ppf(start)
        assert high - low <= widths.min() + 1e-9
        assert high - low >= widths.min() - 1e-3


def with_no_effect():
    """Return an average of a free fit and one without any effect, the free fit, and the shares of both."""
    free = fit()
    average = bm.model_average([free, fit("point(0)", "point(0)")])
    return average, free, *map(float, average.details.weights)


def test_an_effect_of_exactly_no_effect_is_neither_a_benefit_nor_a_harm():
    """Both sides of no effect have the free fit's share of them, and what is left is said to lie at it."""
    average, free, w, share = with_no_effect()
    for name, marginal in (("mean effect", free.mu), ("true effect of a new study", free.theta_new)):
        lower = bm.threshold_table(average, [1.0], benefit="lower")
        higher = bm.threshold_table(average, [1.0], benefit="higher")
        assert lower["OR < 1"].probability[name].value == pytest.approx(w * marginal.cdf(0.0), abs=1e-12)
        assert higher["OR > 1"].probability[name].value == pytest.approx(w * marginal.sf(0.0), abs=1e-12)
        assert f"P(OR = 1 exactly | data), {name}: {share:.3f}" in str(lower)
    assert "exactly" not in str(bm.threshold_table(average, [0.8], benefit="lower"))
    below, above = w * float(free.mu.cdf(0.0)), w * float(free.mu.sf(0.0))
    assert bm.probability(average.mu, below=0.0) == pytest.approx(below, abs=1e-12)
    assert bm.probability(average.mu, or_=(None, 1.0)) == pytest.approx(below, abs=1e-12)
    inside = w * float(free.mu.cdf(0.0) - free.mu.cdf(-0.5))
    assert bm.probability(average.mu, above=-0.5, below=0.0) == pytest.approx(inside, abs=1e-12)
    for baseline in (0.2, stats.beta(30, 70)):
        fewer, more = (bm.absolute_effect(average, baseline, benefit=side) for side in ("lower", "higher"))
        assert fewer.p_benefit == pytest.approx(below, abs=1e-9)
        assert more.p_benefit == pytest.approx(above, abs=1e-9)
        assert fewer.number_needed().p_benefit == pytest.approx(below, abs=1e-9)


def test_a_prediction_counts_what_is_known():
    """A new study's estimate is a mixture of the free fit's prediction and of sampling error about no effect."""
    average, free, w, share = with_no_effect()
    x = np.array([-0.6, -0.3, 0.0, 0.3])
    expected = w * predicted_estimate(free.theta_new, 0.2).cdf(x) + share * stats.norm.cdf(x, 0, 0.2)
    assert predicted_estimate(average.theta_new, 0.2).cdf(x) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("benefit", ["lower", "higher"])
def test_a_mean_effect_known_to_be_no_effect_is_on_neither_side(benefit):
    """Grids, multiverses and tipping points say that it is no effect; a new study's effect is on either side."""
    grid = bm.sensitivity(
        EFFECTS, mu=["point(0)", "normal(0, 1)"], tau=["half_normal(0.5)", "point(0)"], benefit=benefit
    )
    assert grid.p_mu.values[0].tolist() == [0.0, 0.0]
    assert grid.p_mu_exactly.values.tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert grid.p_theta_new.values[0] == pytest.approx([0.5, 0.0], abs=1e-9)
    assert grid.p_theta_new_exactly.values.tolist() == [[0.0, 1.0], [0.0, 0.0]]
    free = fit().mu
    assert float(grid.p_mu[1, 0]) == pytest.approx(
        float(free.cdf(0.0) if benefit == "lower" else free.sf(0.0)), abs=1e-8
    )
    assert any("Known to be OR = 1, mean effect, in 2 pairs" in line for line in grid_lines(grid))
    found = bm.multiverse(EFFECTS, benefit=benefit, mu="point(0)", tau="half_normal(0.5)", subsets="all")
    assert found.range("p_mu") == (0.0, 0.0, 0.0)
    assert "Known to be OR = 1, mean effect, in 1 analysis" in str(found)
    tipping = bm.tipping_point(EFFECTS, benefit=benefit, priors={"mu": "point(0)"})
    assert tipping.conclusion == "open"
    assert not any(w.tips for w in tipping.without)
    assert "the mean effect is OR = 1 exactly" in str(tipping)
