"""RevMan Web data packages: a zip of CSV files, or the zip of an article around one."""

from collections.abc import Mapping

from bayesmeta.errors import DataError
from bayesmeta.formats.archive import Archive, open_archive
from bayesmeta.formats.limits import MAX_ARCHIVE
from bayesmeta.formats.raw import Cell, RawTable
from bayesmeta.formats.revman import Analysis, Entry, as_level, assemble, contrast, measure_name, method_name
from bayesmeta.formats.revman5_xml import plain_year
from bayesmeta.formats.text import read_text

_ROWS, _SETTINGS, _DTA = "-data-rows.csv", "-overall-estimates-and-settings.csv", "-parameters.csv"
_KINDS = {
    "dichotomous": "dichotomous",
    "continuous": "continuous",
    "contrast level": "contrast",
    "o-e and variance": "o-e",
}
_CELLS = {
    "events_treatment": "Experimental cases",
    "n_treatment": "Experimental N",
    "events_control": "Control cases",
    "n_control": "Control N",
    "mean_treatment": "Experimental mean",
    "sd_treatment": "Experimental SD",
    "mean_control": "Control mean",
    "sd_control": "Control SD",
    "o_e": "O-E",
    "v_o_e": "Variance",
}
_ORIGIN = {
    **_CELLS,
    "study": "Study",
    "year": "Study year",
    "yi": "GIV Mean",
    "sei": "GIV SE",
    "outcome": "Analysis number",
    "subgroup": "Subgroup",
}
_POOLED = {
    "estimate": "Mean",
    "low": "CI start",
    "high": "CI end",
    "p": "Effect P",
    "i2": "Heterogeneity I²",
    "tau2": "Heterogeneity Tau²",
}

type Row = Mapping[str, Cell]


def read_revman_web(data: bytes, name: str) -> RawTable:
    """Return the study data of every analysis in a RevMan Web data package.

    Raises
    ------
    DataError
        If the package is damaged, of diagnostic accuracy, or lacks one of its two files.
    """
    archive = _package(open_archive(data, name), depth=2)
    if archive.find(_DTA):
        raise DataError(f"{name} is a data package of diagnostic test accuracy, which this package does not analyse.")
    rows_path, settings_path = archive.find(_ROWS), archive.find(_SETTINGS)
    if rows_path is None or settings_path is None:
        raise DataError(
            f"{name} is no RevMan Web data package: it has no file ...{_ROWS if rows_path is None else _SETTINGS}. "
            "Download 'Analysis data' from RevMan Web, or give a CSV, XLSX or .rm5 file."
        )
    analyses = {a.number: a for _, row in _rows(archive, settings_path) for a in (_analysis(row),)}
    entries = []
    for line, row in _rows(archive, rows_path):
        number = f"{_text(row, 'Analysis group')}.{_text(row, 'Analysis number')}"
        if number not in analyses:
            raise DataError(f"{name}: {rows_path}, line {line}: analysis {number} is not in {settings_path}.")
        entries.append(_entry(row, analyses[number], f"{name}: {rows_path}", line))
    return assemble(name, "RevMan Web", analyses.values(), entries, _ORIGIN)


def _package(archive: Archive, depth: int) -> Archive:
    """Return the archive that holds the CSV files, unpacking one nested in another."""
    inner = archive.find("-data.zip") or archive.find("dataPackage.zip")
    if archive.find(_ROWS) or inner is None or depth == 0:
        return archive
    return _package(open_archive(archive.read(inner, MAX_ARCHIVE), f"{archive.name}: {inner}"), depth - 1)


def _rows(archive: Archive, path: str) -> list[tuple[int, Row]]:
    table = read_text(archive.read(path), f"{archive.name}: {path}", decimal=".")
    cells = zip(*table.columns, strict=True)
    return [(line, dict(zip(table.headers, c, strict=True))) for line, c in zip(table.row, cells, strict=True)]


def _text(row: Row, key: str) -> str:
    return str(row.get(key) or "").strip()


def _analysis(row: Row) -> Analysis:
    return Analysis(
        number=f"{_text(row, 'Analysis group')}.{_text(row, 'Analysis number')}",
        name=_text(row, "Analysis name"),
        kind=_KINDS.get(_text(row, "Data type").lower(), ""),
        measure=measure_name(_text(row, "Effect measure")),
        method=method_name(_text(row, "Statistical method")),
        random=_text(row, "Analysis model").lower().startswith("random"),
        swap=_text(row, "Swap event and non-event").lower() == "true",
        level=as_level(_text(row, "Estimate CI")),
        pooled={key: text for key, header in _POOLED.items() if (text := _text(row, header))}
        if _text(row, "Overall estimates").lower() != "false"
        else {},
    )


def _entry(row: Row, analysis: Analysis, name: str, line: int) -> Entry:
    label = _text(row, "Study")
    if not label:
        raise DataError(f"{name}, line {line}: the study has no name.")
    cells: dict[str, Cell] = {canonical: row.get(header) for canonical, header in _CELLS.items()}
    applies = _text(row, "Applicability")
    skip = f"not in RevMan's overall estimate (Applicability {applies})" if "OVERALL" not in applies and applies else ""
    if analysis.kind == "contrast":
        place = f"{name}, line {line}, study {label!r}"
        effect, lacking = contrast(row.get("GIV Mean"), row.get("GIV SE"), row.get("Mean"), analysis, place)
        cells |= effect
        skip = skip or lacking
    return Entry(
        analysis.number, label, line, cells, plain_year(_text(row, "Study year")), _text(row, "Subgroup"), skip
    )
