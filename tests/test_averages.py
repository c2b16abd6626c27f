"""Averages of models: answers for all of them, refusals, and values with a probability of their own."""

import numpy as np
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta.agreement import agreement
from bayesmeta.plots.prior_posterior import prior_posterior_data
from bayesmeta.predictive_check import predictive_check
from bayesmeta.sensitivity import power_scaling

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


def test_an_average_is_not_called_by_its_first_model():
    """Printed, it is an average of models, in whichever order they were given."""
    fits = [bm.fit(EFFECTS, "common_effect"), bm.fit(EFFECTS)]
    assert repr(bm.model_average(fits)) == repr(bm.model_average(fits[::-1]))
    assert str(bm.model_average(fits)).startswith("Average of models, 5 studies")
