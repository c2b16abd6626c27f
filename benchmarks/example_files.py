"""Small valid files in every format that is read, made here so that no copied data are needed.

One invented review, "Example review", in the three RevMan formats and as plain tables: the tests read each
and expect the same numbers, and the fuzzer damages them.
"""

import io
import zipfile
from collections.abc import Mapping
from xml.sax.saxutils import quoteattr

# study, year, events and patients of two arms
COUNTS = (
    ("Adler 2001", 2001, 8, 50, 12, 48),
    ("Berg-1", 2004, 0, 31, 3, 30),
    ("Çelik", 2010, 22, 120, 30, 118),
    ("D'Arcy & Co <b>", 2015, 5, 64, 5, 66),
)
# study, year, mean, SD and patients of two arms
MEANS = (
    ("Adler 2001", 2001, 5.5, 1.25, 50, 6.0, 1.5, 48),
    ("Eng", 2007, 4.75, 2.0, 20, 4.5, 1.75, 22),
    ("Fox", 2012, 6.25, 0.5, 12, 7.0, 0.75, 11),
)
# study, year, log hazard ratio and standard error
HAZARDS = (("Adler 2001", 2001, -0.25, 0.125), ("Grau", 2018, 0.5, 0.25), ("Hall", 2020, -0.125, 0.5))
# study, year, O - E and its variance
O_E = (("Grau", 2018, -2.5, 5.0), ("Ito", 2019, 1.25, 2.5))

NAMES = ("Death", "Pain score", "Survival", "Relapse")
POOLED_DEFAULT: Mapping[str, str] = {}


def plain_rows() -> list[list[str]]:
    """Return the counts as a table with our own column names, header first."""
    header = ["study", "year", "events_treatment", "n_treatment", "events_control", "n_control"]
    return [header, *([str(cell) for cell in row] for row in COUNTS)]


def csv_text(separator: str = ",") -> str:
    """Return the counts as separated text."""
    return "".join(separator.join(row) + "\n" for row in plain_rows())


def escalc_csv() -> bytes:
    """Return the layout of R's write.csv of a metafor escalc object: row numbers, quotes, vi a variance."""
    lines = ['"","trial","author","year","tpos","tneg","cpos","cneg","yi","vi"']
    for i, (author, year, a, n1, c, n2) in enumerate(COUNTS[:1] + COUNTS[2:], start=1):
        lines.append(f'"{i}",{i},"{author}",{year},{a},{n1 - a},{c},{n2 - c},{-0.1 * i},{0.25 * i}')
    return ("\n".join(lines) + "\n").encode()


def xlsx(sheets: Mapping[str, list[list[object]]] | None = None) -> bytes:
    """Return a workbook with the counts, or with the sheets given."""
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.worksheets[0])
    rows: list[list[object]] = [list(plain_rows()[0]), *(list(row) for row in COUNTS)]
    for title, cells in (sheets or {"Sheet1": rows}).items():
        sheet = book.create_sheet(title)
        for row in cells:
            sheet.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def parquet() -> bytes:
    """Return the counts as a Parquet file."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    header = plain_rows()[0]
    buffer = io.BytesIO()
    pq.write_table(pa.table(dict(zip(header, map(list, zip(*COUNTS, strict=True)), strict=True))), buffer)
    return buffer.getvalue()


def rm5(
    *,
    swap: bool = False,
    pooled: Mapping[str, str] = POOLED_DEFAULT,
    measure: str = "OR",
    method: str = "MH",
    random: bool = False,
    counts: tuple[tuple[str, int, int, int, int, int], ...] = COUNTS,
) -> bytes:
    """Return the review as a RevMan 5 file.

    Parameters
    ----------
    swap, measure, method, random
        Settings of the first analysis.
    pooled
        Attributes of its pooled result, e.g. ``{"EFFECT_SIZE": "0.5"}``.
    counts
        Its studies.
    """
    names = {row[0]: row[1] for rows in (counts, MEANS, HAZARDS, O_E) for row in rows}
    studies = "".join(
        f'<STUDY ID={quoteattr(_study_id(name))} NAME={quoteattr(name)} YEAR="{year}"><NAME>x</NAME></STUDY>'
        for name, year in names.items()
    )
    shown = "".join(f" {key}={quoteattr(value)}" for key, value in pooled.items())
    dich = "".join(
        f'<DICH_DATA STUDY_ID={quoteattr(_study_id(s))} EVENTS_1="{a}" TOTAL_1="{n1}" EVENTS_2="{c}" TOTAL_2="{n2}" '
        'EFFECT_SIZE="0.0" SE="0.0"/>'
        for s, _, a, n1, c, n2 in counts
    )
    cont = "".join(
        f'<CONT_DATA STUDY_ID={quoteattr(_study_id(s))} MEAN_1="{m1}" SD_1="{s1}" TOTAL_1="{n1}" '
        f'MEAN_2="{m2}" SD_2="{s2}" TOTAL_2="{n2}"/>'
        for s, _, m1, s1, n1, m2, s2, n2 in MEANS
    )
    contrast = "".join(
        f'<IV_DATA STUDY_ID={quoteattr(_study_id(s))} ESTIMATE="{y}" SE="{e}" EFFECT_SIZE="{2.718281828459045**y!r}"/>'
        for s, _, y, e in HAZARDS
    )
    o_e = "".join(f'<IPD_DATA STUDY_ID={quoteattr(_study_id(s))} O_E="{o}" VAR="{v}"/>' for s, _, o, v in O_E)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<COCHRANE_REVIEW TYPE="INTERVENTION"><COVER_SHEET><TITLE>Example review</TITLE></COVER_SHEET>
<STUDIES_AND_REFERENCES><STUDIES><INCLUDED_STUDIES>{studies}</INCLUDED_STUDIES></STUDIES></STUDIES_AND_REFERENCES>
<ANALYSES_AND_DATA><COMPARISON NO="1"><NAME>Drug or none</NAME>
<DICH_OUTCOME NO="1" EFFECT_MEASURE="{measure}" METHOD="{method}" RANDOM="{"YES" if random else "NO"}" TOTALS="YES"
 SWAP_EVENTS="{"YES" if swap else "NO"}" CI_TOTAL="95"{shown}><NAME>{NAMES[0]}</NAME>{dich}</DICH_OUTCOME>
<CONT_OUTCOME NO="2" EFFECT_MEASURE="MD" METHOD="IV" RANDOM="YES" CI_TOTAL="95" EFFECT_SIZE="" CI_START="" CI_END="">
<NAME>{NAMES[1]}</NAME><CONT_SUBGROUP NO="1"><NAME>Adults</NAME>{cont}</CONT_SUBGROUP></CONT_OUTCOME>
<IV_OUTCOME NO="3" METHOD="IV" RANDOM="NO" CI_TOTAL="95"><NAME>{NAMES[2]}</NAME>
<EFFECT_MEASURE>Hazard Ratio</EFFECT_MEASURE>{contrast}</IV_OUTCOME>
<IPD_OUTCOME NO="4" CI_TOTAL="95"><NAME>{NAMES[3]}</NAME>
<EFFECT_MEASURE>Peto Odds Ratio</EFFECT_MEASURE>{o_e}</IPD_OUTCOME>
</COMPARISON></ANALYSES_AND_DATA></COCHRANE_REVIEW>
""".encode()


def _study_id(name: str) -> str:
    return "STD-" + "".join(c if c.isalnum() and c.isascii() else f"_x{ord(c):04x}_" for c in name)


def revman_csv(*, swap: bool = False) -> bytes:
    """Return the review as a RevMan 5 CSV export: 0 in unused cells, header rows among the studies."""
    columns = [
        "Comparison Number",
        "Outcome Number",
        "Subgroup Number",
        "Name",
        "Data Type",
        "Statistical Method",
        "Effect Measure",
        "Analysis Model",
        "Events 1",
        "Mean 1",
        "SD 1",
        "Total 1",
        "Events 2",
        "Mean 2",
        "SD 2",
        "Total 2",
        "O-E",
        "Var",
        "Effect Estimate",
        "SE",
        "CI Start",
        "CI End",
        "Weight",
        "Q",
        "P(Q)",
        "I²(Q)",
        "Tau²",
        "Z",
        "P(Z)",
        "Swap event and non-event",
        "Year of study",
        "User defined order",
    ]
    rows: list[dict[str, object]] = [_head(1, 0, "Drug or none")]
    rows.append(
        _head(1, 1, NAMES[0], "DIC", "MH", "OR", "Fixed") | {"Swap event and non-event": "Yes" if swap else "No"}
    )
    for s, year, a, n1, c, n2 in COUNTS:
        rows.append(_row(1, s, year) | {"Events 1": a, "Total 1": n1, "Events 2": c, "Total 2": n2})
    rows.append(_head(1, 2, NAMES[1], "CON", "IV", "MD", "Random"))
    rows.append(_head(1, 2, "Adults", "CON", "IV", "MD", "Random") | {"Subgroup Number": 1})
    for s, year, m1, s1, n1, m2, s2, n2 in MEANS:
        cells = {"Mean 1": m1, "SD 1": s1, "Total 1": n1, "Mean 2": m2, "SD 2": s2, "Total 2": n2, "Subgroup Number": 1}
        rows.append(_row(2, s, year) | cells)
    rows.append(_head(1, 3, NAMES[2], "INV", "IV", "Hazard Ratio", "Fixed"))
    for s, year, y, e in HAZARDS:
        rows.append(_row(3, s, year) | {"Effect Estimate": repr(2.718281828459045**y), "SE": e})
    rows.append(_head(1, 4, NAMES[3], "IPD", "EXP_O_E_VAR", "PETO_OR", "Fixed"))
    for s, year, o, v in O_E:
        rows.append(_row(4, s, year) | {"O-E": o, "Var": v})
    return _csv(columns, rows)


def _head(comparison: int, outcome: int, name: str, *kinds: str) -> dict[str, object]:
    kind_columns = ("Data Type", "Statistical Method", "Effect Measure", "Analysis Model")
    base = {"Comparison Number": comparison, "Outcome Number": outcome, "Subgroup Number": 0, "Name": name}
    return base | dict(zip(kind_columns, kinds, strict=False))


def _row(outcome: int, study: str, year: int) -> dict[str, object]:
    unused = dict.fromkeys(("Events 1", "Mean 1", "SD 1", "Events 2", "Mean 2", "SD 2"), 0)
    return _head(1, outcome, study) | unused | {"Year of study": year}


def _csv(columns: list[str], rows: list[dict[str, object]]) -> bytes:
    import csv

    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return b"\xef\xbb\xbf" + text.getvalue().encode()


def revman_zip(*, swap: bool = False, nested: bool = False, extra: Mapping[str, bytes] | None = None) -> bytes:
    """Return the review as a RevMan Web data package; `nested` puts it into the zip of an article."""
    row_columns = [
        "Analysis group",
        "Analysis number",
        "Analysis name",
        "Subgroup",
        "Applicability",
        "Study",
        "Study year",
        "GIV Mean",
        "GIV SE",
        "Experimental mean",
        "Experimental SD",
        "Experimental cases",
        "Experimental N",
        "Control mean",
        "Control SD",
        "Control cases",
        "Control N",
        "O-E",
        "Variance",
        "Weight",
        "Mean",
        "CI start",
        "CI end",
        "Footnotes",
    ]
    setting_columns = [
        "Analysis group",
        "Analysis number",
        "Analysis name",
        "Data type",
        "Statistical method",
        "Effect measure",
        "Analysis model",
        "Overall estimates",
        "Swap event and non-event",
        "Estimate CI",
        "Mean",
        "CI start",
        "CI end",
        "Heterogeneity Tau²",
        "Heterogeneity I²",
        "Effect P",
        "ID",
    ]
    kinds = (
        ("Dichotomous", "MH", "Odds Ratio", "Fixed effect"),
        ("Continuous", "IV", "Mean Difference", "Random effect"),
        ("Contrast level", "IV", "Hazard Ratio", "Fixed effect"),
        ("O-E and variance", "PETO", "Peto Odds Ratio", "Fixed effect"),
    )
    keys = ("Data type", "Statistical method", "Effect measure", "Analysis model")
    settings = [
        {
            "Analysis group": 1,
            "Analysis number": i,
            "Analysis name": name,
            "Overall estimates": "true",
            "Estimate CI": "95%",
        }
        | {"Swap event and non-event": "true" if swap and i == 1 else "false"}
        | dict(zip(keys, kind, strict=True))
        for i, (name, kind) in enumerate(zip(NAMES, kinds, strict=True), start=1)
    ]
    members = {
        "X-analysis-data/X-data-rows.csv": _csv(row_columns, _web_rows()),
        "X-analysis-data/X-overall-estimates-and-settings.csv": _csv(setting_columns, settings),
        "X-study-data/X-study-information.csv": b"Study,Year\nAdler 2001,2001\n",
        **(extra or {}),
    }
    package = zip_of(members)
    return zip_of({"X-article.pdf": b"%PDF-", "X-files/X-data.zip": package}) if nested else package


def _web_rows() -> list[dict[str, object]]:
    zero = ("GIV Mean", "GIV SE", "Experimental mean", "Experimental SD", "Experimental cases", "Experimental N")
    zeros = dict.fromkeys((*zero, "Control mean", "Control SD", "Control cases", "Control N", "O-E", "Variance"), "0.0")

    def row(number: int, study: str, year: int, **cells: object) -> dict[str, object]:
        named = {key.replace("_", " "): value for key, value in cells.items()}
        base = {"Analysis group": 1, "Analysis number": number, "Study": study, "Study year": year}
        return {**zeros, **base, "Applicability": "SUBGROUP_AND_OVERALL", **named}

    rows = [
        row(1, s, y, Experimental_cases=a, Experimental_N=n1, Control_cases=c, Control_N=n2)
        for s, y, a, n1, c, n2 in COUNTS
    ]
    rows += [
        row(2, s, y, Subgroup="Adults")
        | {"Experimental mean": m1, "Experimental SD": s1, "Experimental N": n1}
        | {"Control mean": m2, "Control SD": s2, "Control N": n2}
        for s, y, m1, s1, n1, m2, s2, n2 in MEANS
    ]
    rows += [
        row(3, s, y) | {"GIV Mean": v, "GIV SE": e, "Mean": f"{2.718281828459045**v:.6f}"} for s, y, v, e in HAZARDS
    ]
    rows += [row(4, s, y) | {"O-E": o, "Variance": v} for s, y, o, v in O_E]
    return rows


def zip_of(members: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip archive of the members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for path, content in members.items():
            archive.writestr(path, content)
    return buffer.getvalue()


def examples() -> dict[str, list[bytes]]:
    """Return valid files by reader."""
    return {
        "text": [
            csv_text().encode(),
            csv_text("\t").encode("utf-16"),
            csv_text(";").encode("latin-1"),
            escalc_csv(),
            b"study;yi;sei\nA;0,5;0,25\nB;-0,125;1,5\n",
            b'study,or,or_lower,or_upper\n"A, B",2,1,4\nC,0.5,0.25,1\n',
        ],
        "xlsx": [xlsx()],
        "parquet": [parquet()],
        "revman5_xml": [rm5(), rm5(swap=True, pooled={"EFFECT_SIZE": "0.7", "CI_START": "0.5", "CI_END": "0.9"})],
        "revman5_csv": [revman_csv()],
        "revman_web": [revman_zip(), revman_zip(nested=True)],
    }
