"""Rows of a corpus of meta-analyses, read so that one bad row spoils its own meta-analysis and no other."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import DataError
from bayesmeta.formats import is_missing
from bayesmeta.reading.headers import refuse_percentages
from bayesmeta.reading.many import ManyStudies, assemble, headers_of, read_columns
from bayesmeta.reading.mapping import data_columns, map_columns
from bayesmeta.reading.names import CANONICAL, TEXT
from bayesmeta.reading.options import ReadingOptions
from bayesmeta.reading.sources import FRAME
from bayesmeta.values import Array

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, eq=False)
class CorpusRows:
    """Rows of many meta-analyses as they stand in a source, one row a study, not yet checked.

    Parameters
    ----------
    groups
        ``(G,)`` names of the meta-analyses, in the order they first appear.
    group
        ``(n,)`` index into `groups`.
    study
        ``(n,)`` labels; rows without one are named by their number.
    values
        bayesmeta's name to ``(n,)`` numbers, nan where a cell is blank or cannot be read.
    unreadable
        Row, from 0, to what is wrong with its cell.
    row
        ``(n,)`` row in the source, the first below the header being 1.
    mapping
        bayesmeta's name to the header it was read from.
    headers
        Of the source.
    name, sha256
        Of the source; the digest is of the file's bytes, or of a frame written as CSV.
    """

    groups: tuple[str, ...]
    group: NDArray[np.intp]
    study: NDArray[Any]
    values: Mapping[str, Array]
    unreadable: Mapping[int, str]
    row: NDArray[np.intp]
    mapping: Mapping[str, str]
    headers: tuple[str, ...]
    name: str
    sha256: str = ""

    def pieces(self, size: int) -> "list[CorpusRows]":
        """Return the meta-analyses in pieces of `size`, in their order; the rows of each keep theirs."""
        order = np.argsort(self.group, kind="stable")
        ends = np.searchsorted(self.group[order], np.arange(0, len(self.groups) + size, size))
        return [self._piece(order[a:b], i * size, size) for i, (a, b) in enumerate(pairwise(ends))]

    def one(self, g: int) -> "CorpusRows":
        """Return one meta-analysis."""
        return self._piece(np.flatnonzero(self.group == g), g, 1)

    def _piece(self, at: NDArray[np.intp], first: int, size: int) -> "CorpusRows":
        bad = {j: self.unreadable[int(i)] for j, i in enumerate(at) if int(i) in self.unreadable}
        return CorpusRows(
            self.groups[first : first + size],
            self.group[at] - first,
            self.study[at],
            {name: values[at] for name, values in self.values.items()},
            bad,
            self.row[at],
            self.mapping,
            self.headers,
            self.name,
        )

    def checked(self, options: ReadingOptions) -> ManyStudies:
        """Return the studies, every number checked.

        Raises
        ------
        DataError
            If a cell cannot be read, is impossible, or a study appears twice in its meta-analysis.
        """
        if self.unreadable:
            at = min(self.unreadable)
            raise DataError(f"{self.name}, row {self.row[at]} (study {self.study[at]!r}): {self.unreadable[at]}")
        labels, study = np.unique(self.study.astype(str), return_inverse=True)
        coded = (study.astype(np.intp), [str(label) for label in labels])
        group = (self.group, list(self.groups))
        values = dict(self.values)
        return assemble(self.name, self.mapping, group, coded, values, list(self.headers), options, self.row)


def corpus_rows(source: Any, *, by: str, columns: Mapping[str, str] | None = None, decimal: str = ".") -> CorpusRows:
    """Return the rows of many meta-analyses from a CSV or Parquet file, or a data frame.

    Parameters
    ----------
    source
        Path of a CSV (comma, semicolon or tab separated, UTF-8) or Parquet file, or a pandas, polars or pyarrow frame,
        with one row a study.
    by
        Header of the column that names the meta-analysis.
    columns
        bayesmeta's name to header, for columns whose name is unknown or ambiguous.
    decimal
        The decimal mark of a text file.

    Raises
    ------
    DataError
        If the source cannot be read, a column is missing, or a row does not say which meta-analysis it belongs to.
    """
    stated = columns or {}
    frame = None if isinstance(source, str | os.PathLike) else _arrow(source)
    name = FRAME if frame is not None else os.fspath(source)
    if frame is None and not Path(name).is_file():
        raise DataError(f"{name}: no such file. Check the path.")
    headers = list(frame.column_names) if frame is not None else headers_of(Path(name), name)
    mapping = data_columns(map_columns([h for h in headers if h != by], stated, name), stated)
    if by not in headers:
        raise DataError(f"{name} has no column {by!r} to divide it by. Columns: {', '.join(headers)}.")
    numeric = [c for c in CANONICAL if c in mapping and c not in TEXT | {"year", "author"}]
    texts = [by, *([mapping["study"]] if "study" in mapping else [])]
    numbers = [mapping[c] for c in numeric]
    refuse_percentages(mapping, stated, name)
    table, read = (frame, numbers) if frame is not None else _from_file(Path(name), name, texts, numbers, decimal)
    if not table.num_rows:
        raise DataError(f"{name} has no data rows. Give a header line and one row per study.")
    group, groups = _codes(table.column(by))
    if "" in groups:
        row = int(np.flatnonzero(group == groups.index(""))[0]) + 1
        raise DataError(f"{name}: column {by!r}, row {row}: the cell is blank. Every row names its meta-analysis.")
    unreadable: dict[int, str] = {}
    values = {c: _numbers(table.column(mapping[c]), mapping[c], decimal, unreadable) for c in numeric} if read else {}
    rows = np.arange(1, len(group) + 1)
    study = _labels(table, mapping.get("study"), rows)
    digest = _digest(frame, [*texts, *numbers]) if frame is not None else _sha256(Path(name))
    return CorpusRows(
        tuple(groups), group, study, values, unreadable, rows, mapping, tuple(headers), Path(name).name, digest
    )


def _arrow(source: Any) -> "pa.Table":
    import narwhals as nw

    try:
        frame = nw.from_native(source, eager_only=True)
    except TypeError:
        raise DataError(
            f"run_many takes a path or a pandas, polars or pyarrow data frame, not {type(source).__name__}. "
            "Collect a lazy frame first."
        ) from None
    return frame.to_arrow()


def _from_file(
    file: Path, name: str, texts: Sequence[str], numbers: list[str], decimal: str
) -> "tuple[pa.Table, list[str]]":
    """Return the columns wanted; as text where a cell among the numbers is none."""
    try:
        return read_columns(file, name, list(texts), numbers, decimal), numbers
    except DataError:
        return read_columns(file, name, [*texts, *numbers], [], decimal), numbers


def _codes(column: "pa.ChunkedArray") -> tuple[NDArray[np.intp], list[str]]:
    """Return index and names, in the order the names first appear; a blank is the name ''."""
    import pyarrow as pa

    plain = column.cast(pa.string()).combine_chunks().dictionary_encode()
    words = ["" if is_missing(text) else str(text) for text in plain.dictionary.to_pylist()]
    names = list(dict.fromkeys([*words, *([""] if plain.indices.null_count else [])]))
    place = {name: i for i, name in enumerate(names)}
    # A null has no place in the dictionary: it takes the one behind the last.
    of = np.array([*(place[word] for word in words), place.get("", -1)], dtype=np.intp)
    return of[np.asarray(plain.indices.fill_null(len(words)), dtype=np.intp)], names


def _labels(table: "pa.Table", header: str | None, rows: NDArray[np.intp]) -> NDArray[Any]:
    if header is None:
        return np.array([f"row {i}" for i in rows], dtype=object)
    index, names = _codes(table.column(header))
    labels = np.array(names, dtype=object)[index]
    blank = labels == ""
    labels[blank] = [f"row {i}" for i in rows[blank]]
    return labels


def _numbers(column: "pa.ChunkedArray", header: str, decimal: str, unreadable: dict[int, str]) -> Array:
    """Return a column as numbers; what is no number is put into `unreadable`."""
    import pyarrow as pa

    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return np.array(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
    out = np.full(len(column), np.nan)
    for i, cell in enumerate(column.to_pylist()):
        text = cell.strip() if isinstance(cell, str) else cell
        if is_missing(text):
            continue
        try:
            out[i] = float(text.replace(decimal, ".") if isinstance(text, str) else text)
        except (TypeError, ValueError):
            unreadable.setdefault(i, f"{header} is {text!r}, which is no number. Correct the cell or leave it blank.")
    return out


def _digest(frame: "pa.Table", wanted: list[str]) -> str:
    """Return a digest of the columns used: of their text form, which does not depend on how they lie in memory."""
    import pyarrow as pa

    digest = hashlib.sha256()
    for header in dict.fromkeys(wanted):
        column = frame.column(header)
        kind = pa.float64() if pa.types.is_integer(column.type) or pa.types.is_floating(column.type) else pa.string()
        digest.update(repr((header, column.cast(kind).to_pylist())).encode())
    return digest.hexdigest()


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
