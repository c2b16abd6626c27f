"""Networks as they are read, and their contrasts with covariance."""

import numpy as np
import pandas as pd
import pytest

import bayesmeta as bm
from bayesmeta.errors import DataError, ModelError

LONG = pd.DataFrame(
    {
        "study": ["a", "a", "b", "b", "b", "c", "c"],
        "treatment": ["P", "X", "P", "X", "Y", "X", "Y"],
        "events": [5, 9, 11, 20, 25, 7, 6],
        "n": [50, 50, 100, 100, 100, 40, 40],
    }
)


def test_long_and_wide_tables_give_the_same_contrasts():
    """One row an arm, and one row a study with numbered columns and a blank third arm."""
    wide = pd.DataFrame(
        {
            "studlab": ["a", "b", "c"],
            "treat1": ["P", "P", "X"],
            "event1": [5, 11, 7],
            "n1": [50, 100, 40],
            "treat2": ["X", "X", "Y"],
            "event2": [9, 20, 6],
            "n2": [50, 100, 40],
            "treat3": [None, "Y", None],
            "event3": [None, 25, None],
            "n3": [None, 100, None],
        }
    )
    one, two = (bm.contrasts(bm.read_network(frame), "OR") for frame in (LONG, wide))
    assert one.rows == two.rows == ("a: P - X", "b: P - X", "b: P - Y", "c: X - Y")
    assert one.yi.tolist() == two.yi.tolist()
    assert one.V.tolist() == two.V.tolist()


@pytest.mark.parametrize("measure", ["OR", "RR", "RD", "AS"])
def test_pairs_of_counts_are_the_pairwise_effects(measure):
    """Every pair within a study has the effect and standard error of its own two-by-two table."""
    pairs = bm.contrasts(bm.read_network(LONG), measure).pairs()
    arms = LONG.set_index(["study", "treatment"])
    for row in pairs.itertuples():
        x, y = arms.loc[(row.study, row.treat1)], arms.loc[(row.study, row.treat2)]
        e = bm.effect_sizes(bm.TwoByTwo([x.events], [x.n], [y.events], [y.n]), measure)
        assert (row.yi, row.sei) == pytest.approx((e.yi[0], e.sei[0]), rel=1e-12)
    assert len(pairs) == 5


def test_covariance_of_counts_is_that_of_the_shared_arm():
    """Two log odds ratios against the same arm share its variance, 1/events + 1/others."""
    c = bm.contrasts(bm.read_network(LONG), "OR")
    assert c.V[1, 2] == pytest.approx(1 / 11 + 1 / 89, rel=1e-12)
    assert c.V[0, 1] == 0.0


def test_means_and_rates_make_networks_too():
    """MD and SMD of arms with means, IRR of arms with person-time; the SMD's unit is common to a study's arms."""
    means = bm.NetworkTable(
        ["s"] * 3, ["P", "X", "Y"], {"mean": [1.0, 2.0, 4.0], "sd": [2.0, 3.0, 2.5], "n": [20, 30, 25]}
    )
    md = bm.contrasts(means, "MD")
    assert md.yi.tolist() == [-1.0, -3.0]
    assert pytest.approx(np.array([[4 / 20 + 9 / 30, 4 / 20], [4 / 20, 4 / 20 + 6.25 / 25]])) == md.V
    smd = bm.contrasts(means, "SMD")
    df = 72
    pooled = np.sqrt((19 * 4 + 29 * 9 + 24 * 6.25) / df)
    j = float(bm.effects.continuous.hedges_correction(np.array([df]))[0])
    assert smd.yi.tolist() == pytest.approx([-j / pooled, -3 * j / pooled])
    assert smd.V[0, 1] == pytest.approx(1 / 20 + smd.yi[0] * smd.yi[1] / (2 * 75))
    two = bm.NetworkTable(["s"] * 2, ["P", "X"], {"mean": [1.0, 2.0], "sd": [2.0, 3.0], "n": [20, 30]})
    pair = bm.contrasts(two, "SMD")
    table = pd.DataFrame(
        {"study": ["s"], "m1i": [1.0], "sd1i": [2.0], "n1i": [20], "m2i": [2.0], "sd2i": [3.0], "n2i": [30]}
    )
    alone = bm.effect_sizes(bm.read_studies(table), "SMD")
    assert (pair.yi[0], pair.sei[0]) == pytest.approx((alone.yi[0], alone.sei[0]), rel=1e-12)
    rates = bm.NetworkTable(["s"] * 2, ["P", "X"], {"events": [4, 10], "time": [100.0, 120.0]})
    irr = bm.contrasts(rates, "IRR")
    assert (irr.yi[0], irr.V[0, 0]) == pytest.approx((np.log(4 / 100 / (10 / 120)), 1 / 4 + 1 / 10))


def test_contrasts_of_a_study_with_several_arms_are_rebuilt():
    """All pairs with their standard errors, as netmeta takes them, give back arms' covariance."""
    arms = bm.contrasts(bm.read_network(LONG), "OR")
    pairs = arms.pairs().sample(frac=1.0, random_state=1)
    again = bm.contrasts(bm.read_network(pairs), "OR")
    assert sorted(again.pairs()["yi"].abs()) == pytest.approx(sorted(arms.pairs()["yi"].abs()), abs=1e-12)
    assert np.linalg.eigvalsh(again.V).min() > 0.0


def test_nothing_is_dropped_silently():
    """A study without events is left out by name, zero cells and cells below five are named."""
    table = LONG.copy()
    table.loc[table["study"] == "c", "events"] = 0
    c = bm.contrasts(bm.read_network(table), "OR")
    assert c.k == 2
    assert any("Left out" in note and "c" in note for note in c.notes)
    table.loc[table["study"] == "a", "events"] = [0, 9]
    c = bm.contrasts(bm.read_network(table), "OR")
    assert any("0.5 was added" in note and "a" in note for note in c.notes)
    assert any("below 5" in note for note in c.notes)
    assert c.sparse == ("a",)
    # A risk difference exists without events.
    assert bm.contrasts(bm.read_network(table), "RD").k == 3


def test_one_row_a_pair_of_arms_is_read_as_the_arms():
    """The output of R's pairwise(): arms are taken, each once; where counts are blank, the estimates beside them."""
    arms = LONG.set_index(["study", "treatment"])
    rows = []
    for study, one, two in (("a", "P", "X"), ("b", "P", "X"), ("b", "P", "Y"), ("b", "X", "Y"), ("c", "X", "Y")):
        x, y = arms.loc[(study, one)], arms.loc[(study, two)]
        e = bm.effect_sizes(bm.TwoByTwo([x.events], [x.n], [y.events], [y.n]), "OR")
        rows.append((study, one, two, e.yi[0], e.sei[0], x.events, x.n, y.events, y.n))
    names = ["studlab", "treat1", "treat2", "TE", "seTE", "event1", "n1", "event2", "n2"]
    table = pd.DataFrame(rows, columns=names)
    net = bm.read_network(table)
    assert (net.arms, len(net.study)) == (True, 7)
    expected = bm.contrasts(bm.read_network(LONG), "OR")
    assert bm.contrasts(net, "OR").yi.tolist() == expected.yi.tolist()
    table = table.astype({"event1": float})
    table.loc[0, "event1"] = np.nan
    net = bm.read_network(table)
    assert not net.arms
    assert bm.contrasts(net, "OR").yi.tolist() == pytest.approx(expected.yi.tolist())


def test_arms_without_numbers_are_named():
    """An arm whose numbers are blank is left out by name, and its study where one arm is left."""
    table = LONG.copy().astype({"events": float})
    table.loc[[4, 6], "events"] = np.nan
    net = bm.read_network(table)
    assert net.k == 2
    assert any("b (Y)" in note and "c (Y)" in note for note in net.notes)
    assert any("fewer than two" in note and "c" in note for note in net.notes)


BAD = {
    "Study 'c' has one arm, 'X'": LONG.drop(index=6),
    "Study 'a' has 'P' in 2 arms": LONG.assign(treatment=["P", "P", "P", "X", "Y", "X", "Y"]),
    "Study 'a', arm 'P': 60 events of 50 people": LONG.assign(events=[60, 9, 11, 20, 25, 7, 6]),
    "names no treatments": LONG.rename(columns={"treatment": "what"}),
    "no numbers that a network can be made of": LONG.rename(columns={"events": "what"}),
    "no column that names the studies": LONG.rename(columns={"study": "what"}),
}


@pytest.mark.parametrize("words", BAD)
def test_impossible_arms_name_study_and_treatment(words):
    """One arm, the same treatment twice, more events than people, missing columns."""
    with pytest.raises(DataError, match=words):
        bm.read_network(BAD[words])


def contrast_table(**changes):
    base = {
        "study": ["a", "b", "b", "b"],
        "treat1": ["P", "P", "P", "X"],
        "treat2": ["X", "X", "Y", "Y"],
        "yi": [0.1, 0.2, 0.5, 0.3],
        "sei": [0.3, 0.2, 0.25, 0.22],
    }
    return pd.DataFrame(base | changes)


BAD_CONTRASTS = {
    r"of its 3 pairs there are missing: X : Y": contrast_table().iloc[:3],
    r"compares 'P' with itself": contrast_table(treat2=["P", "X", "Y", "Y"]),
    r"'a', column 'sei': -0.3 is impossible: a standard error": contrast_table(sei=[-0.3, 0.2, 0.25, 0.22]),
    r"contradict each other.*The nearest that agree": contrast_table(sei=[0.3, 0.2, 0.25, 0.9]),
    r"Effects of one study add up": contrast_table(yi=[0.1, 0.2, 0.5, 0.9]),
    r"not connected.*\(P, X, Y; Q, R\)": pd.concat(
        [contrast_table(), pd.DataFrame({"study": ["d"], "treat1": ["Q"], "treat2": ["R"], "yi": [0.0], "sei": [0.1]})]
    ),
}


@pytest.mark.parametrize("words", BAD_CONTRASTS)
def test_impossible_contrasts_name_study_and_treatments(words):
    """Missing pairs, self-comparisons, impossible or contradictory standard errors, a network in parts."""
    with pytest.raises(DataError, match=words):
        bm.contrasts(bm.read_network(BAD_CONTRASTS[words]), "OR")


def test_measures_that_arms_do_not_have_are_refused():
    """COR is no measure of arms; MD needs means."""
    net = bm.read_network(LONG)
    with pytest.raises(ModelError, match="not computed from the arms"):
        bm.contrasts(net, "COR")
    with pytest.raises(DataError, match="MD needs mean, n and sd"):
        bm.contrasts(net, "MD")


def test_values_print_as_one_block():
    """A network and its contrasts say what they hold."""
    net = bm.read_network(LONG)
    assert repr(net) == "<NetworkTable: 3 studies, 3 treatments, 7 arms>"
    assert "studies of more than two arms: b (3)" in str(net)
    c = bm.contrasts(net, "OR")
    assert repr(c) == "<Contrasts: OR, 3 studies, 3 treatments, 4 contrasts>"
    assert c.drop(["c"]).k == 2
    with pytest.raises(DataError, match="no study 'z'"):
        c.drop(["z"])
