"""The NUTS engine: against quadrature, its options, diagnostics and repeatability."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
from made_up import effects

import bayesmeta as bm
from bayesmeta.engines.sampling.chains import Settings, cores_for
from bayesmeta.engines.sampling.compiled import program_cache
from bayesmeta.engines.sampling.results.moments import missing_moments
from bayesmeta.errors import ModelError
from bayesmeta.evidence.agreement import agreement
from bayesmeta.model import load_model
from bayesmeta.resources import data_dir

pytestmark = pytest.mark.nuts
OUTCOMES = ("favourable_outcome", "mortality", "symptomatic_ich")


@pytest.fixture(scope="module", params=OUTCOMES)
def stenting(request):
    """Return NUTS at its defaults, and quadrature, on an outcome of the stenting studies."""
    table = bm.read_studies(data_dir() / "rescue_stenting.csv", outcome=request.param)
    data = bm.effect_sizes(table, measure="OR")
    return bm.fit(data, engine="nuts", seed=1), bm.fit(data, engine="quadrature")


def test_defaults_reach_the_accuracy_that_is_promised(stenting):
    """At the defaults: R-hat below 1.01, bulk and tail ESS above 1000 for every quantity, no divergences."""
    figures = stenting[0].diagnostics.figures
    assert stenting[0].diagnostics.ok
    assert figures["divergences"] == 0
    assert figures["max_rhat"] < 1.01
    assert min(figures["min_ess_bulk"], figures["min_ess_tail"]) > 1000


def test_sampled_and_computed_posterior_agree(stenting):
    """Mean, SD and quantiles of mu, tau, every theta and theta_new are within 4 Monte Carlo errors of quadrature."""
    rows = agreement(*stenting)
    k = stenting[0].k
    assert {row.quantity for row in rows} >= {"mu", "tau", "theta_new", *(f"theta[{s}]" for s in stenting[0].theta)}
    assert len(rows) == 5 * (5 + k)
    assert [row for row in rows if not row.agrees] == []


@pytest.mark.parametrize("k", [1, 2, 60])
def test_one_program_serves_any_number_of_studies(k):
    """The marginal model is compiled once, whatever the number of studies, and stays right."""
    data = effects(k, seed=k)
    sampled = bm.fit(data, engine="nuts", seed=1)
    rows = agreement(sampled, bm.fit(data, engine="quadrature"))
    assert len(program_cache._PROGRAMS) == 1
    assert [row for row in rows if not row.agrees] == []


def test_variants_have_the_same_posterior():
    """The non-centred program has the posterior of the marginal one."""
    data = effects(4)
    sampled = bm.fit(data, engine="nuts", seed=1, variant="non_centred")
    assert sampled.options["variant"] == "non_centred"
    assert [row for row in agreement(sampled, bm.fit(data, engine="quadrature")) if not row.agrees] == []


def test_same_seed_same_draws_and_another_seed_others():
    """Draws are a function of data, model, options and seed."""
    data = effects(4)
    one, again, other = (bm.fit(data, engine="nuts", seed=s, draws=200, remedies=False) for s in (5, 5, 6))
    for name in one.marginals:
        np.testing.assert_array_equal(one[name].draws, again[name].draws)
    assert not np.array_equal(one.mu.draws, other.mu.draws)


def test_seed_is_recorded_when_none_is_given():
    """A run without a seed can be repeated from what its result records."""
    data = effects(4)
    first = bm.fit(data, engine="nuts", draws=100, remedies=False)
    again = bm.fit(data, engine="nuts", draws=100, remedies=False, seed=first.seed)
    np.testing.assert_array_equal(first.mu.draws, again.mu.draws)


@pytest.mark.parametrize("variant", ["default", "non_centred"])
def test_threads_never_mix_data(variant):
    """Many fits of different data interleaved over threads equal the same fits one after another."""
    tasks = [(effects(k, seed=k), f"half_normal({0.2 * k})") for k in (2, 3, 5, 8)] * 3

    def mean(task):
        data, tau = task
        options = {"seed": 3, "draws": 300, "remedies": False, "variant": variant}
        post = bm.fit(data, engine="nuts", priors={"tau": tau}, **options)
        return post.mu.draws.mean(), post.tau.draws.mean()

    expected = [mean(task) for task in tasks]
    barrier = threading.Barrier(4)
    with ThreadPoolExecutor(4, initializer=barrier.wait) as pool:
        found = list(pool.map(mean, tasks))
    assert found == expected
    assert len(set(expected)) == 4


def test_leave_one_out_is_a_resample(monkeypatch):
    """Other data and prior parameters need no compilation once one of the structure was compiled."""
    data = effects(5)
    bm.fit(data, engine="nuts", seed=1, draws=100, remedies=False)
    monkeypatch.setattr(program_cache, "compile_program", Mock(side_effect=AssertionError("compiled again")))
    for study in data.study:
        bm.fit(data.drop([study]), engine="nuts", seed=1, draws=100, remedies=False, priors={"tau": "half_normal(1)"})


def test_a_program_with_vectors_serves_other_numbers_of_studies(monkeypatch):
    """Compiled for three studies, a model draws for five exactly what it draws when compiled for five."""
    monkeypatch.setenv("BAYESMETA_CACHE", "")
    options = {"engine": "nuts", "seed": 1, "draws": 200, "remedies": False, "variant": "non_centred"}
    program_cache.clear()
    alone = bm.fit(effects(5), **options)
    program_cache.clear()
    bm.fit(effects(3), **options)
    monkeypatch.setattr(program_cache, "compile_program", Mock(side_effect=AssertionError("compiled again")))
    again = bm.fit(effects(5), **options)
    np.testing.assert_array_equal(alone.mu.draws, again.mu.draws)
    assert list(again.theta) == list(effects(5).study)
    for study in again.theta:
        np.testing.assert_array_equal(alone.theta[study].draws, again.theta[study].draws)


def test_a_regression_shares_its_program_between_numbers_of_studies_and_not_of_terms(monkeypatch):
    """Leaving studies out resamples; a column more is another program, even where terms are as many as studies."""
    options = {"model": "meta_regression", "engine": "nuts", "seed": 1, "draws": 100, "remedies": False}

    def regression(k, p):
        X = np.column_stack([np.ones(k), np.random.default_rng(1).standard_normal((k, p - 1))])
        return replace(effects(k), X=X, terms=("intercept", *(f"x{j}" for j in range(1, p))))

    bm.fit(regression(6, 3), **options)
    compiled = program_cache.compile_program
    monkeypatch.setattr(program_cache, "compile_program", Mock(side_effect=AssertionError("compiled again")))
    assert set(bm.fit(regression(5, 3), **options).beta) == {"intercept", "x1", "x2"}
    with pytest.raises(AssertionError, match="compiled again"):
        bm.fit(regression(5, 5), **options)
    monkeypatch.setattr(program_cache, "compile_program", compiled)
    assert len(bm.fit(regression(5, 5), **options).beta) == 5


def test_every_quantity_is_diagnosed():
    """The diagnostics table has a row for every parameter and derived quantity, and its worst rows are the figures."""
    post = bm.fit(effects(4), engine="nuts", seed=1)
    table, figures = post.diagnostics.table, post.diagnostics.figures
    assert set(table) == {*post.marginals, *(f"theta[{s}]" for s in post.theta)}
    assert figures["max_rhat"] == max(row["rhat"] for row in table.values())
    assert figures["min_ess_tail"] == min(row["ess_tail"] for row in table.values())
    assert table["mu"]["mcse_97.5%"] == post.mu.mcse(0.975)
    assert {"rhat", "ess_bulk", "ess_tail", "mcse_mean", "mcse_sd"} <= set(post.summary().columns)


def test_draws_are_consistent_with_each_other():
    """tau2 is tau squared, draw by draw, and I2 the share of tau2 in the total."""
    post = bm.fit(effects(4), engine="nuts", seed=1, draws=100, remedies=False)
    tau = post.tau.draws
    np.testing.assert_allclose(post["tau2"].draws, tau**2, rtol=1e-14)
    w = 1 / post.data.vi
    typical = (post.k - 1) * w.sum() / (w.sum() ** 2 - (w**2).sum())
    np.testing.assert_allclose(post["I2"].draws, 100 * tau**2 / (tau**2 + typical), rtol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {"draws": 0},
        {"draws": 10.5},
        {"tune": 0},
        {"thin": 0},
        {"chains": 0},
        {"target_accept": 1.0},
        {"target_accept": "0.9"},
        {"seed": -1},
        {"variant": "centered"},
    ],
)
def test_impossible_options_are_refused(options):
    """An option out of range is an error that names it, before anything is compiled."""
    with pytest.raises(ModelError, match=next(iter(options))):
        bm.fit(effects(4), engine="nuts", **{"seed": 1, **options})


def test_point_priors_everywhere_are_refused():
    """With every parameter fixed there is nothing to sample, and the error says so."""
    with pytest.raises(ModelError, match="nothing to sample"):
        bm.fit(effects(4), engine="nuts", seed=1, priors={"mu": "point(0)", "tau": "point(0.3)"})


def test_chains_are_sized_to_the_machine():
    """No more chains run at once than there are chains or cores."""
    assert cores_for(1) == 1
    assert 1 <= cores_for(64) <= 64


def test_settings_can_be_compared():
    """Settings are values."""
    assert Settings(draws=10) == Settings(draws=10) != Settings(draws=11)


@pytest.mark.parametrize("prior", ["flat()", "normal(0, 1)", "student_t(4, 0, 1)", "uniform(-1, 2)"])
def test_a_prior_that_lets_tau_be_negative_is_refused_before_sampling(prior):
    """tau enters the density squared, so that such a prior would be sampled without complaint."""
    with pytest.raises(ModelError, match=r"lets tau be negative.*(truncated|uniform\(\))"):
        bm.fit(effects(4), priors={"tau": prior}, engine="nuts", seed=1)


def test_an_improper_posterior_is_refused_before_sampling():
    """NUTS would return numbers for a posterior without finite mass; the condition is stated instead."""
    effects = bm.EffectSizes(yi=[0.1, 0.5], sei=[0.2, 0.3], measure="OR")
    with pytest.raises(ModelError, match="k >= 3"):
        bm.fit(effects, priors={"mu": "flat()", "tau": "uniform()"}, engine="nuts", seed=1)


def test_fitted_values_of_a_regression_are_those_of_quadrature():
    """At new moderators: the mean effect and a new study's, within Monte Carlo error."""
    k, rng = 10, np.random.default_rng(3)
    x, sei = rng.normal(size=k), rng.uniform(0.1, 0.3, k)
    yi = 0.2 + 0.4 * x + rng.normal(0, 0.2, k) + sei * rng.normal(size=k)
    data = bm.EffectSizes(yi, sei, measure="OR", X=np.column_stack([np.ones(k), x]), terms=("intercept", "x"))
    sampled, exact = (bm.fit(data, "meta_regression", engine=e, seed=2) for e in ("nuts", "quadrature"))
    for what in ("linear", "predicted"):
        ours, theirs = (getattr(post, what)([1.0, 0.7]) for post in (sampled, exact))
        for q in (0.025, 0.5, 0.975):
            assert abs(float(ours.ppf(q)) - float(theirs.ppf(q))) < 4.5 * ours.mcse(q), what
        assert ours.eti(0.95).kind == theirs.eti(0.95).kind
    with pytest.raises(ModelError, match="x needs 2 finite value"):
        sampled.linear([1.0])


@pytest.mark.parametrize(
    "priors",
    [
        {"mu": "flat()", "tau": "uniform(0, inf)"},
        {"mu": "normal(0, 2.82)", "tau": "half_cauchy(0.5)"},
        {"mu": "flat()", "tau": "half_cauchy(0.5)"},
        {"mu": "flat()", "tau": "half_normal(0.5)"},
        {"mu": "cauchy(0, 1)", "tau": "uniform(0, inf)"},
        {"mu": "student_t(3, 0, 1)", "tau": "uniform(0, inf)"},
    ],
)
def test_moments_that_do_not_exist_are_known_before_sampling(priors):
    """Whatever quadrature says is infinite is known to be, with a reason; of the rest nothing is said."""
    model, data = load_model("normal_normal"), effects(3)
    missing = missing_moments(model, data, model.with_priors(priors))
    exact = bm.fit(data, engine="quadrature", priors=priors)
    for name in ("mu", "tau", "tau2", "theta_new"):
        no_mean, no_sd, why = missing.get(name, (False, False, ""))
        assert no_sd == (not math.isfinite(exact[name].sd())), name
        assert bool(why) == no_sd
        if name in ("tau", "tau2"):
            assert no_mean == (not math.isfinite(exact[name].mean())), name


def test_moments_that_do_not_exist_are_not_averages_of_draws():
    """They are infinite, with a reason, whatever the draws; the rest is finite."""
    data, heavy = effects(3), {"mu": "flat()", "tau": "half_cauchy(0.5)"}
    sampled = bm.fit(data, engine="nuts", seed=1, draws=200, tune=300, priors=heavy, remedies=False)
    exact = bm.fit(data, engine="quadrature", priors=heavy)
    assert not math.isfinite(exact["tau2"].sd())
    for name in ("mu", "tau", "tau2", "theta_new"):
        ours, theirs = sampled[name], exact[name]
        assert math.isfinite(ours.sd()) == math.isfinite(theirs.sd()), name
        assert bool(ours.notes) == (not math.isfinite(ours.sd()))
        if name in ("tau", "tau2"):
            assert math.isfinite(ours.mean()) == math.isfinite(theirs.mean()), name
    assert ("∞" in str(sampled)) == any(m.no_sd for m in sampled.marginals.values())


def test_a_known_tau_has_no_spread():
    """Its draws are equal, and so are its printed quantiles."""
    post = bm.fit(effects(4), engine="nuts", seed=1, draws=100, priors={"tau": "point(0.3)"}, remedies=False)
    assert post.tau.sd() == 0.0
    assert "0.30000" not in str(post)
