"""Required information size: the textbook size of one trial, and what differences between studies add."""

import math

import pytest
from scipy.special import ndtri

import bayesmeta as bm
from bayesmeta.errors import ModelError
from bayesmeta.frequentist import information_size, pool
from bayesmeta.resources import data_dir


@pytest.fixture(scope="module")
def effects():
    return bm.effect_sizes(bm.read_studies(data_dir() / "rescue_stenting.csv", outcome="mortality"), "OR")


def test_without_diversity_it_is_one_trial():
    """Risks 0.4 and 0.3 at 5% and 80%: 714 in both arms by hand; studies that agree have no diversity."""
    alike = bm.EffectSizes([-0.2, -0.2, -0.2], [0.2, 0.3, 0.4], measure="RR", ni=[100, 60, 40])
    found = information_size(alike, effect=0.75, control_risk=0.4)
    by_hand = 4 * (1.959964 + 0.841621) ** 2 * 0.35 * 0.65 / 0.1**2
    assert found.fixed == pytest.approx(by_hand, rel=1e-6)
    assert found.diversity == 0.0
    assert found.required == found.fixed
    assert math.ceil(found.fixed) == 715
    assert found.fraction == pytest.approx(200 / by_hand, rel=1e-6)


def test_diversity_is_the_share_of_variance_that_differences_make(effects):
    """D2 from the two standard errors; it is no less than I2 (Wetterslev 2009, who derive it)."""
    found = information_size(effects, effect=0.6, control_risk=0.4, power=0.9, method="DL")
    common, random = pool(effects, method="EE"), pool(effects, method="DL")
    assert found.diversity == pytest.approx(1 - (common.se / random.se) ** 2, rel=1e-12)
    assert 100 * found.diversity >= random.I2
    assert found.required == pytest.approx(found.fixed * (random.se / common.se) ** 2, rel=1e-12)
    assert found.accrued == 12 + 14 + 48 + 100 + 66 + 66 + 23 + 23
    assert "352 patients" in str(found)
    assert "classical" in str(found)


def test_other_scales():
    """Odds ratio and risk difference that mean the same risks give the same size; means by their SD."""
    data = {"yi": [-0.2, -0.1], "sei": [0.2, 0.3]}
    odds = 0.4 / 0.6 * 0.5
    treated = odds / (1 + odds)
    by_odds = information_size(bm.EffectSizes(**data, measure="OR"), effect=0.5, control_risk=0.4)
    by_risk = information_size(bm.EffectSizes(**data, measure="RD"), effect=treated - 0.4, control_risk=0.4)
    assert by_odds.fixed == pytest.approx(by_risk.fixed)
    means = information_size(bm.EffectSizes(**data, measure="MD"), effect=-2.0, sd=8.0, power=0.9)
    assert means.fixed == pytest.approx(4 * (ndtri(0.975) + ndtri(0.9)) ** 2 * 16)
    assert means.accrued is None
    assert means.fraction is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"effect": 0.8}, "control_risk=0.4"),
        ({"effect": 1.0, "control_risk": 0.4}, "is no effect"),
        ({"effect": -0.5, "control_risk": 0.4}, "natural scale"),
        ({"effect": 0.8, "control_risk": 0.4, "power": 80}, "power"),
    ],
)
def test_impossible_requests(effects, options, said):
    """Each says what to write."""
    with pytest.raises(ModelError, match=said):
        information_size(effects, **options)
