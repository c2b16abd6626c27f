"""Conversions from what papers print, against their sources, their inverses and independent calculations."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

import bayesmeta as bm
from bayesmeta.effects import compute_effects
from bayesmeta.effects import conversions as cv
from bayesmeta.effects.standard_errors import decimals

se = st.floats(1e-3, 50)
effect = st.floats(-20, 20)


@given(y=effect, s=se, level=st.floats(0.5, 0.999), df=st.none() | st.integers(2, 500))
def test_a_standard_error_survives_its_interval(y: float, s: float, level: float, df: int | None) -> None:
    """The limits made from a standard error by scipy's normal or t give it back."""
    law = stats.norm if df is None else stats.t(df)
    half = s * law.ppf((1 + level) / 2)
    got = cv.se_from_ci(y - half, y + half, estimate=y, level=level, df=df)
    assert got == pytest.approx(s, rel=1e-9)


@given(y=st.floats(-4, 4), s=st.floats(0.01, 2))
def test_the_interval_of_a_ratio_gives_the_error_of_its_log(y: float, s: float) -> None:
    """Limits of a ratio are taken to the log scale first."""
    low, high = np.exp(y - 1.959963984540054 * s), np.exp(y + 1.959963984540054 * s)
    assert cv.se_from_ci(low, high, estimate=np.exp(y), ratio=True) == pytest.approx(s, rel=1e-9)


@given(y=effect.filter(lambda v: abs(v) > 1e-3), z=st.floats(0.01, 8), df=st.none() | st.integers(2, 500))
def test_a_standard_error_survives_its_p_value(y: float, z: float, df: int | None) -> None:
    """The two-sided p-value that scipy gives a Wald or t statistic leads back to the standard error."""
    law = stats.norm if df is None else stats.t(df)
    p = 2 * law.sf(z)
    assert cv.se_from_p(y, p, df=df) == pytest.approx(abs(y) / z, rel=1e-6)


@given(s=se, n=st.integers(2, 5000))
def test_standard_deviations_survive_standard_errors_and_intervals(s: float, n: int) -> None:
    """A group's SD comes back from the standard error of its mean, and from its t interval."""
    error = s / np.sqrt(n)
    assert cv.sd_from_se(error, n) == pytest.approx(s)
    low, high = stats.t.interval(0.95, n - 1, loc=3.0, scale=error)
    assert cv.sd_from_ci(low, high, n, mean=3.0) == pytest.approx(s, rel=1e-7)
    assert cv.se_from_variance(s**2) == pytest.approx(s)


@given(y=effect, s=se)
def test_log_odds_and_standardized_differences_are_inverse(y: float, s: float) -> None:
    """Chinn's conversion undoes itself, and multiplies by pi / sqrt(3), that is 1.81."""
    back = cv.log_or_to_smd(*cv.smd_to_log_or(y, s))
    assert (float(back[0]), float(back[1])) == (pytest.approx(y), pytest.approx(s))
    assert float(cv.smd_to_log_or(1.0, 1.0)[0]) == pytest.approx(stats.logistic.std(), rel=1e-15)


def test_chinns_conversion_is_the_measure_or2dl() -> None:
    """Converting the log odds ratio of counts equals the effect measure that does it from the counts."""
    columns = {"events_treatment": [6], "n_treatment": [17], "events_control": [2], "n_control": [28]}
    odds, smd = compute_effects("OR", columns), compute_effects("OR2DL", columns)
    d, error = cv.log_or_to_smd(odds.yi, np.sqrt(odds.vi))
    np.testing.assert_allclose(d, smd.yi, rtol=1e-14)
    np.testing.assert_allclose(error**2, smd.vi, rtol=1e-14)


@given(risk=st.floats(0.001, 0.99), treated=st.floats(0.001, 0.99))
def test_odds_and_risk_ratios_agree_on_the_risks(risk: float, treated: float) -> None:
    """The odds ratio of two risks converts to their risk ratio at the control risk, and back."""
    odds_ratio = treated / (1 - treated) / (risk / (1 - risk))
    assert cv.or_to_rr(odds_ratio, risk) == pytest.approx(treated / risk, rel=1e-9)
    assert cv.rr_to_or(treated / risk, risk) == pytest.approx(odds_ratio, rel=1e-9)


def _expected_range(n: int) -> float:
    """Return the expected range of n standard normal draws by Tippett's integral."""
    return float(integrate.quad(lambda x: 1 - stats.norm.cdf(x) ** n - stats.norm.sf(x) ** n, -12, 12)[0])


@pytest.mark.parametrize("n", [10, 25, 50, 200, 1000])
def test_the_range_divided_by_its_expectation_is_the_sd(n: int) -> None:
    """Wan's formula for a range is within 1.5% of the exact expectation of the range of a normal sample."""
    sd = float(cv.sd_from_quantiles(n, minimum=0.0, maximum=_expected_range(n)))
    assert sd == pytest.approx(1.0, rel=0.015)


def test_wans_estimators_have_their_published_values() -> None:
    """The example of the R package metaBLUE, which implements the same paper, is met."""
    assert cv.sd_from_quantiles(30, minimum=1, maximum=10) == pytest.approx(2.205578, abs=5e-7)
    # The quartiles of a large normal sample are 1.349 standard deviations apart.
    assert cv.sd_from_quantiles(10**6, q1=-0.67449, q3=0.67449) == pytest.approx(1.0, rel=1e-4)
    both = cv.sd_from_quantiles(40, q1=9, q3=12, minimum=5, maximum=17)
    parts = [cv.sd_from_quantiles(40, q1=9, q3=12), cv.sd_from_quantiles(40, minimum=5, maximum=17)]
    assert both == pytest.approx(np.mean(parts))


@given(
    center=st.floats(-100, 100),
    inner=st.floats(0, 20),
    outer=st.floats(0, 20),
    n=st.integers(5, 10**6),
    given_=st.sampled_from([("q1", "q3"), ("minimum", "maximum"), ("q1", "q3", "minimum", "maximum")]),
)
def test_the_mean_of_symmetric_quantiles_is_their_centre(
    center: float, inner: float, outer: float, n: int, given_: tuple[str, ...]
) -> None:
    """Luo's weights sum to one: symmetric summaries have the median as their mean."""
    all_four = {
        "q1": center - inner,
        "q3": center + inner,
        "minimum": center - inner - outer,
        "maximum": center + inner + outer,
    }
    mean = cv.mean_from_quantiles(n, center, **{name: all_four[name] for name in given_})
    assert mean == pytest.approx(center, abs=1e-9)


def test_luos_weights_have_their_published_values() -> None:
    """At n = 81 the weights of extremes, quartiles and median are those of the paper's formulas."""
    n, root = 81, 27.0
    assert cv.mean_from_quantiles(n, 0.0, minimum=0.0, maximum=2.0) == pytest.approx(4 / (4 + root))
    assert cv.mean_from_quantiles(n, 0.0, q1=0.0, q3=2.0) == pytest.approx(0.7 + 0.39 / n)
    w1, w2 = 2.2 / (2.2 + root), 0.7 - 0.72 / n**0.55
    mean = cv.mean_from_quantiles(n, 0.0, q1=0.0, q3=2.0, minimum=0.0, maximum=4.0)
    assert mean == pytest.approx(2 * w1 + w2)


def test_quantile_estimators_are_close_to_unbiased_in_normal_samples() -> None:
    """Over simulated normal samples, mean and SD from five numbers are right on average."""
    rng = np.random.default_rng(20140)
    n, repeats = 61, 4000
    x = np.sort(rng.normal(10.0, 2.0, (repeats, n)), axis=1)
    five = {"minimum": x[:, 0], "q1": x[:, 15], "q3": x[:, 45], "maximum": x[:, -1]}
    sd = cv.sd_from_quantiles(n, **five)
    mean = cv.mean_from_quantiles(n, x[:, 30], **five)
    assert abs(mean.mean() - 10.0) < 4 * mean.std() / np.sqrt(repeats)
    assert sd.mean() == pytest.approx(2.0, rel=0.02)


@given(seed=st.integers(0, 2**32 - 1), a=st.integers(2, 30), b=st.integers(2, 30))
def test_two_groups_combine_to_the_moments_of_all_their_members(seed: int, a: int, b: int) -> None:
    """Size, mean and SD of two groups together equal those of the pooled observations."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(1, 2, a), rng.normal(4, 1, b)
    n, mean, sd = cv.combine_groups(a, x.mean(), x.std(ddof=1), b, y.mean(), y.std(ddof=1))
    both = np.concatenate([x, y])
    np.testing.assert_allclose([n, mean, sd], [a + b, both.mean(), both.std(ddof=1)], rtol=1e-9)


@given(s1=st.floats(0.1, 50), s2=st.floats(0.1, 50), r=st.floats(-0.99, 0.99))
def test_the_sd_of_the_change_gives_back_the_correlation(s1: float, s2: float, r: float) -> None:
    """The correlation that makes the SD of a change is recovered from it."""
    change = np.sqrt(s1**2 + s2**2 - 2 * r * s1 * s2)
    assert cv.correlation_from_change_sd(s1, s2, change) == pytest.approx(r, abs=1e-6)


@pytest.mark.parametrize(
    ("convert", "message"),
    [
        (lambda: cv.se_from_ci(0.5, 0.2), "not in order"),
        (lambda: cv.se_from_ci(np.nan, 0.2), "missing or infinite"),
        (lambda: cv.se_from_ci(-0.5, 0.2, ratio=True), "cannot belong to a ratio"),
        (lambda: cv.se_from_ci(0.1, 0.2, estimate=0.3), "outside its interval"),
        (lambda: cv.se_from_ci(0.1, 0.2, level=95), "fraction between 0 and 1"),
        (lambda: cv.se_from_ci(0.1, 0.2, df=0), "df must be > 0"),
        (lambda: cv.se_from_ci("a", 0.2), "must be numbers"),
        (lambda: cv.se_from_p(0.5, 0.0), "p = 0"),
        (lambda: cv.se_from_p(0.5, 1.0), "p = 1"),
        (lambda: cv.se_from_p(0.0, 0.5), "finite and not 0"),
        (lambda: cv.se_from_p(0.5, 0.5, df=-1), "df = -1"),
        (lambda: cv.se_from_variance(0.0), "variance 0"),
        (lambda: cv.se_from_variance([0.1, -0.1]), "number 2: the variance -0.1"),
        (lambda: cv.sd_from_se(-1, 10), "cannot be negative"),
        (lambda: cv.sd_from_se(1, 1), "n = 1"),
        (lambda: cv.sd_from_ci(1, 2, 10, distribution="F"), "'t' or from 'z'"),
        (lambda: cv.sd_from_quantiles(10), "Give q1 and q3"),
        (lambda: cv.sd_from_quantiles(10, q1=1), "come in pairs"),
        (lambda: cv.sd_from_quantiles(10, q1=2, q3=1), "q1 = 2 is larger than q3 = 1"),
        (lambda: cv.mean_from_quantiles(10, 5, q1=1, q3=2), "median = 5 is larger than q3 = 2"),
        (lambda: cv.mean_from_quantiles(10, np.nan, q1=1, q3=2), "median = nan"),
        (lambda: cv.or_to_rr(-1, 0.2), "a ratio must be > 0"),
        (lambda: cv.or_to_rr(2, 20), "baseline_risk = 20"),
        (lambda: cv.rr_to_or(3, 0.5), "must be < 1"),
        (lambda: cv.combine_groups(1, 0, 1, 10, 0, 1), "n = 1"),
        (lambda: cv.combine_groups(10, 0, -1, 10, 0, 1), "sd1 = -1"),
        (lambda: cv.correlation_from_change_sd(1, 1, 5), "no correlation"),
    ],
)
def test_impossible_inputs_are_refused(convert: Any, message: str) -> None:
    """Each conversion refuses numbers that cannot be, and says which rule they break."""
    with pytest.raises(bm.DataError, match=message):
        convert()


def test_refusals_and_warnings_name_the_study() -> None:
    """With labels given, the study at fault is named."""
    names = ["Adams 2001", "Baker 2002"]
    with pytest.raises(bm.DataError, match="'Baker 2002'"):
        cv.se_from_ci([0.1, 0.5], [0.3, 0.2], study=names)
    with pytest.raises(bm.DataError, match="'Baker 2002'"):
        cv.sd_from_se([1, -1], 10, study=names)
    with pytest.warns(bm.DataWarning, match="Baker 2002 is not symmetric on the log scale"):
        cv.se_from_ci([0.5, 1.02], [2.0, 3.03], estimate=[1.0, 2.01], ratio=True, study=names)
    with pytest.warns(bm.DataWarning, match="number 1"):
        cv.se_from_ci(1.02, 3.03, estimate=1.31)


def test_rounded_limits_do_not_warn() -> None:
    """A narrow interval printed with two decimals looks lopsided by rounding alone, and is accepted."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", bm.DataWarning)
        cv.se_from_ci(0.98, 1.01, estimate=0.99, ratio=True)


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=5), st.integers(0, 6))
def test_decimals_are_counted_as_printed(digits: list[int], places: int) -> None:
    """The number of decimals found never exceeds the number printed, and reproduces every value."""
    values = [float(f"{d}e-{places}") for d in digits]
    found = int(decimals(values))
    assert found <= places
    assert [round(v, found) for v in values] == values
