"""``bayesmeta plan-trial``: the library's figures on good input, one message and exit code 2 on bad."""

import json
import sys

import pytest

import bayesmeta as bm
import bayesmeta.cli
from bayesmeta.resources import data_dir

DATA = data_dir() / "rescue_stenting.csv"
BARE = ("plan-trial", DATA, "--measure", "OR", "--benefit", "lower", "--outcome", "mortality")


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run the command line in a folder of its own; return exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def go(*arguments):
        monkeypatch.setattr(sys, "argv", ["bayesmeta", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            bayesmeta.cli.main()
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    return go


def test_it_prints_what_the_library_says(run, tmp_path):
    """Two sizes, a plot; the same block as in Python."""
    code, out, err = run(*BARE, "--n", 50, "--n", 200, "--control-risk", "0.4", "--plot", "curve.svg")
    assert (code, err) == (0, "")
    post = bm.fit(bm.effect_sizes(bm.read_studies(DATA, outcome="mortality"), "OR"))
    assert str(bm.next_study(post, n=[50, 200], control_risk=0.4, benefit="lower")) in out
    assert (tmp_path / "curve.svg").stat().st_size > 5000
    assert max(map(len, out.splitlines())) <= 120


def test_json_has_every_digit(run):
    """The assurance of the issue's example, under its own key, and the size for a wanted one."""
    code, out, _ = run(*BARE, "--n", 200, "--control-risk", "0.4", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["schema"] == "bayesmeta.plan-trial/1"
    assert found["result"]["outlooks"][0]["assurance"] == pytest.approx(0.76480459, abs=5e-9)
    code, out, _ = run(*BARE, "--assurance", 0.8, "--control-risk", "0.4", "--json")
    assert json.loads(out)["result"]["outlooks"][0]["n"] == 259


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--control-risk", "0.4"), "patients per arm"),
        (("--n", "1", "--control-risk", "0.4"), "at least 2"),
        (("--n", "50"), "control_risk=0.4"),
        (("--n", "50", "--control-risk", "forty"), "0.4"),
        (("--n", "50", "--control-risk", "0.4", "--success", "OR > 1"), "contradicts"),
        (("--n", "50", "--control-risk", "0.4", "--plot", "curve.txt"), ".svg"),
        (("--se", "0.2", "--plot", "curve.svg"), "--n"),
    ],
)
def test_bad_input_is_one_message(run, options, said):
    """Exit code 2, and what to write; nothing on standard output."""
    code, out, err = run(*BARE, *options)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
