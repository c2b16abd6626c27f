"""``bayesmeta report``: from a protocol or a data file to the printed tables and ``report.html``."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bayesmeta.cli._data_options import DataOptions, with_data_options
from bayesmeta.cli._findings import audit_lines, show
from bayesmeta.cli._priors import priors_of
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
    app.command("report")(with_data_options(report))


def report(
    file: Annotated[Path, typer.Argument(help="A protocol (.toml), or a data file with --measure and --benefit.")],
    *,
    data: DataOptions,
    engine: Annotated[Engine, typer.Option(help="quadrature skips sampling; both runs NUTS as well.")] = Engine.BOTH,
    out: Annotated[
        list[Path] | None,
        typer.Option(help="Where to write: .html, .docx, .md or .json; may be repeated. report.html when not given."),
    ] = None,
    measure: Annotated[str | None, typer.Option(help="Effect measure of a data file, e.g. OR.")] = None,
    benefit: Annotated[Benefit | None, typer.Option(help="Direction that is a benefit, for a data file.")] = None,
    outcome: Annotated[list[str] | None, typer.Option(help="Outcome to analyse; may be given several times.")] = None,
    prior: Annotated[
        list[str] | None,
        typer.Option(help="Prior for a data file, e.g. 'tau=half_normal(1)'; may be repeated."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Model for a data file, e.g. hypergeometric_normal; may be repeated, the first is primary."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the sampler, in place of the protocol's.", min=0)] = None,
    draws: Annotated[int | None, typer.Option(help="NUTS draws kept of each chain.", min=100)] = None,
    title: Annotated[str, typer.Option(help="Title of the report of a data file.")] = "",
    strict: Annotated[bool, typer.Option("--strict", help="End with an error where the data have findings.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON with every digit instead.")] = False,
) -> None:
    """Print the side-by-side table of every outcome and write the report."""
    from bayesmeta.analysis import analyse, read_tables
    from bayesmeta.report import write_all
    from bayesmeta.report.sources import plan_for
    from bayesmeta.report.writing import check_writable

    paths = out or ([] if as_json else [Path("report.html")])
    for path in paths:
        check_writable(path)
    names = tuple(outcome or ())
    _need_for_data(file, measure, benefit)
    direction: Literal["higher", "lower"] | None = None
    if benefit is not None:
        direction = "higher" if benefit is Benefit.HIGHER else "lower"
    protocol, _ = plan_for(
        file,
        measure=measure,
        benefit=direction,
        outcomes=names,
        priors=priors_of(prior),
        seed=seed,
        title=title,
        models=tuple(model or ()),
        reading=data.reading,
        zero_cells=data.zero_cells,
    )
    chosen = names if protocol.path.name else ()
    for given in (file, protocol.data_path):
        for path in paths:
            if path.exists() and given.exists() and path.samefile(given):
                raise ModelError(
                    f"--out {path} is the input itself, which the report would destroy. Give another name."
                )
    if engine is not Engine.QUADRATURE:
        # The sampler is imported while the data are read and the deterministic answers computed.
        from bayesmeta.engines.sampling.compiled.warm import warm_up

        warm_up()
    tables = read_tables(protocol, chosen)
    found = audit_lines(tables, protocol.measure, strict=strict)
    sampling = {"progress": sys.stderr.isatty(), **({} if draws is None else {"draws": draws})}
    analysis = analyse(
        protocol, tables=tables, outcomes=chosen, engine=engine.value, seed=seed, sampling=sampling, tell=_tell
    )
    written = write_all(analysis, paths)
    for path in written if as_json else ():
        print(f"Report: {path}", file=sys.stderr)
    if as_json:
        from bayesmeta.report.json_document import as_json as report_json
        from bayesmeta.report.page import page
        from bayesmeta.report.sections import document

        print(report_json(analysis, document(page(analysis))), end="")
        return
    show(found)
    for result in analysis.outcomes:
        _print_result(result)
    for path in written:
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


def _tell(line: str) -> None:
    if sys.stderr.isatty():
        print(f"… {line}", file=sys.stderr)


STYLES = {
    "head": "bold",
    "group": "italic",
    "note": "dim",
    "published": "dim",
    "classical": "yellow",
    "bayesian": "bold blue",
}


def _print_result(result: "OutcomeResult") -> None:
    """Print an outcome's table: coloured and folded to its width on a terminal, plain when piped."""
    from rich.console import Console
    from rich.text import Text

    from bayesmeta.compare.table import text_lines
    from bayesmeta.report.outcome import published_verdict

    terminal = sys.stdout.isatty()
    console = Console()

    def show(words: str, style: str = "") -> None:
        if terminal:
            console.print(Text(words, style=style))
        else:
            print(words)

    print()
    show(result.label, "bold underline")
    for line in text_lines(result.comparison, console.width if terminal else None):
        show(line.text, STYLES[line.kind])
    if result.checks:
        show(published_verdict(result))
    for check in result.checks:
        if not check.equal:
            show(f"  {check.figure}: published {check.published}, ours {check.exact}")
