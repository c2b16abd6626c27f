"""`reporting_bias`: what every method says of missing results, beside the unadjusted estimate and what it supposes."""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bayesmeta.bias.averages import BiasAveraged, bias_average
from bayesmeta.effects import find_measure
from bayesmeta.errors import BayesMetaError, unknown
from bayesmeta.frequentist import (
    copas,
    egger,
    limit_meta,
    p_uniform_star,
    pet_peese,
    pool,
    publication_ratio,
    selection,
    trim_and_fill,
)
from bayesmeta.frequentist.small_study import MINIMUM_K, check_level
from bayesmeta.posterior import Posterior
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Interval
from bayesmeta.words import counted, p_value

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 80
"""Columns of a terminal."""

type Direction = Literal["greater", "less"]


@dataclass(frozen=True, slots=True, eq=False)
class AdjustedRow:
    """One estimate of the mean effect.

    Parameters
    ----------
    method
        Name of the method.
    school
        ``"classical"`` or ``"Bayesian"``.
    supposes
        What it supposes of how results came to be reported.
    mu, interval
        Estimate and interval, analysis scale; None where it could not be computed.
    why_not
        The reason then; empty otherwise.
    """

    method: str
    school: str
    supposes: str
    mu: float | None
    interval: Interval | None
    why_not: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class ReportingBias:
    """What the data say of missing results, method by method.

    Parameters
    ----------
    measure, k, direction, level
        Of the effects, their number, which results are supposed to be favoured, and of the intervals.
    rows
        Estimates: the unadjusted ones first.
    average
        The average over models of reporting; None where it was not asked for.
    sentences
        What to say of it, and of the tests.
    """

    measure: str
    k: int
    direction: str
    level: float
    rows: tuple[AdjustedRow, ...]
    average: Posterior | None
    sentences: tuple[str, ...]

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row a method; analysis scale."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "method": row.method,
                    "school": row.school,
                    "supposes": row.supposes,
                    "mu": row.mu,
                    "low": None if row.interval is None else row.interval.low,
                    "high": None if row.interval is None else row.interval.high,
                    "kind": None if row.interval is None else row.interval.kind,
                    "why_not": row.why_not,
                }
                for row in self.rows
            ]
        )

    def cells(self) -> list[tuple[str, str, str, str]]:
        """Return method, estimate, interval and what the method supposes, as texts on the natural scale."""
        natural = self._natural()
        found = []
        for row in self.rows:
            estimate = "-" if row.mu is None else f"{natural(row.mu):.3g}"
            limits = "-"
            if row.interval is not None:
                short = "conf." if row.interval.kind == "confidence" else "cred."
                low, high = sorted((natural(row.interval.low), natural(row.interval.high)))
                limits = f"{low:.3g} to {high:.3g} {short}"
            found.append((row.method, estimate, limits, row.why_not or row.supposes))
        return found

    def _natural(self) -> Callable[[float], float]:
        return _natural_scale(self.measure)

    def __str__(self) -> str:
        cells = [("Method", self.measure, f"{self.level:.0%} interval", "supposes"), *self.cells()]
        widths = [max(len(row[j]) for row in cells) for j in range(3)]
        title = f"Reporting bias, {counted(self.k, 'study')}, measure {self.measure}; results {self.direction} favoured"
        lines = [title]
        if self.k < MINIMUM_K:
            said = (
                f"Not assessed: with fewer than {MINIMUM_K} studies nothing can tell missing results from chance "
                "(Sterne et al. 2011, BMJ 343:d4002). The rows show what each method would make of these data, no more."
            )
            lines.append(textwrap.fill(said, WIDTH))
        room = max(WIDTH - sum(widths) - 6, 20)
        for method, estimate, limits, supposes in cells:
            head = f"{method:{widths[0]}}  {estimate:>{widths[1]}}  {limits:>{widths[2]}}  "
            first, *rest = textwrap.wrap(supposes, room)
            lines += [head + first, *(" " * len(head) + line for line in rest)]
        return "\n".join([*lines, *(textwrap.fill(sentence, WIDTH) for sentence in self.sentences)])


def _natural_scale(measure: str) -> Callable[[float], float]:
    """Return what turns analysis-scale values into those that people read."""
    found = find_measure(measure)
    if found.scale.needs_n:
        return lambda value: value
    return lambda value: float(found.to_natural(value))


def reporting_bias(
    effects: EffectSizes,
    *,
    direction: Direction,
    ensemble: str | None = "psma",
    scale: float = 1.0,
    level: float = 0.95,
) -> ReportingBias:
    """Return what every method says of missing results, side by side with the unadjusted estimates.

    Parameters
    ----------
    effects
        Independent effects on the analysis scale, without moderators.
    direction
        Whether results ``"greater"`` or ``"less"`` than 0 are favoured. It has no default: the data cannot say it.
    ensemble
        Of :func:`bias_average`; None for the classical methods alone.
    scale
        Unit of its priors, as there.
    level
        Of the intervals.

    Raises
    ------
    ModelError
        If an option is unknown.
    DataError
        With fewer than 2 studies, several rows a study, or moderators.
    """
    check_level(level)
    if direction not in ("greater", "less"):
        raise unknown("direction", direction, ("greater", "less"))
    plain = pool(effects, method="REML", level=level)
    rows = [AdjustedRow("Unadjusted, REML", "classical", "every result was reported", plain.mu, plain.ci)]
    rows += [_row(*method) for method in _classical(effects, direction, level)]
    average = None
    if ensemble is not None:
        average = bias_average(effects, direction=direction, ensemble=ensemble, scale=scale)
        rows += _bayesian(average.details, level)
    return ReportingBias(
        effects.measure,
        effects.k,
        direction,
        level,
        tuple(rows),
        average,
        tuple(_sentences(effects, direction, average)),
    )


type Method = tuple[str, str, Callable[[], tuple[float, Interval | None]]]


def _classical(effects: EffectSizes, direction: Direction, level: float) -> list[Method]:
    side: Literal["left", "right"] = "left" if direction == "greater" else "right"

    def filled() -> tuple[float, Interval | None]:
        found = trim_and_fill(effects, side=side, level=level)
        return found.mu, found.fit.ci

    def extrapolated() -> tuple[float, Interval | None]:
        found = pet_peese(effects, level=level)
        chosen = found.pet if found.chosen == "PET" else found.peese
        return chosen.mu, chosen.ci

    def stepped() -> tuple[float, Interval | None]:
        found = selection(effects, side=direction, steps=(0.025,), level=level)
        return found.mu, found.ci

    def uniform() -> tuple[float, Interval | None]:
        found = p_uniform_star(effects, side=direction, level=level)
        return found.mu, found.ci

    def least_selection() -> tuple[float, Interval | None]:
        found = copas(effects, direction=direction, level=level)
        chosen = found.accepted or found.path[-1]
        return chosen.mu, chosen.ci

    def limit() -> tuple[float, Interval | None]:
        found = limit_meta(effects, level=level)
        return found.mu, found.ci

    def worst() -> tuple[float, Interval | None]:
        found = publication_ratio(effects, direction=direction, level=level).worst_case
        if found is None:
            raise BayesMetaError("Every result is significant: nothing is left.")
        return found.mu, found.ci

    return [
        ("Trim-and-fill", "the most extreme results of one side are missing", filled),
        ("PET-PEESE", "small studies exaggerate by their standard error or variance", extrapolated),
        ("Step selection, ML", "p below 0.025 (one-sided) is likelier to be reported", stepped),
        ("p-uniform*", "all significant results are equally likely to be reported", uniform),
        ("Copas, least selection", "large results of small studies are likelier to be published", least_selection),
        ("Limit meta-analysis", "whatever changes with the standard error is bias", limit),
        ("Worst case", "only results that are not significant count", worst),
    ]


def _row(name: str, supposes: str, method: Callable[[], tuple[float, Interval | None]]) -> AdjustedRow:
    try:
        mu, interval = method()
    except BayesMetaError as error:
        # The first sentence says what is missing; what to do instead is the table itself.
        return AdjustedRow(name, "classical", supposes, None, None, str(error).split(". ")[0].rstrip(".") + ".")
    return AdjustedRow(name, "classical", supposes, mu, interval)


_FAMILIES = {
    "none": ("Unadjusted, average", "every result was reported"),
    "weights": ("Weights, average", "significant results are likelier to be reported"),
    "PET": ("PET, average", "small studies exaggerate by their standard error"),
    "PEESE": ("PEESE, average", "small studies exaggerate by their variance"),
}


def _bayesian(details: BiasAveraged, level: float) -> list[AdjustedRow]:
    rows = []
    for bias in dict.fromkeys(member.bias for member in details.members):
        name, supposes = _FAMILIES.get(bias, (bias, "its own model of reporting"))
        mu = details.family(bias).mu
        rows.append(AdjustedRow(name, "Bayesian", supposes, mu.median(), mu.eti(level)))
    whole = details.everything().mu
    rows.append(
        AdjustedRow("All, averaged", "Bayesian", "one of these, weighted by the data", whole.median(), whole.eti(level))
    )
    return rows


def _sentences(effects: EffectSizes, direction: Direction, average: Posterior | None) -> list[str]:
    said = []
    try:
        test = egger(effects)
        said.append(f"{test.name} test for asymmetry: p {p_value(test.p_value)}.")
    except BayesMetaError as error:
        said.append(f"No test for asymmetry: {error}")
    ratio = publication_ratio(effects, direction=direction).s_value
    if ratio is None:
        said.append("No preference for significant results, however strong, would bring the estimate to no effect.")
    elif ratio > 1.0:
        said.append(
            f"Significant results would need to be {ratio:.3g} times as likely to be published to bring the estimate "
            "to no effect."
        )
    if average is not None:
        said.extend(average.details.sentences(_natural_scale(effects.measure), effects.measure))
    said.append(
        "Small-study effects have other causes than missing results: quality, patients, and measures whose standard "
        "error depends on the effect. No row is the corrected answer."
    )
    return said
