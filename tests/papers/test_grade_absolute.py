"""Absolute effects and numbers needed to treat as published: Cochrane Handbook 5.1, section 12.5.4; Altman 1998."""

import math

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.decisions.absolute import change_words
from bayesmeta.decisions.number_needed import interval_words, needed_from, pieces_of, whole
from bayesmeta.marginals import NormalMixture


def certain(measure, value):
    """Return the posterior of one enormous study that found `value`, natural scale."""
    at = math.log(value) if measure != "RD" else value
    effects = bm.EffectSizes(yi=[at], sei=[1e-7], measure=measure)
    return bm.fit(effects, "common_effect", priors={"mu": "flat()"})


@pytest.mark.parametrize(
    ("measure", "value", "risk", "said", "needed"),
    [
        ("OR", 0.73, 0.3, "62 fewer", "17"),  # 12.5.4.3
        ("RR", 0.92, 0.3, "24 fewer", "42"),  # 12.5.4.2
        ("RD", -0.133, 0.3, "133 fewer", "8"),  # 12.5.4
        ("RD", -0.12, 0.3, "120 fewer", "9"),  # 12.5.4.1
        ("RD", -0.22, 0.3, "220 fewer", "5"),  # 12.5.4.1
    ],
)
def test_the_handbooks_examples(measure, value, risk, said, needed):
    """From OR 0.73 at an assumed control risk of 0.3: 62 fewer per 1000, NNT 17; and so on."""
    effect = bm.absolute_effect(certain(measure, value), risk, benefit="lower")
    assert change_words(effect.per_1000()[0]) == said
    found = effect.number_needed()
    assert (found.direction, whole(found.value)) == ("NNTB", needed)


def test_the_handbooks_formula_for_an_odds_ratio():
    """1000 (ACR - OR ACR / (1 - ACR + OR ACR)) fewer, at every risk."""
    odds_ratio = 0.73
    post = certain("OR", odds_ratio)
    for acr in (1e-6, 0.01, 0.3, 0.5, 0.99):
        fewer = 1000 * (acr - odds_ratio * acr / (1 - acr + odds_ratio * acr))
        assert bm.absolute_effect(post, acr).per_1000()[0] == pytest.approx(-fewer, rel=1e-6)


def test_altmans_interval_from_benefit_through_infinity_to_harm():
    """A risk reduction of 10% (95% interval -5% to 25%) is NNTB 10 (NNTB 4 to infinity to NNTH 20)."""
    assert needed_from(0.10) == ("NNTB", pytest.approx(10.0))
    assert interval_words(pieces_of(-0.05, 0.25)) == "NNTB 4 to ∞ to NNTH 20"
    difference = NormalMixture(np.ones(1), np.array([-0.10]), np.array([0.15 / 1.959963984540054]))
    found = bm.number_needed(difference, benefit="lower")
    assert found.words() == "NNTB 10 (NNTB 4 to ∞ to NNTH 20)"
    assert [p.direction for p in found.pieces] == ["NNTB", "NNTH"]
    assert all(math.isinf(p.high) for p in found.pieces)
