"""A report of studies with several rows: both schools respect the clusters, and nothing is said of rows alone."""

import re

import pytest
from typer.testing import CliRunner

import bayesmeta as bm
from bayesmeta.cli import app
from bayesmeta.errors import DataError

ROWS = (
    "study,yi,sei\nGale 2019,0.89,0.3\nKern 2018,0.81,0.3\nKern 2018,1.23,0.3\nLund 2016,0.97,0.4\nLund 2016,0.3,0.4\n"
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A table of three studies in five rows."""
    file = tmp_path_factory.mktemp("rows") / "rows.csv"
    file.write_text(ROWS)
    return file


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def test_the_report_sets_the_multilevel_model_beside_cluster_robust_reml(path):
    """Its figures are those of Python, its sections all there, and no section speaks to a Python user."""
    words = ("report", path, "--measure", "SMD", "--benefit", "higher", "--duplicates", "cluster")
    said = (*words, "--model", "multilevel", "--engine", "quadrature", "--out", path.with_name("r.md"))
    assert run(*said).exit_code == 0
    text = path.with_name("r.md").read_text()
    effects = bm.effect_sizes(bm.read_studies(path, duplicates="cluster"), "SMD")
    post = bm.fit(effects, "multilevel")
    assert f"{post.mu.median():.3f}" in text
    assert "| omega, within studies |" in text
    assert "REML, cluster-robust (CR2)" in text
    assert "variance components by restricted maximum likelihood" in text
    assert re.search(r"\| Kern 2018 \| .*\| ", text.split("Single studies")[1])
    assert "beta ~" not in text
    assert "bm.fit" not in text
    assert "one independent row" not in text


def test_without_a_model_for_them_they_are_refused_in_the_words_of_the_command_line(path):
    """The way out is an option."""
    with pytest.raises(DataError) as error:
        run(
            "report",
            path,
            "--measure",
            "SMD",
            "--benefit",
            "higher",
            "--duplicates",
            "cluster",
            "--engine",
            "quadrature",
        )
    assert "--model multilevel" in error.value.said("command line")


def test_studies_are_left_out_with_all_their_rows(path):
    """In the table of single studies as in the tipping points, with the posterior of the other studies."""
    effects = bm.effect_sizes(bm.read_studies(path, duplicates="cluster"), "SMD")
    found = bm.single_studies(effects, model="multilevel", benefit="higher")
    assert [row.study for row in found.rows] == ["Gale 2019", "Kern 2018", "Lund 2016"]
    others = effects.drop(["Kern 2018 (1)", "Kern 2018 (2)"])
    assert found.rows[1].posterior.mu.median() == bm.fit(others, "multilevel").mu.median()
    classical = bm.frequentist.components(others, model="multilevel", robust="CR2")
    assert found.rows[1].classical.mu == classical.mu
    tips = bm.tipping_point(effects, model="multilevel", benefit="higher")
    assert [left.study for left in tips.without] == ["Gale 2019", "Kern 2018", "Lund 2016"]


def test_the_audit_does_not_judge_rows_by_each_other(path):
    """Rows of one study are no outliers of one another."""
    table = bm.read_studies(path, duplicates="cluster")
    from bayesmeta.audit import audit

    assert any("cluster" in f.text for f in audit(table, measure="SMD"))
    assert not any(f.kind == "outliers" for f in audit(table, measure="SMD"))
