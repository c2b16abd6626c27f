"""Counts pooled directly: metafor's rma.mh and rma.peto, Review Manager's random effects, impossible tables."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st

import bayesmeta as bm
from bayesmeta.errors import DataError, ModelError
from bayesmeta.frequentist import mantel_haenszel, peto, pool
from bayesmeta.studies import PersonTime

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((ROOT / "tests" / "golden" / "metafor_mh_peto.json").read_text())["mh_peto"]
CASES = [(data, key) for data in GOLDEN for key in GOLDEN[data] if key not in ("data", "peto")]


def counts_of(data):
    return bm.TwoByTwo(data["ai"], data["n1i"], data["ci"], data["n2i"])


def check(fit, gold):
    got = {
        "b": fit.mu, "se": fit.se, "zval": fit.statistic, "pval": fit.p_value, "ci.lb": fit.ci.low,
        "ci.ub": fit.ci.high, "QE": fit.Q, "QEp": fit.Q_p, "I2": fit.I2, "H2": fit.H2, "k": fit.k,
    }  # fmt: skip
    for quantity, value in got.items():
        assert value == pytest.approx(gold[quantity], rel=1e-10), quantity


@pytest.mark.parametrize(("name", "key"), CASES)
def test_mantel_haenszel_equals_metafor(name, key):
    """Estimates, heterogeneity and the four tests agree to 1e-10, with and without corrections."""
    gold = GOLDEN[name][key]
    fit = mantel_haenszel(
        counts_of(GOLDEN[name]["data"]),
        measure=key.split("|")[1],
        add=0.5 if "add=0.5" in key else 0.0,
        correct="correct=FALSE" not in key,
    )
    check(fit, gold)
    if gold["MH"] is None:
        assert fit.tests == ()
    else:
        for test, label in zip(fit.tests, ("MH", "CO", "BD", "TA"), strict=True):
            assert test.statistic == pytest.approx(gold[label], rel=1e-10)
            assert test.p_value == pytest.approx(gold[label + "p"], rel=1e-10)


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_peto_equals_metafor(name):
    """Peto's estimate and heterogeneity agree to 1e-10."""
    check(peto(counts_of(GOLDEN[name]["data"])), GOLDEN[name]["peto"])


def stenting(outcome):
    with (ROOT / "data" / "rescue_stenting.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["outcome"] == outcome]
    columns = ("events_treatment", "n_treatment", "events_control", "n_control")
    return bm.TwoByTwo(*([float(r[c]) for r in rows] for c in columns), study=tuple(r["study"] for r in rows))


def published(outcome):
    with (ROOT / "data" / "rescue_stenting_published.csv").open(encoding="utf-8") as file:
        return next(row for row in csv.DictReader(file) if row["outcome"] == outcome)


@pytest.mark.parametrize("outcome", ["favourable_outcome", "mortality", "symptomatic_ich"])
def test_random_effects_equal_the_published_stenting_figures(outcome):
    """Odds ratio, limits, p and I2 agree with Premat 2020 at every printed digit."""
    fit, printed = mantel_haenszel(stenting(outcome), random=True), published(outcome)
    for value, column in ((fit.mu, "or"), (fit.ci.low, "ci_low"), (fit.ci.high, "ci_high")):
        assert f"{np.exp(value):.2f}" == printed[column]
    assert f"{fit.I2:.0f}" == printed["i2_percent"]
    if printed["p"].startswith("<"):
        assert fit.p_value < float(printed["p"][1:])
    else:
        assert f"{fit.p_value:.2f}" == printed["p"]


def test_random_effects_differ_from_dersimonian_laird():
    """Mortality: Q about the Mantel-Haenszel estimate gives I2 43.3, plain DL 41.7, and other limits."""
    fit = mantel_haenszel(stenting("mortality"), random=True)
    plain = pool(fit.effects, method="DL")
    assert [round(float(x), 3) for x in np.exp([fit.mu, *fit.ci])] == [0.385, 0.159, 0.935]
    assert [round(float(x), 3) for x in np.exp([plain.mu, *plain.ci])] == [0.390, 0.163, 0.930]
    assert (round(fit.I2, 1), round(plain.I2, 1)) == (43.3, 41.7)


@pytest.mark.parametrize("measure", ["OR", "RR", "RD"])
def test_random_effects_follow_their_definition(measure):
    """Q about the estimate of the corrected tables, DL's tau2 from that Q, then inverse variance."""
    table = bm.TwoByTwo([0, 5, 9], [40, 50, 60], [4, 9, 20], [41, 52, 58])
    fit = mantel_haenszel(table, measure=measure, random=True)
    a, n1, c, n2 = [0.5, 5, 9], [41, 50, 60], [4.5, 9, 20], [42, 52, 58]
    a, n1, c, n2 = (np.array(x, dtype=float) for x in (a, n1, c, n2))
    b, d, n = n1 - a, n2 - c, n1 + n2
    if measure == "OR":
        y, v = np.log(a * d / (b * c)), 1 / a + 1 / b + 1 / c + 1 / d
        center = np.log((a * d / n).sum() / (b * c / n).sum())
    elif measure == "RR":
        y, v = np.log(a / n1 / (c / n2)), 1 / a - 1 / n1 + 1 / c - 1 / n2
        center = np.log((a * n2 / n).sum() / (c * n1 / n).sum())
    else:
        y, v = a / n1 - c / n2, a * b / n1**3 + c * d / n2**3
        center = ((a * n2 - c * n1) / n).sum() / (n1 * n2 / n).sum()
    w = 1 / v
    q = (w * (y - center) ** 2).sum()
    tau2 = max(0.0, (q - 2) / (w.sum() - (w**2).sum() / w.sum()))
    mean = (y / (v + tau2)).sum() / (1 / (v + tau2)).sum()
    assert (fit.Q, fit.tau2, fit.mu) == pytest.approx((q, tau2, mean), rel=1e-12)
    assert pytest.approx(max(0.0, 100 * (q - 2) / q), rel=1e-12) == fit.I2
    assert "Study 1" in str(fit)


@pytest.mark.parametrize("measure", ["OR", "RR"])
@pytest.mark.parametrize("random", [False, True])
def test_double_zero_studies_change_nothing_in_ratios_and_are_named(measure, random):
    """A study without events carries no information on a ratio; it keeps weight 0 and a note."""
    with_zero = bm.TwoByTwo([0, 5, 9], [40, 50, 60], [0, 9, 20], [41, 52, 58], study=("empty", "b", "c"))
    fit = mantel_haenszel(with_zero, measure=measure, random=random)
    rest = mantel_haenszel(with_zero.drop(["empty"]), measure=measure, random=random)
    assert (fit.mu, fit.se, fit.Q, fit.Q_df, fit.I2) == pytest.approx((rest.mu, rest.se, rest.Q, rest.Q_df, rest.I2))
    assert fit.weights[0] == 0.0
    assert fit.weights.sum() == pytest.approx(100.0)
    assert "empty" in str(fit)


def test_double_zero_studies_count_for_risk_differences():
    """A study without events pulls the pooled risk difference towards 0."""
    with_zero = bm.TwoByTwo([0, 5, 9], [400, 50, 60], [0, 9, 20], [410, 52, 58], study=("empty", "b", "c"))
    fit = mantel_haenszel(with_zero, measure="RD")
    assert abs(fit.mu) < abs(mantel_haenszel(with_zero.drop(["empty"]), measure="RD").mu)
    assert "empty" in str(fit)


@pytest.mark.parametrize(
    ("table", "options"),
    [
        (bm.TwoByTwo([0, 0], [10, 12], [3, 4], [10, 12]), {}),
        (bm.TwoByTwo([3, 4], [10, 12], [0, 0], [10, 12]), {"measure": "RR"}),
        (bm.TwoByTwo([0, 0], [10, 12], [0, 0], [10, 12]), {}),
        (bm.TwoByTwo([0, 0], [10, 12], [0, 0], [10, 12]), {"random": True}),
        (bm.TwoByTwo([0, 0], [10, 12], [0, 0], [10, 12]), {"measure": "RD"}),
        (bm.TwoByTwo([10, 12], [10, 12], [10, 12], [10, 12]), {"measure": "RR"}),
    ],
)
def test_effects_that_do_not_exist_are_refused(table, options):
    """No events in one arm of any study, or in both: an error that names a model which copes."""
    with pytest.raises(DataError, match=r"binomial_normal|RD"):
        mantel_haenszel(table, **options)


def test_peto_without_information_is_refused():
    """Peto's method needs a study with events and non-events."""
    with pytest.raises(DataError, match="hypergeometric_normal"):
        peto(bm.TwoByTwo([0], [10], [0], [10]))


def test_measures_and_counts_must_match():
    """Rates need person-time, odds ratios 2x2 counts; an unknown measure names its neighbour."""
    table = bm.TwoByTwo([1], [10], [2], [10])
    rates = PersonTime([3, 5], [100, 200], [6, 9], [110, 190])
    for counts, measure in ((table, "IRR"), (rates, "OR"), (table, "ORR")):
        with pytest.raises(ModelError):
            mantel_haenszel(counts, measure=measure)


def test_rate_ratio_and_difference_follow_their_formulas():
    """The Mantel-Haenszel rate ratio and difference, with the variances of Rothman and Greenland."""
    x1, t1, x2, t2 = (np.array(x, dtype=float) for x in ([9, 8, 3], [413, 263, 487], [18, 21, 10], [410, 250, 470]))
    t = t1 + t2
    ratio = mantel_haenszel(PersonTime(x1, t1, x2, t2), measure="IRR")
    R, S = (x1 * t2 / t).sum(), (x2 * t1 / t).sum()
    assert ratio.mu == pytest.approx(np.log(R / S), rel=1e-14)
    assert ratio.se**2 == pytest.approx(((x1 + x2) * t1 * t2 / t**2).sum() / (R * S), rel=1e-13)
    difference = mantel_haenszel(PersonTime(x1, t1, x2, t2), measure="IRD")
    W = (t1 * t2 / t).sum()
    assert difference.mu == pytest.approx(((x1 * t2 - x2 * t1) / t).sum() / W, rel=1e-13)
    want = ((t1 * t2 / t) ** 2 * (x1 / t1**2 + x2 / t2**2)).sum() / W**2
    assert difference.se**2 == pytest.approx(want, rel=1e-13)
    random = mantel_haenszel(PersonTime(x1, t1, x2, t2), measure="IRR", random=True)
    y, v = np.log(x1 / t1 / (x2 / t2)), 1 / x1 + 1 / x2
    assert pytest.approx(((y - ratio.mu) ** 2 / v).sum(), rel=1e-12) == random.Q


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([1.5], [10], [1], [10]), "whole number"),
        (([1], [0], [1], [10]), "> 0"),
        (([1, 2], [10], [1], [10]), "one value per study"),
    ],
)
def test_impossible_person_time_is_refused(columns, message):
    """Fractional events, no time at risk and unequal lengths are errors."""
    with pytest.raises(DataError, match=message):
        PersonTime(*columns)


tables = st.integers(1, 6).flatmap(lambda k: st.lists(st.tuples(*[st.integers(1, 30)] * 4), min_size=k, max_size=k))


@examples(60)
@given(rows=tables)
def test_swapping_arms_flips_the_sign(rows):
    """Treatment and control exchanged: log ratios and differences change sign, standard errors do not."""
    a, b, c, d = np.array(rows, dtype=float).T
    table, swapped = bm.TwoByTwo(a, a + b, c, c + d), bm.TwoByTwo(c, c + d, a, a + b)
    for measure in ("OR", "RR", "RD"):
        for random in (False, True):
            one, other = (mantel_haenszel(t, measure=measure, random=random) for t in (table, swapped))
            assert one.mu == pytest.approx(-other.mu, rel=1e-9, abs=1e-12)
            assert one.se == pytest.approx(other.se, rel=1e-9)
    assert peto(table).mu == pytest.approx(-peto(swapped).mu, rel=1e-9, abs=1e-12)


def test_one_study_gives_its_own_odds_ratio():
    """With one table Mantel-Haenszel returns that table's odds ratio and Woolf's standard error."""
    fit = mantel_haenszel(bm.TwoByTwo([5], [20], [9], [25]))
    assert fit.mu == pytest.approx(np.log(5 * 16 / (15 * 9)), rel=1e-14)
    assert fit.se == pytest.approx(np.sqrt(1 / 5 + 1 / 15 + 1 / 9 + 1 / 16), rel=1e-14)
    for one in (fit, *(mantel_haenszel(bm.TwoByTwo([10], [29], [24], [56]), measure=m) for m in ("OR", "RR", "RD"))):
        assert (one.Q, one.Q_df, one.Q_p, one.I2, one.H2) == (0.0, 0, 1.0, 0.0, 1.0)
    random = mantel_haenszel(bm.TwoByTwo([10], [29], [24], [56]), random=True)
    assert (random.I2, random.tau2, random.prediction) == (0.0, 0.0, None)


def test_rate_test_follows_its_formula():
    """The test of equal rates compares events with their share of person-time, 0.5 taken off for continuity."""
    x1, t1, x2, t2 = (np.array(x, dtype=float) for x in ([9, 8], [413, 263], [18, 21], [410, 250]))
    (test,) = mantel_haenszel(PersonTime(x1, t1, x2, t2), measure="IRR").tests
    t = t1 + t2
    excess = abs((x1 - (x1 + x2) * t1 / t).sum()) - 0.5
    assert test.statistic == pytest.approx(excess**2 / ((x1 + x2) * t1 * t2 / t**2).sum(), rel=1e-13)
