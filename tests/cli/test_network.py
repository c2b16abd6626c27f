"""``bayesmeta network``: the library's figures on good input, one message and exit code 2 on bad."""

import json
import sys

import pytest

import bayesmeta as bm
import bayesmeta.cli
from bayesmeta.resources import data_dir

SMOKING = data_dir() / "smoking_cessation_network_hasselblad1998.csv"


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run the command line in a folder of its own; return exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def go(*arguments):
        monkeypatch.setattr(sys, "argv", ["bayesmeta", "network", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            bayesmeta.cli.main()
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    return go


@pytest.fixture(scope="module")
def smoking():
    con = bm.contrasts(bm.read_network(SMOKING), "OR")
    return bm.compare_network(con, reference="no_contact", benefit="higher", priors={"tau": "half_normal(1)"})


def test_it_prints_what_the_library_says_and_writes_a_report(run, smoking, tmp_path):
    """The same block as in Python; the doubt about small cells stands in its heading; a report in each form."""
    files = [part for name in ("r.html", "r.md", "r.docx", "r.json") for part in ("--out", name)]
    given = ("--measure", "OR", "--reference", "no_contact", "--benefit", "higher", "--prior", "tau=half_normal(1)")
    code, out, err = run(SMOKING, *given, *files)
    assert (code, err) == (0, "")
    assert str(smoking) in out
    assert max(map(len, out.splitlines())) <= 120
    assert "NORMAL APPROXIMATION DOUBTFUL: a cell is below 5 in 3, 5, 7, 8, 15, 19" in out
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    for title in ("League table", "Ranks", "Inconsistency", "Contributions", "Inputs for CINeMA", "PRISMA-NMA S3"):
        assert title in page
    assert "League table" in (tmp_path / "r.md").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["schema"] == "bayesmeta.network/1"


def test_both_schools_stand_where_they_are_said_to(smoking):
    """Each row of relative effects, both halves of the league table, and ranks are those of the two fits."""
    fit, post = smoking.classical, smoking.posterior
    rows = smoking.relatives.set_index(["treatment", "school"])
    assert rows.loc[("self_help", "classical"), "estimate"] == fit.relative("self_help", "no_contact").estimate
    own = post.relative("self_help", "no_contact")
    assert rows.loc[("self_help", "bayesian"), "estimate"] == pytest.approx(own.median(), rel=1e-12)
    assert rows.loc[("self_help", "bayesian"), "p_benefit"] == pytest.approx(own.sf(0.0), rel=1e-12)
    best, worst = smoking.order[0], smoking.order[-1]
    assert smoking.league.loc[best, worst] == post.league().loc[best, worst]
    assert smoking.league.loc[worst, best] == fit.league().loc[best, worst]
    scores = fit.p_scores("higher")
    assert {r.treatment: r.p_score for r in smoking.ranks.itertuples()} == dict(scores)


def test_json_has_every_digit_and_no_text_around_it(run, smoking):
    """The answer parses, and its tables are the library's."""
    code, out, _ = run(SMOKING, "--measure", "OR", "--reference", "no_contact", "--json", "--method", "DL")
    found = json.loads(out)["result"]
    con = smoking.contrasts
    own = bm.frequentist.network(con, method="DL")
    assert code == 0
    assert found["heterogeneity"]["classical"]["tau"] == own.tau
    assert found["heterogeneity"]["classical"]["Q"] == own.Q
    assert (found["benefit"], found["benefit_given"]) == ("lower", False)
    assert len(found["inconsistency"]["node_split"]) == 6
    assert len(found["normal_approximation_doubtful"]) == 6


def test_a_direction_that_was_not_stated_is_said(smoking):
    """Without --benefit lower effects are taken as better, and the answer says so."""
    found = bm.compare_network(smoking.contrasts)
    assert found.reference == "grp_counseling"
    assert "lower effects are better (not said, so taken" in str(found)
    assert found.order == smoking.order[::-1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--measure", "OR", "--reference", "nocontact"), "Did you mean 'no_contact'"),
        (("--measure", "XX"), "XX"),
        (("--measure", "MD"), "mean"),
        (("--measure", "OR", "--drop00"), "--drop00"),
        (("--measure", "OR", "--prior", "tau"), "NAME=PRIOR"),
        (("--measure", "OR", "--prior", "mu=normal(1, 2)"), "normal(0, S)"),
        (("--measure", "OR", "--strict"), "Cells below 5"),
        (("--measure", "OR", "--level", "95"), "level"),
        (("--measure", "OR", "--out", "report.odt"), ".html"),
    ],
)
def test_wrong_input_is_a_message_and_exit_code_2(run, options, said):
    """Every mistake is one message that says what to do."""
    code, out, err = run(SMOKING, *options)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
