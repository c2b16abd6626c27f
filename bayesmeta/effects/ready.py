"""Ready estimates: effects that a paper or a table gives, taken as they are or brought to the analysis scale."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bayesmeta.effects.measure import IDENTITY, LOG, MEASURES, Measure, register
from bayesmeta.effects.standard_errors import (
    asymmetry,
    quantile,
    refuse,
    rounding,
    se_from_ci,
    se_from_variance,
    warn_asymmetric,
)
from bayesmeta.errors import DataError, DataWarning, option
from bayesmeta.values import Array

register(Measure("GEN", "estimate", ("yi", "sei"), "Effect", "effect", IDENTITY))
register(Measure("HR", "estimate", ("yi", "sei"), "Hazard ratio", "log hazard ratio", LOG, ratio=True))

# Ways to give a ready estimate, the most direct first.
SOURCES: tuple[tuple[str, ...], ...] = (
    ("yi", "sei"),
    ("yi", "vi"),
    ("yi", "ci_low", "ci_high"),
    ("estimate", "ci_low", "ci_high"),
    ("o_e", "v_o_e"),
)
# (O - E) / V estimates these log ratios (Yusuf et al. 1985, Prog. Cardiovasc. Dis. 27:335-371).
O_E_MEASURES = ("PETO", "OR", "HR", "IRR")


def refuse_another_measure(
    measure: Measure, columns: Mapping[str, object], headers: Mapping[str, str], holds: Sequence[str]
) -> None:
    """Raise a DataError where effects are of another measure by the name of their column.

    Parameters
    ----------
    measure
        The one asked for. As a generic measure anything can be pooled that is on the analysis scale.
    columns, headers
        Of the table: values, and from our name to the header each was read from.
    holds
        Measures the effects may be by their header; empty where it says nothing.
    """
    used = (source_of(columns, measure) or ("",))[0]
    generic = measure.name == "GEN" and holds and (used == "yi" or not MEASURES[holds[0]].ratio)
    if not holds or used not in ("yi", "estimate") or measure.name in holds or generic:
        return
    header = headers.get(used, used)
    raise DataError(
        f"{measure.name} was asked for, but column {header!r} holds {MEASURES[holds[0]].label.lower()}s by its name. "
        f"Ask for {option('measure', holds[0])}; or, if the name misleads, say what the column is: "
        f"{option('columns', header, key=used)}."
    )


def source_of(columns: Mapping[str, object], measure: Measure) -> tuple[str, ...] | None:
    """Return which columns of ready estimates are there, the most direct set; None without any."""
    for names in SOURCES:
        if all(name in columns for name in names) and (names[0] != "o_e" or measure.name in O_E_MEASURES):
            return names
    return None


def ready_estimates(
    measure: Measure, columns: Mapping[str, Array], study: Sequence[str], *, level: float = 0.95
) -> tuple[Array, Array, str]:
    """Return effects and standard errors from ready estimates, and a sentence saying what was done.

    Parameters
    ----------
    measure
        What the estimates are.
    columns
        ``(k,)`` numbers under the names of one of `SOURCES`: ``yi`` is on the analysis scale (log for ratios),
        ``estimate`` on the natural scale; ``ci_low, ci_high`` share the scale of the estimate they come with.
    study
        ``(k,)`` labels.
    level
        Confidence level of the limits.

    Raises
    ------
    DataError
        If a number is missing or impossible, if ``sei`` and ``vi`` contradict each other, or if ``yi`` of a
        ratio is on the natural scale by the evidence of the table; the message names the study.

    Warns
    -----
    DataWarning
        If an interval is not symmetric on the analysis scale.
    """
    source = source_of(columns, measure)
    if source is None:
        raise DataError(f"No ready estimates: they need {' or '.join(' and '.join(s) for s in SOURCES)}.")
    if source[0] == "o_e":
        return _from_o_e(columns, study)
    if source[0] == "estimate":
        return _from_natural(measure, columns, study, level)
    yi = columns["yi"]
    refuse(study, ~np.isfinite(yi), lambda i: f"yi = {yi[i]:g} is not an effect: it must be finite.")
    _refuse_natural(measure, columns, study)
    scale = f"yi was taken as it stands, on the analysis scale ({measure.analysis_label})"
    if source[1] == "sei":
        sei = columns["sei"]
        refuse(
            study,
            ~(np.isfinite(sei) & (sei > 0)),
            lambda i: f"sei = {sei[i]:g} is not a standard error: it must be finite and > 0.",
        )
        _refuse_contradiction(columns, study)
        _warn_other_estimate(measure, columns, study)
        return yi, sei, f"{scale}, with the standard errors given"
    if source[1] == "vi":
        return yi, se_from_variance(columns["vi"], study=study), f"{scale}; standard errors are the square roots of vi"
    low, high = columns["ci_low"], columns["ci_high"]
    sei = se_from_ci(low, high, estimate=yi, level=level, study=study)
    return yi, sei, f"{scale}; standard errors are from the {level:.0%} confidence intervals"


def _from_o_e(columns: Mapping[str, Array], study: Sequence[str]) -> tuple[Array, Array, str]:
    o_e, v = columns["o_e"], columns["v_o_e"]
    refuse(study, ~np.isfinite(o_e), lambda i: f"o_e = {o_e[i]:g}: observed minus expected events must be finite.")
    refuse(study, ~(np.isfinite(v) & (v > 0)), lambda i: f"v_o_e = {v[i]:g}: the variance of O - E must be > 0.")
    return o_e / v, 1 / np.sqrt(v), "effects are (O - E) / V with standard errors 1 / sqrt(V)"


def _from_natural(
    measure: Measure, columns: Mapping[str, Array], study: Sequence[str], level: float
) -> tuple[Array, Array, str]:
    """Bring natural-scale estimates and their limits to the analysis scale."""
    x, low, high = (columns[name] for name in ("estimate", "ci_low", "ci_high"))
    if measure.scale.needs_n:
        raise DataError(
            f"{measure.name} cannot be made from estimates: its scale depends on each study's size. Give the counts."
        )
    for name, values in (("estimate", x), ("ci_low", low), ("ci_high", high)):
        _refuse_outside(measure, name, values, study)
    refuse(
        study,
        ~((low < x) & (x < high)),
        lambda i: f"the estimate {x[i]:g} is outside its interval {low[i]:g} to {high[i]:g}.",
    )
    y, a, b = (measure.from_natural(v) for v in (x, low, high))
    allowance = rounding(x, low, high, measure.from_natural)
    warn_asymmetric(study, y, a, b, allowance=allowance, scale=measure.analysis_label)
    moved = "" if measure.scale is IDENTITY else f" and were brought to the analysis scale ({measure.analysis_label})"
    rule = (
        f"estimates and {level:.0%} confidence limits were taken from the table{moved}; "
        "standard errors are from the width of the intervals"
    )
    return y, (b - a) / (2 * float(quantile(level))), rule


def _refuse_outside(measure: Measure, name: str, values: Array, study: Sequence[str]) -> None:
    # The ends of the scale are infinite on the analysis scale (a ratio of 0, a proportion of 1).
    low, high = measure.scale.low, measure.scale.high
    bad = ~(np.isfinite(values) & (values > low) & (values < high))
    hint = " If it is a logarithm, its column is yi (or say columns={'yi': ...})." if measure.ratio else ""
    refuse(
        study,
        bad,
        lambda i: (
            f"{name} = {values[i]:g} is no {measure.label.lower()}: it must be strictly between {low:g} and {high:g}."
            f"{hint}"
        ),
    )


def _refuse_contradiction(columns: Mapping[str, Array], study: Sequence[str]) -> None:
    """Raise when a table's ``sei`` and ``vi`` cannot both be right, as after mistaking one for the other."""
    if "vi" not in columns:
        return
    sei, vi = columns["sei"], columns["vi"]
    # 2% covers the rounding of either; a variance taken for a standard error is off by a factor of sei.
    refuse(
        study,
        np.isfinite(vi) & (np.abs(sei**2 - vi) > 0.02 * sei**2),
        lambda i: (
            f"sei = {sei[i]:g} and vi = {vi[i]:g} contradict each other: vi must be sei squared ({sei[i] ** 2:g})."
        ),
    )


def _warn_other_estimate(measure: Measure, columns: Mapping[str, Array], study: Sequence[str]) -> None:
    """Warn when the table's natural-scale estimate is not the one behind ``yi``."""
    if "estimate" not in columns or measure.scale.needs_n:
        return
    x, yi, sei = columns["estimate"], columns["yi"], columns["sei"]
    usable = np.isfinite(x) & (x > measure.scale.low) & (x < measure.scale.high)
    if not usable.any():
        return
    x = np.where(usable, x, x[usable][0])
    expected = measure.from_natural(x)
    # A tenth of a standard error, beyond the rounding of the printed estimate, is another number.
    off = usable & (np.abs(yi - expected) > 0.1 * sei + 2 * rounding(x, x, x, measure.from_natural))
    if off.any():
        names = ", ".join(label for label, is_off in zip(study, off, strict=True) if is_off)
        warnings.warn(
            f"yi of {names} is not the {measure.analysis_label} of the estimate beside it in the table. yi was used; "
            "check which of the two is right, and that the arms are in the same order.",
            DataWarning,
            stacklevel=2,
        )


def looks_natural(yi: Array, low: Array, high: Array) -> NDArray[np.bool_]:
    """Return which effects, said to be logs, are ratios by the evidence of their interval.

    An interval of a log ratio is symmetric about it. One that is clearly asymmetric, yet symmetric
    once logs are taken, shows that the numbers are ratios. Narrow intervals are symmetric on both scales
    and show nothing.
    """
    positive = (low > 0) & (low < yi) & (yi < high)
    y, a, b = (np.where(positive, v, w) for v, w in ((yi, 2.0), (low, 1.0), (high, 3.0)))
    off = np.abs(y - (a + b) / 2) - 2 * rounding(y, a, b, lambda v: v)
    log_y, log_a, log_b = np.log(y), np.log(a), np.log(b)
    return np.asarray(positive & (off > 0.15 * (b - a) / 2) & (asymmetry(log_y, log_a, log_b) < 0.08))


def _refuse_natural(measure: Measure, columns: Mapping[str, Array], study: Sequence[str]) -> None:
    """Raise when ``yi`` of a ratio measure is the ratio itself and not its log."""
    if not measure.ratio:
        return
    yi = columns["yi"]
    advice = (
        f"{measure.name} is pooled as {measure.analysis_label}. Name the column 'estimate' and give its confidence "
        "limits (ci_low, ci_high), or take logs of the estimate first."
    )
    if "estimate" in columns:
        x = columns["estimate"]
        with np.errstate(invalid="ignore", divide="ignore"):
            same = np.isclose(yi, x, rtol=1e-9) & ~np.isclose(yi, np.log(x), rtol=1e-3, atol=1e-3)
        refuse(study, same, lambda i: f"yi = {yi[i]:g} is the ratio itself, not its log. {advice}")
    elif "ci_low" in columns and "ci_high" in columns:
        low, high = columns["ci_low"], columns["ci_high"]
        refuse(
            study,
            looks_natural(yi, low, high),
            lambda i: (
                f"yi = {yi[i]:g} with the interval {low[i]:g} to {high[i]:g} is a ratio, not its log: the interval is "
                f"symmetric only on the log scale. {advice}"
            ),
        )


__all__ = ["MEASURES", "looks_natural", "ready_estimates", "refuse_another_measure", "source_of"]
