"""``bayesmeta decide`` and ``bayesmeta update``: plain tables on good input, one message and exit code 2 on bad."""

import sys

import pytest

import bayesmeta as bm
import bayesmeta.cli
from bayesmeta.resources import data_dir

PLAN = data_dir() / "rescue_stenting.toml"
DATA = data_dir() / "rescue_stenting.csv"
LATER = data_dir() / "rescue_stenting_later_cohorts.csv"
BARE = (DATA, "--measure", "OR", "--benefit", "lower", "--outcome", "mortality")


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


def test_decide_prints_what_was_asked_and_nothing_else(run):
    """Thresholds, equivalence, sizes and absolute effects, each with event and estimand; the library's figures."""
    code, out, err = run(
        "decide", *BARE, "--threshold", "0.8", "--rope", "0.9", "1.11", "--size", "0.9", "--size", "0.5",
        "--baseline", "0.3", "--baseline", "controls",
    )  # fmt: skip
    assert (code, err) == (0, "")
    post = bm.fit(bm.effect_sizes(bm.read_studies(DATA, outcome="mortality"), "OR"))
    assert f"{float(post.mu.cdf(-0.22314355131420976)):.3f}" in out
    assert "over 3 sets of priors" in out
    for words in ("P, mean effect", "P, true effect of a new study", "OR < 0.8", "equivalence", "large benefit"):
        assert words in out
    assert "Baseline risk 300 per 1000" in out
    assert "pooled from 4 control arms" in out
    assert "not a verdict" in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 120
    code, out, _ = run("decide", *BARE, "--threshold", "0.8")
    assert code == 0
    assert "Absolute effects" not in out


def test_a_protocol_brings_its_thresholds_and_the_range_over_its_priors(run, tmp_path):
    """What the protocol states is taken from it; each figure has its range over the five prior sets."""
    text = PLAN.read_text().replace('data = "rescue_stenting.csv"', f'data = "{DATA}"')
    text = text.replace("thresholds = [0.8, 0.67, 0.5]", "thresholds = [0.8, 0.67, 0.5]\nequivalence = [0.9, 1.11]")
    (tmp_path / "plan.toml").write_text(text)
    code, out, err = run("decide", "plan.toml", "--outcome", "mortality")
    assert (code, err) == (0, "")
    # What the audit finds stands first.
    assert out.startswith("! zero cells: Cornelissen 2019")
    assert "\n\nDeath within 90 days" in out
    for words in ("OR < 0.67", "Baseline risk 310 per 1000", "over 5 sets of priors", "equivalence"):
        assert words in out


def test_the_direction_of_benefit_is_the_one_given(run):
    """--benefit higher asks about larger effects; anything else than the two directions is refused."""
    code, out, _ = run(
        "decide", DATA, "--measure", "OR", "--benefit", "higher", "--outcome", "mortality", "--threshold", 2
    )
    assert code == 0
    assert "OR > 2" in out
    code, _, err = run("decide", DATA, "--measure", "OR", "--benefit", "up", "--outcome", "mortality", "--threshold", 2)
    assert code == 2
    assert "'up'" in err


@pytest.mark.parametrize("command", ["decide", "update"])
def test_every_option_is_explained(run, command):
    """The help says what each option is for."""
    code, out, _ = run(command, "--help")
    assert code == 0
    for words in (
        "A protocol (.toml)",
        "Which outcome",
        "Effect measure of a data file",
        "Direction that is a benefit",
    ):
        assert words in " ".join(out.split())


def test_a_distribution_of_the_baseline_risk(run):
    """beta(30, 70) is integrated over."""
    code, out, _ = run("decide", *BARE, "--baseline", "beta(30, 70)")
    assert code == 0
    assert "95% of its distribution" in out


def test_update_prints_the_path_and_the_checks(run):
    """The later cohorts are added one by one to the four studies, with the range over the protocol's priors."""
    code, out, err = run("update", PLAN, "--with", LATER, "--outcome", "mortality")
    assert (code, err) == (0, "")
    for words in ("(the first 4 studies)", "Luo 2021 ANGEL-ACT", "P(OR < 1), mean", "predicted by those before"):
        assert words in out
    assert "over 5 sets of priors: mean effect" in out
    code, out, _ = run("update", *BARE, "--with", LATER, "--threshold", "0.8")
    assert code == 0
    assert "P(OR < 0.8), mean" in out


def test_a_later_file_may_have_no_outcome_column(run, tmp_path):
    """--later-outcome '' reads a file of one outcome; without it the message says so."""
    header = "study,events_treatment,n_treatment,events_control,n_control\n"
    (tmp_path / "later.csv").write_text(header + "Later one,15,81,7,12\n")
    code, _, err = run("update", *BARE, "--with", "later.csv")
    assert code == 2
    assert "--later-outcome" in err
    code, out, _ = run("update", *BARE, "--with", "later.csv", "--later-outcome", "")
    assert code == 0
    assert "Later one" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("decide", *BARE), ["Nothing was asked", "--threshold"]),
        (("decide", *BARE, "--baseline", "30"), ["strictly between 0 and 1", "write 0.3"]),
        (("decide", *BARE, "--baseline", "0"), ["strictly between 0 and 1"]),
        (("decide", *BARE, "--baseline", "half"), ["--baseline half", "controls"]),
        (("decide", *BARE, "--baseline", "normal(0.3, 0.1)"), ["lies between 0 and 1"]),
        (("decide", *BARE, "--rope", "1.11", "0.9"), ["lower bound first"]),
        (("decide", *BARE, "--size", "0.5", "--size", "0.9"), ["outwards", "falling numbers below 1"]),
        (("decide", *BARE, "--threshold", "0"), ["greater than 0"]),
        (("decide", DATA, "--measure", "OR", "--outcome", "mortality", "--threshold", "2"), ["--benefit"]),
        (("decide", PLAN, "--threshold", "2"), ["3 outcomes", "--outcome mortality"]),
        (("decide", PLAN, "--outcome", "mortalty"), ["Did you mean 'mortality'"]),
        (("update", *BARE, "--with", DATA), ["counts once"]),
        (("update", *BARE, "--with", "absent.csv"), ["absent.csv"]),
    ],
)
def test_impossible_requests_are_one_message(run, arguments, words):
    """Exit code 2, what is wrong and what to write; no traceback and nothing on stdout."""
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert [w for w in words if w not in err] == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("baseline_risk = [30]", "between 0 and 1"),
        ("equivalence = [1.1, 0.9]", "lower one first"),
        ("equivalence = [0.9]", "two ends"),
        ("ranges = [0.5, 0.9]", "falling numbers below 1"),
        ("ranges = [-1]", "greater than 0"),
    ],
)
def test_a_protocol_with_impossible_keys_is_refused(run, tmp_path, line, words):
    """Baseline risks, equivalence and ranges are checked when the protocol is read."""
    (tmp_path / "plan.toml").write_text(f'data = "{DATA}"\n[outcomes.mortality]\nbenefit = "lower"\n{line}\n')
    code, _, err = run("decide", "plan.toml", "--threshold", "0.8")
    assert code == 2
    assert words in err
