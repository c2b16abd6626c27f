"""PET, PEESE, PET-PEESE and fail-safe N."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta import frequentist as fq

GOLDEN = Path(__file__).parents[1] / "golden"
PINNED = json.loads((GOLDEN / "metafor_pubbias_influence.json").read_text(encoding="utf-8"))["datasets"]
EXTRA = json.loads((GOLDEN / "metafor_small_study_extra.json").read_text(encoding="utf-8"))["datasets"]


def effects_of(data):
    return bm.EffectSizes(data["yi"], np.sqrt(data["vi"]))


@pytest.mark.parametrize("name", sorted(PINNED))
def test_pet_and_peese_are_metafors_limit_estimates(name):
    """PET is the limit estimate with predictor sei, PEESE the one with vi."""
    regtest = PINNED[name]["regtest"]
    result = fq.pet_peese(effects_of(PINNED[name]))
    for estimate, key in ((result.pet, "lm sei (Egger)"), (result.peese, "lm vi")):
        expected = [regtest[key][q] for q in ("est", "ci.lb", "ci.ub")]
        assert [estimate.mu, *estimate.ci] == pytest.approx(expected, rel=1e-10)


def test_the_rule_chooses_peese_when_pet_finds_an_effect():
    """PEESE is reported when PET's p-value is below the threshold, PET otherwise."""
    effects = effects_of(PINNED["bcg_rr"])
    p = fq.pet_peese(effects).pet.p_value
    above, below = fq.pet_peese(effects, threshold=p * 1.01), fq.pet_peese(effects, threshold=p * 0.99)
    assert (above.chosen, above.mu) == ("PEESE", above.peese.mu)
    assert (below.chosen, below.mu) == ("PET", below.pet.mu)
    assert above.to_frame()["chosen"].tolist() == [False, True]


def test_pet_recovers_the_effect_of_studies_on_a_line():
    """Effects built as mu + b sei plus scatter orthogonal to the line return mu and b exactly."""
    sei = np.linspace(0.1, 0.6, 12)
    line = 0.2 + 1.5 * sei
    scatter = sei * np.cos(np.arange(12.0))
    X = np.column_stack([1.0 / sei, np.ones(12)])
    scatter = sei * (scatter / sei - X @ np.linalg.lstsq(X, scatter / sei, rcond=None)[0])
    pet = fq.pet_peese(bm.EffectSizes(line + scatter, sei)).pet
    assert (pet.mu, pet.line.slope) == pytest.approx((0.2, 1.5), rel=1e-10)


def test_pet_peese_refuses_moderators_and_bad_thresholds():
    """Moderators have no place in PET-PEESE; a threshold is a p-value."""
    data = PINNED["bcg_rr"]
    X = np.column_stack([np.ones(13), np.arange(13.0)])
    with pytest.raises(bm.DataError, match="no version with moderators"):
        fq.pet_peese(bm.EffectSizes(data["yi"], np.sqrt(data["vi"]), X=X))
    with pytest.raises(bm.ModelError, match="threshold is 5"):
        fq.pet_peese(effects_of(data), threshold=5)


@pytest.mark.parametrize("name", sorted({*PINNED, *EXTRA}))
def test_fail_safe_n_equals_metafor(name):
    """Rosenthal, Orwin and Rosenberg give metafor's numbers of studies."""
    data = {**EXTRA.get(name, {}), **PINNED.get(name, {})}
    pinned = {
        kind: data[f"fsn_{kind.lower()}"]
        for kind in ("Rosenthal", "Orwin", "Rosenberg")
        if f"fsn_{kind.lower()}" in data
    }
    extra = {kind: data["fsn"][kind.lower()] for kind in ("Rosenthal", "Orwin", "Rosenberg") if "fsn" in data}
    for expected in (pinned, extra):
        for kind, values in expected.items():
            result = fq.fail_safe_n(effects_of(data), kind=kind)
            assert values["fsnum"] == result.N
            if result.p_value is not None and "pval" in values:
                assert result.p_value == pytest.approx(values["pval"], rel=1e-10)
    if "fsn" in data:
        assert data["fsn"]["orwin_t"]["fsnum"] == fq.fail_safe_n(effects_of(data), kind="Orwin", target=0.05).N


def test_fail_safe_n_does_what_it_says():
    """Adding N studies of z = 0 brings Stouffer's p above the target, and N - 1 does not."""
    effects = effects_of(PINNED["raudenbush1985"])
    result = fq.fail_safe_n(effects)
    total = abs(float((effects.yi / effects.sei).sum()))
    assert stats.norm.sf(total / np.sqrt(effects.k + result.N)) >= 0.05
    assert stats.norm.sf(total / np.sqrt(effects.k + result.N - 1)) < 0.05
    assert "Not recommended" in str(result)
    assert len(result.to_frame()) == 1


@pytest.mark.parametrize("options", [{"kind": "Fisher"}, {"p": 5}, {"kind": "Orwin", "target": 0.0}])
def test_fail_safe_n_refuses_nonsense(options):
    """Unknown kinds, impossible levels and a target of zero are refused."""
    with pytest.raises(bm.ModelError):
        fq.fail_safe_n(effects_of(PINNED["bcg_rr"]), **options)


def test_orwin_refuses_a_mean_of_zero():
    """An effect of exactly nothing cannot be undone."""
    with pytest.raises(bm.DataError, match="exactly 0"):
        fq.fail_safe_n(bm.EffectSizes([0.5, -0.5], [0.2, 0.2]), kind="Orwin")
