"""`run_many`: a corpus of meta-analyses, part by part, on one core, several, or a cluster."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import Any

from bayesmeta.corpus.recipe import Recipe
from bayesmeta.corpus.results import CorpusResults
from bayesmeta.corpus.solve import solve
from bayesmeta.corpus.store import Format, Store, encoded, same_as_written
from bayesmeta.engines.versions import versions
from bayesmeta.errors import BayesMetaError, ModelError, unknown
from bayesmeta.reading.corpus_rows import CorpusRows, corpus_rows
from bayesmeta.reading.options import ReadingOptions, TotalRows

# Parts that wait for a worker: enough to keep a cluster busy, few enough that memory stays bounded.
IN_FLIGHT = 64


def run_many(
    source: Any,
    *,
    by: str,
    out: str | os.PathLike[str],
    measure: str = "OR",
    executor: Any = None,
    workers: int = 1,
    model: str | None = "normal_normal",
    priors: Mapping[str, Any] | None = None,
    classical: Sequence[str] = ("REML",),
    ci: Sequence[str] = ("wald", "hksj"),
    level: float = 0.95,
    above: float = 0.0,
    zero_cells: Mapping[str, Any] | None = None,
    columns: Mapping[str, str] | None = None,
    decimal: str = ".",
    ci_level: float | None = None,
    total_rows: TotalRows = "refuse",
    chunk: int = 250,
    form: Format = "parquet",
    progress: bool = False,
) -> CorpusResults:
    """Analyse every meta-analysis of a corpus; start the same run again after an interruption, and it goes on.

    Results are written in parts of `chunk` meta-analyses, each renamed to its place when it is whole, beside a manifest
    of what was asked (digest of the input, options, priors, versions). The same question gives the same bytes, whoever
    computes them and however often the run was interrupted. An analysis that fails is a row with its error.

    Parameters
    ----------
    source
        Path of a CSV (comma, semicolon or tab separated, UTF-8) or Parquet file, or a pandas, polars or pyarrow frame,
        one row a study.
    by
        Header of the column that names the meta-analysis.
    out
        Folder of the results.
    measure
        Effect measure.
    executor
        Any ``concurrent.futures`` executor, or a ``dask.distributed`` Client, whose workers have bayesmeta. Parts are
        its tasks, and are written here.
    workers
        Processes on this machine, where no executor is given; 1 computes in this one. With more, a script needs
        ``if __name__ == "__main__":``, as always with processes.
    model
        ``"normal_normal"`` and its like are computed hundreds at a time; models of counts
        (``"hypergeometric_normal"``) one by one. None leaves the Bayesian analysis out.
    priors
        Parameter to prior; the model's defaults otherwise.
    classical, ci
        Estimators of tau2 and rules of confidence intervals, each with each.
    level
        Of all intervals.
    above
        Threshold, analysis scale: the probability of exceeding it is reported.
    zero_cells
        ``add``, ``to``, ``drop00`` and ``inestimable``, as `effect_sizes` takes them.
    columns, decimal, ci_level, total_rows
        How the rows are read; see `read_studies`.
    chunk
        Meta-analyses a part.
    form
        Of the parts: ``"parquet"`` or ``"csv"``.
    progress
        Whether to show a progress bar.

    Raises
    ------
    DataError
        If the source cannot be read, or the folder cannot be written or holds the results of something else.
    ModelError
        If an option is unknown or impossible.
    BayesMetaError
        If a worker died; the parts made before are whole.
    """
    if form not in ("parquet", "csv"):
        raise unknown("form of the parts:", form, ("parquet", "csv"))
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ModelError(f"workers={workers!r}: it is a whole number of processes, at least 1.")
    reading = ReadingOptions(columns=columns or {}, decimal=decimal, ci_level=ci_level, total_rows=total_rows)
    recipe = Recipe(
        measure, model, priors or {}, tuple(classical), tuple(ci), level, above, zero_cells or {}, reading, chunk
    )
    rows = corpus_rows(source, by=by, columns=columns, decimal=decimal)
    pieces = rows.pieces(chunk)
    store = Store(Path(out), form, len(pieces))
    asked = same_as_written(
        {
            **recipe.stated(),
            "by": by,
            "form": form,
            "sha256": rows.sha256,
            "analyses": len(rows.groups),
            "rows": len(rows.group),
            "versions": dict(versions("pyarrow", "pandas")),
        }
    )
    digests = store.open(asked)
    reused = len(digests)
    todo = [i for i in range(len(pieces)) if i not in digests]
    with _pool(executor, workers, len(todo)) as pool, _bar(progress, len(pieces), reused) as advance:
        for i, content in _made(pool, recipe, pieces, todo, form):
            digests[i] = store.put(i, content)
            advance()
    store.close(asked, digests)
    return CorpusResults(store.folder, tuple(store.part(i) for i in range(len(pieces))), len(rows.groups), reused)


def make_part(recipe: Recipe, rows: CorpusRows, form: Format) -> bytes:
    """Return the bytes of one part: what a worker does."""
    return encoded(solve(recipe, rows), form)


def _made(
    pool: Executor | None, recipe: Recipe, pieces: list[CorpusRows], todo: list[int], form: Format
) -> Iterator[tuple[int, bytes]]:
    """Yield parts as they are made."""
    if pool is None:
        for i in todo:
            yield i, make_part(recipe, pieces[i], form)
        return
    waiting = iter(todo)
    running: dict[Future[bytes], int] = {}
    try:
        while True:
            for i in islice(waiting, IN_FLIGHT - len(running)):
                running[pool.submit(make_part, recipe, pieces[i], form)] = i
            if not running:
                return
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(done), done.result()
    except BrokenExecutor as error:
        raise BayesMetaError(
            f"A worker died ({error}). The parts made so far are whole: start the same run again to go on, with fewer "
            "workers if memory ran out."
        ) from error
    finally:
        for future in running:
            future.cancel()


@contextlib.contextmanager
def _pool(executor: Any, workers: int, tasks: int) -> Iterator[Executor | None]:
    if executor is not None:
        # A dask Client has futures of its own kind, and an executor with those of the standard library.
        own = executor.get_executor(pure=False) if hasattr(executor, "get_executor") else executor
        if not isinstance(own, Executor):
            raise ModelError(
                f"executor is a {type(executor).__name__}: give a concurrent.futures executor or a dask Client."
            )
        yield own
    elif workers == 1 or tasks < 2:
        yield None
    else:
        import multiprocessing

        # Forked children would share the state of threads they do not have.
        with ProcessPoolExecutor(min(workers, tasks), multiprocessing.get_context("spawn")) as pool:
            yield pool


@contextlib.contextmanager
def _bar(progress: bool, total: int, done: int) -> Iterator[Callable[[], object]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not progress) as bar:
        task = bar.add_task("Parts", total=total, completed=done)
        yield lambda: bar.advance(task)
