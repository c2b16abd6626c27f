"""Diagnostic accuracy: against mada, and plain sums."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import special

import bayesmeta as bm
from bayesmeta.errors import DataError

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "mada_reitsma.json").read_text())


def tables(name):
    """Return the tables of a golden data set."""
    data = GOLDEN[name]["data"]
    return bm.DiagnosticTable(data["TP"], data["FP"], data["FN"], data["TN"])


@pytest.mark.parametrize("name", ["AuditC", "SAQ"])
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_classical_fits_are_those_of_mada(name, method):
    """Coefficients, their covariance and the variances between studies equal mada's with the sign of specificity."""
    expected = GOLDEN[name][f"reitsma {method.lower()}"]
    found = bm.frequentist.diagnostic(tables(name), method=method)
    turn = np.array([1.0, -1.0])
    np.testing.assert_allclose(found.beta * turn, expected["coef"], rtol=1e-5)
    np.testing.assert_allclose(found.vcov * np.outer(turn, turn), expected["vcov"], rtol=3e-4)
    se, sp = (found.psi[f"tau[{outcome}]"] for outcome in ("sensitivity", "specificity"))
    cross = -found.rho * se * sp
    np.testing.assert_allclose([[se**2, cross], [cross, sp**2]], expected["Psi"], rtol=3e-4)


def test_posterior_names_and_scales():
    """Sensitivity and specificity are the logits' means seen as probabilities, and lie near the classical ones."""
    data = tables("AuditC")
    post = bm.fit(data, "diagnostic_accuracy", tolerance=1e-3)
    classical = bm.frequentist.diagnostic(data)
    for name, beta in zip(("sensitivity", "specificity"), classical.beta, strict=True):
        probability, mean = getattr(post, name), post[f"mu[{name}]"]
        assert probability.median() == pytest.approx(special.expit(mean.median()), abs=1e-10)
        assert probability.cdf(0.8) == pytest.approx(mean.cdf(special.logit(0.8)), abs=1e-12)
        assert probability.median() == pytest.approx(special.expit(beta), abs=0.03)
        quantiles = special.expit(np.asarray(mean.ppf((np.arange(400) + 0.5) / 400)))
        assert probability.mean() == pytest.approx(quantiles.mean(), abs=1e-4)
        assert probability.sd() == pytest.approx(quantiles.std(), rel=2e-2)
    assert post["rho"].mean() < 0.0
    assert post.heterogeneity.keys() == {"tau[sensitivity]", "tau[specificity]", "rho"}


def test_summary_curve_runs_through_the_summary_point():
    """With small uncertainty the curve passes the mean point, and rises with the false positive rate."""
    rng = np.random.default_rng(7)
    k, n = 40, 4000
    shift = rng.normal(0.0, 0.5, k)
    tp = rng.binomial(n, special.expit(1.5 + shift))
    fp = rng.binomial(n, special.expit(-1.5 + shift))
    data = bm.DiagnosticTable(tp, fp, n - tp, n - fp)
    post = bm.fit(data, "diagnostic_accuracy", tolerance=1e-5)
    curve = post.sroc(points=201)
    assert np.all(np.diff(curve["sensitivity"]) > 0)
    at = np.interp(1 - post.specificity.median(), curve["fpr"], curve["sensitivity"])
    assert at == pytest.approx(post.sensitivity.median(), abs=0.01)
    assert np.all(curve["low"] < curve["high"])


def test_logits_and_their_correction():
    """Without empty cells the logits are those of the counts; with one 0.5 goes to all cells of all studies."""
    rows = bm.DiagnosticTable([30, 20], [5, 8], [10, 5], [50, 60]).logits()
    np.testing.assert_allclose(rows.yi, [np.log(3), np.log(10), np.log(4), np.log(7.5)])
    np.testing.assert_allclose(rows.vi, [1 / 30 + 1 / 10, 1 / 50 + 1 / 5, 1 / 20 + 1 / 5, 1 / 60 + 1 / 8])
    corrected = bm.DiagnosticTable([30, 20], [0, 8], [10, 5], [50, 60]).logits()
    np.testing.assert_allclose(corrected.yi[:2], [np.log(30.5 / 10.5), np.log(50.5 / 0.5)])


def test_bad_tables_are_named():
    """Counts that are none, a study without ill people, and one study alone are errors that name them."""
    with pytest.raises(DataError, match=r"'b': tp is 2\.5"):
        bm.DiagnosticTable([1, 2.5], [1, 1], [1, 1], [1, 1], study=["a", "b"])
    with pytest.raises(DataError, match="'b' has nobody with the disease"):
        bm.DiagnosticTable([1, 0], [1, 1], [1, 0], [1, 1], study=["a", "b"])
    with pytest.raises(DataError, match="One study"):
        bm.fit(bm.DiagnosticTable([10], [10], [10], [10]), "diagnostic_accuracy")
