"""Whether the pooled results that a file carries recur in our classical analysis."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from bayesmeta.effects import MEASURES, effect_sizes
from bayesmeta.errors import BayesMetaError
from bayesmeta.frequentist import PooledFit, mantel_haenszel, peto, pool
from bayesmeta.studies import EffectSizes, PublishedResult, StudyTable
from bayesmeta.values import Array

# What RevMan pools by Mantel-Haenszel.
MH_MEASURES: Mapping[str, Literal["OR", "RR", "RD"]] = {"OR": "OR", "RR": "RR", "RD": "RD"}
# A finite number printed with many digits still carries the rounding of the program that computed it.
_RELATIVE = 1e-6


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
    counts = two_by_two_columns(table) is not None
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
        and two_by_two_columns(table) is None
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


def two_by_two_columns(table: StudyTable) -> tuple[Array, Array, Array, Array] | None:
    """Return events and patients of both arms, or None where the table has no such counts."""
    names = ("events_treatment", "n_treatment", "events_control", "n_control")
    if not all(name in table.columns for name in names):
        return None
    a, n1, c, n2 = (table.column(name) for name in names)
    return a, n1, c, n2
