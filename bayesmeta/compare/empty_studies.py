"""What a model of counts takes from one arm's prior, and from studies in which nobody, or everybody, had an event."""

from bayesmeta.compare.caveats import double_zero
from bayesmeta.compare.observed import Counts
from bayesmeta.compare.rows import Plan, bayesian_counts_row
from bayesmeta.compare.table import Shown
from bayesmeta.compare.values import Comparison, Row
from bayesmeta.posterior import Posterior
from bayesmeta.studies import PersonTime, TwoByTwo, exact_model, fit_the_counts
from bayesmeta.words import level_text

COUNTED = (TwoByTwo, PersonTime)


def empty_study_caveats(comparison: Comparison, counts: Counts, plan: Plan) -> tuple[str, ...]:
    """Return, for each model of counts, what it leans on, and its answer with and without studies without events."""
    if counts is None:
        return ()
    said: list[str] = []
    seen: set[str] = set()
    for row in comparison.rows:
        if not isinstance(row.source, Posterior) or row.without or row.source.model.data_type not in COUNTED:
            continue
        # Both engines have one posterior: it is repeated by the first that was asked for.
        if row.source.model.name not in seen:
            seen.add(row.source.model.name)
            said += _of_model(row, row.source, comparison, counts, plan)
    return tuple(said)


def _of_model(
    row: Row, posterior: Posterior, comparison: Comparison, counts: TwoByTwo | PersonTime, plan: Plan
) -> list[str]:
    model, said = posterior.model, []
    if model.leans_on:
        said.append(
            f"Model {model.name!r} leans on {model.leans_on.rstrip('.')}. Exchanging the arms changes more than the "
            f"sign of its effect; to lean on neither arm, {fit_the_counts(comparison.measure)}."
        )
    empty = double_zero(counts)
    if not empty:
        return said
    whose = f"studies where nobody, or everybody, had an event ({len(empty)} of {counts.k})"
    if not model.has_baselines:
        return [*said, f"Model {model.name!r} conditions on each study's total of events: {whose} say nothing in it."]
    if len(empty) == counts.k:
        return [
            *said,
            f"No study has both patients with and patients without an event: what the row of {model.name!r} says "
            f"beyond the prior of the effect ({_answer(row, comparison)}) comes from the prior of the baselines.",
        ]
    fewer = bayesian_counts_row(posterior, comparison.measure, counts.drop(empty), plan)
    advice = exact_model(comparison.measure)
    neutral = "" if advice == model.name else f" {fit_the_counts(comparison.measure).capitalize()} to compare."
    return [
        *said,
        f"Model {model.name!r} lets {whose} speak through the prior of their baselines. With them: "
        f"{_answer(row, comparison)}; without them: {_answer(fewer, comparison)}.{neutral}",
    ]


def _answer(row: Row, comparison: Comparison) -> str:
    shown = Shown(row, comparison)
    level = level_text(comparison.level)
    text = f"{comparison.measure} {shown.estimate()} ({level} credible interval {shown.limits('mu', row.interval)})"
    if row.p_benefit_mean is not None:
        text += f", P(benefit) {shown.probability('mu', row.p_benefit_mean)}"
    return text
