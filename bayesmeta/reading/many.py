"""Many meta-analyses in one file: columns of numbers for all studies at once, and no Python object a cell."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import DataError
from bayesmeta.formats import MISSING_TEXTS, is_missing, is_parquet, separator_of
from bayesmeta.reading.cells import Place, check_rule
from bayesmeta.reading.consistency import check_between, derived
from bayesmeta.reading.headers import held_measures, level_of, refuse_percentages
from bayesmeta.reading.mapping import available, data_columns, map_columns, nothing_usable
from bayesmeta.reading.names import CANONICAL, TEXT
from bayesmeta.reading.options import ReadingOptions, TotalRows
from bayesmeta.reading.totals import is_called_total, refused_totals
from bayesmeta.studies import Exclusion, StudyTable
from bayesmeta.values import Array, FrozenMap

if TYPE_CHECKING:
    import pyarrow as pa

_NULLS = sorted({form for text in MISSING_TEXTS for form in (text, text.upper(), text.capitalize())} | {"NaN"})


@dataclass(frozen=True, slots=True, eq=False)
class ManyStudies:
    """The studies of many meta-analyses, one row a study.

    ``compute_effects(measure, many.columns, group=many.group)`` turns all of them into effects at once.

    Parameters
    ----------
    groups
        ``(G,)`` names of the meta-analyses, in the order they first appear.
    group
        ``(k,)`` index into `groups`.
    study
        ``(k,)`` labels, unique within a meta-analysis.
    columns
        bayesmeta's name to ``(k,)`` numbers.
    mapping
        bayesmeta's name to the header it was read from.
    row
        ``(k,)`` row of each study in the file, the first below the header being 1.
    source
        The file.
    excluded
        Rows without the numbers an effect needs.
    ci_level
        Level of the confidence limits among the columns.
    holds
        Measures that the effects may be by the name of their column.
    """

    groups: tuple[str, ...]
    group: NDArray[np.intp]
    study: NDArray[Any]
    columns: Mapping[str, Array]
    mapping: Mapping[str, str]
    row: NDArray[np.intp]
    source: str = ""
    excluded: tuple[Exclusion, ...] = ()
    ci_level: float = 0.95
    holds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for array in (self.group, self.study, self.row, *self.columns.values()):
            array.setflags(write=False)
        object.__setattr__(self, "columns", FrozenMap(dict(self.columns)))
        object.__setattr__(self, "mapping", FrozenMap(dict(self.mapping)))

    @property
    def k(self) -> int:
        """Number of studies in all meta-analyses."""
        return len(self.group)

    def table(self, name: str) -> StudyTable:
        """Return one meta-analysis as a study table.

        Raises
        ------
        DataError
            If there is none of that name.
        """
        if name not in self.groups:
            raise DataError(f"{self.source} has no meta-analysis {name!r}; it has {len(self.groups)} others.")
        here = np.flatnonzero(self.group == self.groups.index(name))
        return StudyTable(
            tuple(self.study[here]),
            {key: values[here] for key, values in self.columns.items()},
            source=self.source,
            outcome=name,
            mapping=self.mapping,
            row=tuple(int(r) + 1 for r in self.row[here]),
            ci_level=self.ci_level,
            holds=self.holds,
        )


def read_many(
    path: str | os.PathLike[str],
    *,
    by: str,
    columns: Mapping[str, str] | None = None,
    decimal: str = ".",
    ci_level: float | None = None,
    total_rows: TotalRows = "refuse",
) -> ManyStudies:
    """Return the studies of many meta-analyses in one CSV or Parquet file, a million rows in seconds.

    Parameters
    ----------
    path
        A CSV (comma, semicolon or tab separated, UTF-8) or Parquet file with one row a study.
    by
        Header of the column that names the meta-analysis.
    columns
        bayesmeta's name to header, for columns whose name is unknown or ambiguous.
    decimal
        The decimal mark of a text file.
    ci_level
        Level of the confidence limits; what their headers say, or 0.95, when None.
    total_rows
        Rows called a total are refused; ``"exclude"`` leaves them out, ``"study"`` says they are none.

    Raises
    ------
    DataError
        If the file cannot be read, a column is missing, a cell is no number or impossible, or a study
        appears twice in a meta-analysis.
    """
    file, name = Path(path), os.fspath(path)
    if not file.is_file():
        raise DataError(f"{name}: no such file. Check the path.")
    headers = headers_of(file, name)
    mapping = data_columns(map_columns(headers, columns, name), columns or {})
    if by not in headers:
        raise DataError(f"{name} has no column {by!r} to divide it by. Columns: {', '.join(headers)}.")
    if "study" not in mapping:
        raise DataError(f"{name} has no study column. State it: columns={{'study': {headers[0]!r}}}.")
    numeric = [c for c in CANONICAL if c in mapping and c not in TEXT | {"year", "author"}]
    table = read_columns(file, name, [by, mapping["study"]], [mapping[c] for c in numeric], decimal)
    if not table.num_rows:
        raise DataError(f"{name} has no data rows. Give a header line and one row per study.")
    group, groups = _codes(table.column(by), f"{name}: column {by!r}")
    study, labels = _codes(table.column(mapping["study"]), f"{name}: column {mapping['study']!r}")
    refuse_percentages(mapping, columns or {}, name)
    options = ReadingOptions(columns=columns or {}, ci_level=ci_level, total_rows=total_rows)
    values = {c: np.array(table.column(mapping[c]).to_numpy(), dtype=np.float64) for c in numeric}
    return assemble(name, mapping, (group, groups), (study, labels), values, headers, options)


def headers_of(file: Path, name: str) -> list[str]:
    """Return the column names of a CSV or Parquet file."""
    import pyarrow as pa
    from pyarrow import parquet

    with file.open("rb") as stream:
        start = stream.read(100_000)
    if is_parquet(start):
        try:
            return list(parquet.read_schema(file).names)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{name} is a damaged Parquet file ({error}).") from None
    if not start.strip() or b"\0" in start:
        raise DataError(f"{name} is {'not a UTF-8 text' if start.strip() else 'empty'}. Give a CSV or Parquet file.")
    line = start.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n", 1)[0].decode("utf-8", errors="replace")
    separator = separator_of(line)
    return [re.sub(r'^"(.*)"$', r"\1", cell.strip()) for cell in line.rstrip("\r").split(separator)]


def read_columns(file: Path, name: str, texts: list[str], numbers: list[str], decimal: str) -> "pa.Table":
    """Return columns of a CSV or Parquet file, texts as a dictionary and numbers as floats."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    types = {**dict.fromkeys(texts, pa.dictionary(pa.int32(), pa.string())), **dict.fromkeys(numbers, pa.float64())}
    wanted = list(dict.fromkeys([*texts, *numbers]))
    with file.open("rb") as stream:
        start = stream.read(100_000)
    try:
        if is_parquet(start):
            return parquet.read_table(file, columns=wanted).cast(pa.schema([(c, types[c]) for c in wanted]))
        separator = separator_of(start.decode("utf-8", errors="replace").lstrip("\ufeff").split("\n", 1)[0])
        options = csv.ConvertOptions(
            column_types=types, include_columns=wanted, null_values=_NULLS, decimal_point=decimal
        )
        return csv.read_csv(file, parse_options=csv.ParseOptions(delimiter=separator), convert_options=options)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise DataError(f"{name}: {str(error).splitlines()[0][:300]}. Correct the file; nothing was read.") from None


def _codes(column: "pa.ChunkedArray", place: str) -> tuple[NDArray[np.intp], list[str]]:
    """Return index and names of a text column, in the order the names first appear."""
    combined = column.combine_chunks()
    dictionary = combined if hasattr(combined, "indices") else combined.dictionary_encode()
    names = ["" if is_missing(v) else str(v) for v in dictionary.dictionary.to_pylist()]
    # An index into the dictionary, or -1 for a null.
    index = np.asarray(dictionary.indices.fill_null(-1), dtype=np.intp)
    blank = np.array([*(not name for name in names), True])
    if blank[index].any():
        row = int(np.flatnonzero(blank[index])[0]) + 1
        raise DataError(f"{place}, row {row}: the cell is blank. Every row names its meta-analysis and its study.")
    return index, names


def assemble(
    name: str,
    mapping: Mapping[str, str],
    group: tuple[NDArray[np.intp], list[str]],
    study: tuple[NDArray[np.intp], list[str]],
    values: dict[str, Array],
    headers: list[str],
    options: ReadingOptions,
    rows: NDArray[np.intp] | None = None,
) -> ManyStudies:
    """Return checked studies from index and names of the groups and the labels, and columns of numbers.

    `rows` are those of the source, where these are some of them; the first below the header is 1.
    """
    line = np.arange(1, len(group[0]) + 1) if rows is None else rows
    labels = np.array(study[1], dtype=object)[study[0]]

    def place(i: int, column: str) -> Place:
        return Place(
            f"{name}, {group[1][group[0][i]]!r}", int(line[i]), str(labels[i]), mapping.get(column, column), "row"
        )

    for canonical, numbers in values.items():
        check_rule(canonical, numbers, partial(place, column=canonical))
    check_between(place, values)
    values = {**values, **derived(place, values)[0]}
    families = available(values)
    if not families:
        raise nothing_usable(headers, mapping, name)
    keep = np.zeros(len(labels), dtype=bool)
    for needed in families.values():
        keep |= np.all([np.isfinite(values[n]) for n in needed], axis=0)
    excluded = tuple(Exclusion(str(labels[i]), "a number is missing", int(line[i])) for i in np.flatnonzero(~keep))
    totals = np.array([is_called_total(label) for label in study[1]], dtype=bool)[study[0]] & keep
    if totals.any() and options.total_rows == "refuse":
        at = np.flatnonzero(totals)[:5]
        found = {int(i): f"it is called {labels[i]!r}" for i in at}
        raise refused_totals(found, [str(label) for label in labels], [int(i) for i in line], f"{name}, row")
    if options.total_rows == "exclude":
        keep &= ~totals
        excluded += tuple(Exclusion(str(labels[i]), "a row of totals", int(line[i])) for i in np.flatnonzero(totals))
    kept = np.flatnonzero(keep)
    _check_unique(group[0][kept], study[0][kept], kept, place)
    columns = {c: v[kept] for c, v in values.items()}
    return ManyStudies(
        tuple(group[1]),
        group[0][kept],
        labels[kept],
        columns,
        mapping,
        line[kept],
        name,
        excluded,
        options.ci_level or level_of(mapping[c] for c in ("ci_low", "ci_high") if c in mapping) or 0.95,
        held_measures(mapping, options.columns),
    )


def _check_unique(group: NDArray[np.intp], study: NDArray[np.intp], row: NDArray[np.intp], place: Any) -> None:
    if not len(group):
        return
    key = group * (int(study.max()) + 1) + study
    order = np.argsort(key, kind="stable")
    again = np.flatnonzero(np.diff(key[order]) == 0)
    if len(again):
        i = int(row[order[again[0] + 1]])
        raise DataError(f"{place(i, 'study')}: the study appears twice in this meta-analysis. Delete or rename one.")
