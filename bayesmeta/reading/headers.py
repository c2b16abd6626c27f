"""What a header says beside what its column is: the level of an interval, the measure, a percentage."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from bayesmeta.errors import DataError, option
from bayesmeta.reading.names import ALIASES, normalise

_LEVEL = re.compile(r"(?<!\d)(80|90|95|98|99)(?!\d)")
"""Levels that intervals are printed at; in the header of a limit no other meaning of such a number is known."""


def canonical_name(header: str) -> str | None:
    """Return bayesmeta's name for a column with that header, None where it has none; any level names a limit.

    Examples
    --------
    >>> canonical_name("events.t"), canonical_name("90% CI lower"), canonical_name("ucl99"), canonical_name("age")
    ('events_treatment', 'ci_low', 'ci_high', None)
    """
    name = normalise(header)
    return ALIASES.get(name) or ALIASES.get(_LEVEL.sub("95", name))


def level_of(headers: Iterable[str]) -> float | None:
    """Return the level that the headers of an interval state, None where they state none.

    Raises
    ------
    DataError
        If two of them state different levels.

    Examples
    --------
    >>> level_of(["OR (90% CI)"]), level_of(["lower", "upper"])
    (0.9, None)
    """
    stated = {header: found[1] for header in headers if (found := _LEVEL.search(normalise(header)))}
    if len({*stated.values()}) > 1:
        raise DataError(
            f"The limits of one interval have two levels: {' and '.join(map(repr, stated))}. State the one that holds: "
            f"{option('ci_level', 0.95)}."
        )
    return next((int(level) / 100.0 for level in stated.values()), None)


_MEASURES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **dict.fromkeys(("or", "odds_ratio", "odds_ratios"), ("OR", "PETO")),
        # "Relative risk" and RR are said of rates, too.
        **dict.fromkeys(("rr", "risk_ratio", "relative_risk", "risk_ratios", "relative_risks"), ("RR", "IRR")),
        **dict.fromkeys(("hr", "hazard_ratio", "hazard_ratios"), ("HR",)),
        **dict.fromkeys(("irr", "rate_ratio", "incidence_rate_ratio"), ("IRR",)),
        **dict.fromkeys(("rd", "ard", "risk_difference", "absolute_risk_difference"), ("RD",)),
        **dict.fromkeys(("md", "wmd", "mean_difference", "mean_differences", "weighted_mean_difference"), ("MD",)),
        **dict.fromkeys(
            (
                *("smd", "g", "hedges_g", "cohens_d", "cohen_d", "std_mean_difference"),
                *("standardized_mean_difference", "standardised_mean_difference"),
            ),
            ("SMD", "SMDH"),
        ),
    }
)
_BESIDE = {
    *("ci", "cri", "confidence", "credible", "interval", "intervals", "limits", "log", "ln", "estimate", "estimates"),
    *("adjusted", "adj", "aor", "crude", "unadjusted", "pooled", "natural", "point", "value", "95", "90", "99", "80"),
}
_LOGS = re.compile(r"^(log|ln)(or|rr|hr|irr)$")


def measures_of(header: str) -> tuple[str, ...]:
    """Return the measures that a column of effects may hold by its name; empty where the name says nothing.

    Examples
    --------
    >>> measures_of("MD (95% CI)"), measures_of("logOR"), measures_of("effect")
    (('MD',), ('OR', 'PETO'), ())
    """
    words = [word for word in normalise(header).split("_") if word not in _BESIDE]
    return _MEASURES.get(_LOGS.sub(r"\2", "_".join(words)), ())


def held_measures(mapping: Mapping[str, str], stated: Mapping[str, str]) -> tuple[str, ...]:
    """Return what the effects of a table are by the name of their column, where the user has not stated the column."""
    found = [mapping[name] for name in ("yi", "estimate") if name in mapping]
    return measures_of(found[0]) if found and not {"yi", "estimate"} & stated.keys() else ()


def is_percentage(header: str) -> bool:
    """Return whether a header says that its column is a percentage or a proportion.

    Examples
    --------
    >>> is_percentage("events_t (%)"), is_percentage("event pct treated"), is_percentage("events_t")
    (True, True, False)
    """
    words = {*normalise(header).split("_")}
    return "%" in header or bool(words & {"pct", "percent", "percentage", "perc", "proportion", "prop"})


_PEOPLE = ("events", "n", "nonevents")


def refuse_percentages(mapping: Mapping[str, str], stated: Mapping[str, str], name: str) -> None:
    """Raise a DataError where a column of people or events is a percentage by its header, and the user did not say it.

    Parameters
    ----------
    mapping, stated
        bayesmeta's name to header, as found and as the user stated it.
    name
        Of the file.
    """
    for canonical, header in mapping.items():
        people = canonical.partition("_")[0] in _PEOPLE and stated.get(canonical) != header
        if people and is_percentage(header):
            raise DataError(
                f"{name}: column {header!r} is a percentage by its name, and would be read as numbers of people "
                f"({canonical}). Give the numbers; if it holds them, say so: "
                f"{option('columns', header, key=canonical)}."
            )
