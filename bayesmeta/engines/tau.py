"""What any prior of tau must be, and whether it leaves tau known."""

from bayesmeta.errors import ModelError
from bayesmeta.priors import Prior


def known_tau(prior: Prior | None) -> float | None:
    """Return the value of tau where it is known: 0 without a prior, the place of a point prior; else None.

    Raises
    ------
    ModelError
        If the prior lets tau be negative.
    """
    if prior is None:
        return 0.0
    low, high = prior.support
    if not low >= 0.0:
        instead = "cut it off: truncated(..., 0, inf)" if prior.proper else "the flat one on (0, inf): uniform()"
        raise ModelError(
            f"The prior {prior!r} lets tau be negative. Use a prior on (0, inf), e.g. half_normal(0.5), or {instead}."
        )
    return float(low) if low == high else None
