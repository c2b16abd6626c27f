"""The door to a comparison: data in, classical and Bayesian rows out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from bayesmeta.compare.caveats import caveats, reconstructed
from bayesmeta.compare.empty_studies import empty_study_caveats
from bayesmeta.compare.observed import Counts, counts_of
from bayesmeta.compare.rows import ENGINE_LABELS, Plan, make_rows, narrow_hksj, outside_tau, published_row
from bayesmeta.compare.values import Absent, Comparison
from bayesmeta.effects import effect_sizes
from bayesmeta.errors import DataError, ModelError, unknown
from bayesmeta.events import Benefit, known_benefit
from bayesmeta.model import Model, load_model
from bayesmeta.studies import EffectSizes, PersonTime, PublishedResult, StudyTable, TwoByTwo
from bayesmeta.words import joined

type Data = StudyTable | TwoByTwo | EffectSizes


def compare(
    data: Data | PersonTime,
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
    drop00: bool = False,
    inestimable: Literal["raise", "exclude"] = "raise",
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
        Effect measure; when not given, the one that `data` already has or that a (first) model of counts is about,
        else ``"OR"``.
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
    add, to, drop00, inestimable
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
        If the data cannot be turned into effect sizes, or have moderators.
    ModelError
        If a name is unknown, the first model is about another measure, or the priors give no proper posterior with
        these data.
    ConvergenceError
        If a posterior was not reached with the accuracy asked for.
    """
    if engine not in ("both", "auto", *ENGINE_LABELS):
        raise unknown("engine", engine, ["both", "auto", *ENGINE_LABELS])
    known_benefit(benefit)
    plan = Plan(level, benefit, _tuple(model), priors, _engines(engine), seed, common_effect, dict(sampling or {}))
    zero = {"add": add, "to": to, "drop00": drop00, "inestimable": inestimable}
    effects, counts = _effects_of(data, measure, load_model(plan.models[0]) if plan.models else None, zero)
    known = _published_of(data, published)
    rows, absent = make_rows(effects, counts, plan, ())
    dropped = tuple(without) if without is not None else reconstructed(effects)
    if dropped and len(dropped) < effects.k:
        fewer = replace(plan, engines=plan.engines[:1], common_effect=False)
        some = make_rows(effects.drop(dropped), None if counts is None else counts.drop(dropped), fewer, dropped)
        rows, absent = rows + some[0], absent + some[1]
    elif dropped:
        absent = (*absent, Absent("All methods", "no study would be left", dropped))
    comparison = Comparison(
        rows=(*(published_row(p, effects) for p in known), *rows),
        absent=absent,
        measure=effects.measure,
        level=level,
        benefit=benefit,
        outcome=data.outcome if isinstance(data, StudyTable) else None,
        effects=effects,
        caveats=(*caveats(effects), *narrow_hksj(rows), *outside_tau(rows)),
    )
    return replace(comparison, caveats=(*comparison.caveats, *empty_study_caveats(comparison, counts, plan)))


def _tuple(model: str | Sequence[str]) -> tuple[str, ...]:
    return (model,) if isinstance(model, str) else tuple(model)


def _engines(engine: str) -> tuple[str, ...]:
    return ("quadrature", "nuts") if engine == "both" else (engine,)


def _check_rows(effects: EffectSizes, model: Model | None) -> None:
    """Refuse dependent rows beside a model, and classical rows, that take one row a study."""
    if model is None or not model.takes_dependent_rows:
        effects.check_independent("compare")


def _effects_of(
    data: Data | PersonTime, measure: str | None, model: Model | None, zero: Mapping[str, Any]
) -> tuple[EffectSizes, Counts]:
    """Return the effect sizes and the counts behind them, on a measure that the primary model is about."""
    own = None if model is None else model.own_measure
    if model is not None:
        model.check_measure((data.measure if isinstance(data, EffectSizes) else measure) or own or "OR")
    if isinstance(data, EffectSizes):
        if measure is not None and measure != data.measure:
            raise ModelError(
                f"The effect sizes are {data.measure}, not {measure}: leave measure out or give the counts."
            )
        _check_rows(data, model)
        if data.moderators:
            raise DataError(
                f"Rows side by side are about one mean effect, and these effects have moderators "
                f"({joined(data.moderators)}): leave them out, or set bm.fit(effects, 'meta_regression') beside "
                "bm.frequentist.pool(effects)."
            )
        return data, counts_of(data)
    effects = effect_sizes(data, measure=measure or own or "OR", **zero)
    _check_rows(effects, model)
    return effects, counts_of(effects)


def _published_of(
    data: Data | PersonTime, published: PublishedResult | Sequence[PublishedResult] | None
) -> tuple[PublishedResult, ...]:
    if isinstance(published, PublishedResult):
        return (published,)
    if published is not None:
        return tuple(published)
    return data.published if isinstance(data, StudyTable) else ()
