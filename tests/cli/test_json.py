"""Every command's JSON: whole, named, with every digit."""

import json

import pytest
import typer
from typer.testing import CliRunner

import bayesmeta as bm
from bayesmeta.cli import app
from bayesmeta.export.plain import plain
from bayesmeta.resources import data_dir

STENTING, PLAN = str(data_dir() / "rescue_stenting.csv"), str(data_dir() / "rescue_stenting.toml")
LATER = str(data_dir() / "rescue_stenting_later_cohorts.csv")
COMMANDS = {
    "check": ["check", STENTING, "--outcome", "mortality", "-m", "OR"],
    "effects": ["effects", STENTING, "--outcome", "mortality", "-m", "OR"],
    "decide": ["decide", PLAN, "--outcome", "mortality"],
    "update": ["update", PLAN, "--with", LATER, "--outcome", "mortality"],
    "sensitivity": ["sensitivity", STENTING, "--outcome", "mortality", "--benefit", "lower"],
    "influence": ["influence", STENTING, "--outcome", "mortality", "-m", "OR", "--benefit", "lower"],
    "subgroups": ["subgroups", STENTING, "--outcome", "mortality", "-m", "OR", "--by", "status"],
    "regress": ["regress", STENTING, "--outcome", "mortality", "-m", "OR", "--moderator", "n_control"],
    "tipping-point": ["tipping-point", STENTING, "--outcome", "mortality", "--benefit", "lower"],
}


def run(words):
    """Return what a command prints as JSON."""
    result = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_a_command_prints_one_object_that_says_what_it_is(command):
    """Schema with version, measure, scale, findings and result; nothing else on the output."""
    content = run(COMMANDS[command])
    assert content["schema"] == f"bayesmeta.{command}/1"
    assert (content["measure"], content["scale"]) == ("OR", "log odds ratio")
    assert content["result"]
    if command != "check":
        assert any("zero cell" in finding for finding in content["findings"])


def test_the_measure_is_that_of_the_result():
    """A model of risk ratios says so at the head; several measures of a multiverse are in its rows."""
    words = ["tipping-point", STENTING, "--outcome", "mortality", "--benefit", "lower", "--model", "binomial_normal_rr"]
    content = run(words)
    assert (content["measure"], content["scale"]) == ("RR", "log risk ratio")
    words = ["sensitivity", STENTING, "--outcome", "mortality", "--benefit", "lower", "--multiverse"]
    content = run([*words, "-m", "OR", "-m", "RR", "--mu", "normal(0, 1)", "--tau", "half_normal(0.5)"])
    assert content["measure"] is None
    assert {row["measure"] for row in content["result"]} == {"OR", "RR"}


def test_a_report_is_an_object_of_the_same_form(tmp_path, monkeypatch):
    """With its findings and rows, and no file that was not asked for."""
    monkeypatch.chdir(tmp_path)
    words = ["report", STENTING, "--measure", "OR", "--benefit", "lower", "--outcome", "mortality"]
    content = run([*words, "--engine", "quadrature"])
    assert content["schema"] == "bayesmeta.report/1"
    assert (content["measure"], content["natural_scale"]) == ("OR", "Odds ratio")
    assert any("zero cell" in finding for finding in content["findings"])
    assert content["result"]["outcomes"][0]["rows"]
    assert not list(tmp_path.iterdir())


def test_a_figure_is_drawn_beside_json(tmp_path):
    """It is written, and the output is JSON alone."""
    words = ["sensitivity", STENTING, "--outcome", "mortality", "--benefit", "lower"]
    for extra in ([], ["--multiverse", "--mu", "normal(0, 1)", "--tau", "half_normal(0.5)"]):
        path = tmp_path / f"f{len(extra)}.png"
        assert run([*words, *extra, "--figure", str(path)])["result"]
        assert path.stat().st_size > 1000


def test_every_command_has_the_option():
    """A command without it would be one that programs cannot use."""
    commands = typer.main.get_command(app).commands
    without = {name for name, c in commands.items() if not any("--json" in p.opts for p in c.params)}
    assert len(commands) >= 8
    assert without == set()


def test_numbers_have_every_digit():
    """Effects are those of Python to the last bit."""
    rows = run(COMMANDS["effects"])["result"]
    effects = bm.effect_sizes(bm.read_studies(STENTING, outcome="mortality"), "OR")
    assert [row["yi"] for row in rows] == effects.yi.tolist()
    assert [row["sei"] for row in rows] == effects.sei.tolist()


def test_what_json_has_no_word_for():
    """Infinite numbers are texts, undefined ones null; posteriors and priors are said, not dumped."""
    assert plain([float("inf"), float("-inf"), float("nan")]) == ["inf", "-inf", None]
    post = bm.fit(bm.EffectSizes([0.1, 0.4], [0.2, 0.3], measure="OR"))
    said = plain(post)
    assert said["priors"]["tau"] == "half_normal(0.5)"
    assert said["marginals"]["mu"]["median"] == post.mu.median()
    json.dumps(said, allow_nan=False)


def test_a_multiverse_takes_the_zero_cell_rule_that_is_stated():
    """Another number is another answer; what a multiverse varies itself is refused."""
    words = ["sensitivity", STENTING, "--outcome", "mortality", "--benefit", "lower", "--multiverse"]
    words += ["--mu", "normal(0, 1)", "--tau", "half_normal(0.5)"]
    answers = [{row["mu_median"] for row in run([*words, "--add", add])["result"]} for add in ("0.5", "0.05")]
    assert answers[0] != answers[1]
    refused = CliRunner().invoke(app, [*words, "--drop00"])
    assert refused.exit_code == 2 or "drop00" in str(refused.exception)
