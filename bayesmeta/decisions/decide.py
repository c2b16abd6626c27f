"""All inputs to a decision about one outcome at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bayesmeta.decisions.absolute import AbsoluteTable, absolute_table
from bayesmeta.decisions.event_table import EventTable
from bayesmeta.decisions.quantities import measure_of
from bayesmeta.decisions.thresholds import ranges, rope, three_way, threshold_table
from bayesmeta.errors import ModelError
from bayesmeta.events import Benefit, measure_scale
from bayesmeta.posterior import Posterior
from bayesmeta.words import folded


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """Inputs to a decision; what was not asked for is None.

    Parameters
    ----------
    thresholds
        Probabilities of effects beyond thresholds.
    equivalence
        Probabilities of benefit, equivalence and harm; without a direction of benefit, of lying below, inside
        and above.
    sizes
        Probabilities of trivial, small, moderate and large effects.
    absolute
        Events per 1000 and numbers needed to treat.
    warnings
        Why the figures cannot be relied on: the verdicts of runs that did not converge.
    """

    thresholds: EventTable | None = None
    equivalence: EventTable | None = None
    sizes: EventTable | None = None
    absolute: AbsoluteTable | None = None
    warnings: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[EventTable | AbsoluteTable, ...]:
        """The tables there are."""
        return tuple(p for p in (self.thresholds, self.equivalence, self.sizes, self.absolute) if p is not None)

    def __str__(self) -> str:
        return "\n\n".join((*("\n".join(folded(warning)) for warning in self.warnings), *map(str, self.parts)))


def decide(
    posterior: Posterior,
    *,
    benefit: Benefit | None = None,
    thresholds: Sequence[float] = (),
    equivalence: Sequence[float] = (),
    sizes: Sequence[float] = (),
    baselines: Sequence[Any] = (),
    measure: str | None = None,
    level: float = 0.95,
    others: Sequence[Posterior] = (),
) -> Decision:
    """Return everything asked for about one posterior; see the functions named for each argument.

    Parameters
    ----------
    posterior
        The primary posterior.
    benefit
        ``"lower"`` or ``"higher"``.
    thresholds
        Of `threshold_table`.
    equivalence
        Two numbers: of `three_way`, or of `rope` where no direction of benefit is given.
    sizes
        Of `ranges`.
    baselines
        Of `absolute_table`.
    measure
        Where the posterior does not know it.
    level
        Of the intervals.
    others
        Posteriors under other sets of priors: their range stands beside the single figures.

    Raises
    ------
    ModelError
        If nothing is asked for, or something impossible.
    """
    if not (len(thresholds) or len(equivalence) or len(sizes) or len(baselines)):
        raise ModelError("Nothing was asked: give thresholds, an equivalence range, sizes or baseline risks.")
    if len(equivalence) not in (0, 2):
        raise ModelError(f"A range of equivalence has two ends, not {len(equivalence)}: give e.g. (0.9, 1.11).")
    at, some = measure, others
    return Decision(
        threshold_table(posterior, thresholds, benefit=benefit, measure=at, others=some) if len(thresholds) else None,
        _equivalence(posterior, equivalence, benefit, at, some) if len(equivalence) else None,
        ranges(posterior, sizes, benefit=benefit, measure=at, others=some) if len(sizes) else None,
        absolute_table(posterior, baselines, benefit=benefit, measure=at, level=level, others=some)
        if len(baselines)
        else None,
        tuple(dict.fromkeys(p.diagnostics.verdict for p in (posterior, *others) if not p.diagnostics.ok)),
    )


def _equivalence(
    posterior: Posterior,
    ends: Sequence[float],
    benefit: Benefit | None,
    measure: str | None,
    others: Sequence[Posterior],
) -> EventTable:
    low, high = ends
    null = measure_scale(measure_of(posterior, measure)).null
    if benefit is None or null is None or not low <= null <= high:
        return rope(posterior, low, high, measure=measure, others=others)
    return three_way(posterior, low, high, benefit=benefit, measure=measure, others=others)
