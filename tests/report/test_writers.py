"""A report in other forms: the same sections, the same digits, nothing lost."""

import html
import io
import json
import re

import pytest

import bayesmeta as bm
from bayesmeta.analysis import analyse
from bayesmeta.errors import BayesMetaError
from bayesmeta.protocol import read_protocol
from bayesmeta.report.page import page
from bayesmeta.report.sections import document, titles
from bayesmeta.report.values import Block, Document, Facts, Items, Paragraph, Section, Table
from bayesmeta.report.writing import WRITERS, check_writable, rendered
from bayesmeta.resources import data_dir


@pytest.fixture(scope="module")
def made():
    """Return an analysis of the stenting studies with its report as sections."""
    analysis = analyse(read_protocol(data_dir() / "rescue_stenting.toml"), outcomes=("mortality",), engine="quadrature")
    return analysis, document(page(analysis))


def texts(blocks: tuple[Block, ...]) -> list[str]:
    """Return every text in some blocks."""
    found: list[str] = []
    for block in blocks:
        if isinstance(block, Section):
            found += [block.title, *texts(block.blocks)]
        elif isinstance(block, Paragraph):
            found.append(block.text)
        elif isinstance(block, Items):
            found += block.texts
        elif isinstance(block, Facts):
            found += [text for fact in block.facts for text in (fact.name, fact.value)]
        elif isinstance(block, Table):
            found += [*block.heads, *(cell for line in block.lines for cell in line.cells), *block.notes]
    return found


def words(content: bytes, suffix: str) -> str:
    """Return the text of a written report, white space folded."""
    if suffix == ".docx":
        import docx

        read = docx.Document(io.BytesIO(content))
        paragraphs = [p.text for p in read.paragraphs]
        cells = [cell.text for table in read.tables for row in table.rows for cell in row.cells]
        text = "\n".join([*paragraphs, *cells])
    else:
        text = content.decode()
    if suffix == ".html":
        text = html.unescape(re.sub(r"<[^>]+>", " ", text))
    if suffix == ".json":
        text = "\n".join(_leaves(json.loads(text)["result"]["sections"]))
    return " ".join(text.replace("\\|", "|").split())


def _leaves(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for key, inner in value.items() for text in [key, *_leaves(inner)]]
    if isinstance(value, list):
        return [text for inner in value for text in _leaves(inner)]
    return [str(value)]


@pytest.mark.parametrize("suffix", sorted(WRITERS))
def test_every_text_is_in_every_form_with_the_same_digits(made, suffix, tmp_path):
    """Titles, sentences, facts and cells of all tables."""
    analysis, shown = made
    written = words(rendered(analysis, shown, tmp_path / f"r{suffix}"), suffix)
    wanted = [" ".join(text.split()) for text in texts(shown.sections) if text.strip()]
    assert len(wanted) > 300
    assert [text for text in wanted if text not in written] == []


def test_the_json_has_every_digit(made, tmp_path):
    """Figures are numbers on the named scale, equal to those of the comparison."""
    analysis, shown = made
    content = json.loads(rendered(analysis, shown, tmp_path / "r.json"))
    assert content["schema"] == "bayesmeta.report/1"
    (outcome,) = content["result"]["outcomes"]
    assert (outcome["measure"], outcome["scale"]) == ("OR", "log odds ratio")
    rows = analysis.outcomes[0].comparison.rows
    assert [row["mu"] for row in outcome["rows"]] == [row.mu for row in rows]
    bayesian = next(row for row in outcome["rows"] if row["kind"] == "bayesian")
    assert bayesian["p_benefit_mean"] == pytest.approx(0.986054, abs=1e-6)


def test_word_has_real_tables_and_numbered_captions(made, tmp_path):
    """Header rows repeat, captions count themselves, figures have a text."""
    import docx

    analysis, shown = made
    read = docx.Document(io.BytesIO(rendered(analysis, shown, tmp_path / "r.docx")))
    body = read.element.xml
    assert len(read.tables) > 8
    assert body.count("w:tblHeader") == len(read.tables)
    assert "SEQ Figure" in body
    assert 'descr="Forest plot: Death within 90 days"' in body


def test_a_checklist_item_is_met_only_by_a_section_that_is_there(made):
    """Whatever is called met names a section of the report, or its head."""
    _, shown = made
    table = next(s for s in shown.sections if s.anchor == "checklist").blocks[1]
    met = [line.cells for line in table.lines if line.cells[2] == "met"]
    assert len(met) > 15
    assert {cells[3] for cells in met} <= titles(shown.sections) | {"Question"}


def test_an_empty_report_can_be_written(tmp_path):
    """No section, no table: every form still has its title."""
    empty = Document("Nothing yet", "kind", (), ())
    assert "Nothing yet" in words(WRITERS[".md"](None, empty), ".md")
    assert "Nothing yet" in words(WRITERS[".docx"](None, empty), ".docx")


def test_an_unknown_form_is_refused_before_anything_is_computed(tmp_path):
    """The endings that there are stand in the message."""
    with pytest.raises(BayesMetaError, match=r"\.docx"):
        check_writable(tmp_path / "report.rtf")
    with pytest.raises(BayesMetaError, match="ending"):
        bm.report(bm.EffectSizes([0.1, 0.2], [0.1, 0.1], measure="OR"), tmp_path / "report")


def test_subgroups_of_a_review_have_results_a_test_and_a_forest(tmp_path):
    """The section holds both schools' results for each subgroup and their difference."""
    table = bm.read_studies(_review(tmp_path))
    path = bm.report(table, tmp_path / "r.md", measure="OR", benefit="lower", engine="quadrature")
    text = path.read_text()
    part = text[text.index("### Subgroups") : text.index("### Single studies")]
    found = bm.subgroups(table, measure="OR", benefit="lower")
    for words_ in ("Children", "Adults", "Test for subgroup differences", "Forest plot by subgroup"):
        assert words_ in part
    assert f"Q = {found.test.statistic:.3g}" in part


def _review(folder):
    path = folder / "wards.csv"
    rows = ("A,Children,3,40,5,41", "B,Children,7,120,12,118", "C,Adults,2,33,6,35", "D,Adults,9,80,8,77")
    path.write_text("\n".join(("study,subgroup,ai,n1i,ci,n2i", *rows)))
    return path
