"""From a table to effect sizes: what is used, recorded, excluded and refused."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bayesmeta as bm
from bayesmeta.effects import MEASURES, compute_effects
from bayesmeta.studies import PersonTime, StudyTable

GOLDEN = Path(__file__).parent / "golden"
SPARSE = bm.TwoByTwo([6, 0, 0, 5], [17, 20, 30, 30], [2, 3, 0, 0], [28, 21, 28, 30], study=["A", "B", "C", "D"])


def table(study: list[str] | None = None, **columns: Any) -> StudyTable:
    """Return a study table with the columns given."""
    values = {name: np.array(v, dtype=object if isinstance(v[0], str) else float) for name, v in columns.items()}
    k = len(next(iter(values.values())))
    return StudyTable(tuple(study or [f"S{i + 1}" for i in range(k)]), values)


MEANS = {
    "mean_treatment": [55, 27, 64],
    "sd_treatment": [47, 7, 17],
    "n_treatment": [155, 31, 75],
    "mean_control": [75, 29, 119],
    "sd_control": [64, 4, 29],
    "n_control": [156, 32, 71],
}


def test_effects_of_counts_carry_counts_and_sizes() -> None:
    """Effect sizes from a 2x2 table keep the raw counts, total sizes and labels."""
    effects = bm.effect_sizes(SPARSE, "OR")
    assert effects.study == ("A", "B", "C", "D")
    assert effects.counts is not None
    assert effects.counts.events_treatment.tolist() == [6, 0, 0, 5]
    assert effects.ni is not None
    assert effects.ni.tolist() == [45, 41, 58, 60]
    assert effects.yi[0] == pytest.approx(np.log(6 * 26 / (11 * 2)))


def test_what_was_added_to_zero_cells_is_recorded() -> None:
    """Each study that had something added is listed, and the rule says how many there were."""
    effects = bm.effect_sizes(SPARSE, "OR")
    assert [a.study for a in effects.adjusted] == ["B", "C", "D"]
    assert "0.5" in effects.adjusted[0].what
    assert "the 3 studies with a zero cell" in effects.rule
    every = bm.effect_sizes(SPARSE, "OR", to="if0all", add=0.25)
    assert [a.study for a in every.adjusted] == ["A", "B", "C", "D"]
    assert "0.25" in every.rule


def test_measures_that_exist_with_zero_cells_add_nothing_unless_told() -> None:
    """The arcsine difference keeps its zeros by default and takes what is added explicitly."""
    plain = bm.effect_sizes(SPARSE, "AS")
    assert plain.adjusted == ()
    assert "nothing was added" in plain.rule
    assert [a.study for a in bm.effect_sizes(SPARSE, "AS", add=0.5).adjusted] == ["B", "C", "D"]


def test_double_zero_studies_are_set_aside_with_a_reason() -> None:
    """drop00 excludes the study without events, says why, and keeps everything else aligned."""
    effects = bm.effect_sizes(SPARSE, "OR", drop00=True)
    assert effects.study == ("A", "B", "D")
    assert [(e.study, "both arms" in e.reason) for e in effects.excluded] == [("C", True)]
    assert effects.counts is not None
    assert effects.counts.study == effects.study
    assert effects.ni is not None
    assert len(effects.ni) == 3


def test_a_study_without_an_effect_is_an_error_that_names_it() -> None:
    """With nothing added to zero cells, the studies whose effect does not exist are named."""
    with pytest.raises(bm.DataError, match=r"not estimable in 3 of 4 studies: 'B', 'C', 'D'.*inestimable='exclude'"):
        bm.effect_sizes(SPARSE, "OR", to="none")
    effects = bm.effect_sizes(SPARSE, "OR", to="none", inestimable="exclude")
    assert effects.study == ("A",)
    assert [e.study for e in effects.excluded] == ["B", "C", "D"]
    assert all("zero cell" in e.reason for e in effects.excluded)
    with pytest.raises(bm.DataError, match="no study is left"):
        bm.effect_sizes(SPARSE.drop(["A"]), "OR", to="none", inestimable="exclude")


def test_a_zero_variance_is_no_effect() -> None:
    """A risk difference of two empty arms has variance 0 without a correction, and is refused."""
    with pytest.raises(bm.DataError, match="'C'"):
        bm.effect_sizes(SPARSE, "RD", to="none")


@pytest.mark.parametrize("vtype", ["LS", "ST"])
def test_a_perfect_association_is_not_estimable(vtype: str) -> None:
    """A phi coefficient of -1 has variance 0, never a rounding error that would dominate the pooling."""
    with pytest.raises(bm.DataError, match="'Study 1'"):
        bm.effect_sizes(bm.TwoByTwo([0, 3], [5, 9], [475, 4], [475, 9]), "PHI", vtype=vtype)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"to": "only_zero"}, bm.DataError, "only0"),
        ({"add": -1.0}, bm.DataError, "add = -1"),
        ({"add": float("nan")}, bm.DataError, "add = nan"),
        ({"vtype": "HO"}, bm.ModelError, "LS, AV"),
        ({"inestimable": "drop"}, bm.ModelError, "exclude"),
        ({"measure": "RRR"}, bm.ModelError, "Did you mean"),
        ({"measure": "or"}, bm.ModelError, "Did you mean 'OR'"),
        ({"measure": "MD"}, bm.DataError, "mean_treatment"),
        ({"measure": "HR"}, bm.DataError, "2x2 counts give OR"),
        ({"moderators": "year"}, bm.DataError, "StudyTable"),
    ],
)
def test_unusable_options_are_named(options: dict[str, Any], error: type[Exception], message: str) -> None:
    """A rule, measure, variance or moderator that cannot be used is named with what can."""
    with pytest.raises(error, match=message):
        bm.effect_sizes(SPARSE, **{"measure": "OR", **options})


@pytest.mark.parametrize(
    ("measure", "column", "value", "message"),
    [
        ("MD", "mean_control", np.nan, "mean_control is nan"),
        ("MD", "mean_control", np.inf, "mean_control is inf"),
        ("SMD", "sd_treatment", -1.0, "cannot be negative"),
        ("SMD", "n_control", 1.0, "sample size > 1"),
    ],
)
def test_impossible_means_are_refused_by_study(measure: str, column: str, value: float, message: str) -> None:
    """A missing, infinite or impossible number is refused with its study and column."""
    columns = {**MEANS, column: [MEANS[column][0], value, MEANS[column][2]]}
    with pytest.raises(bm.DataError, match=f"'S2'.*{message}"):
        bm.effect_sizes(table(**columns), measure)


@pytest.mark.parametrize(
    ("measure", "columns", "message"),
    [
        ("IRR", {"events_treatment": [1.5]}, "whole number"),
        ("IRR", {"time_control": [0.0]}, "person-time must be > 0"),
        ("PLO", {"events": [11.0], "n": [10.0]}, "events cannot exceed patients"),
        ("ZCOR", {"ri": [1.2], "n": [20.0]}, "between -1 and 1"),
        ("ZCOR", {"ri": [1.0], "n": [20.0]}, "not estimable in 1 of 1 studies: 'S1'"),
        ("ZCOR", {"ri": [0.1], "n": [3.0]}, "not estimable in 1 of 1 studies: 'S1'"),
        ("ROM", {"mean_treatment": [-1.0]}, "'S1'.*means of one sign"),
        ("CVR", {"mean_treatment": [-1.0], "mean_control": [-1.0]}, "'S1'.*positive mean"),
        ("PETO", {"events_treatment": [30.0]}, "'S1': events_treatment is 30 but n_treatment is 20"),
        ("OR", {"events_control": [-1.0]}, "'S1': events_control = -1"),
    ],
)
def test_impossible_numbers_are_refused_by_study(measure: str, columns: dict[str, Any], message: str) -> None:
    """Counts, times and correlations that cannot be are refused with their study."""
    good = {name: [values[0]] for name, values in MEANS.items()}
    good |= {"events_treatment": [3.0], "time_treatment": [10.0], "events_control": [2.0], "time_control": [9.0]}
    if measure in ("OR", "PETO"):
        good |= {"n_treatment": [20.0], "n_control": [20.0]}
    with pytest.raises(bm.DataError, match=message):
        bm.effect_sizes(table(**{**good, **columns}), measure)


def test_text_among_the_numbers_is_refused_by_study() -> None:
    """A column of text is read where it holds numbers, and refused where it does not."""
    assert bm.effect_sizes(table(yi=["0.1", "0.2"], sei=["0.1", "0.1"]), "MD").yi.tolist() == [0.1, 0.2]
    with pytest.raises(bm.DataError, match="Study 'S2': sei is '0,1', which is not a number"):
        bm.effect_sizes(table(yi=["0.1", "0.2"], sei=["0.1", "0,1"]), "MD")


def test_a_missing_column_is_named_with_the_ways_out() -> None:
    """The error lists what the measure takes, ready estimates included, and what the table has."""
    with pytest.raises(bm.DataError, match=r"needs the column 'events_treatment'.*yi, sei.*Columns: year"):
        bm.effect_sizes(table(year=[1999.0]), "OR")


def test_person_time_and_correlations_are_taken_from_tables() -> None:
    """Events with person-time give rate ratios, and r may be spelt either way."""
    rates = PersonTime([9, 3], [100, 80], [4, 2], [110, 75], study=["A", "B"])
    assert bm.effect_sizes(rates, "IRR").yi[0] == pytest.approx(np.log(9 / 100 / (4 / 110)))
    for name in ("r", "ri"):
        assert bm.effect_sizes(table(**{name: [0.5], "n": [28.0]}), "ZCOR").sei[0] == pytest.approx(0.2)
    with pytest.raises(bm.DataError, match="IRR, IRD, IRSD"):
        bm.effect_sizes(rates, "OR")


def test_hedges_correction_can_be_left_out() -> None:
    """correct=False gives Cohen's d."""
    d = bm.effect_sizes(table(**MEANS), "SMD", correct=False).yi
    pooled = np.sqrt((154 * 47**2 + 155 * 64**2) / 309)
    assert d[0] == pytest.approx(-20 / pooled)


def test_moderators_become_a_design_matrix() -> None:
    """Numbers enter as they are, text is dummy-coded against its first level, after an intercept."""
    data = table(**MEANS, year=[1990.0, 2000.0, 2010.0], alloc=["random", "alternate", "systematic"])
    effects = bm.effect_sizes(data, "MD", moderators=["year", "alloc"])
    assert effects.terms == ("intercept", "year", "alloc[random]", "alloc[systematic]")
    assert effects.X is not None
    assert effects.X.tolist() == [[1, 1990, 1, 0], [1, 2000, 0, 0], [1, 2010, 0, 1]]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"year": [1990.0, np.nan, 2010.0]}, "'S2': moderator 'year' has no value"),
        ({"year": ["a", "", "b"]}, "'S2': moderator 'year' has no value"),
        ({"year": ["a", "a", "a"]}, "explains nothing"),
        ({"month": [1.0, 2.0, 3.0]}, "no moderator column 'year'"),
    ],
)
def test_unusable_moderators_are_refused(column: dict[str, Any], message: str) -> None:
    """A moderator that is missing, incomplete or constant text is refused by name."""
    with pytest.raises(bm.DataError, match=message):
        bm.effect_sizes(table(**MEANS, **column), "MD", moderators="year")


def test_moderators_follow_their_studies_when_some_are_excluded() -> None:
    """Rows of the design matrix leave with the study they belong to."""
    data = table(
        events_treatment=[6, 0, 5],
        n_treatment=[17, 30, 30],
        events_control=[2, 0, 1],
        n_control=[28, 28, 30],
        year=[1990, 2000, 2010],
    )
    effects = bm.effect_sizes(data, "OR", drop00=True, moderators="year")
    assert effects.X is not None
    assert effects.X[:, 1].tolist() == [1990, 2010]


# Ready estimates


def test_ready_estimates_are_taken_as_they_are() -> None:
    """yi with sei, or with vi, pass through unchanged on the analysis scale, and the rule says so."""
    yi, sei = [-0.3, 0.1], [0.2, 0.25]
    for columns in ({"sei": sei}, {"vi": [0.04, 0.0625]}, {"sei": sei, "vi": [0.04, 0.0625]}):
        effects = bm.effect_sizes(table(yi=yi, **columns), "OR")
        assert effects.yi.tolist() == yi
        np.testing.assert_allclose(effects.sei, sei, rtol=1e-15)
        assert "as it stands" in effects.rule
        assert "log odds ratio" in effects.rule


def test_natural_scale_ratios_are_brought_to_logs() -> None:
    """Published odds ratios with limits give logs and the standard errors of the logs."""
    data = bm.read_studies(Path(__file__).parents[1] / "data" / "hinks2010_ccr5.csv")
    natural = StudyTable(data.study, {n: data.columns[n] for n in ("estimate", "ci_low", "ci_high")})
    effects = bm.effect_sizes(natural, "OR")
    np.testing.assert_allclose(effects.yi, np.log(data.column("estimate")), rtol=1e-15)
    np.testing.assert_allclose(effects.sei, data.column("sei"), rtol=1e-9)
    assert "log odds ratio" in effects.rule


def test_natural_scale_estimates_of_any_measure_use_its_scale() -> None:
    """Proportions go through the logit, correlations through Fisher's z, mean differences stay."""
    p = bm.effect_sizes(table(estimate=[0.2], ci_low=[0.13], ci_high=[0.295]), "PLO")
    assert p.yi[0] == pytest.approx(np.log(0.25))
    md = bm.effect_sizes(table(estimate=[2.0], ci_low=[1.0], ci_high=[3.0]), "MD")
    assert md.sei[0] == pytest.approx(1 / 1.959963984540054)
    with pytest.raises(bm.DataError, match="Give the counts"):
        bm.effect_sizes(table(estimate=[0.2], ci_low=[0.1], ci_high=[0.3]), "PFT")


def test_observed_minus_expected_give_petos_estimate() -> None:
    """(O - E) / V with variance 1 / V is the log ratio."""
    effects = bm.effect_sizes(table(o_e=[-4.0], v_o_e=[16.0]), "HR")
    assert (effects.yi[0], effects.sei[0]) == (-0.25, 0.25)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"yi": [0.1, np.nan], "sei": [0.1, 0.1]}, "yi = nan"),
        ({"yi": [0.1, np.inf], "sei": [0.1, 0.1]}, "yi = inf"),
        ({"yi": [0.1, 0.2], "sei": [0.1, 0.0]}, "sei = 0"),
        ({"yi": [0.1, 0.2], "sei": [0.1, -0.2]}, "sei = -0.2"),
        ({"yi": [0.1, 0.2], "vi": [0.1, -0.2]}, "variance -0.2"),
        ({"yi": [0.1, 0.2], "vi": [0.1, 0.0]}, "variance 0"),
        ({"yi": [0.1, 0.2], "sei": [0.1, 0.2], "vi": [0.01, 0.2]}, "contradict each other"),
        ({"estimate": [1.0, -0.2], "ci_low": [0.5, -0.5], "ci_high": [2.0, 0.1]}, "no odds ratio.*logarithm"),
        ({"estimate": [1.0, 0.2], "ci_low": [0.5, 0.0], "ci_high": [2.0, 0.9]}, "ci_low = 0 is no odds ratio"),
        ({"estimate": [1.0, 3.0], "ci_low": [0.5, 0.5], "ci_high": [2.0, 2.0]}, "outside its interval"),
        ({"yi": [0.1, 0.9], "sei": [0.1, 0.1], "estimate": [1.105, 0.9]}, "ratio itself, not its log"),
        ({"yi": [0.1, 3.0], "ci_low": [-0.2, 1.5], "ci_high": [0.4, 6.0]}, "is a ratio, not its log"),
        ({"yi": [0.1, 3.0], "sei": [0.1, 0.3], "ci_low": [-0.2, 1.5], "ci_high": [0.4, 6.0]}, "is a ratio, not its"),
    ],
)
def test_faulty_ready_estimates_are_refused_by_study(columns: dict[str, list[float]], message: str) -> None:
    """Impossible or contradictory estimates, and ratios where logs belong, are refused with their study."""
    with pytest.raises(bm.DataError, match=f"'S2'.*{message}"):
        bm.effect_sizes(table(**columns), "OR")


def test_an_asymmetric_interval_is_a_warning_that_names_the_study() -> None:
    """An odds ratio that is not in the middle of its interval on the log scale is reported."""
    data = table(study=["fine", "odd"], estimate=[0.88, 2.01], ci_low=[0.71, 1.02], ci_high=[1.07, 3.03])
    with pytest.warns(bm.DataWarning, match="interval of odd is not symmetric on the log odds ratio scale"):
        bm.effect_sizes(data, "OR")


def test_rounding_is_judged_study_by_study() -> None:
    """One study printed with one decimal is not held to the two decimals of the others."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", bm.DataWarning)
        effects = bm.effect_sizes(table(estimate=[1.2, 1.18], ci_low=[0.8, 0.9], ci_high=[1.6, 1.54]), "OR")
    assert effects.k == 2


def test_an_estimate_that_is_not_the_one_behind_yi_is_a_warning() -> None:
    """A log odds ratio of the wrong sign beside its odds ratio is reported, rounding is not."""
    good = {"yi": [-0.1278, 0.1655], "sei": [0.105, 0.137], "estimate": [0.88, 1.18]}
    assert bm.effect_sizes(table(**good), "OR").k == 2
    with pytest.warns(bm.DataWarning, match="yi of S1 is not the log odds ratio of the estimate"):
        bm.effect_sizes(table(**{**good, "yi": [0.1278, 0.1655]}), "OR")


@given(
    log_ratio=st.floats(-2, 2),
    se=st.floats(0.02, 1.0),
    places=st.integers(2, 4),
)
def test_rounding_alone_never_warns(log_ratio: float, se: float, places: int) -> None:
    """A correct interval printed with two to four decimals is symmetric within its rounding."""
    x, low, high = (round(float(np.exp(log_ratio + d * se)), places) for d in (0, -1.96, 1.96))
    if not 0 < low < x < high:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error", bm.DataWarning)
        effects = bm.effect_sizes(table(estimate=[x], ci_low=[low], ci_high=[high]), "RR")
    step = 10.0**-places
    assert effects.sei[0] == pytest.approx(se, rel=1e-3, abs=step / low)


@given(log_ratio=st.floats(-3, 3), se=st.floats(0.001, 1.5))
def test_logs_are_never_taken_for_ratios(log_ratio: float, se: float) -> None:
    """The guard against natural-scale ratios accepts every symmetric interval of a log."""
    y, low, high = (round(log_ratio + d * se, 3) for d in (0, -1.96, 1.96))
    if not low < y < high:
        return
    effects = bm.effect_sizes(table(yi=[y], sei=[se], ci_low=[low], ci_high=[high]), "OR")
    assert effects.yi[0] == y


def test_effect_sizes_refuse_ratios_stated_to_be_on_the_natural_scale() -> None:
    """Saying scale='natural' for a ratio is an error that names the first study and the way out."""
    with pytest.raises(bm.DataError, match=r"'A': OR = 0.88 is on the natural scale.*ci_low"):
        bm.EffectSizes([0.88], [0.1], study=("A",), measure="OR", scale="natural")


def test_raw_data_go_before_ready_estimates() -> None:
    """A table with counts and estimates is computed from its counts."""
    data = table(events_treatment=[6], n_treatment=[17], events_control=[2], n_control=[28], yi=[9.0], sei=[1.0])
    assert bm.effect_sizes(data, "OR").yi[0] == pytest.approx(1.95881355389122)
    assert bm.effect_sizes(data, "GEN").yi[0] == 9.0


def test_exclusions_of_the_table_are_kept() -> None:
    """Rows the reader or the user set aside stay listed with the effect sizes."""
    data = table(yi=[0.1, 0.2], sei=[0.1, 0.1]).drop(["S2"], reason="duplicate report")
    assert [(e.study, e.reason) for e in bm.effect_sizes(data, "MD").excluded] == [("S2", "duplicate report")]


def test_errors_name_the_file() -> None:
    """A refusal of numbers from a file begins with the file's name."""
    data = StudyTable(("A",), {"ri": np.array([2.0]), "n": np.array([20.0])}, source="trials.csv")
    with pytest.raises(bm.DataError, match=r"^trials.csv: Study 'A'"):
        bm.effect_sizes(data, "ZCOR")


# Freeman-Tukey scales


def test_the_double_arcsine_is_inverted_as_metafor_does() -> None:
    """Miller's inverse at each study's own size gives back its proportion, 0 and 1 included."""
    golden = json.loads((GOLDEN / "metafor_escalc_prop_mf5.json").read_text())
    n = np.array(golden["data"]["ni"], dtype=float)
    raw = compute_effects("PFT", {"events": golden["data"]["xi"], "n": n})
    ours = MEASURES["PFT"].to_natural(raw.yi, n)
    np.testing.assert_allclose(ours, golden["PFT_back_transform"]["ipft_individual"], rtol=1e-12, atol=1e-15)


def test_pooled_double_arcsines_use_the_harmonic_mean() -> None:
    """A pooled double arcsine at the harmonic mean of the sizes is what metafor's transf.ipft.hm gives."""
    n = np.array([10, 25, 9, 40, 20, 200, 1000])
    pooled = MEASURES["PFT"].to_natural(0.58499549370739, len(n) / (1 / n).sum())
    assert pooled == pytest.approx(0.295911949756071, rel=1e-13)
    rates = MEASURES["IRFT"].to_natural([0.01, 0.1, 0.3, 1.2], 24.3)
    np.testing.assert_allclose(rates, [0, 0, 0.0705999160772315, 1.41949737129804], rtol=1e-13)


@pytest.mark.parametrize(("name", "low", "high"), [("PFT", 0.0, 1.0), ("IRFT", 0.0, np.inf), ("PAS", 0.0, 1.0)])
def test_values_beyond_a_scale_end_at_its_ends(name: str, low: float, high: float) -> None:
    """Interval limits outside what a proportion or rate can give are its ends, never reflected back."""
    measure = MEASURES[name]
    assert measure.to_natural(-0.5, 10) == low
    assert measure.to_natural(0.01, 10) == pytest.approx(low, abs=1e-3)
    if np.isfinite(high):
        assert measure.to_natural(2.0, 10) == high


def test_limits_beyond_the_largest_number_are_infinite() -> None:
    """An absurdly wide interval of a log ratio ends at 0 and infinity, without a floating-point warning."""
    assert MEASURES["OR"].to_natural([-800.0, 800.0]).tolist() == [0.0, np.inf]


def test_only_tables_and_counts_become_effect_sizes() -> None:
    """A dictionary or effect sizes in place of a table is refused with the way to make one."""
    with pytest.raises(bm.DataError, match=r"not dict.*read_studies"):
        bm.effect_sizes({"yi": [1.0]}, "OR")  # type: ignore[arg-type]


def test_scales_that_need_a_size_say_so() -> None:
    """Freeman-Tukey scales have no inverse without a sample size, and no ratio is negative."""
    with pytest.raises(bm.DataError, match="harmonic mean"):
        MEASURES["PFT"].to_natural(0.5)
    with pytest.raises(bm.DataError, match="-1 is no odds ratio"):
        MEASURES["OR"].from_natural(-1)
    with pytest.raises(bm.DataError, match="no proportion"):
        MEASURES["PLO"].from_natural([0.2, 1.2])
    assert MEASURES["OR"].from_natural(0.0) == -np.inf


def test_a_million_studies_take_arrays_only() -> None:
    """The array core handles many meta-analyses at once and agrees with one of them alone."""
    k = 200_000
    rng = np.random.default_rng(1)
    n1, n2 = rng.integers(10, 200, k), rng.integers(10, 200, k)
    columns = {
        "events_treatment": rng.binomial(n1, 0.05),
        "n_treatment": n1,
        "events_control": rng.binomial(n2, 0.05),
        "n_control": n2,
    }
    group = np.repeat(np.arange(k // 20), 20)
    raw = compute_effects("OR", columns, to="if0all", group=group)
    first = compute_effects("OR", {name: v[:20] for name, v in columns.items()}, to="if0all")
    np.testing.assert_array_equal(raw.yi[:20], first.yi)
    assert np.isfinite(raw.yi).all()
