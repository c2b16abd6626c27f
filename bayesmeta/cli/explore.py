"""``bayesmeta influence``, ``subgroups`` and ``regress``: both schools beyond the one pooled answer."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayesmeta.cli._data_options import DataOptions, with_data_options
from bayesmeta.cli._findings import audit_lines, show
from bayesmeta.cli._priors import priors_of

if TYPE_CHECKING:
    from bayesmeta.studies import StudyTable

Source = Annotated[Path, typer.Argument(help="CSV, TSV, XLSX, Parquet, RevMan zip, .rm5 or RevMan CSV.")]
Measure = Annotated[str, typer.Option("--measure", "-m", help="OR, RR, RD, MD, SMD, IRR, GEN, ...")]
Outcome = Annotated[str | None, typer.Option(help="Which outcome, where the file holds several.")]
BenefitOption = Annotated[
    str | None, typer.Option("--benefit", help="Direction that is a benefit, lower or higher, for its probability.")
]
Prior = Annotated[
    list[str] | None, typer.Option(help="Prior of the analysis, e.g. 'tau=half_normal(1)'; may be repeated.")
]
Method = Annotated[str, typer.Option(help="Estimator of tau2 of the classical rows.")]
Ci = Annotated[str, typer.Option(help="Interval rule of the classical rows: wald, hksj, adhoc, t.")]
Level = Annotated[float, typer.Option(help="Of the intervals.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON with every digit instead.")]
Strict = Annotated[bool, typer.Option("--strict", help="End with an error where the data have findings.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for command in (influence, subgroups, regress):
        app.command()(with_data_options(command))


def influence(
    file: Source,
    measure: Measure,
    *,
    data: DataOptions,
    outcome: Outcome = None,
    benefit: BenefitOption = None,
    model: Annotated[str, typer.Option(help="A model with quadrature.")] = "normal_normal",
    prior: Prior = None,
    method: Method = "REML",
    ci: Ci = "wald",
    level: Level = 0.95,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Print both answers without each study in turn, and which studies stand out."""
    from bayesmeta.compare import single_studies
    from bayesmeta.effects import effect_sizes

    table, found = read_audited(file, data, outcome, measure, strict=strict)
    sizes = effect_sizes(table, measure, **data.zero_cells)
    result = single_studies(
        sizes,
        model=model,
        priors=priors_of(prior),
        method=method,
        ci=ci,  # type: ignore[arg-type]
        level=level,
        benefit=benefit,  # type: ignore[arg-type]
    )
    _answer("influence", result, result.to_frame() if as_json else None, measure, found)


def subgroups(
    file: Source,
    measure: Measure,
    *,
    data: DataOptions,
    by: Annotated[str, typer.Option(help="Column that names the subgroup of each study.")] = "subgroup",
    outcome: Outcome = None,
    benefit: BenefitOption = None,
    tau: Annotated[str, typer.Option(help="separate (one a subgroup) or common.")] = "separate",
    prior: Prior = None,
    method: Method = "REML",
    ci: Ci = "wald",
    level: Level = 0.95,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Print both answers in each subgroup, the test for differences, and the posterior of each difference."""
    from bayesmeta.compare import subgroups as by_subgroup

    table, found = read_audited(file, data, outcome, measure, strict=strict)
    zero = {name: value for name, value in data.zero_cells.items() if name != "inestimable"}
    result = by_subgroup(
        table,
        by=by,
        measure=measure,
        tau=tau,  # type: ignore[arg-type]
        priors=priors_of(prior),
        method=method,
        ci=ci,  # type: ignore[arg-type]
        level=level,
        benefit=benefit,  # type: ignore[arg-type]
        **zero,
    )
    content = {"groups": result.to_frame(), "test": result.test, "differences": result.differences_frame()}
    _answer("subgroups", result, content if as_json else None, measure, found)


def regress(
    file: Source,
    measure: Measure,
    *,
    data: DataOptions,
    moderator: Annotated[list[str], typer.Option(help="Column; text is coded against its first level; repeatable.")],
    outcome: Outcome = None,
    prior: Prior = None,
    method: Method = "REML",
    ci: Ci = "wald",
    level: Level = 0.95,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Print the meta-regression on moderators, classical and Bayesian."""
    from bayesmeta.effects import effect_sizes
    from bayesmeta.fit import fit
    from bayesmeta.frequentist import pool

    table, found = read_audited(file, data, outcome, measure, strict=strict)
    sizes = effect_sizes(table, measure, moderators=moderator, **data.zero_cells)
    classical = pool(sizes, method=method, ci=ci, level=level)  # type: ignore[arg-type]
    posterior = fit(sizes, "meta_regression", priors=priors_of(prior))
    if as_json:
        _answer("regress", "", {"classical": classical, "bayesian": posterior}, measure, found)
        return
    show(found)
    typer.echo(f"Classical meta-regression\n{classical}\n\nBayesian meta-regression\n{posterior}")


def read_audited(
    file: Path, data: DataOptions, outcome: str | None, measure: str, *, strict: bool
) -> "tuple[StudyTable, list[str]]":
    """Return the studies of a file, and the lines of the audit that head the answer."""
    from bayesmeta.reading import read_with

    table = read_with(file, data.options(outcome))
    return table, audit_lines({"": table}, measure, strict=strict)


def _answer(command: str, result: Any, content: Any, measure: str, found: list[str]) -> None:
    """Print a result, or its content as JSON where there is one."""
    if content is None:
        show(found)
        typer.echo(str(result))
        return
    from bayesmeta.export.plain import json_text

    typer.echo(json_text(command, content, measure=measure, findings=found))
