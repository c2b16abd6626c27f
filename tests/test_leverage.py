"""The typical sampling variance, against exact fractions."""

from fractions import Fraction

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.gaussian.leverage import trace_p, typical_variance


def exact_trace(w, X):
    """Return the trace of ``W - W X (X' W X)^-1 X' W`` by Gauss-Jordan elimination of fractions."""
    w, X = [Fraction(float(value)) for value in w], [[Fraction(float(value)) for value in row] for row in X]
    p = range(len(X[0]))
    rows = [[sum(v**power * x[a] * x[b] for v, x in zip(w, X, strict=True)) for power in (1, 2) for b in p] for a in p]
    for c in p:
        pivot = next(r for r in p if r >= c and rows[r][c] != 0)
        rows[c], rows[pivot] = rows[pivot], rows[c]
        rows[c] = [value / rows[c][c] for value in rows[c]]
        for r in set(p) - {c}:
            rows[r] = [x - rows[r][c] * y for x, y in zip(rows[r], rows[c], strict=True)]
    return float(sum(w) - sum(rows[a][len(p) + a] for a in p))


DESIGNS = {
    "mean": lambda k: np.ones((k, 1)),
    "slope": lambda k: np.column_stack([np.ones(k), np.arange(k) + 0.3]),
    "year": lambda k: np.column_stack([np.ones(k), 2000.0 + np.arange(k)]),
    "one study's own": lambda k: np.column_stack([np.ones(k), np.arange(k) == 0.0]),
}


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize(
    "sei",
    [[0.2, 0.3, 0.25], [1e-9, 1.0, 1.0], [1e-9, 1e-9, 1.0, 1.0], [1.0, 1e-9, 1e-9], [1e-12, 1e-6, 1.0, 3.0]],
)
def test_the_trace_is_that_of_fractions_however_precise_a_study_is(sei, design):
    """Sums of weights lose what is left beside a study 1e9 times as precise as the others."""
    w, X = np.array(sei) ** -2.0, DESIGNS[design](len(sei))
    assert trace_p(w, X) == pytest.approx(exact_trace(w, X), rel=1e-11)


@pytest.mark.parametrize("extra", ["all levels", "a multiple", "zeros"])
def test_columns_that_repeat_others_take_no_degree_of_freedom(extra):
    """A design of any rank is the same as one of independent columns that span the same."""
    k = 8
    v, level = np.linspace(0.1, 0.4, k) ** 2, np.arange(k) % 2.0
    X = np.column_stack([np.ones(k), level])
    added = {"all levels": 1.0 - level, "a multiple": level / 3.0, "zeros": np.zeros(k)}[extra]
    typical = typical_variance(v, np.column_stack([X, added]))
    assert typical == pytest.approx((k - 2) / exact_trace(1.0 / v, X), rel=1e-12)


def test_i2_of_a_regression_on_all_levels_is_that_on_contrasts_with_the_same_tau():
    """Given tau, I2 = tau2 / (tau2 + typical variance), which knows k minus the rank and not k minus the columns."""
    k = 8
    y, s, level = np.linspace(-0.4, 0.5, k) ** 3, np.linspace(0.1, 0.4, k), np.arange(k) % 2.0
    data = bm.EffectSizes(y, s, X=np.column_stack([np.ones(k), level, 1.0 - level]), terms=("intercept", "a", "b"))
    post = bm.fit(data, "meta_regression", priors={"beta": "normal(0, 1)", "tau": "half_normal(0.5)"})
    typical = (k - 2) / exact_trace(s**-2.0, np.column_stack([np.ones(k), level]))
    tau = float(post.tau.ppf(0.3))
    assert post["I2"].ppf(0.3) == pytest.approx(100.0 * tau**2 / (tau**2 + typical), rel=1e-10)


def test_the_frequentist_regression_knows_the_same_trace():
    """DerSimonian and Laird divide by it: beside one study 1e8 times as precise it was negative."""
    sei, X = np.array([1e-8, 1.0, 1.0, 2.0]), np.column_stack([np.ones(4), np.arange(4) + 0.3])
    y = np.array([0.1, 3.0, -2.0, 4.0])
    fit = bm.frequentist.regress(bm.EffectSizes(y, sei, X=X, terms=("intercept", "x")), method="DL")
    w = sei**-2.0
    root = np.sqrt(w)[:, None]
    residual = (root[:, 0] * y) - (root * X) @ np.linalg.lstsq(root * X, root[:, 0] * y, rcond=None)[0]
    assert fit.tau2 == pytest.approx((residual @ residual - 2.0) / exact_trace(w, X), rel=1e-6)
