"""Egger, Begg, Peters, Harbord and Deeks against metafor, R's lm, and their defining formulas."""

import json
import math
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import bayesmeta as bm
from bayesmeta import frequentist as fq
from bayesmeta.frequentist.asymmetry import PREDICTORS
from bayesmeta.frequentist.rank_test import kendall

GOLDEN = Path(__file__).parents[1] / "golden"
PINNED = json.loads((GOLDEN / "metafor_pubbias_influence.json").read_text(encoding="utf-8"))["datasets"]
EXTRA = json.loads((GOLDEN / "metafor_small_study_extra.json").read_text(encoding="utf-8"))
# In the pinned file REML stopped at metafor's default threshold (1e-5), which shows in the fourth digit;
# the extra file was run to 1e-13 and is held to 1e-8.
LOOSE, ITERATIVE, CLOSED = 5e-4, 1e-8, 1e-10

PINNED_OPTIONS = {
    "rma REML sei": {"model": "rma", "method": "REML", "predictor": "sei"},
    "rma REML vi": {"model": "rma", "method": "REML", "predictor": "vi"},
    "lm sei (Egger)": {},
    "lm vi": {"predictor": "vi"},
    "rma DL sei": {"model": "rma", "method": "DL"},
    "FE sei": {"model": "rma", "method": "FE"},
}
PINNED_CASES = [(name, key) for name, s in PINNED.items() for key in s["regtest"]]
EXTRA_CASES = [(name, key) for name, s in EXTRA["datasets"].items() for key in s["regtest"]]


def effects_of(data):
    return bm.EffectSizes(data["yi"], np.sqrt(data["vi"]), ni=data.get("ni"))


def counts_of(data):
    return bm.TwoByTwo(**data)


MAGNESIUM = EXTRA["count_tests"]["magnesium_mi_egger2001"]["data"]


@pytest.mark.parametrize(("name", "key"), PINNED_CASES)
def test_egger_equals_metafor_on_the_pinned_sets(name, key):
    """Statistic, p-value and limit estimate with its interval are metafor's regtest."""
    expected = PINNED[name]["regtest"][key]
    test = fq.egger(effects_of(PINNED[name]), **PINNED_OPTIONS[key])
    limit = expected["est"]["intrcpt"] if isinstance(expected["est"], dict) else expected["est"]
    tolerance = LOOSE if "REML" in key else CLOSED
    got = [test.statistic, test.p_value, test.limit, *test.limit_ci]
    assert got == pytest.approx(
        [expected["zval"], expected["pval"], limit, expected["ci.lb"], expected["ci.ub"]], rel=tolerance
    )
    assert test.df == expected["dfs"]


@pytest.mark.parametrize(("name", "key"), EXTRA_CASES)
def test_egger_equals_metafor_for_every_predictor_and_model(name, key):
    """All six predictors, as weighted least squares and as mixed-effects models with several tests."""
    expected = EXTRA["datasets"][name]["regtest"][key]
    kind, predictor = key.rsplit(" ", 1)
    method, _, ci = kind.partition("|")
    options = {} if kind == "lm" else {"model": "rma", "method": method, "ci": ci}
    test = fq.egger(effects_of(EXTRA["datasets"][name]), predictor=predictor, **options)
    tolerance = ITERATIVE if method in ("REML", "PM") else CLOSED
    got = [test.statistic, test.p_value, test.slope, test.slope_se]
    assert got == pytest.approx([expected[q] for q in ("zval", "pval", "slope", "se")], rel=tolerance)
    if PREDICTORS[predictor].limit:
        limits = [test.limit, *test.limit_ci]
        assert limits == pytest.approx([expected["est"], expected["lb"], expected["ub"]], rel=tolerance)
    else:
        assert test.limit is None


@pytest.mark.parametrize("name", [n for n, s in EXTRA["datasets"].items() if "mods" in s])
def test_egger_keeps_the_moderators(name):
    """With moderators the predictor is tested beside them, as metafor does."""
    data = EXTRA["datasets"][name]
    X = np.column_stack([np.ones(len(data["yi"])), data["mod_x1"]])
    effects = bm.EffectSizes(data["yi"], np.sqrt(data["vi"]), X=X)
    for key, expected in data["mods"].items():
        method, ci = key.split("|")
        if "reg" in expected:
            test = fq.egger(effects, model="rma", method=method, ci=ci)
            assert [test.statistic, test.p_value] == pytest.approx(expected["reg"], rel=ITERATIVE)
            assert test.limit is None
        lm = fq.egger(effects)
        assert [lm.statistic, lm.p_value] == pytest.approx(expected["reglm"], rel=CLOSED)


def test_egger_slope_is_the_intercept_of_the_classical_form():
    """Weighted least squares of yi on sei is Egger's regression of yi / sei on 1 / sei."""
    data = PINNED["bcg_rr"]
    sei = np.sqrt(data["vi"])
    classical = stats.linregress(1.0 / sei, np.array(data["yi"]) / sei)
    test = fq.egger(effects_of(data))
    assert test.slope == pytest.approx(classical.intercept, rel=1e-12)
    assert test.slope_se == pytest.approx(classical.intercept_stderr, rel=1e-12)
    assert test.limit == pytest.approx(classical.slope, rel=1e-12)


def test_ml_finds_the_higher_of_two_modes():
    """On the magnesium trials the likelihood of the variance model has two modes; ours is the higher one."""
    data = EXTRA["datasets"]["magnesium_or"]
    test = fq.egger(effects_of(data), predictor="vi", model="rma", method="ML")
    yi, vi = np.array(data["yi"]), np.array(data["vi"])
    X = np.column_stack([np.ones(len(yi)), vi])

    def deviance(tau2):
        w = 1.0 / (vi + tau2)
        beta = np.linalg.solve(X.T @ (w[:, None] * X), X.T @ (w * yi))
        return float((w * (yi - X @ beta) ** 2).sum() - np.log(w).sum())

    assert test.tau2 > 0.05
    assert deviance(test.tau2) < deviance(0.0) - 3.0
    assert all(deviance(test.tau2) <= deviance(t) + 1e-9 for t in np.linspace(0.0, 2.0, 2001))


@pytest.mark.parametrize("name", sorted({*PINNED, *EXTRA["datasets"]}))
def test_begg_equals_metafor(name):
    """Kendall's tau and its p-value, exact without ties and tie-corrected with them, are metafor's ranktest."""
    data = PINNED.get(name) or EXTRA["datasets"][name]
    test = fq.begg(effects_of(data))
    assert test.tau == pytest.approx(data["ranktest"]["tau"], rel=1e-12)
    assert test.p_value == pytest.approx(data["ranktest"]["pval"], rel=1e-12)
    assert test.exact == (name not in ("bangert_ties", "ties", "raudenbush1985"))


@pytest.mark.parametrize("n", [3, 4, 5, 6, 7])
def test_kendall_p_is_the_share_of_permutations(n):
    """The exact p-value is the share of orderings at least as discordant or concordant."""
    x = np.arange(n, dtype=float)
    scores = np.array([kendall(x, np.array(p, dtype=float))[3] for p in permutations(range(n))])
    for y in list(permutations(range(n)))[:: max(1, math.factorial(n) // 40)]:
        _, p, exact, S = kendall(x, np.array(y, dtype=float))
        assert exact
        assert p == pytest.approx(min(1.0, 2.0 * float((scores >= abs(S)).mean())), rel=1e-12)


@pytest.mark.parametrize("n", [12, 60, 170])
def test_kendall_agrees_with_scipy(n):
    """scipy's exact Kendall test gives the same tau and p-value."""
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=n), rng.normal(size=n)
    reference = stats.kendalltau(x, y, method="exact")
    tau, p, exact, _ = kendall(x, y)
    assert exact
    assert (tau, p) == pytest.approx((reference.statistic, reference.pvalue), rel=1e-10)


def test_kendall_is_normal_beyond_170_studies_and_with_ties():
    """Large k and ties use scipy's asymptotic test."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=171), rng.normal(size=171)
    for u in (y, np.round(y, 1)):
        tau, p, exact, _ = kendall(x, u)
        reference = stats.kendalltau(x, u, method="asymptotic")
        assert not exact
        assert (tau, p) == pytest.approx((reference.statistic, reference.pvalue), rel=1e-10)


@pytest.mark.parametrize("test", ["peters", "harbord", "deeks"])
@pytest.mark.parametrize("name", sorted(EXTRA["count_tests"]))
def test_count_tests_equal_weighted_least_squares_in_r(name, test):
    """Peters, Harbord (on Z / sqrt(V) against sqrt(V)) and Deeks are R's lm(), double-zero trials left out."""
    expected = EXTRA["count_tests"][name][test]
    got = getattr(fq, test)(counts_of(EXTRA["count_tests"][name]["data"]))
    values = [got.slope, got.slope_se, got.statistic, got.p_value, got.limit]
    assert values == pytest.approx([expected[q] for q in ("slope", "se", "t", "p", "intercept")], rel=1e-9)
    assert got.df == expected["df"]


def test_harbord_score_and_information_are_the_hypergeometric_moments():
    """Z is the excess over the null hypergeometric mean, V that distribution's variance."""
    counts = counts_of(MAGNESIUM)
    test = fq.harbord(counts)
    n = counts.n_treatment + counts.n_control
    null = stats.hypergeom(n, counts.events_treatment + counts.events_control, counts.n_treatment)
    V = null.var()
    Z = counts.events_treatment - null.mean()
    line = stats.linregress(np.sqrt(V), Z / np.sqrt(V))
    assert (test.slope, test.slope_se) == pytest.approx((line.intercept, line.intercept_stderr), rel=1e-9)


def test_count_tests_take_effects_that_carry_counts():
    """Effect sizes computed from counts give the same tests as the counts."""
    counts = counts_of(MAGNESIUM)
    effects = bm.effect_sizes(counts, measure="OR")
    for test in (fq.peters, fq.harbord, fq.deeks):
        assert test(effects).p_value == test(counts).p_value


def test_studies_without_information_are_left_out_by_name():
    """A trial without any event has weight zero in Peters' and Harbord's tests, and the result says so."""
    counts = bm.TwoByTwo([0, 3, 5, 8, 1], [10, 30, 60, 90, 15], [0, 5, 4, 12, 3], [12, 31, 55, 95, 20])
    for test in (fq.peters(counts), fq.harbord(counts)):
        assert test.k == 4
        assert "Study 1" in test.notes[0]
        assert "Study 1" in str(test)


@examples(40)
@given(st.integers(3, 12), st.integers(0, 10**6), st.floats(-5, 5), st.floats(0.01, 100))
def test_egger_is_invariant(k, seed, shift, scale):
    """Moving all effects changes no test; stretching effects and errors changes neither; mirroring flips its sign."""
    rng = np.random.default_rng(seed)
    sei = np.exp(rng.normal(size=k))
    yi = rng.normal(size=k)
    base = fq.egger(bm.EffectSizes(yi, sei)).statistic
    assert fq.egger(bm.EffectSizes(yi + shift, sei)).statistic == pytest.approx(base, rel=1e-6, abs=1e-9)
    assert fq.egger(bm.EffectSizes(yi * scale, sei * scale)).statistic == pytest.approx(base, rel=1e-8, abs=1e-9)
    assert fq.egger(bm.EffectSizes(-yi, sei)).statistic == pytest.approx(-base, rel=1e-9, abs=1e-12)


@examples(60)
@given(st.integers(2, 40), st.integers(0, 10**6), st.floats(0, 6))
def test_tests_of_asymmetry_never_return_nan(k, seed, spread):
    """Over twelve orders of magnitude of variance a test gives finite numbers or an error that says what to do."""
    rng = np.random.default_rng(seed)
    effects = bm.EffectSizes(rng.normal(size=k), 10.0 ** rng.uniform(-spread / 2, spread / 2, size=k))
    for run in (fq.egger, fq.begg, fq.pet_peese, lambda e: fq.egger(e, model="rma", method="DL")):
        try:
            result = run(effects)
        except bm.BayesMetaError:
            continue
        assert math.isfinite(result.p_value)
        assert 0.0 <= result.p_value <= 1.0


EGGER_LIKE = [fq.egger, fq.begg, fq.pet_peese]


@pytest.mark.parametrize("test", EGGER_LIKE)
@pytest.mark.parametrize("k", [1, 2])
def test_too_few_studies_are_refused(test, k):
    """One or two studies cannot show asymmetry, and the message says how many are needed."""
    with pytest.raises(bm.DataError, match="at least 3 studies"):
        test(bm.EffectSizes([0.1, 0.4][:k], [0.1, 0.2][:k]))


@pytest.mark.parametrize("test", EGGER_LIKE)
def test_equal_standard_errors_are_refused(test):
    """Without small and large studies there is nothing to compare."""
    with pytest.raises(bm.DataError, match=r"all \d+ (studies )?have"):
        test(bm.EffectSizes([0.1, 0.4, 0.3, 0.2], [0.2] * 4))


def test_an_exact_fit_is_refused_with_the_way_out():
    """Effects exactly on a line leave no scatter for a t test; the mixed-effects model still answers."""
    sei = np.array([0.1, 0.2, 0.3, 0.5])
    for yi in (np.full(4, 0.3), 0.1 + 2.0 * sei):
        effects = bm.EffectSizes(yi, sei)
        with pytest.raises(bm.DataError, match="model='rma'"):
            fq.egger(effects)
        assert math.isfinite(fq.egger(effects, model="rma", method="DL").p_value)
    with pytest.raises(bm.DataError, match="same effect"):
        fq.begg(bm.EffectSizes(np.full(4, 0.3), sei))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"predictor": "se"}, "Unknown predictor 'se'"),
        ({"model": "ols"}, "Unknown model 'ols'"),
        ({"model": "rma", "method": "XX"}, "Unknown tau2 method"),
        ({"level": 95}, "level is 95"),
    ],
)
def test_unknown_options_are_named(options, message):
    """A wrong option is named with what is known."""
    with pytest.raises(bm.ModelError, match=message):
        fq.egger(effects_of(PINNED["bcg_rr"]), **options)


def test_missing_sample_sizes_and_counts_are_named():
    """Tests that need more than estimates say what to give."""
    effects = effects_of(PINNED["bcg_rr"])
    with pytest.raises(bm.DataError, match="ni="):
        fq.egger(effects, predictor="sqrtninv")
    with pytest.raises(bm.DataError, match="egger"):
        fq.harbord(effects)
    with pytest.raises(bm.DataError, match="at least 3 studies"):
        fq.peters(bm.TwoByTwo([1, 2], [10, 10], [2, 3], [10, 12]))


def test_every_result_prints_its_caution_and_reference():
    """Below ten studies the text says not to rely on the test; above it still says when not to."""
    few = bm.EffectSizes([0.1, 0.5, 0.9], [0.1, 0.2, 0.4])
    many = effects_of(PINNED["bcg_rr"])
    for test in EGGER_LIKE:
        assert "Do not rely on this" in str(test(few))
        assert "Do not rely on this" not in str(test(many))
        assert test(many).reference in str(test(many))
        assert test(many).caution in str(test(many))
        assert len(test(many).to_frame()) >= 1
        assert "nan" not in str(test(many))
