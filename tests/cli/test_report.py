"""``bayesmeta report``: the tables and the page on good input, one message and exit code 2 on bad input."""

import html
import os
import re
import signal
import subprocess
import sys

import pytest

import bayesmeta.cli
from bayesmeta.protocol import read_protocol
from bayesmeta.resources import data_dir

PLAN = data_dir() / "rescue_stenting.toml"
HEADER = "study,events_treatment,n_treatment,events_control,n_control\n"
ROWS = "A,3,20,7,21\nB,4,30,9,33\nC,8,50,12,48\n"


@pytest.fixture
def bayesmeta_cli(monkeypatch, capsys, tmp_path):
    """Run the command line in a folder of its own; return exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["bayesmeta", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            bayesmeta.cli.main()
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    return run


def quick(run, *arguments):
    return run("report", *arguments, "--engine", "quadrature")


def test_the_stenting_protocol_prints_every_outcome_and_writes_the_report(bayesmeta_cli, tmp_path):
    """Three tables with the reference probabilities, the published figures confirmed, and the page written."""
    code, out, _ = quick(bayesmeta_cli, PLAN)
    assert code == 0
    for outcome in read_protocol(PLAN).outcomes.values():
        assert outcome.label in out
    for figure in ("0.999", "0.986", "0.843", "41.7%", "43.3%"):
        assert figure in out
    assert out.count("All 5 published figures equal the row 'Mantel-Haenszel random'") == 3
    assert out.count("Without Fourth study †:") == 2
    assert "Report: report.html" in out
    page = (tmp_path / "report.html").read_text()
    for figure in ("0.999", "0.986", "0.843"):
        assert figure in page


def test_piped_output_is_plain_and_fits_120_columns(bayesmeta_cli):
    """Piped, the tables have no colour codes, and no table line is wider than 120 columns."""
    _, out, _ = quick(bayesmeta_cli, PLAN, "--outcome", "symptomatic_ich")
    assert "\x1b" not in out
    table = out[out.index("Method") : out.index("conf. = ")]
    assert max(map(len, table.splitlines())) <= 120


def test_a_data_file_needs_no_protocol(bayesmeta_cli, tmp_path):
    """A CSV with --measure and --benefit is analysed and reported."""
    (tmp_path / "some.csv").write_text(HEADER + ROWS)
    code, out, err = quick(bayesmeta_cli, "some.csv", "--measure", "OR", "--benefit", "lower", "--out", "mine.html")
    assert (code, err) == (0, "")
    assert "P(OR < 1)" in out
    assert "<h1>Meta-analysis</h1>" in (tmp_path / "mine.html").read_text()


def test_a_data_file_without_direction_is_refused(bayesmeta_cli, tmp_path):
    """Without a protocol the direction of benefit must be given; the message says how."""
    (tmp_path / "some.csv").write_text(HEADER + ROWS)
    code, _, err = quick(bayesmeta_cli, "some.csv", "--measure", "OR")
    assert code == 2
    assert "--benefit" in err
    assert "some.csv" in err


BAD_DATA = {
    "empty file": ("", ["some.csv", "empty"]),
    "only a header": (HEADER, ["some.csv", "no"]),
    "missing column": ("study,events_treatment,n_treatment,events_control\nA,1,10,2\n", ["some.csv", "n_control"]),
    "events above n": (HEADER + "A,3,20,7,21\nB,31,30,9,33\n", ["some.csv", "B", "31", "30", "line 3"]),
    "negative count": (HEADER + "A,3,20,7,21\nB,-4,30,9,33\n", ["some.csv", "B", "-4", "line 3"]),
    "fractional count": (HEADER + "A,3,20,7,21\nB,4.5,30,9,33\n", ["some.csv", "B", "4.5", "line 3"]),
    "empty arm": (HEADER + "A,3,20,7,21\nB,0,0,9,33\n", ["some.csv", "B", "n_treatment", "line 3"]),
    "duplicate study": (HEADER + "A,3,20,7,21\nA,4,30,9,33\n", ["some.csv", "'A'", "line", "3"]),
    "not a number": (HEADER + "A,3,20,7,21\nB,many,30,9,33\n", ["some.csv", "B", "'many'", "line 3"]),
}


@pytest.mark.parametrize("case", sorted(BAD_DATA))
def test_bad_data_is_one_message_and_leaves_the_old_report(bayesmeta_cli, tmp_path, case):
    """File, study, value and line are named; exit code 2, no traceback, an existing report untouched."""
    content, words = BAD_DATA[case]
    (tmp_path / "some.csv").write_text(content)
    (tmp_path / "report.html").write_text("the old report")
    code, out, err = quick(bayesmeta_cli, "some.csv", "--measure", "OR", "--benefit", "lower")
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert "Traceback" not in err
    assert [word for word in words if word not in err] == []
    assert (tmp_path / "report.html").read_text() == "the old report"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "some.csv"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.csv", "--measure", "OR", "--benefit", "lower"], ["absent.csv"]),
        (["absent.toml"], ["absent.toml", "Check the path"]),
        ([PLAN, "--outcome", "mortalty"], ["mortalty", "Did you mean 'mortality'"]),
        ([PLAN, "--measure", "RR"], ["measure", "protocol states"]),
        ([PLAN, "--out", "no/such/folder/report.html"], ["no/such/folder", "does not exist"]),
        ([PLAN.parent / "rescue_stenting.csv", "--measure", "OR", "--benefit", "lower"], ["3 outcomes", "mortality"]),
        (
            [PLAN.parent / "rescue_stenting.csv", "--measure", "OR", "--benefit", "lower", "--outcome", "mort"],
            ["'mort'", "Did you mean 'mortality'"],
        ),
        (
            [PLAN.parent / "rescue_stenting.csv", "--measure", "ORR", "--benefit", "lower", "--outcome", "mortality"],
            ["'ORR'", "OR"],
        ),
        ([PLAN, "--engine", "quad"], ["quad", "quadrature"]),
        ([PLAN, "--seed", "-1"], ["--seed", "0"]),
    ],
)
def test_bad_requests_are_one_message_and_exit_code_2(bayesmeta_cli, tmp_path, arguments, words):
    """A wrong path, outcome, measure, engine or option is named with what is allowed."""
    code, out, err = bayesmeta_cli("report", "--engine", "quadrature", *arguments)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    assert [word for word in words if word not in err] == []
    assert list(tmp_path.iterdir()) == []


THIN_DATA = {
    "one study": ("A,3,20,7,21\n", "k = 1"),
    "two studies": ("A,3,20,7,21\nB,4,30,9,33\n", "k = 2"),
    "a zero cell": ("A,0,20,7,21\nB,4,30,9,33\nC,8,50,12,48\n", "Counts of A were changed before pooling"),
    "no event in one arm": ("A,0,20,7,21\nB,0,30,9,33\n", "with an event in the treatment arm"),
    "no event at all in a study": ("A,0,20,0,21\nB,4,30,9,33\nC,8,50,12,48\n", "A: no event, or only events"),
}


@pytest.mark.parametrize("case", sorted(THIN_DATA))
def test_thin_data_run_and_say_what_the_answer_rests_on(bayesmeta_cli, tmp_path, case):
    """k = 1 or 2, zero cells and empty arms are analysed; terminal and page say what that rests on."""
    rows, words = THIN_DATA[case]
    (tmp_path / "some.csv").write_text(HEADER + rows)
    code, out, _ = quick(bayesmeta_cli, "some.csv", "--measure", "OR", "--benefit", "lower")
    assert code == 0
    assert words in out
    assert words in html.unescape((tmp_path / "report.html").read_text())


def test_priors_of_a_data_file_can_be_given(bayesmeta_cli, tmp_path):
    """--prior replaces a default prior, and a malformed one is refused with an example."""
    (tmp_path / "some.csv").write_text(HEADER + ROWS)
    arguments = ("some.csv", "--measure", "OR", "--benefit", "lower", "--prior")
    assert quick(bayesmeta_cli, *arguments, "tau=half_cauchy(0.3)")[0] == 0
    assert "half_cauchy(0.3)" in (tmp_path / "report.html").read_text()
    code, _, err = quick(bayesmeta_cli, *arguments, "half_normal(1)")
    assert code == 2
    assert "NAME=PRIOR" in err


def test_the_model_that_messages_name_can_be_asked_for(bayesmeta_cli, tmp_path):
    """Ten studies of 0/50 against 0/50 by the model that the caveat names: a benefit is as probable as not."""
    (tmp_path / "none.csv").write_text(HEADER + "".join(f"S{i},0,50,0,50\n" for i in range(10)))
    arguments = ("none.csv", "--measure", "OR", "--benefit", "lower")
    code, out, err = quick(bayesmeta_cli, *arguments)
    assert (code, err) == (0, "")
    assert "fit the 'hypergeometric_normal' model on the counts" in " ".join(out.split())
    code, out, err = quick(bayesmeta_cli, *arguments, "--model", "hypergeometric_normal")
    assert (code, err) == (0, "")
    row = next(line for line in out.splitlines() if line.startswith("Bayesian"))
    assert row.split()[-2:] == ["0.500", "0.500"]
    code, _, err = quick(bayesmeta_cli, *arguments, "--model", "hypergeometrc_normal")
    assert code == 2
    assert "Did you mean 'hypergeometric_normal'" in err


def test_the_input_is_never_overwritten(bayesmeta_cli, tmp_path):
    """--out naming the data file is refused and the data stay."""
    (tmp_path / "some.csv").write_text(HEADER + ROWS)
    arguments = ("some.csv", "--measure", "OR", "--benefit", "lower", "--out", "some.csv")
    code, _, err = quick(bayesmeta_cli, *arguments)
    assert code == 2
    assert "its ending must say the form" in err
    assert (tmp_path / "some.csv").read_text() == HEADER + ROWS


def test_only_the_outcomes_asked_for_are_analysed(bayesmeta_cli, tmp_path):
    """--outcome restricts a protocol to the outcomes named."""
    _, out, _ = quick(bayesmeta_cli, PLAN, "--outcome", "mortality")
    assert "Death within 90 days" in out
    assert "haemorrhage" not in out


def test_help_lists_the_command(bayesmeta_cli):
    """``bayesmeta --help`` lists report, and its own help its options."""
    code, out, _ = bayesmeta_cli("--help")
    assert code == 0
    assert "report" in out
    code, out, _ = bayesmeta_cli("report", "--help")
    assert all(option in out for option in ("--engine", "--out", "--measure", "--benefit", "--seed", "--draws"))


def test_ctrl_c_leaves_nothing_half_written(tmp_path):
    """Interrupted while it works, the command ends with 130 and the old report, and no other file."""
    (tmp_path / "report.html").write_text("the old report")
    code = (
        "import sys, bayesmeta.analysis as a\n"
        "def stuck(*_, **__):\n    print('started', flush=True)\n    import time; time.sleep(60)\n"
        "a.compare = stuck\n"
        f"sys.argv = ['bayesmeta', 'report', {str(PLAN)!r}, '--engine', 'quadrature']\n"
        "from bayesmeta.cli import main\nmain()\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout.readline() == "started\n"
    running.send_signal(signal.SIGINT)
    _, err = running.communicate()
    assert running.returncode == 130
    assert err == "Interrupted; nothing was written.\n"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text() == "the old report"


@pytest.mark.nuts
def test_both_engines_from_start_to_end(tmp_path):
    """The default command in a fresh process: NUTS beside quadrature, its diagnostics and agreement on the page."""
    done = subprocess.run(
        [sys.executable, "-m", "bayesmeta", "report", str(PLAN), "--outcome", "mortality"],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"Bayesian quadrature +4† .* 0\.986 ", done.stdout)
    nuts = re.search(r"Bayesian NUTS +4† .* (0\.\d+) +(0\.\d+)$", done.stdout, flags=re.MULTILINE)
    assert [float(p) for p in nuts.groups()] == pytest.approx([0.98605, 0.93964], abs=0.02)
    page = (tmp_path / "report.html").read_text()
    assert "NUTS against quadrature" in page
    assert "45 of 45 figures are within 4 Monte Carlo standard errors of quadrature" in page
    assert '<th scope="col">R-hat</th>' in page
