"""A second pair of eyes on a study table: what was read, what looks wrong, and whether published results recur.

Every finding is a sentence naming the study and what to check. Nothing is changed or left out.
"""

import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bayesmeta.audit.published_results import check_published, two_by_two_columns
from bayesmeta.effects import effect_sizes
from bayesmeta.errors import BayesMetaError, DataError, DataWarning
from bayesmeta.frequentist import pool
from bayesmeta.reading.totals import total_rows
from bayesmeta.studies import EffectSizes, StudyTable
from bayesmeta.values import Array

type Kind = Literal[
    "read",
    "totals",
    "excluded",
    "names",
    "zero cells",
    "duplicates",
    "shared arms",
    "swapped arms",
    "standard errors",
    "Peto",
    "outliers",
    "published",
]

# Standard errors from what the other studies predict; one study in 370 is further out by chance.
_OUTLIER_Z = 3.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation: its kind, the sentence, and whether somebody should look."""

    kind: Kind
    text: str
    look: bool = False

    def __str__(self) -> str:
        return f"{'!' if self.look else ' '} {self.kind}: {self.text}"


def audit(table: StudyTable, *, measure: str | None = None) -> tuple[Finding, ...]:
    """Return everything worth saying about a table before it is analysed.

    Parameters
    ----------
    table
        As read.
    measure
        Effect measure for the outlier check; the natural one for the columns when None
        (OR for counts, SMD for means, else the effects given).

    Returns
    -------
    tuple
        Findings in the order: what was read, totals, exclusions, dates as names, zero cells, duplicates, control arms
        used twice, arms that look swapped, standard errors that look like variances or that the sample size makes
        impossible, what Peto's method cannot take, outliers, published results.
    """
    return (
        *_read(table),
        *_totals(table),
        *(Finding("excluded", f"{e.study}: {e.reason}" + _at(e.row), look=True) for e in table.excluded),
        *_names_as_dates(table),
        *_zero_cells(table),
        *_duplicates(table),
        *_shared_arms(table),
        *_swapped_arms(table),
        *_variances(table),
        *_impossible_errors(table, measure),
        *_peto(table, measure),
        *_inestimable(table, measure),
        *_outliers(table, measure),
        *(Finding("published", line, look="differs" in line) for line in check_published(table)),
    )


def _at(row: int | None) -> str:
    return "" if row is None else f" (line {row})"


def _read(table: StudyTable) -> list[Finding]:
    outcome = f", outcome {table.outcome!r}" if table.outcome is not None else ""
    found = [Finding("read", f"{table.k} studies from {table.source or 'memory'}{outcome}")]
    found += [Finding("read", f"{name} <- {header!r}") for name, header in table.mapping.items()]
    return found + [Finding("read", note, look=any(words in note for words in _TO_LOOK_AT)) for note in table.notes]


_TO_LOOK_AT = ("not interpreted", "not estimable", "several rows of one study", "left out, since")
# What spreadsheets make of names such as "Mar 1", "5/2004" and "2004-05".
_DATE = re.compile(
    r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2})?)?|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}|(3|4)\d{4}|date \d+|"
    r"((Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)-\d{2,4}|\d{1,2}-(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec))"
)


def _names_as_dates(table: StudyTable) -> list[Finding]:
    dates = [label for label in table.study if _DATE.fullmatch(label.strip())]
    if not dates:
        return []
    text = f"{', '.join(map(repr, dates))}: a spreadsheet made a date of the study's name: restore it from the source"
    return [Finding("names", text, look=True)]


def _shared_arms(table: StudyTable) -> list[Finding]:
    """Return rows of one study, by its name, whose control arms are the same patients."""
    counts = two_by_two_columns(table)
    if counts is None:
        return []
    _, _, events, n = counts
    seen: dict[tuple[str, float, float], str] = {}
    found = []
    for i, label in enumerate(table.study):
        # "Smith 2001a" and "Smith 2001 (high dose)" are of one trial as far as a name can tell.
        name = re.sub(r"\s*\(.*\)$|(?<=\d)[a-z]$", "", label.strip().casefold())
        key = (name, float(events[i]), float(n[i]))
        if key in seen and n[i] > 0:
            text = (
                f"{seen[key]} and {label} have the same control arm ({events[i]:g}/{n[i]:g}): its patients count "
                "twice. Join the treated arms, divide the control arm, or analyse the trial as one with several arms"
            )
            found.append(Finding("shared arms", text, look=True))
        seen.setdefault(key, label)
    return found


# Smallest standard error that n patients can have: when they are divided in the best way among cells or arms.
_LEAST_SE: Mapping[str, float] = {"OR": 4.0, "HR": 2.0, "RR": 0.0, "SMD": 2.0, "ZCOR": 1.0}


def _impossible_errors(table: StudyTable, measure: str | None) -> list[Finding]:
    """Return standard errors that are smaller than the number of patients allows.

    Of a log odds ratio var >= 16/n (four equal cells), of a log hazard ratio 4/n (all die, half in each arm), of a
    standardized mean difference 4/n, of a Fisher z about 1/n.
    """
    n, factor = _sizes(table), _LEAST_SE.get(measure or "", 0.0)
    if n is None or factor == 0.0 or "sei" not in table.columns or two_by_two_columns(table) is not None:
        return []
    least = factor / np.sqrt(n)
    # A printed standard error is rounded.
    bad = np.flatnonzero(table.column("sei") < 0.9 * least)
    return [
        Finding(
            "standard errors",
            f"{table.study[i]}: a standard error of {table.column('sei')[i]:.3g} is impossible with {n[i]:g} patients "
            f"({measure}: at least {least[i]:.3g}): is it a variance, of another scale, or of another group?",
            look=True,
        )
        for i in bad
    ]


def _peto(table: StudyTable, measure: str | None) -> list[Finding]:
    """Return what Peto's one-step method is biased for: arms of very different size, and large effects.

    Greenland & Salvan (1990), Stat. Med. 9:247-252.
    """
    counts = two_by_two_columns(table)
    if measure != "PETO" or counts is None:
        return []
    _, n1, _, n2 = counts
    found = []
    unequal = np.maximum(n1, n2) > 4.0 * np.minimum(n1, n2)
    if unequal.any():
        text = f"{_names(table, unequal)}: one arm is more than four times the other; Peto's odds ratio is biased there"
        found.append(Finding("Peto", text, look=True))
    effects = _effects(table, "OR")
    if effects is not None:
        large = [s for s, y in zip(effects.study, effects.yi, strict=True) if abs(y) > math.log(5.0)]
        if large:
            text = f"{', '.join(large)}: an odds ratio beyond 5 or 0.2; Peto's method shrinks effects of that size"
            found.append(Finding("Peto", text, look=True))
    return found


def _totals(table: StudyTable) -> list[Finding]:
    sums = []
    for name in ("events_treatment", "n_treatment", "events_control", "n_control", "events", "n"):
        if name in table.columns:
            sums.append(f"{name} {np.nansum(table.column(name)):,.0f}")
    found = [Finding("totals", ", ".join(sums))] if sums else []
    for i, why in total_rows(table.study, table.columns).items():
        row = table.row[i] if table.row else None
        text = f"{table.study[i]!r}{_at(row)} looks like a row of totals, counted as a study: {why}"
        found.append(Finding("totals", text, look=True))
    return found


def _zero_cells(table: StudyTable) -> list[Finding]:
    counts = two_by_two_columns(table)
    if counts is None:
        return []
    a, n1, c, n2 = counts
    none, every = (a == 0) & (c == 0), (a == n1) & (c == n2)
    single = ((a == 0) | (c == 0) | (a == n1) | (c == n2)) & ~none & ~every
    found = []
    if single.any():
        text = f"{_names(table, single)}: a zero cell, so a log ratio needs a correction or an exact-likelihood model"
        found.append(Finding("zero cells", text, look=True))
    if (none | every).any():
        text = f"{_names(table, none | every)}: no events, or only events, in both arms: no ratio of their own"
        found.append(Finding("zero cells", text, look=True))
    for arm, events in (("treated", a), ("control", c)):
        if not np.nansum(events):
            found.append(Finding("zero cells", f"no events in any {arm} arm: ratios rest on the prior", look=True))
    return found


def _names(table: StudyTable, mask: Array | np.ndarray) -> str:
    return ", ".join(s for s, m in zip(table.study, mask, strict=True) if m)


def _duplicates(table: StudyTable) -> list[Finding]:
    """Return pairs of studies whose numbers are all the same, or whose names differ only in case and spaces."""
    names = [n for n in table.columns if n in _NUMBERS]
    found = []
    seen: dict[tuple[float, ...], str] = {}
    for i, label in enumerate(table.study):
        key = tuple(float(table.columns[n][i]) for n in names)
        # Two small trials may agree in a pair of numbers by chance, hardly in four.
        if len(key) >= 4 and key in seen:
            text = f"{seen[key]} and {label} have the same numbers throughout: one study reported twice?"
            found.append(Finding("duplicates", text, look=True))
        seen.setdefault(key, label)
    folded: dict[str, str] = {}
    for label in table.study:
        key_text = "".join(label.casefold().split())
        if key_text in folded:
            text = f"{folded[key_text]!r} and {label!r} differ only in case or spaces: the same study?"
            found.append(Finding("duplicates", text, look=True))
        folded.setdefault(key_text, label)
    return found


_NUMBERS = frozenset(
    (
        *("events_treatment", "n_treatment", "events_control", "n_control"),
        *("mean_treatment", "sd_treatment", "mean_control", "sd_control"),
        *("time_treatment", "time_control", "yi", "sei", "vi"),
    )
)


def _swapped_arms(table: StudyTable) -> list[Finding]:
    """Return studies that are outliers as they stand and fit well with their arms exchanged."""
    effects = _effects(table, _default_measure(table))
    if (
        effects is None
        or not effects.independent
        or effects.k < 4
        or (two_by_two_columns(table) is None and "mean_treatment" not in table.columns)
    ):
        return []
    found = []
    for i, label in enumerate(effects.study):
        z, z_swapped = (_standardised(effects, i, sign) for sign in (1.0, -1.0))
        if abs(z) > _OUTLIER_Z and abs(z_swapped) < 1.0:
            text = (
                f"{label}: {abs(z):.1f} standard errors from the mean of the others, "
                f"{abs(z_swapped):.1f} with its arms exchanged: are treatment and control swapped?"
            )
            found.append(Finding("swapped arms", text, look=True))
    return found


def _standardised(effects: EffectSizes, i: int, sign: float = 1.0) -> float:
    """Return how far study `i` (times `sign`) lies from what the others predict, in standard errors."""
    others = pool(effects.drop([effects.study[i]]), method="DL")
    variance = effects.sei[i] ** 2 + (others.tau2 or 0.0) + others.se**2
    return (sign * float(effects.yi[i]) - others.mu) / math.sqrt(variance)


def _variances(table: StudyTable) -> list[Finding]:
    """Return signs that a column of standard errors holds variances, or the reverse."""
    found = []
    if "sei" in table.columns and "vi" not in table.columns:
        sei = table.column("sei")
        n = _sizes(table)
        # Standard errors fall with the square root of the size, variances with the size itself.
        if n is not None and len(n) >= 5 and np.ptp(np.log(n)) > 1.0:
            slope = float(np.polyfit(np.log(n), np.log(sei), 1)[0])
            if slope < -0.75:
                text = (
                    f"sei falls with the sample size to the power {slope:.2f}; standard errors fall with -0.5, "
                    "variances with -1: does the column hold variances? Then say columns={'vi': ...}"
                )
                found.append(Finding("standard errors", text, look=True))
    if "vi" in table.columns and table.mapping.get("vi"):
        text = f"vi was read from {table.mapping['vi']!r} as a variance; sei is its square root"
        found.append(Finding("standard errors", text))
    return found


def _sizes(table: StudyTable) -> Array | None:
    for names in (("n_treatment", "n_control"), ("n",), ("n1", "n2")):
        if all(name in table.columns and table.columns[name].dtype.kind == "f" for name in names):
            total = np.sum([table.column(name) for name in names], axis=0)
            return total if np.isfinite(total).all() and (total > 0).all() else None
    return None


def _default_measure(table: StudyTable) -> str:
    if table.holds:
        return table.holds[0]
    if two_by_two_columns(table) is not None:
        return "OR"
    return "SMD" if "mean_treatment" in table.columns and "n_treatment" in table.columns else "GEN"


def _effects(table: StudyTable, measure: str) -> EffectSizes | None:
    """Return effects, without the studies that have none; None where the table has no such effects."""
    try:
        # Warnings are findings of the measure that is asked about.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            return effect_sizes(table, measure, drop00=True, inestimable="exclude")
    except BayesMetaError:
        return None


def _asked(table: StudyTable, measure: str) -> EffectSizes:
    """Return effects of the measure that is asked about, without the empty studies unless there are no others."""
    try:
        return effect_sizes(table, measure, drop00=True, inestimable="exclude")
    except DataError:
        # Any other reason than that no study has an event is the user's to hear.
        return effect_sizes(table, measure, inestimable="exclude")


def _inestimable(table: StudyTable, measure: str | None) -> list[Finding]:
    """Return studies that have no effect of the measure although their numbers are there."""
    effects = _effects(table, measure) if measure else None
    if effects is None:
        return []
    # Studies without events, which `_effects` sets aside, are zero cells, and found as such.
    before = {(e.study, e.reason) for e in table.excluded}
    gone = [e for e in effects.excluded if (e.study, e.reason) not in before and "drop00" not in e.reason]
    return [Finding("excluded", f"{e.study}: {e.reason}, so that it has no {measure} to pool", look=True) for e in gone]


def _outliers(table: StudyTable, measure: str | None) -> list[Finding]:
    chosen = measure or _default_measure(table)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", DataWarning)
        effects = _asked(table, measure) if measure else _effects(table, chosen)
    found = [Finding("standard errors", str(w.message), look=True) for w in said if isinstance(w.message, DataWarning)]
    # What the others predict of a row takes rows that are independent.
    if effects is None or not effects.independent or effects.k < 3:
        return found
    for i, label in enumerate(effects.study):
        z = _standardised(effects, i)
        if abs(z) > _OUTLIER_Z:
            text = f"{label}: {abs(z):.1f} standard errors from the mean of the others ({chosen}); check its numbers"
            found.append(Finding("outliers", text, look=True))
    return found
