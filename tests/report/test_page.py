"""The report is one well-formed page that fetches nothing, runs nothing and says what was found."""

import html
import re
from html.parser import HTMLParser

import pytest
from defusedxml import ElementTree

import bayesmeta as bm
from bayesmeta.analysis import analyse
from bayesmeta.protocol import Protocol, read_protocol
from bayesmeta.report.html import render
from bayesmeta.report.page import page
from bayesmeta.report.priors import sensitivity_table
from bayesmeta.report.sources import plan_for
from bayesmeta.resources import data_dir
from bayesmeta.studies import StudyTable, TwoByTwo

PLAN = data_dir() / "rescue_stenting.toml"
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Reader(HTMLParser):
    """Follows the nesting of a page and collects its tags, attributes and visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)


def page_of(protocol: Protocol, **options) -> str:
    return render(page(analyse(protocol, engine="quadrature", **options)))


@pytest.fixture(scope="module")
def stenting() -> str:
    return page_of(read_protocol(PLAN))


@pytest.fixture(scope="module")
def reader(stenting) -> Reader:
    return Reader(stenting)


def test_the_page_is_well_formed(stenting, reader):
    """Every tag is closed in order, every id is unique, and every figure is well-formed XML."""
    assert reader.open == []
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    figures = re.findall(r"<svg.*?</svg>", stenting, flags=re.DOTALL)
    assert len(figures) == 3 * 4
    for figure in figures:
        assert ElementTree.fromstring(figure).tag.endswith("svg")


def test_links_inside_the_page_lead_somewhere(reader):
    """Every reference, in the contents and inside figures, is to an id of the page."""
    ids = {attributes["id"] for _, attributes in reader.tags if "id" in attributes}
    targets = [a.get("href", a.get("xlink:href", "#")) for _, a in reader.tags if "href" in a or "xlink:href" in a]
    assert targets
    assert [t for t in targets if t[:1] != "#" or t[1:] not in ids] == []


def test_the_page_fetches_and_runs_nothing(stenting, reader):
    """No script, no style sheet or image from elsewhere, no event handler."""
    assert {tag for tag, _ in reader.tags} & {"script", "link", "iframe", "img", "object", "embed", "form"} == set()
    assert [a for _, attributes in reader.tags for a in attributes if a.startswith("on") or a == "src"] == []
    addresses = [
        value for _, attributes in reader.tags for name, value in attributes.items()
        if value and "//" in value and not name.startswith("xmlns")
    ]  # fmt: skip
    assert addresses == []
    assert re.search(r"@import|url\(\s*['\"]?(?!#)", stenting) is None


def test_the_page_prints_the_reference_probabilities(reader):
    """P(benefit) of each outcome stands in the overview to five digits."""
    for figure in ("0.999", "0.986", "0.843"):
        assert figure in reader.words


def test_the_page_confirms_the_published_figures_line_by_line(stenting):
    """Fifteen figures, fifteen times yes."""
    assert stenting.count("<td>yes</td>") == 15
    assert "<td>no</td>" not in stenting
    assert stenting.count("All 5 published figures equal the row") == 3


def test_the_page_explains_two_values_of_i2_where_they_differ(stenting):
    """The explanation of Q stands in the mortality section only."""
    assert stenting.count("Q is taken about different centres") == 1
    assert "41.7%" in stenting


def test_reconstructed_counts_carry_a_dagger_everywhere(stenting, reader):
    """Wherever a reconstructed study's name or counts are shown, a dagger follows."""
    labels = [w.strip() for w in reader.words if "Fourth study" in w and not w.strip().endswith(".")]
    # Side by side, forest plot, posterior summary, predictive check, single studies, data.
    assert len(labels) == 3 * 6
    assert [label for label in labels if "Fourth study †" not in label] == []
    for counts in ("13/23", "4/23", "9/23"):
        shown = [w.strip() for w in reader.words if w.strip().startswith(counts)]
        assert shown
        assert [w for w in shown if "†" not in w] == []
    assert "† Reconstructed: not printed in any source" in stenting


def test_wording_keeps_the_two_kinds_apart(stenting):
    """Nothing is called significant, and both kinds of interval have their own word."""
    text = stenting.lower()
    assert "significan" not in text
    assert "95% credible interval" in text
    assert "95% confidence interval" in text
    assert "for the true effect of a new study" in text


def test_seed_hashes_and_versions_are_on_the_page(stenting):
    """A reader can redo it: seed, SHA-256 of data and protocol, versions."""
    plan = read_protocol(PLAN)
    table = bm.read_studies(plan.data_path, outcome="mortality")
    for words in (str(plan.seed), plan.sha256, table.sha256, f"bayesmeta {bm.__version__}", "scipy "):
        assert words in stenting


def test_the_same_input_gives_the_same_page(stenting):
    """Two runs of one protocol are equal byte for byte."""
    assert page_of(read_protocol(PLAN)) == stenting


NASTY = (
    "<script>alert(1)</script>",
    "A & B <b>bold</b>",
    "$\\frac{1}{2}$ 50%",
    "\"quoted\" 'twice'",
    "{{ 7 * 7 }}",
    "王 2019 😀",
)


def test_study_names_are_shown_not_executed():
    """Names with markup, formulas or template code appear as they are written, in text and figures."""
    events = [3, 4, 8, 5, 6, 7]
    counts = TwoByTwo(events, [50] * 6, [9, 9, 12, 6, 9, 8], [55] * 6, study=NASTY)
    protocol, tables = plan_for(counts, benefit="lower", title="<i>title</i>")
    text = page_of(protocol, tables=tables)
    found = Reader(text)
    assert found.open == []
    assert {"script", "b", "i"} & {tag for tag, _ in found.tags} == set()
    for name in NASTY:
        assert sum(name in words for words in found.words) >= 3  # forest plot, summary and data table
    assert "49" not in [w.strip() for w in found.words]


def test_a_missing_justification_is_called_not_given():
    """Priors without a sentence of justification print 'not given', in the table and the checklist."""
    counts = TwoByTwo([3, 4], [20, 30], [7, 9], [21, 33])
    protocol, tables = plan_for(counts, benefit="lower", priors={"mu": "normal(0, 3)", "tau": "half_normal(0.4)"})
    view = page(analyse(protocol, tables=tables, engine="quadrature"))
    primary = [line for line in view.priors.lines if line.cells[0] == "primary analysis"]
    assert [line.cells[-1] for line in primary] == ["not given", "not given"]
    status = {line.cells[1]: line.cells[2] for line in view.checklist.lines}
    assert status["Prior: justification"] == "not given"
    assert status["Prior: specification"] == "met"


def test_data_without_a_protocol_still_get_a_range_over_priors():
    """Half and twice the scale of tau's default prior stand beside the single figure, said to be defaults."""
    counts = TwoByTwo([3, 4], [20, 30], [7, 9], [21, 33])
    protocol, tables = plan_for(counts, benefit="lower")
    result = analyse(protocol, tables=tables, engine="quadrature").outcomes[0]
    assert [s.priors["tau"] for s in result.prior_sets] == ["half_normal(0.5)", "half_normal(0.25)", "half_normal(1)"]
    direct = bm.fit(bm.effect_sizes(counts, "OR"), priors={"tau": "half_normal(1)"}, engine="quadrature")
    assert result.prior_sets[2].row.p_benefit_mean == pytest.approx(float(direct.mu.cdf(0.0)))


def test_probabilities_are_capped():
    """Overwhelming data print >0.999, never 1."""
    counts = TwoByTwo([10] * 6, [500] * 6, [100] * 6, [500] * 6)
    protocol, tables = plan_for(counts, benefit="lower")
    view = page(analyse(protocol, tables=tables, engine="quadrature"))
    assert view.overview.lines[0].cells[4] == ">0.999"


def test_without_a_direction_no_probability_of_benefit_is_printed(tmp_path):
    """A table without benefit= is reported, without any P(benefit)."""
    path = bm.report(TwoByTwo([3, 4], [20, 30], [7, 9], [21, 33]), tmp_path / "r.html", engine="quadrature")
    assert "P(OR" not in path.read_text()


def test_priors_that_give_no_answer_are_listed_with_the_reason():
    """An alternative prior with an improper posterior keeps its line, and the line says why."""
    keys = {"data": "none.csv", "outcomes": {"o": {"benefit": "lower"}}}
    counts = TwoByTwo([3, 4], [20, 30], [7, 9], [21, 33])
    protocol = Protocol.checked({**keys, "sensitivity": ({"label": "improper", "mu": "flat()", "tau": "uniform()"},)})
    result = analyse(protocol, tables={"o": counts}, engine="quadrature").outcomes[0]
    assert [s.label for s in result.prior_sets] == ["primary analysis", "improper"]
    assert result.prior_sets[1].row is None
    assert "improper" in sensitivity_table(result).lines[1].cells[-1]


def test_default_priors_say_where_they_come_from():
    """The tool's own defaults have a source, which the table of priors names."""
    counts = TwoByTwo([3, 4], [20, 30], [7, 9], [21, 33])
    protocol, tables = plan_for(counts, benefit="lower")
    view = page(analyse(protocol, tables=tables, engine="quadrature"))
    primary = [line.cells[-1] for line in view.priors.lines if line.cells[0] == "primary analysis"]
    assert ["Günhan" in primary[0], "Friede" in primary[1]] == [True, True]
    status = {line.cells[1]: line.cells[2] for line in view.checklist.lines}
    assert status["Prior: justification"] == "met"


def test_thresholds_are_probabilities_of_the_posterior(stenting):
    """P beyond each threshold equals the posterior's own tail probability, for mean and new study."""
    result = analyse(read_protocol(PLAN), outcomes=("mortality",), engine="quadrature").outcomes[0]
    for row in result.thresholds:
        assert row.p_mean == pytest.approx(bm.probability(result.posterior.mu, or_=(None, row.threshold)))
        assert row.p_new == pytest.approx(bm.probability(result.posterior.theta_new, or_=(None, row.threshold)))
        assert row.low_mean <= row.p_mean <= row.high_mean
    assert "OR &lt; 0.67" in stenting


def test_exclusions_and_reasons_are_listed():
    """A study left out keeps a line with its reason."""
    table = bm.read_studies(data_dir() / "rescue_stenting.csv", outcome="mortality")
    fewer: StudyTable = table.drop(["Chang 2018"], reason="not comparable")
    protocol, tables = plan_for(fewer, benefit="lower")
    assert "Excluded: Chang 2018: not comparable." in html.unescape(page_of(protocol, tables=tables))
