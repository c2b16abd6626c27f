"""Everything a report says, computed: a protocol and its data in, one frozen value out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bayesmeta.compare import Comparison, compare
from bayesmeta.compare.published import FigureCheck, check_published, why_q_differs
from bayesmeta.compare.rows import MH_RANDOM, bayesian_row
from bayesmeta.compare.run import Data
from bayesmeta.compare.values import Row
from bayesmeta.effects import MEASURES
from bayesmeta.errors import BayesMetaError, ModelError, unknown
from bayesmeta.events import Benefit, between, side_of_benefit
from bayesmeta.evidence.predictive_check import PredictedStudy, predictive_check
from bayesmeta.fit import fit
from bayesmeta.model import load_model
from bayesmeta.posterior import Posterior
from bayesmeta.protocol import Alternative, Outcome, Protocol
from bayesmeta.studies import StudyTable, TwoByTwo

type Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class PriorSet:
    """The analysis repeated under one set of priors.

    `row` and `posterior` are None where these priors give no answer; `reason` says why.
    """

    label: str
    justification: str
    priors: Mapping[str, str]
    row: Row | None = None
    posterior: Posterior | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ThresholdRow:
    """How probable it is that the effect is beyond a threshold, in the direction of benefit.

    `low_mean` ... `high_new` are the smallest and largest values over the prior sets. Those of a new study are None
    where the model has none.
    """

    threshold: float
    p_mean: float
    p_new: float | None
    low_mean: float
    high_mean: float
    low_new: float | None
    high_new: float | None


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeResult:
    """One outcome, analysed."""

    name: str
    plan: Outcome
    data: Data
    comparison: Comparison
    checks: tuple[FigureCheck, ...]
    why_q: str
    prior_sets: tuple[PriorSet, ...]
    thresholds: tuple[ThresholdRow, ...]
    predicted: tuple[PredictedStudy, ...] = ()

    @property
    def label(self) -> str:
        """What the reader calls this outcome."""
        return self.plan.label or self.name or "All studies"

    @property
    def posterior(self) -> Posterior:
        """The primary posterior: quadrature's where it was run."""
        row = next(r for r in self.comparison.rows if isinstance(r.source, Posterior) and not r.without)
        assert isinstance(row.source, Posterior)
        return row.source


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """A protocol, carried out."""

    protocol: Protocol
    outcomes: tuple[OutcomeResult, ...]
    engine: str
    seed: int
    data_sha256: str
    versions: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def integrated_though_sampled(self) -> bool:
        """Whether other sets of priors were integrated by quadrature, though the primary analysis was sampled."""
        sets = [s.posterior for o in self.outcomes for s in o.prior_sets if s.posterior is not None]
        sampled = self.outcomes[0].posterior.engine != "quadrature"
        return sampled and any(posterior.engine == "quadrature" for posterior in sets)


def analyse(
    protocol: Protocol,
    *,
    tables: Mapping[str, Data] | None = None,
    outcomes: tuple[str, ...] = (),
    engine: str = "both",
    seed: int | None = None,
    sampling: Mapping[str, Any] | None = None,
    tell: Tell = lambda _: None,
) -> Analysis:
    """Return the protocol's analyses of all outcomes, or of the ones named.

    Parameters
    ----------
    protocol
        What to do.
    tables
        Outcome to study table; read from the protocol's data file when not given.
    outcomes
        Names of outcomes; all when empty.
    engine
        ``"both"``, ``"quadrature"``, ``"nuts"`` or ``"auto"``.
    seed
        In place of the protocol's.
    sampling
        Options of the NUTS engine.
    tell
        Called with one line before each step.

    Raises
    ------
    DataError
        If the data cannot be read or pooled.
    ModelError
        If an outcome is unknown, or the priors give no proper posterior.
    ConvergenceError
        If a posterior was not reached with the accuracy asked for.
    """
    chosen = {name: protocol.outcomes[name] for name in _chosen(protocol, outcomes)}
    seed = protocol.seed if seed is None else seed
    # All data are read before anything is computed: a fault in the last outcome should not wait for the first.
    tables = read_tables(protocol, outcomes) if tables is None else tables
    results = []
    for name, plan in chosen.items():
        tell(plan.label or name or "All studies")
        results.append(_outcome(protocol, name, plan, tables[name], engine, seed, dict(sampling or {})))
    return Analysis(
        protocol=protocol,
        outcomes=tuple(results),
        engine=engine,
        seed=seed,
        data_sha256=next((t.sha256 for t in tables.values() if isinstance(t, StudyTable) and t.sha256), ""),
        versions=versions(tuple(r.posterior for r in results)),
        options=dict(sampling or {}),
    )


def read_tables(protocol: Protocol, outcomes: tuple[str, ...] = ()) -> dict[str, Data]:
    """Return the study table of each outcome named, or of all, read from the protocol's data file."""
    return {name: _read(protocol, name) for name in _chosen(protocol, outcomes)}


def _chosen(protocol: Protocol, outcomes: tuple[str, ...]) -> list[str]:
    """Return the outcomes named, in the protocol's order; all when none is named."""
    for name in outcomes:
        if name not in protocol.outcomes:
            raise unknown("outcome", name, protocol.outcomes)
    return [name for name in protocol.outcomes if not outcomes or name in outcomes]


def _read(protocol: Protocol, name: str) -> StudyTable:
    from bayesmeta.reading import read_with

    rows = protocol.outcomes[name].rows
    chosen = name if rows is None else rows
    return read_with(protocol.data_path, protocol.data.options(chosen or None))


def protocol_for(
    path: Path,
    *,
    measure: str,
    benefit: Benefit | None,
    outcome: str | None = None,
    seed: int | None = None,
    reading: Mapping[str, Any] | None = None,
    zero_cells: Mapping[str, Any] | None = None,
) -> Protocol:
    """Return the protocol that stands for a bare data file: one outcome, default priors.

    Parameters
    ----------
    path
        The data file.
    measure
        Effect measure.
    benefit
        Direction that is a benefit.
    outcome
        Value of the outcome column, where the file has one.
    seed
        Of the sampler; the default of a protocol otherwise.
    reading, zero_cells
        Keys of the sections [data] and [zero_cells].
    """
    name = outcome or path.stem
    plan = Outcome(benefit=benefit, rows=outcome or "", label=outcome or "")
    protocol = Protocol.checked(
        {
            "data": {"file": str(path.absolute()), **(reading or {})},
            "measure": measure,
            "outcomes": {name: plan},
            "zero_cells": dict(zero_cells or {}),
        }
    )
    return protocol if seed is None else protocol.model_copy(update={"seed": seed})


def _outcome(
    protocol: Protocol, name: str, plan: Outcome, data: Data, engine: str, seed: int, sampling: dict[str, Any]
) -> OutcomeResult:
    published = protocol.published(name)
    comparison = compare(
        data,
        measure=protocol.measure,
        level=protocol.level,
        benefit=plan.benefit,
        published=published,
        model=protocol.model_sources,
        priors=protocol.priors.texts(),
        engine=engine,
        seed=seed,
        add=protocol.zero_cells.add,
        to=protocol.zero_cells.to,
        drop00=protocol.zero_cells.drop00,
        inestimable=protocol.zero_cells.inestimable,
        common_effect=True,
        sampling=sampling,
    )
    known = {row.method: row for row in comparison.rows if not row.without}
    if not any(row.kind == "bayesian" for row in known.values()):
        raise ModelError("\n".join(f"{a.method}: {a.reason}." for a in comparison.absent if "Bayesian" in a.method))
    said = published or next(iter(data.published), None) if isinstance(data, StudyTable) else published
    checks = () if said is None or MH_RANDOM not in known else check_published(known[MH_RANDOM], said, protocol.measure)
    sets = _prior_sets(protocol, comparison, plan.benefit, seed, sampling)
    return OutcomeResult(
        name=name,
        plan=plan,
        data=data,
        comparison=comparison,
        checks=checks,
        why_q=why_q_differs(comparison),
        prior_sets=sets,
        thresholds=_thresholds(plan, protocol.measure, sets),
        predicted=() if sets[0].posterior is None else predictive_check(sets[0].posterior, level=protocol.level),
    )


def _prior_sets(
    protocol: Protocol, comparison: Comparison, benefit: Benefit | None, seed: int, sampling: dict[str, Any]
) -> tuple[PriorSet, ...]:
    primary = next(r for r in comparison.rows if isinstance(r.source, Posterior) and not r.without)
    assert isinstance(primary.source, Posterior)
    texts = {name: repr(prior) for name, prior in primary.source.priors.items()}
    first = PriorSet("primary analysis", "as planned", texts, primary, primary.source)
    planned = protocol.sensitivity
    if not planned and not protocol.path.name:
        planned = usual_alternatives(primary.source)
    others = [_prior_set(alternative, texts, protocol, comparison, benefit, seed, sampling) for alternative in planned]
    return (first, *others)


def usual_alternatives(posterior: Posterior) -> tuple[Alternative, ...]:
    """Return half and twice the scale of tau's prior, for data without a protocol: no figure without its range."""
    prior = posterior.priors.get("tau")
    name, scale = getattr(prior, "name", ""), getattr(prior, "scale", None)
    if name not in ("half_normal", "half_cauchy") or scale is None:
        return ()
    return tuple(
        Alternative(
            label=f"{word} the scale of tau",
            tau=f"{name}({factor * scale:g})",
            justification="Chosen by default, since there is no protocol.",
        )
        for word, factor in (("half", 0.5), ("twice", 2.0))
    )


def _prior_set(
    alternative: Alternative,
    primary: Mapping[str, str],
    protocol: Protocol,
    comparison: Comparison,
    benefit: Benefit | None,
    seed: int,
    sampling: dict[str, Any],
) -> PriorSet:
    model = load_model(protocol.model_sources[0])
    named = {name: text for name, text in alternative.priors().items() if name in model.priors}
    priors = {**primary, **named}
    effects = comparison.effects
    data = effects.counts if model.data_type is TwoByTwo else effects
    deterministic = model.abilities.deterministic
    engine, options = ("quadrature", {}) if deterministic else ("nuts", sampling)
    asked = {**protocol.priors.texts(), **named}
    try:
        posterior = fit(data, model, priors=asked, engine=engine, seed=seed, **options)
    except BayesMetaError as error:
        return PriorSet(alternative.label, alternative.justification, priors, reason=str(error))
    row = bayesian_row(alternative.label, posterior, measure=protocol.measure, level=protocol.level, benefit=benefit)
    return PriorSet(alternative.label, alternative.justification, priors, row, posterior)


def _thresholds(plan: Outcome, measure: str, sets: tuple[PriorSet, ...]) -> tuple[ThresholdRow, ...]:
    if plan.benefit is None:
        return ()
    posteriors = [s.posterior for s in sets if s.posterior is not None]
    rows = []
    for threshold in plan.thresholds:
        side = side_of_benefit(float(MEASURES[measure].from_natural(threshold)), plan.benefit)
        mean = [between(p.mu, *side) for p in posteriors]
        new = [between(p.theta_new, *side) for p in posteriors if "theta_new" in p.marginals]
        of_new = (new[0], min(new), max(new)) if new else (None, None, None)
        rows.append(ThresholdRow(threshold, mean[0], of_new[0], min(mean), max(mean), *of_new[1:]))
    return tuple(rows)


def versions(posteriors: tuple[Posterior, ...]) -> dict[str, str]:
    """Return the versions of everything that took part."""
    import platform

    from bayesmeta.engines.versions import versions as computed_by

    known = {"Python": platform.python_version(), **computed_by()}
    for posterior in posteriors:
        known |= posterior.versions
    return known
