"""Averages over models of reporting against RoBMA, metaBMA and another quadrature; what they say and refuse."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.errors import DataError, ModelError

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "bias_ensembles.json").read_text(encoding="utf-8"))
SMALL = bm.EffectSizes([0.62, 0.31, 0.48, 0.05], [0.21, 0.12, 0.3, 0.1], measure="SMD")


@cache
def poulsen():
    data = GOLDEN["poulsen2006"]
    effects = bm.EffectSizes(data["yi"], data["sei"], measure="SMD")
    return bm.bias_average(effects, ensemble="robma3", direction="greater")


@cache
def presets():
    return bm.bias_average(SMALL, ensemble="pp", direction="greater")


def test_lui_2015_is_robmas():
    """All 36 log marginals within RoBMA's Monte Carlo error, inclusion Bayes factors within half a percent."""
    data = GOLDEN["lui2015"]
    n = np.array(data["ni"])
    effects = bm.EffectSizes(np.arctanh(data["ri"]), 1.0 / np.sqrt(n - 3.0), measure="ZCOR")
    details = bm.bias_average(effects, ensemble="robma3", direction="greater").details
    printed = data["printed"]
    assert details.models["log_evidence"].to_numpy() == pytest.approx(np.array(printed["log_marginal"]), abs=0.02)
    for group, factor in printed["inclusion_BF"].items():
        assert details.inclusion_bayes_factor(group) == pytest.approx(factor, rel=0.005)


def test_poulsen_2006_is_that_of_another_quadrature():
    """Log evidence of models that matter, inclusion Bayes factors, and averages of mu and tau on the d scale."""
    expected, average = GOLDEN["poulsen2006"]["quadrature"], poulsen()
    models = average.details.models
    held = models["posterior"].to_numpy() > 1e-8
    log = np.array(expected["log_marginal"])
    assert models["log_evidence"].to_numpy()[held] == pytest.approx(log[held], abs=3e-6)
    assert models["log_evidence"].to_numpy() == pytest.approx(log, abs=2e-3)
    for group, factor in expected["inclusion_BF"].items():
        assert average.details.inclusion_bayes_factor(group) == pytest.approx(factor, rel=1e-6)
    assert 2.0 * average.mu.mean() == pytest.approx(expected["mean_mu"], abs=1e-6)
    assert 2.0 * average.tau.mean() == pytest.approx(expected["mean_tau"], abs=1e-6)


def test_the_averaged_effect_has_a_probability_of_being_none():
    """The atom at 0 is the probability of the models without an effect; given an effect there is none."""
    average = poulsen()
    none = 1.0 - average.details.probability("effect")
    below, at = (float(average.mu.cdf(x)) for x in (-1e-12, 0.0))
    assert at - below == pytest.approx(none, abs=1e-9)
    given = average.details.conditional("effect").mu
    assert float(given.cdf(1e-9)) - float(given.cdf(-1e-9)) == pytest.approx(0.0, abs=1e-6)
    mixed = none * 0.0 + (1.0 - none) * given.mean()
    assert average.mu.mean() == pytest.approx(mixed, abs=1e-9)


def test_families_stand_beside_the_unadjusted_models():
    """A row for each family, the unadjusted one first and all of them last; probabilities add up."""
    frame = poulsen().details.families()
    assert frame["bias"].tolist() == ["none", "weights", "PET", "PEESE", "all"]
    assert frame["posterior"][:4].sum() == pytest.approx(1.0, abs=1e-12)
    assert frame["models"].tolist() == [4, 24, 4, 4, 36]
    assert frame["mean"].iloc[-1] == pytest.approx(poulsen().mu.mean(), abs=1e-12)
    said = str(poulsen().details)
    assert "hardly tell the models apart" in said
    assert "driven by their priors" in said
    assert "instead of" in said


def test_low_results_favoured_are_high_ones_turned():
    """Effects of the other sign with the other direction: the same evidence, mu turned."""
    turned = bm.EffectSizes(-SMALL.yi, SMALL.sei, measure="SMD")
    other = bm.bias_average(turned, ensemble="pp", direction="less")
    assert other.log_evidence == pytest.approx(presets().log_evidence, abs=1e-8)
    assert other.mu.mean() == pytest.approx(-presets().mu.mean(), abs=1e-8)


def test_an_ensemble_of_ones_own_is_a_table(tmp_path):
    """The rows of a preset, copied to a file, are the preset; what is wrong in a row is named."""
    from bayesmeta.bias import list_ensembles
    from bayesmeta.resources import data_dir

    assert list_ensembles() == ["2w", "6w", "pp", "psma", "robma3"]
    text = (data_dir() / "ensembles" / "pp.csv").read_text()
    mine = tmp_path / "mine.csv"
    mine.write_text(text)
    own = bm.bias_average(SMALL, ensemble=mine, direction="greater")
    assert own.log_evidence == pytest.approx(presets().log_evidence, abs=1e-12)
    mine.write_text(text.replace("1/8", "-1", 1))
    with pytest.raises(ModelError, match=r"mine\.csv, line 2: probability"):
        bm.bias_average(SMALL, ensemble=mine, direction="greater")
    mine.write_text("effect,bias\n")
    with pytest.raises(DataError, match=r"lacks heterogeneity, model"):
        bm.bias_average(SMALL, ensemble=mine, direction="greater")


def test_wrong_requests_are_refused_in_words():
    """No direction, unknown ensembles, one study, measures that robma3 does not know."""
    with pytest.raises(TypeError, match="direction"):
        bm.bias_average(SMALL)
    with pytest.raises(ModelError, match="direction"):
        bm.bias_average(SMALL, direction="up")
    with pytest.raises(ModelError, match="ensemble"):
        bm.bias_average(SMALL, direction="less", ensemble="psmb")
    with pytest.raises(DataError, match="at least 2"):
        bm.bias_average(SMALL.drop(list(SMALL.study[1:])), direction="less")
    with pytest.raises(DataError, match="robma3 is for"):
        bm.bias_average(bm.EffectSizes([0.1, 0.2], [0.1, 0.1], measure="OR"), direction="less", ensemble="robma3")
    with pytest.raises(ModelError, match="group of models"):
        presets().details.inclusion_bayes_factor("efect")
