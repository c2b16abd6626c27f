"""Meta-regressions in which some coefficients have flat priors and others proper ones."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

import bayesmeta as bm

BCG = Path(__file__).parents[2] / "data" / "bcg_vaccine.csv"
MIXED = [("normal(0, 2.82)", "flat()"), ("flat()", "normal(0, 2.82)"), ("normal(0, 0.0001)", "flat()")]


def plain_sums(y, v, X, precision, scale):
    """Return the posterior means of beta (priors centred at 0): sums over a fine grid of tau ~ half_normal(scale)."""
    means, logw = [], []
    for tau in np.linspace(1e-6, 12.0 * scale, 8001):
        w = 1.0 / (v + tau**2)
        A, c = (X.T * w) @ X + np.diag(precision), (X.T * w) @ y
        b = np.linalg.solve(A, c)
        means.append(b)
        logw.append(0.5 * (np.log(w).sum() - np.linalg.slogdet(A)[1] - (w * y) @ y + c @ b) - 0.5 * (tau / scale) ** 2)
    weight = np.exp(np.array(logw) - max(logw))
    return weight @ np.array(means) / weight.sum()


def precision(prior):
    return 0.0 if prior == "flat()" else float(prior.split(",")[1].strip(" )")) ** -2.0


@pytest.mark.parametrize(("intercept", "beta"), MIXED)
def test_bcg_latitude_agrees_with_plain_sums(intercept, beta):
    """The effect of BCG changes with latitude as sums over a grid of tau say, whichever coefficient is flat."""
    table = bm.read_studies(BCG)
    sizes = bm.effect_sizes(table, measure="RR")
    latitude = bm.load_dataset("bcg_vaccine")["abs_latitude"].to_numpy(float)
    X = np.column_stack([np.ones(sizes.k), latitude])
    data = bm.EffectSizes(sizes.yi, sizes.sei, study=sizes.study, measure="RR", X=X, terms=("intercept", "latitude"))
    post = bm.fit(data, "meta_regression", priors={"intercept": intercept, "beta": beta, "tau": "half_normal(0.5)"})
    expected = plain_sums(sizes.yi, sizes.vi, X, [precision(intercept), precision(beta)], 0.5)
    if intercept != "normal(0, 0.0001)":
        assert post["beta[latitude]"].mean() == pytest.approx(-0.0288, abs=1e-4)
    assert post["beta[latitude]"].mean() == pytest.approx(expected[1], abs=2e-6)
    assert post["beta[intercept]"].mean() == pytest.approx(expected[0], abs=2e-5)


@pytest.mark.parametrize(("priors", "tau"), list(product(MIXED[:2], ["half_normal(0.5)", "half_cauchy(0.5)"])))
def test_moderators_in_any_unit_leave_a_posterior(priors, tau):
    """Three moderators whose spread is a thousandth or a thousandfold of the effects' are answered, by plain sums."""
    rng = np.random.default_rng(17)
    for _ in range(4):
        k = 12
        moderators = rng.normal(rng.normal(0, 20, 3), 10.0 ** rng.uniform(-3, 3, 3), (k, 3))
        X = np.column_stack([np.ones(k), moderators])
        yi, sei = rng.normal(size=k), np.exp(rng.normal(-1, 1, k))
        data = bm.EffectSizes(yi, sei, X=X, terms=("intercept", "a", "b", "c"))
        post = bm.fit(data, "meta_regression", priors={"intercept": priors[0], "beta": priors[1], "tau": tau})
        slopes = np.array([post[f"beta[{name}]"].mean() for name in "abc"])
        assert np.all(np.isfinite(slopes))
        if tau == "half_normal(0.5)":
            expected = plain_sums(yi, sei**2, X, [precision(priors[0]), *[precision(priors[1])] * 3], 0.5)
            assert slopes == pytest.approx(expected[1:], rel=1e-5, abs=1e-7)
