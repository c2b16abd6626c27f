"""The commands about data: `effects`, `convert` and `check`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayesmeta.errors import DataError

if TYPE_CHECKING:
    from bayesmeta.studies import EffectSizes, StudyTable

# Plain assignments: the option parser does not look through `type` aliases.
Source = Annotated[Path, typer.Argument(help="CSV, TSV, XLSX, Parquet, RevMan zip, .rm5 or RevMan CSV.")]
Outcome = Annotated[str | None, typer.Option(help="Which outcome, where the file holds several.")]
Columns = Annotated[
    list[str] | None, typer.Option("--column", help="What a column is, e.g. --column sei=se; may be repeated.")
]
Number = Annotated[
    bool, typer.Option("--number-duplicates", help="Number studies whose label appears twice instead of refusing them.")
]
Sheet = Annotated[str | None, typer.Option(help="Sheet of a workbook.")]
Decimal = Annotated[str | None, typer.Option(help="Decimal mark of a text file: '.' or ','.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    app.command()(effects)
    app.command()(convert)
    app.command()(check)


def effects(
    file: Source,
    measure: Annotated[str, typer.Option("--measure", "-m", help="OR, RR, RD, MD, SMD, IRR, GEN, ...")],
    outcome: Outcome = None,
    column: Columns = None,
    number_duplicates: Number = False,
    sheet: Sheet = None,
    decimal: Decimal = None,
    add: Annotated[float | None, typer.Option(help="Added to zero cells; 0.5 where none is given.")] = None,
    to: Annotated[str, typer.Option(help="Which studies it is added to: only0, all, if0all, none.")] = "only0",
    drop00: Annotated[bool, typer.Option("--drop00", help="Leave out studies without events in both arms.")] = False,
    vtype: Annotated[str | None, typer.Option(help="Kind of sampling variance.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV with every digit.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write .csv, .tsv, .xlsx, .json here.")] = None,
) -> None:
    """Print each study's effect and standard error."""
    from bayesmeta.effects import effect_sizes
    from bayesmeta.export import provenance, study_frame, write_tables

    table = _read(file, outcome, column, number_duplicates, sheet, decimal)
    sizes = effect_sizes(table, measure, add=add, to=to, drop00=drop00, vtype=vtype)
    frame = study_frame(sizes)
    if output is not None:
        write_tables(output, {"studies": frame}, about=provenance(table, sizes))
    if csv:
        typer.echo(frame.to_csv(index=False, lineterminator="\n"), nl=False)
        return
    _print_effects(sizes)
    for line in (*_mapping(table), *_changes(sizes)):
        typer.echo(line)


def convert(
    file: Source,
    output: Annotated[Path, typer.Argument(help="Ends in .csv, .tsv, .xlsx, .json, .parquet, or .R for an R script.")],
    outcome: Outcome = None,
    column: Columns = None,
    number_duplicates: Number = False,
    sheet: Sheet = None,
    decimal: Decimal = None,
    measure: Annotated[str | None, typer.Option("--measure", "-m", help="Add effects; an R script needs it.")] = None,
    method: Annotated[str, typer.Option(help="Estimator of tau2 in the R script.")] = "DL",
    ci: Annotated[str, typer.Option(help="Interval rule in the R script: wald, hksj, adhoc, t.")] = "wald",
    mu: Annotated[str, typer.Option(help="Prior of mu in the R script.")] = "normal(0, 2.82)",
    tau: Annotated[str, typer.Option(help="Prior of tau in the R script.")] = "half_normal(0.5)",
) -> None:
    """Write the studies of FILE under bayesmeta's column names, or as an R script that redoes the analysis."""
    from bayesmeta.effects import effect_sizes
    from bayesmeta.export import provenance, r_script, study_frame, write_bytes, write_tables

    table = _read(file, outcome, column, number_duplicates, sheet, decimal)
    sizes = None if measure is None else effect_sizes(table, measure)
    if output.suffix.lower() == ".r":
        if sizes is None:
            raise DataError("An R script needs an effect measure: give --measure, e.g. --measure OR.")
        write_bytes(output, r_script(sizes, method=method, ci=ci, mu=mu, tau=tau).encode())
    else:
        frame = study_frame(table)
        if sizes is not None:
            own = study_frame(sizes).set_index("study")[["yi", "sei", "vi"]]
            frame = frame.drop(columns=[c for c in own if c in frame]).join(own, on="study")
        write_tables(output, {"studies": frame}, about=provenance(table, sizes))
    for line in (*_mapping(table), f"{table.k} studies written to {output}"):
        typer.echo(line)


def check(
    file: Source,
    outcome: Outcome = None,
    column: Columns = None,
    number_duplicates: Number = False,
    sheet: Sheet = None,
    decimal: Decimal = None,
    measure: Annotated[str | None, typer.Option("--measure", "-m", help="For the outlier check.")] = None,
) -> None:
    """Audit the data: what was read as what, zero cells, duplicates, swapped arms, outliers, totals."""
    from bayesmeta.audit import audit

    findings = audit(_read(file, outcome, column, number_duplicates, sheet, decimal), measure=measure)
    for finding in findings:
        typer.echo(str(finding))
    look = sum(finding.look for finding in findings)
    typer.echo(f"{look} finding{'' if look == 1 else 's'} to look at, marked with !" if look else "Nothing to look at.")


def _read(
    file: Path, outcome: str | None, column: list[str] | None, number: bool, sheet: str | None, decimal: str | None
) -> "StudyTable":
    from bayesmeta.reading import read_studies

    return read_studies(
        file,
        outcome=outcome,
        columns=_pairs(column or []),
        duplicates="number" if number else "error",
        sheet=sheet,
        decimal=decimal,
    )


def _pairs(options: list[str]) -> dict[str, str]:
    pairs = [option.partition("=") for option in options]
    for (name, separator, header), option in zip(pairs, options, strict=True):
        if not separator or not name or not header:
            raise DataError(f"--column {option!r}: write bayesmeta's name, '=', and the header, e.g. --column sei=se.")
    return {name.strip(): header for name, _, header in pairs}


def _print_effects(sizes: "EffectSizes") -> None:
    from rich.console import Console
    from rich.table import Table

    from bayesmeta.effects import MEASURES
    from bayesmeta.words import number

    chosen = MEASURES[sizes.measure]
    natural = chosen.ratio
    shown = Table(title=f"{sizes.k} studies, yi = {chosen.analysis_label}")
    shown.add_column("study", overflow="fold")
    for header in ("yi", "sei", *((chosen.label,) if natural else ())):
        shown.add_column(header, justify="right")
    for label, y, s in zip(sizes.study, sizes.yi, sizes.sei, strict=True):
        cells = [number(float(y), 4), number(float(s), 4)]
        cells += [number(float(chosen.to_natural(y)))] if natural else []
        # A label is text, whatever brackets it has: rich would take [b] for markup.
        shown.add_row(_plain(label), *cells)
    Console().print(shown)


def _plain(label: str) -> str:
    from rich.markup import escape

    return escape(label)


def _mapping(table: "StudyTable") -> list[str]:
    return [f"{name} <- {header!r}" for name, header in table.mapping.items()] + [f"note: {n}" for n in table.notes]


def _changes(sizes: "EffectSizes") -> list[str]:
    return [
        *([f"rule: {sizes.rule}"] if sizes.rule else []),
        *(f"changed: {a.study}: {a.what}" for a in sizes.adjusted),
        *(f"excluded: {e.study}: {e.reason}" for e in sizes.excluded),
    ]
