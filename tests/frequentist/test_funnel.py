"""The numbers of a funnel plot."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta import frequentist as fq

GOLDEN = Path(__file__).parents[1] / "golden"
DATA = json.loads((GOLDEN / "metafor_pubbias_influence.json").read_text(encoding="utf-8"))["datasets"]["bcg_rr"]


def effects():
    return bm.EffectSizes(DATA["yi"], np.sqrt(DATA["vi"]), measure="RR")


def test_the_region_is_a_cone_about_the_pooled_effect():
    """The limits are mu -+ z se, meet at mu where se is 0, and contain what `inside` says."""
    result = fq.funnel(effects(), method="DL")
    mu = fq.pool(effects(), method="DL").mu
    z = stats.norm.ppf(0.975)
    assert result.mu == mu
    assert result.grid[0] == 0.0
    assert result.grid[-1] > max(result.sei)
    assert result.region_low == pytest.approx(mu - z * result.grid, rel=1e-12)
    assert result.region_high == pytest.approx(mu + z * result.grid, rel=1e-12)
    low = np.interp(result.sei, result.grid, result.region_low)
    high = np.interp(result.sei, result.grid, result.region_high)
    assert result.inside.tolist() == ((result.yi >= low) & (result.yi <= high)).tolist()


def test_heterogeneity_widens_the_region():
    """With add_tau2 the region is mu -+ z sqrt(se^2 + tau2), a hyperbola."""
    result = fq.funnel(effects(), method="DL", add_tau2=True)
    tau2 = fq.pool(effects(), method="DL").tau2
    assert result.tau2 == tau2
    half = stats.norm.ppf(0.975) * np.sqrt(result.grid**2 + tau2)
    assert result.region_high - result.mu == pytest.approx(half, rel=1e-12)


def test_contours_separate_p_values():
    """A study lies outside a contour exactly when its p-value against the null is below it."""
    result = fq.funnel(effects(), null=-0.2)
    assert result.contour_levels == (0.90, 0.95, 0.99)
    z = (result.yi + 0.2) / result.sei
    assert result.p_value == pytest.approx(2.0 * stats.norm.sf(np.abs(z)), rel=1e-12)
    for level, low, high in zip(result.contour_levels, result.contour_low, result.contour_high, strict=True):
        outside = (result.yi < np.interp(result.sei, result.grid, low)) | (
            result.yi > np.interp(result.sei, result.grid, high)
        )
        assert outside.tolist() == (result.p_value < 1.0 - level).tolist()


def test_arrays_cannot_be_written_to():
    """The result is a frozen value."""
    result = fq.funnel(effects(), contours=(), points=2)
    assert result.contour_low.shape == (0, 2)
    with pytest.raises(ValueError, match="read-only"):
        result.grid[0] = 1.0


def test_one_study_has_a_funnel():
    """A single study is its own centre."""
    result = fq.funnel(bm.EffectSizes([0.4], [0.2]))
    assert result.mu == 0.4
    assert result.inside.tolist() == [True]
    assert "Do not rely on this" in str(result)


@pytest.mark.parametrize("options", [{"level": 95}, {"contours": (0.9, 1.0)}, {"points": 1}, {"null": float("nan")}])
def test_impossible_options_are_refused(options):
    """Levels are coverages, a line has two points, and the null is a number."""
    with pytest.raises(bm.ModelError):
        fq.funnel(effects(), **options)


def test_moderators_are_refused():
    """A funnel needs one centre."""
    X = np.column_stack([np.ones(13), np.arange(13.0)])
    with pytest.raises(bm.DataError, match="no version with moderators"):
        fq.funnel(bm.EffectSizes(DATA["yi"], np.sqrt(DATA["vi"]), X=X))


def test_it_prints_and_tabulates():
    """The block counts the studies inside; the frame has one row a study."""
    result = fq.funnel(effects())
    assert f"{int(result.inside.sum())} of 13" in str(result)
    assert result.to_frame().shape == (13, 5)
