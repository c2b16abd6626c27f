"""`bayesmeta bias`: the table, its figures, and what it refuses."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import bayesmeta as bm
from bayesmeta import frequentist as fq
from bayesmeta.cli import app


@pytest.fixture(scope="module")
def bcg(tmp_path_factory):
    path = tmp_path_factory.mktemp("bias") / "bcg.csv"
    bm.load_dataset("bcg_vaccine").to_csv(path, index=False)
    return path


def run(*words):
    return CliRunner().invoke(app, ["bias", *map(str, words)])


def test_every_method_stands_beside_the_unadjusted_estimate(bcg):
    """Rows are the methods' own figures on the natural scale; the average has its own rows and sentences."""
    result = run(bcg, "--measure", "RR", "--direction", "less", "--ensemble", "pp")
    assert result.exit_code == 0
    effects = bm.effect_sizes(bm.read_studies(bcg), "RR")
    pooled = fq.pool(effects, method="REML")
    first = next(line for line in result.stdout.splitlines() if line.startswith("Unadjusted, REML"))
    assert f"{np.exp(pooled.mu):.3g}" in first
    assert f"{np.exp(pooled.ci.low):.3g} to {np.exp(pooled.ci.high):.3g} conf." in first
    step = fq.selection(effects, side="less", steps=(0.025,))
    second = next(line for line in result.stdout.splitlines() if line.startswith("Step selection"))
    assert f"{np.exp(step.mu):.3g}" in second
    average = bm.bias_average(effects, ensemble="pp", direction="less")
    last = next(line for line in result.stdout.splitlines() if line.startswith("All, averaged"))
    assert f"{np.exp(average.mu.median()):.3g}" in last
    assert "the pooled RR would be" in result.stdout.replace("\n", " ")
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "Not assessed" not in result.stdout


def test_few_studies_are_not_assessed_and_say_why_rows_are_missing(tmp_path):
    """Four studies: the verdict comes first, and a method that needs more says so in its row."""
    path = tmp_path / "four.csv"
    path.write_text("study,yi,sei\na,-0.7,0.2\nb,-0.3,0.3\nc,-0.1,0.25\nd,-0.5,0.4\n")
    result = run(path, "--measure", "GEN", "--direction", "less", "--ensemble", "none")
    assert result.exit_code == 0
    assert "Not assessed" in result.stdout
    assert "needs at least 3 results" in " ".join(result.stdout.split())
    assert "All, averaged" not in result.stdout


def test_json_has_every_digit_and_the_models(bcg):
    """Rows on the analysis scale, and the ensemble's models with their probabilities."""
    result = run(bcg, "--measure", "RR", "--direction", "less", "--ensemble", "pp", "--json")
    content = json.loads(result.stdout)
    assert content["schema"] == "bayesmeta.bias/1"
    rows = {row["method"]: row for row in content["result"]["rows"]}
    effects = bm.effect_sizes(bm.read_studies(bcg), "RR")
    assert rows["Unadjusted, REML"]["mu"] == pytest.approx(fq.pool(effects, method="REML").mu, rel=1e-12)
    assert sum(model["posterior"] for model in content["result"]["models"]) == pytest.approx(1.0)


def test_the_direction_is_asked_for(bcg):
    """Without a direction, or with another word, nothing is computed."""
    assert run(bcg, "--measure", "RR").exit_code == 2
    assert run(bcg, "--measure", "RR", "--direction", "down").exit_code == 2
