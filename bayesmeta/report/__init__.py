"""The report: a self-contained page, a Word document, Markdown or JSON. It shows what `bayesmeta.analysis` found."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesmeta.errors import ModelError

if TYPE_CHECKING:
    from bayesmeta.analysis import Analysis
    from bayesmeta.compare.run import Data
    from bayesmeta.protocol import Benefit, Protocol
    from bayesmeta.studies import Contrasts, NetworkTable


def report(
    source: "str | Path | Protocol | Data | NetworkTable | Contrasts",
    path: str | Path = "report.html",
    *,
    measure: str | None = None,
    benefit: "Benefit | None" = None,
    outcome: str | Sequence[str] = (),
    priors: Mapping[str, str] | None = None,
    engine: str = "both",
    level: float | None = None,
    seed: int | None = None,
    title: str = "",
    reference: str | None = None,
    model: str | Sequence[str] = (),
    **sampling: Any,
) -> Path:
    """Analyse, write the report, and return its path.

    Parameters
    ----------
    source
        A protocol or the path of one (``.toml``), the path of a data file, or a study table, counts
        or effect sizes; of a network its table or contrasts.
    path
        Where to write, ``.html``, ``.docx``, ``.md`` or ``.json``; replaced whole or left as it is.
    measure, benefit, priors, level, title
        For a source that is not a protocol: effect measure (``"OR"`` when not given), direction that
        is a benefit, priors as text, level of the intervals, heading.
    model
        For a source that is not a protocol: model or models, the first the primary one; ``normal_normal`` when not
        given.
    reference
        Of a network: the treatment that others are compared with; the first by name when not given.
    outcome
        Which outcomes; all of a protocol when not given.
    engine
        ``"both"``, ``"quadrature"``, ``"nuts"`` or ``"auto"``.
    seed
        Of the sampler.
    **sampling
        Options of the NUTS engine, e.g. ``draws=2000``.

    Raises
    ------
    DataError
        If data or protocol cannot be read or pooled.
    ModelError
        If a name is unknown or the priors give no proper posterior.
    ConvergenceError
        If a posterior was not reached with the accuracy asked for.
    BayesMetaError
        If `path` cannot be written.
    """
    from bayesmeta.analysis import analyse
    from bayesmeta.report.sources import plan_for
    from bayesmeta.report.writing import check_writable
    from bayesmeta.studies import Contrasts, NetworkTable

    path = Path(path)
    check_writable(path)
    if isinstance(source, NetworkTable | Contrasts):
        if outcome or model or sampling or engine not in ("both", "quadrature", "auto"):
            raise ModelError("The report of a network is integrated: outcome, model, engine and sampling do not apply.")
        return _network(source, path, measure, reference, benefit, priors, level, title)
    if reference is not None:
        raise ModelError(f"reference={reference!r} belongs to a network of treatments, which this source is not.")
    names = (outcome,) if isinstance(outcome, str) else tuple(outcome)
    protocol, tables = plan_for(
        source,
        measure=measure,
        benefit=benefit,
        outcomes=names,
        priors=priors,
        level=level,
        seed=seed,
        title=title,
        models=(model,) if isinstance(model, str) else tuple(model),
    )
    chosen = names if tables is None else ()
    return write(analyse(protocol, tables=tables, outcomes=chosen, engine=engine, seed=seed, sampling=sampling), path)


def _network(
    source: "NetworkTable | Contrasts",
    path: Path,
    measure: str | None,
    reference: str | None,
    benefit: "Benefit | None",
    priors: Mapping[str, str] | None,
    level: float | None,
    title: str,
) -> Path:
    from bayesmeta.compare.network_comparison import compare_network
    from bayesmeta.effects import contrasts
    from bayesmeta.report.network_page import write_network
    from bayesmeta.studies import Contrasts

    if isinstance(source, Contrasts):
        if measure is not None and measure != source.measure:
            raise ModelError(f"measure={measure!r}, but the contrasts are of {source.measure}: leave it out.")
        con = source
    elif measure is None:
        raise ModelError("The report of a network's table needs a measure, e.g. measure='OR'.")
    else:
        con = contrasts(source, measure)
    chosen = 0.95 if level is None else level
    found = compare_network(con, reference=reference, benefit=benefit, priors=priors, level=chosen)
    return write_network(found, [path], title=title)[0]


def write(analysis: "Analysis", path: str | Path = "report.html") -> Path:
    """Write the report of an analysis and return its path; the file is replaced whole or left as it is.

    The suffix says in what form: ``.html``, ``.docx`` (Word), ``.md`` (Markdown) or ``.json``.

    Raises
    ------
    BayesMetaError
        If there is no writer for the suffix, or `path` cannot be written.
    """
    return write_all(analysis, [path])[0]


def write_all(analysis: "Analysis", paths: "Sequence[str | Path]") -> list[Path]:
    """Write the report of an analysis to several files, each in the form its suffix names; see `write`."""
    from bayesmeta.export import write_bytes
    from bayesmeta.report.page import page
    from bayesmeta.report.sections import document
    from bayesmeta.report.writing import rendered

    shown = document(page(analysis))
    return [write_bytes(path, rendered(analysis, shown, Path(path))) for path in paths]
