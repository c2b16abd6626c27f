"""Fits that know the mean effect or the heterogeneity: what they know they say, the rest they refuse in words."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta.analysis import analyse
from bayesmeta.errors import ModelError
from bayesmeta.events import event_for
from bayesmeta.evidence.agreement import agreement
from bayesmeta.evidence.averaging import known_value
from bayesmeta.marginals import Known
from bayesmeta.marginals.draws import DrawsMarginal
from bayesmeta.plots.decisions import decisions_data
from bayesmeta.plots.prior_posterior import prior_posterior_data
from bayesmeta.plots.ranks import ranks_data
from bayesmeta.protocol import Protocol
from bayesmeta.report.page import page
from bayesmeta.sensitivity import power_scaling
from bayesmeta.sensitivity.question import Question, all_priors

Y, S = np.array([-0.9, -0.2, -0.6, 0.1, -0.4]), np.array([0.3, 0.25, 0.4, 0.5, 0.35])
EFFECTS = bm.EffectSizes(yi=Y, sei=S, study=["a", "b", "c", "d", "e"], measure="OR")
COUNTS = bm.TwoByTwo(
    events_treatment=[8, 19, 24, 0],
    n_treatment=[12, 48, 66, 23],
    events_control=[3, 22, 13, 4],
    n_control=[14, 100, 66, 23],
)
BOTH = [(0.0, 0.3), (-0.5, 0.3), (0.25, 0.0)]


def fit(mu=None, tau=None, data=EFFECTS, model="normal_normal"):
    given = {name: f"point({value})" for name, value in (("mu", mu), ("tau", tau)) if value is not None}
    return bm.fit(data, model, priors=given, engine="quadrature", seed=1)


@pytest.mark.parametrize(("mu", "tau"), BOTH)
def test_with_both_known_everything_is_a_normal_or_a_value(mu, tau):
    """Parameters are values, true effects shrink towards mu by tau, a new study is N(mu, tau), evidence is normal."""
    post, w = fit(mu, tau), 1 / S**2
    typical = 4 * w.sum() / (w.sum() ** 2 - (w**2).sum())
    for name, value in {"mu": mu, "tau": tau, "tau2": tau**2, "I2": 100 * tau**2 / (tau**2 + typical)}.items():
        assert list(post[name].eti()) == list(post[name].hdi()) == [post[name].median()] * 2
        assert post[name].mean() == pytest.approx(value, rel=1e-12)
        assert post[name].sd() == 0.0
    assert post.theta_new.eti().high == pytest.approx(mu + tau * stats.norm.ppf(0.975), rel=1e-9)
    kept = S**2 / (S**2 + tau**2)
    for i, study in enumerate(EFFECTS.study):
        assert post.theta[study].mean() == pytest.approx(kept[i] * mu + (1 - kept[i]) * Y[i], abs=1e-12)
        assert post.theta[study].sd() == pytest.approx(tau * math.sqrt(kept[i]), abs=1e-12)
    assert post.log_evidence == pytest.approx(stats.norm.logpdf(Y, mu, np.hypot(S, tau)).sum(), rel=1e-12)


@pytest.mark.parametrize("model", ["normal_normal", "binomial_normal", "robust_t"])
def test_a_known_tau_is_a_value_of_every_kind_of_model(model):
    """Whichever engine integrates, tau and tau squared are what the prior says."""
    post = fit(tau=0.3, data=COUNTS if model == "binomial_normal" else EFFECTS, model=model)
    assert list(post.tau.eti()) == [0.3, 0.3]
    assert list(post["tau2"].eti()) == [0.3**2, 0.3**2]
    assert ("I2" in post.marginals) == (model == "normal_normal")
    assert {"mu", "tau", "tau2"} <= set(post.summary().index)


def test_a_known_mean_effect_is_refused_in_words_where_it_is_not_integrated():
    """Models without a closed form given tau say that they take no known mu, and which does."""
    for data, model in ((COUNTS, "binomial_normal"), (EFFECTS, "robust_t")):
        with pytest.raises(ModelError, match=r"takes no known mean effect.*normal_normal"):
            fit(mu=0.0, data=data, model=model)


def test_a_model_without_tau_has_none():
    """A common-effect model has no heterogeneity to report, and averages take it as 0."""
    post = bm.fit(EFFECTS, "common_effect")
    assert "tau" not in post.marginals
    assert [known_value(post, name) for name in ("tau", "tau2", "I2", "mu")] == [0.0, 0.0, 0.0, None]


@pytest.mark.parametrize("benefit", ["lower", "higher"])
@pytest.mark.parametrize(("mu", "tau"), BOTH)
def test_threshold_tables_have_certain_means_and_normal_predictions(mu, tau, benefit):
    """A known mean is beyond a threshold or not, and on neither side of itself; a new study's effect is N(mu, tau)."""
    new = stats.norm(mu, tau) if tau else None
    at = [0.7, 1.0, 1.3]
    table = bm.threshold_table(fit(mu, tau), at, benefit=benefit)
    for event, threshold in zip(table.events, np.log(at), strict=True):
        sure = float(mu < threshold if benefit == "lower" else mu > threshold)
        assert event.probability["mean effect"].value == sure
        expected = sure if new is None else new.cdf(threshold) if benefit == "lower" else new.sf(threshold)
        assert event.probability["true effect of a new study"].value == pytest.approx(expected, abs=1e-12)
    assert ("P(OR = 1 exactly | data), mean effect: >0.999" in str(table)) == (mu == 0.0)


@pytest.mark.parametrize(("mu", "tau"), BOTH)
def test_absolute_effects_of_known_effects(mu, tau):
    """The difference in risk is the odds ratio's at the baseline risk; of a new study, quantile by quantile."""
    post, risk = fit(mu, tau), 0.3

    def difference(theta):
        odds = risk / (1 - risk) * math.exp(theta)
        return odds / (1 + odds) - risk

    mean = bm.absolute_effect(post, risk, benefit="lower").risk_difference
    assert list(mean.eti()) == pytest.approx([difference(mu)] * 2, abs=1e-12)
    new = bm.absolute_effect(post, risk, benefit="lower", estimand="new").risk_difference
    z = stats.norm.ppf(0.975)
    assert list(new.eti()) == pytest.approx([difference(mu - z * tau), difference(mu + z * tau)], abs=1e-9)
    uncertain = bm.absolute_effect(post, stats.beta(30, 70), benefit="lower").risk_difference
    for found in (mean, uncertain):
        assert bm.probability(found, below=0.0) == pytest.approx(float(mu < 0), abs=1e-12)
        assert bm.probability(found, above=0.0) == pytest.approx(float(mu > 0), abs=1e-12)


@pytest.mark.parametrize(("mu", "tau"), BOTH)
def test_comparisons_show_known_values(mu, tau):
    """The Bayesian row has the values, the normal prediction, and certain probabilities for the mean effect."""
    priors = {"mu": f"point({mu})", "tau": f"point({tau})"}
    found = bm.compare(EFFECTS, priors=priors, engine="quadrature", benefit="lower")
    row = found.row("Bayesian quadrature")
    assert (row.mu, *row.interval, row.tau, *row.tau_interval) == (mu, mu, mu, tau, tau, tau)
    z = stats.norm.ppf(0.975)
    assert list(row.prediction) == pytest.approx([mu - z * tau, mu + z * tau], abs=1e-9)
    assert row.p_benefit_mean == float(mu < 0)
    assert row.p_benefit_new == pytest.approx(stats.norm.cdf(0, mu, tau) if tau else float(mu < 0), abs=1e-12)


@pytest.mark.parametrize(("mu", "tau"), BOTH)
def test_growing_analyses_of_known_effects(mu, tau):
    """Each study is predicted by N(mu, s^2 + tau^2), whatever came before."""
    path = bm.sequential(EFFECTS, priors={"mu": f"point({mu})", "tau": f"point({tau})"}, benefit="lower")
    for step, y, s in zip(path.steps[1:], Y[1:], S[1:], strict=True):
        expected = stats.norm(mu, math.hypot(s, tau))
        assert step.check.p == pytest.approx(2 * min(expected.cdf(y), expected.sf(y)), rel=1e-9)
        assert step.log_predictive == pytest.approx(expected.logpdf(y), rel=1e-9)
        assert step.p_mean == float(mu < 0)
    last = bm.update(fit(mu, tau, EFFECTS.drop(["e"])), EFFECTS.drop(["a", "b", "c", "d"]), benefit="lower").steps[-1]
    assert last.check.p == pytest.approx(path.steps[-1].check.p, rel=1e-12)
    assert len(path.to_frame()) == len(Y)


@pytest.mark.parametrize("benefit", ["lower", "higher"])
@pytest.mark.parametrize("mu", [-0.5, 0.0, 0.5])
def test_a_known_mean_effect_is_on_one_side_whatever_tau_is(mu, benefit):
    """Were tau known, the probability of a benefit would still be 0 or 1, and nothing but the prior can overturn it."""
    model = fit(mu).model
    priors = all_priors(model, EFFECTS, {"mu": f"point({mu})"})
    asked = Question(model, EFFECTS, priors, event_for("OR", benefit, None), 0.95)
    expected = float(mu < 0 if benefit == "lower" else mu > 0)
    assert asked.given_tau(np.array([0.0, 0.1, 10.0])).tolist() == [expected] * 3
    found = bm.tipping_point(EFFECTS, benefit=benefit, priors={"mu": f"point({mu})"})
    assert found.p_mean == expected
    assert found.tau_fixed is found.tau_scale is found.moves is None
    assert ("fixes the mean effect" in str(found)) == (mu != 0.0)


def test_a_known_tau_does_not_exceed_its_tipping_point():
    """A conclusion that holds at the known tau is overturned by a larger one only."""
    precise = bm.EffectSizes(yi=Y, sei=S / 2, study=EFFECTS.study, measure="OR")
    for tau in (0.3, 0.05):
        found = bm.tipping_point(precise, benefit="lower", priors={"tau": f"point({tau})"})
        assert found.conclusion == "benefit"
        assert found.tau_fixed > tau
        assert found.p_tau_exceeds == 0.0


def test_power_scaling_leaves_out_what_the_priors_fix():
    """With tau known the posterior of mu is normal, and the distance of two close ones is a multiple of the shift."""
    (mu, new) = power_scaling(fit(tau=0.3))
    assert (mu.quantity, new.quantity) == ("mu", "theta_new")
    assert mu.by_prior["tau"] == 0.0
    assert mu.by_prior["mu"] == mu.prior > 0.0
    assert [s.quantity for s in power_scaling(fit(mu=0.0))] == ["tau", "theta_new"]
    assert power_scaling(fit(0.0, 0.3)) == ()


def test_densities_ranks_and_replications_of_known_parameters_are_refused_in_words():
    """There is nothing to draw of a parameter that its prior fixes, and no data that would move it."""
    post = fit(mu=0.0)
    with pytest.raises(ModelError, match=r"mu is known: the prior point\(0\) fixes it"):
        prior_posterior_data(post, "mu")
    with pytest.raises(ModelError, match=r"tau is known: the prior point\(0.3\) fixes it"):
        prior_posterior_data(fit(tau=0.3), "tau")
    draws = DrawsMarginal(np.zeros((4, 100)))
    with pytest.raises(ModelError, match=r"mu is known: .* no ranks"):
        ranks_data(replace(post, engine="nuts", marginals={"mu": draws}), "mu")
    with pytest.raises(ModelError, match="under a prior that lets it vary"):
        bm.predictive_p(post, "mu", draws=10, seed=1)
    assert prior_posterior_data(post, "tau").posterior.max() > 0
    assert bm.predictive_p(post, "tau", draws=10, seed=1).p >= 0


def test_data_are_predicted_without_heterogeneity_by_a_model_without_tau():
    """The common-effect model predicts as the random-effects model does whose tau is known to be 0."""
    random = fit(tau=0.0)
    common = bm.fit(EFFECTS, "common_effect", priors={"mu": random.priors["mu"]})
    with_tau, without = (bm.predictive_p(post, draws=200, seed=3) for post in (random, common))
    assert without.p == with_tau.p
    assert without.replicates == pytest.approx(with_tau.replicates, abs=1e-12)
    with pytest.raises(ModelError, match="has no tau"):
        bm.predictive_p(bm.fit(EFFECTS, "common_effect"), "tau", draws=10, seed=1)


def test_engines_are_compared_on_what_is_not_fixed():
    """Draws of a known tau are constant up to rounding, which is no disagreement: only the rest is compared."""
    exact = fit(tau=0.3)
    levels = (np.arange(4000) + 0.5).reshape(4, 1000) / 4000
    draws = np.random.default_rng(1).permuted(exact.mu.ppf(levels))
    sampled = replace(
        exact, engine="nuts", theta={}, marginals={"mu": DrawsMarginal(draws), "tau": DrawsMarginal(0.0 * draws + 0.3)}
    )
    assert {row.quantity for row in agreement(sampled, exact)} == {"mu"}
    assert all(row.agrees for row in agreement(sampled, exact))


def test_decision_curves_of_known_effects_are_steps():
    """The curve of a known mean is 0 up to it and 1 beyond, and at it on neither side."""
    for benefit, below in (("lower", 0.0), ("higher", 1.0)):
        curves = decisions_data(fit(-0.5, 0.0), benefit=benefit, thresholds=[math.exp(-0.5), 1.2])
        for curve in curves.curves.values():
            assert curve[curves.x < -0.5] == pytest.approx(below)
            assert curve[curves.x == -0.5] == pytest.approx(0.0)
            assert curve[curves.x > -0.5] == pytest.approx(1.0 - below)
    alone = decisions_data(fit(0.0, 0.0), benefit="lower")
    assert alone.x[0] < 0.0 < alone.x[-1]


def test_averages_keep_what_all_or_some_fits_know():
    """What all fits know alike is that value; what they know differently has the models' probabilities."""
    alike = bm.model_average([fit(0.0), fit(0.0, 0.3)])
    assert isinstance(alike.mu, Known)
    assert alike.mu.value == 0.0
    assert bm.threshold_table(alike, [0.9], benefit="higher").events[0].probability["mean effect"].value == 1.0
    apart = bm.model_average([fit(0.0, 0.3), fit(-0.5, 0.1)])
    w = apart.details.weights
    assert apart.mu.atoms == {0.0: w[0], -0.5: w[1]}
    assert bm.probability(apart.mu, below=-0.2) == pytest.approx(w[1], rel=1e-12)
    mixed = bm.model_average([fit(tau=0.3), bm.fit(EFFECTS), bm.fit(EFFECTS, "common_effect")])
    seen = np.asarray(mixed.to_datatree(4000, seed=1)["posterior"]["tau"])
    for value, share in ((0.3, mixed.details.weights[0]), (0.0, mixed.details.weights[2])):
        assert (seen == value).mean() == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / 4000))


def test_bayes_factors_between_known_values_are_likelihood_ratios():
    """Of mu = 0 against a known mu of -0.5, tau known: the ratio of the densities of the estimates."""
    sd = np.hypot(S, 0.3)
    expected = math.exp(stats.norm.logpdf(Y, 0, sd).sum() - stats.norm.logpdf(Y, -0.5, sd).sum())
    assert bm.bayes_factor_null(fit(-0.5, 0.3), mu=0.0) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("priors", [{"tau": "point(0.3)"}, {"mu": "point(0)"}, {"mu": "point(0)", "tau": "point(0)"}])
def test_reports_say_what_is_fixed_and_draw_the_rest(priors):
    """A known parameter has no panel of densities: a sentence says what fixes it."""
    plan = Protocol.checked(
        {
            "data": "none.csv",
            "measure": "OR",
            "priors": {name: {"prior": text} for name, text in priors.items()},
            "outcomes": {"x": {"benefit": "lower", "rows": ""}},
        }
    )
    view = page(analyse(plan, tables={"x": EFFECTS}, engine="quadrature")).outcomes[0]
    assert len(view.densities) == 2 - len(priors)
    said = " ".join(view.implied)
    for name, text in priors.items():
        assert f"{name} ~ {text} fixes it at" in said
