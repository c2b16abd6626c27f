"""Plots of networks draw the numbers of the data and of both fits."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import bayesmeta as bm
from bayesmeta.errors import DataError, ModelError
from bayesmeta.plots.league_heat import league_heat_data
from bayesmeta.plots.net_heat import net_heat_data
from bayesmeta.plots.network_forest import network_forest_data
from bayesmeta.plots.network_funnel import network_funnel_data
from bayesmeta.plots.network_graph import network_graph_data
from bayesmeta.plots.node_splits import node_splits_data
from bayesmeta.plots.rankogram import rankogram_data


@pytest.fixture(scope="module")
def smoking():
    con = bm.contrasts(bm.read_network(bm.load_dataset("smoking_cessation_network_hasselblad1998")), "OR")
    return bm.compare_network(con, reference="no_contact", benefit="higher")


def test_graph_counts_studies_and_patients(smoking):
    """The published network: 15 comparisons of no contact with individual counselling, patients as in the file."""
    data = network_graph_data(smoking.contrasts)
    edges = {tuple(data.treatments[i] for i in e): k for e, k in zip(data.edges, data.studies, strict=True)}
    assert edges[("ind_counseling", "no_contact")] == 15
    assert sum(edges.values()) == 28
    frame = bm.load_dataset("smoking_cessation_network_hasselblad1998")
    table = bm.read_network(frame).to_frame()
    assert dict(zip(data.treatments, data.patients, strict=True)) == table.groupby("treatment")["n"].sum().to_dict()
    assert np.hypot(data.x, data.y) == pytest.approx(np.ones(4))
    pairs = smoking.contrasts.pairs()
    assert data.precision.sum() == pytest.approx(float((pairs["sei"] ** -2).sum()), rel=1e-12)


def test_forest_has_both_schools_in_the_order_of_the_ranks(smoking):
    """Estimates and limits are those of the fits."""
    data = network_forest_data(smoking)
    assert data.treatments == ("grp_counseling", "ind_counseling", "self_help")
    for i, name in enumerate(data.treatments):
        c = smoking.classical.relative(name, "no_contact")
        assert data.classical[i] == pytest.approx([c.estimate, c.ci.low, c.ci.high], rel=1e-12)
        m = smoking.posterior.relative(name, "no_contact")
        assert data.bayesian[i] == pytest.approx([m.median(), *m.eti(0.95)], rel=1e-12)
        new = smoking.posterior.relative_new(name, "no_contact").eti(0.95)
        assert data.bayesian_new[i] == pytest.approx(tuple(new), rel=1e-12)


def test_rankogram_rows_and_columns_add_up(smoking):
    """Every treatment has a rank and every rank a treatment; mean ranks follow from SUCRA."""
    data = rankogram_data(smoking.posterior, "higher")
    assert data.probability.sum(axis=0) == pytest.approx(np.ones(4), abs=1e-12)
    assert data.probability.sum(axis=1) == pytest.approx(np.ones(4), abs=1e-12)
    mean = data.probability @ np.arange(1, 5)
    assert mean == pytest.approx(1 + 3 * (1 - data.sucra), abs=10 * data.error + 1e-12)


def test_league_cells_mirror_the_schools(smoking):
    """Below the diagonal classical, above Bayesian, bold where the interval excludes no effect."""
    data = league_heat_data(smoking)
    c = smoking.classical.relative("grp_counseling", "no_contact")
    assert data.benefit[3, 0] == pytest.approx(c.estimate, rel=1e-12)
    own = smoking.posterior.relative("grp_counseling", "no_contact")
    assert data.benefit[0, 3] == pytest.approx(own.median(), rel=1e-12)
    assert (data.clear[3, 0], data.clear[0, 1]) == (1.0, 0.0)
    assert data.words[0][0] == ""


def test_node_splits_combine_to_the_network(smoking):
    """Direct and indirect evidence, weighted by their precision, are the network estimate."""
    data = node_splits_data(smoking)
    w = [(values[:, 2] - values[:, 1]) ** -2 for values in (data.direct, data.indirect)]
    both = (w[0] * data.direct[:, 0] + w[1] * data.indirect[:, 0]) / (w[0] + w[1])
    assert both == pytest.approx(data.network[:, 0], abs=1e-9)


def test_funnel_is_centred_within_each_comparison(smoking):
    """Adjusted effects of a comparison have the weighted mean 0, and turn round with the order."""
    con, order = smoking.contrasts, smoking.order
    data, turned = network_funnel_data(con, order), network_funnel_data(con, order[::-1])
    for name in set(data.comparison):
        at = np.array([c == name for c in data.comparison])
        assert np.average(data.adjusted[at], weights=data.sei[at] ** -2) == pytest.approx(0.0, abs=1e-12)
    assert turned.adjusted == pytest.approx(-data.adjusted, abs=1e-12)
    with pytest.raises(DataError, match="each treatment once"):
        network_funnel_data(con, order[:2])


def test_each_draws_on_the_axes_it_is_given(smoking):
    """Drawing on given axes returns these axes and leaves something on them."""
    con = smoking.contrasts
    for draw in (
        lambda ax: bm.plots.network_graph(con, ax=ax),
        lambda ax: bm.plots.network_graph(con, edges="precision", ax=ax),
        lambda ax: bm.plots.network_forest(smoking, ax=ax),
        lambda ax: bm.plots.rankogram(smoking.posterior, "higher", ax=ax),
        lambda ax: bm.plots.league_heat(smoking, ax=ax),
        lambda ax: bm.plots.node_splits(smoking, ax=ax),
        lambda ax: bm.plots.net_heat(smoking.classical, ax=ax),
        lambda ax: bm.plots.net_heat(smoking.classical, random=True, ax=ax),
        lambda ax: bm.plots.network_funnel(con, smoking.order, ax=ax),
    ):
        ax = Figure().add_axes((0.1, 0.1, 0.8, 0.8))
        assert draw(ax) is ax
        assert ax.has_data()
    with pytest.raises(ModelError, match="edges"):
        bm.plots.network_graph(con, edges="weight")


def test_a_star_has_no_splits_to_draw_and_still_a_report(tmp_path):
    """Without indirect evidence the plot says so; the report is written without it."""
    net = bm.NetworkTable(
        ["a", "a", "b", "b"], ["P", "X", "P", "Y"], {"events": [9, 12, 20, 31], "n": [50, 50, 90, 90]}
    )
    con = bm.contrasts(net, "OR")
    with pytest.raises(ModelError, match="nothing to draw"):
        node_splits_data(bm.compare_network(con))
    with pytest.raises(ModelError, match="nothing to draw"):
        net_heat_data(bm.frequentist.network(con, method="common"))
    path = bm.report(net, tmp_path / "r.html", measure="OR", reference="P", benefit="lower")
    assert "Forest plot against P" in path.read_text(encoding="utf-8")
    with pytest.raises(ModelError, match="measure="):
        bm.report(con, path, measure="RR")
    with pytest.raises(ModelError, match="needs a measure"):
        bm.report(net, path)
