"""What the three RevMan formats share: analyses with settings and pooled results, and rows chosen by data type.

RevMan writes 0 into the cells a data type does not use, so a column is read only where its type says so.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bayesmeta.errors import DataError
from bayesmeta.formats.raw import Cell, RawTable

# RevMan's cells by data type, under bayesmeta's names.
USED: Mapping[str, tuple[str, ...]] = {
    "dichotomous": ("events_treatment", "n_treatment", "events_control", "n_control"),
    "continuous": (
        "mean_treatment",
        "sd_treatment",
        "n_treatment",
        "mean_control",
        "sd_control",
        "n_control",
    ),
    "contrast": ("yi", "sei"),
    "o-e": ("o_e", "v_o_e"),
}

_MEASURES = {
    "or": "OR",
    "odds ratio": "OR",
    "odds ratio (non-event)": "OR",
    "peto_or": "PETO",
    "peto odds ratio": "PETO",
    "rr": "RR",
    "risk ratio": "RR",
    "rd": "RD",
    "risk difference": "RD",
    "md": "MD",
    "mean difference": "MD",
    "smd": "SMD",
    "std. mean difference": "SMD",
    "standardized mean difference": "SMD",
    "standardised mean difference": "SMD",
    "hr": "HR",
    "hazard ratio": "HR",
    "rate ratio": "IRR",
}
RATIOS = frozenset({"OR", "PETO", "RR", "HR", "IRR"})


@dataclass(frozen=True, slots=True)
class Analysis:
    """One analysis of a review: what was pooled, how, and the result RevMan shows.

    Parameters
    ----------
    number
        As RevMan counts, e.g. ``"1.2"``.
    name
        Of the analysis.
    kind
        A key of `USED`, or ``""`` for data types that hold no numbers to pool.
    measure
        metafor's string where there is one, else RevMan's words.
    method
        ``"MH"``, ``"IV"`` or ``"PETO"``.
    random
        Whether RevMan pooled with random effects.
    swap
        Whether RevMan pooled the patients without the event.
    level
        Of the pooled interval.
    pooled
        Texts as RevMan wrote them: estimate, low, high, p, i2, tau2; those absent are missing.
    """

    number: str
    name: str
    kind: str
    measure: str
    method: str = ""
    random: bool = False
    swap: bool = False
    level: float = 0.95
    pooled: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Number and name, as users choose it."""
        return f"{self.number} {self.name}".strip()

    @property
    def model(self) -> str:
        """Method and model in words."""
        return f"{self.method or 'IV'}, {'random' if self.random else 'fixed'}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One study's row in an analysis, cells under bayesmeta's names."""

    analysis: str
    study: str
    line: int
    cells: Mapping[str, Cell]
    year: Cell = None
    subgroup: str = ""
    skip: str = ""
    remark: str = ""


def measure_name(words: str) -> str:
    """Return metafor's string for RevMan's words, or the words themselves.

    Examples
    --------
    >>> measure_name("Peto Odds Ratio"), measure_name("Growth rate")
    ('PETO', 'Growth rate')
    """
    return _MEASURES.get(words.strip().lower(), words.strip())


def method_name(words: str) -> str:
    """Return ``"MH"``, ``"PETO"`` or ``"IV"`` for RevMan's words."""
    text = words.strip().upper().replace("-", "")
    if text in ("MH", "MANTELHAENSZEL"):
        return "MH"
    return "PETO" if text in ("PETO", "EXP_O_E_VAR") else "IV"


def as_level(text: str) -> float:
    """Return a confidence level written ``"95"``, ``"95%"`` or ``"0.95"``; 0.95 where there is none."""
    value = as_number(text.rstrip("% "))
    if value is None or not 0 < value < 100:
        return 0.95
    return value / 100 if value > 1 else value


def as_number(cell: Cell) -> float | None:
    """Return a finite number written as RevMan does (thousands with a comma), or None."""
    if cell is None or isinstance(cell, bool):
        return None
    try:
        value = float(cell if not isinstance(cell, str) else cell.replace(",", "").replace("_", "?"))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def contrast(estimate: Cell, se: Cell, shown: Cell, analysis: Analysis, place: str) -> tuple[dict[str, Cell], str]:
    """Return a contrast-level row's effect and standard error on the analysis scale, and why not if it has none.

    Parameters
    ----------
    estimate
        As entered; on the log scale for ratios, unless RevMan was told otherwise.
    se
        Its standard error.
    shown
        The effect as RevMan shows it; a ratio is shown on the natural scale, which tells the scale entered.
    place
        File, line and study, for messages.

    Raises
    ------
    DataError
        If the entered and the shown effect agree on no scale.
    """
    y, s, natural = as_number(estimate), as_number(se), as_number(shown)
    if s is None or s <= 0 or (y is None and natural is None):
        return {"yi": None, "sei": None}, "no estimate and standard error"
    ratio = analysis.measure in RATIOS
    if y is None:
        assert natural is not None
        if ratio and natural <= 0:
            raise DataError(f"{place}: the {analysis.measure} is {natural:g}; a ratio must be > 0. Correct the file.")
        return {"yi": math.log(natural) if ratio else natural, "sei": s}, ""
    if natural is not None and not _same(natural, math.exp(min(y, 700.0)) if ratio else y):
        raise DataError(
            f"{place}: entered as {y:g} but shown as {natural:g}, which is neither the same number nor, for a ratio, "
            "its exponential; the scale of the entry is unclear. Enter log ratios with their standard errors."
        )
    return {"yi": y, "sei": s}, ""


def _same(a: float, b: float) -> bool:
    # RevMan Web writes six digits after the point.
    return abs(a - b) <= 2e-6 + 1e-4 * abs(b)


def assemble(
    name: str, kind: str, analyses: Iterable[Analysis], entries: list[Entry], origin: Mapping[str, str]
) -> RawTable:
    """Return the raw table of a review, canonical columns, one row an entry.

    Parameters
    ----------
    name, kind
        Of the file, for messages, and of its format.
    analyses, entries
        What the file holds.
    origin
        bayesmeta's name to the file's own.

    Raises
    ------
    DataError
        If no analysis holds numbers to pool.
    """
    known = {a.number: a for a in analyses}
    usable = [e for e in entries if known[e.analysis].kind in USED]
    if not usable:
        raise DataError(f"{name}: no analysis in this {kind} file holds study data that can be pooled.")
    names = list(dict.fromkeys(column for e in usable for column in USED[known[e.analysis].kind]))
    done = [_finish(name, e, known[e.analysis]) for e in usable]
    derived = [n for n in ("yi", "sei") if n not in names and any(n in cells for cells, _ in done)]
    names += derived
    columns: dict[str, tuple[Cell, ...]] = {
        "outcome": tuple(known[e.analysis].label for e in usable),
        "study": tuple(e.study for e in usable),
        "year": tuple(e.year for e in usable),
        "subgroup": tuple(e.subgroup for e in usable),
        **{n: tuple(cells.get(n) for cells, _ in done) for n in names},
    }
    return RawTable(
        tuple(columns),
        tuple(columns.values()),
        tuple(e.line for e in usable),
        kind,
        canonical=True,
        origin=origin,
        skip={i: why for i, (_, why) in enumerate(done) if why},
        notes=(
            *(_notes(known[n]) for n in dict.fromkeys(e.analysis for e in usable)),
            *(f"{known[e.analysis].label}: {e.study}: {e.remark}" for e in usable if e.remark),
        ),
        published=tuple(_published(known[n], kind) for n in dict.fromkeys(e.analysis for e in usable)),
    )


def _finish(name: str, entry: Entry, analysis: Analysis) -> tuple[dict[str, Cell], str]:
    """Return the cells the data type uses, events swapped where RevMan swaps them, and why a row is left out."""
    cells: dict[str, Cell] = {n: entry.cells.get(n) for n in USED[analysis.kind]}
    if analysis.swap and analysis.kind == "dichotomous":
        for arm in ("treatment", "control"):
            events, n = as_number(cells[f"events_{arm}"]), as_number(cells[f"n_{arm}"])
            if events is None or n is None:
                continue
            if events > n:
                raise DataError(
                    f"{name}, line {entry.line}, study {entry.study!r}: {events:g} events among {n:g} patients; "
                    "events cannot exceed patients. Correct the file."
                )
            cells[f"events_{arm}"] = n - events
    if analysis.kind == "o-e" and not entry.skip:
        o_e, v = as_number(cells["o_e"]), as_number(cells["v_o_e"])
        if o_e is None or v is None or v <= 0:
            return cells, "no O-E with a variance > 0"
        cells |= {"yi": o_e / v, "sei": 1 / math.sqrt(v)}
    return cells, entry.skip


def _notes(a: Analysis) -> str:
    swap = "; event and non-event swapped, as RevMan does: events are patients without the event" if a.swap else ""
    derived = "; yi = (O-E) / V and sei = 1 / sqrt(V)" if a.kind == "o-e" else ""
    return f"{a.label}: {a.kind} data, {a.measure}, {a.model}{swap}{derived}"


def _published(a: Analysis, kind: str) -> dict[str, str]:
    low, high = as_number(a.pooled.get("low", "")), as_number(a.pooled.get("high", ""))
    # RevMan writes an interval of no width where it computed nothing.
    shown = dict(a.pooled) if low is not None and high is not None and low < high else {}
    return {
        "source": kind,
        "measure": a.measure,
        "method": a.model,
        "level": repr(a.level),
        "outcome": a.label,
        **{key: text for key, text in shown.items() if as_number(text) is not None},
    }
