"""The data audit: each planted defect is found, and sound data are left in peace."""

from pathlib import Path

import numpy as np
import pytest

from bayesmeta.audit import agrees, audit, check_published
from bayesmeta.reading import read_studies
from bayesmeta.studies import PublishedResult, StudyTable

DATA = Path(__file__).resolve().parents[1] / "data"
COUNTS = ("events_treatment", "n_treatment", "events_control", "n_control")


def counts_table(rows, **options) -> StudyTable:
    """Return a table of counts."""
    columns = dict(zip(COUNTS, np.array(rows, dtype=float).T, strict=True))
    return StudyTable(tuple(f"S{i}" for i in range(len(rows))), columns, **options)


def found(table: StudyTable, kind: str, **options) -> list[str]:
    """Return the texts of one kind of finding that ask for a look."""
    return [f.text for f in audit(table, **options) if f.kind == kind and f.look]


SOUND = [(10 + i, 100 + 7 * i, 21 + i, 100 + 5 * i) for i in range(8)]


def test_sound_data_have_nothing_to_look_at():
    """Eight ordinary trials raise no finding; what was read and the totals are still said."""
    findings = audit(counts_table(SOUND))
    assert not [f for f in findings if f.look]
    totals = next(f.text for f in findings if f.kind == "totals")
    assert f"events_control {sum(row[2] for row in SOUND)}" in totals


def test_swapped_arms_are_found():
    """A study whose effect fits the others only with its arms exchanged is named."""
    a, n1, c, n2 = 100, 1000, 210, 1000
    rows = [(a + 3 * i, n1 + i, c - 2 * i, n2) for i in range(7)]
    assert found(counts_table(rows), "swapped arms") == []
    rows[2] = (rows[2][2], rows[2][3], rows[2][0], rows[2][1])
    (text,) = found(counts_table(rows), "swapped arms")
    assert text.startswith("S2:")


def test_outliers_are_found_and_named():
    """A study far from what the others predict is named."""
    rows = [*SOUND, (90, 100, 10, 100)]
    (text,) = found(counts_table(rows), "outliers")
    assert text.startswith("S8:")


def test_variances_in_a_column_of_standard_errors_are_found():
    """Standard errors fall with the root of the size; a column that falls with the size holds variances."""
    n = np.array([20.0, 50.0, 120.0, 400.0, 900.0, 2000.0])
    study = tuple("ABCDEF")
    sei = 2 / np.sqrt(n)
    for column, suspicious in ((sei, False), (sei**2, True)):
        table = StudyTable(study, {"yi": np.linspace(0, 0.05, 6), "sei": column, "n": n})
        assert bool(found(table, "standard errors")) is suspicious


def test_zero_cells_are_named():
    """Single and double zero cells are told apart, and an arm without any event is pointed out."""
    single, double, arm = found(counts_table([(0, 10, 2, 10), (0, 9, 0, 10), (0, 12, 3, 20)]), "zero cells")
    assert single.startswith("S0, S2:")
    assert double.startswith("S1:")
    assert "no events in any treated arm" in arm


def test_one_study_entered_twice_is_found():
    """Equal numbers throughout, or names that differ in case and spaces only, look like one study."""
    table = counts_table([*SOUND, SOUND[3]])
    (text,) = found(table, "duplicates")
    assert "S3 and S8" in text
    named = StudyTable(("Smith 2001", "smith  2001"), {"yi": np.array([1.0, 2.0]), "sei": np.array([1.0, 1.0])})
    assert "differ only in case" in found(named, "duplicates")[0]


def test_a_row_of_totals_is_found():
    """A row called Total is counted as a study unless somebody looks."""
    table = StudyTable(("A", "Total"), {"yi": np.array([1.0, 2.0]), "sei": np.array([1.0, 1.0])}, row=(2, 3))
    (text,) = found(table, "totals")
    assert "line 3" in text


def test_exclusions_and_notes_are_listed():
    """What the reader left out or did not interpret is part of the audit."""
    table = read_studies(DATA / "betablockers_yusuf1985.csv", duplicates="number")
    assert any("Snow 1" in text for text in found(table, "excluded"))


@pytest.mark.parametrize("outcome", ["favourable_outcome", "mortality", "symptomatic_ich"])
def test_the_published_stenting_results_recur(outcome):
    """The fifteen figures of Premat et al. 2020 are those of RevMan's Mantel-Haenszel random effects."""
    import csv

    with (DATA / "rescue_stenting_published.csv").open(encoding="utf-8", newline="") as file:
        row = next(r for r in csv.DictReader(file) if r["outcome"] == outcome)
    from dataclasses import replace

    known = PublishedResult(
        "Premat et al. 2020",
        method="MH, random",
        estimate=row["or"],
        low=row["ci_low"],
        high=row["ci_high"],
        p=row["p"],
        i2=row["i2_percent"],
    )
    table = read_studies(DATA / "rescue_stenting.csv", outcome=outcome)
    (line,) = check_published(replace(table, published=(known,)))
    assert "all 5 figures" in line
    lines = check_published(replace(table, published=(replace(known, estimate="9.99"),)))
    assert any("estimate is 9.99" in text and "differs" in text for text in lines)
    assert any(f.kind == "published" and f.look for f in audit(replace(table, published=(replace(known, p="0.9"),))))


@pytest.mark.parametrize(
    ("value", "printed", "same"),
    [
        (0.38953, "0.39", True),
        (0.3850001, "0.39", True),
        (0.385, "0.39", True),
        (0.385, "0.38", True),
        (0.3849, "0.39", False),
        (43.3, "43", True),
        (43.6, "43", False),
        (0.0004, "<0.001", True),
        (0.002, "<0.001", False),
        (0.96, ">0.95", True),
        (1.23456e-5, "1.23e-5", True),
        (0.896865560, "0.8968655609130709", True),
        (0.8968, "0.8968655609130709", False),
    ],
)
def test_agreement_is_judged_at_the_printed_precision(value, printed, same):
    """A figure agrees if it may have been rounded to what was printed."""
    assert agrees(value, printed) is same
