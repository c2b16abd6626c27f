"""What a network says of treatments: one against another, and P-scores."""

from collections.abc import Mapping
from dataclasses import dataclass

from bayesmeta.errors import unknown
from bayesmeta.values import FrozenMap, Interval


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """One treatment against another, analysis scale.

    Parameters
    ----------
    treatment, reference
        What is compared with what.
    estimate, se, ci, p_value
        Network estimate, its standard error, normal confidence interval and two-sided p-value.
    prediction
        Interval for a new study, t with the degrees of freedom of Q; None for a common effect or without any.
    """

    treatment: str
    reference: str
    estimate: float
    se: float
    ci: Interval
    p_value: float
    prediction: Interval | None


class PScores(FrozenMap[str, float]):
    """P-scores by treatment, lower effects being better; called with a direction, those of that direction."""

    __slots__ = ()

    def __call__(self, benefit: str) -> Mapping[str, float]:
        """Return the scores where ``"lower"`` or ``"higher"`` effects are better."""
        if benefit not in ("lower", "higher"):
            raise unknown("benefit", benefit, ("lower", "higher"))
        return self if benefit == "lower" else FrozenMap({name: 1.0 - score for name, score in self.items()})
