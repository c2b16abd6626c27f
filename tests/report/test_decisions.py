"""The report's inputs to a decision: there when the plan asks for them, with the range over priors."""

import pytest

import bayesmeta as bm
from bayesmeta.analysis import analyse
from bayesmeta.errors import DataError
from bayesmeta.protocol import Protocol
from bayesmeta.report import write
from bayesmeta.report.decisions import decision_tables
from bayesmeta.resources import data_dir

PLAN = data_dir() / "rescue_stenting.toml"
# The plan without what it asks about absolute effects.
SILENT = "\n".join(line for line in PLAN.read_text().splitlines() if not line.startswith("baseline_"))
ASKED = """thresholds = [0.8, 0.67, 0.5]
baseline_risk = [0.3]
baseline_source = "a registry."
ranges = [0.9, 0.5]
equivalence = [0.9, 1.11]"""


@pytest.fixture(scope="module")
def analysis():
    head, mortality = SILENT.split("[outcomes.mortality]")
    text = f"{head}[outcomes.mortality]{mortality.replace('thresholds = [0.8, 0.67, 0.5]', ASKED, 1)}"
    plan = Protocol.from_bytes(text.encode(), PLAN)
    return analyse(plan, outcomes=("mortality",), engine="quadrature")


def test_the_tables_hold_the_librarys_figures(analysis):
    """Equivalence, sizes and absolute effects of the primary posterior, each with its range over five prior sets."""
    result = analysis.outcomes[0]
    equivalence, sizes, absolute = decision_tables(result)
    posteriors = [s.posterior for s in result.prior_sets]
    exact = bm.three_way(posteriors[0], 0.9, 1.11, benefit="lower", others=posteriors[1:])
    assert [line.cells for line in equivalence.lines] == exact.cells()[1]
    assert len(sizes.lines) == 5
    assert absolute.lines[0].cells[2] == "140 fewer"
    assert any("over 5 sets of priors" in note for note in absolute.notes)
    assert "Baseline risks: a registry." in absolute.notes


def test_the_page_shows_them_and_only_when_asked(analysis, tmp_path):
    """The section is on the page; without the keys there is none."""
    page = write(analysis, tmp_path / "report.html").read_text()
    assert "Inputs to a decision" in page
    assert "140 fewer" in page
    assert "not a verdict" in page
    plain = analyse(Protocol.from_bytes(SILENT.encode(), PLAN), outcomes=("symptomatic_ich",), engine="quadrature")
    assert decision_tables(plain.outcomes[0]) == ()


def test_a_baseline_risk_needs_an_effect_on_risks():
    """A mean difference has no events per 1000: the protocol says so when it is read."""
    keys = {"data": "x.csv", "measure": "MD", "outcomes": {"a": {"benefit": "lower", "baseline_risk": [0.3]}}}
    with pytest.raises(DataError, match="HR, OR, PETO, RD, RR"):
        Protocol.checked(keys)
