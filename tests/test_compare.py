"""Side by side: every row is what its method says, and thin data say what the answer rests on."""

import math

import numpy as np
import pytest
from scipy.stats import norm

import bayesmeta as bm
from bayesmeta.compare.caveats import caveats, reconstructed
from bayesmeta.compare.observed import observed_cells, observed_effect, observed_heads, totals
from bayesmeta.compare.published import check_published, why_q_differs
from bayesmeta.compare.rows import DL_HKSJ, DL_WALD, MH_COMMON, MH_RANDOM
from bayesmeta.compare.table import folded, harm_words, sections, text_lines, text_table
from bayesmeta.errors import ModelError
from bayesmeta.frequentist.printing import OUTSIDE
from bayesmeta.protocol import read_protocol
from bayesmeta.resources import data_dir
from bayesmeta.studies import EffectSizes, PublishedResult, TwoByTwo

PLAN = read_protocol(data_dir() / "rescue_stenting.toml")
# P(benefit): mean effect, three decimals, prior mu ~ normal(0, 2.82), tau ~ half_normal(0.5).
P_BENEFIT = {"favourable_outcome": "0.999", "mortality": "0.986", "symptomatic_ich": "0.843"}
UNREPORTED = {
    "favourable_outcome": ("Fourth study",),
    "mortality": ("Fourth study",),
    "symptomatic_ich": ("Cornelissen 2019", "Fourth study"),
}


def stenting(outcome: str, **options):
    return bm.compare(
        bm.read_studies(PLAN.data_path, outcome=outcome),
        benefit=PLAN.outcomes[outcome].benefit,
        published=PLAN.published(outcome),
        priors=PLAN.priors.texts(),
        engine="quadrature",
        **options,
    )


@pytest.fixture(scope="module")
def comparisons():
    return {outcome: stenting(outcome) for outcome in PLAN.outcomes}


@pytest.mark.parametrize("outcome", sorted(P_BENEFIT))
def test_the_mantel_haenszel_row_is_the_published_result(comparisons, outcome):
    """OR, both limits, I2 and p of the published analysis are reproduced at their printed precision."""
    checks = check_published(comparisons[outcome].row(MH_RANDOM), PLAN.published(outcome), "OR")
    assert [c.figure for c in checks] == ["Odds ratio", "lower limit", "upper limit", "I² (%)", "p"]
    assert [c.figure for c in checks if not c.equal] == []


@pytest.mark.parametrize("outcome", sorted(P_BENEFIT))
def test_the_probability_of_benefit_prints_to_three_decimals(comparisons, outcome):
    """P(benefit) of the mean effect prints as its reference value."""
    rows = {row[0]: row for row in sections(comparisons[outcome])[0].rows}
    assert rows["Bayesian quadrature"][-2] == P_BENEFIT[outcome]


def test_mortality_i2_depends_on_the_centre_of_q(comparisons):
    """DerSimonian-Laird's I2 is 41.7 where RevMan's is 43.3, and the explanation carries both and both Q."""
    comparison = comparisons["mortality"]
    assert pytest.approx(41.7, abs=0.05) == comparison.row(DL_WALD).I2
    assert pytest.approx(43.3, abs=0.05) == comparison.row(MH_RANDOM).I2
    said = why_q_differs(comparison)
    assert all(words in said for words in ("41.7%", "43.3%", "5.147", "5.295", "3 degrees of freedom"))


def test_no_explanation_where_nothing_differs():
    """Where both centres give the same figures nothing is explained."""
    assert why_q_differs(stenting("favourable_outcome")) == ""


@pytest.mark.parametrize("outcome", sorted(UNREPORTED))
def test_every_method_is_repeated_without_reconstructed_counts(comparisons, outcome):
    """The rows without the unprinted studies are those of the table without them."""
    dropped = UNREPORTED[outcome]
    comparison = comparisons[outcome]
    fewer = bm.compare(
        bm.read_studies(PLAN.data_path, outcome=outcome).drop(dropped),
        benefit=PLAN.outcomes[outcome].benefit,
        engine="quadrature",
    )
    for method in (MH_RANDOM, DL_WALD, DL_HKSJ, "Bayesian quadrature"):
        ours, direct = comparison.row(method, dropped), fewer.row(method)
        assert ours.k == 4 - len(dropped)
        assert (ours.mu, *ours.interval) == pytest.approx((direct.mu, *direct.interval), rel=1e-12)


def test_a_dagger_follows_every_reconstructed_study(comparisons):
    """Marked k, marked study names and the footnote all appear in the printed table."""
    text = text_table(comparisons["symptomatic_ich"])
    assert "4†" in text
    assert "Without Cornelissen 2019 †, Fourth study †" in text
    assert "† The counts of Cornelissen 2019 and Fourth study" in text


def test_rows_say_their_kind_of_interval(comparisons):
    """Classical rows have confidence intervals, Bayesian ones credible and posterior prediction intervals."""
    for row in comparisons["mortality"].rows:
        expected = "credible" if row.kind == "bayesian" else "confidence"
        assert row.interval.kind == expected
        if row.kind == "bayesian":
            assert row.prediction.kind == "posterior prediction"
            assert row.p_value is None
        else:
            assert row.p_benefit_mean is None


def test_benefit_lower_and_higher_are_complements():
    """P(benefit) with the directions swapped sums to one, for the mean and for a new study."""
    table = bm.read_studies(PLAN.data_path, outcome="mortality")
    lower, higher = (
        bm.compare(table, benefit=b, engine="quadrature").row("Bayesian quadrature") for b in ("lower", "higher")
    )
    assert lower.p_benefit_mean + higher.p_benefit_mean == pytest.approx(1, abs=1e-12)
    assert lower.p_benefit_new + higher.p_benefit_new == pytest.approx(1, abs=1e-12)


def test_the_frame_has_one_row_a_method(comparisons):
    """`to_frame` carries the rows' numbers."""
    comparison = comparisons["mortality"]
    frame = comparison.to_frame()
    assert list(frame["method"]) == [r.method for r in comparison.rows]
    assert np.allclose(frame["mu"], [r.mu for r in comparison.rows])
    assert list(frame["interval"]) == [r.interval.kind for r in comparison.rows]


def test_common_effect_row_on_request():
    """The Mantel-Haenszel common-effect row is there when asked for, with no tau and no prediction interval."""
    row = stenting("mortality", common_effect=True).row(MH_COMMON)
    assert math.exp(row.mu) == pytest.approx(0.433, abs=5e-4)
    assert (row.tau, row.prediction) == (None, None)


def test_ready_estimates_have_no_mantel_haenszel_row():
    """Without 2x2 counts the Mantel-Haenszel row is absent and the reason is printed."""
    effects = EffectSizes(yi=[0.1, 0.3, -0.2], sei=[0.2, 0.3, 0.25], measure="MD")
    comparison = bm.compare(effects, priors={"mu": "normal(0, 10)", "tau": "half_normal(1)"}, engine="quadrature")
    assert [a.method for a in comparison.absent] == [MH_RANDOM]
    assert "not for MD" in text_table(comparison)
    with pytest.raises(ModelError, match="not for MD"):
        comparison.row(MH_RANDOM)


def test_tau_is_printed_in_the_unit_of_the_measure():
    """On an unnamed unit tau keeps three digits, however small the unit is."""
    effects = EffectSizes([1e-8, 2e-8, 5e-8], [1e-8, 1e-8, 2e-8], measure="GEN")
    comparison = bm.compare(effects, priors={"mu": "flat()", "tau": "half_normal(1e-8)"}, engine="quadrature")
    cells = {row[0]: row[5] for row in sections(comparison)[0].rows}
    tau = comparison.posterior("quadrature").tau.median()
    assert float(cells["Bayesian quadrature"]) == pytest.approx(tau, rel=5e-3)


def test_one_study_runs_and_says_that_tau_is_its_prior():
    """With k = 1 and a flat mu the posterior of tau is its prior; the table says what k = 1 rests on."""
    counts = TwoByTwo([3], [20], [7], [21])
    flat = bm.compare(counts, benefit="lower", engine="quadrature", priors={"mu": "flat()"}).posterior("quadrature")
    q = np.linspace(0.05, 0.95, 7)
    assert flat.tau.ppf(q) == pytest.approx(flat.priors["tau"].ppf(q), rel=1e-8)
    comparison = bm.compare(counts, benefit="lower", engine="quadrature")
    assert any("posterior of tau is its prior" in c for c in comparison.caveats)
    assert [a.method for a in comparison.absent] == [DL_HKSJ]


def test_two_studies_run_and_say_what_tau_rests_on():
    """With k = 2 the answer says that tau rests on its prior."""
    comparison = bm.compare(TwoByTwo([3, 4], [20, 30], [7, 8], [21, 33]), benefit="lower", engine="quadrature")
    assert any(c.startswith("k = 2") for c in comparison.caveats)


def test_an_arm_without_any_event_runs_and_says_what_the_answer_rests_on():
    """No event in any treatment arm: the caveat names the arm and the exact model."""
    comparison = bm.compare(TwoByTwo([0, 0, 0], [20, 30, 9], [7, 8, 1], [21, 33, 9]), engine="quadrature")
    said = " ".join(comparison.caveats)
    assert "with an event in the treatment arm" in said
    assert "'hypergeometric_normal' model on the counts" in said


def test_a_double_zero_study_is_named():
    """A study without events in both arms is named as saying almost nothing."""
    counts = TwoByTwo([0, 3], [10, 20], [0, 5], [10, 22], study=("Empty", "Full"))
    comparison = bm.compare(counts, engine="quadrature")
    assert any(c.startswith("Empty: no event, or only events, in both arms") for c in comparison.caveats)


def test_caveats_are_silent_on_ample_data():
    """Many studies without zero cells or reconstructed counts need no warning."""
    events = np.arange(5, 15)
    counts = TwoByTwo(events, events + 50, events + 2, events + 60)
    assert caveats(bm.effect_sizes(counts, "OR")) == ()
    assert reconstructed(counts) == ()


@pytest.mark.parametrize(
    ("printed", "value", "equal"),
    [("0.39", 0.3849, False), ("0.39", 0.38501, True), ("0.4", 0.385, True), ("43", 43.49, True), ("0", 0.6, False)],
)
def test_agreement_is_judged_at_the_printed_digits(printed, value, equal):
    """A figure agrees when rounding it half up to the printed decimals gives the printed figure."""
    effects = EffectSizes([math.log(value)], [1.0], measure="OR")
    published = PublishedResult(source="a paper", estimate=printed)
    row = bm.compare(effects, engine="quadrature").row(DL_WALD)
    assert check_published(row, published, "OR")[0].equal is equal


@pytest.mark.parametrize(
    ("printed", "value", "equal"),
    [
        ("<0.001", 0.0009, True),
        ("<0.001", 0.002, False),
        ("0.03", 0.03496, True),
        ("0.03", 0.036, False),
        (">0.5", 0.6, True),
    ],
)
def test_a_printed_p_value_may_be_a_bound(printed, value, equal):
    """``<0.001`` agrees with any smaller p."""
    effects = EffectSizes([float(norm.isf(value / 2))], [1.0], measure="OR")
    row = bm.compare(effects, engine="quadrature").row(DL_WALD)
    assert row.p_value == pytest.approx(value)
    assert check_published(row, PublishedResult(source="a paper", p=printed), "OR")[0].equal is equal


def test_no_figure_is_lost_when_the_table_is_folded(comparisons):
    """Folded to 80 columns, every cell of the wide table is still there and no line is wider."""
    comparison = comparisons["symptomatic_ich"]
    lines = [line.text for line in text_lines(comparison, 80) if line.kind not in ("note", "group")]
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert all(cell in text for part in sections(comparison) for row in part.rows for cell in row)
    assert folded([10, 50, 50], 20) == [[0, 1], [0, 2]]


def test_the_printed_table_fits_a_wide_terminal(comparisons):
    """Unfolded, the table of each outcome is at most 120 columns wide."""
    for comparison in comparisons.values():
        assert max(len(line.text) for line in text_lines(comparison) if line.kind not in ("note", "group")) <= 120


def test_a_hartung_knapp_interval_narrower_than_wald_is_pointed_out(comparisons):
    """For haemorrhage the HKSJ interval is the narrower one, and the table warns; for mortality it is not."""
    narrow, wide = comparisons["symptomatic_ich"], comparisons["mortality"]
    assert any("HKSJ" in c for c in narrow.caveats)
    assert not any("HKSJ" in c for c in wide.caveats)


def test_unknown_names_are_refused():
    """An unknown engine or direction is an error that lists the known ones."""
    counts = TwoByTwo([3], [20], [7], [21])
    with pytest.raises(ModelError, match="quadrature"):
        bm.compare(counts, engine="quadratur")
    with pytest.raises(ModelError, match="lower"):
        bm.compare(counts, benefit="less")


def test_rate_ratios_are_pooled_by_mantel_haenszel():
    """The common-effect row of rate ratios is metafor's rma.mh, and the random one goes about the same centre."""
    table = bm.read_studies(data_dir() / "catheter_bloodstream_nielweise2008.csv")
    found = bm.compare(table, measure="IRR", common_effect=True, engine="quadrature")
    row = found.row(MH_COMMON)
    assert (row.mu, *row.interval) == pytest.approx((MH_IRR["b"], MH_IRR["low"], MH_IRR["high"]), rel=1e-9)
    random = bm.frequentist.mantel_haenszel(table.person_time(), measure="IRR", random=True)
    assert found.row(MH_RANDOM).mu == random.mu
    counts = bm.compare(table.person_time(), measure="IRR", model=["poisson_normal"], engine="quadrature")
    assert counts.row("Bayesian quadrature").mu == bm.fit(table.person_time(), "poisson_normal").mu.median()


# metafor 3.8, rma.mh(measure="IRR") of dat.nielweise2008.
MH_IRR = {"b": -0.4151752334923, "low": -0.7747094754863, "high": -0.0556409914983}


def one_arm() -> bm.StudyTable:
    columns = {"events": np.array([0.0, 3.0, 10.0]), "n": np.array([20.0, 40.0, 55.0])}
    return bm.StudyTable(study=("Smith et al.", "Jones et al.", "Mayer 2001"), columns=columns)


def test_proportions_are_called_proportions_and_not_tested():
    """The column holds proportions and says so; there is no p-value, as no value means no effect."""
    found = bm.compare(one_arm(), measure="PLO", engine="quadrature")
    text = str(found)
    assert "proportion" in text.splitlines()[1]
    assert "PLO" not in text
    assert {row.p_value for row in found.rows} == {None}
    assert "Mantel-Haenszel" not in text
    assert ".." not in text
    assert "z = " not in str(bm.frequentist.pool(found.effects))


def test_events_of_correlations_are_said_of_correlations():
    """A probability is of a correlation beyond a value, not of its code."""
    effects = bm.EffectSizes(yi=[0.2, 0.4], sei=[0.1, 0.1], measure="ZCOR")
    assert "P(correlation > 0)" in str(bm.compare(effects, benefit="higher", engine="quadrature"))


def test_what_was_counted_stands_before_what_was_added():
    """0 of 20 is a proportion of 0, whatever was added to take its logit; counts of every family print."""
    effects = bm.effect_sizes(one_arm(), "PLO")
    assert [observed_cells(effects, i) for i in range(3)] == [("0/20",), ("3/40",), ("10/55",)]
    assert [observed_effect(effects, i) for i in range(3)] == [0.0, 3 / 40, 10 / 55]
    assert effects.yi[0] == pytest.approx(math.log(0.5 / 20.5))
    rest = effects.drop(["Jones et al."])
    assert observed_cells(rest, 1) == ("10/55",)
    rates = bm.StudyTable(study=("a",), columns={"events": np.array([3.0]), "time": np.array([150.5])})
    assert observed_cells(bm.effect_sizes(rates, "IRLN"), 0) == ("3/150.5",)
    assert observed_heads(bm.EffectSizes(yi=[0.1], sei=[0.1], measure="PLO")) == ()
    two = bm.effect_sizes(TwoByTwo([0], [17], [2], [28]), "OR")
    assert observed_cells(two, 0) == ("0/17", "2/28")
    timed = bm.PersonTime([1, 2], [10.0, 20.0], [3, 4], [30.0, 40.0])
    assert observed_cells(bm.effect_sizes(timed, "IRR"), 1) == ("2/20", "4/40")


def test_one_study_has_no_classical_tau():
    """With one study both schools say the same of tau from the data: nothing."""
    found = bm.compare(TwoByTwo([10], [50], [4], [52], study=["Smith et al."]), engine="quadrature")
    row = found.row(DL_WALD)
    assert (row.tau, row.I2) == (None, None)
    assert "1 studies" not in str(found)
    assert str(bm.fit(found.effects)).splitlines()[0].endswith("1 study; analysis scale")


def test_a_label_that_ends_in_a_stop_ends_a_sentence():
    """No sentence has two full stops after a study called 'Smith et al.'."""
    counts = TwoByTwo([3, 5, 9], [50, 60, 70], [6, 9, 12], [50, 60, 70], study=["A et al.", "B et al.", "C et al."])
    found = bm.compare(counts, without=["A et al.", "B et al."], engine="quadrature")
    assert "without A et al. and B et al. " in str(found)
    assert ".." not in str(found)
    assert ".." not in str(bm.tipping_point(counts, benefit="lower"))


def test_a_tau_outside_its_own_interval_says_why():
    """DL tau2 of 1.15 beside a Q-profile interval from 1.76 is explained where it is printed."""
    effects = bm.EffectSizes(yi=[6.89, 0.81, 1.23, 0.67, 0.97, 0.30], sei=[0.9, 0.3, 0.3, 0.3, 0.4, 0.4], measure="MD")
    fit = bm.frequentist.pool(effects, method="DL")
    assert fit.tau2 == pytest.approx(1.1489, abs=1e-4)
    assert fit.tau2_ci.low == pytest.approx(1.7638, abs=1e-4)
    assert OUTSIDE in str(fit)
    assert OUTSIDE not in str(bm.frequentist.pool(effects, method="PM"))
    priors = {"mu": "normal(0, 10)", "tau": "half_normal(2)"}
    found = bm.compare(effects, priors=priors, engine="quadrature")
    assert f"DerSimonian-Laird and DerSimonian-Laird HKSJ: {OUTSIDE}" in found.caveats
    inside = bm.compare(effects.drop(["Study 1"]), priors=priors, engine="quadrature")
    assert not any(OUTSIDE in c for c in inside.caveats)


def test_a_harmful_treatment_is_said_to_harm():
    """Where harm is more probable than benefit a sentence says how probable, by the other side of the posterior."""
    counts = TwoByTwo([20, 25, 35], [50, 50, 80], [4, 9, 9], [52, 52, 82])
    found = bm.compare(counts, benefit="lower", engine="quadrature")
    row = found.row("Bayesian quadrature")
    p_new = float(row.source.theta_new.sf(0.0))
    assert harm_words(found, row) == (
        f"The probability of harm (OR > 1) is >0.999 for the mean effect and {p_new:.3f} for the true effect of a new "
        "study."
    )
    tipped = str(bm.tipping_point(counts, benefit="lower"))
    assert "P(harm (OR > 1), mean effect | data) = >0.999" in tipped


@pytest.mark.parametrize(
    ("effects", "said"),
    [
        (bm.effect_sizes(one_arm(), "PLO"), "; 13 events in 115 patients"),
        (
            bm.effect_sizes(bm.PersonTime([1, 2], [10.0, 20.5], [3, 4], [30.0, 40.0]), "IRR"),
            "; treatment 3 events in 30.500 units of person-time, control 7 in 70.000",
        ),
        (bm.EffectSizes(yi=[0.1], sei=[0.1], measure="PLO"), ""),
    ],
)
def test_totals_are_sums_of_what_was_counted(effects, said):
    """Events and patients of all studies, as counted; nothing for ready estimates."""
    assert totals(effects) == said
