"""Rothman, Greenland & Lash 2008, Modern Epidemiology, 3rd edition, chapter 15: stratified tables and rates."""

import numpy as np
import pytest
from as_printed import assert_printed

import bayesmeta as bm

TOLBUTAMIDE = bm.TwoByTwo([8, 22], [106, 98], [5, 16], [120, 85])  # Table 15-1
SMOKERS = bm.PersonTime(
    [32, 104, 206, 186, 102], np.array([52407, 43248, 28612, 12663, 5317]) / 1e4,
    [2, 12, 28, 28, 31], np.array([18790, 10673, 5710, 2585, 1462]) / 1e4,
)  # fmt: skip
SPERMICIDE = bm.TwoByTwo([3, 1], [12, 4], [104, 5], [1163, 91])  # Table 15-5


@pytest.mark.parametrize(
    ("counts", "measure", "printed"),
    [
        (TOLBUTAMIDE, "RD", "0.0349 -0.0176 0.0874"),
        (TOLBUTAMIDE, "RR", "0.2818 -0.1442 0.7078"),
        (TOLBUTAMIDE, "OR", "0.3387 -0.1731 0.8505"),
        (SMOKERS, "IRD", "11.4392 6.3498 16.5286"),
        (SMOKERS, "IRR", "0.3539 0.1776 0.5303"),
        (SPERMICIDE, "OR", "1.3300 0.3579 2.3021"),
    ],
)
def test_mantel_haenszel_estimates_with_90_percent_limits(counts, measure, printed):
    """Strata of age: death under tolbutamide, coronary deaths of smokers, spermicide and Down syndrome."""
    fit = bm.frequentist.mantel_haenszel(counts, measure=measure, level=0.90)
    assert_printed([fit.mu, *fit.ci], printed)


def test_risk_differences_of_the_strata():
    """Table 15-1: risk differences and their standard errors, and the crude one."""
    found = bm.effect_sizes(TOLBUTAMIDE, "RD")
    assert_printed(found.yi, "0.0338 0.0363")
    assert_printed(found.sei, "0.0315 0.0598")
    crude = bm.effect_sizes(bm.TwoByTwo([30], [204], [21], [205]), "RD")
    assert_printed([crude.yi[0], crude.sei[0]], "0.0446 0.0326")


@pytest.mark.parametrize(("model", "printed"), [("UM.FS", "0.3545 0.1779 0.5312"), ("CM.EL", "0.3545 0.1779 0.5312")])
def test_maximum_likelihood_of_the_rate_ratio(model, printed):
    """Unconditional and conditional estimates of the common rate ratio agree."""
    fit = bm.frequentist.glmm(SMOKERS, model=model, method="EE", level=0.90)
    assert_printed([fit.mu, *fit.ci], printed)


@pytest.mark.parametrize(("model", "printed"), [("UM.FS", "1.3318 0.3582 2.3053"), ("CM.EL", "1.326 0.36 2.30")])
def test_maximum_likelihood_of_the_odds_ratio(model, printed):
    """Unconditional and conditional estimates of the common odds ratio of a sparse table."""
    fit = bm.frequentist.glmm(SPERMICIDE, model=model, method="EE", level=0.90)
    assert_printed([fit.mu, *fit.ci], printed)
