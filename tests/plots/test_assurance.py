"""The assurance curve draws the library's own numbers."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import bayesmeta as bm
from bayesmeta.errors import ModelError
from bayesmeta.plots.assurance import assurance_data
from bayesmeta.resources import data_dir


@pytest.fixture(scope="module")
def post():
    return bm.fit(bm.effect_sizes(bm.read_studies(data_dir() / "rescue_stenting.csv", outcome="mortality"), "OR"))


def test_the_curve_is_the_assurance_of_each_size(post):
    """At its sizes, what `next_study` says; it rises, below its ceiling; power at the mean passes it."""
    data = assurance_data(post, (50, 200, 1000), control_risk=0.4, benefit="lower")
    assert data.assurance == pytest.approx([0.44621516, 0.76480459, 0.89294779], abs=5e-9)
    one = bm.next_study(post, n=200, control_risk=0.4, benefit="lower")
    assert data.power[1] == pytest.approx(one.power, abs=1e-12)
    assert data.ceiling == pytest.approx(one.ceiling)
    curve = assurance_data(post, (10, 1000), control_risk=0.4, benefit="lower")
    assert np.all(np.diff(curve.assurance) > 0)
    assert curve.assurance[-1] < curve.ceiling


def test_it_is_drawn_and_refuses_what_is_no_curve(post):
    """Two curves and a ceiling on log sizes; one size is no curve, nor is success of the updated analysis."""
    ax = Figure(figsize=(6, 3)).add_axes((0.2, 0.2, 0.7, 0.7))
    bm.plots.assurance(post, (20, 500), control_risk=0.4, benefit="lower", ax=ax)
    assert {line.get_label() for line in ax.lines} >= {"assurance", "power at the mean effect"}
    assert "patients" in ax.get_xlabel()
    with pytest.raises(ModelError, match="two sizes"):
        assurance_data(post, (50,), control_risk=0.4, benefit="lower")
    with pytest.raises(ModelError, match="study alone"):
        assurance_data(post, (50, 100), control_risk=0.4, benefit="lower", success="P(benefit) > 0.9")
