"""``bayesmeta report``: from a protocol or a data file to the printed tables and ``report.html``."""

import sys
import threading
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayesmeta.errors import ModelError

if TYPE_CHECKING:
    from bayesmeta.analysis import OutcomeResult


class Engine(StrEnum):
    """How the posterior is computed."""

    BOTH = "both"
    QUADRATURE = "quadrature"
    NUTS = "nuts"


class Benefit(StrEnum):
    """The direction that is a benefit."""

    LOWER = "lower"
    HIGHER = "higher"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("report")(report)


def report(
    file: Annotated[Path, typer.Argument(help="A protocol (.toml), or a data file with --measure and --benefit.")],
    engine: Annotated[Engine, typer.Option(help="quadrature skips sampling; both runs NUTS as well.")] = Engine.BOTH,
    out: Annotated[Path, typer.Option(help="Where to write the report.")] = Path("report.html"),
    measure: Annotated[str | None, typer.Option(help="Effect measure of a data file, e.g. OR.")] = None,
    benefit: Annotated[Benefit | None, typer.Option(help="Direction that is a benefit, for a data file.")] = None,
    outcome: Annotated[list[str] | None, typer.Option(help="Outcome to analyse; may be given several times.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the sampler, in place of the protocol's.", min=0)] = None,
    draws: Annotated[int | None, typer.Option(help="NUTS draws kept of each chain.", min=100)] = None,
) -> None:
    """Print the side-by-side table of every outcome and write the report."""
    from bayesmeta.analysis import analyse, read_tables
    from bayesmeta.report import write
    from bayesmeta.report.sources import plan_for
    from bayesmeta.report.writing import check_writable

    check_writable(out)
    names = tuple(outcome or ())
    _need_for_data(file, measure, benefit)
    protocol, _ = plan_for(
        file, measure=measure, benefit=None if benefit is None else benefit.value, outcomes=names, seed=seed
    )  # fmt: skip
    chosen = names if protocol.path.name else ()
    tables = read_tables(protocol, chosen)
    if engine is not Engine.QUADRATURE:
        _warm_up()
    sampling = {"progress": sys.stderr.isatty(), **({} if draws is None else {"draws": draws})}
    analysis = analyse(
        protocol, tables=tables, outcomes=chosen, engine=engine.value, seed=seed, sampling=sampling, tell=_tell
    )
    for result in analysis.outcomes:
        _print_result(result)
    path = write(analysis, out)
    print(f"Report: {path}")


def _need_for_data(file: Path, measure: str | None, benefit: Benefit | None) -> None:
    if file.suffix.lower() == ".toml":
        return
    missing = [name for name, value in (("--measure", measure), ("--benefit", benefit)) if value is None]
    if missing:
        raise ModelError(
            f"{file}: a data file needs {' and '.join(missing)}, e.g. --measure OR --benefit lower. "
            "Or give a protocol (.toml), which states them."
        )


def _warm_up() -> None:
    """Import the sampler while the data are read and the deterministic answers computed."""

    def load() -> None:
        import nutpie  # noqa: F401
        import pymc  # noqa: F401

    threading.Thread(target=load, name="warm imports", daemon=True).start()


def _tell(line: str) -> None:
    if sys.stderr.isatty():
        print(f"… {line}", file=sys.stderr)


def _print_result(result: "OutcomeResult") -> None:
    from bayesmeta.compare.published import FigureCheck
    from bayesmeta.compare.table import text_table
    from bayesmeta.report.outcome import published_verdict

    print()
    if sys.stdout.isatty():
        _rich_table(result)
    else:
        print(result.label)
        print(text_table(result.comparison))
    differing: list[FigureCheck] = [c for c in result.checks if not c.equal]
    if result.checks:
        print(published_verdict(result))
    for check in differing:
        print(f"  {check.figure}: published {check.published}, ours {check.exact}")


def _rich_table(result: "OutcomeResult") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from bayesmeta.compare.table import footnotes, headings, sections

    styles = {"published": "dim", "classical": "yellow", "bayesian": "bold blue"}
    table = Table(box=box.SIMPLE_HEAD, title=Text(result.label, style="bold"), title_justify="left", pad_edge=False)
    for i, head in enumerate(headings(result.comparison)):
        table.add_column(Text(head), justify="left" if i == 0 else "right", no_wrap=True)
    parts = sections(result.comparison)
    for part in parts:
        if len(parts) > 1:
            table.add_row(Text(part.heading, style="italic"))
        for cells, kind in zip(part.rows, part.kinds, strict=True):
            table.add_row(*(Text(cell, style=styles[kind]) for cell in cells))
        table.add_section()
    console = Console()
    console.print(table)
    for note in footnotes(result.comparison):
        console.print(Text(note, style="dim"))
