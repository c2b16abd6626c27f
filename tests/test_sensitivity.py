"""Prior grids, multiverses and tipping points: every figure against a single fit, brute force or Monte Carlo."""

import math

import numpy as np
import pytest
from scipy.stats import norm

import bayesmeta as bm
from bayesmeta.errors import DataError, ModelError
from bayesmeta.events import event_for
from bayesmeta.model import load_model
from bayesmeta.plots.sensitivity import sensitivity_data
from bayesmeta.plots.specification_curve import specification_curve_data
from bayesmeta.resources import data_dir
from bayesmeta.sensitivity import mu_ladder, mu_presets, prior_range, tau_ladder, tau_presets
from bayesmeta.sensitivity.drivers import decompose, logit
from bayesmeta.sensitivity.question import Question, all_priors
from bayesmeta.sensitivity.roots import crossing, crossing_one_by_one, first_below, first_below_one_by_one
from bayesmeta.sensitivity.tipping import _sceptical_sd, _tau_scale, _without

STENTING = data_dir() / "rescue_stenting.csv"


@pytest.fixture(scope="module")
def mortality():
    return bm.read_studies(STENTING, outcome="mortality")


@pytest.fixture(scope="module")
def effects(mortality):
    return bm.effect_sizes(mortality, "OR")


@pytest.fixture(scope="module")
def tips(mortality):
    return bm.tipping_point(mortality, benefit="lower")


def p_lower(effects, **priors):
    return float(bm.fit(effects, priors=priors, engine="quadrature").mu.cdf(0.0))


MUS = ["normal(0, 0.4)", "flat()", "student_t(4, 0, 1)"]
TAUS = ["half_normal(0.5)", "half_cauchy(0.3)", "point(0.2)"]


@pytest.fixture(scope="module")
def grid(effects):
    return bm.sensitivity(effects, mu=MUS, tau=TAUS, benefit="lower", level=0.9)


@pytest.mark.parametrize("mu", MUS)
@pytest.mark.parametrize("tau", TAUS)
def test_every_cell_of_the_grid_is_the_single_fit(effects, grid, mu, tau):
    """Each quantity under each pair of priors is the one of bm.fit."""
    cell = grid.sel(mu_prior=mu, tau_prior=tau)
    post = bm.fit(effects, priors={"mu": mu, "tau": tau}, engine="quadrature")
    for name in ("mu", "tau", "theta_new"):
        if name not in post.marginals:
            # A tau that is known has no marginal; the grid has its value.
            assert float(cell["tau_low"]) == float(cell["tau_median"]) == 0.2
            continue
        marginal = post[name]
        low, high = marginal.eti(0.9)
        for what, expected in {"median": marginal.median(), "low": low, "high": high, "mean": marginal.mean()}.items():
            assert float(cell[f"{name}_{what}"]) == pytest.approx(expected, rel=1e-6, abs=1e-8), (name, what)
    assert float(cell["mu_sd"]) == pytest.approx(post.mu.sd(), rel=1e-6)
    assert float(cell["p_mu"]) == pytest.approx(float(post.mu.cdf(0.0)), abs=1e-8)
    assert float(cell["p_theta_new"]) == pytest.approx(float(post.theta_new.cdf(0.0)), abs=1e-8)
    if post.log_evidence is None:
        assert np.isnan(float(cell["log_evidence"]))
    else:
        assert float(cell["log_evidence"]) == pytest.approx(post.log_evidence, abs=1e-7)


def test_the_grid_says_what_its_probabilities_are_of(grid):
    """Direction, threshold and estimand stand beside the numbers."""
    assert grid.sizes == {"mu_prior": 3, "tau_prior": 3}
    assert grid.attrs["direction"] == "below"
    assert grid.attrs["threshold_natural"] == 1.0
    assert grid["p_mu"].attrs["event"] == "benefit (OR < 1), mean effect"
    assert grid["p_theta_new"].attrs["event"] == "benefit (OR < 1), true effect of a new study"


def test_a_threshold_moves_the_probability(effects):
    """With a threshold of 0.8 the probability is that of an odds ratio below 0.8."""
    found = bm.sensitivity(effects, mu="flat()", tau="half_normal(0.5)", benefit="lower", threshold=0.8)
    post = bm.fit(effects, priors={"mu": "flat()", "tau": "half_normal(0.5)"}, engine="quadrature")
    assert float(found["p_mu"].item()) == pytest.approx(float(post.mu.cdf(math.log(0.8))), abs=1e-8)
    assert found.attrs["event"] == "OR < 0.8"


def test_priors_without_an_answer_are_named_and_the_others_computed(effects):
    """An improper pair leaves nan and its reason, and does not stop the others."""
    one = effects.drop(effects.study[1:])
    found = bm.sensitivity(one, mu=["normal(0, 1)"], tau=["uniform()", "half_normal(1)"])
    assert np.isnan(found["p_mu"].values[0, 0])
    assert np.isfinite(found["p_mu"].values[0, 1])
    assert "uniform()" in found.attrs["not_computed"][0]
    assert "improper" in found.attrs["not_computed"][0]
    assert prior_range(found)[0] == prior_range(found)[1] == found["p_mu"].values[0, 1]


@pytest.mark.parametrize("measure", ["OR", "RR", "RD", "SMD"])
@pytest.mark.parametrize("benefit", ["lower", "higher"])
def test_presets_run_from_vague_to_sceptical_to_enthusiastic(measure, benefit):
    """The presets get tighter, and the enthusiast stands on the side of benefit."""
    priors = list(mu_presets(measure, benefit).values())
    scales = [p.scale for p in priors[:4]]
    assert scales == sorted(scales, reverse=True)
    assert np.sign(priors[4].loc) == (1 if benefit == "higher" else -1)
    assert all(p.proper and p.support[0] >= 0 for p in tau_presets(measure).values())


def test_the_published_prior_matches_the_outcome():
    """Outcome and comparison choose the row of Turner et al. 2015."""
    found = tau_presets("OR", "all-cause mortality", "pharmacological vs placebo/control")
    assert repr(found["Turner 2015"]) == "log_normal(-1.975, 0.67)"


@pytest.fixture(scope="module")
def universe(mortality):
    return bm.multiverse(
        mortality, benefit="lower", measures=("OR", "RD"), mu=mu_ladder(3), tau=tau_ladder(3), estimators=("DL wald",)
    )


def test_a_multiverse_is_every_combination_once(universe):
    """Measures x zero-cell rules x subsets x priors, each combination once."""
    frame = universe.to_frame()
    bayesian = frame[frame["kind"] == "bayesian"]
    assert universe.m == len(bayesian) == 2 * 3 * 5 * 3 * 3
    assert not bayesian.duplicated(list(universe.levels)).any()


def test_every_universe_is_the_single_analysis_of_its_choices(mortality, universe):
    """Ten analyses drawn from the multiverse equal the fits made by hand from their choices."""
    rules = {
        "0.5 to studies with a zero cell": {"add": 0.5, "to": "only0"},
        "0.5 to all studies": {"add": 0.5, "to": "all"},
        "nothing added": {"add": 0.0, "to": "none", "inestimable": "exclude"},
    }
    frame = universe.to_frame()
    rows = frame[frame["kind"] == "bayesian"].sample(10, random_state=3)
    for _, row in rows.iterrows():
        without = row["studies"].removeprefix("without ")
        table = mortality if row["studies"] == "all studies" else mortality.drop([without])
        own = bm.effect_sizes(table, row["measure"], **rules[row["zero cells"]])
        unit = 0.25 if row["measure"] == "RD" else 1.0
        priors = {
            "mu": bm.priors.parse_prior(row["mu prior"]).rescale(unit),
            "tau": bm.priors.parse_prior(row["tau prior"]).rescale(unit),
        }
        post = bm.fit(own, priors=priors, engine="quadrature")
        assert row["p_mu"] == pytest.approx(float(post.mu.cdf(0.0)), abs=1e-8)
        assert row["mu_median"] == pytest.approx(post.mu.median(), rel=1e-6)


def test_classical_rows_are_those_of_pool(mortality, universe):
    """The classical rows are the estimates of frequentist.pool."""
    frame = universe.to_frame()
    row = frame[(frame["kind"] == "classical") & (frame["measure"] == "OR") & (frame["studies"] == "all studies")].iloc[
        0
    ]
    fit = bm.frequentist.pool(bm.effect_sizes(mortality, "OR"), method="DL", ci="wald")
    assert row["zero cells"] == "0.5 to studies with a zero cell"
    assert (row["mu"], row["low"], row["high"]) == pytest.approx((fit.mu, fit.ci.low, fit.ci.high), rel=1e-10)


def test_drivers_are_the_variance_decomposition(universe):
    """Main and total shares equal those computed level by level in plain Python."""
    y = logit(universe.column("p_mu"))
    choices = {n: np.array(universe.levels[n])[c] for n, c in universe.codes.items()}
    for driver in universe.drivers("p_mu"):
        own = choices[driver.choice]
        means = {level: y[own == level].mean() for level in set(own)}
        main = np.mean([(means[level] - y.mean()) ** 2 for level in own]) / y.var()
        others = list(zip(*(c for n, c in choices.items() if n != driver.choice), strict=True))
        within = {cell: y[[o == cell for o in others]].var() for cell in set(others)}
        total = np.mean([within[cell] for cell in others]) / y.var()
        assert driver.main == pytest.approx(main, rel=1e-9)
        assert driver.total == pytest.approx(total, rel=1e-9)
        assert driver.total >= driver.main - 1e-12


def test_shares_of_an_additive_result_sum_to_one():
    """Without interactions, main and total shares agree and sum to 1."""
    a, b, c = (x.ravel() for x in np.meshgrid(np.arange(3), np.arange(4), np.arange(2), indexing="ij"))
    y = 2.0 * a + np.array([0.0, 5.0, 1.0, 2.0])[b] - 0.5 * c
    codes = {"a": a, "b": b, "c": c}
    levels = {"a": tuple("xyz"), "b": tuple("klmn"), "c": tuple("pq")}
    found = decompose(y, codes, levels, probability=False)
    assert sum(d.main for d in found) == pytest.approx(1.0, rel=1e-12)
    for d in found:
        assert d.main == pytest.approx(d.total, rel=1e-12)
    assert found[0].choice == "b"
    assert (found[0].low_level, found[0].high_level) == ("k", "l")


def test_a_multiverse_in_words_gives_event_range_and_drivers(universe):
    """Printed, a multiverse gives direction, threshold, estimand, the range, and what drives it."""
    text = str(universe)
    assert "P(benefit: OR < 1 and RD < 0 | data), mean effect: " in text
    assert "true effect of a new study" in text
    assert "at least 0.975 in" in text
    assert "mu prior (3 levels)" in text


def test_the_specification_curve_is_in_order(universe):
    """The curve is the sorted result, with each analysis' own choices below it."""
    data = specification_curve_data(universe)
    assert np.all(np.diff(data.value) >= 0)
    np.testing.assert_array_equal(universe.column("p_mu")[data.order], data.value)
    for choice, codes in data.choices.items():
        np.testing.assert_array_equal(codes, universe.codes[choice][data.order])
    with pytest.raises(ModelError, match="cannot share"):
        specification_curve_data(universe, "mu_median")


def test_the_heat_map_marks_where_the_interval_excludes_no_effect(grid):
    """Cells are decided exactly where the credible interval lies on one side of no effect."""
    data = sensitivity_data(grid)
    outside = (grid["mu_low"].values > 0) | (grid["mu_high"].values < 0)
    np.testing.assert_array_equal(data.decided.astype(bool), outside)
    assert data.title == "P(benefit (OR < 1), mean effect | data)"


@pytest.mark.parametrize("name", ["sensitivity", "specification_curve"])
def test_plots_draw(name, grid, universe):
    """Both plots draw on given axes without a warning."""
    import matplotlib.pyplot as plt

    _, ax = plt.subplots()
    drawn = getattr(bm.plots, name)(grid if name == "sensitivity" else universe, ax=ax)
    drawn.figure.canvas.draw()
    assert drawn is ax
    plt.close("all")


def test_the_sceptical_prior_just_overturns(effects, tips):
    """Under the sceptical prior the 97.5% quantile of mu is no effect; wider it is not, tighter it is more than."""
    s = tips.sceptical_sd
    assert p_lower(effects, mu=f"normal(0, {s!r})") == pytest.approx(0.975, abs=1e-6)
    assert p_lower(effects, mu=f"normal(0, {1.05 * s!r})") > 0.975 > p_lower(effects, mu=f"normal(0, {0.95 * s!r})")


def test_the_sceptical_prior_by_monte_carlo(effects, tips):
    """Draws from the priors, weighted by the likelihood, give P(benefit) 0.975 under the sceptical prior."""
    rng = np.random.default_rng(5)
    n = 400_000
    mu, tau = tips.sceptical_sd * rng.standard_normal(n), np.abs(0.5 * rng.standard_normal(n))
    sd = np.sqrt(effects.vi[:, None] + tau**2)
    w = np.exp(norm.logpdf(effects.yi[:, None], mu, sd).sum(axis=0))
    p = float(w @ (mu < 0) / w.sum())
    mcse = math.sqrt(float(np.square(w) @ (((mu < 0) - p) ** 2))) / w.sum()
    assert p == pytest.approx(0.975, abs=4 * mcse)


def test_the_tipping_tau_just_overturns(effects, tips):
    """Were tau known to be that, the interval would touch no effect; the chance of more is the posterior's."""
    assert p_lower(effects, tau=f"point({tips.tau_fixed!r})") == pytest.approx(0.975, abs=1e-6)
    post = bm.fit(effects, engine="quadrature")
    assert tips.p_tau_exceeds == pytest.approx(float(post.tau.sf(tips.tau_fixed)), rel=1e-9)


def test_the_tipping_prior_of_tau_just_overturns(effects, tips):
    """With that scale of a half-normal prior of tau the interval touches no effect."""
    assert p_lower(effects, tau=f"half_normal({tips.tau_scale!r})") == pytest.approx(0.975, abs=1e-6)


def test_null_studies_are_as_few_as_do(effects, tips):
    """That many further studies without effect overturn the conclusion, and one fewer do not."""
    for kind in tips.studies:

        def with_more(n, se=kind.se):
            more = bm.EffectSizes(yi=[*effects.yi, *[0.0] * n], sei=[*effects.sei, *[se] * n], measure="OR")
            return p_lower(more)

        assert with_more(kind.count) < 0.975 < with_more(kind.count - 1)


def test_changed_outcomes_overturn(mortality, tips):
    """After the last change, made by hand in the counts, the conclusion is gone, and before it was not."""
    table = mortality.two_by_two()
    events = {"treatment": table.events_treatment.copy(), "control": table.events_control.copy()}
    p = []
    for move in tips.moves:
        i = table.study.index(move.study)
        assert events[move.arm][i] == move.before
        events[move.arm][i] = move.after
        counts = bm.TwoByTwo(events["treatment"], table.n_treatment, events["control"], table.n_control)
        p.append(p_lower(bm.effect_sizes(counts, "OR")))
        assert p[-1] == pytest.approx(move.p_mean, abs=1e-8)
    assert p[-1] < 0.975
    assert all(x >= 0.975 for x in p[:-1])


def test_fragility_is_leave_one_out(effects, tips):
    """The probability without each study is that of the fit without it, and the verdict is whether it crosses 0.975."""
    for left in tips.without:
        p = p_lower(effects.drop([left.study]))
        assert left.p_mean == pytest.approx(p, abs=1e-8)
        assert left.tips == (p <= 0.975)


MIXED = "0.5*dumouchel() + 0.5*half_normal(0.5)"


@pytest.mark.parametrize(
    ("model", "tau"),
    [*(("normal_normal", tau) for tau in ("dumouchel()", "shrinkage()", "i2()", MIXED)), ("robust_t", MIXED)],
)
def test_without_a_study_a_prior_takes_the_standard_errors_of_the_others(model, tau):
    """Where the prior of tau depends on standard errors, leaving a study out is the fit of the studies that remain."""
    studies = bm.EffectSizes(yi=[-0.9, -0.6, -0.8, -0.3], sei=[0.02, 0.3, 0.4, 0.5], measure="OR")
    priors = {"mu": "normal(0, 1)", "tau": tau}
    loaded, event = load_model(model), event_for("OR", "lower")
    asked = Question(loaded, studies, all_priors(loaded, studies, priors), event, 0.95)
    for left in _without(asked, "benefit", notes := []):
        some = bm.fit(studies.drop([left.study]), model, priors=priors, engine="quadrature")
        assert left.p_mean == pytest.approx(float(some.mu.cdf(0.0)), abs=1e-8)
        assert left.p_new == pytest.approx(float(some.theta_new.cdf(0.0)), abs=1e-8)
    assert notes == []


def test_null_studies_bring_their_standard_errors_to_the_prior():
    """With further studies DuMouchel's prior is that of all standard errors, as in a fit to all of them."""
    studies = bm.EffectSizes(yi=[-0.9, -0.6, -0.8], sei=[0.1, 0.2, 0.3], measure="OR")
    found = bm.tipping_point(studies, benefit="lower", priors={"tau": "dumouchel()"})
    for kind in found.studies:

        def with_more(n, se=kind.se):
            more = bm.EffectSizes(yi=[*studies.yi, *[0.0] * n], sei=[*studies.sei, *[se] * n], measure="OR")
            return p_lower(more, tau="dumouchel()")

        assert with_more(kind.count) < 0.975 <= with_more(kind.count - 1)


def test_without_one_of_two_studies_a_prior_may_have_no_scale():
    """A prior that takes two studies leaves no analysis of one: it is said, and the rest is there."""
    studies = bm.EffectSizes(yi=[-0.9, -0.85], sei=[0.05, 0.06], measure="OR")
    found = bm.tipping_point(studies, benefit="lower", priors={"mu": "normal(0, 1)", "tau": "i2()"})
    assert found.without == ()
    assert any("at least 2 studies" in note for note in found.notes)


def means(unit):
    """Return mean differences, priors and threshold measured in a unit so many times smaller."""
    studies = bm.EffectSizes(yi=unit * np.array([0.7, 1.1, 0.4]), sei=unit * np.array([0.15, 0.15, 0.12]), measure="MD")
    return studies, {"mu": f"normal(0, {10 * unit})", "tau": f"half_normal({unit / 10})"}, unit / 10


@pytest.mark.parametrize("c", [1e-3, 1e3])
def test_tipping_points_are_in_the_unit_of_the_effect(c):
    """Multiplying effects, errors, threshold and priors by c multiplies the tipping points by c."""
    answers = []
    for unit in (1.0, c):
        studies, priors, threshold = means(unit)
        answers.append(bm.tipping_point(studies, benefit="higher", priors=priors, threshold=threshold))
    first, other = answers
    assert first.conclusion == other.conclusion == "benefit"
    for name in ("sceptical_sd", "tau_fixed", "tau_scale"):
        assert getattr(other, name) == pytest.approx(c * getattr(first, name), rel=1e-6)
    assert [s.count for s in other.studies] == [s.count for s in first.studies]
    assert [w.p_mean for w in other.without] == pytest.approx([w.p_mean for w in first.without], abs=1e-8)


def test_tipping_points_without_a_closed_form_just_overturn_in_a_far_unit():
    """Under Student-t effects either prior leaves 97.5% on the side of benefit, in thousandths of the unit."""
    studies, priors, threshold = means(1e-3)
    model = load_model("robust_t")
    event = event_for("MD", "higher", threshold)
    asked = Question(model, studies, all_priors(model, studies, priors), event, 0.95)
    sd, scale = _sceptical_sd(asked, []), _tau_scale(asked, [])
    for tip in ({"mu": f"normal({threshold!r}, {sd!r})"}, {"tau": f"half_normal({scale!r})"}):
        post = bm.fit(studies, model, priors={**priors, **tip}, engine="quadrature")
        assert float(post.mu.sf(threshold)) == pytest.approx(0.975, abs=1e-6)


def test_sceptical_priors_are_found_however_sure_the_studies_are():
    """At 500 standard errors the SD is that of the closed form s^2 / sqrt((d / 1.96)^2 - s^2), far below the effect."""
    s = 1e-3
    sure = bm.EffectSizes(yi=[-0.5], sei=[s], measure="OR")
    found = bm.tipping_point(sure, benefit="lower", priors={"mu": "normal(0, 10)", "tau": "point(0)"})
    assert found.sceptical_sd == pytest.approx(s * s / math.sqrt((0.5 / norm.ppf(0.975)) ** 2 - s * s), rel=1e-6)


def test_tipping_points_of_harm_are_those_of_benefit_seen_from_the_other_side(effects, tips):
    """Calling the other direction a benefit changes the words, not the tipping points."""
    other = bm.tipping_point(effects, benefit="higher")
    assert (tips.conclusion, other.conclusion) == ("benefit", "harm")
    assert other.p_mean == pytest.approx(1 - tips.p_mean, abs=1e-12)
    assert other.sceptical_sd == pytest.approx(tips.sceptical_sd, rel=1e-6)
    assert other.tau_fixed == pytest.approx(tips.tau_fixed, rel=1e-6)
    assert [s.count for s in other.studies] == [s.count for s in tips.studies]


def test_an_open_question_has_nothing_to_overturn():
    """Where the interval includes no effect there is no tipping point, and the text says so."""
    table = bm.read_studies(STENTING, outcome="symptomatic_ich")
    found = bm.tipping_point(table, benefit="lower")
    assert found.conclusion == "open"
    assert found.sceptical_sd is found.tau_fixed is found.moves is None
    assert "there is no conclusion that" in str(found)


def test_tipping_points_in_words_give_event_and_cap():
    """Probabilities carry direction, threshold and estimand, and none is printed as 1."""
    sure = bm.EffectSizes(yi=[-2.0, -2.1, -1.9], sei=[0.1, 0.1, 0.1], measure="OR")
    text = str(bm.tipping_point(sure, benefit="lower"))
    assert "P(benefit (OR < 1), mean effect | data) = >0.999" in text
    assert "true effect of a new study" in text
    assert "ready estimates" in text


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda e: bm.tipping_point(e, benefit=None), ModelError, "benefit='lower'"),
        (lambda e: bm.tipping_point(e, benefit="down"), ModelError, "Unknown benefit"),
        (lambda e: bm.tipping_point(e, benefit="lower", level=1.0), ModelError, "strictly between 0 and 1"),
        (lambda e: bm.tipping_point(e, benefit="lower", threshold=-1.0), DataError, "odds ratio"),
        (lambda e: bm.tipping_point(e, benefit="lower", measure="RR"), ModelError, "leave measure out"),
        (lambda e: bm.multiverse(e, benefit=None), ModelError, "benefit='lower'"),
        (lambda e: bm.multiverse(e, benefit="lower", subsets="some"), ModelError, "Unknown subsets"),
        (lambda e: bm.multiverse(e, benefit="lower", subsets={"x": e.study}), DataError, "leaves no study"),
        (lambda e: bm.multiverse(e, benefit="lower", zero_cells=[(-1, "all")]), DataError, "cannot be added"),
        (lambda e: bm.sensitivity(e, mu=[]), ModelError, "at least one"),
        (lambda e: bm.sensitivity(e, tau="normal(0, 1)"), ModelError, "no prior for tau"),
        (lambda e: bm.sensitivity(e, model="robust_t", mu="flat()", tau="flat()"), ModelError, "quadrature|prior"),
        (lambda e: bm.sensitivity(e.to_frame()), DataError, "effect_sizes"),
    ],
)
def test_impossible_requests_say_what_to_write(effects, call, error, says):
    """An impossible request is an error that says what to write."""
    with pytest.raises(error, match=says):
        call(effects)


def test_a_measure_without_no_effect_needs_a_threshold():
    """Proportions have no value for no effect: a benefit takes a threshold, and without either there is no P."""
    effects = bm.EffectSizes(yi=[-1.0, -0.5, -0.8], sei=[0.3, 0.2, 0.3], measure="PLO")
    with pytest.raises(DataError, match="give threshold="):
        bm.sensitivity(effects, mu="flat()", tau="half_normal(1)", benefit="lower")
    plain = bm.sensitivity(effects, mu="flat()", tau="half_normal(1)")
    assert "p_mu" not in plain
    some = bm.sensitivity(effects, mu="flat()", tau="half_normal(1)", benefit="lower", threshold=0.3)
    assert some.attrs["threshold"] == pytest.approx(math.log(0.3 / 0.7))


def test_exact_counts_take_part_in_a_grid(mortality):
    """A model of counts is computed by its own quadrature, and equals bm.fit."""
    found = bm.sensitivity(
        mortality, model="binomial_normal", mu="normal(0, 2.82)", tau="half_normal(0.5)", benefit="lower"
    )
    post = bm.fit(mortality, model="binomial_normal", engine="quadrature")
    assert found["p_mu"].item() == pytest.approx(float(post.mu.cdf(0.0)), abs=1e-9)


@pytest.mark.parametrize("target", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("find", [crossing, crossing_one_by_one])
def test_crossings_are_roots(find, target):
    """The crossing of a known falling curve is its root, whichever way the scan runs."""
    x = np.linspace(-6, 6, 40)
    assert find(norm.sf, x, target) == pytest.approx(norm.isf(target), abs=1e-6)
    assert find(norm.cdf, x[::-1], target) == pytest.approx(norm.ppf(target), abs=1e-6)
    assert find(np.ones_like, x, target) is None


def test_one_by_one_nothing_is_computed_beyond_the_first_fall():
    """The scan ends where the curve has fallen, and the root lies to its left."""
    seen = []

    def curve(x):
        seen.append(float(x[0]))
        return norm.sf(x)

    assert crossing_one_by_one(curve, np.arange(-6.0, 60.0), 0.3) == pytest.approx(norm.isf(0.3), rel=1e-6)
    assert max(seen) == 1.0
    assert len(seen) < 20


@pytest.mark.parametrize("search", [first_below, first_below_one_by_one])
@pytest.mark.parametrize("answer", [1, 2, 3, 17, 64, 500])
def test_first_below_is_the_smallest_whole_number(answer, search):
    """The smallest whole number below the target is found exactly; None where none is."""
    assert search(lambda n: np.where(n >= answer, 0.0, 1.0), 0.5, 500) == answer
    assert search(lambda n: np.where(n >= 501, 0.0, 1.0), 0.5, 500) is None


def test_a_multiverse_of_one_says_that_nothing_varies(effects):
    """With one level of every choice the text gives the one probability and no driver."""
    one = bm.multiverse(effects, benefit="lower", subsets="all", mu="flat()", tau="half_normal(1)", estimators=())
    assert one.m == 1
    assert "no choice has more than one level" in str(one)


def test_the_report_says_what_would_overturn_the_conclusion(tmp_path, effects):
    """The page has the tipping points with the range over priors beside the probability."""
    page = bm.report(effects, tmp_path / "report.html", benefit="lower", engine="quadrature").read_text()
    assert "What would overturn the conclusion" in page
    assert "over the priors)" in page
    assert "Sceptical prior: mu ~ normal(0, 0.702)" in page
    assert "sensitivity to the priors" in page
