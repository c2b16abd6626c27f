"""What headers and labels say beside the name of a column: levels, measures, percentages, arms and comparisons."""

import numpy as np
import pytest
from scipy.stats import norm

import bayesmeta as bm
from bayesmeta.errors import DataError
from bayesmeta.reading import read_many
from bayesmeta.reading.totals import total_rows


def read(tmp_path, text, **options):
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    return bm.read_studies(path, **options)


class TestLevels:
    """A standard error is the width of the interval over the quantile of its own level."""

    @pytest.mark.parametrize("level", [0.80, 0.90, 0.95, 0.98, 0.99])
    @pytest.mark.parametrize(
        "header",
        ["OR,{0}% CI lower,{0}% CI upper", "OR,lcl{0},ucl{0}", "or,L{0}L,U{0}L", "OR,ci_lower_{0},ci_upper_{0}"],
    )
    def test_headers_of_limits_state_it(self, tmp_path, header, level):
        """In any of the ways in which 95% is written."""
        text = f"study,{header.format(round(100 * level))}\nA,0.8,0.6,1.1\nB,0.9,0.7,1.2\n"
        effects = bm.effect_sizes(read(tmp_path, text), "OR")
        width = np.log([1.1 / 0.6, 1.2 / 0.7])
        assert effects.sei == pytest.approx(width / (2 * norm.ppf((1 + level) / 2)), rel=1e-12)
        assert f"{level:.0%}" in effects.rule

    @pytest.mark.parametrize(
        "text",
        [
            "study,OR (90% CI)\nA,0.8 (0.6-1.1)\nB,0.9 (0.7-1.2)\n",
            'study,Result\nA,"0.8 (90% CI 0.6 to 1.1)"\nB,"0.9 (90% CI: 0.7 to 1.2)"\n',
        ],
    )
    def test_cells_that_hold_an_interval_state_it(self, tmp_path, text):
        """In their header or in the cells themselves: 0.1843 and not 0.1546."""
        effects = bm.effect_sizes(read(tmp_path, text), "OR")
        assert effects.sei == pytest.approx(np.log([1.1 / 0.6, 1.2 / 0.7]) / (2 * 1.6448536269514722), rel=1e-12)

    def test_the_user_s_word_goes_before_the_header(self, tmp_path):
        """And is all there is where the header says nothing."""
        for header in ("OR,lower,upper", "OR,lcl95,ucl95"):
            table = read(tmp_path, f"study,{header}\nA,0.8,0.6,1.1\n", ci_level=0.9)
            assert bm.effect_sizes(table, "OR").sei[0] == pytest.approx(np.log(1.1 / 0.6) / 3.2897072539029444)
        assert bm.effect_sizes(table, "OR", level=0.99).sei[0] == pytest.approx(0.1177, abs=5e-5)

    @pytest.mark.parametrize(
        "text",
        ["study,OR,lcl90,ucl95\nA,0.8,0.6,1.1\n", "study,R\nA,0.8 (90% CI 0.6-1.1)\nB,0.9 (95% CI 0.7-1.2)\n"],
    )
    def test_two_levels_in_one_table_are_refused(self, tmp_path, text):
        """With the way to say which one holds."""
        with pytest.raises(DataError, match="two levels") as error:
            read(tmp_path, text)
        assert "--ci-level 0.95" in error.value.said("command line")

    def test_a_level_is_a_share(self, tmp_path):
        """95 is no level."""
        with pytest.raises(DataError, match="share"):
            read(tmp_path, "study,OR,lower,upper\nA,0.8,0.6,1.1\n", ci_level=95)


class TestMeasures:
    """A column that names its measure is not pooled as another one."""

    @pytest.mark.parametrize(
        ("header", "asked", "right"),
        [
            ("MD,lower,upper", "OR", "MD"),
            ("Hazard ratio,lower,upper", "OR", "HR"),
            ("RR,lower,upper", "OR", "RR"),
            ("OR,lower,upper", "GEN", "OR"),
            ("logOR,sei,x", "RR", "OR"),
            ("SMD,sei,x", "MD", "SMD"),
        ],
    )
    def test_it_is_refused_with_the_measure_to_ask_for(self, tmp_path, header, asked, right):
        """Or with the way to say that the name misleads, which then is taken."""
        text = f"study,{header}\nA,0.8,0.6,1.1\nB,0.9,0.7,1.2\n"
        with pytest.raises(DataError, match=asked) as error:
            bm.effect_sizes(read(tmp_path, text), asked)
        assert f"--measure {right}" in error.value.said("command line")
        ours = "yi" if "sei" in header else "estimate"
        stated = read(tmp_path, text, columns={ours: header.split(",")[0]})
        assert bm.effect_sizes(stated, asked).k == 2

    def test_a_cell_with_an_interval_names_its_measure_in_the_header(self, tmp_path):
        """``MD (95% CI)`` is no odds ratio."""
        table = read(tmp_path, "study,MD (95% CI)\nA,0.8 (0.6-1.1)\nB,0.9 (0.7-1.2)\n")
        assert bm.effect_sizes(table, "MD").yi == pytest.approx([0.8, 0.9])
        with pytest.raises(DataError, match="mean difference"):
            bm.effect_sizes(table, "OR")

    @pytest.mark.parametrize(
        ("header", "asked"),
        [("OR", "PETO"), ("RR", "IRR"), ("relative risk", "RR"), ("effect_size", "OR"), ("HR (adjusted)", "HR")],
    )
    def test_names_that_fit_or_say_nothing_are_taken(self, tmp_path, header, asked):
        """A relative risk may be one of rates."""
        columns = {"estimate": header} if header in ("effect_size", "HR (adjusted)") else {}
        table = read(tmp_path, f"study,{header},lower,upper\nA,0.8,0.6,1.1\nB,0.9,0.7,1.2\n", columns=columns)
        assert bm.effect_sizes(table, asked).k == 2

    def test_what_describes_patients_is_no_effect(self, tmp_path):
        """Median ages with their quartiles are printed as effects are with their limits."""
        with pytest.raises(DataError, match="no column"):
            read(tmp_path, 'study,"Age, median (IQR)"\nA,61 (54-68)\nB,63 (55-70)\n')


class TestArms:
    """Which arm is which is said by the table, or asked."""

    def test_a_placebo_in_the_first_arm_is_not_the_treated_one(self, tmp_path):
        """Stated the other way round, the table is read."""
        text = "study,group1,events1,n1,group2,events2,n2\nA,placebo,1,10,drug,2,11\nB,Placebo,3,20,drug,4,21\n"
        with pytest.raises(DataError, match="'placebo'") as error:
            read(tmp_path, text)
        assert "--column" in error.value.said("command line")
        columns = {"events_treatment": "events2", "n_treatment": "n2", "events_control": "events1", "n_control": "n1"}
        assert read(tmp_path, text, columns=columns).column("n_treatment").tolist() == [11, 21]
        turned = text.replace("placebo", "new drug").replace("Placebo", "new drug")
        assert read(tmp_path, turned.replace(",drug", ",usual care")).column("n_treatment").tolist() == [10, 20]

    def test_rows_of_several_comparisons_are_no_studies_of_one(self, tmp_path):
        """A treatment that stands on both sides makes a network, or a row with its sign turned."""
        rows = ["A,x,y,0.1,0.2", "B,y,z,0.3,0.2", "C,z,x,0.3,0.2"]
        with pytest.raises(DataError, match="network") as error:
            read(tmp_path, "study,treat1,treat2,TE,seTE\n" + "\n".join(rows) + "\n")
        assert "'x'" in str(error.value)
        with pytest.raises(DataError, match="both directions"):
            read(tmp_path, "study,treatment,control,yi,sei\nA,x,y,0.1,0.2\nB,y,x,0.3,0.2\n")
        assert read(tmp_path, "study,treat1,treat2,TE,seTE\nA,x,z,0.1,0.2\nB,y,z,0.3,0.2\n").k == 2

    def test_a_third_arm_is_named(self, tmp_path):
        """It is left out, and said to be."""
        header = "study,events_drug,n_drug,events_placebo,n_placebo,events_sham,n_sham\n"
        table = read(tmp_path, header + "A,1,10,2,10,3,10\nB,3,20,4,20,3,20\n")
        assert any("'sham'" in note and "further arm" in note for note in table.notes)

    def test_controls_beside_cases_are_no_arm(self, tmp_path):
        """Counts of a case-control study are asked for."""
        with pytest.raises(DataError, match="no column") as error:
            read(tmp_path, "study,cases_exposed,cases_total,controls_exposed,controls_total\nA,1,10,2,10\n")
        assert "n_control is" not in str(error.value)


class TestNumbers:
    """What is no count is not read as one."""

    @pytest.mark.parametrize("header", ["events_t (%)", "Events t %"])
    def test_percentages_are_refused(self, tmp_path, header):
        """Unless the user says that they are numbers."""
        text = f"study,{header},n_t,events_c,n_c\nA,10,100,20,100\nB,30,200,40,200\n"
        with pytest.raises(DataError, match="percentage"):
            read(tmp_path, text)
        assert read(tmp_path, text, columns={"events_treatment": header}).k == 2

    def test_events_named_r_are_no_correlations(self, tmp_path):
        """Whole numbers may be either, so it is asked."""
        text = "study,r,n\nA,0,10\nB,1,20\n"
        with pytest.raises(DataError, match="events or correlations"):
            read(tmp_path, text)
        assert read(tmp_path, text, columns={"events": "r"}).column("events").tolist() == [0, 1]
        assert "ri" in read(tmp_path, "study,r,n\nA,0.2,10\nB,0.0,20\n").columns

    @pytest.mark.parametrize("times", ["2.000;950", "2.000;3.000", "2.345;950"])
    def test_times_that_may_be_thousands_are_asked(self, tmp_path, times):
        """2.000 person-years beside 950 may be two thousand."""
        a, b = times.split(";")
        text = f"study;x1i;t1i;x2i;t2i\nA;1;{a};2;{b}\nB;3;{b};4;{a}\n"
        with pytest.raises(DataError, match="thousands") as error:
            read(tmp_path, text)
        assert "--thousands ." in error.value.said("command line")
        assert read(tmp_path, text, thousands=".").column("time_treatment").max() >= 950.0

    def test_times_with_other_decimals_are_times(self, tmp_path):
        """One of them with one or two digits after the point shows what the point is."""
        table = read(tmp_path, "study,x1i,t1i,x2i,t2i\nA,1,2.345,2,3.5\nB,3,17,4,18.25\n")
        assert table.column("time_treatment").tolist() == [2.345, 17.0]


class TestTotals:
    """Rows that are sums are found by what they are called or by what they are the sum of."""

    HEADER = "study,ai,n1i,ci,n2i\n"

    def test_subtotals_of_any_name_are_found(self, tmp_path):
        """Below their studies or above them; left out, the studies remain."""
        rows = ["A,1,10,2,10", "B,3,20,4,20", "Adults,4,30,6,30", "C,2,30,5,30", "D,1,11,1,13", "Children,3,41,6,43"]
        for lines in (rows, rows[::-1]):
            text = self.HEADER + "\n".join(lines) + "\n"
            with pytest.raises(DataError, match="Adults") as error:
                read(tmp_path, text)
            assert "'Children'" in str(error.value)
            assert {*read(tmp_path, text, total_rows="exclude").study} == {"A", "B", "C", "D"}

    def test_a_total_counts_studies_that_lack_a_number(self, tmp_path):
        """Their sizes are in it."""
        with pytest.raises(DataError, match="'Everybody'"):
            read(tmp_path, self.HEADER + "A,1,10,2,10\nB,3,20,4,20\nC,,30,5,30\nEverybody,4,60,11,60\n")

    @pytest.mark.parametrize(
        "name", ["Random effects model (HK)", "RE Model", "Overall effect", "All trials", "Pooled OR (95% CI)"]
    )
    def test_pooled_results_are_found_by_name(self, tmp_path, name):
        """A pooled effect has no counts to add up."""
        with pytest.raises(DataError, match="counts every patient twice"):
            read(tmp_path, f'study,yi,sei\nA,0.1,0.2\nB,0.3,0.2\n"{name}",0.2,0.14\n')

    def test_studies_are_rarely_taken_for_sums(self):
        """Of 500 made-up tables of 30 trials with equal arms of round sizes none has a row called a sum."""
        rng = np.random.default_rng(5)
        wrong = 0
        for _ in range(500):
            n = 10.0 * rng.integers(1, 30, 30)
            events = [rng.binomial(n.astype(int), p).astype(float) for p in (0.1, 0.2)]
            table = {"events_treatment": events[0], "n_treatment": n, "events_control": events[1], "n_control": n}
            wrong += bool(total_rows([f"S{i}" for i in range(30)], table))
            wrong += bool(total_rows(["S"] * 30, {"n_treatment": n, "n_control": n}))
        assert wrong == 0


class TestManyTables:
    """What headers say holds for files of many meta-analyses, too."""

    def test_levels_measures_and_percentages(self, tmp_path):
        """As in a file of one."""
        path = tmp_path / "m.csv"
        path.write_text("ma,study,OR,lcl90,ucl90\n1,A,0.8,0.6,1.1\n1,B,0.9,0.7,1.2\n")
        table = read_many(path, by="ma").table("1")
        assert bm.effect_sizes(table, "OR").sei[0] == pytest.approx(np.log(1.1 / 0.6) / 3.2897072539029444)
        with pytest.raises(DataError, match="odds ratio"):
            bm.effect_sizes(table, "HR")
        path.write_text("ma,study,events_t (%),n_t,events_c,n_c\n1,A,10,100,20,100\n")
        with pytest.raises(DataError, match="percentage"):
            read_many(path, by="ma")

    def test_totals_are_refused_or_left_out(self, tmp_path):
        """By their name."""
        path = tmp_path / "m.csv"
        path.write_text("ma,study,yi,sei\n1,A,0.8,0.6\n1,Total,0.9,0.7\n2,A,0.1,0.3\n")
        with pytest.raises(DataError, match="row 2, 'Total'"):
            read_many(path, by="ma")
        assert read_many(path, by="ma", total_rows="exclude").k == 2
        assert read_many(path, by="ma", total_rows="study").k == 3
