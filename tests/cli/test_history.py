"""``bayesmeta update --history``: what changed since the last answer, why, and whether the plan was kept."""

import json
import sys

import pytest

import bayesmeta as bm
import bayesmeta.cli
from bayesmeta.errors import DataError
from bayesmeta.living import read_history
from bayesmeta.resources import data_dir

HEAD = "study,events_treatment,n_treatment,events_control,n_control\n"
FIRST = "Alpha 2019,10,60,18,60\nBeta 2020,12,80,15,78\n"
THIRD = "Gamma 2021,9,70,17,71\n"


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run the command line in a folder of its own; return exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def go(*arguments):
        monkeypatch.setattr(sys, "argv", ["bayesmeta", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            bayesmeta.cli.main()
        captured = capsys.readouterr()
        return end.value.code, " ".join(captured.out.split()), captured.err

    return go


def update(run, *more, data="data.csv"):
    return run("update", data, "--measure", "OR", "--benefit", "lower", "--history", "history.jsonl", *more)


def test_a_living_analysis(run, tmp_path):
    """First entry; nothing new adds no line; a study, a corrected number and another prior are each named."""
    data = tmp_path / "data.csv"
    data.write_text(HEAD + FIRST)
    code, out, err = update(run, "--date", "2026-01-01")
    assert (code, err) == (0, "")
    assert "First entry" in out
    (entry,) = read_history("history.jsonl")
    post = bm.fit(bm.effect_sizes(bm.read_studies(data), "OR"))
    assert entry.result["mu"] == pytest.approx(post.mu.median(), rel=1e-12)
    assert entry.result["p_mean"] == pytest.approx(float(post.mu.cdf(0.0)), rel=1e-12)
    assert len(entry.data_sha256) == 64

    _, out, _ = update(run, "--date", "2026-02-01")
    assert "Nothing changed since 2026-01-01" in out
    assert len(read_history("history.jsonl")) == 1

    data.write_text(HEAD + FIRST + THIRD)
    _, out, _ = update(run, "--date", "2026-03-01")
    assert "Since 2026-01-01 added: Gamma 2021." in out
    assert "because the data changed" in out
    assert "from 2 studies" in out
    assert "from 3 studies" in out
    assert "DEVIATION" not in out

    data.write_text(HEAD + FIRST.replace("10,60", "11,60") + THIRD)
    _, out, _ = update(run, "--date", "2026-04-01")
    assert "with other numbers: Alpha 2019." in out

    _, out, _ = update(run, "--date", "2026-05-01", "--prior", "tau=half_normal(1)")
    assert "because the plan changed" in out
    deviation = "DEVIATION from the plan of 2026-01-01: prior of tau changed from half_normal(0.5) to half_normal(1)."
    assert deviation in out

    # Once more: the plan is as last time, and still not the one that was registered.
    _, out, _ = update(run, "--date", "2026-06-01", "--prior", "tau=half_normal(1)")
    assert "Nothing changed since 2026-05-01" in out
    assert deviation in out
    assert [e.date[5:7] for e in read_history("history.jsonl")] == ["01", "03", "04", "05"]

    data.write_text(HEAD + FIRST)
    _, out, _ = update(run, "--date", "2026-07-01")
    assert "no longer there: Gamma 2021." in out
    assert "because the data and the plan changed" in out


def test_with_later_studies_and_outcomes(run, tmp_path):
    """With --with the answer after them is kept; outcomes of one file have entries of their own."""
    stenting, later = (data_dir() / f"{name}.csv" for name in ("rescue_stenting", "rescue_stenting_later_cohorts"))
    for outcome in ("mortality", "symptomatic_ich"):
        code, out, _ = update(run, "--outcome", outcome, data=stenting)
        assert code == 0
        assert "First entry" in out
    code, out, _ = update(run, "--outcome", "mortality", "--with", later, data=stenting)
    assert code == 0
    assert "Luo 2021 ANGEL-ACT" in out
    assert "because the data changed" in out
    last = read_history("history.jsonl")[-1]
    assert last.result["k"] == 7
    assert "+" in last.data_sha256


def test_json(run, tmp_path):
    """What changed and the posterior, as JSON."""
    (tmp_path / "data.csv").write_text(HEAD + FIRST)
    code, out, _ = update(run, "--json")
    found = json.loads(out)["result"]
    assert code == 0
    assert found["changes"][0].startswith("First entry")
    assert found["posterior"]["k"] == 2


def test_bad_input_is_one_message(run, tmp_path):
    """Nothing asked, no date, no history, nowhere to write: exit code 2 and what to do."""
    (tmp_path / "data.csv").write_text(HEAD + FIRST)
    (tmp_path / "other.jsonl").write_text('{"date": "2026-01-01"}\n')
    base = ("update", "data.csv", "--measure", "OR", "--benefit", "lower")
    for more, said in (
        ((), "--history FILE"),
        (("--history", "h.jsonl", "--date", "1.3.2026"), "YYYY-MM-DD"),
        (("--history", "other.jsonl"), "line 1"),
        (("--history", "missing/h.jsonl"), "Cannot write"),
    ):
        code, out, err = run(*base, *more)
        assert (code, out) == (2, "")
        assert said in err
        assert "Traceback" not in err
    (tmp_path / "broken.jsonl").write_text("not json\n")
    with pytest.raises(DataError, match=r"broken.jsonl, line 1: not JSON"):
        read_history(tmp_path / "broken.jsonl")
