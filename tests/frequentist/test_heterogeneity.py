"""Intervals for tau2 against metafor, against their definitions, and against an independent integral."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

import bayesmeta as bm
from bayesmeta.errors import ModelError
from bayesmeta.frequentist import heterogeneity_intervals, pool, tau2_interval
from bayesmeta.frequentist.quadratic_forms import cdf

FOLDER = Path(__file__).parents[1] / "golden"
GOLDEN = json.loads((FOLDER / "metafor_rma.json").read_text())["datasets"]
GENQ = json.loads((FOLDER / "metafor_mh_peto.json").read_text())["GENQ"]
KINDS = [("DL|z", "confint_Qprofile", "qprofile"), ("ML|z", "confint_PL", "profile_ml")]
KINDS += [("REML|z", "confint_Qprofile", "qprofile"), ("REML|z", "confint_PL", "profile_reml")]
# metafor 3.8 looks for the upper limit only up to ten times the estimate; with DL on this set it stops there.
CUT_OFF_BY_METAFOR = {("normand1999_md", "DL|z")}


def effects_of(data):
    rows = [(y, v) for y, v in zip(data["yi"], data["vi"], strict=True) if y is not None]
    return bm.EffectSizes(yi=[y for y, _ in rows], sei=[v**0.5 for _, v in rows])


@pytest.mark.parametrize(("fit", "key", "method"), KINDS)
@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_intervals_equal_metafor(name, fit, key, method):
    """Q-profile and profile-likelihood limits of tau2, tau, I2 and H2 agree to 1e-7."""
    gold = GOLDEN[name]["fits"][fit][key]
    got = heterogeneity_intervals(effects_of(GOLDEN[name]), method=method)
    for label, interval in (("tau^2", got.tau2), ("tau", got.tau), ("I^2(%)", got.I2), ("H^2", got.H2)):
        assert interval.low == pytest.approx(gold[label]["ci.lb"], rel=1e-7, abs=1e-12)
        if (name, fit) in CUT_OFF_BY_METAFOR:
            assert interval.high > gold[label]["ci.ub"]
        else:
            assert interval.high == pytest.approx(gold[label]["ci.ub"], rel=1e-7, abs=1e-12)


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_q_profile_limits_solve_their_equation(name):
    """Q at each limit is the chi-squared quantile, whatever metafor's search range."""
    effects = effects_of(GOLDEN[name])
    interval = tau2_interval(effects)
    for tau2, p in ((interval.low, 0.975), (interval.high, 0.025)):
        if tau2 > 0:
            w = 1 / (effects.vi + tau2)
            mean = (w * effects.yi).sum() / w.sum()
            q = (w * (effects.yi - mean) ** 2).sum()
            assert q == pytest.approx(stats.chi2.ppf(p, effects.k - 1), rel=1e-11)


@pytest.mark.parametrize("name", sorted(GENQ))
def test_generalised_q_equals_metafor(name):
    """Estimate, standard error and tau2 agree to 1e-10 with weights 1 / (v + mean v)."""
    effects, gold = effects_of(GOLDEN[name]), GENQ[name]
    weights = 1 / (effects.vi + effects.vi.mean())
    fit = pool(effects, method="GENQ", weights=weights)
    got = {
        "se": fit.se, "zval": fit.statistic, "pval": fit.p_value, "ci.lb": fit.ci.low, "ci.ub": fit.ci.high,
        "tau2": fit.tau2, "se.tau2": fit.tau2_se, "I2": fit.I2, "H2": fit.H2, "QE": fit.Q, "QEp": fit.Q_p, "QM": fit.QM,
    }  # fmt: skip
    for quantity, value in got.items():
        assert value == pytest.approx(gold[quantity], rel=1e-10), quantity
    assert fit.mu == pytest.approx(gold["b"]["intrcpt"], rel=1e-10)
    # metafor's distribution of Q is itself good to 1e-4 only.
    interval = tau2_interval(effects, method="generalised_q", weights=weights)
    limits = gold["confint"]["tau^2"]
    assert tuple(interval) == pytest.approx((limits["ci.lb"], limits["ci.ub"]), rel=2e-4)


def imhof_above(x, weights):
    """P(sum of weights times chi-squared > x), by Imhof's integral."""

    def integrand(u):
        angle = 0.5 * (np.arctan(weights * u).sum() - x * u)
        return np.sin(angle) / (u * np.prod((1 + (weights * u) ** 2) ** 0.25))

    value = sum(integrate.quad(integrand, a, a + 5.0, epsabs=1e-13, limit=200)[0] for a in np.arange(0.0, 400.0, 5.0))
    return 0.5 + value / np.pi


@pytest.mark.parametrize("method", ["biggerstaff_jackson", "jackson"])
def test_generalised_q_limits_have_their_tail_probability(method):
    """At each limit Q has probability 0.025 in its tail, by an independent integral."""
    effects = effects_of(GOLDEN["bcg_rr"])
    a = 1 / effects.vi if method == "biggerstaff_jackson" else 1 / effects.sei
    P = np.diag(a) - np.outer(a, a) / a.sum()
    q = float(effects.yi @ P @ effects.yi)
    interval = tau2_interval(effects, method=method)
    for tau2, tail in ((interval.low, 0.025), (interval.high, 0.975)):
        root = np.sqrt(effects.vi + tau2)
        weights = np.linalg.eigvalsh(root[:, None] * P * root)[1:]
        assert imhof_above(q / weights.max(), weights / weights.max()) == pytest.approx(tail, abs=1e-7)


@pytest.mark.parametrize("df", [1, 2, 7, 40, 300])
@pytest.mark.parametrize("p", [1e-6, 0.025, 0.5, 0.975])
def test_equal_weights_are_chi_squared(df, p):
    """With equal weights the distribution is chi-squared, scaled."""
    assert cdf(3.0 * stats.chi2.ppf(p, df), np.full(df, 3.0)) == pytest.approx(p, abs=1e-12)


def test_distribution_of_unequal_weights_equals_imhof():
    """Weights across two orders of magnitude: both integrals agree."""
    weights = np.array([1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01])
    for x in (0.2, 1.0, 4.0):
        assert 1.0 - cdf(x, weights) == pytest.approx(imhof_above(x, weights), abs=1e-8)


def test_an_empty_interval_says_so():
    """Effects closer than their standard errors allow give (0, 0) and a rule that explains it."""
    interval = tau2_interval(bm.EffectSizes(yi=[0.2, 0.21, 0.19, 0.22], sei=[0.2, 0.14, 0.22, 0.17]))
    assert tuple(interval) == (0.0, 0.0)
    assert "empty" in interval.rule


@pytest.mark.parametrize(
    ("options", "message"),
    [({"method": "qprofil"}, "qprofile"), ({"level": 2}, "0.95"), ({"method": "generalised_q"}, "weights")],
)
def test_wrong_options_are_named(options, message):
    """An unknown method, an impossible level and missing weights are errors."""
    with pytest.raises(ModelError, match=message):
        tau2_interval(bm.EffectSizes(yi=[0.2, 0.5], sei=[0.2, 0.1]), **options)


def test_one_study_has_no_interval():
    """tau2 needs at least two studies."""
    with pytest.raises(ModelError, match="more studies"):
        tau2_interval(bm.EffectSizes(yi=[0.2], sei=[0.2]))


@pytest.mark.parametrize("method", ["qprofile", "biggerstaff_jackson", "jackson", "profile_ml", "profile_reml"])
@pytest.mark.parametrize("seed", range(4))
def test_intervals_are_finite_and_ordered_on_wide_variances(method, seed):
    """Variances over ten orders of magnitude: limits are finite, ordered and scale with the data."""
    rng = np.random.default_rng(seed)
    v = 10.0 ** rng.uniform(-10, 0, 7)
    y = rng.normal(size=7) * np.sqrt(v + 0.01)
    one = tau2_interval(bm.EffectSizes(yi=y, sei=np.sqrt(v)), method=method)
    big = tau2_interval(bm.EffectSizes(yi=y * 2.0**20, sei=np.sqrt(v) * 2.0**20), method=method)
    assert 0.0 <= one.low <= one.high < np.inf
    assert tuple(big) == pytest.approx(tuple(x * 2.0**40 for x in one), rel=1e-9)


def test_result_prints_and_tabulates():
    """The block names the rule and the reference; the frame has one row a quantity."""
    result = heterogeneity_intervals(effects_of(GOLDEN["bcg_rr"]))
    assert "Q-profile" in str(result)
    assert "Viechtbauer" in str(result)
    assert list(result.to_frame()["quantity"]) == ["tau2", "tau", "I2", "H2"]
