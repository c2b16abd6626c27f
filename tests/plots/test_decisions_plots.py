"""The decision curves and the updating plot draw the library's own numbers."""

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

import bayesmeta as bm
from bayesmeta.decisions.quantities import MEAN, NEW
from bayesmeta.errors import ModelError
from bayesmeta.plots.decisions import decisions_data
from bayesmeta.plots.updating import updating_data
from bayesmeta.resources import data_dir


def studies(file):
    return bm.effect_sizes(bm.read_studies(data_dir() / file, outcome="mortality"), "OR")


@pytest.fixture(scope="module")
def post():
    return bm.fit(studies("rescue_stenting.csv"))


@pytest.fixture(scope="module")
def path(post):
    return bm.update(post, studies("rescue_stenting_later_cohorts.csv"), benefit="lower")


def axes():
    return Figure(figsize=(9, 4)).add_axes((0.3, 0.2, 0.4, 0.7))


def test_the_curves_are_the_posterior_beyond_each_threshold(post):
    """Lower is a benefit: the cdf of mean effect and new study; the thresholds and no effect are on the axis."""
    data = decisions_data(post, benefit="lower", thresholds=[0.02])
    assert np.array_equal(data.curves[MEAN], post.mu.cdf(data.x))
    assert np.array_equal(data.curves[NEW], post.theta_new.cdf(data.x))
    assert data.natural == pytest.approx(np.exp(data.x))
    assert data.x[0] <= math.log(0.02)
    assert np.all(np.diff(data.curves[MEAN]) >= 0)
    other = decisions_data(post, benefit="higher")
    assert other.curves[MEAN] == pytest.approx(post.mu.sf(other.x))
    with pytest.raises(ModelError, match="benefit='lower'"):
        decisions_data(post, benefit=None)


def test_an_absolute_effect_is_drawn_per_1000(post):
    """The axis is in events per 1000, the curve that of the risk difference."""
    effect = bm.absolute_effect(post, 0.3)
    data = decisions_data(effect, benefit="lower", thresholds=[-50])
    assert data.natural == pytest.approx(1000 * data.x)
    assert data.curves[MEAN] == pytest.approx(effect.risk_difference.cdf(data.x))
    assert bm.plots.decisions(effect, benefit="lower", ax=axes()).get_xlabel().endswith("per 1000")


def test_the_updating_lines_are_the_steps(path):
    """One line a step: the posterior's median and interval, the study on its prediction, the probability."""
    lines = updating_data(path)
    assert [line.k for line in lines] == [4, 5, 6, 7]
    for line, step in zip(lines, path.steps, strict=True):
        assert (line.low, line.high) == tuple(step.posterior.mu.eti())
        assert line.probability == step.p_mean
    assert lines[0].observed is None
    assert lines[1].observed == path.steps[1].check.observed


def test_both_draw_on_the_axes_they_are_given(post, path):
    """The labels on the page name event and studies."""
    ax = axes()
    assert bm.plots.decisions(post, benefit="lower", thresholds=[0.8], ax=ax) is ax
    assert ax.get_ylabel() == "P(OR < t)"
    ax = axes()
    assert bm.plots.updating(path, ax=ax) is ax
    said = [t.get_text() for t in ax.texts]
    assert "Luo 2021 ANGEL-ACT" in said
    assert "k   P(OR < 1), mean effect" in said
