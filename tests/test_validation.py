"""Every figure of docs/validation.md comes from a golden file or a record, and is what the code gives today."""

import csv

import pytest
import validation

RENEW = f"Renew with: {validation.COMMAND}"


@pytest.fixture(scope="module")
def record():
    with validation.RECORD.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_page_is_its_record(record):
    """The page says what its record says, letter for letter."""
    assert validation.PAGE.read_text(encoding="utf-8") == validation.written(record), RENEW


def test_sources_are_those_of_the_record(record):
    """No golden file or record changed since the page was made."""
    stale = [row["source"] for row in record if validation.digest(row["source"]) != row["digest"]]
    assert record, RENEW
    assert not stale, f"{stale}. {RENEW}"


def test_figures_are_those_of_the_code(record):
    """Computed again, every comparison has as many cases, and ours are no worse than the page says."""
    now = {(row.section, row.quantity): row for row in validation.rows()}
    assert [(row["section"], row["quantity"]) for row in record] == list(now), RENEW
    for row in record:
        again = now[row["section"], row["quantity"]]
        assert int(row["cases"]) == again.cases, RENEW
        # The last bits differ between machines: where they are all that differs, twice them is as good.
        limit = 2.0 * float(row["worst"]) + 1e-12
        assert float(again.worst) <= limit, (
            f"{row['quantity']}: {again.worst} where the page says {row['worst']}. {RENEW}"
        )
