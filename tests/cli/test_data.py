"""The commands `effects`, `convert` and `check`."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import bayesmeta as bm
from bayesmeta.cli import app
from bayesmeta.errors import DataError
from bayesmeta.reading import read_studies

DATA = Path(__file__).resolve().parents[2] / "data"
STENTING = str(DATA / "rescue_stenting.csv")


def run(*words: str) -> str:
    """Return what a command prints; its errors are raised here, where `main` words them."""
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_commands_are_registered():
    """The application has the three commands."""
    names = typer.main.get_command(app).commands
    assert {"effects", "convert", "check"} <= set(names)


def test_effects_prints_the_table_the_mapping_and_what_was_changed():
    """Every study, what was read as what, and the zero-cell rule are printed."""
    output = run("effects", STENTING, "--measure", "OR", "--outcome", "mortality")
    for words in ("Cornelissen 2019", "n_control <- 'n_control'", "0.5 added to each of the four cells"):
        assert words in output


def test_effects_as_csv_keeps_every_digit():
    """The CSV on the terminal holds the numbers that Python has."""
    rows = list(
        csv.DictReader(io.StringIO(run("effects", str(DATA / "stroke_stay_normand1999.csv"), "-m", "SMD", "--csv")))
    )
    effects = bm.effect_sizes(read_studies(DATA / "stroke_stay_normand1999.csv"), "SMD")
    assert [float(row["yi"]) for row in rows] == effects.yi.tolist()
    assert [float(row["sei"]) for row in rows] == effects.sei.tolist()


def test_effects_writes_a_file(tmp_path):
    """--output writes effects with their provenance."""
    path = tmp_path / "e.json"
    run("effects", STENTING, "-m", "OR", "--outcome", "mortality", "-o", str(path))
    content = json.loads(path.read_text(encoding="utf-8"))
    assert len(content["studies"]) == 4
    assert content["provenance"]["measure"] == "OR"


def test_a_label_with_brackets_is_printed_as_it_is(tmp_path):
    """A study called [bold] is shown, not interpreted."""
    path = tmp_path / "t.csv"
    path.write_text("study,yi,sei\n[bold]x,1,1\n")
    assert "[bold]x" in run("effects", str(path), "-m", "GEN")


@pytest.mark.parametrize("extension", ["csv", "tsv", "xlsx", "parquet"])
def test_convert_writes_what_can_be_read_again(tmp_path, extension):
    """Converted tables hold the same studies, with effects where a measure is given."""
    path = tmp_path / f"out.{extension}"
    run("convert", STENTING, str(path), "--outcome", "mortality", "-m", "OR")
    again, table = read_studies(path), read_studies(STENTING, outcome="mortality")
    assert again.study == table.study
    np.testing.assert_array_equal(again.column("yi"), bm.effect_sizes(table, "OR").yi)


def test_convert_writes_an_r_script(tmp_path):
    """An .R file holds the script, and needs a measure."""
    path = tmp_path / "out.R"
    run("convert", STENTING, str(path), "--outcome", "mortality", "-m", "OR", "--method", "REML")
    assert 'method = "REML"' in path.read_text()
    with pytest.raises(DataError, match="needs an effect measure"):
        run("convert", STENTING, str(path), "--outcome", "mortality")


def test_a_failing_command_leaves_the_output_untouched(tmp_path):
    """Bad input writes nothing."""
    path = tmp_path / "out.csv"
    path.write_text("old")
    with pytest.raises(DataError, match="Did you mean 'mortality'"):
        run("convert", STENTING, str(path), "--outcome", "mortalty")
    assert path.read_text() == "old"


def test_columns_are_stated_by_name(tmp_path):
    """--column sei=se settles an ambiguous column; a malformed one is refused."""
    path = tmp_path / "t.csv"
    path.write_text("study,yi,se\nA,1,0.5\nB,2,0.25\n")
    with pytest.raises(DataError, match="may be"):
        run("effects", str(path), "-m", "GEN")
    assert "0.5" in run("effects", str(path), "-m", "GEN", "--column", "sei=se")
    with pytest.raises(DataError, match="--column 'sei'"):
        run("effects", str(path), "-m", "GEN", "--column", "sei")


def test_check_counts_what_there_is_to_look_at():
    """The audit lists its findings and how many ask for a look."""
    output = run("check", STENTING, "--outcome", "mortality")
    assert "! zero cells: Cornelissen 2019" in output
    assert "1 finding to look at" in output
    assert "Nothing to look at" in run("check", str(DATA / "bcg_vaccine.csv"))


def test_a_finding_is_said_once_and_without_lines_of_the_source(tmp_path):
    """What the library says as a warning is what the audit says at the head of the answer."""
    path = tmp_path / "studies.csv"
    path.write_text("study,HR,ci_low,ci_high\nA,1.0,0.5,1.2\nB,1.0,0.8,1.25\n")
    run = [sys.executable, "-c", "from bayesmeta.cli import main; main()", "effects", str(path), "--measure", "HR"]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    said = done.stdout + done.stderr
    assert said.count("is not symmetric") == 1
    assert "DataWarning" not in said
    assert ".py" not in said
