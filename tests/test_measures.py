"""The effect measure of a model of counts is its own, in every table, plot, plan and probability."""

import math
from pathlib import Path

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.analysis import analyse
from bayesmeta.compare.rows import DL_WALD, MH_RANDOM
from bayesmeta.decisions.quantities import measure_of
from bayesmeta.errors import DataError, ModelError
from bayesmeta.export import result_frame, study_frame
from bayesmeta.model import list_models, load_model
from bayesmeta.plots import PLOTS
from bayesmeta.protocol import Protocol
from bayesmeta.report.sources import plan_for
from bayesmeta.sensitivity import prior_data_conflict
from bayesmeta.studies import EffectSizes, PersonTime, TwoByTwo

# Half the risk in every study; odds ratios 0.44, 0.29, 0.17 and risk differences -0.1, -0.3, -0.4.
HALVED = TwoByTwo([10, 30, 40], [100] * 3, [20, 60, 80], [100] * 3)
RATES = PersonTime([3, 5, 2], [100, 90, 80], [8, 9, 7], [110, 80, 90])
OF_COUNTS = {
    name: measure
    for name in list_models()
    if (model := load_model(name)).data_type is TwoByTwo
    and model.study_likelihoods is not None
    and (measure := model.own_measure)
}
RISKS = np.array([[10, 20], [30, 60], [40, 80]]) / 100


def test_the_models_of_counts_know_their_measures():
    """Risk ratios and risk differences by two models, rate ratios by one, odds ratios by the others."""
    other = {"binomial_normal_rr": "RR", "binomial_normal_rd": "RD"}
    assert {n: m for n, m in OF_COUNTS.items() if m != "OR"} == other
    assert {"binomial_normal", "binomial_normal_symmetric", "hypergeometric_normal"} <= set(OF_COUNTS)
    assert load_model("poisson_normal").own_measure == "IRR"
    assert load_model("normal_normal").own_measure is None


@pytest.mark.parametrize("measure", ["OR", "RR", "RD"])
@pytest.mark.parametrize("model", sorted(OF_COUNTS))
def test_a_comparison_is_on_the_measure_of_its_model(model, measure):
    """On the model's measure all rows agree; on another there is no table."""
    if measure != OF_COUNTS[model]:
        with pytest.raises(ModelError, match=f"{model}' estimates the {OF_COUNTS[model]}, not the {measure}"):
            bm.compare(HALVED, measure=measure, model=model, engine="quadrature")
        return
    rows = bm.compare(HALVED, model=model, engine="quadrature", benefit="lower")
    assert rows.measure == measure
    row, (t, c) = rows.row("Bayesian quadrature"), RISKS.T
    each = {"OR": np.log(t / (1 - t)) - np.log(c / (1 - c)), "RR": np.log(t / c), "RD": t - c}[measure]
    assert row.mu == pytest.approx(bm.fit(HALVED, model).mu.median(), abs=1e-12)
    # The prior is vague beside the data, so the mean effect lies among the studies' own.
    for mu in (row.mu, rows.row(MH_RANDOM).mu, rows.row(DL_WALD).mu):
        assert min(each) - 0.01 < mu < max(each) + 0.01


def test_risk_ratios_stand_beside_the_mantel_haenszel_one():
    """Where every study halves the risk, Mantel-Haenszel's risk ratio is 1/2 exactly, and the Bayesian one nearly."""
    rows = bm.compare(HALVED, measure="RR", model="binomial_normal_rr", engine="quadrature")
    assert math.exp(rows.row(MH_RANDOM).mu) == pytest.approx(0.5, rel=1e-12)
    assert math.exp(rows.row("Bayesian quadrature").mu) == pytest.approx(0.5, abs=0.002)


def test_a_second_model_of_another_measure_is_left_out_with_the_reason():
    """The first model decides; another is named under the table, not in it."""
    rows = bm.compare(HALVED, model=["binomial_normal_rr", "binomial_normal"], engine="quadrature")
    assert rows.measure == "RR"
    assert [a.reason for a in rows.absent if "binomial_normal " in a.method] == [
        "model 'binomial_normal' estimates the OR, not the RR"
    ]


def test_a_plan_for_another_measure_than_its_model_is_refused():
    """A plan of odds ratios with a model of risk ratios stops with both names; one of risk ratios is carried out."""
    keys = {"data": "none", "models": ("binomial_normal_rr",), "outcomes": {"x": {"benefit": "lower"}}}
    with pytest.raises(ModelError, match="estimates the RR, not the OR"):
        analyse(Protocol.checked(keys), tables={"x": HALVED}, engine="quadrature")
    done = analyse(Protocol.checked({**keys, "measure": "RR"}), tables={"x": HALVED}, engine="quadrature")
    assert done.outcomes[0].comparison.row("Bayesian quadrature").p_benefit_mean > 0.99


def test_a_plan_whose_model_cannot_be_fitted_says_why():
    """Ready estimates under a model of counts, in a plan, end in the reason."""
    effects = bm.effect_sizes(HALVED, "OR")
    ready = EffectSizes(effects.yi, effects.sei, measure="OR")
    protocol, _ = plan_for(ready, benefit="lower")
    plan = Protocol.checked({**dict(protocol), "models": ("binomial_normal",)})
    with pytest.raises(ModelError, match="needs the 2x2 counts"):
        analyse(plan, tables=dict.fromkeys(plan.outcomes, ready), engine="quadrature")


@pytest.mark.parametrize(
    ("data", "model", "threshold", "at", "event"),
    [
        (HALVED, "binomial_normal_rd", -0.1, -0.1, "RD < -0.1"),
        (HALVED, "binomial_normal_rr", 0.8, math.log(0.8), "RR < 0.8"),
        (HALVED, "hypergeometric_normal", 0.8, math.log(0.8), "OR < 0.8"),
        (RATES, "poisson_normal", 0.8, math.log(0.8), "IRR < 0.8"),
    ],
)
def test_a_prior_grid_is_on_the_measure_of_its_model(data, model, threshold, at, event):
    """Threshold, label and probability are those of a single fit on the model's scale."""
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.2)"}
    grid = bm.sensitivity(data, model=model, benefit="lower", threshold=threshold, **priors)
    assert grid.attrs["event"] == event
    assert float(grid.p_mu.squeeze()) == pytest.approx(float(bm.fit(data, model, priors=priors).mu.cdf(at)), abs=1e-9)


def test_risk_differences_have_presets_of_their_unit():
    """The presets of risk differences are a quarter as wide as those of odds ratios."""
    grid = bm.sensitivity(HALVED, model="binomial_normal_rd", tau="half_normal(0.2)")
    wide = bm.sensitivity(HALVED, model="binomial_normal", tau="half_normal(0.2)")
    scales = [[bm.priors.parse_prior(str(t)).scale for t in g.mu_prior_text.values] for g in (grid, wide)]
    assert scales[0] == pytest.approx([s / 4 for s in scales[1]])


@pytest.mark.parametrize("ask", [bm.sensitivity, bm.tipping_point])
def test_effects_of_another_measure_are_refused(ask):
    """Odds ratios that carry counts are no question about risk differences."""
    with pytest.raises(ModelError, match="estimates the RD, not the OR"):
        ask(bm.effect_sizes(HALVED, "OR"), model="binomial_normal_rd", benefit="lower")


def test_a_multiverse_takes_counts_for_odds_ratios_only():
    """A model of risk ratios is not mixed into a multiverse of odds ratios."""
    with pytest.raises(ModelError, match="estimates the RR"):
        bm.multiverse(HALVED, benefit="lower", subsets="all", models=["binomial_normal_rr"])


def test_a_file_of_ones_own_is_about_what_it_states(tmp_path: Path):
    """MEASURE in a copied model file is known everywhere, and cannot be overruled."""
    copy = tmp_path / "mine.py"
    copy.write_text(load_model("binomial_normal_rr").path.read_text())
    post = bm.fit(HALVED, copy)
    assert measure_of(post) == "RR"
    with pytest.raises(ModelError, match="about RR, not OR"):
        measure_of(post, "OR")


def test_a_copy_that_states_its_measure_is_averaged_with_the_model(tmp_path: Path):
    """A model of counts is about odds ratios whether its file says so or not."""
    copy = tmp_path / "mine.py"
    text = load_model("binomial_normal").path.read_text()
    copy.write_text(text.replace("DATA = TwoByTwo", 'DATA = TwoByTwo\nMEASURE = "OR"', 1))
    assert load_model(copy).measure == "OR"
    average = bm.model_average([bm.fit(HALVED, copy), bm.fit(HALVED, "binomial_normal")])
    assert average.details.weights == pytest.approx([0.5, 0.5], rel=1e-9)


def test_plots_and_files_name_the_measure():
    """The axis of mu is the model's; a table or figure for another measure is refused."""
    post = bm.fit(HALVED, "binomial_normal_rr")
    assert "isk ratio" in PLOTS["prior_posterior"](post).get_xlabel()
    for wrong in (
        lambda: PLOTS["prior_sets"]({"one": post}, measure="OR"),
        lambda: result_frame({"one": post}, measure="OR"),
        lambda: study_frame(bm.effect_sizes(HALVED, "OR"), post=post),
    ):
        with pytest.raises(ModelError, match="about RR, not OR"):
            wrong()


MODERATED = EffectSizes(
    yi=[0.1, -0.4, -0.7, 0.3, -0.2],
    sei=[0.2, 0.3, 0.25, 0.4, 0.15],
    measure="OR",
    X=np.column_stack([np.ones(5), [0, 1, 0, 1, 1]]),
    terms=("intercept", "dose"),
)


def tipping(effects: EffectSizes) -> object:
    return bm.tipping_point(effects, benefit="lower")


@pytest.mark.parametrize(
    "ask", [bm.compare, bm.fit, bm.fit_many, bm.sensitivity, bm.sequential, prior_data_conflict, tipping]
)
def test_moderators_are_not_passed_over(ask):
    """Effects with moderators have no single mean effect: what would ignore them says so."""
    with pytest.raises(DataError, match="moderators"):
        ask(MODERATED)


@pytest.mark.parametrize("model", ["normal_normal", "common_effect", "robust_t"])
def test_models_of_one_mean_effect_refuse_moderators(model):
    """The refusal names the moderators and the model that takes them; an intercept alone is no moderator."""
    with pytest.raises(DataError, match=r"\(dose\).*meta_regression"):
        bm.fit(MODERATED, model)
    assert bm.fit(MODERATED, "meta_regression").k == 5
    alone = EffectSizes(yi=MODERATED.yi, sei=MODERATED.sei, measure="OR", X=np.ones((5, 1)), terms=("all",))
    assert alone.moderators == ()
    assert bm.fit(alone, model).k == 5


def test_a_regression_through_the_origin_has_a_moderator():
    """One column that is not constant is a moderator."""
    origin = EffectSizes(yi=MODERATED.yi, sei=MODERATED.sei, measure="OR", X=[[1], [2], [3], [4], [5]], terms=("x",))
    assert origin.moderators == ("x",)
    with pytest.raises(DataError, match=r"\(x\)"):
        bm.fit(origin)
