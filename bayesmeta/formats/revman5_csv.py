"""CSV exports of RevMan 5: comparison, outcome, subgroup and study rows mixed in one sheet."""

from collections.abc import Mapping

from bayesmeta.errors import DataError
from bayesmeta.formats.raw import Cell, RawTable, is_blank
from bayesmeta.formats.revman import Analysis, Entry, as_level, as_number, assemble, contrast, measure_name, method_name
from bayesmeta.formats.revman5_xml import plain_year
from bayesmeta.formats.text import read_text

_KEYS = ("Comparison Number", "Outcome Number", "Subgroup Number", "Name", "Data Type")
_KINDS = {"D": "dichotomous", "C": "continuous", "I": "contrast", "P": "o-e", "O": ""}
_CELLS = {
    "events_treatment": "Events 1",
    "n_treatment": "Total 1",
    "events_control": "Events 2",
    "n_control": "Total 2",
    "mean_treatment": "Mean 1",
    "sd_treatment": "SD 1",
    "mean_control": "Mean 2",
    "sd_control": "SD 2",
    "o_e": "O-E",
    "v_o_e": "Var",
}
_ORIGIN = {
    **_CELLS,
    "study": "Name",
    "year": "Year of study",
    "yi": "Effect Estimate",
    "sei": "SE",
    "outcome": "Outcome Number",
    "subgroup": "Subgroup Number",
}
_POOLED = {
    "estimate": "Effect Estimate",
    "low": "CI Start",
    "high": "CI End",
    "p": "P(Z)",
    "i2": "I²(Q)",
    "tau2": "Tau²",
}


def is_revman5_csv(data: bytes) -> bool:
    """Return whether the first line has the columns only RevMan 5 writes."""
    head = data[:2048].replace(b"\0", b"")
    return all(key.encode() in head for key in _KEYS[:3])


def read_revman5_csv(data: bytes, name: str) -> RawTable:
    """Return the study rows of every analysis in a RevMan 5 CSV export.

    Raises
    ------
    DataError
        If a column is missing, or a study row comes before its analysis.
    """
    sheet = read_text(data, name, decimal=".")
    missing = [key for key in _KEYS if key not in sheet.headers]
    if missing:
        raise DataError(f"{name} looks like a RevMan 5 export but has no column {missing[0]!r}. Export it again.")
    rows = [dict(zip(sheet.headers, cells, strict=True)) for cells in zip(*sheet.columns, strict=True)]
    analyses: dict[str, Analysis] = {}
    entries: list[Entry] = []
    subgroup = ""
    for line, row in zip(sheet.row, rows, strict=True):
        outcome, group = _text(row, "Outcome Number"), _text(row, "Subgroup Number")
        number = f"{_text(row, 'Comparison Number')}.{outcome}"
        if outcome in ("", "0"):
            continue
        if not is_blank(row["Data Type"]):
            if group in ("", "0"):
                analyses[number], subgroup = _analysis(number, row), ""
            else:
                subgroup = _text(row, "Name")
            continue
        if number not in analyses:
            raise DataError(
                f"{name}, line {line}: study {_text(row, 'Name')!r} comes before the row of its analysis {number}. "
                "Export the file again, with its rows in RevMan's order."
            )
        entries.append(_entry(row, analyses[number], subgroup if group not in ("", "0") else "", name, line))
    return assemble(name, "RevMan 5 CSV", analyses.values(), entries, _ORIGIN)


def _text(row: Mapping[str, Cell], key: str) -> str:
    return str(row.get(key) or "").strip()


def _analysis(number: str, row: Mapping[str, Cell]) -> Analysis:
    kind = _text(row, "Data Type").upper()
    method = _text(row, "Statistical Method")
    o_e = method.upper() == "EXP_O_E_VAR" or "O-E" in kind or kind == "IPD"
    return Analysis(
        number=number,
        name=_text(row, "Name"),
        kind="o-e" if o_e else _KINDS.get(kind[:1], ""),
        measure=measure_name(_text(row, "Effect Measure")) or ("PETO" if o_e else ""),
        method=method_name(method),
        random=_text(row, "Analysis Model").lower().startswith("random"),
        swap=_text(row, "Swap event and non-event").lower() in ("yes", "true"),
        level=as_level(_text(row, "Total Confidence Interval")),
        pooled={key: text for key, header in _POOLED.items() if (text := _text(row, header))},
    )


def _entry(row: Mapping[str, Cell], analysis: Analysis, subgroup: str, name: str, line: int) -> Entry:
    label = _text(row, "Name")
    if not label:
        raise DataError(f"{name}, line {line}: the study has no name.")
    cells: dict[str, Cell] = {canonical: _plain(row.get(header)) for canonical, header in _CELLS.items()}
    skip = ""
    if analysis.kind == "contrast":
        place = f"{name}, line {line}, study {label!r}"
        effect, skip = contrast(None, row.get("SE"), row.get("Effect Estimate"), analysis, place)
        cells |= effect
    return Entry(analysis.number, label, line, cells, plain_year(_text(row, "Year of study")), subgroup, skip)


def _plain(cell: Cell) -> Cell:
    """Return a number without its thousands separators; what is no number is left for the checks to refuse."""
    value = as_number(cell)
    return cell if value is None else value
