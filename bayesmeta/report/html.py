"""A report as one HTML file that needs nothing else: no network, no script, figures inline."""

from collections.abc import Iterator
from importlib.resources import files
from itertools import groupby

from markupsafe import Markup

from bayesmeta.report.sections import document
from bayesmeta.report.svg import inline_svg
from bayesmeta.report.values import Block, Document, Paragraph, ReportView


def render(report: ReportView | Document) -> str:
    """Return the page. Every text is escaped; only the style sheet and our own figures are markup."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bayesmeta.report"), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters["runs"] = _runs
    style = files("bayesmeta.report").joinpath("templates/report.css").read_text(encoding="utf-8")
    shown = document(report) if isinstance(report, ReportView) else report
    return environment.get_template("report.html.j2").render(
        document=shown, style=Markup(style.strip()), svg=inline_svg
    )


def _runs(blocks: tuple[Block, ...]) -> Iterator[tuple[str, list[Block]]]:
    """Yield blocks of one kind that follow each other; sentences of the answer are a kind of their own."""

    def kind(block: Block) -> str:
        return "answer" if isinstance(block, Paragraph) and block.style == "answer" else type(block).__name__

    for name, run in groupby(blocks, kind):
        yield name, list(run)
