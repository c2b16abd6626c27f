"""The door to a comparison: data in, classical and Bayesian rows out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bayesmeta.compare.caveats import caveats, reconstructed
from bayesmeta.compare.rows import ENGINE_LABELS, Plan, make_rows, narrow_hksj, published_row
from bayesmeta.compare.values import Absent, Benefit, Comparison
from bayesmeta.effects import effect_sizes
from bayesmeta.errors import ModelError, unknown
from bayesmeta.studies import EffectSizes, PublishedResult, StudyTable, TwoByTwo

type Data = StudyTable | TwoByTwo | EffectSizes


def compare(
    data: Data,
    *,
    measure: str | None = None,
    level: float = 0.95,
    benefit: Benefit | None = None,
    published: PublishedResult | Sequence[PublishedResult] | None = None,
    model: str | Sequence[str] = "normal_normal",
    priors: Mapping[str, Any] | None = None,
    engine: str = "auto",
    seed: int | None = None,
    add: float | None = None,
    to: str = "only0",
    common_effect: bool = False,
    without: Sequence[str] | None = None,
    sampling: Mapping[str, Any] | None = None,
) -> Comparison:
    """Return the published, classical and Bayesian answers side by side.

    Parameters
    ----------
    data
        Study table, counts or effect sizes.
    measure
        Effect measure; ``"OR"`` when not given, or the one that `data` already has.
    level
        Of every interval.
    benefit
        Direction that is a benefit on the scale of the measure; without it no P(benefit) is computed.
    published
        Results to print beside ours; those that `data` carries when not given.
    model
        Model name, or several: the first is the primary one.
    priors
        Parameter to prior; the model's defaults otherwise.
    engine
        ``"auto"``, ``"quadrature"``, ``"nuts"`` or ``"both"``.
    seed
        Of the sampler.
    add, to
        Zero-cell rule of the effect sizes; without `add`, what the measure adds by default.
    common_effect
        Whether to add the Mantel-Haenszel common-effect row.
    without
        Studies to repeat the analysis without; those with reconstructed counts when not given.
    sampling
        Options of the NUTS engine, e.g. ``{"draws": 2000, "progress": ...}``.

    Raises
    ------
    DataError
        If the data cannot be turned into effect sizes.
    ModelError
        If a name is unknown, or the priors give no proper posterior with these data.
    ConvergenceError
        If a posterior was not reached with the accuracy asked for.
    """
    if engine not in ("both", "auto", *ENGINE_LABELS):
        raise unknown("engine", engine, ["both", "auto", *ENGINE_LABELS])
    if benefit not in (None, "higher", "lower"):
        raise unknown("benefit", benefit, ["higher", "lower"])
    plan = Plan(level, benefit, _tuple(model), priors, _engines(engine), seed, common_effect, dict(sampling or {}))
    effects, counts = _effects_of(data, measure, add, to)
    known = _published_of(data, published)
    rows, absent = make_rows(effects, counts, plan, ())
    dropped = tuple(without) if without is not None else reconstructed(effects)
    if dropped and len(dropped) < effects.k:
        fewer = replace(plan, engines=plan.engines[:1], common_effect=False)
        some = make_rows(effects.drop(dropped), None if counts is None else counts.drop(dropped), fewer, dropped)
        rows, absent = rows + some[0], absent + some[1]
    elif dropped:
        absent = (*absent, Absent("All methods", "no study would be left", dropped))
    return Comparison(
        rows=(*(published_row(p, effects) for p in known), *rows),
        absent=absent,
        measure=effects.measure,
        level=level,
        benefit=benefit,
        outcome=data.outcome if isinstance(data, StudyTable) else None,
        effects=effects,
        caveats=(*caveats(effects), *narrow_hksj(rows)),
    )


def _tuple(model: str | Sequence[str]) -> tuple[str, ...]:
    return (model,) if isinstance(model, str) else tuple(model)


def _engines(engine: str) -> tuple[str, ...]:
    return ("quadrature", "nuts") if engine == "both" else (engine,)


def _effects_of(data: Data, measure: str | None, add: float | None, to: str) -> tuple[EffectSizes, TwoByTwo | None]:
    if isinstance(data, EffectSizes):
        if measure is not None and measure != data.measure:
            raise ModelError(
                f"The effect sizes are {data.measure}, not {measure}: leave measure out or give the counts."
            )
        return data, data.counts
    effects = effect_sizes(data, measure=measure or "OR", add=add, to=to)
    return effects, effects.counts


def _published_of(
    data: Data, published: PublishedResult | Sequence[PublishedResult] | None
) -> tuple[PublishedResult, ...]:
    if isinstance(published, PublishedResult):
        return (published,)
    if published is not None:
        return tuple(published)
    return data.published if isinstance(data, StudyTable) else ()
