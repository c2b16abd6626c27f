"""Pooling: every case of metafor's rma(), interval and prediction rules, hard and impossible data."""

import json
from dataclasses import FrozenInstanceError
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import bayesmeta as bm
from bayesmeta.errors import ConvergenceError, DataError, ModelError
from bayesmeta.frequentist import TAU2_ESTIMATORS, pool, prediction_interval
from bayesmeta.frequentist.likelihood import log_likelihood
from bayesmeta.frequentist.normal_form import model_of

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "metafor_rma.json").read_text())["datasets"]
RULES = {"z": "wald", "knha": "hksj", "adhoc": "adhoc", "t": "t"}
CASES = [(data, fit) for data in GOLDEN for fit in GOLDEN[data]["fits"]]
CLOSED = 1e-10
ITERATIVE = 1e-6


def effects_of(data):
    rows = [(y, v) for y, v in zip(data["yi"], data["vi"], strict=True) if y is not None]
    return bm.EffectSizes(yi=[y for y, _ in rows], sei=[v**0.5 for _, v in rows])


@pytest.mark.parametrize(("name", "key"), CASES)
def test_pool_equals_metafor(name, key):
    """Every quantity of every golden fit agrees, closed forms to 1e-10 and iterative estimators to 1e-6."""
    method, test = key.split("|")
    gold = GOLDEN[name]["fits"][key]
    fit = pool(effects_of(GOLDEN[name]), method=method, ci=RULES[test])
    got = {
        "se": fit.se, "zval": fit.statistic, "pval": fit.p_value, "ci.lb": fit.ci.low, "ci.ub": fit.ci.high,
        "ddf": fit.df, "tau2": fit.tau2, "se.tau2": fit.tau2_se, "I2": fit.I2, "H2": fit.H2, "QE": fit.Q,
        "QEp": fit.Q_p, "QM": fit.QM, "QMp": fit.QM_p, "k": fit.k, "R2": fit.R2, "logLik": fit.log_likelihood,
    }  # fmt: skip
    tolerance = ITERATIVE if TAU2_ESTIMATORS[method].iterative else CLOSED
    # metafor stops a hair above a boundary maximum, where tau2 and I2 are 0.
    floor = {"tau2": 1e-12, "I2": 1e-9}
    for quantity, value in got.items():
        want = gold[quantity]
        assert (value is None) == (want is None), quantity
        if value is not None:
            assert value == pytest.approx(want, rel=tolerance, abs=floor.get(quantity, 0.0)), quantity
    assert fit.mu == pytest.approx(gold["b"]["intrcpt"], rel=tolerance)
    assert (fit.prediction is None) == (gold["predict"]["pi.lb"] is None)
    if fit.prediction is not None:
        assert tuple(fit.prediction) == pytest.approx(
            (gold["predict"]["pi.lb"], gold["predict"]["pi.ub"]), rel=tolerance, abs=1e-9
        )
    if "weights" in gold:
        assert fit.weights == pytest.approx(gold["weights"], rel=tolerance)


@pytest.mark.parametrize("method", sorted(TAU2_ESTIMATORS))
def test_weights_are_percentages(method):
    """Weights sum to 100 and follow the order of the studies."""
    fit = pool(bm.EffectSizes(yi=[0.1, 0.9, 0.2], sei=[0.4, 0.1, 0.2]), method=method)
    assert fit.weights.sum() == pytest.approx(100.0, rel=1e-14)
    assert fit.weights.argmax() == 1


def test_q_and_mean_equal_exact_rational_arithmetic():
    """Q, mu and the DL tau2 equal the values of exact fractions to the last digits."""
    yi, sei = [0.1, 0.5, -0.3, 0.25], [0.125, 0.25, 0.5, 0.375]
    w = [1 / Fraction(s) ** 2 for s in sei]
    y = [Fraction(v) for v in yi]
    total = sum(w)
    mean = sum(a * b for a, b in zip(w, y, strict=True)) / total
    q = sum(a * (b - mean) ** 2 for a, b in zip(w, y, strict=True))
    tau2 = max(Fraction(0), (q - 3) / (total - sum(a * a for a in w) / total))
    fit = pool(bm.EffectSizes(yi=yi, sei=sei), method="DL")
    assert pytest.approx(float(q), rel=4e-16) == fit.Q
    assert fit.tau2 == pytest.approx(float(tau2), rel=4e-15)
    assert pool(fit.effects, method="EE").mu == pytest.approx(float(mean), rel=4e-16)


def test_prediction_rules_are_named_and_differ_as_published():
    """HTS uses t(k - 2), HKSJ t(k - 1) with its own standard error, metafor's rule the quantile of the interval."""
    effects = bm.EffectSizes(yi=[0.1, 0.6, -0.3, 0.4, 0.9], sei=[0.2, 0.15, 0.25, 0.3, 0.2])
    fit, hk = pool(effects, method="REML"), pool(effects, method="REML", ci="hksj")
    expected = {
        "metafor": stats.norm.ppf(0.975) * np.sqrt(fit.se**2 + fit.tau2),
        "hts": stats.t.ppf(0.975, 3) * np.sqrt(fit.se**2 + fit.tau2),
        "riley": stats.t.ppf(0.975, 3) * np.sqrt(fit.se**2 + fit.tau2),
        "hksj": stats.t.ppf(0.975, 4) * np.sqrt(hk.se**2 + fit.tau2),
    }
    for rule, half in expected.items():
        interval = pool(effects, method="REML", prediction=rule).prediction
        assert interval.high - fit.mu == pytest.approx(half, rel=1e-12)
        assert interval.kind == "prediction"
        assert interval.rule.startswith(rule)
        assert tuple(prediction_interval(fit, rule)) == tuple(interval)
    assert hk.prediction.high - hk.mu == pytest.approx(expected["hksj"], rel=1e-12)
    assert "hts (t, 3 df)" in str(pool(effects, prediction="hts"))


def test_two_studies_have_no_hts_interval():
    """t(k - 2) does not exist for two studies: the interval is absent, not infinite."""
    assert pool(bm.EffectSizes(yi=[0.1, 0.5], sei=[0.2, 0.3]), prediction="hts").prediction is None


@pytest.mark.parametrize("method", sorted(TAU2_ESTIMATORS))
def test_one_study_is_its_own_estimate(method):
    """With k = 1 the estimate is the study's, tau2 is 0 with a note, and there is nothing to predict from."""
    fit = pool(bm.EffectSizes(yi=[0.3], sei=[0.1]), method=method)
    assert (fit.mu, fit.se) == pytest.approx((0.3, 0.1), rel=1e-15)
    assert (fit.tau2, fit.I2, fit.H2, fit.Q, fit.Q_p) == (0.0, 0.0, 1.0, 0.0, 1.0)
    assert fit.prediction is None
    assert fit.tau2_ci is None
    assert "single study" in str(fit)


@pytest.mark.parametrize("ci", ["hksj", "adhoc", "t"])
def test_t_intervals_need_two_studies(ci):
    """t with 0 degrees of freedom is refused, with what to use instead."""
    with pytest.raises(ModelError, match="wald"):
        pool(bm.EffectSizes(yi=[0.3], sei=[0.1]), ci=ci)


def test_hksj_of_equal_effects_is_refused():
    """Equal effects would give a Hartung-Knapp interval of width 0; the message names the remedies."""
    equal = bm.EffectSizes(yi=[0.3] * 4, sei=[0.1, 0.2, 0.3, 0.4])
    with pytest.raises(ConvergenceError, match="adhoc"):
        pool(equal, ci="hksj")
    assert pool(equal, ci="adhoc").se == pytest.approx(pool(equal).se, rel=1e-15)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"method": "RMEL"}, "REML"),
        ({"ci": "hkjs"}, "hksj"),
        ({"prediction": "htz"}, "hts"),
        ({"level": 95}, "0.95"),
        ({"method": "GENQ"}, "weights"),
        ({"weights": [1, 1, 1], "ci": "hksj"}, "wald"),
    ],
)
def test_unknown_options_say_what_is_known(option, message):
    """A misspelt option names its nearest neighbour or the rule it breaks."""
    with pytest.raises(ModelError, match=message):
        pool(bm.EffectSizes(yi=[0.3, 0.1, 0.2], sei=[0.1, 0.1, 0.1]), **option)


@pytest.mark.parametrize("weights", [[1, 2], [1, 2, 0], [1, 2, np.nan]])
def test_fixed_weights_must_be_positive(weights):
    """A weight that is missing, zero or not a number is an error that names the study."""
    with pytest.raises(DataError, match="weight"):
        pool(bm.EffectSizes(yi=[0.3, 0.1, 0.2], sei=[0.1, 0.1, 0.1]), method="GENQ", weights=weights)


def test_genq_with_inverse_variance_weights_is_dl_and_with_equal_weights_he():
    """The generalised method of moments contains DerSimonian-Laird and Hedges."""
    effects = effects_of(GOLDEN["bcg_rr"])
    dl = pool(effects, method="GENQ", weights=1 / effects.vi)
    he = pool(effects, method="GENQ", weights=np.ones(effects.k))
    assert (dl.tau2, dl.tau2_se) == pytest.approx(
        (pool(effects, method="DL").tau2, pool(effects, method="DL").tau2_se), rel=1e-13
    )
    want = pool(effects, method="HE")
    assert (he.tau2, he.tau2_se) == pytest.approx((want.tau2, want.tau2_se), rel=1e-13)


def test_result_is_frozen_and_prints_its_rules():
    """A fit cannot be changed, and prints estimate, intervals, heterogeneity and reference in one block."""
    fit = pool(bm.EffectSizes(yi=[0.1, 0.5, -0.3], sei=[0.1, 0.2, 0.3], measure="OR"), method="DL")
    with pytest.raises(FrozenInstanceError):
        fit.tau2 = 1.0
    text = str(fit)
    for piece in ("confidence interval (Wald)", "prediction interval", "Q-profile", "I2 = 64.0%", "DerSimonian"):
        assert piece in text
    frame = fit.to_frame()
    assert frame.loc[0, "estimate"] == fit.mu
    assert frame.loc[0, "ci_rule"] == "wald"


studies = st.integers(2, 40).flatmap(
    lambda k: st.tuples(
        # Effects of six decimals: what is scaled by a power of two must stay exact, so nothing may underflow.
        st.lists(st.integers(-3_000_000, 3_000_000).map(lambda n: n / 1e6), min_size=k, max_size=k),
        st.lists(st.floats(0.05, 2), min_size=k, max_size=k),
    )
)


@pytest.mark.parametrize("method", sorted(TAU2_ESTIMATORS))
@examples(25)
@given(data=studies, shift=st.floats(-5, 5), power=st.integers(-30, 30), seed=st.integers(0, 100))
def test_location_scale_and_order(method, data, shift, power, seed):
    """Moving all effects changes tau2 not at all, stretching by c multiplies it by c^2, order does not matter."""
    y, s = np.array(data[0]), np.array(data[1])
    c = 2.0**power
    base = pool(bm.EffectSizes(yi=y, sei=s), method=method)
    scaled = pool(bm.EffectSizes(yi=c * y, sei=c * s), method=method)
    assert (scaled.tau2, scaled.mu, scaled.Q) == (base.tau2 * c**2, base.mu * c, base.Q)
    floor = 1e-7 * float(s.min()) ** 2
    moved = pool(bm.EffectSizes(yi=y + shift, sei=s), method=method)
    assert moved.tau2 == pytest.approx(base.tau2, rel=1e-7, abs=floor)
    assert moved.mu == pytest.approx(base.mu + shift, rel=1e-7, abs=1e-7)
    order = np.random.default_rng(seed).permutation(len(y))
    shuffled = pool(bm.EffectSizes(yi=y[order], sei=s[order]), method=method)
    assert shuffled.tau2 == pytest.approx(base.tau2, rel=1e-7, abs=floor)
    assert shuffled.weights == pytest.approx(base.weights[order], rel=1e-6)


def hard_data(seed):
    rng = np.random.default_rng(seed)
    k = int(rng.choice([2, 3, 4, 6, 12, 40, 500], p=[0.25, 0.2, 0.15, 0.15, 0.1, 0.1, 0.05]))
    v = 10.0 ** (rng.uniform(-rng.choice([0, 4, 12]), 0, k) + rng.choice([0, -16, 16]))
    kind = rng.integers(5)
    if kind == 0:
        return np.full(k, rng.normal()), v
    if kind == 1:
        v[0] = v.min() * 1e-6
        return rng.integers(0, 2, k).astype(float), v
    spread = [np.sqrt(v), np.sqrt(v.max()), 10.0 ** rng.uniform(-8, 8)][kind - 2]
    return rng.normal(size=k) * spread, v


@pytest.mark.parametrize("method", sorted(TAU2_ESTIMATORS))
@examples(60)
@given(seed=st.integers(0, 2**32 - 1))
def test_hard_data_give_finite_results(method, seed):
    """From 2 to 500 studies, variances over 12 orders of magnitude, equal effects, a giant study: never NaN."""
    y, v = hard_data(seed)
    effects = bm.EffectSizes(yi=y, sei=np.sqrt(v))
    for ci in ("wald", "hksj", "adhoc", "t"):
        if ci == "hksj" and np.ptp(y) == 0:
            with pytest.raises(ConvergenceError, match="adhoc"):
                pool(effects, method=method, ci=ci)
            continue
        fit = pool(effects, method=method, ci=ci)
        values = [fit.mu, fit.se, fit.tau2, fit.I2, fit.H2, fit.Q, fit.Q_p, fit.p_value, *fit.ci, *fit.weights]
        values += [] if fit.tau2_se is None else [fit.tau2_se]
        values += [] if fit.prediction is None else [*fit.prediction]
        assert np.isfinite(values).all()


@pytest.mark.parametrize("method", ["ML", "REML"])
@examples(40)
@given(seed=st.integers(0, 2**32 - 1))
def test_likelihood_maximum_is_global(method, seed):
    """No tau2 on a fine grid over 24 orders of magnitude has a higher likelihood than the estimate."""
    y, v = hard_data(seed)
    if len(y) > 50:
        y, v = y[:50], v[:50]
    effects = bm.EffectSizes(yi=y, sei=np.sqrt(v))
    model = model_of(effects)
    restricted = method == "REML"
    best = log_likelihood(model, pool(effects, method=method).tau2 / model.scale**2, restricted=restricted)
    for t in [0.0, *np.geomspace(1e-6, 1e18, 300)]:
        assert log_likelihood(model, t, restricted=restricted) <= best + 1e-9 * max(1.0, abs(best))


def test_the_higher_of_two_modes_is_the_estimate():
    """Where the restricted likelihood has two local maxima, inner or at 0, the higher one is found."""
    grid = np.concatenate([[0.0], np.geomspace(1e-3, 1e7, 1500)])
    with_two = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        y = np.concatenate([rng.normal(0, 0.02, 2), rng.normal(0, 2.0, 2)])
        effects = bm.EffectSizes(yi=y, sei=[0.01, 0.01, 1.0, 1.0])
        model = model_of(effects)
        ll = np.array([log_likelihood(model, float(t), restricted=True) for t in grid])
        peaks = int(((ll[1:-1] > ll[:-2]) & (ll[1:-1] > ll[2:])).sum()) + int(ll[0] > ll[1])
        with_two += peaks > 1
        estimate = pool(effects, method="REML").tau2 / model.scale**2
        assert log_likelihood(model, estimate, restricted=True) >= ll.max() - 1e-10
    assert with_two > 0


@pytest.mark.parametrize("seed", range(6))
def test_twelve_orders_of_magnitude_lose_no_digits(seed):
    """With sampling variances from 1e-12 to 1, DL's tau2, its standard error and mu equal exact fractions."""
    rng = np.random.default_rng(seed)
    sei = 2.0 ** -rng.integers(0, 20, 6)
    sei[0] = 2.0**-20
    y = [Fraction(int(a), 1024) for a in rng.integers(-3000, 3000, 6)]
    w = [1 / Fraction(float(s)) ** 2 for s in sei]
    total = sum(w)
    mean = sum(a * b for a, b in zip(w, y, strict=True)) / total
    q = sum(a * (b - mean) ** 2 for a, b in zip(w, y, strict=True))
    s2, s3 = sum(a**2 for a in w), sum(a**3 for a in w)
    trace, squared = total - s2 / total, s2 - 2 * s3 / total + s2**2 / total**2
    tau2 = max(Fraction(0), (q - 5) / trace)
    variance = 10 + 4 * tau2 * trace + 2 * tau2**2 * squared
    fit = pool(bm.EffectSizes(yi=[float(v) for v in y], sei=sei), method="DL")
    again = [1 / (1 / a + tau2) for a in w]
    mu = sum(a * b for a, b in zip(again, y, strict=True)) / sum(again)
    assert fit.tau2 == pytest.approx(float(tau2), rel=1e-13)
    assert fit.tau2_se == pytest.approx(float(variance) ** 0.5 / float(trace), rel=1e-12)
    assert fit.mu == pytest.approx(float(mu), rel=1e-12, abs=1e-14)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (bm.TwoByTwo([1], [10], [2], [10]), "takes EffectSizes, but was given TwoByTwo"),
        ([0.1, 0.2], "takes EffectSizes, but was given list"),
        (bm.EffectSizes(yi=[0.1, 0.2], sei=[1, 1], measure="0R"), "Unknown effect measure '0R'"),
    ],
)
def test_only_effect_sizes_of_a_known_measure_are_pooled(given, message):
    """Counts, lists and effects of an unknown measure are refused with what to do."""
    with pytest.raises(bm.BayesMetaError, match=message):
        pool(given)
