"""RevMan 5 files (``.rm5``): the analyses and their study data, out of the XML of a whole review."""

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from bayesmeta.errors import DataError
from bayesmeta.formats.hardened_xml import parse_xml
from bayesmeta.formats.raw import Cell, RawTable
from bayesmeta.formats.revman import Analysis, Entry, as_level, assemble, contrast, measure_name, method_name

_KINDS = {"DICH": "dichotomous", "CONT": "continuous", "IV": "contrast", "IPD": "o-e", "OTHER": ""}
_TAGS = {f"{kind}_{part}" for kind in _KINDS for part in ("OUTCOME", "SUBGROUP", "DATA")}
_KEEP = _TAGS | {"COMPARISON", "NAME", "EFFECT_MEASURE", "STUDY"}
_CELLS = {
    "events_treatment": "EVENTS_1",
    "n_treatment": "TOTAL_1",
    "events_control": "EVENTS_2",
    "n_control": "TOTAL_2",
    "mean_treatment": "MEAN_1",
    "sd_treatment": "SD_1",
    "mean_control": "MEAN_2",
    "sd_control": "SD_2",
    "o_e": "O_E",
    "v_o_e": "VAR",
}
_ORIGIN = {**_CELLS, "study": "STUDY_ID", "yi": "ESTIMATE", "sei": "SE", "outcome": "NO, NAME", "subgroup": "SUBGROUP"}
_POOLED = {"estimate": "EFFECT_SIZE", "low": "CI_START", "high": "CI_END", "p": "P_Z", "i2": "I2", "tau2": "TAU2"}


def is_xml(data: bytes) -> bool:
    """Return whether the bytes start as an XML document does."""
    return data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<?xml", b"<!DOCTYPE", b"<COCHRANE_REVIEW"))


def read_revman5_xml(data: bytes, name: str) -> RawTable:
    """Return the study data of every analysis in a RevMan 5 file.

    Raises
    ------
    DataError
        If the XML is damaged or hostile, or is no RevMan review with data.
    """
    root = parse_xml(data, name, _KEEP)
    if root.tag != "COCHRANE_REVIEW":
        raise DataError(f"{name} is XML, but not a RevMan 5 review (its root is <{root.tag}>).")
    if root.get("TYPE", "").upper() == "DTA":
        raise DataError(f"{name} is a diagnostic test accuracy review, which this package does not analyse.")
    studies = {item.get("ID", ""): item for item in root.iter("STUDY")}
    analyses: list[Analysis] = []
    entries: list[Entry] = []
    for comparison in root.iter("COMPARISON"):
        for outcome in comparison:
            if outcome.tag.endswith("_OUTCOME"):
                analysis = _analysis(comparison, outcome)
                if any(a.number == analysis.number for a in analyses):
                    raise DataError(f"{name} has two analyses numbered {analysis.number}. Export the file again.")
                analyses.append(analysis)
                for subgroup, item in _data(outcome):
                    entries.append(_entry(item, analysis, subgroup, studies, name, len(entries) + 1))
    return assemble(name, "RevMan 5 XML", analyses, entries, _ORIGIN)


def _analysis(comparison: Element, outcome: Element) -> Analysis:
    kind = outcome.tag.removesuffix("_OUTCOME")
    measure = outcome.get("EFFECT_MEASURE") or outcome.findtext("EFFECT_MEASURE") or ("PETO" if kind == "IPD" else "")
    shown = ((key, outcome.get(tag)) for key, tag in _POOLED.items())
    return Analysis(
        number=f"{comparison.get('NO', '?')}.{outcome.get('NO', '?')}",
        name=(outcome.findtext("NAME") or "").strip(),
        kind=_KINDS.get(kind, ""),
        measure=measure_name(measure),
        method=method_name(outcome.get("METHOD") or ("PETO" if kind == "IPD" else "IV")),
        random=outcome.get("RANDOM", "NO") == "YES",
        swap=outcome.get("SWAP_EVENTS", "NO") == "YES",
        level=as_level(outcome.get("CI_TOTAL", "")),
        pooled={key: text.strip() for key, text in shown if text and text.strip()}
        if outcome.get("TOTALS", "YES") == "YES"
        else {},
    )


def _data(outcome: Element) -> Iterator[tuple[str, Element]]:
    for child in outcome:
        if child.tag.endswith("_DATA"):
            yield "", child
        elif child.tag.endswith("_SUBGROUP"):
            subgroup = str(child.findtext("NAME") or child.get("NO") or "").strip()
            yield from ((subgroup, item) for item in child if item.tag.endswith("_DATA"))


def _entry(
    item: Element, analysis: Analysis, subgroup: str, studies: dict[str, Element], name: str, number: int
) -> Entry:
    study_id = item.get("STUDY_ID", "")
    study = studies.get(study_id)
    label = (study.get("NAME") if study is not None else None) or unescape(study_id.removeprefix("STD-"))
    if not label:
        raise DataError(f"{name}, analysis {analysis.label!r}, entry {number}: the entry names no study.")
    cells: dict[str, Cell] = {canonical: item.get(tag) for canonical, tag in _CELLS.items()}
    skip = ""
    if analysis.kind == "contrast":
        place = f"{name}, analysis {analysis.label!r}, study {label!r}"
        effect, skip = contrast(item.get("ESTIMATE"), item.get("SE"), item.get("EFFECT_SIZE"), analysis, place)
        cells |= effect
    year = study.get("YEAR") if study is not None else None
    remark = "marked as not estimable in the file" if item.get("ESTIMABLE", "YES").upper() == "NO" else ""
    return Entry(analysis.number, label, number, cells, plain_year(year), subgroup, skip, remark)


def plain_year(text: Cell) -> Cell:
    """Return a year of four digits, None for RevMan's other free text ("2004a", "in press")."""
    return text if isinstance(text, str) and re.fullmatch(r"[0-9]{4}", text.strip()) else None


def unescape(text: str) -> str:
    """Return an identifier with its ``_xHHHH_`` escapes replaced by the characters they stand for.

    Examples
    --------
    >>> unescape("MRC_x002d_1")
    'MRC-1'
    """
    return re.sub(r"_x([0-9a-fA-F]{4})_", lambda m: chr(int(m.group(1), 16)), text)
