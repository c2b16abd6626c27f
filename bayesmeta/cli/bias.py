"""``bayesmeta bias``: what every method says of missing results, beside the unadjusted estimates."""

from enum import StrEnum
from typing import Annotated

import typer

from bayesmeta.cli._data_options import DataOptions, with_data_options
from bayesmeta.cli._findings import show
from bayesmeta.cli.explore import Json, Level, Measure, Outcome, Source, Strict, read_audited


class Direction(StrEnum):
    """Which results are supposed to be favoured."""

    GREATER = "greater"
    LESS = "less"


def register(app: typer.Typer) -> None:
    """Add the command of this module to `app`."""
    app.command("bias")(with_data_options(bias))


def bias(
    file: Source,
    measure: Measure,
    *,
    data: DataOptions,
    direction: Annotated[
        Direction, typer.Option(help="Which results are likelier to be reported; below 0 is 'less', e.g. OR < 1.")
    ],
    outcome: Outcome = None,
    ensemble: Annotated[str, typer.Option(help="psma, 6w, 2w, pp, robma3, a table's path, or none.")] = "psma",
    scale: Annotated[
        float, typer.Option(help="Multiplies the ensemble's priors, which are for standardised mean differences.")
    ] = 1.0,
    level: Level = 0.95,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Print what every method says of missing results, each beside the unadjusted estimate and what it supposes."""
    from bayesmeta.bias import reporting_bias
    from bayesmeta.effects import effect_sizes

    table, found = read_audited(file, data, outcome, measure, strict=strict)
    sizes = effect_sizes(table, measure, **data.zero_cells)
    result = reporting_bias(
        sizes,
        direction=direction.value,
        ensemble=None if ensemble == "none" else ensemble,
        scale=scale,
        level=level,
    )
    if not as_json:
        show(found)
        typer.echo(str(result))
        return
    from bayesmeta.export.plain import json_text

    content = {"rows": result.to_frame(), "sentences": list(result.sentences)}
    if result.average is not None:
        content["models"] = result.average.details.models
    typer.echo(json_text("bias", content, measure=measure, findings=found))
