"""The test of excess significance against metafor's exact test and brute force."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta import frequentist as fq

GOLDEN = Path(__file__).parents[1] / "golden"
PINNED = json.loads((GOLDEN / "metafor_pubbias_influence.json").read_text(encoding="utf-8"))["datasets"]
EXTRA = json.loads((GOLDEN / "metafor_small_study_extra.json").read_text(encoding="utf-8"))["datasets"]
DATA = {**EXTRA, **PINNED}


@pytest.mark.parametrize("name", sorted(DATA))
def test_equals_metafor(name):
    """Observed, expected and, where metafor does not turn to chi-squared, the exact p-value are metafor's tes."""
    data = DATA[name]
    result = fq.excess_significance(bm.EffectSizes(data["yi"], np.sqrt(data["vi"])))
    assert result.observed == data["tes"]["O"]
    assert [result.expected, result.mu] == pytest.approx([data["tes"][q] for q in ("E", "theta")], rel=1e-10)
    if data["tes"]["X2"] is None:
        assert result.p_value == pytest.approx(data["tes"]["pval"], rel=1e-10)


def test_p_value_is_the_sum_over_all_outcomes():
    """The exact p-value adds the probabilities of every pattern with at least as many significant studies."""
    result = fq.excess_significance(bm.EffectSizes([0.5, 0.1, 0.9, 0.4], [0.2, 0.3, 0.4, 0.1]), mu=0.3)
    total = sum(
        np.prod([q if s else 1.0 - q for q, s in zip(result.power, pattern, strict=True)])
        for pattern in product([0, 1], repeat=4)
        if sum(pattern) >= result.observed
    )
    assert result.p_value == pytest.approx(total, rel=1e-12)
    assert "Low power" in str(result)
    assert len(result.to_frame()) == 1


@pytest.mark.parametrize("options", [{"p": 5}, {"mu": float("inf")}])
def test_nonsense_is_refused(options):
    """A level is a probability and an effect is finite."""
    with pytest.raises(bm.ModelError):
        fq.excess_significance(bm.EffectSizes([0.1, 0.2], [0.1, 0.2]), **options)
