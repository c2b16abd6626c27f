"""Plots of single studies, regression and heterogeneity: what is drawn equals sums, metafor and the posterior."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm

import bayesmeta as bm
from bayesmeta.errors import DataError, ModelError
from bayesmeta.plots.baujat import baujat_data
from bayesmeta.plots.bubble import bubble_data
from bayesmeta.plots.cumulative import cumulative_data
from bayesmeta.plots.funnel import funnel_data
from bayesmeta.plots.joint import joint_data
from bayesmeta.plots.labbe import labbe_data
from bayesmeta.plots.radial import radial_data
from bayesmeta.plots.shrinkage import shrinkage_data
from bayesmeta.resources import data_dir

GOLDEN = Path(__file__).parents[1] / "golden"
TABLE = bm.read_studies(data_dir() / "bcg_vaccine.csv")
RR = bm.effect_sizes(TABLE, "RR")
SLOPE = bm.effect_sizes(TABLE, "RR", moderators="abs_latitude")
SMALL = bm.EffectSizes(yi=[-0.9, 0.2, -0.6, 0.1], sei=[0.3, 0.25, 0.4, 0.5], study=list("abcd"), measure="OR")
POST = bm.fit(SMALL)


def axes() -> Axes:
    return Figure(figsize=(6, 4)).add_axes((0.2, 0.2, 0.7, 0.7))


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax: bm.plots.labbe(RR, ax=ax),
        lambda ax: bm.plots.radial(RR, ax=ax),
        lambda ax: bm.plots.baujat(RR, ax=ax),
        lambda ax: bm.plots.cumulative(RR, order="precision", ax=ax),
        lambda ax: bm.plots.funnel(RR, contours=(0.9, 0.95, 0.99), ax=ax),
        lambda ax: bm.plots.joint(POST, ax=ax),
        lambda ax: bm.plots.shrinkage(POST, ax=ax),
        lambda ax: bm.plots.bubble(SLOPE, ax=ax),
    ],
)
def test_each_draws_on_the_axes_it_is_given(draw):
    """Drawing on given axes returns these axes and leaves something on them."""
    ax = axes()
    assert draw(ax) is ax
    assert ax.has_data()
    assert ax.get_xlabel()


@pytest.mark.parametrize("measure", ["OR", "RR", "RD"])
def test_the_curve_of_an_labbe_plot_has_the_pooled_effect_everywhere(measure):
    """Every point of the curve has the pooled effect; points are observed risks."""
    effects = bm.effect_sizes(TABLE, measure)
    data = labbe_data(effects)
    counts = TABLE.two_by_two()
    assert data.control == pytest.approx(counts.events_control / counts.n_control)
    assert data.treatment == pytest.approx(counts.events_treatment / counts.n_treatment)
    inner = (data.curve_control > 0) & (data.curve_control < 1) & (data.curve_treatment > 0)
    inner &= data.curve_treatment < 1
    c, t = data.curve_control[inner], data.curve_treatment[inner]
    assert len(c) > 10
    made = {"OR": np.log(t / (1 - t) / (c / (1 - c))), "RR": np.log(t / c), "RD": t - c}[measure]
    assert made == pytest.approx(np.full(len(made), bm.frequentist.pool(effects).mu))
    with pytest.raises(DataError, match="2x2 counts"):
        labbe_data(SMALL)


def test_the_slope_of_a_radial_plot_is_the_pooled_effect():
    """A line through the origin fitted to the points by least squares has the pooled effect as its slope."""
    for method in ("EE", "DL"):
        data = radial_data(RR, method=method)
        slope = float(data.x @ data.z / (data.x @ data.x))
        assert slope == pytest.approx(bm.frequentist.pool(RR, method=method).mu, rel=1e-10)
        assert data.mu == pytest.approx(slope, rel=1e-10)
    common = radial_data(RR, method="EE")
    assert common.x == pytest.approx(1 / RR.sei)
    assert common.half == pytest.approx(norm.ppf(0.975))


def test_heterogeneity_of_a_baujat_plot_adds_up():
    """Under a common effect, the squared Pearson residuals across are the terms of Q."""
    data = baujat_data(RR, method="EE")
    w = 1 / RR.vi
    mu = float(w @ RR.yi / w.sum())
    assert data.x.sum() == pytest.approx(float(w @ (RR.yi - mu) ** 2), rel=1e-9)


def test_a_cumulative_plot_ends_at_the_pooled_effect():
    """Each line pools the studies so far: the first is the study, the last the whole analysis."""
    lines = cumulative_data(RR, method="DL")
    assert [line.k for line in lines] == list(range(1, 14))
    assert lines[0].mu == pytest.approx(RR.yi[0])
    third = bm.frequentist.pool(RR.drop(RR.study[3:]), method="DL")
    assert (lines[2].mu, lines[2].low, lines[2].high) == pytest.approx((third.mu, *third.ci))
    assert lines[-1].mu == pytest.approx(bm.frequentist.pool(RR, method="DL").mu)


def test_contours_of_a_funnel_plot_are_where_significance_begins():
    """On a contour the two-sided p-value against no effect is one minus its level."""
    data = funnel_data(RR, contours=(0.99, 0.9))
    assert list(data.contours) == [0.9, 0.99]
    for level, edge in data.contours.items():
        assert 2 * norm.sf(edge[1] / data.edge_sei[1]) == pytest.approx(1 - level)
    proportions = bm.EffectSizes(yi=[0.1, 0.2], sei=[0.1, 0.1], measure="PLO")
    with pytest.raises(DataError, match="PLO has not"):
        funnel_data(proportions, contours=(0.95,))


def test_regions_of_the_joint_posterior_hold_their_probability():
    """Draws of (mu, tau) fall inside each region as often as it says."""
    data = joint_data(POST, levels=(0.5, 0.9))
    assert data.levels == (0.9, 0.5)
    tree = POST.to_datatree(draws=20_000, seed=4)["posterior"]
    mu, tau = (np.asarray(tree[name]).ravel() for name in ("mu", "tau"))
    density = POST.joint_density(mu, tau)
    for level, height in zip(data.levels, data.heights, strict=True):
        error = math.sqrt(level * (1 - level) / len(mu))
        assert np.mean(density >= height) == pytest.approx(level, abs=5 * error + 0.004)
    with pytest.raises(ModelError, match="between 0 and 1"):
        joint_data(POST, levels=(95,))


def test_shrinkage_given_tau_is_the_closed_form():
    """Given tau, the mean of theta is the precision-weighted mean of the study and of the mean effect."""
    data = shrinkage_data(POST, points=7)
    y, v = SMALL.yi, SMALL.vi
    for i, tau in enumerate(data.tau):
        w = 1 / (v + tau**2)
        precision = w.sum() + 1 / 2.82**2
        mu = float(w @ y) / precision
        assert (data.mu[i], data.mu_sd[i]) == pytest.approx((mu, precision**-0.5), rel=1e-9)
        assert data.theta[i] == pytest.approx((y / v + mu / tau**2) / (1 / v + 1 / tau**2), rel=1e-9)
    assert data.density == pytest.approx(POST.tau.pdf(data.tau))
    with pytest.raises(ModelError, match="closed form"):
        shrinkage_data(bm.fit(bm.TwoByTwo([3, 4], [20, 30], [7, 9], [21, 33]), "hypergeometric_normal"))
    with pytest.raises(ModelError, match="tau is known"):
        shrinkage_data(bm.fit(SMALL, priors={"tau": "point(0.3)"}))


def test_the_lines_of_a_bubble_plot_are_the_regressions():
    """The classical line is metafor's regression on latitude; the Bayesian one is linear with the posterior's slope."""
    golden = json.loads((GOLDEN / "metafor_metareg.json").read_text(encoding="utf-8"))["fits"]["ablat|DL|knha"]
    data = bubble_data(SLOPE, method="DL", ci="hksj")
    intercept, slope = golden["b"] if isinstance(golden["b"], list) else golden["b"].values()
    assert data.classical == pytest.approx(intercept + slope * data.grid, rel=1e-6)
    posterior = bm.fit(SLOPE, "meta_regression")
    at = posterior.linear([1.0, float(data.grid[5])])
    assert (data.bayesian[5], data.bayesian_low[5]) == pytest.approx((at.median(), at.eti().low))
    with pytest.raises(DataError, match="one moderator"):
        bubble_data(RR)
