"""A report as one HTML file that needs nothing else: no network, no script, figures inline."""

from importlib.resources import files

from markupsafe import Markup

from bayesmeta.report.values import ReportView


def render(view: ReportView) -> str:
    """Return the page. Every text is escaped; only the style sheet and our own figures are markup."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bayesmeta.report"), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    style = files("bayesmeta.report").joinpath("templates/report.css").read_text(encoding="utf-8")
    return environment.get_template("report.html.j2").render(view=view, style=Markup(style.strip()))
