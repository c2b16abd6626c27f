"""Stijnen, Hamza & Özdemir 2010, Stat Med 29:3046-3067: catheter infections, exact likelihoods, Tables II and III."""

import numpy as np
import pytest
from as_printed import assert_printed, columns

import bayesmeta as bm
from bayesmeta.effects import compute_effects


@pytest.fixture(scope="module")
def counts():
    """Return the counts of both arms."""
    return columns("catheter_infection_nielweise2007")


@pytest.mark.parametrize(
    ("arm", "printed", "risk"),
    [
        ("control", "-3.3018 0.2378 0.6629", "0.0355 0.0226 0.0554"),
        ("treatment", "-4.2604 0.2589 0.3928", "0.0139 0.0084 0.0229"),
    ],
)
def test_normal_approximation_of_one_arm(counts, arm, printed, risk):
    """Table II, page 3050: mean log odds, standard error and tau2 with halves added to empty cells, by REML."""
    raw = compute_effects("PLO", {"events": counts[f"events_{arm}"], "n": counts[f"n_{arm}"]})
    fit = bm.frequentist.pool(bm.EffectSizes(raw.yi, vi=raw.vi, measure="PLO"), method="REML")
    assert_printed([fit.mu, fit.se, fit.tau2], printed)
    assert_printed(1 / (1 + np.exp([-fit.mu, -fit.ci.low, -fit.ci.high])), risk)


@pytest.mark.parametrize(
    ("model", "printed", "ratio"),
    [("CM.EL", "-1.353 0.351 0.83", "0.258 0.130 0.514"), ("CM.AL", "-1.303 0.339 0.775", "0.272 0.140 0.528")],
)
def test_conditional_models_of_the_odds_ratio(counts, model, printed, ratio):
    """Table III, page 3052: the noncentral hypergeometric likelihood and its approximation."""
    table = bm.TwoByTwo(
        *(counts[name] for name in ("events_treatment", "n_treatment", "events_control", "n_control")),
        study=list(counts["study"]),
    )
    fit = bm.frequentist.glmm(table, model=model)
    assert_printed([fit.mu, fit.se, np.sqrt(fit.tau2)], printed)
    assert_printed(np.exp([fit.mu, *fit.ci]), ratio)
