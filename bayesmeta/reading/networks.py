"""`read_network`: arms or contrasts of studies of several treatments, long or wide, from a file or a data frame."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.errors import DataError, option
from bayesmeta.formats import Cell, Options, RawTable, holds_no_number, is_blank, read_bytes, read_path
from bayesmeta.reading.cells import Place, check_rule, number, thousands_mark
from bayesmeta.reading.labels import column_of, text
from bayesmeta.reading.names import ALIASES, QUANTITIES, normalise
from bayesmeta.reading.options import ReadingOptions
from bayesmeta.reading.sources import FRAME, raw_frame
from bayesmeta.studies.networks import ARM_COLUMNS, NetworkTable
from bayesmeta.values import Array

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame

_STUDIES = ("study", "studlab", "trial", "id", "studyid", "study_id", "studyno", "s", "author", "name")
_TREATMENTS = ("treatment", "treat", "trt", "trtc", "arm", "intervention", "drug", "t", "tx")
_MORE = {"events": ("r", "event", "responders", "resp", "d"), "mean": ("y",), "time": ("years",)}
_NUMBERED = re.compile(r"(.*?)[_ .]?(\d+)")


def read_network(
    source: "str | os.PathLike[str] | IntoDataFrame",
    *,
    columns: Mapping[str, str] | None = None,
    sheet: str | None = None,
    header_row: int | str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
) -> NetworkTable:
    """Return the arms, or the contrasts, of the studies of a network.

    Three layouts are read: one row an arm (``study, treatment`` with ``events, n``, ``events, time`` or ``mean, sd,
    n``), one row a study with numbered columns (``treat1, event1, n1, treat2, ...``, as netmeta's ``pairwise`` takes
    them), and one row a contrast (``study, treat1, treat2, yi, sei``; of a study of several arms all pairs).

    Parameters
    ----------
    source
        Path of a CSV, TSV, XLSX or Parquet file, or a pandas, polars or pyarrow data frame.
    columns
        bayesmeta's name to the header that holds it, e.g. ``{"events": "stroke", "study": "id"}``; of a wide table the
        header without its number, ``{"events": "resp"}``.
    sheet, header_row, decimal, thousands
        As in :func:`bayesmeta.read_studies`.

    Raises
    ------
    DataError
        If a column is missing, a cell is impossible, or a study does not compare anything; the message names file,
        line, study, treatment and value, and says what to do.

    Examples
    --------
    >>> from bayesmeta.resources import data_dir
    >>> read_network(data_dir() / "smoking_cessation_network_hasselblad1998.csv")
    <NetworkTable: 24 studies, 4 treatments, 50 arms>
    """
    options = ReadingOptions(
        columns=columns or {}, sheet=sheet, header_row=header_row, decimal=decimal, thousands=thousands
    )
    return read_network_with(source, options)


def read_network_with(source: Any, options: ReadingOptions) -> NetworkTable:
    """Return the network in a file or a data frame, read as `options` say; see `read_network`."""
    if isinstance(source, str | os.PathLike):
        data, name = read_path(source)
        about = Options(options.decimal, options.sheet, options.thousands, options.header_lines)
        raw = read_bytes(data, name, about)
    else:
        raw, name = raw_frame(source, FRAME), FRAME
    return _Sheet(raw, name, options).network()


class _Sheet:
    """A raw table with what the user said of it."""

    def __init__(self, raw: RawTable, name: str, options: ReadingOptions) -> None:
        self.raw, self.name, self.options = raw, name, options
        self.known = {normalise(header): header for header in raw.headers}
        self.stated = {key: normalise(header) for key, header in options.columns.items()}
        for key, header in options.columns.items():
            wide = any(re.fullmatch(rf"{re.escape(normalise(header))}_?\d+", h) for h in self.known)
            if normalise(header) not in self.known and not wide:
                raise DataError(f"{name} has no column {header!r} for {key!r}. Its columns: {', '.join(raw.headers)}.")

    def network(self) -> NetworkTable:
        """Return the network, by the layout that the headers show."""
        if self._find("treatment", _TREATMENTS) is not None:
            return self._long()
        numbered = self._numbered("treatment", _TREATMENTS)
        if len(numbered) >= 2:
            if len(numbered) == 2 and self._estimates() and not self._complete():
                return self._contrasts(numbered)
            return self._wide(numbered)
        raise DataError(
            f"{self.name} names no treatments: a network needs a column treatment (one row an arm), or treat1 and "
            f"treat2. Its columns: {', '.join(self.raw.headers)}. If one of them is it, say "
            f"{option('columns', 'HEADER', key='treatment')}."
        )

    def _find(self, name: str, spellings: Sequence[str]) -> str | None:
        """Return the header of a column, as stated or by its spelling."""
        if name in self.stated:
            return self.known.get(self.stated[name])
        return next((self.known[s] for s in spellings if s in self.known), None)

    def _numbered(self, name: str, spellings: Sequence[str]) -> dict[int, str]:
        """Return headers that are one of the spellings with a number, by their number."""
        wanted = (self.stated[name],) if name in self.stated else spellings
        for spelling in wanted:
            found = {}
            for header, original in self.known.items():
                match = _NUMBERED.fullmatch(header)
                if match and match[1].rstrip("_") == spelling:
                    found[int(match[2])] = original
            if len(found) >= 2:
                return found
        return {}

    def _spellings(self, quantity: str) -> tuple[str, ...]:
        usual = [s for s, q in QUANTITIES.items() if q == quantity]
        return tuple(dict.fromkeys((quantity, *_MORE.get(quantity, ()), *usual)))

    def _arm_headers(self, wide: bool) -> dict[str, Any]:
        """Return the headers of the numbers that arms have: of each arm by its number where the table is wide."""
        find = self._numbered if wide else self._find
        found = {q: find(q, self._spellings(q)) for q in ("events", "n", "time", "mean", "sd")}
        found = {q: header for q, header in found.items() if header}
        for needed in ARM_COLUMNS:
            if set(needed) <= set(found):
                return {q: found[q] for q in needed}
        return {}

    def _complete(self) -> bool:
        """Return whether every arm has its numbers: where some lack them, estimates beside them say more."""
        headers = [header for by_arm in self._arm_headers(wide=True).values() for header in by_arm.values()]
        return bool(headers) and not any(holds_no_number(cell) for h in headers for cell in column_of(self.raw, h))

    def _estimates(self) -> tuple[str, str] | None:
        yi = self._find("yi", tuple(s for s, n in ALIASES.items() if n == "yi"))
        sei = self._find("sei", ("se", *(s for s, n in ALIASES.items() if n == "sei")))
        return (yi, sei) if yi and sei else None

    def _study(self) -> str:
        header = self._find("study", _STUDIES)
        if header is None:
            raise DataError(
                f"{self.name} has no column that names the studies: {', '.join(self.raw.headers)}. Say which it is: "
                f"{option('columns', 'HEADER', key='study')}."
            )
        return header

    def _place(self, i: int, study: str, header: str) -> Place:
        return Place(self.name, self.raw.row[i], study, header, self.raw.unit)

    def _numbers(self, canonical: str, header: str, rows: Sequence[int], study: Sequence[str]) -> Array:
        """Return the numbers of a column in some rows, NaN where a cell is blank; impossible numbers are errors."""
        cells = column_of(self.raw, header)
        chosen = [cells[i] for i in rows]
        texts = [c if isinstance(c, str) else "" for c in chosen]
        mark = self.options.thousands

        def place(j: int) -> Place:
            return self._place(rows[j], study[j], header)

        if canonical in ("events", "n"):
            mark = mark or thousands_mark(texts, self.raw.decimal, place)
        values = np.array(
            [number(c, self.raw.decimal, lambda j=j: place(j), mark) for j, c in enumerate(chosen)]  # type: ignore[misc]
        )
        filled = [j for j in range(len(rows)) if not np.isnan(values[j])]
        check_rule(canonical, values[filled], lambda j: place(filled[j]))
        return values

    def _long(self) -> NetworkTable:
        headers = self._arm_headers(wide=False)
        if not headers:
            raise self._lacking("each arm")
        treat, study = self._find("treatment", _TREATMENTS), self._study()
        assert treat is not None
        rows = list(range(len(self.raw.row)))
        labels = self._labels(study, rows)
        columns = {q: self._numbers(q, h, rows, labels) for q, h in headers.items()}
        return _complete_arms(labels, self._names(treat, rows, labels), columns)

    def _wide(self, treatments: Mapping[int, str]) -> NetworkTable:
        headers = self._arm_headers(wide=True)
        if not headers:
            raise self._lacking("each arm, numbered as the treatments are")
        every = range(len(self.raw.row))
        found = self._find("study", _STUDIES)
        all_labels = self._labels(found, every) if found else tuple(f"Study {i + 1}" for i in every)
        places = [
            (i, arm)
            for i in every
            for arm in sorted(treatments)
            if not is_blank(column_of(self.raw, treatments[arm])[i])
            and not (treatments[arm] and _is_missing(column_of(self.raw, treatments[arm])[i]))
        ]
        for q, by_arm in headers.items():
            lost = [arm for arm in treatments if arm not in by_arm]
            if lost:
                raise DataError(f"{self.name} has {treatments[lost[0]]!r}, but no {q} of arm {lost[0]}.")
        labels = tuple(all_labels[i] for i, _ in places)
        names = tuple(text(column_of(self.raw, treatments[arm])[i]) for i, arm in places)
        columns = {}
        for q, by_arm in headers.items():
            values = np.empty(len(places))
            for arm in treatments:
                at = [j for j, (_, a) in enumerate(places) if a == arm]
                values[at] = self._numbers(q, by_arm[arm], [places[j][0] for j in at], [labels[j] for j in at])
            columns[q] = values
        return _complete_arms(labels, names, columns)

    def _contrasts(self, treatments: Mapping[int, str]) -> NetworkTable:
        estimates = self._estimates()
        assert estimates is not None
        rows = list(range(len(self.raw.row)))
        labels = self._labels(self._study(), rows)
        one, two = (self._names(treatments[number], rows, labels) for number in sorted(treatments)[:2])
        columns = {
            name: self._numbers(name, header, rows, labels)
            for name, header in zip(("yi", "sei"), estimates, strict=True)
        }
        for name, header in zip(("yi", "sei"), estimates, strict=True):
            if np.isnan(columns[name]).any():
                j = int(np.argmax(np.isnan(columns[name])))
                raise DataError(
                    f"{self._place(j, labels[j], header)}: the cell is blank. Fill it in or delete the row."
                )
        return NetworkTable(labels, (), columns, one, two)

    def _labels(self, header: str, rows: Sequence[int]) -> tuple[str, ...]:
        cells = column_of(self.raw, header)
        for i in rows:
            if is_blank(cells[i]):
                raise DataError(f"{self._place(i, '', header)}: the study has no name. Name it in every row.")
        return tuple(text(cells[i]) for i in rows)

    def _names(self, header: str, rows: Sequence[int], labels: Sequence[str]) -> tuple[str, ...]:
        cells = column_of(self.raw, header)
        for i in rows:
            if is_blank(cells[i]):
                raise DataError(f"{self._place(i, labels[i], header)}: the treatment has no name.")
        return tuple(text(cells[i]) for i in rows)

    def _lacking(self, where: str) -> DataError:
        return DataError(
            f"{self.name} has no numbers that a network can be made of: it needs events and n, events and time, or "
            f"mean, sd and n of {where}, or contrasts with yi and sei. Its columns: {', '.join(self.raw.headers)}. If "
            f"one is called otherwise, say {option('columns', 'HEADER', key='events')}."
        )


def _complete_arms(study: tuple[str, ...], treatment: tuple[str, ...], columns: Mapping[str, Array]) -> NetworkTable:
    """Return the arms that have all of their numbers; the others are named in the notes, and studies left with one."""
    # One row a pair of arms, as R's pairwise() writes them, has the arms of a study of three in two rows each.
    arms = zip(study, treatment, *(values.tolist() for values in columns.values()), strict=True)
    first = list({arm: i for i, arm in reversed(list(enumerate(arms)))}.values())
    once = sorted(first)
    study, treatment = tuple(study[i] for i in once), tuple(treatment[i] for i in once)
    columns = {name: values[once] for name, values in columns.items()}
    blank = np.any([np.isnan(values) for values in columns.values()], axis=0)
    notes = []
    if blank.any():
        said = [f"{study[i]} ({treatment[i]})" for i in np.flatnonzero(blank)]
        notes.append(f"Arms without all of their numbers were left out: {', '.join(said)}.")
    left = Counter(s for s, missing in zip(study, blank, strict=True) if not missing)
    alone = sorted({s for s, missing in zip(study, blank, strict=True) if missing and left[s] < 2})
    if alone:
        notes.append(f"Studies with fewer than two complete arms were left out: {', '.join(alone)}.")
    keep = np.array([not missing and s not in alone for s, missing in zip(study, blank, strict=True)], dtype=bool)
    if not keep.any():
        raise DataError("No arm of the network has all of its numbers.")
    chosen = np.flatnonzero(keep)
    return NetworkTable(
        tuple(study[i] for i in chosen),
        tuple(treatment[i] for i in chosen),
        {q: values[keep] for q, values in columns.items()},
        notes=tuple(notes),
    )


def _is_missing(cell: Cell) -> bool:
    """Return whether a cell says that a study has no such arm; a treatment may well be called "none"."""
    return isinstance(cell, str) and cell.strip().lower() in {"na", "nan", "."}
