"""The values that hold studies refuse what they cannot hold."""

import math

import numpy as np
import pandas as pd
import pytest

import bayesmeta as bm


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"yi": [[1, 2]], "sei": [[1, 1]]}, "yi has shape .1, 2.: give a flat list"),
        ({"yi": ["a", "b"], "sei": [1, 1]}, "yi holds what is no number"),
        ({"yi": [1, 2], "sei": [1, 1], "study": "ab"}, "study is the text 'ab'"),
        ({"yi": [1, 2], "sei": [1, 1], "ni": [5]}, "ni has 1 values for 2 studies"),
        ({"yi": [1, 2], "sei": [1, 1], "X": [["a"], ["b"]]}, "X holds what is no number"),
    ],
)
def test_effect_sizes_are_flat_lists_of_numbers(given, message):
    """Tables, texts and lists of other lengths are not taken for effects."""
    with pytest.raises(bm.DataError, match=message):
        bm.EffectSizes(**given)


def test_counts_are_flat_lists_of_numbers():
    """A table given as a column of counts is refused under the column's name."""
    with pytest.raises(bm.DataError, match="events_treatment has shape"):
        bm.TwoByTwo([[1, 2]], [[5, 5]], [[1, 1]], [[5, 5]])


def test_person_time_of_a_table_can_be_pooled(tmp_path):
    """What `person_time` returns is what Mantel-Haenszel takes; the table itself gives the same."""
    path = tmp_path / "rates.csv"
    path.write_text("study,events_treatment,time_treatment,events_control,time_control\nA,3,100,6,110\nB,5,200,9,190\n")
    table = bm.read_studies(path)
    from_counts = bm.frequentist.mantel_haenszel(table.person_time(), measure="IRR")
    # Greenland & Robins: sum of x1 t2 / t over sum of x2 t1 / t.
    expected = (3 * 110 / 210 + 5 * 190 / 390) / (6 * 100 / 210 + 9 * 200 / 390)
    assert from_counts.mu == pytest.approx(math.log(expected), rel=1e-12)
    assert bm.frequentist.mantel_haenszel(table, measure="IRR").mu == from_counts.mu


@pytest.mark.parametrize("kind", [list, np.array, pd.Series])
def test_labels_come_from_any_sequence(kind):
    """Columns of a data frame are as good as lists, for effects and for counts."""
    effects = bm.EffectSizes(yi=kind([0.1, 0.2]), sei=kind([1.0, 1.0]), study=kind(["a", "b"]))
    counts = bm.TwoByTwo(*map(kind, ([1, 2], [9, 9], [3, 4], [9, 9])), study=kind(["a", "b"]))
    rates = bm.PersonTime(*map(kind, ([1, 2], [9.0, 9.0], [3, 4], [9.0, 9.0])), study=kind(["a", "b"]))
    for data in (effects, counts, rates):
        assert data.study == ("a", "b")
        assert data.drop(["a"]).study == ("b",)
    assert counts.drop(["a"]).events_control.tolist() == [4.0]
    assert rates.drop(["b"]).time_treatment.tolist() == [9.0]
    with pytest.raises(bm.DataError, match="at least one study"):
        counts.drop(["a", "b"])
