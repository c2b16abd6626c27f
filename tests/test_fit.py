"""The one door: what it refuses, and with which words."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
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


FRAME = pd.DataFrame({"study": ["a", "b", "c"], "yi": [0.1, 0.3, 0.2], "vi": [0.04, 0.09, 0.01]})


@pytest.mark.parametrize(
    "frame",
    [
        FRAME,
        pl.from_pandas(FRAME),
        pa.Table.from_pandas(FRAME),
        FRAME.drop(columns="study"),
        FRAME.assign(sei=[0.2, 0.3, 0.1]).drop(columns="vi"),
    ],
    ids=["pandas", "polars", "pyarrow", "no labels", "sei"],
)
def test_a_frame_of_estimates_is_fitted_as_it_stands(frame):
    """Estimates with variances or standard errors in any frame give the posterior of the same effect sizes."""
    effects = bm.EffectSizes(yi=[0.1, 0.3, 0.2], vi=[0.04, 0.09, 0.01], measure="OR")
    found = bm.fit(frame, measure="OR")
    assert found.mu.eti() == bm.fit(effects).mu.eti()
    assert found.data.measure == "OR"
    priors = {"mu": "flat()", "tau": "half_normal(0.5)"}
    assert bm.fit(frame, priors=priors).data.measure == "GEN"


def test_a_frame_of_counts_is_fitted_by_an_exact_model():
    """Counts in a frame become tables for a model of counts, and effect sizes for one of effects."""
    frame = pd.DataFrame({"study": ["a", "b"], "ai": [3, 5], "n1i": [50, 60], "ci": [9, 8], "n2i": [50, 61]})
    counts = bm.TwoByTwo([3, 5], [50, 60], [9, 8], [50, 61])
    assert bm.fit(frame, "hypergeometric_normal").mu.eti() == bm.fit(counts, "hypergeometric_normal").mu.eti()
    effects = bm.effect_sizes(counts, measure="RR")
    assert bm.fit(frame, measure="RR").mu.eti() == bm.fit(effects).mu.eti()
    with pytest.raises(bm.DataError, match="measure="):
        bm.fit(frame)


def test_a_measure_that_contradicts_the_data_is_refused():
    """Effect sizes know their measure, and so do models of counts."""
    with pytest.raises(bm.DataError, match="the effect sizes are of measure 'OR'"):
        bm.fit(EFFECTS, measure="RR")
    with pytest.raises(bm.ModelError, match="not the RR"):
        bm.fit(bm.TwoByTwo([1], [10], [2], [10]), "hypergeometric_normal", measure="RR")


def test_a_seed_has_two_names_and_may_be_a_generator():
    """random_seed is seed by the name that PyMC gives it; a Generator gives its next number, and another one then."""
    assert bm.fit(EFFECTS, random_seed=5).seed == 5
    rng = np.random.default_rng(1)
    first, second = bm.fit(EFFECTS, seed=rng).seed, bm.fit(EFFECTS, random_seed=rng).seed
    assert first != second
    assert first == bm.fit(EFFECTS, seed=np.random.default_rng(1)).seed
    assert bm.fit(EFFECTS, seed=np.random.SeedSequence(3)).seed == bm.fit(EFFECTS, seed=np.random.SeedSequence(3)).seed
    post = bm.fit(EFFECTS, seed=5)
    one, other = post.to_datatree(draws=20, random_seed=2), post.to_datatree(draws=20, seed=2)
    assert one["posterior"].identical(other["posterior"])
    with pytest.raises(bm.ModelError, match="two names of one thing"):
        bm.fit(EFFECTS, seed=1, random_seed=1)
