"""Viechtbauer 2007, Stat Med 26:37-52: intervals for tau2 of Collins' diuretics, Table II, page 44."""

import pytest
from as_printed import DATA, assert_printed

import bayesmeta as bm


@pytest.fixture(scope="module")
def effects():
    """Return the log odds ratios of pre-eclampsia."""
    return bm.effect_sizes(bm.read_studies(DATA / "diuretics_preeclampsia_collins1985b.csv"), "OR")


def test_estimates_are_those_of_the_table(effects):
    """DerSimonian-Laird, ML, REML and Sidik-Jonkman."""
    found = [bm.frequentist.pool(effects, method=method).tau2 for method in ("DL", "ML", "REML", "SJ")]
    assert_printed(found, "0.2297 0.2386 0.3008 0.4563")


@pytest.mark.parametrize(
    ("method", "interval"),
    [
        ("qprofile", "0.0723 2.2027"),
        ("profile_ml", "0.027 1.131"),
        ("profile_reml", "0.043 1.475"),
    ],
)
def test_intervals_are_those_of_the_table(effects, method, interval):
    """Q-profile and both profile likelihoods."""
    assert_printed(list(bm.frequentist.tau2_interval(effects, method=method)), interval)
