"""The one door: what it refuses, and with which words."""

import numpy as np
import pytest

import bayesmeta as bm

EFFECTS = bm.EffectSizes(yi=[0.9, 0.2, 0.6, -0.1], sei=[0.3, 0.25, 0.4, 0.5], measure="OR")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seed": "one"}, "seed='one': it must be a whole number"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 1.5}, "seed=1.5"),
        ({"model": 3}, "The model is 3"),
        ({"model": "normal_norml"}, "Did you mean 'normal_normal'"),
        ({"engine": "nutz"}, "Did you mean 'nuts'"),
        ({"priors": "half_normal(0.5)"}, "give parameter names with priors"),
        ({"priors": {"sigma": "half_normal(0.5)"}}, "Known: mu, tau"),
        ({"engine": "quadrature", "draws": 4000}, "Unknown option of engine 'quadrature': 'draws'"),
        ({"engine": "nuts", "drawz": 4000}, "Did you mean 'draws'"),
    ],
)
def test_wrong_arguments_are_named(given, message):
    """A wrong argument ends in an error that shows it and what is known."""
    with pytest.raises(bm.ModelError, match=message):
        bm.fit(EFFECTS, **given)


@pytest.mark.parametrize("data", [bm.TwoByTwo([1], [10], [2], [10]), [0.1, 0.2], None])
def test_data_of_another_kind_are_refused(data):
    """The error names the kind of data given and the function that makes the right one."""
    with pytest.raises(bm.DataError, match=rf"given {type(data).__name__}. Use bm.effect_sizes"):
        bm.fit(data, "normal_normal")


@pytest.mark.parametrize("data", [[0.1, 0.2], None])
def test_what_is_no_data_is_refused_without_a_model_too(data):
    """Without a model named, what holds neither effects nor counts is still refused."""
    with pytest.raises(bm.DataError, match=rf"given {type(data).__name__}. Use bm.effect_sizes"):
        bm.fit(data)


def test_effects_of_an_unknown_measure_are_refused():
    """A misspelt measure is found before its scale is taken for another."""
    with pytest.raises(bm.ModelError, match="Did you mean 'OR'"):
        bm.fit(bm.EffectSizes(yi=[0.1, 0.2], sei=[1, 1], measure="or"))


def test_a_numpy_integer_is_a_seed():
    """A seed may come from numpy; the posterior records it as a number."""
    assert bm.fit(EFFECTS, engine="quadrature", seed=np.int64(7)).seed == 7
