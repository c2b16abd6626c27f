"""When the next study counts as a success."""

import re
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from bayesmeta.errors import ModelError
from bayesmeta.events import Benefit, Scale, plain
from bayesmeta.planning.known import Known
from bayesmeta.planning.updated import Updated
from bayesmeta.values import Array

SIGNIFICANT = "significant"
FORMS = (
    "'significant' (the study alone, two-sided, in the direction of benefit), a bound that its estimate has to pass "
    "such as 'OR < 0.9', or 'P(benefit) > 0.975' (of the updated analysis)"
)
_BOUND = re.compile(r"^\s*(?P<what>P\(benefit\)|[A-Za-z0-9 ]+?)\s*(?P<sign>[<>])\s*(?P<bound>[-+0-9.eE]+)\s*$")


@dataclass(frozen=True, slots=True)
class Criterion:
    """What the next study has to show.

    Parameters
    ----------
    text
        In words.
    kind
        ``"significant"``, ``"estimate"`` or ``"probability"``.
    bound
        Analysis scale for an estimate, a probability for ``P(benefit)``; no effect for significance.
    benefit
        Direction that is a benefit.
    z
        How many standard errors from no effect is significant.
    """

    text: str
    kind: str
    bound: float
    benefit: Benefit
    z: float

    def chance(self, theta: Array, se: Array) -> Array:
        """Return the probability of success at each true effect, for a criterion about the study alone."""
        sign = -1.0 if self.benefit == "lower" else 1.0
        margin = self.z if self.kind == SIGNIFICANT else 0.0
        return np.asarray(ndtr(sign * (theta - self.bound) / se - margin))

    def probability(self, known: Known, se: Array, updated: Updated, benefit: Array) -> float:
        """Return the probability of success.

        Parameters
        ----------
        known
            Before the study.
        se
            ``(n,)`` standard errors of its estimate.
        updated
            The analysis with the study in it.
        benefit
            ``(n,)`` probabilities that the mean effect is a benefit, given each true effect.
        """
        if self.kind != "probability":
            return float(known.weight @ self.chance(known.theta, se))
        return float(known.weight @ updated.chance(updated.where(benefit, self.bound)))


def criterion(success: str, benefit: Benefit, scale: Scale, level: float) -> Criterion:
    """Return what counts as success from its text.

    Raises
    ------
    ModelError
        If it cannot be read, contradicts the direction of benefit, or has a bound that is none.
    """
    assert scale.null is not None
    null = scale.from_natural(scale.null)
    z = float(ndtri(0.5 * (1.0 + level)))
    if success == SIGNIFICANT:
        words = f"significant at {100 * (1 - level):g}% (two-sided) in the direction of benefit"
        return Criterion(words, SIGNIFICANT, null, benefit, z)
    found = _BOUND.match(success) if isinstance(success, str) else None
    if found is None:
        raise ModelError(f"success={success!r}: write {FORMS}.")
    try:
        bound = float(found["bound"])
    except ValueError:
        raise ModelError(f"success={success!r}: {found['bound']!r} is no number. Write {FORMS}.") from None
    what, sign = found["what"], found["sign"]
    if what == "P(benefit)":
        if sign == "<" or not 0.0 < bound < 1.0:
            raise ModelError(
                f"success={success!r}: success is a high probability of benefit: write e.g. 'P(benefit) > 0.975'."
            )
        return Criterion(f"P(benefit) > {bound:g} in the updated analysis", "probability", bound, benefit, z)
    if what.lower() not in (scale.label.lower(), "estimate"):
        raise ModelError(f"success={success!r}: the estimate is a {scale.label}: write {FORMS}.")
    wanted = "<" if benefit == "lower" else ">"
    if sign != wanted:
        raise ModelError(
            f"success={success!r} contradicts benefit={benefit!r}, where {'less' if wanted == '<' else 'more'} is "
            f"better: write '{scale.label} {wanted} {plain(bound)}', or the other direction of benefit."
        )
    if scale.ratio and bound <= 0.0:
        raise ModelError(f"success={success!r}: {scale.label} is greater than 0; write it on the natural scale.")
    at = scale.from_natural(bound)
    if not np.isfinite(at):
        raise ModelError(f"success={success!r}: {plain(bound)} is at the end of the scale of {scale.label}.")
    return Criterion(f"estimate {scale.label} {sign} {plain(bound)}", "estimate", at, benefit, z)
