"""Everything that a forest plot shows, as numbers and texts: of a comparison, or by subgroup."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri

from bayesmeta.compare.caveats import reconstructed
from bayesmeta.compare.observed import observed_cells, observed_effect, observed_heads
from bayesmeta.compare.subgroup_values import Subgroup, Subgroups, test_words
from bayesmeta.compare.table import Shown, daggered, natural_text
from bayesmeta.compare.values import Comparison, Row
from bayesmeta.effects import MEASURES
from bayesmeta.errors import DataError, unknown
from bayesmeta.events import Benefit
from bayesmeta.frequentist.result import PooledFit
from bayesmeta.posterior import Marginal, Posterior
from bayesmeta.studies import EffectSizes, PublishedResult
from bayesmeta.values import Interval
from bayesmeta.words import DAGGER, number, p_value, percent, small_number

type Risk = Mapping[str, str | Mapping[str, str]]
# What risk of bias is called in RoB 1, RoB 2 and ROBINS-I, and the mark that is drawn for it.
JUDGEMENTS = {
    "low": "+",
    "some concerns": "-",
    "moderate": "-",
    "high": "x",
    "serious": "x",
    "critical": "!",
    "unclear": "?",
    "no information": "?",
    "": "",
}


@dataclass(frozen=True, slots=True)
class ForestStudy:
    """One study as drawn: every number on the analysis scale, every text as printed.

    Parameters
    ----------
    treatment, control
        What was counted in each arm; the first holds that of a study of one arm.
    risk
        Judgements of risk of bias, one a domain.
    """

    label: str
    treatment: str
    control: str
    y: float
    low: float
    high: float
    raw: str
    weight: float | None
    shrunken: float | None
    shrunken_low: float | None
    shrunken_high: float | None
    shrunken_text: str
    adjusted: bool
    risk: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ForestPooled:
    """One pooled answer as drawn: a diamond and, where there is one, its prediction interval."""

    label: str
    kind: str
    mu: float
    interval: Interval
    words: str
    prediction: Interval | None
    prediction_words: str


@dataclass(frozen=True, slots=True)
class ForestGroup:
    """The studies of one subgroup with its pooled answers; all studies of a plot without subgroups, unnamed."""

    label: str
    studies: tuple[ForestStudy, ...]
    pooled: tuple[ForestPooled, ...] = ()
    heterogeneity: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class ForestData:
    """Everything a forest plot shows.

    Parameters
    ----------
    groups
        The studies, by subgroup.
    pooled
        Answers of all studies.
    heterogeneity, test
        Of all studies, and between subgroups, in words; empty where there is none.
    favours
        What is written left and right below the axis; None where the direction of benefit is not known.
    heads
        Headings of what was counted.
    domains
        Domains of risk of bias.
    """

    groups: tuple[ForestGroup, ...]
    pooled: tuple[ForestPooled, ...]
    measure: str
    level: float
    null: float | None
    limits: tuple[float, float]
    footnotes: tuple[str, ...]
    heterogeneity: str = ""
    test: str = ""
    favours: tuple[str, str] | None = None
    heads: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()

    @property
    def studies(self) -> tuple[ForestStudy, ...]:
        """All studies, in the order they are drawn."""
        return tuple(s for group in self.groups for s in group.studies)


def forest_data(
    source: Comparison | Subgroups,
    *,
    favours: tuple[str, str] | None = None,
    risk_of_bias: Risk | None = None,
) -> ForestData:
    """Return the numbers and texts of a forest plot.

    Parameters
    ----------
    source
        A comparison: its rows on all studies are the diamonds; weights are the first classical row's, shrunken
        effects the first Bayesian row's. Or what `bayesmeta.subgroups` returns: diamonds of each subgroup and of all.
    favours
        What stands below the left and the right half of the axis; "favours treatment" and "favours control" by the
        direction of benefit when not given, nothing without a direction.
    risk_of_bias
        Study to its judgement ("low", "some concerns", "high", "unclear", ...), or to one for each domain.

    Raises
    ------
    DataError
        If `source` is neither of these, or a judgement or study is not known.
    """
    if not isinstance(source, Comparison | Subgroups):
        raise DataError(f"forest draws what bm.compare(...) or bm.subgroups(...) returns, not {type(source).__name__}.")
    domains, risk = _risk(source.effects, risk_of_bias)
    if isinstance(source, Subgroups):
        groups, pooled = _by_subgroup(source, risk)
        fit, weights, test = source.overall.classical.source, source.overall.classical.method, test_words(source)
    else:
        rows = [r for r in source.rows if not r.without and r.mu is not None and r.interval is not None]
        groups, pooled, fit, weights = _of_comparison(source, rows, risk)
        test = ""
    null = MEASURES[source.measure].null
    studies = tuple(s for group in groups for s in group.studies)
    every = (*(p for group in groups for p in group.pooled), *pooled)
    return ForestData(
        groups=groups,
        pooled=pooled,
        measure=source.measure,
        level=source.level,
        null=null,
        limits=_limits(studies, every, null),
        footnotes=_footnotes(source.effects, studies, weights if isinstance(fit, PooledFit) else "", risk),
        heterogeneity=heterogeneity_words(fit) if isinstance(fit, PooledFit) else "",
        test=test,
        favours=_favours(favours, source.benefit, null),
        heads=observed_heads(source.effects),
        domains=domains,
    )


def _of_comparison(
    comparison: Comparison, rows: list[Row], risk: Mapping[str, tuple[str, ...]]
) -> tuple[tuple[ForestGroup, ...], tuple[ForestPooled, ...], PooledFit | None, str]:
    effects = comparison.effects
    first = next((r for r in rows if isinstance(r.source, PooledFit)), None)
    fit = first.source if first is not None and isinstance(first.source, PooledFit) else None
    posterior = next((r.source for r in rows if isinstance(r.source, Posterior)), None)
    theta = {} if posterior is None else posterior.theta
    studies = tuple(_study(i, effects, fit, theta, comparison.level, risk) for i in range(effects.k))
    pooled = tuple(_pooled(row, Shown(row, comparison)) for row in rows)
    return (ForestGroup("", studies),), pooled, fit, "" if first is None else first.method


def _by_subgroup(
    found: Subgroups, risk: Mapping[str, tuple[str, ...]]
) -> tuple[tuple[ForestGroup, ...], tuple[ForestPooled, ...]]:
    effects, overall = found.effects, found.overall.classical.source
    fit = overall if isinstance(overall, PooledFit) else None
    groups = []
    for group in found.groups:
        own = group.bayesian.source
        theta = own.theta if isinstance(own, Posterior) else {}
        classical = group.classical.source
        studies = tuple(_study(effects.study.index(s), effects, fit, theta, found.level, risk) for s in group.study)
        alone = found.tau == "separate" and isinstance(classical, PooledFit) and classical.k > 1
        said = heterogeneity_words(classical) if alone and isinstance(classical, PooledFit) else ""
        groups.append(ForestGroup(group.label, studies, _group_pooled(found, group), said))
    return tuple(groups), _group_pooled(found, found.overall)


def _group_pooled(found: Subgroups, group: Subgroup) -> tuple[ForestPooled, ...]:
    made = []
    for row, marginal in ((group.classical, None), (group.bayesian, group.mu)):
        assert row.mu is not None
        assert row.interval is not None
        shown = natural_text(found.effects, marginal)
        prediction = row.prediction if group is found.overall else None
        made.append(
            ForestPooled(
                label=f"{group.label}, {row.method}",
                kind=row.kind,
                mu=row.mu,
                interval=row.interval,
                words=f"{shown.figure(row.mu, 0.5)} [{shown.limits(row.interval)}]",
                prediction=prediction,
                prediction_words="" if prediction is None else f"[{shown.limits(prediction)}]",
            )
        )
    return tuple(made)


def heterogeneity_words(fit: PooledFit) -> str:
    """Return tau², Q with its test, and I² of a fit, as a forest plot has them below the studies."""
    if fit.Q_df < 1:
        return ""
    p = p_value(fit.Q_p)
    tau2 = "" if fit.tau2 is None or not fit.predicts else f"tau² = {small_number(fit.tau2)}, "
    said = p if p.startswith("<") else f"= {p}"
    return f"Heterogeneity: {tau2}Q = {number(fit.Q)}, df = {fit.Q_df} (p {said}), I² = {percent(fit.I2)}"


def _favours(given: tuple[str, str] | None, benefit: Benefit | None, null: float | None) -> tuple[str, str] | None:
    if given is not None or benefit is None or null is None:
        return given
    sides = ("favours treatment", "favours control")
    return sides if benefit == "lower" else (sides[1], sides[0])


def _risk(effects: EffectSizes, given: Risk | None) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """Return domains, and study to a judgement in each; empty where none are given."""
    if not given:
        return (), {}
    strange = [s for s in given if s not in effects.study]
    if strange:
        raise unknown("study in risk_of_bias:", strange[0], effects.study, DataError)
    each = {s: {"Overall": r} if isinstance(r, str) else dict(r) for s, r in given.items()}
    domains = tuple(dict.fromkeys(domain for r in each.values() for domain in r))
    table = {s: tuple(str(each.get(s, {}).get(d, "")).strip().lower() for d in domains) for s in effects.study}
    for judged in table.values():
        for judgement in judged:
            if judgement not in JUDGEMENTS:
                raise unknown("judgement in risk_of_bias:", judgement, [j for j in JUDGEMENTS if j], DataError)
    return domains, table


def _study(
    i: int,
    effects: EffectSizes,
    fit: PooledFit | None,
    thetas: Mapping[str, Marginal],
    level: float,
    risk: Mapping[str, tuple[str, ...]],
) -> ForestStudy:
    label, y, half = effects.study[i], float(effects.yi[i]), float(ndtri(0.5 + level / 2) * effects.sei[i])
    raw = Interval(y - half, y + half, level, "confidence", "wald")
    theta = thetas.get(label)
    inside = None if theta is None else theta.eti(level)
    marked = reconstructed(effects)
    mark = DAGGER if label in marked else ""
    cells = (*(f"{cell}{mark}" for cell in observed_cells(effects, i)), "", "")
    seen = observed_effect(effects, i)
    text = _estimate(effects, None, y, raw)
    return ForestStudy(
        label=daggered(label, marked),
        treatment=cells[0],
        control=cells[1],
        y=y,
        low=raw.low,
        high=raw.high,
        raw=text if seen is None else f"{number(seen) if seen else '0'} [{natural_text(effects, None).limits(raw)}]",
        weight=_weight(fit, label),
        shrunken=None if theta is None else theta.median(),
        shrunken_low=None if inside is None else inside.low,
        shrunken_high=None if inside is None else inside.high,
        shrunken_text="" if theta is None or inside is None else _estimate(effects, theta, theta.median(), inside),
        adjusted=any(a.study == label for a in effects.adjusted),
        risk=risk.get(label, ()),
    )


def _weight(fit: PooledFit | None, label: str) -> float | None:
    if fit is None or label not in fit.study:
        return None
    return float(fit.weights[fit.study.index(label)])


def _estimate(effects: EffectSizes, marginal: Marginal | None, value: float, interval: Interval) -> str:
    printed = natural_text(effects, marginal)
    return f"{printed.figure(value, 0.5)} [{printed.limits(interval)}]"


def _pooled(row: Row, shown: Shown) -> ForestPooled:
    assert row.mu is not None
    assert row.interval is not None
    prediction, source = row.prediction, row.source
    estimated = f"{shown.estimate()} [{shown.limits('mu', row.interval)}]"
    words = _printed(source) if isinstance(source, PublishedResult) else estimated
    return ForestPooled(
        label=row.method,
        kind=row.kind,
        mu=row.mu,
        interval=row.interval,
        words=words,
        prediction=prediction,
        prediction_words="" if prediction is None else f"[{shown.limits('theta_new', prediction)}]",
    )


def _printed(published: PublishedResult) -> str:
    """Return a published result with the digits it was printed with."""
    return f"{published.estimate} [{published.low} to {published.high}]"


def _limits(
    studies: tuple[ForestStudy, ...], pooled: tuple[ForestPooled, ...], null: float | None
) -> tuple[float, float]:
    """Return the drawn range: all answers whole, a wide study's interval cut rather than everything squeezed."""
    core = [s.y for s in studies] + [x for s in studies for x in (s.shrunken_low, s.shrunken_high) if x is not None]
    core += [] if null is None else [null]
    core += [x for p in pooled for i in (p.interval, p.prediction) if i is not None for x in i if np.isfinite(x)]
    low, high = min(core), max(core)
    room = 0.25 * (high - low) or 1.0
    ends = [x for s in studies for x in (s.low, s.high)]
    margin = 0.2 * room
    return max(low - room, min([low, *ends])) - margin, min(high + room, max([high, *ends])) + margin


def _footnotes(
    effects: EffectSizes, studies: tuple[ForestStudy, ...], weights: str, risk: Mapping[str, Any]
) -> tuple[str, ...]:
    notes = [f"weights: {weights}"] if weights else []
    if reconstructed(effects):
        notes.append("† counts reconstructed, not printed in a source")
    if any(s.adjusted for s in studies):
        notes.append("* zero cell, a constant was added before pooling; the counts are shown as observed")
    if risk:
        used = {j: mark for j, mark in JUDGEMENTS.items() if j and any(j in judged for judged in risk.values())}
        notes.append("risk of bias: " + ", ".join(f"{mark} {judgement}" for judgement, mark in used.items()))
    return tuple(notes)
