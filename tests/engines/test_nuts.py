"""The NUTS engine: against quadrature, its options, diagnostics, remedies and repeatability."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.agreement import agreement
from bayesmeta.engines import nuts
from bayesmeta.engines.sampling import program_cache
from bayesmeta.engines.sampling.chains import Run, Settings, cores_for, run
from bayesmeta.engines.sampling.diagnostics import diagnose, judge
from bayesmeta.engines.sampling.program import bind
from bayesmeta.errors import ModelError
from bayesmeta.model import load_model
from bayesmeta.resources import data_dir, models_dir

pytestmark = pytest.mark.nuts
OUTCOMES = ("favourable_outcome", "mortality", "symptomatic_ich")


def effects(k: int, seed: int = 0) -> bm.EffectSizes:
    """Return `k` made-up log odds ratios."""
    rng = np.random.default_rng(seed)
    return bm.EffectSizes(yi=rng.normal(0.2, 0.5, k), sei=rng.uniform(0.1, 0.5, k), measure="OR")


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
    monkeypatch.setattr(program_cache, "compile_program", _refuse)
    for study in data.study:
        bm.fit(data.drop([study]), engine="nuts", seed=1, draws=100, remedies=False, priors={"tau": "half_normal(1)"})


def _refuse(model, flexible):
    raise AssertionError("compiled again")


def test_a_program_with_vectors_serves_other_numbers_of_studies(monkeypatch):
    """Compiled for three studies, a model draws for five exactly what it draws when compiled for five."""
    monkeypatch.setenv("BAYESMETA_CACHE", "")
    options = {"engine": "nuts", "seed": 1, "draws": 200, "remedies": False, "variant": "non_centred"}
    program_cache.clear()
    alone = bm.fit(effects(5), **options)
    program_cache.clear()
    bm.fit(effects(3), **options)
    monkeypatch.setattr(program_cache, "compile_program", _refuse)
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
    monkeypatch.setattr(program_cache, "compile_program", _refuse)
    assert set(bm.fit(regression(5, 3), **options).beta) == {"intercept", "x1", "x2"}
    with pytest.raises(AssertionError, match="compiled again"):
        bm.fit(regression(5, 5), **options)
    monkeypatch.setattr(program_cache, "compile_program", compiled)
    assert len(bm.fit(regression(5, 5), **options).beta) == 5


UNNAMED = '''"""My model: a vector whose dimension has no name."""

from bayesmeta.priors import HalfNormal, Normal
from bayesmeta.studies import EffectSizes

DATA = EffectSizes
PRIORS = {"mu": Normal(0, 1), "tau": HalfNormal(0.5)}


def build(data, priors):
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        mu, tau = priors["mu"].rv("mu"), priors["tau"].rv("tau")
        eta = pm.Normal("eta", 0, 1, shape=data.k)
        theta = pm.Deterministic("theta", mu + tau * eta, dims="study")
        pm.Normal("y", theta, data.sei, observed=data.yi, dims="study")
    return model
'''


MATRIX = '''"""My model: two effects a study, in a matrix."""

from bayesmeta.priors import HalfNormal, Normal
from bayesmeta.studies import EffectSizes

DATA = EffectSizes
PRIORS = {"mu": Normal(0, 1), "tau": HalfNormal(0.5)}


def build(data, priors):
    import pymc as pm

    with pm.Model(coords={"study": data.study, "arm": ["a", "b"]}) as model:
        sei, yi = pm.Data("sei", data.sei, dims="study"), pm.Data("yi", data.yi, dims="study")
        mu, tau = priors["mu"].rv("mu"), priors["tau"].rv("tau")
        eta = pm.Normal("eta", 0, 1, dims=("arm", "study"))
        theta = pm.Deterministic("theta", mu + tau * eta.sum(axis=0) / 2**0.5, dims="study")
        pm.Normal("y", theta, sei, observed=yi, dims="study")
    return model
'''


def test_a_users_program_with_slots_and_named_dimensions_serves_other_data(tmp_path, monkeypatch):
    """A matrix of arms and studies is compiled once, and has the right posterior for either number of studies."""
    path = tmp_path / "matrix.py"
    path.write_text(MATRIX)
    for k in (3, 5):
        own = bm.fit(effects(k), model=path, engine="nuts", seed=1)
        exact = bm.fit(effects(k), engine="quadrature", priors={"mu": "normal(0, 1)"})
        assert abs(own.mu.mean() - exact.mu.mean()) < 5 * own.mu.mcse()
        assert abs(own.tau.mean() - exact.tau.mean()) < 5 * own.tau.mcse()
        monkeypatch.setattr(program_cache, "compile_program", _refuse)


def test_a_vector_whose_dimension_has_no_name_can_be_sampled(tmp_path):
    """Such a program is compiled for its lengths alone, and has the posterior of the shipped model."""
    path = tmp_path / "unnamed.py"
    path.write_text(UNNAMED)
    for k in (3, 4):
        own = bm.fit(effects(k), model=path, engine="nuts", seed=1)
        exact = bm.fit(effects(k), engine="quadrature", priors={"mu": "normal(0, 1)"})
        assert abs(own.mu.mean() - exact.mu.mean()) < 5 * own.mu.mcse()
        assert abs(own.tau.mean() - exact.tau.mean()) < 5 * own.tau.mcse()


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


FINE = {
    "divergences": 0.0,
    "chains": 4.0,
    "draws": 1000.0,
    "max_rhat": 1.001,
    "min_ess_bulk": 2000.0,
    "min_ess_tail": 2000.0,
    "min_bfmi": 0.9,
}
TABLE = {"mu": {"rhat": 1.0, "ess_bulk": 2000.0, "ess_tail": 2000.0}}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"divergences": 3.0}, "3 of 4000 draws diverged"),
        ({"max_rhat": 1.02}, "R-hat of mu is 1.020"),
        ({"max_rhat": float("nan")}, "R-hat of mu is nan"),
        ({"min_ess_bulk": 300.0}, "bulk effective sample size of mu is 300"),
        ({"min_ess_tail": 300.0}, "tail effective sample size of mu is 300"),
        ({"min_bfmi": 0.1}, "E-BFMI is 0.10"),
    ],
)
def test_verdict_names_the_fault(fault, words):
    """Each bad figure makes the run unreliable, and the verdict names it."""
    assert judge(FINE, TABLE)[0]
    ok, verdict = judge({**FINE, **fault}, TABLE)
    assert not ok
    assert words in verdict


def test_divergences_of_draws_not_kept_count():
    """Thinning does not hide divergences."""
    diverging = np.zeros((2, 40), dtype=bool)
    diverging[0, 1] = True
    rng = np.random.default_rng(1)
    draws = rng.normal(size=(2, 10))
    assert diagnose({"mu": draws}, diverging, rng.normal(size=(2, 40))).figures["divergences"] == 1


def _bad_first(monkeypatch, faults):
    """Make the first runs look as if they had diverged or not mixed."""
    calls = []

    def fake(bound, settings, *, progress=False):
        result = run(bound, settings)
        calls.append((settings, len(bound.program.layout.variables)))
        diverging = result.diverging.copy()
        diverging[0, : faults[len(calls) - 1] if len(calls) <= len(faults) else 0] = True
        return Run(result.draws, result.derived, result.stats, diverging, result.energy)

    monkeypatch.setattr(nuts, "run", fake)
    return calls


def test_remedies_are_tried_in_order_and_recorded(monkeypatch):
    """After many divergences: smaller steps, then another parametrisation with longer chains; the result says so."""
    calls = _bad_first(monkeypatch, [50, 30])
    post = bm.fit(effects(4), engine="nuts", seed=1, draws=500)
    assert post.diagnostics.ok
    assert len(post.diagnostics.remedies) == 2
    assert "target_accept raised from 0.98 to 0.99, after 50 divergences" in post.diagnostics.remedies[0]
    assert "'non_centred' in place of 'default', after 30 divergences" in post.diagnostics.remedies[1]
    assert post.options["variant"] == "non_centred"
    assert calls[1][0].target_accept == 0.99
    assert calls[2][0].thin == 4 * calls[0][0].thin


def test_a_few_divergences_are_met_with_smaller_steps_first(monkeypatch):
    """Where one transition in thousands diverges the program stays; another comes when smaller steps do not help."""
    calls = _bad_first(monkeypatch, [5, 3, 2])
    post = bm.fit(effects(4), engine="nuts", seed=1, draws=500)
    assert post.diagnostics.ok
    assert "target_accept raised to 0.999, after 3 divergences" in post.diagnostics.remedies[1]
    assert "'non_centred' in place of 'default', after 2 divergences" in post.diagnostics.remedies[2]
    assert [settings.target_accept for settings, _ in calls] == [0.98, 0.99, 0.999, 0.99]
    assert calls[2][0].thin == 4 * calls[0][0].thin


def test_no_remedy_is_tried_twice(monkeypatch):
    """With every run bad, each pair of program and step size comes once."""
    calls = _bad_first(monkeypatch, [5, 3, 2, 2, 2, 2, 2])
    post = bm.fit(effects(4), engine="nuts", seed=1, draws=500)
    assert not post.diagnostics.ok
    tried = [(size, settings.target_accept, settings.thin) for settings, size in calls]
    assert len(tried) == len(set(tried)) == 5


def test_best_run_is_returned_when_no_remedy_helps(monkeypatch):
    """When all remedies fail the least bad run is returned, marked as not to be relied on."""
    _bad_first(monkeypatch, [9, 2, 9, 9, 9])
    post = bm.fit(effects(4), engine="nuts", seed=1, draws=500, thin=1)
    assert not post.diagnostics.ok
    assert post.diagnostics.figures["divergences"] == 2
    assert "Do not rely" in post.diagnostics.verdict


def test_remedies_can_be_switched_off(monkeypatch):
    """With remedies=False a bad run is returned as it is."""
    calls = _bad_first(monkeypatch, [5])
    post = bm.fit(effects(4), engine="nuts", seed=1, draws=500, remedies=False)
    assert (len(calls), post.diagnostics.ok, post.diagnostics.remedies) == (1, False, ())


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


def test_missing_and_misshapen_slots_are_refused():
    """A program cannot be run on incomplete data."""
    model, data = load_model("normal_normal"), effects(4)
    bound = program_cache.prepare(model, data, model.priors)
    values = program_cache.slot_values(model, data, model.priors)
    with pytest.raises(ModelError, match="sei"):
        bind(bound.program, {name: value for name, value in values.items() if name != "sei"})
    with pytest.raises(ModelError, match="dimensions"):
        bind(bound.program, {**values, "sei": np.ones((4, 4))})


def test_a_copied_and_edited_file_is_a_model(tmp_path):
    """A user's copy with other defaults gives the posterior of the original with these priors, and its own name."""
    path = tmp_path / "my_model.py"
    path.write_text((models_dir() / "normal_normal.py").read_text().replace("HalfNormal(0.5)", "HalfNormal(0.1)"))
    data = effects(4)
    mine = bm.fit(data, model=path, engine="nuts", seed=1)
    ours = bm.fit(data, engine="nuts", seed=1, priors={"tau": "half_normal(0.1)"})
    assert mine.model.name == "my_model"
    np.testing.assert_array_equal(mine.tau.draws, ours.tau.draws)
    assert [row for row in agreement(mine, bm.fit(data, model=path, engine="quadrature")) if not row.agrees] == []


OWN = '''"""My model: a plain pm.Model, with the data written into it."""

from bayesmeta.priors import HalfNormal, Normal
from bayesmeta.studies import EffectSizes

DATA = EffectSizes
PRIORS = {"mu": Normal(0, 1), "tau": HalfNormal(0.5)}


def build(data, priors):
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        mu, tau = pm.Normal("mu", 0, 1), pm.HalfNormal("tau", 0.5)
        theta = pm.Normal("theta", mu, tau, dims="study")
        pm.Normal("y", theta, data.sei, observed=data.yi, dims="study")
    return model
'''


def test_a_users_program_with_constants_is_never_given_other_data(tmp_path):
    """Numbers written into a user's program are part of it: other data are not run on a stale program."""
    path = tmp_path / "own.py"
    path.write_text(OWN)
    for seed in (1, 2):
        data = effects(3, seed=seed)
        own = bm.fit(data, model=path, engine="nuts", seed=1, target_accept=0.99, remedies=False)
        exact = bm.fit(data, engine="quadrature", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"})
        assert set(own.marginals) == {"mu", "tau", "tau2"}
        assert abs(own.mu.mean() - exact.mu.mean()) < 5 * own.mu.mcse()
        assert list(own.theta) == list(data.study)


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
def test_moments_that_do_not_exist_are_not_averages_of_draws(priors):
    """Whatever quadrature says is infinite is infinite here, with a reason; the rest is finite."""
    data = effects(3)
    sampled = bm.fit(data, engine="nuts", seed=1, draws=200, tune=300, priors=priors, remedies=False)
    exact = bm.fit(data, engine="quadrature", priors=priors)
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
