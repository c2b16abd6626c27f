"""Files as people have them: read as they stand, or refused with the question that decides."""

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.errors import DataError
from bayesmeta.reading.names import ALIASES, AMBIGUOUS, ARMS, CANONICAL, QUANTITIES


def read(tmp_path, text, name="t.csv", **options):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return bm.read_studies(path, **options)


def in_words(error, door="command line"):
    return error.value.said(door)


COUNTS = "study,ai,n1i,ci,n2i\nA,3,40,5,41\nB,7,120,12,118\nC,2,33,6,35\n"


class TestTotals:
    """A row that is the sum of the others is no study."""

    @pytest.mark.parametrize("row", ["Total,12,193,23,194", "All patients,12,193,23,194", "Overall,9,100,9,100"])
    def test_it_is_refused_by_name_or_by_sum(self, tmp_path, row):
        """Called a total, or equal to the sum of the others in every column."""
        with pytest.raises(DataError, match=row.split(",")[0]) as error:
            read(tmp_path, COUNTS + row + "\n")
        assert "--total-rows exclude" in in_words(error)
        assert 'total_rows = "exclude" under [data]' in in_words(error, "protocol")

    def test_left_out_the_answer_is_metafors(self, tmp_path):
        """Hartung-Knapp odds ratio 0.4992 [0.2481, 1.0046], p 0.0506, as metafor has it for the three studies."""
        table = read(tmp_path, COUNTS + "Total,12,193,23,194\n", total_rows="exclude")
        assert [(e.study, "totals" in e.reason) for e in table.excluded] == [("Total", True)]
        fit = bm.frequentist.pool(bm.effect_sizes(table, "OR"), method="REML", ci="hksj")
        assert np.exp([fit.mu, *fit.ci]) == pytest.approx([0.4992, 0.2481, 1.0046], abs=5e-5)
        assert fit.p_value == pytest.approx(0.0506, abs=5e-5)

    def test_a_user_may_say_that_it_is_a_study(self, tmp_path):
        """Then it is one."""
        assert read(tmp_path, COUNTS + "Total,12,193,23,194\n", total_rows="study").k == 4

    def test_studies_that_happen_to_begin_with_such_a_word_are_studies(self, tmp_path):
        """So are two studies of which one is twice the size of the other."""
        assert read(tmp_path, "study,ai,n1i,ci,n2i\nTotaro 2001,3,40,5,41\nSummers 2004,6,80,10,82\n").k == 2


class TestThousands:
    """A count is whole; what may be two or two thousand is asked."""

    @pytest.mark.parametrize(
        ("text", "mark"),
        [
            ("study;ai;n1i;ci;n2i\nA;30;2.000;50;2.100\nB;7;120;12;118\n", "."),
            ('study,ai,n1i,ci,n2i\nA,30,"2,000",50,"3,000"\nB,7,120,12,118\n', ","),
            ("study\tai\tn1i\tci\tn2i\nA\t3\t7.000\t5\t9.000\n", "."),
        ],
    )
    def test_an_ambiguous_one_is_refused_with_both_options(self, tmp_path, text, mark):
        """Three zeros behind a mark, and no other count of the column that shows what the mark is."""
        if mark == "." and "2.100" in text:
            text = text.replace("2.100", "3.000")
        with pytest.raises(DataError, match="patients") as error:
            read(tmp_path, text)
        assert f"--thousands {mark}" in in_words(error)
        assert f"--decimal {mark}" in in_words(error)
        assert f"thousands='{mark}'" in str(error.value)

    def test_either_answer_is_taken(self, tmp_path):
        """Seven thousand with thousands, seven with decimals."""
        text = "study;ai;n1i;ci;n2i\nA;3;7.000;5;9.000\n"
        assert read(tmp_path, text, thousands=".").column("n_treatment").tolist() == [7000.0]
        assert read(tmp_path, text, decimal=".").column("n_treatment").tolist() == [7.0]

    def test_a_number_that_can_only_be_thousands_is_read(self, tmp_path):
        """1,234 events are not 1.234 events, and beside them 1,020 is 1020."""
        text = 'study,ai,n1i,ci,n2i\nA,"1,234","12,500","1,310","12,480"\nB,87,"1,020",95,"1,015"\n'
        table = read(tmp_path, text)
        assert table.column("events_treatment").tolist() == [1234.0, 87.0]
        assert table.column("n_treatment").tolist() == [12500.0, 1020.0]

    def test_one_mark_cannot_be_both(self, tmp_path):
        """Decimal mark and thousands mark differ."""
        with pytest.raises(DataError, match="one mark"):
            read(tmp_path, COUNTS, decimal=",", thousands=",")


class TestSeveralRows:
    """Rows of one study are not independent."""

    TEXT = "study,yi,sei\nGale 2019,6.89,0.9\nKern 2018,0.81,0.3\nKern 2018,1.23,0.3\n"

    def test_they_are_refused_and_the_model_for_them_is_named(self, tmp_path):
        """By default, with what can be done."""
        with pytest.raises(DataError, match="'Kern 2018' appears twice") as error:
            read(tmp_path, self.TEXT)
        for words in ("multilevel", "--duplicates cluster", "--duplicates number", "--column outcome=..."):
            assert words in in_words(error)

    def test_they_can_be_kept_together(self, tmp_path):
        """The study is the cluster of its rows."""
        table = read(tmp_path, self.TEXT, duplicates="cluster")
        assert table.study == ("Gale 2019", "Kern 2018 (1)", "Kern 2018 (2)")
        assert table.columns["cluster"].tolist() == ["Gale 2019", "Kern 2018", "Kern 2018"]

    def test_taken_for_independent_studies_it_is_said(self, tmp_path):
        """The note says what that does to the answer."""
        table = read(tmp_path, self.TEXT, number_duplicates=True)
        assert any("surer than it is" in note and "Kern 2018" in note for note in table.notes)


@pytest.mark.parametrize(
    ("header", "row", "found"),
    [
        ("study,OR,OR_L95L,OR_U95L", "A,0.75,0.55,1.02", {"estimate": 0.75, "ci_low": 0.55, "ci_high": 1.02}),
        ("study,or,LCI,UCI", "A,0.75,0.55,1.02", {"ci_low": 0.55, "ci_high": 1.02}),
        ("study,estimate,conf.low,conf.high", "A,0.75,0.55,1.02", {"ci_low": 0.55, "ci_high": 1.02}),
        ("study,HR,lower.95,upper.95", "A,0.75,0.55,1.02", {"estimate": 0.75, "ci_low": 0.55, "ci_high": 1.02}),
        ("study,RR,lowerci,upperci", "A,0.75,0.55,1.02", {"ci_low": 0.55, "ci_high": 1.02}),
        ("study,OR,CIinf,CIsup", "A,0.75,0.55,1.02", {"ci_low": 0.55, "ci_high": 1.02}),
        ("study,OR,95% CI lower,95% CI upper", "A,0.75,0.55,1.02", {"ci_low": 0.55, "ci_high": 1.02}),
        ("study,mean1,sd1,n1,mean2,sd2,n2", "A,1,2,30,4,5,60", {"mean_treatment": 1, "sd_control": 5, "n_control": 60}),
        (
            "study,Mean Exp,SD Exp,N Exp,Mean Con,SD Con,N Con",
            "A,1,2,30,4,5,60",
            {"mean_treatment": 1, "sd_treatment": 2, "mean_control": 4, "n_control": 60},
        ),
        (
            "Study,Intervention Events,Intervention Total,Control Events,Control Total",
            "A,3,40,5,41",
            {"events_treatment": 3, "n_treatment": 40, "events_control": 5, "n_control": 41},
        ),
        (
            "study,x.a,n.a,x.c,n.c",
            "A,3,40,5,41",
            {"events_treatment": 3, "n_treatment": 40, "events_control": 5, "n_control": 41},
        ),
        ("study,OmE,v", "A,-1.5,3", {"o_e": -1.5, "v_o_e": 3}),
        ("study,events,total", "A,3,40", {"events": 3, "n": 40}),
        ("Study,Frequency,Sample Size", "A,34,120", {"events": 34, "n": 120}),
    ],
)
def test_headers_as_people_write_them(tmp_path, header, row, found):
    """Each says what it is, and is read so."""
    table = read(tmp_path, f"{header}\n{row}\n")
    assert {name: float(table.column(name)[0]) for name in found} == found


def test_an_arm_of_two_unknown_drugs_is_never_guessed(tmp_path):
    """Neither name is a control's, so which one is the treatment is asked."""
    with pytest.raises(DataError, match="no column"):
        read(tmp_path, "study,x.a,n.a,x.b,n.b\nA,3,40,5,41\n")


def test_no_spelling_means_two_things():
    """What is ambiguous is nobody's alias, words for arms and quantities differ, and all lead to known names."""
    assert not set(ALIASES) & set(AMBIGUOUS)
    assert set(ALIASES.values()) <= set(CANONICAL)
    assert not {w for w in ARMS if w in QUANTITIES}


def test_all_that_is_missing_is_listed_at_once_and_only_likely_columns_are_proposed(tmp_path):
    """The last column is no suggestion because it is the last; one whose name has all the words is."""
    text = "study,events treatment group,total treated patients,events control group,notes\nA,3,40,5,x\n"
    with pytest.raises(DataError, match="no column for") as error:
        read(tmp_path, text, columns={"events_treatment": "events treatment group"})
    said = in_words(error)
    for words in (
        "--column n_treatment=...",
        "--column events_control='events control group'",
        "--column n_control=...",
    ):
        assert words in said
    assert "notes'" not in said.replace("Columns: study", "")


class TestCells:
    """What stands in cells."""

    @pytest.mark.parametrize(
        "cell", ["0.75 (0.55-1.02)", "0.75 [0.55, 1.02]", "0.75 (0.55 to 1.02)", "0.75 (95% CI 0.55; 1.02)"]
    )
    def test_an_estimate_with_its_interval_in_one_cell(self, tmp_path, cell):
        """It is three numbers."""
        table = read(tmp_path, f'study,"OR (95% CI)"\nA,"{cell}"\nB,"0.85 (0.70-1.04)"\n')
        assert [float(table.column(name)[0]) for name in ("estimate", "ci_low", "ci_high")] == [0.75, 0.55, 1.02]
        effects = bm.effect_sizes(table, "OR")
        assert effects.yi[0] == pytest.approx(np.log(0.75))

    def test_an_estimate_with_its_standard_error_is_not_one(self, tmp_path):
        """One number in brackets may be anything: the column is not split."""
        with pytest.raises(DataError):
            read(tmp_path, "study,OR\nA,0.75 (0.12)\n")

    @pytest.mark.parametrize("code", ["-", "NE", "ND", "N.A.", "missing", "n/a", ".", "–", "not estimable", "NR"])
    def test_codes_for_missing_numbers(self, tmp_path, code):
        """The study is excluded by name."""
        table = read(tmp_path, f"study,yi,sei\nA,0.1,0.2\nB,{code},{code}\n")
        assert table.study == ("A",)
        assert table.excluded[0].study == "B"

    @pytest.mark.parametrize("minus", ["\u2212", "\u2013", "-", "\uff0d"])
    def test_minus_signs_of_word_processors(self, tmp_path, minus):
        """All of them mean minus."""
        assert read(tmp_path, f"study,yi,sei\nA,{minus}0.31,0.1\n").column("yi")[0] == -0.31


def test_medians_and_quartiles_become_means():
    """Median 10, quartiles 8 and 13 of 30: mean 10.3565 (Luo), SD 3.8921 (Wan)."""
    from bayesmeta.effects.medians import with_means

    columns = {
        f"{name}_treatment": np.array([v]) for name, v in (("median", 10.0), ("q1", 8.0), ("q3", 13.0), ("n", 30.0))
    }
    found, rows = with_means(columns)
    assert rows.tolist() == [True]
    assert float(found["mean_treatment"][0]) == pytest.approx(10.3565, abs=5e-5)
    assert float(found["sd_treatment"][0]) == pytest.approx(3.8921, abs=5e-5)


def test_effects_from_medians_say_so(tmp_path):
    """The rule names the studies and the methods."""
    text = "study,median_t,q1_t,q3_t,n_t,median_c,q1_c,q3_c,n_c\nA,10,8,13,30,9,7,12,31\n"
    effects = bm.effect_sizes(read(tmp_path, text), "MD")
    assert "A come from medians and quartiles" in effects.rule


class TestLayout:
    """Where the table begins, and what separates it."""

    def test_two_lines_of_names_are_recognised_and_joined(self, tmp_path):
        """Merged cells above the names of the columns."""
        text = ",Drug,,Placebo,\nStudy,Events,Total,Events,Total\nA,3,40,5,41\nB,7,120,12,118\n"
        with pytest.raises(DataError, match="two lines of column names") as error:
            read(tmp_path, text)
        assert "--header-row 1-2" in in_words(error)
        table = read(tmp_path, text, header_row="1-2")
        assert table.column("events_control").tolist() == [5.0, 12.0]

    def test_a_title_above_the_table(self, tmp_path):
        """The line of the names can be stated."""
        text = "Table 2. Deaths,,,,\n" + COUNTS
        with pytest.raises(DataError, match="title above the table") as error:
            read(tmp_path, text)
        assert "--header-row 2" in in_words(error)
        assert read(tmp_path, text, header_row=2).k == 3

    def test_spaces_separate(self, tmp_path):
        """As write.table of R does it, with quoted names."""
        text = 'study ai n1i ci n2i\n"A b" 3 40 5 41\nB  7 120 12 118\n'
        assert read(tmp_path, text, name="t.txt").study == ("A b", "B")

    def test_rows_named_by_r_are_studies(self, tmp_path):
        """write.table gives the column of row names no header."""
        text = '"yi" "sei"\n"A" 0.1 0.2\n"B" 0.3 0.2\n'.replace("yi", "yi").replace('"sei"', '"sei" "n"')
        text = text.replace("0.2\n", "0.2 10\n")
        assert read(tmp_path, text, name="t.txt").study == ("A", "B")


def test_counts_of_other_patients_than_the_means_do_not_block(tmp_path):
    """Means are analysed, and that the counts were left out is said."""
    text = "study,n1i,m1i,sd1i,n2i,m2i,sd2i,ai,bi,ci,di\nG,20,10,2,21,12,2.5,4,16,6,15\nH,60,9,2,59,11,3,10,40,15,36\n"
    table = read(tmp_path, text)
    assert bm.effect_sizes(table, "MD").yi.tolist() == [-2.0, -2.0]
    assert any("left out" in note for note in table.notes)
    with pytest.raises(DataError, match="events_treatment"):
        bm.effect_sizes(table, "OR")


def test_two_columns_with_intervals_are_not_split_unasked(tmp_path):
    """Which one is meant is the user's to say."""
    text = 'study,crude,adjusted\nA,"0.7 (0.5-0.9)","0.8 (0.6-1.1)"\n'
    with pytest.raises(DataError):
        read(tmp_path, text)
    assert read(tmp_path, text, columns={"estimate": "adjusted"}).column("estimate").tolist() == [0.8]
