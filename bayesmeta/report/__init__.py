"""The report: a self-contained page, a Word document, Markdown or JSON. It shows what `bayesmeta.analysis` found."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayesmeta.analysis import Analysis
    from bayesmeta.compare.run import Data
    from bayesmeta.protocol import Benefit, Protocol


def report(
    source: "str | Path | Protocol | Data",
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
    model: str | Sequence[str] = (),
    **sampling: Any,
) -> Path:
    """Analyse, write the report, and return its path.

    Parameters
    ----------
    source
        A protocol or the path of one (``.toml``), the path of a data file, or a study table, counts
        or effect sizes.
    path
        Where to write, ``.html``, ``.docx``, ``.md`` or ``.json``; replaced whole or left as it is.
    measure, benefit, priors, level, title
        For a source that is not a protocol: effect measure (``"OR"`` when not given), direction that
        is a benefit, priors as text, level of the intervals, heading.
    model
        For a source that is not a protocol: model or models, the first the primary one; ``normal_normal`` when not
        given.
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

    path = Path(path)
    check_writable(path)
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
