"""``bayesmeta sensitivity`` and ``bayesmeta tipping-point``: how much the answer depends on what was assumed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayesmeta.cli._data_options import DataOptions, with_data_options
from bayesmeta.cli._findings import audit_lines, show
from bayesmeta.cli._priors import priors_of
from bayesmeta.errors import DataError, ModelError

if TYPE_CHECKING:
    import xarray as xr

    from bayesmeta.sensitivity import Multiverse

Source = Annotated[Path, typer.Argument(help="CSV, TSV, XLSX, Parquet, RevMan zip, .rm5 or RevMan CSV.")]
Outcome = Annotated[str | None, typer.Option(help="Which outcome, where the file holds several.")]
Benefit = Annotated[str, typer.Option(help="Direction that is a benefit: lower (death) or higher (recovery).")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON with every digit instead.")]
Strict = Annotated[bool, typer.Option("--strict", help="End with an error where the data have findings.")]
Level = Annotated[float, typer.Option(help="Of the credible intervals.")]
Figure = Annotated[Path | None, typer.Option(help="Write the plot here: .png, .svg or .pdf.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("sensitivity")(with_data_options(sensitivity))
    app.command("tipping-point")(with_data_options(tipping_point))


def sensitivity(
    file: Source,
    benefit: Benefit,
    *,
    data: DataOptions,
    measure: Annotated[
        list[str] | None, typer.Option("--measure", "-m", help="Effect measure; may be repeated for a multiverse.")
    ] = None,
    outcome: Outcome = None,
    mu: Annotated[list[str] | None, typer.Option(help="Prior of mu to compare; may be repeated.")] = None,
    tau: Annotated[list[str] | None, typer.Option(help="Prior of tau to compare; may be repeated.")] = None,
    kind: Annotated[str | None, typer.Option(help="Outcome type of the published prior of tau, e.g. 'pain'.")] = None,
    against: Annotated[str | None, typer.Option(help="Comparison of the published prior of tau.")] = None,
    multiverse: Annotated[
        bool, typer.Option("--multiverse", help="Vary zero-cell rule and studies as well, with classical rows.")
    ] = False,
    level: Level = 0.95,
    strict: Strict = False,
    as_json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV with every digit.")] = False,
    figure: Figure = None,
) -> None:
    """Print P(benefit) and the estimate under other priors; with --multiverse under every combination of choices."""
    from bayesmeta.effects import effect_sizes
    from bayesmeta.reading import read_with
    from bayesmeta.sensitivity import multiverse as many
    from bayesmeta.sensitivity import sensitivity as over_priors

    table = read_with(file, data.options(outcome))
    measures = measure or ["OR"]
    found = audit_lines({"": table}, measures[0], strict=strict)
    taus = _taus(tau, measures[0], kind, against)
    if multiverse:
        rules = _zero_rules(data)
        result = many(table, benefit=benefit, measures=measures, mu=mu or None, tau=taus, level=level, zero_cells=rules)
        if as_json:
            _print_json("sensitivity", result.to_frame(), measures[0] if len(measures) == 1 else None, found)
            _draw(figure, "specification_curve", result, aside=True)
            return
        show(found, aside=csv)
        typer.echo(result.to_frame().to_csv(index=False, lineterminator="\n") if csv else str(result), nl=not csv)
        _draw(figure, "specification_curve", result, aside=csv)
        return
    if len(measures) > 1:
        raise ModelError("Several measures are compared by a multiverse: add --multiverse, or give one --measure.")
    grid = over_priors(
        effect_sizes(table, measures[0], **data.zero_cells), mu=mu or None, tau=taus, benefit=benefit, level=level
    )
    if as_json:
        _print_json("sensitivity", grid, measures[0], found)
        _draw(figure, "sensitivity", grid, aside=True)
        return
    show(found, aside=csv)
    if csv:
        typer.echo(grid.to_dataframe().reset_index().to_csv(index=False, lineterminator="\n"), nl=False)
    else:
        _print_grid(grid)
    _draw(figure, "sensitivity", grid, aside=csv)


def _zero_rules(data: DataOptions) -> list[tuple[float, str]] | None:
    """Return the one rule for zero cells that was stated; None where a multiverse is to vary it."""
    said = data.zero_cells
    for name in ("drop00", "inestimable"):
        if name in said:
            raise ModelError(f"--{name} is no choice of a multiverse, which says what it leaves out: leave it out.")
    return [(said.get("add", 0.5), said.get("to", "only0"))] if said else None


def _print_json(command: str, result: object, measure: str | None, found: list[str]) -> None:
    from bayesmeta.export.plain import json_text

    typer.echo(json_text(command, result, measure=measure, findings=found))


def _taus(tau: list[str] | None, measure: str, kind: str | None, against: str | None) -> Any:
    from bayesmeta.sensitivity import tau_presets

    if kind is None and against is None:
        return tau or None
    if tau:
        raise ModelError("--tau names the priors of tau, and --kind chooses a published one: give only one of them.")
    return tau_presets(measure, kind, against)


def _print_grid(grid: "xr.Dataset") -> None:
    from bayesmeta.sensitivity.sentences import grid_lines, grid_table

    for line in (*grid_table(grid), *grid_lines(grid)):
        typer.echo(line)


def tipping_point(
    file: Source,
    benefit: Benefit,
    *,
    data: DataOptions,
    measure: Annotated[
        str | None, typer.Option("--measure", "-m", help="Effect measure; the model's own, or OR, when not given.")
    ] = None,
    outcome: Outcome = None,
    model: Annotated[str, typer.Option(help="A model with quadrature.")] = "normal_normal",
    prior: Annotated[
        list[str] | None, typer.Option(help="Prior of the analysis, e.g. 'tau=half_normal(1)'; may be repeated.")
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="Natural scale; no effect when not given.")] = None,
    level: Level = 0.95,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Print what would overturn the conclusion: a sceptical prior, heterogeneity, null studies, changed outcomes."""
    from bayesmeta.effects import effect_sizes
    from bayesmeta.reading import read_with
    from bayesmeta.sensitivity import tipping_point as tips

    table = read_with(file, data.options(outcome))
    found = audit_lines({"": table}, measure, strict=strict)
    result = tips(
        effect_sizes(table, measure or "OR", **data.zero_cells) if data.zero_cells else table,
        benefit=benefit,
        measure=measure,
        model=model,
        priors=priors_of(prior),
        threshold=threshold,
        level=level,
    )
    if as_json:
        _print_json("tipping-point", result, result.question.event.measure, found)
        return
    show(found)
    typer.echo(str(result))


def _draw(path: Path | None, name: str, what: "xr.Dataset | Multiverse", *, aside: bool) -> None:
    """Write a plot, and say so; on the error stream where the output is for a program."""
    if path is None:
        return
    from bayesmeta.plots import PLOTS

    axes = PLOTS[name](what)
    try:
        axes.figure.savefig(path, bbox_inches="tight", dpi=200)
    except ValueError as error:
        raise DataError(f"--figure {path}: {error}") from error
    typer.echo(f"Plot: {path}", err=aside)
