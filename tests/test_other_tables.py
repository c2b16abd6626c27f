"""Tables of other people: those that were read are read so today, and the record counts them."""

import csv
import json
from pathlib import Path

import pytest

import bayesmeta as bm

ROOT = Path(__file__).parents[1]
TABLES = json.loads((ROOT / "tests" / "golden" / "other_tables.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table["table"])
def test_a_table_is_read_as_it_was(table, tmp_path):
    """Its first rows, as their owner writes them, need no option, and every column means what it meant."""
    path = tmp_path / "table.csv"
    path.write_text("\n".join(table["lines"]), encoding="utf-8")
    assert dict(bm.read_studies(path).mapping) == table["mapping"]


# Arguments of metafor, metabin and metagen -> bayesmeta's names.
ARGUMENTS = {
    **{"ai": "events_treatment", "bi": "nonevents_treatment", "ci": "events_control"},
    **{"di": "nonevents_control", "n1i": "n_treatment", "n2i": "n_control"},
    **{"x1i": "events_treatment", "x2i": "events_control", "t1i": "time_treatment", "t2i": "time_control"},
    **{"m1i": "mean_treatment", "m2i": "mean_control", "sd1i": "sd_treatment", "sd2i": "sd_control"},
    **{name: name for name in ("ri", "yi", "vi", "sei")},
    **{"xi": "events", "ni": "n"},
}
CALLS = json.loads((ROOT / "tests" / "golden" / "other_tables_calls.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(CALLS))
def test_columns_mean_what_their_owner_says(name):
    """Every column is read as the argument it is given to in the example that its documentation analyses it by."""
    mapping = next(table["mapping"] for table in TABLES if table["table"] == name)
    ours = {ARGUMENTS[argument]: column for argument, column in CALLS[name].items()}
    assert ours
    # A table may have raw data beside ready effects, and is read with all it has.
    assert ours.items() <= mapping.items()


def test_most_tables_that_are_read_have_a_word_of_their_owner():
    """Two in three."""
    assert len(CALLS) >= 2 * len(TABLES) / 3


def test_the_record_has_enough_tables():
    """At least 60 tables of other people, at least 45 of them read without an option; the rest were asked about."""
    with (ROOT / "benchmarks" / "records" / "other_tables.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 60
    assert sum(row["result"] == "read" for row in rows) >= 45
    assert {row["result"] for row in rows} == {"read", "refused"}
    assert all(len(row["what"]) > 10 for row in rows)
