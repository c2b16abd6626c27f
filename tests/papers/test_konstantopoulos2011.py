"""Konstantopoulos 2011, Res Synth Methods 2:61-76: school calendars on two and three levels, Tables 4 and 5."""

import numpy as np
import pytest
from as_printed import assert_printed, columns

import bayesmeta as bm


@pytest.fixture(scope="module")
def rows():
    """Return the columns of the 56 schools in 11 districts."""
    return columns("school_calendar_konstantopoulos2011")


def effects(rows, *, districts, year):
    """Return the effects of the schools, with the year about its mean as a moderator on request."""
    X = np.column_stack([np.ones(56), rows["year"] - rows["year"].mean()]) if year else None
    cluster = [str(int(d)) for d in rows["cluster"]] if districts else ()
    terms = ("intercept", "year") if year else ()
    return bm.EffectSizes(
        rows["yi"], vi=rows["vi"], measure="SMD", study=list(rows["study"]), cluster=cluster, X=X, terms=terms
    )


def test_two_levels(rows):
    """Table 4, page 70: mean, its standard error, the variance and its standard error by REML."""
    fit = bm.frequentist.pool(effects(rows, districts=False, year=False), method="REML")
    assert_printed([fit.mu, fit.se, fit.tau2, fit.tau2_se], "0.1279 0.0439 0.0884 0.0202")


def test_two_levels_with_the_year(rows):
    """Table 4, page 70: the year of the study explains nothing."""
    fit = bm.frequentist.regress(effects(rows, districts=False, year=True), method="REML")
    assert_printed(fit.beta, "0.1258 0.0052")
    assert_printed([fit.tau2, fit.tau2_se], "0.0889 0.0205")


def test_three_levels(rows):
    """Table 5, page 71: mean, standard error, and variances between districts and between schools, by ML."""
    fit = bm.frequentist.components(effects(rows, districts=True, year=False), method="ML")
    assert_printed([fit.mu, fit.se[0], fit.tau2, fit.omega2], "0.1845 0.0805 0.0577 0.0329")


def test_three_levels_with_the_year(rows):
    """Table 5, page 71; the intercept is misprinted there as 0.183."""
    fit = bm.frequentist.components(effects(rows, districts=True, year=True), method="ML")
    assert_printed(fit.beta, "0.1780 0.0051")
    assert_printed(fit.se, "0.0805 0.0085")
    assert_printed([fit.tau2, fit.omega2], "0.0565 0.0329")
