"""The commands about data: `effects`, `convert` and `check`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayesmeta.cli._data_options import DataOptions, with_data_options
from bayesmeta.cli._findings import audit_lines, show
from bayesmeta.errors import DataError

if TYPE_CHECKING:
    from bayesmeta.studies import EffectSizes, StudyTable

# Plain assignments: the option parser does not look through `type` aliases.
Source = Annotated[Path, typer.Argument(help="CSV, TSV, XLSX, Parquet, RevMan zip, .rm5 or RevMan CSV.")]
Outcome = Annotated[str | None, typer.Option(help="Which outcome, where the file holds several.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON with every digit instead.")]
Strict = Annotated[bool, typer.Option("--strict", help="End with an error where the data have findings.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for command in (effects, convert, check):
        app.command()(with_data_options(command))


def effects(
    file: Source,
    measure: Annotated[str, typer.Option("--measure", "-m", help="OR, RR, RD, MD, SMD, IRR, GEN, ...")],
    *,
    data: DataOptions,
    outcome: Outcome = None,
    vtype: Annotated[str | None, typer.Option(help="Kind of sampling variance.")] = None,
    strict: Strict = False,
    as_json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV with every digit.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write .csv, .tsv, .xlsx, .json here.")] = None,
) -> None:
    """Print each study's effect and standard error."""
    from bayesmeta.effects import effect_sizes
    from bayesmeta.export import provenance, study_frame, write_tables
    from bayesmeta.reading import read_with

    table = read_with(file, data.options(outcome))
    found = audit_lines({"": table}, measure, strict=strict)
    sizes = effect_sizes(table, measure, vtype=vtype, **data.zero_cells)
    frame = study_frame(sizes)
    if output is not None:
        write_tables(output, {"studies": frame}, about=provenance(table, sizes))
    if as_json:
        _print_json("effects", frame, measure, found, rule=sizes.rule)
        return
    show(found, aside=csv)
    if csv:
        typer.echo(frame.to_csv(index=False, lineterminator="\n"), nl=False)
        return
    _print_effects(sizes)
    for line in (*_mapping(table), *_changes(sizes)):
        typer.echo(line)


def convert(
    file: Source,
    output: Annotated[Path, typer.Argument(help="Ends in .csv, .tsv, .xlsx, .json, .parquet, or .R for an R script.")],
    *,
    data: DataOptions,
    outcome: Outcome = None,
    measure: Annotated[str | None, typer.Option("--measure", "-m", help="Add effects; an R script needs it.")] = None,
    method: Annotated[str, typer.Option(help="Estimator of tau2 in the R script.")] = "REML",
    ci: Annotated[str, typer.Option(help="Interval rule in the R script: wald, hksj, adhoc, t.")] = "wald",
    mu: Annotated[str | None, typer.Option(help="Prior of mu in the R script; else that of fit.")] = None,
    strict: Strict = False,
    as_json: Json = False,
    tau: Annotated[str | None, typer.Option(help="Prior of tau in the R script; else that of fit.")] = None,
) -> None:
    """Write the studies of FILE under bayesmeta's column names, or as an R script that redoes the analysis."""
    from bayesmeta.effects import effect_sizes
    from bayesmeta.export import provenance, r_script, study_frame, write_bytes, write_tables
    from bayesmeta.reading import read_with

    table = read_with(file, data.options(outcome))
    found = audit_lines({"": table}, measure, strict=strict)
    if not as_json:
        show(found)
    sizes = None if measure is None else effect_sizes(table, measure, **data.zero_cells)
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
    if as_json:
        _print_json("convert", {"written": str(output), "studies": table.k}, measure, found)
        return
    for line in (*_mapping(table), f"{table.k} studies written to {output}"):
        typer.echo(line)


def check(
    file: Source,
    *,
    data: DataOptions,
    outcome: Outcome = None,
    measure: Annotated[
        str | None, typer.Option("--measure", "-m", help="For the checks that depend on what is pooled.")
    ] = None,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Audit the data: what was read as what, zero cells, duplicates, swapped arms, outliers, totals."""
    from bayesmeta.audit import audit
    from bayesmeta.reading import read_with

    findings = audit(read_with(file, data.options(outcome)), measure=measure)
    if as_json:
        _print_json("check", findings, measure, [])
        return
    for finding in findings:
        typer.echo(str(finding))
    look = sum(finding.look for finding in findings)
    if strict and look:
        raise DataError(f"--strict, and {look} finding{'' if look == 1 else 's'} to look at.")
    typer.echo(f"{look} finding{'' if look == 1 else 's'} to look at, marked with !" if look else "Nothing to look at.")


def _print_json(command: str, result: object, measure: str | None, found: list[str], **about: object) -> None:
    from bayesmeta.export.plain import json_text

    typer.echo(json_text(command, result, measure=measure, findings=found, **about))


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
