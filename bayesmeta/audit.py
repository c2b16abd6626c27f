"""A second pair of eyes on a study table: what was read, what looks wrong, and whether published results recur.

Every finding is a sentence naming the study and what to check. Nothing is changed or left out.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from bayesmeta.effects import MEASURES, effect_sizes
from bayesmeta.errors import BayesMetaError
from bayesmeta.frequentist import PooledFit, mantel_haenszel, peto, pool
from bayesmeta.studies import EffectSizes, PublishedResult, StudyTable
from bayesmeta.values import Array

type Kind = Literal[
    "read", "totals", "excluded", "zero cells", "duplicates", "swapped arms", "standard errors", "outliers", "published"
]

# Standard errors from what the other studies predict; one study in 370 is further out by chance.
_OUTLIER_Z = 3.0
# What RevMan pools by Mantel-Haenszel.
MH_MEASURES: Mapping[str, Literal["OR", "RR", "RD"]] = {"OR": "OR", "RR": "RR", "RD": "RD"}
# A finite number printed with many digits still carries the rounding of the program that computed it.
_RELATIVE = 1e-6


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
        Findings in the order: what was read, totals, exclusions, zero cells, duplicates, arms that look
        swapped, standard errors that look like variances, outliers, published results.
    """
    return (
        *_read(table),
        *_totals(table),
        *(Finding("excluded", f"{e.study}: {e.reason}" + _at(e.row), look=True) for e in table.excluded),
        *_zero_cells(table),
        *_duplicates(table),
        *_swapped_arms(table),
        *_variances(table),
        *_outliers(table, measure),
        *(Finding("published", line, look="differs" in line) for line in check_published(table)),
    )


def _at(row: int | None) -> str:
    return "" if row is None else f" (line {row})"


def _read(table: StudyTable) -> list[Finding]:
    outcome = f", outcome {table.outcome!r}" if table.outcome is not None else ""
    found = [Finding("read", f"{table.k} studies from {table.source or 'memory'}{outcome}")]
    found += [Finding("read", f"{name} <- {header!r}") for name, header in table.mapping.items()]
    return found + [Finding("read", note, look="not interpreted" in note) for note in table.notes]


def _totals(table: StudyTable) -> list[Finding]:
    sums = []
    for name in ("events_treatment", "n_treatment", "events_control", "n_control", "events", "n"):
        if name in table.columns:
            sums.append(f"{name} {np.nansum(table.column(name)):,.0f}")
    found = [Finding("totals", ", ".join(sums))] if sums else []
    for i, label in enumerate(table.study):
        if label.strip().lower().rstrip(":") in ("total", "totals", "overall", "sum", "all", "pooled", "subtotal"):
            row = table.row[i] if table.row else None
            found.append(
                Finding("totals", f"{label!r}{_at(row)} looks like a row of totals, counted as a study", look=True)
            )
    return found


def _counts(table: StudyTable) -> tuple[Array, Array, Array, Array] | None:
    names = ("events_treatment", "n_treatment", "events_control", "n_control")
    if not all(name in table.columns for name in names):
        return None
    a, n1, c, n2 = (table.column(name) for name in names)
    return a, n1, c, n2


def _zero_cells(table: StudyTable) -> list[Finding]:
    counts = _counts(table)
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
        text = f"{_names(table, none | every)}: no events, or only events, in both arms: no odds ratio of their own"
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
    if effects is None or effects.k < 4 or (_counts(table) is None and "mean_treatment" not in table.columns):
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
    if _counts(table) is not None:
        return "OR"
    return "SMD" if "mean_treatment" in table.columns and "n_treatment" in table.columns else "GEN"


def _effects(table: StudyTable, measure: str) -> EffectSizes | None:
    """Return effects, without the studies that have none; None where the table has no such effects."""
    try:
        return effect_sizes(table, measure, drop00=True, inestimable="exclude")
    except BayesMetaError:
        return None


def _outliers(table: StudyTable, measure: str | None) -> list[Finding]:
    chosen = measure or _default_measure(table)
    effects = effect_sizes(table, chosen, drop00=True, inestimable="exclude") if measure else _effects(table, chosen)
    if effects is None or effects.k < 3:
        return []
    found = []
    for i, label in enumerate(effects.study):
        z = _standardised(effects, i)
        if abs(z) > _OUTLIER_Z:
            text = f"{label}: {abs(z):.1f} standard errors from the mean of the others ({chosen}); check its numbers"
            found.append(Finding("outliers", text, look=True))
    return found


# --------------------------------------------------------------------- published results


def check_published(table: StudyTable) -> list[str]:
    """Return, for each pooled result the file carries, whether our classical analysis gives the same.

    A figure agrees when it lies within half a unit of the last digit printed, or within a millionth of it.
    Of random-effects results by inverse variance, the tau2 estimator and the interval are not stated in
    every file; the combination that gives the figures is named.
    """
    return [line for published in table.published for line in _check_one(table, published)]


def _check_one(table: StudyTable, published: PublishedResult) -> list[str]:
    what = f"{published.measure}, {published.method}"
    try:
        fits = _refits(table, published)
    except BayesMetaError as error:
        return [f"{what}: {published.source} gives {published.estimate}, which was not recomputed: {error}"]
    if not fits:
        return [f"{what}: {published.source} gives {published.estimate}; there is no such method here to compare with"]
    checks = {label: _figures(fit, published) for label, fit in fits.items()}
    label = max(checks, key=lambda name: sum(same for *_, same in checks[name]))
    figures = checks[label]
    if all(same for *_, same in figures):
        shown = ", ".join(f"{name} {printed}" for name, printed, *_ in figures)
        return [f"{what}: all {len(figures)} figures of {published.source} recur ({shown}) by {label}"]
    return [
        f"{what}: {name} is {printed} in {published.source} and {ours:.6g} by {label}: differs"
        for name, printed, ours, same in figures
        if not same
    ]


def _refits(table: StudyTable, published: PublishedResult) -> dict[str, PooledFit]:
    """Return what to call each analysis that may be the published one, and its result."""
    method, model = (part.strip() for part in published.method.split(","))
    random, measure, level = model == "random", published.measure, published.level
    counts = _counts(table) is not None
    if method == "PETO" and counts:
        return {"Peto's method": peto(table, level=level)}
    if method == "MH" and counts and measure in MH_MEASURES:
        label = "RevMan's Mantel-Haenszel random effects" if random else "Mantel-Haenszel"
        return {label: mantel_haenszel(table, measure=MH_MEASURES[measure], random=random, level=level)}
    effects = _revman_effects(table, measure)
    if not random:
        return {"inverse variance": pool(effects, method="EE", level=level)}
    return {
        f"{tau2} ({ci})": pool(effects, method=tau2, ci=ci, level=level)
        for tau2 in ("DL", "REML")
        for ci in ("wald", "hksj")
    }


def _revman_effects(table: StudyTable, measure: str) -> EffectSizes:
    """Return effects as RevMan computes them: like ours, but for the standardized mean difference."""
    if (
        "yi" in table.columns
        and "sei" in table.columns
        and _counts(table) is None
        and "sd_treatment" not in table.columns
    ):
        known = measure if measure in MEASURES else "GEN"
        return EffectSizes(table.column("yi"), table.column("sei"), study=table.study, measure=known)
    effects = effect_sizes(table, measure, drop00=measure != "RD", inestimable="exclude")
    return _revman_smd(table, effects) if measure == "SMD" else effects


def _revman_smd(table: StudyTable, effects: EffectSizes) -> EffectSizes:
    """Return Hedges' adjusted g with RevMan's approximations of the correction and of the variance.

    Deeks & Higgins (2010), Statistical algorithms in Review Manager 5.
    """
    n1, n2 = table.column("n_treatment"), table.column("n_control")
    s1, s2 = table.column("sd_treatment"), table.column("sd_control")
    n = n1 + n2
    pooled = np.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / (n - 2))
    g = (table.column("mean_treatment") - table.column("mean_control")) / pooled * (1 - 3 / (4 * n - 9))
    return replace(effects, yi=g, sei=np.sqrt(n / (n1 * n2) + g**2 / (2 * (n - 3.94))))


def _figures(fit: PooledFit, published: PublishedResult) -> list[tuple[str, str, float, bool]]:
    """Return name, printed text, our value and agreement of each figure that was published."""
    scale = MEASURES.get(published.measure)
    natural = (lambda x: float(scale.to_natural(x))) if scale is not None else float
    ours = {
        "estimate": (published.estimate, natural(fit.mu)),
        "lower limit": (published.low, natural(fit.ci.low)),
        "upper limit": (published.high, natural(fit.ci.high)),
        "p": (published.p, fit.p_value),
        "I2": (published.i2, fit.I2),
        "tau2": (published.tau2, fit.tau2 if fit.tau2 is not None else 0.0),
    }
    return [
        (name, printed, value, agrees(value, printed)) for name, (printed, value) in ours.items() if printed is not None
    ]


def agrees(value: float, printed: str) -> bool:
    """Return whether `value` may have been printed so.

    Examples
    --------
    >>> agrees(0.38953, "0.39"), agrees(0.38953, "0.38"), agrees(0.0004, "<0.001")
    (True, False, True)
    """
    text = printed.strip()
    bare = text.lstrip("<>= ")
    number = float(bare)
    if text.startswith("<"):
        return value < number
    if text.startswith(">"):
        return value > number
    mantissa, _, exponent = bare.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    unit = 10.0 ** (int(exponent or 0) - decimals)
    # A printed half may have been rounded either way.
    return abs(value - number) <= max(0.5000001 * unit, _RELATIVE * abs(number))
