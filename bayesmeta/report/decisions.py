"""What a decision needs, where the plan asks for it: equivalence, sizes of effect, absolute effects per 1000."""

from bayesmeta.analysis import OutcomeResult
from bayesmeta.decisions import AbsoluteTable, EventTable, decide
from bayesmeta.decisions.event_table import GIVEN
from bayesmeta.report.values import Line, Table


def decision_tables(result: OutcomeResult) -> tuple[Table, ...]:
    """Return a table for each of ``equivalence``, ``ranges`` and ``baseline_risk`` that the plan states.

    Every figure has its range over the sets of priors beside it.
    """
    plan = result.plan
    if not (plan.equivalence or plan.ranges or plan.baseline_risk):
        return ()
    primary = result.prior_sets[0].posterior
    assert primary is not None
    found = decide(
        primary,
        benefit=plan.benefit,
        equivalence=plan.equivalence,
        sizes=plan.ranges if plan.benefit is not None else (),
        baselines=plan.baseline_risk,
        measure=result.comparison.measure,
        level=result.comparison.level,
        others=[s.posterior for s in result.prior_sets[1:] if s.posterior is not None],
    )
    return tuple(_table(part, plan.baseline_source) for part in found.parts)


def _table(part: EventTable | AbsoluteTable, source: str) -> Table:
    heads, rows = part.cells()
    lines = tuple(Line(cells) for cells in rows)
    if isinstance(part, EventTable):
        return Table(heads, lines, caption=part.title, left=2, notes=(GIVEN, *part.notes))
    said = f"Baseline risks: {source or 'who chose them is not given.'}"
    return Table(heads, lines, caption="Absolute effects", left=2, notes=(*part.notes(), said))
