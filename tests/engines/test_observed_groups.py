"""The data that travel with draws, whichever engine made them."""

import numpy as np
import pytest

import bayesmeta as bm

COUNTS = bm.TwoByTwo([3, 4, 0], [20, 30, 11], [5, 6, 2], [22, 31, 9], study=("a", "b", "c"))
RATES = bm.PersonTime([3, 4, 0], [20.5, 30, 11], [5, 6, 2], [22, 31, 9.5], study=("a", "b", "c"))
EFFECTS = bm.EffectSizes(yi=[0.1, 0.9, -0.4], sei=[0.2, 0.3, 0.25], study=["a", "b", "c"], measure="OR")
REGRESSION = bm.EffectSizes(
    yi=[0.1, 0.9, -0.4],
    sei=[0.2, 0.3, 0.25],
    study=["a", "b", "c"],
    measure="OR",
    X=np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 1.0]]),
    terms=("intercept", "late"),
)
ARMS = ("events_treatment", "events_control")
CASES = [
    ("binomial_normal", COUNTS, ARMS, ("n_treatment", "n_control")),
    ("poisson_normal", RATES, ARMS, ("time_treatment", "time_control")),
    ("normal_normal", EFFECTS, ("yi",), ("sei", "X")),
    ("robust_t", EFFECTS, ("yi",), ("sei", "X")),
    ("meta_regression", REGRESSION, ("yi",), ("sei", "X")),
]


@pytest.mark.parametrize(("model", "data", "observed", "fixed"), CASES, ids=[case[0] for case in CASES])
def test_a_tree_of_exact_draws_holds_the_data(model, data, observed, fixed):
    """Draws made from a computed posterior carry the studies' numbers, by label, under their own names."""
    tree = bm.fit(data, model=model, engine="quadrature", seed=1).to_datatree(draws=50)
    assert set(tree.children) >= {"posterior", "observed_data", "constant_data"}
    for group, names in (("observed_data", observed), ("constant_data", fixed)):
        assert set(tree[group].data_vars) == set(names)
        for name in names:
            assert list(tree[group][name].coords["study"].values) == ["a", "b", "c"]
            np.testing.assert_array_equal(tree[group][name], getattr(data, name))
    assert tree["posterior"]["theta"].dims == ("chain", "draw", "study")
    assert tree["posterior"].attrs["seed"] == 1
    if model == "meta_regression":
        assert list(tree["posterior"]["beta"].coords["term"].values) == ["intercept", "late"]
