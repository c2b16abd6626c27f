"""Every plot draws the numbers of its pure function, on the axes it is given, and shows names as written."""

import importlib
import inspect
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import halfnorm, norm

import bayesmeta as bm
from bayesmeta.compare.table import table_rows
from bayesmeta.effects import MEASURES
from bayesmeta.errors import DataError, ModelError
from bayesmeta.evidence.agreement import AgreementRow
from bayesmeta.marginals.draws import DrawsMarginal
from bayesmeta.plots import PLOTS
from bayesmeta.plots._style import natural_ticks, ratio_ticks, round_ticks
from bayesmeta.plots.agreement import agreement_data
from bayesmeta.plots.forest import forest_data
from bayesmeta.plots.funnel import funnel_data
from bayesmeta.plots.prior_posterior import prior_posterior_data
from bayesmeta.plots.prior_sets import prior_sets_data
from bayesmeta.plots.ranks import ranks_data
from bayesmeta.resources import data_dir
from bayesmeta.studies import PublishedResult, TwoByTwo


def axes() -> Axes:
    return Figure(figsize=(11, 5)).add_axes((0.3, 0.2, 0.3, 0.7))


@pytest.fixture(scope="module")
def mortality():
    table = bm.read_studies(data_dir() / "rescue_stenting.csv", outcome="mortality")
    published = PublishedResult(source="a paper", estimate="0.39", low="0.16", high="0.93")
    return bm.compare(table, benefit="lower", published=published, engine="quadrature")


@pytest.fixture(scope="module")
def posterior(mortality):
    return mortality.posterior("quadrature")


@pytest.mark.parametrize("name", sorted(PLOTS))
def test_every_plot_has_a_pure_function_for_its_numbers(name):
    """``plots/NAME.py`` has ``NAME_data`` and ``NAME(..., ax=None)``, and the public name is the function."""
    module = importlib.import_module(f"bayesmeta.plots.{name}")
    assert callable(getattr(module, f"{name}_data"))
    assert inspect.signature(PLOTS[name]).parameters["ax"].default is None
    assert getattr(bm.plots, name) is PLOTS[name]


def test_plots_return_the_axes_they_are_given(mortality, posterior):
    """Drawing on given axes returns these axes and leaves something on them."""
    rows = [AgreementRow("mu", "mean", 1.0, 1.1, 0.05)]
    for draw in (
        lambda ax: bm.plots.forest(mortality, ax=ax),
        lambda ax: bm.plots.funnel(mortality.effects, ax=ax),
        lambda ax: bm.plots.prior_posterior(posterior, "mu", ax=ax),
        lambda ax: bm.plots.prior_posterior(posterior, "tau", ax=ax),
        lambda ax: bm.plots.prior_sets({"primary": posterior}, measure="OR", ax=ax),
        lambda ax: bm.plots.agreement(rows, ax=ax),
    ):
        ax = axes()
        assert draw(ax) is ax
        assert ax.has_data()


def test_a_plot_makes_its_own_figure_when_given_none(mortality):
    """Without axes a forest plot comes with a figure that has room for its columns."""
    import matplotlib.pyplot as plt

    ax = bm.plots.forest(mortality)
    assert isinstance(ax, Axes)
    plt.close(ax.figure)


def test_forest_draws_the_studies_and_the_rows(mortality, posterior):
    """Effects, intervals, weights and shrunken effects are those of the fits."""
    data = forest_data(mortality)
    effects = mortality.effects
    fit = bm.frequentist.mantel_haenszel(effects.counts, measure="OR", random=True)
    assert [s.y for s in data.studies] == pytest.approx(effects.yi)
    assert [s.high - s.y for s in data.studies] == pytest.approx(norm.ppf(0.975) * effects.sei)
    assert [s.weight for s in data.studies] == pytest.approx(fit.weights)
    assert [s.shrunken for s in data.studies] == pytest.approx([posterior.theta[s].median() for s in effects.study])
    assert [s.treatment for s in data.studies] == ["0/12", "6/48", "21/66", "1/23†"]
    assert [s.adjusted for s in data.studies] == [True, False, False, False]
    assert [p.label for p in data.pooled] == [r.method for r in mortality.rows if not r.without]
    assert data.pooled[0].words == "0.39 [0.16 to 0.93]"
    assert data.limits[0] < min(p.interval.low for p in data.pooled)
    assert data.limits[0] < 0.0 < data.limits[1]


def test_forest_prints_what_the_table_does(mortality, posterior):
    """Pooled rows have the digits of the table, so that those of a sampled one are none finer than its errors."""
    rng = np.random.default_rng(1)
    draws = {name: DrawsMarginal(rng.normal(-0.8, 0.4, (4, 500))) for name in ("mu", "theta_new")}
    rows = tuple(
        replace(row, source=replace(posterior, marginals=draws)) if row.source is posterior else row
        for row in mortality.rows
    )
    comparison = replace(mortality, rows=rows)
    shown = [row for row in table_rows(comparison) if not row.without]
    pooled = forest_data(comparison).pooled
    assert [p.words for p in pooled] == [f"{row.estimate} [{row.interval}]" for row in shown]
    assert [p.prediction_words for p in pooled[1:]] == [
        f"[{row.prediction}]" if p.prediction else "" for p, row in zip(pooled[1:], shown[1:], strict=True)
    ]
    assert pooled[-1].words != forest_data(mortality).pooled[-1].words


def test_forest_diamonds_span_their_intervals(mortality):
    """Each diamond reaches from limit to limit, its middle at the estimate."""
    ax = bm.plots.forest(mortality, ax=axes())
    drawn = [p.get_xy()[:, 0] for p in ax.patches]
    for pooled, x in zip(forest_data(mortality).pooled, drawn, strict=True):
        assert (x.min(), x.max()) == pytest.approx(tuple(pooled.interval))
        assert x[1] == pytest.approx(pooled.mu)


def test_names_are_drawn_as_they_are_written():
    """A study called like a formula is not typeset as one."""
    names = ("$x^2$", "<b>", "100% $")
    counts = TwoByTwo([3, 4, 8], [20, 30, 50], [7, 9, 12], [21, 33, 48], study=names)
    ax = bm.plots.forest(bm.compare(counts, engine="quadrature"), ax=axes())
    drawn = {t.get_text(): t for t in ax.texts}
    for name in names:
        assert drawn[name].get_parse_math() is False


def test_forest_has_the_heterogeneity_and_whom_each_side_favours(mortality):
    """Below the diamonds stand tau2, Q with its test and I2 of the weights' row; the sides follow the benefit."""
    data = forest_data(mortality)
    fit = bm.frequentist.mantel_haenszel(mortality.effects.counts, measure="OR", random=True)
    q = f"Q = {fit.Q:.3g}, df = 3 (p = {fit.Q_p:.3f}), I² = {fit.I2:.1f}%"
    assert data.heterogeneity == f"Heterogeneity: tau² = {fit.tau2:.2f}, {q}"
    assert data.favours == ("favours treatment", "favours control")
    assert forest_data(replace(mortality, benefit="higher")).favours == ("favours control", "favours treatment")
    assert forest_data(replace(mortality, benefit=None)).favours is None
    assert forest_data(mortality, favours=("left", "right")).favours == ("left", "right")
    drawn = [t.get_text() for t in bm.plots.forest(mortality, ax=axes()).texts]
    assert data.heterogeneity in drawn
    assert "← favours treatment" in drawn
    assert "favours control →" in drawn


def test_a_forest_by_subgroup_has_each_group_s_studies_and_diamonds():
    """Studies stand under their subgroup with its two pooled effects; below all of them the test between subgroups."""
    table = bm.read_studies(data_dir() / "bcg_vaccine.csv")
    found = bm.subgroups(table, by="allocation", measure="RR", method="DL")
    data = forest_data(found)
    assert [g.label for g in data.groups] == ["random", "alternate", "systematic"]
    assert [len(g.studies) for g in data.groups] == [7, 2, 4]
    for group in data.groups:
        own = found[group.label]
        assert [p.mu for p in group.pooled] == [own.classical.mu, own.bayesian.mu]
        assert [s.label for s in group.studies] == list(own.study)
        theta = own.bayesian.source.theta
        assert [s.shrunken for s in group.studies] == [theta[s].median() for s in own.study]
        assert f"df = {own.k - 1}" in group.heterogeneity
    assert sum(s.weight for s in data.studies) == pytest.approx(100.0)
    assert data.test == "Test for subgroup differences: Q = 1.54, df = 2, p = 0.464, I² = 0.0%."
    ax = bm.plots.forest(found, ax=axes())
    heights = {t.get_text(): t.get_position()[1] for t in ax.texts}
    order = ["random", "Aronson", "random, DL", "alternate", "Stein & Aronson", "systematic", "All studies, Bayesian"]
    assert [heights[name] for name in order] == sorted((heights[name] for name in order), reverse=True)


def test_risk_of_bias_marks_follow_the_judgements(mortality):
    """Each judgement has its mark in its domain's column; unknown judgements and studies are named."""
    first, second = mortality.effects.study[:2]
    judged = {first: {"D1": "low", "D2": "High"}, second: {"D1": "some concerns", "D2": ""}}
    data = forest_data(mortality, risk_of_bias=judged)
    assert data.domains == ("D1", "D2")
    assert [s.risk for s in data.studies] == [("low", "high"), ("some concerns", ""), ("", ""), ("", "")]
    assert data.footnotes[-1] == "risk of bias: + low, - some concerns, x high"
    drawn = [t.get_text() for t in bm.plots.forest(mortality, risk_of_bias=judged, ax=axes()).texts]
    assert [drawn.count(mark) for mark in ("+", "-", "x")] == [1, 1, 1]
    assert forest_data(mortality, risk_of_bias={first: "low"}).domains == ("Overall",)
    with pytest.raises(DataError, match="judgement in risk_of_bias: 'good'"):
        forest_data(mortality, risk_of_bias={first: "good"})
    with pytest.raises(DataError, match="study in risk_of_bias: 'Smith'"):
        forest_data(mortality, risk_of_bias={"Smith": "low"})


def test_a_study_without_an_event_is_drawn_with_its_count():
    """0 of 20 patients is printed as 0, beside its count, in a column that is headed by what it holds."""
    columns = {"events": np.array([0.0, 3.0, 10.0]), "n": np.array([20.0, 40.0, 55.0])}
    found = bm.compare(bm.StudyTable(study=("a", "b", "c"), columns=columns), measure="PLO", engine="quadrature")
    study = forest_data(found).studies[0]
    assert study.treatment == "0/20"
    assert study.raw.startswith("0 [")
    assert study.adjusted
    texts = [t.get_text() for t in bm.plots.forest(found, ax=axes()).texts]
    assert any(t.startswith("proportion as observed") for t in texts)
    assert "events/n" in texts


def test_ticks_are_round_on_the_scale_that_is_read():
    """Ticks of a narrow ratio, a proportion and a correlation are values that a person would choose."""
    assert ratio_ticks(np.log(0.42), np.log(0.83)).tolist() == [0.5, 0.6, 0.7, 0.8]
    assert round_ticks(1.02, 1.31).tolist() == [1.1, 1.2, 1.3]
    logit = lambda p: np.log(p / (1 - p))  # noqa: E731
    assert natural_ticks(MEASURES["PLO"], logit(0.02), logit(0.6)).tolist() == [0.05, 0.1, 0.2, 0.3, 0.5]
    assert natural_ticks(MEASURES["ZCOR"], np.arctanh(-0.25), np.arctanh(0.7)).tolist() == [-0.2, 0.0, 0.2, 0.4, 0.6]
    assert natural_ticks(MEASURES["MD"], -1.0, 1.0) is None
    for low, high in [(0.001, 0.0013), (3.0, 800.0), (17.0, 19.5), (-3.0, -2.2)]:
        ticks = round_ticks(low, high)
        assert 2 <= len(ticks) <= 7
        assert all(len(f"{t:g}".lstrip("-0.").replace(".", "")) <= 3 for t in ticks)


def test_only_plots_are_offered():
    """What completion offers under bm.plots are the plots, and nothing of how they are found."""
    assert dir(bm.plots) == sorted(PLOTS)


def test_a_long_name_is_shortened_and_keeps_its_dagger():
    """A label longer than its column ends in an ellipsis, then the dagger."""
    counts = TwoByTwo([3, 4], [20, 30], [7, 9], [21, 33], study=("N" * 60, "B"), status=("reconstructed", ""))
    ax = bm.plots.forest(bm.compare(counts, engine="quadrature"), ax=axes())
    assert [t.get_text() for t in ax.texts if t.get_text().startswith("NN")] == ["N" * 25 + "… †"]


@pytest.mark.parametrize(("quantity", "prior"), [("mu", norm(0, 2.82)), ("tau", halfnorm(scale=0.5))])
def test_densities_are_those_of_prior_and_posterior(posterior, quantity, prior):
    """The prior curve is scipy's density; the posterior curve's area is the mass that the marginal has there."""
    data = prior_posterior_data(posterior, quantity, points=4001)
    assert data.prior == pytest.approx(prior.pdf(data.x), rel=1e-9)
    marginal = posterior[quantity]
    mass = float(marginal.cdf(data.x[-1]) - marginal.cdf(data.x[0]))
    assert np.trapezoid(data.posterior, data.x) == pytest.approx(mass, abs=1e-6)
    assert mass > 0.998


def test_an_improper_prior_has_no_curve():
    """A flat prior has no density to draw."""
    fit = bm.fit(bm.EffectSizes([0.1, 0.4], [0.2, 0.3], measure="OR"), priors={"mu": "flat()"}, engine="quadrature")
    assert prior_posterior_data(fit, "mu").prior is None
    assert len(bm.plots.prior_posterior(fit, "mu", ax=axes()).lines) == 2  # posterior and reference line


def test_prior_sets_draw_medians_and_intervals(posterior):
    """Each line is the posterior's median, credible and prediction interval."""
    (line,) = prior_sets_data({"primary": posterior}, level=0.9)
    assert (line.low, line.high) == pytest.approx(tuple(posterior.mu.eti(0.9)))
    assert (line.new_low, line.new_high) == pytest.approx(tuple(posterior.theta_new.eti(0.9)))
    assert line.median == posterior.mu.median()


def test_funnel_edges_are_straight_lines_from_the_common_effect(mortality):
    """The region is the common-effect estimate plus and minus the quantile times the standard error."""
    data = funnel_data(mortality.effects)
    assert data.center == bm.frequentist.pool(mortality.effects, method="EE").mu
    assert data.edge_high - data.edge_low == pytest.approx(2 * norm.ppf(0.975) * data.edge_sei)
    assert data.edge_sei[1] > mortality.effects.sei.max()


def test_agreement_lines_hold_every_figure():
    """Differences are grouped by quantity and divided by their Monte Carlo error."""
    rows = [AgreementRow("mu", "mean", 1.0, 1.1, 0.05), AgreementRow("mu", "sd", 0.5, 0.5, 0.1)]
    (line,) = agreement_data(rows)
    assert line.z == pytest.approx((-2.0, 0.0))


def test_ranks_need_chains(posterior):
    """A posterior by quadrature has no chains to rank."""
    with pytest.raises(ModelError, match="chains"):
        ranks_data(posterior)


@pytest.mark.nuts
def test_ranks_count_every_draw_once(mortality):
    """Over all chains each bin holds its share of the draws, and every chain's counts sum to its draws."""
    fit = bm.fit(mortality.effects, engine="nuts", seed=1, draws=500, chains=4)
    data = ranks_data(fit, "mu", bins=10)
    draws = np.asarray(fit.to_datatree().posterior["mu"])
    assert data.counts.sum(axis=1) == pytest.approx(np.full(draws.shape[0], draws.shape[1]))
    assert data.counts.sum(axis=0) == pytest.approx(np.full(10, draws.size / 10))
    assert bm.plots.ranks(fit, "mu", ax=axes()).has_data()


@pytest.mark.parametrize(("low", "high"), [(0.1, 20.0), (0.9, 1.1), (1e-4, 1e4), (2.0, 3.0)])
def test_ratio_ticks_are_few_and_inside(low, high):
    """Between two and eight ticks, all inside the axis."""
    ticks = ratio_ticks(np.log(low), np.log(high))
    assert 2 <= len(ticks) <= 8
    assert low * 0.99 <= ticks.min() <= ticks.max() <= high * 1.01
