"""Dose-response: against dosresmeta, least squares, and the margins of pseudo-counts."""

import json
from pathlib import Path

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.errors import DataError
from bayesmeta.studies.dose_response import covariance

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "dosresmeta.json").read_text())["alcohol_cvd"]


def alcohol(kinds=None, **options):
    """Return the studies of alcohol and heart disease; `kinds` replaces types of study."""
    data = GOLDEN["data"]
    sei = [np.nan if not isinstance(s, float) else s for s in data["se"]]
    kind = [(kinds or {}).get(t, t) for t in data["type"]]
    study = [str(label) for label in data["id"]]
    return bm.DoseResponse(study, data["dose"], data["cases"], data["n"], kind, data["logrr"], sei, **options)


def test_one_stage_linear_ml_is_dosresmeta():
    """Slope, its variance and that between studies equal dosresmeta's, which takes ci for ir in these data."""
    expected = GOLDEN["1stage linear ml"]
    found = bm.frequentist.components(alcohol({"ci": "ir"}), model="dose_response", method="ML")
    assert found.mu == pytest.approx(expected["coef"]["dose"], rel=1e-5)
    # dosresmeta's pseudo-counts are good to 1e-5.
    assert found.vcov[0, 0] == pytest.approx(expected["vcov"][0][0], rel=1e-4)
    assert found.tau2 == pytest.approx(expected["Psi"][0][0], rel=2e-4)
    assert found.loglik == pytest.approx(expected["logLik"], abs=1e-6)
    # With the variance of a risk the answer differs in the third digit.
    ours = bm.frequentist.components(alcohol(), model="dose_response", method="ML")
    assert ours.mu != pytest.approx(found.mu, rel=0.01)


def test_one_stage_linear_reml_is_dosresmeta():
    """REML's slope and variances equal dosresmeta's to the accuracy with which that converged."""
    expected = GOLDEN["1stage linear reml"]
    found = bm.frequentist.components(alcohol({"ci": "ir"}), model="dose_response")
    assert found.mu == pytest.approx(expected["coef"]["dose"], rel=1e-3)
    assert found.vcov[0, 0] == pytest.approx(expected["vcov"][0][0], rel=1e-3)
    assert found.tau2 == pytest.approx(expected["Psi"][0][0], rel=3e-3)


@pytest.mark.parametrize("kind", ["cc", "ci", "ir"])
def test_crude_relative_risks_have_the_covariance_of_their_counts(kind):
    """Where estimates are those of the counts, the common part is the reference dose's variance, as reported scaled."""
    cases, n = np.array([20.0, 14.0, 9.0]), np.array([200.0, 120.0, 60.0])
    base = n - cases if kind == "cc" else n
    y = np.log(cases / base) - np.log(cases[0] / base[0])
    part = {"cc": 1 / cases + 1 / (n - cases), "ci": 1 / cases - 1 / n, "ir": 1 / cases}[kind]
    sei = np.concatenate([[np.nan], np.sqrt(part[1:] + part[0])])
    found = covariance(kind, cases, n, y, sei)
    np.testing.assert_allclose(found, np.diag(part[1:]) + part[0], rtol=1e-9)
    data = bm.DoseResponse(["a"] * 3 + ["b"] * 3, [0, 1, 2] * 2, [*cases, *cases], [*n, *n], kind)
    np.testing.assert_allclose(data.effects().V[:2, :2], found, rtol=1e-9)
    np.testing.assert_allclose(data.effects().yi[:2], y[1:], rtol=1e-12)


def test_slopes_scale_with_the_unit():
    """Per ten units of dose the slope is ten times that per one, and so is tau, under priors that scale too."""
    one = bm.fit(alcohol(), "dose_response", priors={"mu": "normal(0, 0.1)", "tau": "half_normal(0.05)"})
    ten = bm.fit(alcohol(unit=10.0), "dose_response", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"})
    assert ten.mu.mean() == pytest.approx(10 * one.mu.mean(), rel=1e-7)
    assert ten.tau.median() == pytest.approx(10 * one.tau.median(), rel=1e-6)
    assert ten.theta["1"].sd() == pytest.approx(10 * one.theta["1"].sd(), rel=1e-7)
    data = alcohol(unit=10.0)
    assert ten.linear(data.design(25.0)[0]).mean() == pytest.approx(2.5 * ten.mu.mean(), rel=1e-12)


def test_a_new_study_at_a_dose_has_its_own_slope_times_the_dose():
    """A new study's log relative risk at a dose is the dose times its slope: so are its quantiles; with fixed scales
    that of a quadratic trend has the variance of the mean and x' T x more."""
    data = alcohol(unit=10.0)
    post = bm.fit(data, "dose_response")
    levels = [0.025, 0.2, 0.5, 0.9]
    np.testing.assert_allclose(post.predicted([2.5]).ppf(levels), 2.5 * post.theta_new.ppf(levels), rtol=1e-9)
    first, second, rho = 0.2, 0.05, -0.4
    priors = {"tau[dose]": f"point({first})", "tau[dose^2]": f"point({second})", "rho": f"point({rho})"}
    bent = alcohol(unit=10.0, shape="quadratic")
    post = bm.fit(bent, "dose_response", priors=priors)
    x = bent.design(25.0)[0]
    T = np.array([[first**2, rho * first * second], [rho * first * second, second**2]])
    assert post.predicted(x).sd() ** 2 == pytest.approx(post.linear(x).sd() ** 2 + x @ T @ x, rel=1e-10)


def test_splines_are_linear_beyond_their_knots():
    """The restricted cubic spline has no bend before the first knot, and none after the last."""
    data = alcohol(shape="spline")
    low, _, high = data.knots
    before = data.design(np.linspace(0.0, low, 5))
    np.testing.assert_allclose(before[:, 1], 0.0, atol=1e-12)
    after = data.design(high + np.array([1.0, 2.0, 3.0]))[:, 1]
    assert after[2] - after[1] == pytest.approx(after[1] - after[0], rel=1e-9)
    post = bm.fit(alcohol(shape="quadratic", unit=10.0), "dose_response", tolerance=1e-3)
    assert list(post.beta) == ["dose", "dose^2"]
    assert set(post.heterogeneity) == {"tau[dose]", "tau[dose^2]", "rho"}


def test_bad_rows_are_named():
    """No reference row, two of them, a dose without cases, an unknown type: errors that name study and dose."""
    good = {"study": ["a", "a"], "dose": [0, 1], "cases": [5, 6], "n": [50, 60], "type": "cc"}
    with pytest.raises(DataError, match="'a' has 0 reference rows"):
        bm.DoseResponse(**good, yi=[0, 0.1], sei=[0.1, 0.2])
    with pytest.raises(DataError, match="'a' has 2 reference rows"):
        bm.DoseResponse(**good, yi=[0, 0.1], sei=[np.nan, np.nan])
    with pytest.raises(DataError, match="'a', dose 1: cases = 0"):
        bm.DoseResponse(**{**good, "cases": [5, 0]})
    with pytest.raises(DataError, match="reference dose alone"):
        bm.DoseResponse(["a"], [0], [5], [50], "cc")
    with pytest.raises(bm.ModelError, match="xx"):
        bm.DoseResponse(**{**good, "type": "xx"})
