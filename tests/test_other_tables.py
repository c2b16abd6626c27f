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


def test_the_record_has_enough_tables():
    """At least 60 tables of other people, at least 45 of them read without an option; the rest were asked about."""
    with (ROOT / "benchmarks" / "records" / "other_tables.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 60
    assert sum(row["result"] == "read" for row in rows) >= 45
    assert {row["result"] for row in rows} == {"read", "refused"}
    assert all(len(row["what"]) > 10 for row in rows)
