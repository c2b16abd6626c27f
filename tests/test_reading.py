"""From files and frames to study tables: columns, outcomes, labels, exclusions and every error."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bayesmeta as bm
from bayesmeta.effects import MEASURES, compute_effects
from bayesmeta.errors import DataError
from bayesmeta.reading import read_frame, read_many, read_studies
from bayesmeta.reading.names import ALIASES, AMBIGUOUS, CANONICAL, normalise

DATA = Path(__file__).resolve().parents[1] / "data"
HEADER = "study,year,events_treatment,n_treatment,events_control,n_control\n"


def write(folder: Path, text: str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_stenting_table_is_read_with_its_lines_and_its_mapping():
    """Columns, file lines, hash and outcome are kept, and printing shows what was read as what."""
    table = bm.read_studies(DATA / "rescue_stenting.csv", outcome="mortality")
    assert table.study == ("Cornelissen 2019", "Chang 2018", "Peng 2020 (matched)", "Fourth study")
    assert table.row == (6, 7, 8, 9)
    assert table.outcome == "mortality"
    assert len(table.sha256) == 64
    assert table.column("events_control").tolist() == [5, 19, 29, 9]
    assert "n_control <- 'n_control'" in str(table)
    assert table.columns["status"].tolist()[-1] == "reconstructed"


@pytest.mark.parametrize("path", sorted(DATA.glob("*.csv")), ids=lambda p: p.stem)
def test_every_data_set_is_a_table_or_says_what_it_lacks(path):
    """The shipped data sets are read, outcome by outcome; an index is no table of effects."""
    # True and false positives are two effects a study, not a table of one: the diagnostic models take them.
    if path.stem in ("INDEX", "rescue_stenting_published", "alcohol_screening_kriston2008"):
        with pytest.raises(DataError):
            read_studies(path)
        return
    try:
        tables = [read_studies(path, duplicates="number")]
    except DataError as error:
        outcomes = re.findall(r"'([^']+)'", str(error).partition(" outcomes: ")[2])
        tables = [read_studies(path, outcome=o, duplicates="number") for o in outcomes]
    assert tables
    assert all(table.k >= 1 for table in tables)


@pytest.mark.parametrize(("spelling", "canonical"), sorted(ALIASES.items()))
def test_every_spelling_means_one_thing(spelling, canonical):
    """A spelling is normalised already, has one meaning, and is not ambiguous."""
    assert normalise(spelling) == spelling
    assert canonical in CANONICAL
    assert spelling not in AMBIGUOUS


def test_the_columns_of_every_measure_can_be_read():
    """A measure cannot need a column that no reader fills."""
    for measure in MEASURES.values():
        assert set(measure.columns) <= set(CANONICAL), measure.name


@pytest.mark.parametrize("frame", ["pandas", "polars", "pyarrow"])
def test_any_data_frame_reads_as_the_file_does(frame):
    """pandas, polars and pyarrow frames give the same table as the CSV they came from."""
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    source = pd.read_csv(DATA / "bcg_vaccine.csv")
    frames = {"pandas": source, "polars": pl.from_pandas(source), "pyarrow": pa.Table.from_pandas(source)}
    got, want = bm.read_studies(frames[frame]), bm.read_studies(DATA / "bcg_vaccine.csv")
    assert got.study == want.study
    for name in want.columns:
        np.testing.assert_array_equal(got.columns[name], want.columns[name])
    assert got.row[0] == 1


def test_absent_values_of_pandas_are_blanks():
    """pandas.NA, NaT, None and NaN are all the absence of a value."""
    import pandas as pd

    frame = pd.DataFrame({"study": ["A", "B", "C"], "yi": pd.array([1.0, pd.NA, 2.0]), "sei": [1.0, 1.0, None]})
    table = read_frame(frame)
    assert table.study == ("A",)
    assert [e.study for e in table.excluded] == ["B", "C"]


def test_something_that_is_no_frame_is_refused():
    """Only paths and data frames are sources."""
    with pytest.raises(DataError, match="not list"):
        bm.read_studies([1, 2])


class TestColumns:
    """Which column is what."""

    @pytest.mark.parametrize("header", sorted(AMBIGUOUS))
    def test_ambiguous_columns_are_never_guessed(self, tmp_path, header):
        """The error names both readings and how to state each."""
        path = write(tmp_path, f"study,effect_estimate_x,{header}\nA,1,1\n")
        with pytest.raises(DataError, match=r"may be .* or .*columns=\{.*columns=\{"):
            read_studies(path)

    def test_an_ambiguous_column_can_be_stated(self, tmp_path):
        """Saying what a column is settles it: as a standard error or as a variance."""
        path = write(tmp_path, "study,yi,v\nA,1,4\n")
        assert read_studies(path, columns={"vi": "v"}).column("sei").tolist() == [2.0]
        assert read_studies(path, columns={"sei": "v"}).column("sei").tolist() == [4.0]

    def test_an_ambiguous_column_beside_sound_data_is_left_alone_and_noted(self, tmp_path):
        """A table that needs no guess is read, and the note says what was not interpreted."""
        table = read_studies(write(tmp_path, "study,ai,n1i,ci,n2i,se\nA,1,9,2,9,3\n"))
        assert table.column("events_control").tolist() == [2]
        assert any("'se' was not interpreted" in note for note in table.notes)

    def test_metafors_ci_is_a_count_beside_ai(self, tmp_path):
        """ai, bi, ci, di are the cells of metafor, so ci is no interval there."""
        table = read_studies(write(tmp_path, "study,ai,bi,ci,di\nA,1,8,2,7\n"))
        assert table.mapping["events_control"] == "ci"
        assert table.column("n_control").tolist() == [9]

    @pytest.mark.parametrize("header", ["O-E,Variance", "O.E,V", "o_e,v_o_e"])
    def test_a_variance_beside_o_minus_e_is_its_variance(self, tmp_path, header):
        """O-E and its variance come in pairs; the effect is their quotient."""
        table = read_studies(write(tmp_path, f"study,{header}\nA,-1,2\nB,1,4\n"))
        effects = bm.effect_sizes(table, "PETO")
        assert effects.yi.tolist() == [-0.5, 0.25]
        np.testing.assert_allclose(effects.sei, [2**-0.5, 0.5], rtol=1e-15)

    @pytest.mark.parametrize(("effect", "error"), [("logHR", "se_logHR"), ("log OR", "SE(log OR)"), ("MD", "SE_MD")])
    def test_effects_named_with_their_measure_are_known(self, tmp_path, effect, error):
        """A column that says whose standard error it is needs no guess."""
        table = read_studies(write(tmp_path, f"study,{effect},{error}\nA,0.5,0.25\n"))
        assert (table.column("yi").tolist(), table.column("sei").tolist()) == ([0.5], [0.25])

    def test_two_columns_for_one_meaning_are_refused(self, tmp_path):
        """n1i beside Total 1: which one is the arm size must be said."""
        path = write(tmp_path, "study,ai,n1i,Total 1,ci,n2i\nA,1,9,8,2,9\n")
        with pytest.raises(DataError, match=r"'n1i' and 'Total 1' both look like n_treatment"):
            read_studies(path)
        assert read_studies(path, columns={"n_treatment": "n1i"}).column("n_treatment").tolist() == [9]

    def test_a_missing_column_is_named_with_what_there_is(self, tmp_path):
        """The error lists the columns of the file and the sets that would do."""
        path = write(tmp_path, "study,events_treatment,n_treatment,events_control\nA,1,9,2\n")
        with pytest.raises(DataError, match=r"no column for n_control .*Columns: study, events_treatment"):
            read_studies(path)

    @pytest.mark.parametrize(
        ("columns", "words"),
        [
            ({"sai": "yi"}, "Did you mean 'sei'"),
            ({"sei": 3}, "no column 3"),
            ({"sei": "see"}, "no column 'see' .for sei.. Did you mean 'sei'"),
        ],
    )
    def test_a_wrong_statement_is_refused(self, tmp_path, columns, words):
        """Unknown names and headers in columns= are errors with the nearest match."""
        with pytest.raises(DataError, match=words):
            read_studies(write(tmp_path, "study,yi,sei\nA,1,1\n"), columns=columns)

    def test_contradicting_variance_and_standard_error_are_refused(self, tmp_path):
        """A variance that is not the square of its standard error shows a swapped or mistaken column."""
        with pytest.raises(DataError, match=r"study 'A'.*contradict"):
            read_studies(write(tmp_path, "study,yi,sei,vi\nA,1,0.2,0.2\n"))

    def test_natural_scale_estimates_keep_their_limits(self):
        """Odds ratios with limits are canonical estimate, ci_low and ci_high, beside yi and sei."""
        table = read_studies(DATA / "hinks2010_ccr5.csv")
        assert {"estimate", "ci_low", "ci_high", "yi", "sei"} <= set(table.columns)
        assert table.mapping["ci_low"] == "or_lower"


BAD_CELLS = [
    ("A,2001,12a,50,3,40", "line 3, study 'A', column 'events_treatment': '12a' is not a number"),
    ("A,2001,-1,50,3,40", "line 3, study 'A', column 'events_treatment': -1 is impossible: a count"),
    ("A,2001,1.5,50,3,40", "1.5 is impossible: a count must be a whole number"),
    ("A,2001,1,0,3,40", "column 'n_treatment': 0 is impossible: a sample size"),
    ("A,2001,51,50,3,40", "51 events among 50 patients .column 'n_treatment'.: events cannot exceed"),
    ("A,2001,1,50,3,1e400", "column 'n_control': '1e400' is not finite"),
    ("A,2001,1,50,3,inf", "'inf' is not a number"),
    ("A,2001,1,50,3,0x10", "'0x10' is not a number"),
    ("A,2001,1,50,3,1_000", "'1_000' is not a number"),
    ('A,2001,1,50,3,"1,000"', "may be 1.000 or 1000 patients"),
    ("A,2001,1,50,3,٣", "is not a number"),
    (",2001,1,50,3,40", "line 3, column 'study': the study has no name"),
    ("First,2000,1,50,3,40", "lines 2 and 3: study 'First 2000' appears twice"),
]


@pytest.mark.parametrize(("row", "words"), BAD_CELLS)
def test_a_bad_cell_is_named_with_file_line_study_column_value_and_rule(tmp_path, row, words):
    """Every impossible cell ends in an error that says where it stands and what the rule is."""
    path = write(tmp_path, f"{HEADER}First,2000,1,10,2,10\n{row}\n")
    with pytest.raises(DataError, match=words) as error:
        read_studies(path)
    assert str(path) in str(error.value)


def test_blank_counts_exclude_a_study_with_its_reason(tmp_path):
    """A row without its numbers is kept as an exclusion: study, reason and line."""
    table = read_studies(write(tmp_path, f"{HEADER}A,,1,10,2,10\nB,,,10,2,NA\n"))
    (gone,) = table.excluded
    assert (gone.study, gone.row) == ("B", 3)
    assert gone.reason == "no value for events_treatment, n_control"
    assert bm.effect_sizes(table, "OR").excluded == table.excluded


def test_a_table_of_blanks_is_refused(tmp_path):
    """No row with its numbers is an error and not an empty table."""
    with pytest.raises(DataError, match="none of the 1 rows"):
        read_studies(write(tmp_path, f"{HEADER}A,,,,,\n"))


class TestSources:
    """Files that are not there, or not files."""

    def test_a_missing_file_names_the_nearest(self, tmp_path):
        """A misspelt name is met with the file that is there."""
        write(tmp_path, "x", "studies.csv")
        with pytest.raises(DataError, match=r"no such file\. Did you mean 'studies.csv'"):
            read_studies(tmp_path / "study.csv")
        with pytest.raises(DataError, match="There is no folder"):
            read_studies(tmp_path / "none" / "x.csv")

    def test_a_folder_is_no_file(self, tmp_path):
        """A folder is refused by its name."""
        with pytest.raises(DataError, match="is a folder"):
            read_studies(tmp_path)

    def test_an_impossible_path_is_a_data_error(self):
        """A NUL in a path is no traceback."""
        with pytest.raises(DataError, match=r"cannot be opened|no such file"):
            read_studies("a\0b.csv")

    def test_an_empty_file_is_refused(self, tmp_path):
        """An empty file holds no table."""
        with pytest.raises(DataError, match="is empty"):
            read_studies(write(tmp_path, ""))


class TestModerators:
    """Columns whose names are everyday words."""

    def test_one_arm_names_are_moderators_beside_two_arm_data(self, tmp_path):
        """time, events and mean are data only where there is no comparison of arms."""
        text = "study,yi,sei,time,events,n\nA,1,1,0,12 of 30,10.5\nB,2,1,6 weeks,,9\n"
        table = read_studies(write(tmp_path, text))
        assert table.columns["time"].tolist() == ["0", "6 weeks"]
        assert table.columns["events"].tolist() == ["12 of 30", ""]
        assert table.column("n").tolist() == [10.5, 9]
        assert table.excluded == ()

    def test_one_arm_data_are_read_where_they_are_the_data(self, tmp_path):
        """A table of single arms has its counts checked like any other."""
        assert read_studies(write(tmp_path, "study,xi,ni\nA,1,10\n")).column("events").tolist() == [1]
        with pytest.raises(DataError, match="11 events among 10"):
            read_studies(write(tmp_path, "study,xi,ni\nA,11,10\n"))

    def test_moderators_are_numbers_or_text(self, tmp_path):
        """A column of numbers with blanks is numbers, any other is text."""
        table = read_studies(write(tmp_path, "study,yi,sei,dose,site\nA,1,1,5,x1\nB,1,1,,2\n"))
        np.testing.assert_array_equal(table.columns["dose"], [5, np.nan])
        assert table.columns["site"].tolist() == ["x1", "2"]

    def test_a_point_beside_decimal_commas_is_refused(self, tmp_path):
        """1.234 in a file stated to have decimal commas is not read as 1.234."""
        with pytest.raises(DataError, match=r"'1\.234' is not a number"):
            read_studies(write(tmp_path, "study;yi;sei\nA;1.234;1,5\n"), decimal=",")


class TestOutcomes:
    """Choosing one of several outcomes."""

    def test_several_outcomes_need_a_choice(self):
        """Without a choice the error lists them."""
        with pytest.raises(DataError, match="3 outcomes: 'favourable_outcome', 'mortality', 'symptomatic_ich'"):
            read_studies(DATA / "rescue_stenting.csv")

    def test_a_wrong_outcome_names_the_nearest(self):
        """A misspelt outcome is met with the right one."""
        with pytest.raises(DataError, match="Did you mean 'mortality'"):
            read_studies(DATA / "rescue_stenting.csv", outcome="mortalty")

    def test_an_outcome_of_a_table_without_outcomes_is_refused(self):
        """Nothing is chosen silently where there is nothing to choose."""
        with pytest.raises(DataError, match="has no outcome column"):
            read_studies(DATA / "bcg_vaccine.csv", outcome="death")

    def test_only_the_rows_of_the_outcome_are_checked(self, tmp_path):
        """An error in another outcome does not stop this one."""
        path = write(tmp_path, "outcome,study,yi,sei\nx,A,1,1\ny,A,bad,1\n")
        assert read_studies(path, outcome="x").k == 1

    def test_a_blank_outcome_is_refused(self, tmp_path):
        """A row without an outcome belongs to none."""
        with pytest.raises(DataError, match="line 3: no outcome"):
            read_studies(write(tmp_path, "outcome,study,yi,sei\nx,A,1,1\n,B,1,1\n"))


class TestLabels:
    """What studies are called."""

    def test_the_year_tells_studies_of_the_same_authors_apart(self):
        """Two trials of Rosenthal are two studies."""
        study = read_studies(DATA / "bcg_vaccine.csv").study
        assert {"Rosenthal et al 1960", "Rosenthal et al 1961", "Aronson"} <= set(study)

    def test_numbering_makes_labels_unique(self, tmp_path):
        """duplicates='number' keeps every row, and a label that exists already is not made again."""
        path = write(tmp_path, "study,yi,sei\nA,1,1\nA (1),1,1\nA,2,1\n")
        assert read_studies(path, duplicates="number").study == ("A (2)", "A (1)", "A (3)")

    def test_authors_and_years_make_a_label(self, tmp_path):
        """metafor's author and year columns name the study; a trial number alone does too."""
        assert read_studies(write(tmp_path, "trial,author,year,yi,sei\n1,Ng,1999,1,1\n")).study == ("Ng 1999",)
        assert read_studies(write(tmp_path, "trial,yi,sei\n7,1,1\n")).study == ("7",)


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(50, 99), st.integers(0, 50), st.integers(50, 99)), min_size=1)
)
def test_counts_survive_any_text_format(rows):
    """Whole numbers written as CSV, TSV, semicolon and UTF-16 text are read as they were."""
    from bayesmeta.formats import read_bytes
    from bayesmeta.reading.table import table_from_raw

    lines = [HEADER.strip().replace("year,", ""), *(f"S{i},{','.join(map(str, r))}" for i, r in enumerate(rows))]
    for separator, encoding in ((",", "utf-8"), ("\t", "utf-16"), (";", "latin-1")):
        data = "\r\n".join(lines).replace(",", separator).encode(encoding)
        table = table_from_raw(read_bytes(data, "t"), "t")
        got = [table.column(c).tolist() for c in ("events_treatment", "n_treatment", "events_control", "n_control")]
        assert list(zip(*got, strict=True)) == rows


class TestMany:
    """Many meta-analyses in one file."""

    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_effects_of_all_equal_the_effects_of_each(self, tmp_path, kind):
        """Reading and computing all at once gives what each outcome gives alone."""
        import pandas as pd

        path = tmp_path / f"many.{kind}"
        frame = pd.read_csv(DATA / "crins2014_pediatric_transplant.csv")
        getattr(frame, f"to_{kind}")(path, index=False)
        many = read_many(path, by="outcome")
        raw = compute_effects("OR", many.columns, group=many.group)
        for index, name in enumerate(many.groups):
            one = bm.effect_sizes(many.table(name), "OR", inestimable="exclude", drop00=True)
            alone = bm.effect_sizes(
                read_studies(DATA / "crins2014_pediatric_transplant.csv", outcome=name), "OR", drop00=True
            )
            here = raw.yi[many.group == index]
            assert one.study == alone.study
            np.testing.assert_array_equal(one.yi, alone.yi)
            kept = np.isin(many.study[many.group == index], one.study)
            np.testing.assert_array_equal(here[kept], one.yi)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "is empty"),
            ("meta,study,yi,sei\n", "no data rows"),
            ("m,study,yi,sei\nM,A,1,1\n", "no column 'meta'"),
            ("meta,study,yi,sei\nM,A,1,1\nM,A,2,1\n", "'M', row 2, study 'A'.*twice"),
            ("meta,study,yi,sei\nM,A,1,-1\n", "row 1, study 'A', column 'sei': -1 is impossible"),
            ("meta,study,yi,sei\nM,A,x,1\n", "conversion error"),
            ("meta,study,yi,sei\n,A,1,1\n", "row 1: the cell is blank"),
            ("meta,study,yi,v\nM,A,1,1\n", "may be"),
        ],
    )
    def test_bad_files_are_refused(self, tmp_path, text, words):
        """The bulk reader has the rules of the other one."""
        with pytest.raises(DataError, match=words):
            read_many(write(tmp_path, text), by="meta")

    def test_blank_numbers_are_excluded(self, tmp_path):
        """A row without its numbers is an exclusion with its row."""
        many = read_many(write(tmp_path, "meta,study,yi,sei\nM,A,1,1\nM,B,NA,1\n"), by="meta")
        assert many.k == 1
        assert (many.excluded[0].study, many.excluded[0].row) == ("B", 2)
