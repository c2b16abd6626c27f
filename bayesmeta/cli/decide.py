"""``bayesmeta decide`` and ``bayesmeta update``: what a decision needs, and what later studies change."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bayesmeta.cli._data_options import DataOptions, with_data_options
from bayesmeta.cli._findings import audit_lines, show
from bayesmeta.cli._priors import priors_of
from bayesmeta.cli.report import Benefit, _need_for_data
from bayesmeta.errors import BayesMetaError, DataError, ModelError, unknown
from bayesmeta.words import folded

if TYPE_CHECKING:
    from bayesmeta.posterior import Posterior
    from bayesmeta.protocol import Outcome, Protocol
    from bayesmeta.studies import EffectSizes, StudyTable, TwoByTwo

# Plain assignments: the option parser does not look through `type` aliases.
Source = Annotated[Path, typer.Argument(help="A protocol (.toml), or a data file with --measure and --benefit.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON with every digit instead.")]
Strict = Annotated[bool, typer.Option("--strict", help="End with an error where the data have findings.")]
Which = Annotated[str | None, typer.Option(help="Which outcome, where there are several.")]
Measure = Annotated[str | None, typer.Option(help="Effect measure of a data file, e.g. OR.")]
Direction = Annotated[Benefit | None, typer.Option(help="Direction that is a benefit, for a data file.")]
Priors = Annotated[
    list[str] | None, typer.Option("--prior", help="Prior for a data file, e.g. 'tau=half_normal(1)'; may be repeated.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    app.command()(with_data_options(decide))
    app.command()(with_data_options(update))


def decide(
    file: Source,
    *,
    data: DataOptions,
    outcome: Which = None,
    strict: Strict = False,
    as_json: Json = False,
    threshold: Annotated[
        list[float] | None, typer.Option(help="Effect that would matter, natural scale, e.g. 1.25; may be repeated.")
    ] = None,
    rope: Annotated[
        tuple[float, float] | None, typer.Option(help="Two ends of the effects that count as none, e.g. 0.9 1.11.")
    ] = None,
    size: Annotated[
        list[float] | None,
        typer.Option(help="Where a small, a moderate, a large benefit begins; repeat it, from no effect outwards."),
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(help="Risk without treatment: 0.3, 'beta(30, 70)', or 'controls' to pool the control arms."),
    ] = None,
    measure: Measure = None,
    benefit: Direction = None,
    prior: Priors = None,
) -> None:
    """Print how probable effects that matter are, and absolute effects per 1000 with numbers needed to treat.

    What is not given is taken from the protocol; its sensitivity priors give the range beside each figure (without
    a protocol: half and twice the scale of the prior of tau).
    """
    from bayesmeta.decisions.decide import decide as decide_on

    protocol, name, table = _question(file, outcome, measure, benefit, prior, data)
    lines = audit_lines({name: table}, protocol.measure, strict=strict)
    plan = protocol.outcomes[name]
    asked: dict[str, Any] = {
        "thresholds": tuple(threshold or ()) or plan.thresholds,
        "equivalence": rope or plan.equivalence,
        "sizes": tuple(size or ()) or plan.ranges,
    }
    given = [_baseline(text) for text in baseline or ()] or list(plan.baseline_risk)
    if not (any(asked.values()) or given):
        raise ModelError(
            "Nothing was asked: give --threshold, --rope, --size or --baseline, or state thresholds, equivalence, "
            "ranges or baseline_risk for the outcome in the protocol."
        )
    effects, counts = _data(protocol, table)
    risks = [_controls(counts) if risk == CONTROLS else risk for risk in given]
    posterior, others, failed = _posteriors(protocol, effects)
    found = decide_on(posterior, benefit=plan.benefit, baselines=risks, level=protocol.level, others=others, **asked)
    if as_json:
        _print_json("decide", found, protocol.measure, lines)
        return
    show(lines)
    _heading(plan, name, posterior)
    print(found)
    for line in failed:
        print(line)


def update(
    file: Source,
    later: Annotated[Path | None, typer.Option("--with", help="File of the later studies, of the same form.")] = None,
    *,
    data: DataOptions,
    outcome: Which = None,
    strict: Strict = False,
    as_json: Json = False,
    later_outcome: Annotated[
        str | None, typer.Option(help="The outcome's name in the later file; '' where that has no outcome column.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Follow P(effect beyond it); no effect when not given.")
    ] = None,
    history: Annotated[
        Path | None, typer.Option(help="Add the answer to this file (JSON lines), and print what changed and why.")
    ] = None,
    date: Annotated[str | None, typer.Option(help="Date of the entry, YYYY-MM-DD; today when not given.")] = None,
    measure: Measure = None,
    benefit: Direction = None,
    prior: Priors = None,
) -> None:
    """Print the posterior after each later study, each one against those before it; or keep a history of answers."""
    from bayesmeta.decisions import update as update_by

    if later is None and history is None:
        raise ModelError(
            "Nothing was asked: give --with FILE (later studies, one by one), or --history FILE (keep the answers, and "
            "say what changed)."
        )
    protocol, name, table = _question(file, outcome, measure, benefit, prior, data)
    lines = audit_lines({name: table}, protocol.measure, strict=strict)
    plan = protocol.outcomes[name]
    if later is None:
        _keep(history, date, (protocol, name, table, None), lines, as_json=as_json)
        return
    more = _later(later, (name if plan.rows is None else plan.rows) if later_outcome is None else later_outcome, data)
    lines += [f"{line} [later studies]" for line in audit_lines({name: more}, protocol.measure, strict=strict)]
    effects, _ = _data(protocol, table)
    after, _ = _data(protocol, more)
    posterior, others, failed = _posteriors(protocol, effects)
    found = update_by(posterior, after, benefit=plan.benefit, threshold=threshold, level=protocol.level)
    told = () if history is None else _recorded(history, date, (protocol, name, table, more), found.posterior)
    if as_json:
        _print_json("update", found, protocol.measure, lines)
        return
    show(lines)
    _heading(plan, name, posterior)
    print(found)
    for sentence in told:
        print(sentence)
    if others and plan.benefit is not None:
        ends = [
            update_by(other, after, benefit=plan.benefit, threshold=threshold, level=protocol.level) for other in others
        ]
        print(_over_priors(found, ends))
    for line in failed:
        print(line)


def _keep(
    history: Path | None, date: str | None, asked: tuple[Any, str, Any, Any], lines: list[str], *, as_json: bool
) -> None:
    """Add the answer of the studies as they are to the history, and print what changed."""
    protocol, name, table, _ = asked
    assert history is not None
    effects, _ = _data(protocol, table)
    posterior, _, _ = _posteriors(protocol, effects, alternatives=False)
    told = _recorded(history, date, asked, posterior)
    if as_json:
        _print_json("update", {"changes": told, "posterior": posterior}, protocol.measure, lines)
        return
    show(lines)
    _heading(protocol.outcomes[name], name, posterior)
    for sentence in told:
        for line in folded(sentence):
            print(line)


def _recorded(
    history: Path, date: str | None, asked: tuple[Any, str, Any, Any], posterior: "Posterior"
) -> tuple[str, ...]:
    """Add an entry to the history where something changed; return what did, in sentences."""
    from bayesmeta.cli._living import entry_for
    from bayesmeta.living import append_entry, changes, read_history
    from bayesmeta.living.history import same_entry

    entry = entry_for(date, asked, posterior)
    before = read_history(history)
    told = changes(before, entry)
    own = [e for e in before if e.outcome == entry.outcome]
    if not own or not same_entry(own[-1], entry):
        append_entry(history, entry)
    return told


def _print_json(command: str, result: object, measure: str, found: list[str]) -> None:
    from bayesmeta.export.plain import json_text

    print(json_text(command, result, measure=measure, findings=found))


def _later(file: Path, outcome: str, data: DataOptions) -> "StudyTable":
    """Return the later studies of an outcome; an empty name stands for a file without an outcome column."""
    from bayesmeta.reading import read_with

    try:
        return read_with(file, data.options(outcome or None))
    except DataError as error:
        if not outcome or not file.is_file():
            raise
        raise DataError(
            f"{error} On the command line: --later-outcome names the outcome in this file, '' if it has no such column."
        ) from None


def _over_priors(found: Any, ends: list[Any]) -> str:
    """Return the range of the last probabilities over sets of priors."""
    from bayesmeta.decisions.event_table import Probability

    said = []
    last = [s.steps[-1] for s in (found, *ends)]
    for words, which, name in (("mean effect", "p_mean", "mu"), ("true effect of a new study", "p_new", "theta_new")):
        known = [(getattr(step, which), step.posterior.marginals.get(name)) for step in last]
        if all(value is not None for value, _ in known):
            said.append(f"{words} {Probability.over(known).span()}")
    return f"P({found.event}) after all studies over {len(ends) + 1} sets of priors: {'; '.join(said)}."


def _question(
    file: Path,
    outcome: str | None,
    measure: str | None,
    benefit: Benefit | None,
    prior: list[str] | None,
    data: DataOptions,
) -> "tuple[Protocol, str, StudyTable | TwoByTwo | EffectSizes]":
    """Return the protocol, the outcome that is asked about, and its studies."""
    from bayesmeta.analysis import read_tables
    from bayesmeta.report.sources import plan_for

    _need_for_data(file, measure, benefit)
    direction: Literal["higher", "lower"] | None = None
    if benefit is not None:
        direction = "higher" if benefit is Benefit.HIGHER else "lower"
    named = () if outcome is None else (outcome,)
    protocol, _ = plan_for(
        file,
        measure=measure,
        benefit=direction,
        outcomes=named,
        priors=priors_of(prior),
        reading=data.reading,
        zero_cells=data.zero_cells,
    )
    known = list(protocol.outcomes)
    if outcome is None and len(known) > 1:
        raise ModelError(f"{file} has {len(known)} outcomes: choose one, --outcome {' or --outcome '.join(known)}.")
    name = known[0] if outcome is None else outcome
    if name not in protocol.outcomes:
        raise unknown("outcome", name, known)
    return protocol, name, read_tables(protocol, (name,))[name]


def _data(
    protocol: "Protocol", table: "StudyTable | TwoByTwo | EffectSizes"
) -> "tuple[EffectSizes | TwoByTwo, TwoByTwo | None]":
    """Return what the primary model takes, and the counts where there are any."""
    from bayesmeta.effects import effect_sizes
    from bayesmeta.model import load_model
    from bayesmeta.studies import EffectSizes, TwoByTwo

    model, zero = load_model(protocol.model_sources[0]), protocol.zero_cells
    options = zero.model_dump()
    effects = table if isinstance(table, EffectSizes) else effect_sizes(table, protocol.measure, **options)
    model.check_measure(effects.measure)
    if model.data_type is TwoByTwo and effects.counts is not None:
        return effects.counts, effects.counts
    return effects, effects.counts


def _posteriors(
    protocol: "Protocol", data: "EffectSizes | TwoByTwo", *, alternatives: bool = True
) -> "tuple[Posterior, list[Posterior], list[str]]":
    """Return the primary posterior, those under the protocol's other priors, and what could not be computed."""
    from bayesmeta.analysis import usual_alternatives
    from bayesmeta.fit import fit
    from bayesmeta.model import load_model

    model, texts = load_model(protocol.model_sources[0]), protocol.priors.texts()
    primary = fit(data, model, priors=texts, seed=protocol.seed)
    others: list[Posterior] = []
    failed: list[str] = []
    if not alternatives:
        return primary, others, failed
    planned = protocol.sensitivity or (() if protocol.path.name else usual_alternatives(primary))
    for alternative in planned:
        named = {name: text for name, text in alternative.priors().items() if name in model.priors}
        try:
            others.append(fit(data, model, priors={**texts, **named}, seed=protocol.seed))
        except BayesMetaError as error:
            failed.append(f"Without the prior set {alternative.label!r}: {error}")
    return primary, others, failed


CONTROLS = "controls"


def _baseline(text: str) -> Any:
    """Return a baseline risk from its text: a number, a distribution, or `CONTROLS`."""
    from bayesmeta.decisions import baseline_risk
    from bayesmeta.priors import parse_prior

    said = text.strip()
    if said == CONTROLS:
        return CONTROLS
    try:
        value: Any = float(said)
    except ValueError:
        value = None
    if value is None:
        try:
            value = parse_prior(said)
        except ModelError as error:
            raise ModelError(
                f"--baseline {text}: write a probability (0.3), beta(30, 70), or controls. {error}"
            ) from None
    return baseline_risk(value)


def _controls(counts: "TwoByTwo | None") -> Any:
    from bayesmeta.decisions import pooled_baseline

    if counts is None:
        raise ModelError(
            "--baseline controls needs 2x2 counts, and these studies are given as estimates: give a number."
        )
    return pooled_baseline(counts)


def _heading(plan: "Outcome", name: str, posterior: "Posterior") -> None:
    """Print what is asked about, under which model and priors."""
    priors = ", ".join(f"{p} ~ {prior!r}" for p, prior in posterior.priors.items())
    print(plan.label or name or "All studies")
    print(f"{posterior.k} studies; model {posterior.model.name}; {priors}; by {posterior.engine}")
    print()
