"""Trim-and-fill against metafor, on both sides, with all three estimators."""

import json
from pathlib import Path

import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st

import bayesmeta as bm
from bayesmeta import frequentist as fq

GOLDEN = Path(__file__).parents[1] / "golden"
PINNED = json.loads((GOLDEN / "metafor_pubbias_influence.json").read_text(encoding="utf-8"))["datasets"]
EXTRA = json.loads((GOLDEN / "metafor_small_study_extra.json").read_text(encoding="utf-8"))["datasets"]
PINNED_CASES = [(name, key) for name, s in PINNED.items() for key in s["trimfill"]]
EXTRA_CASES = [(name, key) for name, s in EXTRA.items() for key in s["trimfill"]]
# The pinned file's REML stopped at metafor's default threshold (1e-5); the extra file was run to 1e-13.
LOOSE, ITERATIVE, CLOSED = 5e-4, 1e-8, 1e-10


def effects_of(data):
    return bm.EffectSizes(data["yi"], np.sqrt(data["vi"]))


def listed(value):
    return sorted(np.ravel(value))


@pytest.mark.parametrize(("name", "key"), PINNED_CASES)
def test_equals_metafor_on_the_pinned_sets(name, key):
    """Missing studies, their standard error, the filled studies and the filled fit are metafor's."""
    expected = PINNED[name]["trimfill"][key]
    method, estimator, side = key.split("|")
    result = fq.trim_and_fill(effects_of(PINNED[name]), estimator=estimator, side=side, method=method)
    tolerance = LOOSE if method == "REML" else CLOSED
    assert result.k0 == expected["k0"]
    if expected["se.k0"] == ["NaN"]:
        assert result.k0_se is None
    else:
        assert result.k0_se == pytest.approx(expected["se.k0"], rel=CLOSED)
    got = [result.mu, result.fit.se, *result.fit.ci]
    assert got == pytest.approx([expected[q] for q in ("b", "se", "ci.lb", "ci.ub")], rel=tolerance)
    assert result.fit.tau2 == pytest.approx(expected["tau2"], rel=tolerance, abs=1e-6)
    assert listed(result.filled_yi) == pytest.approx(listed(expected["yi_filled"]), rel=tolerance)
    assert listed(result.filled_sei**2) == pytest.approx(listed(expected["vi_filled"]), rel=CLOSED)


@pytest.mark.parametrize(("name", "key"), EXTRA_CASES)
def test_equals_metafor_when_the_side_is_estimated_too(name, key):
    """The estimated side and everything after it are metafor's, on tied and untied data."""
    expected = EXTRA[name]["trimfill"][key]
    method, ci, estimator, side = key.split("|")
    result = fq.trim_and_fill(
        effects_of(EXTRA[name]), estimator=estimator, side=None if side == "auto" else side, method=method, ci=ci
    )
    tolerance = CLOSED if method == "DL" else ITERATIVE
    assert (result.k0, result.side) == (expected["k0"], expected["side"])
    if expected["se.k0"] is None:
        assert result.k0_se is None
    else:
        assert result.k0_se == pytest.approx(expected["se.k0"], rel=CLOSED)
    if estimator == "R0":
        assert result.k0_p == pytest.approx(expected["p.k0"], rel=CLOSED)
    fit = result.fit
    got = [fit.mu, fit.se, *fit.ci, fit.p_value, fit.Q]
    assert got == pytest.approx([expected[q] for q in ("b", "se", "lb", "ub", "pval", "QE")], rel=tolerance)
    assert fit.tau2 == pytest.approx(expected["tau2"], rel=tolerance, abs=1e-10)
    assert listed(result.filled_yi) == pytest.approx(listed(expected["yi_filled"]), rel=tolerance)


@examples(60)
@given(st.integers(3, 25), st.integers(0, 10**6), st.sampled_from(["L0", "R0", "Q0"]), st.sampled_from(["EE", "DL"]))
def test_mirroring_the_data_mirrors_the_result(k, seed, estimator, method):
    """Changing every sign changes the side and the sign of the filled effect, and nothing else."""
    rng = np.random.default_rng(seed)
    sei = np.exp(rng.normal(-1.0, 0.6, size=k))
    yi = rng.normal(0.5, 0.3, size=k) + rng.exponential(1.0, size=k) * sei
    left, right = (
        _attempt(bm.EffectSizes(sign * yi, sei), estimator=estimator, side=side, method=method)
        for sign, side in ((1.0, "left"), (-1.0, "right"))
    )
    assert (left is None) == (right is None)
    if left is not None:
        assert left.k0 == right.k0
        assert left.mu == pytest.approx(-right.mu, rel=1e-9, abs=1e-12)
        assert left.fit.se == pytest.approx(right.fit.se, rel=1e-9)


def _attempt(effects, **options):
    try:
        return fq.trim_and_fill(effects, **options)
    except bm.ConvergenceError:
        return None


def test_filled_studies_mirror_the_most_extreme_ones():
    """Each filled study lies as far from the centre as the study it mirrors, with its standard error."""
    data = PINNED["raudenbush1985"]
    result = fq.trim_and_fill(effects_of(data), side="left", method="EE")
    assert result.k0 == 3
    top = np.argsort(data["yi"])[-3:]
    assert listed(2.0 * result.centre - result.filled_yi) == pytest.approx(listed(np.array(data["yi"])[top]), rel=1e-12)
    assert listed(result.filled_sei) == pytest.approx(listed(np.sqrt(np.array(data["vi"])[top])), rel=1e-12)
    frame = result.to_frame()
    assert list(frame["filled"]) == [False] * 19 + [True] * 3
    assert result.filled_study[0].startswith("Filled: Study")


def test_the_interval_rule_asked_for_is_kept_in_the_filled_fit():
    """A Hartung-Knapp interval stays one after filling."""
    result = fq.trim_and_fill(effects_of(PINNED["raudenbush1985"]), side="left", ci="hksj")
    assert result.k0 > 0
    assert result.fit.ci.rule == "hksj"
    assert result.original.ci.rule == "hksj"


def test_q0_without_a_real_root_says_what_to_use():
    """Q0's quadratic can have no root, and then the message names the other estimators."""
    with pytest.raises(bm.ConvergenceError, match="estimator='L0'"):
        fq.trim_and_fill(effects_of(EXTRA["magnesium_or"]), estimator="Q0", side="right")


def test_small_k_and_unknown_options():
    """Two studies need the side given; one study, equal errors and unknown words are refused."""
    two = bm.EffectSizes([0.1, 0.5], [0.3, 0.4])
    # Trimmed to the lower study alone, the upper one is mirrored about it: the filled mean is the lower effect.
    left = fq.trim_and_fill(two, side="left")
    assert (left.k0, left.filled_yi[0], left.mu) == (1, pytest.approx(-0.3), pytest.approx(0.1))
    assert fq.trim_and_fill(two, side="right").k0 == 0
    with pytest.raises(bm.DataError, match="side='left'"):
        fq.trim_and_fill(two)
    with pytest.raises(bm.DataError, match="same standard error"):
        fq.trim_and_fill(bm.EffectSizes([0.1, 0.5, 0.9], [0.3] * 3))
    with pytest.raises(bm.DataError, match="at least 2 studies"):
        fq.trim_and_fill(bm.EffectSizes([0.1], [0.3]), side="left")
    with pytest.raises(bm.ModelError, match="Unknown trim-and-fill estimator"):
        fq.trim_and_fill(two, estimator="S0", side="left")
    with pytest.raises(bm.ModelError, match="side is 'top'"):
        fq.trim_and_fill(two, side="top")


def test_it_prints_what_it_is():
    """The block names estimator, side, both estimates, and that the filled studies are invented."""
    text = str(fq.trim_and_fill(effects_of(PINNED["raudenbush1985"]), side="left"))
    assert "missing studies on the left (given): 3" in text
    assert "invented" in text
    assert "Biometrics 56:455-463" in text
