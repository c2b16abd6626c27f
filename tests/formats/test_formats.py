"""One review in many formats: the readers agree with each other and with the numbers it was made of."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from bayesmeta.audit import check_published
from bayesmeta.errors import DataError
from bayesmeta.formats import READERS, Options, find_reader, read_bytes
from bayesmeta.reading.options import ReadingOptions
from bayesmeta.reading.table import table_from_raw

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def table(data: bytes, **options):
    return table_from_raw(read_bytes(data, "file"), "file", ReadingOptions(**options))


def test_every_reader_has_an_example_and_knows_it_by_content(files):
    """A file is recognised by what is in it, whatever it is called."""
    examples = files.examples()
    assert set(examples) == set(READERS)
    for name, datas in examples.items():
        for data in datas:
            assert find_reader(data, "no extension") is READERS[name]


@pytest.mark.parametrize("name", ["rm5", "revman_csv", "revman_zip"])
class TestRevMan:
    """The three RevMan formats hold the same review."""

    def test_dichotomous_counts(self, files, name):
        """Events and patients are those entered, with the year, the mapping and a note of RevMan's settings."""
        got = table(getattr(files, name)(), outcome="1.1")
        assert got.study == tuple(row[0] for row in files.COUNTS)
        columns = ("year", "events_treatment", "n_treatment", "events_control", "n_control")
        assert np.array([got.column(c) for c in columns]).T.tolist() == [list(row[1:]) for row in files.COUNTS]
        assert set(got.columns) >= set(columns)
        assert "yi" not in got.columns
        assert got.mapping["n_control"] != "n_control"
        assert any("dichotomous data, OR, MH, fixed" in note for note in got.notes)

    def test_continuous_data_read_no_unused_cell(self, files, name):
        """Where RevMan writes 0 into unused cells, a continuous analysis has no events and no ready effect."""
        got = table(getattr(files, name)(), outcome="Pain score")
        columns = ("mean_treatment", "sd_treatment", "n_treatment", "mean_control", "sd_control", "n_control")
        assert np.array([got.column(c) for c in columns]).T.tolist() == [list(row[2:]) for row in files.MEANS]
        assert not {"events_treatment", "yi", "o_e"} & set(got.columns)
        assert set(got.columns["subgroup"]) == {"Adults"}

    def test_contrasts_are_on_the_log_scale(self, files, name):
        """A hazard ratio shown on the natural scale is the log hazard ratio that was entered."""
        got = table(getattr(files, name)(), outcome="1.3 Survival")
        np.testing.assert_allclose(got.column("yi"), [row[2] for row in files.HAZARDS], rtol=1e-12)
        assert got.column("sei").tolist() == [row[3] for row in files.HAZARDS]

    def test_o_minus_e_gives_the_log_ratio(self, files, name):
        """(O - E) / V with standard error 1 / sqrt(V)."""
        got = table(getattr(files, name)(), outcome="Relapse")
        assert got.column("yi").tolist() == [o / v for *_, o, v in files.O_E]
        np.testing.assert_allclose(got.column("sei"), [v**-0.5 for *_, v in files.O_E], rtol=1e-15)

    def test_swapped_events_are_honoured_and_said(self, files, name):
        """Where RevMan pools patients without the event, so do we, and a note says it."""
        got = table(getattr(files, name)(swap=True), outcome="Death")
        assert got.column("events_treatment").tolist() == [row[3] - row[2] for row in files.COUNTS]
        assert got.column("n_control").tolist() == [row[5] for row in files.COUNTS]
        assert any("swapped" in note for note in got.notes)

    def test_several_analyses_are_listed(self, files, name):
        """Without a choice the error lists the analyses; a wrong one names the nearest."""
        with pytest.raises(
            DataError, match=r"4 outcomes: '1.1 Death', '1.2 Pain score', '1.3 Survival', '1.4 Relapse'"
        ):
            table(getattr(files, name)())
        with pytest.raises(DataError, match=r"Did you mean '1\.1 Death'"):
            table(getattr(files, name)(), outcome="1.1 Deaths")


@pytest.mark.parametrize("measure", ["OR", "RR", "RD"])
def test_published_results_of_a_review_are_compared_with_ours(files, measure):
    """Figures that metafor gives for the same data recur; one changed digit is reported."""
    golden = json.loads((GOLDEN / "metafor_mh_peto.json").read_text(encoding="utf-8"))["mh_peto"]["bcg"]
    data, fit = golden["data"], golden[f"MH|{measure}|"]
    rows = zip(data["ai"], data["n1i"], data["ci"], data["n2i"], strict=True)
    counts = tuple((f"S{i}", 2000, *row) for i, row in enumerate(rows))
    natural = (lambda x: x) if measure == "RD" else np.exp
    figures = {
        "EFFECT_SIZE": f"{natural(fit['b']):.10f}",
        "CI_START": f"{natural(fit['ci.lb']):.10f}",
        "CI_END": f"{natural(fit['ci.ub']):.10f}",
        "I2": f"{fit['I2']:.8f}",
    }
    got = table(files.rm5(counts=counts, measure=measure, pooled=figures), outcome="1.1")
    assert got.published[0].estimate == figures["EFFECT_SIZE"]
    (line,) = check_published(got)
    assert "all 4 figures" in line
    wrong = figures | {"CI_END": f"{natural(fit['ci.ub']) + 0.001:.4f}"}
    (line,) = check_published(table(files.rm5(counts=counts, measure=measure, pooled=wrong), outcome="1.1"))
    assert "upper limit" in line
    assert "differs" in line


@pytest.mark.parametrize(
    ("method", "test", "ours"), [("DL", "z", "wald"), ("DL", "knha", "hksj"), ("REML", "z", "wald")]
)
def test_random_effects_by_inverse_variance_are_compared(files, method, test, ours):
    """The estimator and interval that gave a random-effects result, as metafor computes it, are found and named."""
    golden = json.loads((GOLDEN / "metafor_mh_peto.json").read_text(encoding="utf-8"))["mh_peto"]["bcg"]["data"]
    results = json.loads((GOLDEN / "metafor_rma.json").read_text(encoding="utf-8"))["datasets"]["bcg_rr"]["fits"]
    rows = zip(golden["ai"], golden["n1i"], golden["ci"], golden["n2i"], strict=True)
    counts = tuple((f"S{i}", 2000, *row) for i, row in enumerate(rows))
    fit = results[f"{method}|{test}"]
    limits = {"CI_START": fit["ci.lb"], "CI_END": fit["ci.ub"], "EFFECT_SIZE": fit["b"]["intrcpt"]}
    pooled = {key: f"{np.exp(value):.6f}" for key, value in limits.items()} | {"TAU2": f"{fit['tau2']:.6f}"}
    got = table(files.rm5(counts=counts, measure="RR", method="IV", random=True, pooled=pooled), outcome="Death")
    (line,) = check_published(got)
    assert "all 4 figures" in line
    assert f"{method} ({ours})" in line


def test_an_article_zip_around_a_data_package_is_opened(files):
    """The download of a whole article holds the data package one archive deeper."""
    inside, alone = (table(files.revman_zip(nested=n), outcome="1.1") for n in (True, False))
    assert inside.study == alone.study
    assert inside.column("events_control").tolist() == alone.column("events_control").tolist()


def test_diagnostic_accuracy_packages_are_refused(files):
    """A package with a parameters file is about test accuracy, which is another model."""
    data = files.revman_zip(extra={"X-analysis-data/X-parameters.csv": b"a\n1\n"})
    with pytest.raises(DataError, match="diagnostic test accuracy"):
        table(data)
    with pytest.raises(DataError, match="diagnostic test accuracy"):
        table(b'<?xml version="1.0"?><COCHRANE_REVIEW TYPE="DTA"/>')


def test_a_study_left_out_of_the_overall_estimate_is_excluded_with_its_reason(files):
    """RevMan Web rows that count only in a subgroup are kept as exclusions."""
    data = files.revman_zip()
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    path = "X-analysis-data/X-data-rows.csv"
    members[path] = members[path].replace(b"SUBGROUP_AND_OVERALL", b"SUBGROUP_ONLY", 1)
    got = table(files.zip_of(members), outcome="1.1")
    assert got.k == 3
    assert got.excluded[0].study == "Adler 2001"
    assert "SUBGROUP_ONLY" in got.excluded[0].reason


def test_metafor_output_has_a_variance_and_counts_that_add_up(files):
    """In escalc's columns vi is a variance, and arm sizes are events plus non-events."""
    got = table(files.escalc_csv())
    assert got.study[0] == "Adler 2001"
    assert got.study[1] == "Çelik 2010"
    np.testing.assert_allclose(got.column("sei") ** 2, got.column("vi"), rtol=1e-15)
    assert got.column("n_treatment").tolist() == [row[3] for row in (files.COUNTS[0], *files.COUNTS[2:])]
    assert any("is a variance" in note for note in got.notes)


@pytest.mark.parametrize("name", ["xlsx", "parquet"])
def test_binary_tables_hold_the_same_numbers_as_text(files, name):
    """A workbook and a Parquet file read as the CSV with the same cells."""
    text, binary = table(files.csv_text().encode()), table(getattr(files, name)())
    assert binary.study == text.study
    for column in ("year", "events_treatment", "n_control"):
        assert binary.column(column).tolist() == text.column(column).tolist()


class TestXlsx:
    """Workbooks: sheets, dates, formulas, errors."""

    def test_several_filled_sheets_need_a_choice(self, files):
        """No sheet is guessed."""
        rows = [["study", "yi", "sei"], ["A", 1, 1]]
        data = files.xlsx({"One": rows, "Two": [["study", "yi", "sei"], ["B", 2, 1]], "Empty": []})
        with pytest.raises(DataError, match="2 sheets with data: 'One', 'Two'"):
            read_bytes(data, "b.xlsx")
        assert table_from_raw(read_bytes(data, "b.xlsx", Options(sheet="Two")), "b.xlsx").study == ("B",)
        with pytest.raises(DataError, match="Did you mean 'Two'"):
            read_bytes(data, "b.xlsx", Options(sheet="Tow"))

    def test_a_date_is_never_a_number(self, files):
        """A cell that a spreadsheet turned into a date is refused where a number belongs."""
        import datetime as dt

        data = files.xlsx({"S": [["study", "yi", "sei"], ["A", dt.date(2020, 3, 1), 1]]})
        with pytest.raises(DataError, match="'2020-03-01' is not a number"):
            table(data)

    def test_a_formula_without_a_value_is_refused(self, files):
        """A formula that no program computed has no value to read."""
        with pytest.raises(DataError, match=r"cell B2 holds a formula"):
            table(files.xlsx({"S": [["study", "yi", "sei"], ["A", "=1+1", 1]]}))

    def test_short_rows_are_padded_and_long_ones_refused(self, files):
        """Trailing blanks are not stored in a workbook; a cell without a header is an error, or noted."""
        got = table(files.xlsx({"S": [["study", "yi", "sei", "note"], ["A", 1, 1, "x"], ["B", 2, 1]]}))
        assert got.columns["note"].tolist() == ["x", ""]
        got = table(files.xlsx({"S": [["study", "yi", "sei"], ["A", 1, 1, "stray"]]}))
        assert any("column 4 has no header" in note for note in got.notes)


def test_a_raw_table_is_frozen(files):
    """What a reader hands on cannot be changed."""
    raw = read_bytes(files.csv_text().encode(), "a")
    with pytest.raises(dataclasses.FrozenInstanceError):
        raw.headers = ()
