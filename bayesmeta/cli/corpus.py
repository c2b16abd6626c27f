"""``bayesmeta batch``: every meta-analysis of a corpus, in parts that survive interruption."""

from pathlib import Path
from typing import Annotated

import typer

from bayesmeta.cli._data_options import DataOptions, with_data_options
from bayesmeta.cli._priors import priors_of
from bayesmeta.errors import DataError

# What a corpus takes of the options about data: one file of one shape.
_READING = {"columns", "decimal", "ci_level", "total_rows"}


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("batch")(with_data_options(batch))


def batch(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet with one row a study.")],
    by: Annotated[str, typer.Option(help="Column that names the meta-analysis.")],
    out: Annotated[Path, typer.Option(help="Folder of the results; the same run goes on where it was interrupted.")],
    *,
    data: DataOptions,
    measure: Annotated[str, typer.Option("--measure", "-m", help="Effect measure.")] = "OR",
    model: Annotated[str, typer.Option(help="A model with quadrature, or 'none' for classical analyses alone.")] = (
        "normal_normal"
    ),
    prior: Annotated[list[str] | None, typer.Option(help="Prior, e.g. 'tau=half_normal(1)'; may be repeated.")] = None,
    classical: Annotated[list[str] | None, typer.Option(help="Estimator of tau2; may be repeated.")] = None,
    ci: Annotated[list[str] | None, typer.Option(help="wald, hksj, adhoc or t; may be repeated.")] = None,
    level: Annotated[float, typer.Option(help="Of all intervals.")] = 0.95,
    above: Annotated[float, typer.Option(help="Threshold on the analysis scale.")] = 0.0,
    chunk: Annotated[int, typer.Option(help="Meta-analyses a part.")] = 250,
    form: Annotated[str, typer.Option(help="Of the parts: parquet or csv.")] = "parquet",
    workers: Annotated[int | None, typer.Option(help="Processes; as many as processors when not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """Analyse every meta-analysis of a long file; run it again after an interruption, and it goes on."""
    import json

    from bayesmeta.corpus import run_many

    refused = [name for name in data.reading if name not in _READING]
    if refused:
        raise DataError(f"--{refused[0].replace('_', '-')} is for a file of one meta-analysis: leave it out.")
    done = run_many(
        file,
        by=by,
        out=out,
        measure=measure,
        workers=workers or _processors(),
        model=None if model == "none" else model,
        priors=priors_of(prior),
        classical=tuple(classical or ("REML",)),
        ci=tuple(ci or ("wald", "hksj")),
        level=level,
        above=above,
        zero_cells=data.zero_cells,
        chunk=chunk,
        form=form,  # type: ignore[arg-type]
        progress=True,
        **data.reading,
    )
    if as_json:
        bad = done.errors()
        about = {"folder": str(done.folder), "analyses": done.analyses, "parts": len(done.parts), "errors": bad}
        typer.echo(json.dumps(about, indent=2, ensure_ascii=False))
        return
    typer.echo(str(done))


def _processors() -> int:
    """Return how many processors this process may use."""
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
