"""Published priors by category: Turner, Rhodes, the Cochrane-based ones, and the weakly informative ones."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from bayesmeta.errors import ModelError, unknown
from bayesmeta.priors.combine import Truncated
from bayesmeta.priors.half import HalfCauchy, HalfNormal
from bayesmeta.priors.line import Normal, StudentT
from bayesmeta.priors.positive import InverseGamma, LogNormal, LogStudentT
from bayesmeta.priors.text import readable
from bayesmeta.resources import data_dir

# Names of the tables' effect measures by metafor's strings.
_MEASURES = {"OR": "log OR", "RR": "log RR", "HR": "log HR", "RD": "RD", "SMD": "SMD (Cohen d)"}


@dataclass(frozen=True, slots=True)
class PublishedPrior:
    """One row of a published table: what it is for, its parameters there, and where it is printed.

    `scale` is what the parameters describe in the paper: ``"tau2"``, ``"tau"`` or ``"mu"``; `prior` is
    always for tau or mu.
    """

    source: str
    doi: str
    scale: str
    measure: str
    outcome: str
    comparison: str
    area: str
    prior: Any
    note: str


def _numbers(row: dict[str, str]) -> dict[str, float]:
    return {row[f"param{i}_name"]: float(row[f"param{i}"]) for i in (1, 2, 3) if row[f"param{i}_name"]}


def _on_tau2(row: dict[str, str]) -> Any:
    # log(tau) = log(tau2) / 2: location and scale of the log are halved.
    p = _numbers(row)
    if row["distribution"] == "log-normal":
        return LogNormal(p["mu"] / 2, p["sigma"] / 2)
    return LogStudentT(p["df"], p["location"] / 2, p["scale"] / 2)


def _direct(row: dict[str, str]) -> Any:
    p = _numbers(row)
    forms: dict[str, Callable[[], Any]] = {
        "half-normal": lambda: HalfNormal(p["scale"]),
        "half-cauchy": lambda: HalfCauchy(p["scale"]),
        "inverse-gamma": lambda: InverseGamma(p["shape"], p["scale"]),
        "normal": lambda: Normal(p["mean"], p["sd"]),
        "student-t": lambda: StudentT(p["df"], p["location"], p["scale"]),
    }
    prior = forms[row["distribution"]]()
    if row["scale"] == "mu" and "truncated to [0,inf)" in row["note"]:
        return Truncated(prior, 0.0, float("inf"))
    return prior


@cache
def published(table: str) -> tuple[PublishedPrior, ...]:
    """Return every row of a published table.

    Parameters
    ----------
    table
        ``"turner2012"``, ``"turner2015"``, ``"rhodes2015"``, ``"bartos2021"``, ``"bartos2023"`` or
        ``"weakly_informative"``.

    Raises
    ------
    ModelError
        If there is no such table.
    """
    files = {
        "turner2012": "turner2012_tau2_logOR.csv",
        "turner2015": "turner2015_tau2_logOR.csv",
        "rhodes2015": "rhodes2015_tau2_SMD.csv",
        "bartos2021": "bartos_cochrane_priors.csv",
        "bartos2023": "bartos_cochrane_priors.csv",
        "weakly_informative": "weakly_informative_priors.csv",
    }
    if table not in files:
        raise unknown("table of priors", table, files)
    with (data_dir() / "priors" / files[table]).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if table.startswith("bartos"):
        rows = [r for r in rows if (r["effect_measure"] == _MEASURES["SMD"]) == (table == "bartos2021")]
    return tuple(
        PublishedPrior(
            source=r["source"],
            doi=r["doi"],
            scale=r["scale"],
            measure=r["effect_measure"],
            outcome=r["outcome_type"],
            comparison=r["comparison_type"],
            area=r["medical_area"],
            prior=_on_tau2(r) if r["scale"] == "tau2" else _direct(r),
            note=r["note"],
        )
        for r in rows
    )


def _words(text: str) -> list[str]:
    """Return the words of a category, without the differences of spelling that papers do not agree on."""
    text = re.sub(r"\bversus\b", "vs", str(text).lower()).replace("ized", "ised")
    return [w for w in re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)*", text) if w not in ("or", "and")]


def _choose(kind: str, name: str, known: Sequence[str], spellings: Sequence[str] = ()) -> str:
    """Return the category meant: the one with exactly these words, else the only one that has them all."""
    for spelling in (name, *spellings):
        words = _words(spelling)
        same = [k for k in known if _words(k) == words]
        holds = same or [k for k in known if words and set(words) <= set(_words(k)) and len(words) > 1]
        if len(set(holds)) == 1:
            return holds[0]
    raise unknown(kind, name, dict.fromkeys(known))


def _comparison(table: str, name: str, known: Sequence[str]) -> str:
    """Return the table's comparison: arms in either order, and all of non-pharmacological where it has one class."""
    arms = re.split(r"\s+(?:vs|versus)\b\.?\s+", str(name).lower())
    spellings = [" vs ".join(reversed(arms))]
    if any(_words(arm) == ["non-pharmacological"] for arm in arms):
        spellings.append("non-pharmacological (any)")
    return _choose(f"comparison of {table}", name, known, spellings)


def _unique(values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _look_up(table: str, outcome: str, comparison: str, area: str | None = None) -> Any:
    rows = published(table)
    chosen = _choose(f"outcome of {table}", outcome, _unique([r.outcome for r in rows]))
    rows = tuple(r for r in rows if r.outcome == chosen)
    comparisons = _unique([r.comparison for r in rows])
    if chosen == "any" and comparison != "any":
        raise ModelError(
            f"{table} has no prior for any outcome by comparison: give an outcome too, or no category at all "
            f"for the general prior. Outcomes: {', '.join(_unique([r.outcome for r in published(table)])[1:])}."
        )
    pair = _comparison(table, comparison, comparisons)
    rows = tuple(r for r in rows if r.comparison == pair)
    areas = _unique([r.area for r in rows])
    if area is None:
        area = "other" if "other" in areas else areas[0]
    place = _choose(f"medical area of {table}", area, areas)
    return next(r.prior for r in rows if r.area == place)


@readable
def turner2015(outcome: str = "any", comparison: str = "any") -> LogNormal:
    """Return Turner's predictive prior for tau, log odds ratios, by outcome and comparison.

    Parameters
    ----------
    outcome
        One of 16 outcome types, e.g. ``"all-cause mortality"``; none gives the general prior.
    comparison
        E.g. ``"pharmacological vs placebo/control"``; the order of the arms does not matter.

    Raises
    ------
    ModelError
        For an unknown category; the message lists the known ones.

    References
    ----------
    Turner, Jackson, Wei, Thompson & Higgins 2015, Stat Med 34:984-998, Table IV: log-normal for tau2,
    whose two parameters are halved here for tau.

    Examples
    --------
    >>> turner2015("all-cause mortality", "pharmacological vs placebo/control")
    log_normal(-1.975, 0.67)
    """
    result: LogNormal = _look_up("turner2015", outcome, comparison)
    return result


@readable
def turner2012(outcome: str, comparison: str) -> LogNormal:
    """Return Turner's earlier prior for tau, log odds ratios, in 9 categories.

    Parameters
    ----------
    outcome
        ``"all-cause mortality"``, ``"semi-objective"`` or ``"subjective"``.
    comparison
        ``"pharmacological vs placebo/control"``, ``"pharmacological vs pharmacological"`` or
        ``"non-pharmacological (any)"``.

    References
    ----------
    Turner, Davey, Clarke, Thompson & Higgins 2012, Int J Epidemiol 41:818-827.
    """
    result: LogNormal = _look_up("turner2012", outcome, comparison)
    return result


@readable
def rhodes2015(outcome: str = "any", comparison: str = "any", area: str | None = None) -> LogStudentT:
    """Return Rhodes' predictive prior for tau, standardised mean differences.

    Parameters
    ----------
    outcome
        One of 8 outcome types, e.g. ``"mental health outcome"``; none gives the general prior.
    comparison
        ``"pharmacological vs placebo/control"``, ``"pharmacological vs pharmacological"`` or
        ``"non-pharmacological (any)"``.
    area
        ``"respiratory"``, ``"cancer"`` or ``"other"`` (when not given).

    References
    ----------
    Rhodes, Turner & Higgins 2015, J Clin Epidemiol 68:52-60: log-t with 5 degrees of freedom for tau2,
    whose location and scale are halved here for tau.

    Notes
    -----
    Two printed cells are suspicious and are given as printed; their `published` rows carry the note.
    """
    result: LogStudentT = _look_up("rhodes2015", outcome, comparison, area)
    return result


def _bartos(table: str, area: str, measure: str, parameter: str) -> Any:
    if measure not in _MEASURES:
        raise unknown(f"measure of {table}", measure, [m for m in _MEASURES if m != "SMD"])
    if parameter not in ("mu", "tau"):
        raise unknown("parameter", parameter, ("mu", "tau"))
    rows = [r for r in published(table) if r.measure == _MEASURES[measure] and r.scale == parameter]
    if not rows:
        raise unknown(f"measure of {table}", measure, [m for m in _MEASURES if m != "SMD"])
    place = _choose(f"medical area of {table}", area, [r.area for r in rows])
    return next(r.prior for r in rows if r.area == place)


@readable
def bartos2021(area: str, parameter: str = "tau") -> Any:
    """Return the Cochrane-based prior of a medical field for standardised mean differences.

    Parameters
    ----------
    area
        Cochrane review group, e.g. ``"Heart"``.
    parameter
        ``"tau"`` (inverse-gamma) or ``"mu"`` (Student-t).

    References
    ----------
    Bartos, Gronau, Timmers, Otte, Ly & Wagenmakers 2021, Stat Med 40:6743-6761.
    """
    return _bartos("bartos2021", area, "SMD", parameter)


@readable
def bartos2023(area: str, measure: str = "OR", parameter: str = "tau") -> Any:
    """Return the Cochrane-based prior of a medical field for binary and time-to-event outcomes.

    Parameters
    ----------
    area
        Cochrane review group, e.g. ``"Heart"``.
    measure
        ``"OR"``, ``"RR"``, ``"RD"`` or ``"HR"``; ratios on the log scale.
    parameter
        ``"tau"`` or ``"mu"`` (Student-t).

    References
    ----------
    Bartos, Otte, Gronau, Timmers, Ly & Wagenmakers 2023, arXiv:2306.11468.
    """
    return _bartos("bartos2023", area, measure, parameter)


@readable
def weakly_informative(measure: str = "OR", parameter: str = "tau", which: str | None = None) -> Any:
    """Return a weakly informative prior from the literature.

    Parameters
    ----------
    measure
        ``"OR"`` or ``"SMD"``.
    parameter
        ``"tau"`` or ``"mu"``.
    which
        Text form of the one meant, e.g. ``"half_normal(1)"``; the customary one when not given
        (``half_normal(0.5)`` and ``normal(0, 2.82)`` for log odds ratios).

    Raises
    ------
    ModelError
        If there is none; the message lists what there is.
    """
    rows = [r for r in published("weakly_informative") if r.scale == parameter]
    rows = [r for r in rows if r.measure == _MEASURES.get(measure)]
    known = {repr(r.prior): r.prior for r in rows}
    if not known:
        raise ModelError(
            f"No weakly informative prior is tabulated for {parameter!r} of {measure!r}: "
            "use measure 'OR' or 'SMD' and parameter 'mu' or 'tau'."
        )
    if which is None:
        which = next((w for w in ("half_normal(0.5)", "normal(0, 2.82)") if w in known), next(iter(known)))
    if which not in known:
        raise unknown(f"weakly informative prior for {parameter} of {measure}:", which, known)
    return known[which]
