"""``bayesmeta network``: a network of treatments, classical and Bayesian side by side."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bayesmeta.cli._data_options import DataOptions, with_data_options
from bayesmeta.cli._priors import priors_of
from bayesmeta.cli.report import Benefit
from bayesmeta.errors import DataError, ModelError

READ = ("columns", "sheet", "header_row", "decimal", "thousands")
"""Options about data that a network's file has a use for."""
ZERO_CELLS = ("add", "to")


class Method(StrEnum):
    """Estimator of the classical tau2."""

    REML = "REML"
    ML = "ML"
    DL = "DL"
    COMMON = "common"


def register(app: typer.Typer) -> None:
    """Add the command of this module to `app`."""
    app.command("network")(with_data_options(network))


def network(
    file: Annotated[Path, typer.Argument(help="Arms or contrasts of studies of several treatments: CSV, XLSX, ...")],
    *,
    data: DataOptions,
    measure: Annotated[str, typer.Option(help="Effect measure: OR, RR, RD, MD, SMD, IRR, ...")],
    reference: Annotated[
        str | None, typer.Option(help="Treatment that others are compared with; the first by name when not given.")
    ] = None,
    benefit: Annotated[
        Benefit | None, typer.Option(help="Direction that is a benefit, for the ranks; lower when not given.")
    ] = None,
    prior: Annotated[
        list[str] | None, typer.Option("--prior", help="Prior, e.g. 'tau=half_normal(1)'; may be repeated.")
    ] = None,
    method: Annotated[Method, typer.Option(help="Estimator of the classical tau2.")] = Method.REML,
    level: Annotated[float, typer.Option(help="Of confidence and credible intervals.")] = 0.95,
    out: Annotated[
        list[Path] | None, typer.Option(help="Also write a report: .html, .docx, .md or .json; may be repeated.")
    ] = None,
    title: Annotated[str, typer.Option(help="Title of the report.")] = "",
    strict: Annotated[bool, typer.Option("--strict", help="End with an error where the data have findings.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON with every digit instead.")] = False,
) -> None:
    """Print relative effects, league table, ranks, heterogeneity and inconsistency of a network by both schools."""
    from bayesmeta.compare.network_comparison import compare_network
    from bayesmeta.effects import contrasts
    from bayesmeta.reading.networks import read_network_with
    from bayesmeta.report.network_page import write_network
    from bayesmeta.report.writing import check_writable

    _check_options(data)
    for path in out or ():
        check_writable(path)
        if path.exists() and file.exists() and path.samefile(file):
            raise ModelError(f"--out {path} is the input itself, which the report would destroy. Give another name.")
    con = contrasts(read_network_with(file, data.options()), measure, **data.zero_cells)
    if strict and con.notes:
        raise DataError("--strict, and the data have findings:\n" + "\n".join(con.notes))
    found = compare_network(
        con,
        reference=reference,
        benefit=None if benefit is None else benefit.value,
        priors=priors_of(prior),
        method=method.value,
        level=level,
    )
    if as_json:
        from bayesmeta.export.plain import json_text

        print(json_text("network", found.to_dict(), measure=measure, findings=list(con.notes)))
    else:
        print(found)
    for path in write_network(found, out or (), title=title or file.stem):
        print(f"Report: {path}", file=sys.stderr if as_json else sys.stdout)


def _check_options(data: DataOptions) -> None:
    """Refuse an option that would change nothing here."""
    useless = [name for name in data.reading if name not in READ]
    useless += [name for name in data.zero_cells if name not in ZERO_CELLS]
    if useless:
        said = ", ".join(f"--{name.replace('_', '-')}" for name in useless)
        raise ModelError(
            f"{said}: a network has no such option. Of those about data it takes --column, --sheet, --header-row, "
            "--decimal, --thousands, --add and --to."
        )
