"""``bayesmeta plan-trial``: what the next study would show, and how large it has to be."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayesmeta.cli._data_options import DataOptions, with_data_options
from bayesmeta.cli._findings import audit_lines, show
from bayesmeta.cli.decide import (
    CONTROLS,
    Direction,
    Json,
    Measure,
    Priors,
    Source,
    Strict,
    Which,
    _controls,
    _data,
    _heading,
    _posteriors,
    _print_json,
    _question,
)
from bayesmeta.errors import ModelError

if TYPE_CHECKING:
    from bayesmeta.posterior import Posterior


def register(app: typer.Typer) -> None:
    """Add the command of this module to `app`."""
    app.command("plan-trial")(with_data_options(plan_trial))


def plan_trial(
    file: Source,
    *,
    data: DataOptions,
    n: Annotated[list[int] | None, typer.Option(help="Patients per arm; may be repeated.")] = None,
    assurance: Annotated[
        float | None, typer.Option(help="In place of --n: find the smallest study with this assurance.")
    ] = None,
    control_risk: Annotated[
        str | None,
        typer.Option(help="Risk in its control arm: 0.4, 'beta(40, 60)', or 'controls' to pool the control arms."),
    ] = None,
    success: Annotated[
        str, typer.Option(help="significant, a bound of its estimate ('OR < 0.9'), or 'P(benefit) > 0.975' afterwards.")
    ] = "significant",
    allocation: Annotated[float, typer.Option(help="Patients treated for each control.")] = 1.0,
    control_rate: Annotated[float | None, typer.Option(help="For rates: events per person-time under control.")] = None,
    follow_up: Annotated[float, typer.Option(help="For rates: person-time of a patient.")] = 1.0,
    sd: Annotated[float | None, typer.Option(help="For mean differences: SD of one patient's outcome.")] = None,
    se: Annotated[
        float | None, typer.Option(help="In place of --n: standard error of its estimate, analysis scale.")
    ] = None,
    se_from: Annotated[
        str, typer.Option(help="'both arms', or 'control risk' for the textbook form with that risk in both arms.")
    ] = "both arms",
    certainty: Annotated[float, typer.Option(help="Probability from which on something counts as concluded.")] = 0.975,
    patients: Annotated[float | None, typer.Option(help="Count events avoided over so many patients.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw assurance against size into this file.")] = None,
    outcome: Which = None,
    strict: Strict = False,
    as_json: Json = False,
    measure: Measure = None,
    benefit: Direction = None,
    prior: Priors = None,
) -> None:
    """Print the assurance of a next study, and what it would change, from the studies so far."""
    from bayesmeta.planning import next_study

    protocol, name, table = _question(file, outcome, measure, benefit, prior, data)
    lines = audit_lines({name: table}, protocol.measure, strict=strict)
    effects, counts = _data(protocol, table)
    risk: Any = control_risk
    if control_risk is not None:
        risk = _controls(counts) if control_risk.strip() == CONTROLS else _risk(control_risk)
    posterior, _, _ = _posteriors(protocol, effects, alternatives=False)
    plan = protocol.outcomes[name]
    options: dict[str, Any] = {
        "control_risk": risk,
        "success": success,
        "benefit": plan.benefit,
        "level": protocol.level,
        "allocation": allocation,
        "control_rate": control_rate,
        "follow_up": follow_up,
        "sd": sd,
        "se_from": se_from,
    }
    size = None if not n else n[0] if len(n) == 1 else n
    found = next_study(posterior, n=size, se=se, assurance=assurance, certainty=certainty, patients=patients, **options)
    if plot is not None:
        _draw(posterior, plot, [o.n for o in found.outlooks if o.n is not None], options)
    if as_json:
        _print_json("plan-trial", found, protocol.measure, lines)
        return
    show(lines)
    _heading(plan, name, posterior)
    print(found)
    if plot is not None:
        print(f"Drawn: {plot}")


def _risk(text: str) -> Any:
    """Return a control risk from its text: a number or a distribution."""
    from bayesmeta.priors import parse_prior

    try:
        return float(text)
    except ValueError:
        pass
    try:
        return parse_prior(text)
    except ModelError as error:
        raise ModelError(
            f"--control-risk {text}: write a probability (0.4), beta(40, 60), or controls. {error}"
        ) from None


def _draw(posterior: "Posterior", path: Path, sizes: list[int], options: dict[str, Any]) -> None:
    """Draw assurance over sizes from a fifth of the smallest to five times the largest."""
    if not sizes:
        raise ModelError("--plot draws assurance against the number of patients: give --n or --assurance, not --se.")
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ModelError(f"--plot {path}: give a file name that ends in .png, .svg or .pdf.")
    from bayesmeta.plots.assurance import assurance

    ax = assurance(posterior, (max(2, min(sizes) // 5), 5 * max(sizes)), **options)
    figure = ax.get_figure()
    assert figure is not None
    try:
        figure.savefig(path, bbox_inches="tight", dpi=200)  # type: ignore[union-attr]
    except OSError as error:
        raise ModelError(f"--plot {path}: it cannot be written ({error.strerror}).") from None
