"""REML and ML of several variance components, and cluster-robust covariances, against metafor and clubSandwich."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta.errors import DataError, ModelError
from bayesmeta.frequentist.robust import KINDS

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "metafor_components.json").read_text())
FITS = [(d, name) for d in ("bornmann2007", "knapp2017") for name in GOLDEN[d] if name not in ("data", "V")]


def data(name, fit):
    """Return the effect sizes of a data set, with the moderator that the fit's name states."""
    columns = GOLDEN[name]["data"]
    n = len(columns["yi"])
    moderators = {"~type": [float(t == "Grant") for t in columns.get("type", [])], "~diff": columns.get("difficulty")}
    chosen = next((column for key, column in moderators.items() if key in fit), None)
    given = {"V": GOLDEN[name]["V"]} if "V" in GOLDEN[name] else {"vi": columns["vi"]}
    X = None if chosen is None else np.column_stack([np.ones(n), chosen])
    study = [str(label) for label in columns["study"]]
    terms = () if chosen is None else ("intercept", "moderator")
    return bm.EffectSizes(columns["yi"], study=study, X=X, terms=terms, measure="SMD", **given)


def fitted(name, fit, **options):
    """Return our fit of a golden row."""
    fixed = {"omega": 0.0} if fit.startswith("study only") else None
    expected = GOLDEN[name][fit]
    return bm.frequentist.components(data(name, fit), method=expected["method"], fixed=fixed, **options)


@pytest.mark.parametrize(("name", "fit"), FITS)
def test_fits_are_those_of_metafor(name, fit):
    """Likelihood to 1e-9; estimates, standard errors and variance components to metafor's own convergence, 2e-6."""
    expected = GOLDEN[name][fit]
    found = fitted(name, fit, test=expected["test"])
    assert found.loglik == pytest.approx(expected["logLik"], abs=1e-9)
    assert found.aic == pytest.approx(expected["AIC"], abs=1e-8)
    assert found.bic == pytest.approx(expected["BIC"], abs=1e-8)
    assert pytest.approx(expected["QE"], rel=1e-10) == found.Q
    assert found.Q_p == pytest.approx(expected["QEp"], rel=1e-8)
    for ours, theirs in (("beta", "beta"), ("se", "se"), ("statistic", "zval"), ("p_value", "pval")):
        np.testing.assert_allclose(getattr(found, ours), np.atleast_1d(expected[theirs]), rtol=3e-6, err_msg=ours)
    low, high = np.array([tuple(interval) for interval in found.ci]).T
    np.testing.assert_allclose(low, np.atleast_1d(expected["ci_lb"]), rtol=2e-6)
    np.testing.assert_allclose(high, np.atleast_1d(expected["ci_ub"]), rtol=2e-6)
    variances = np.atleast_1d(expected["sigma2"])
    assert found.tau2 == pytest.approx(variances[0], rel=2e-6)
    if len(variances) == 2:
        assert found.omega2 == pytest.approx(variances[1], rel=2e-6)
    if expected["test"] == "t":
        np.testing.assert_array_equal(found.df, expected["dfs"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "fit"), [pair for pair in FITS if "robust" in GOLDEN[pair[0]][pair[1]]])
def test_robust_covariances_are_those_of_clubsandwich(name, fit, kind):
    """Every kind of cluster-robust covariance, and the degrees of freedom of CR2, equal clubSandwich's to 1e-6."""
    expected = GOLDEN[name][fit]["robust"]
    found = fitted(name, fit, robust=kind)
    np.testing.assert_allclose(found.vcov, expected[kind], rtol=1e-6)
    if kind == "CR2":
        test = expected["CR2_coef_test"]
        np.testing.assert_allclose(found.df, np.atleast_1d(test["df_Satt"]), rtol=1e-6)
        np.testing.assert_allclose(found.p_value, np.atleast_1d(test["p_Satt"]), rtol=3e-6)


@pytest.mark.parametrize(("name", "fit"), [p for p in FITS if "predict" in GOLDEN[p[0]][p[1]]])
def test_predictions_and_blups_are_those_of_metafor(name, fit):
    """The interval of a new row's true effect, and the studies' random effects, equal metafor's."""
    expected = GOLDEN[name][fit]
    found = fitted(name, fit)
    interval = found.predict()[-1]
    assert tuple(interval) == pytest.approx((expected["predict"]["pi.lb"], expected["predict"]["pi.ub"]), rel=2e-6)
    effects = dict(zip(expected["ranef"]["study"]["level"], expected["ranef"]["study"]["intrcpt"], strict=True))
    blup = found.blup()
    assert len(blup) == len(effects)
    for label, row in blup.iterrows():
        assert row["estimate"] - found.mu == pytest.approx(effects[label], abs=1e-7)


def test_one_component_is_the_pooled_fit():
    """With one row a study, and one component, REML is that of pool."""
    effects = data("bornmann2007", "three-level REML")
    first = {label: i for i, label in reversed(list(enumerate(effects.study)))}
    rows = sorted(first.values())
    pooled = bm.frequentist.pool(bm.EffectSizes(effects.yi[rows], effects.sei[rows]), method="REML")
    found = bm.frequentist.components(
        bm.EffectSizes(effects.yi[rows], effects.sei[rows], measure="SMD"), model="normal_normal", method="REML"
    )
    assert found.mu == pytest.approx(pooled.mu, rel=1e-8)
    assert found.tau2 == pytest.approx(pooled.tau2, rel=1e-6)


def test_profile_intervals_are_where_the_likelihood_has_fallen():
    """At either limit of tau the best likelihood over omega is lower by half the chi-squared quantile."""
    found = fitted("knapp2017", "V three-level ~difficulty REML")
    interval = found.profile_interval("tau")
    grid = np.linspace(0.0, 1.0, 4001)
    for limit in interval:
        psi = np.column_stack([np.full(grid.size, limit), grid])
        assert found.loglik - found.likelihood(psi).max() == pytest.approx(stats.chi2.ppf(0.95, 1) / 2, abs=1e-5)
    assert interval.low < found.psi["tau"] < interval.high


def test_a_component_without_scatter_is_exactly_zero():
    """Where the likelihood falls from 0 on, the estimate is 0 and the fit that of the model without the component."""
    rng = np.random.default_rng(4)
    study, sei = np.repeat(list("abcdefgh"), 3), np.full(24, 0.3)
    y = np.repeat(rng.normal(0.0, 0.5, 8), 3) + np.tile([-0.05, 0.0, 0.05], 8)
    effects = bm.EffectSizes(y, sei, study=study, measure="SMD")
    found = bm.frequentist.components(effects)
    without = bm.frequentist.components(effects, fixed={"omega": 0.0})
    assert found.omega2 == 0.0
    assert found.loglik == pytest.approx(without.loglik, abs=1e-9)


def test_printed_block_and_frame():
    """The fit prints as one block, and its frame has a row for each coefficient."""
    found = fitted("bornmann2007", "three-level ~type REML t", robust="CR2")
    text = str(found)
    assert "66 rows of 21 studies" in text
    assert "CR2" in text
    frame = found.to_frame()
    assert list(frame.index) == ["intercept", "moderator"]
    assert frame.loc["moderator", "low"] == pytest.approx(found.ci[1].low)


def test_bad_requests_are_named():
    """Unknown options and parameters, models without a normal form, and too few clusters are errors in words."""
    effects = data("bornmann2007", "three-level REML")
    with pytest.raises(ModelError, match="REML"):
        bm.frequentist.components(effects, method="DL")
    with pytest.raises(ModelError, match="CR2"):
        bm.frequentist.components(effects, robust="CR4")
    with pytest.raises(ModelError, match="omega"):
        bm.frequentist.components(effects, fixed={"omega2": 0.0})
    with pytest.raises(ModelError, match="robust_t"):
        bm.frequentist.components(effects, model="robust_t")
    few = bm.EffectSizes(
        [0.1, 0.2, 0.3, 0.4], [0.1] * 4, study=["a", "a", "b", "b"], X=np.column_stack([np.ones(4), [0, 1, 0, 1]]),
        terms=("intercept", "x"), measure="SMD",
    )  # fmt: skip
    with pytest.raises(DataError, match="more clusters than coefficients; there are 2 and 2"):
        bm.frequentist.components(few, robust="CR2")
    assert math.isfinite(bm.frequentist.components(few).loglik)


def test_what_a_model_would_leave_out_is_refused():
    """Moderators of a model without them, and dependent rows of one that takes them for independent."""
    rows = {"study": list("aabbcc"), "outcome": ["x", "y"] * 3, "measure": "MD"}
    yi, sei = [0.1, 0.4, 0.2, 0.9, 0.3, 0.2], [0.1, 0.2, 0.1, 0.2, 0.2, 0.1]
    with_year = bm.EffectSizes(
        yi, sei, X=np.column_stack([np.ones(6), [1, 2, 3, 1, 5, 2]]), terms=("intercept", "year"), **rows
    )
    with pytest.raises(DataError, match=r"moderators \('?year'?\).*'bivariate' does not use them"):
        bm.frequentist.components(with_year, model="bivariate")
    with pytest.raises(DataError, match="normal_normal"):
        bm.frequentist.components(bm.EffectSizes(yi, sei, **rows), model="normal_normal")
