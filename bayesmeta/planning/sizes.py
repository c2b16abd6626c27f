"""Sizes of the next study: those asked for, or the smallest with an assurance that is wanted."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bayesmeta.decisions.predictive import theta_nodes
from bayesmeta.errors import ModelError
from bayesmeta.events import Scale, between, side_of_benefit
from bayesmeta.planning.criteria import Criterion
from bayesmeta.planning.designs import Design
from bayesmeta.posterior import Posterior
from bayesmeta.words import probability_text

# Larger studies than this are not sought.
LARGEST_STUDY = 10_000_000


def smallest_se(posterior: Posterior, designs: list[tuple[Design, float]], n: int | None) -> float:
    """Return the smallest standard error where the next study's true effect may be."""
    theta = np.asarray(posterior.theta_new.ppf([0.001, 0.1, 0.5, 0.9, 0.999]), dtype=float)
    return min(float(design.standard_error(theta, float(n or 0)).min()) for design, _ in designs)


def assurance_of(posterior: Posterior, designs: list[tuple[Design, float]], asked: Criterion, n: int | None) -> float:
    """Return the assurance of a criterion about the study alone: from the marginal of a new study's effect."""
    theta, weight = theta_nodes(posterior.theta_new, smallest_se(posterior, designs, n), asked.bound)
    each = [share * float(weight @ asked.chance(theta, d.standard_error(theta, float(n or 0)))) for d, share in designs]
    return math.fsum(each) / math.fsum(share for _, share in designs)


def sizes_of(n: Any, se: float | None) -> list[int | None]:
    """Return the sizes asked for; None where the standard error was given.

    Raises
    ------
    ModelError
        If one is no whole number of at least 2, or none is given.
    """
    if se is not None:
        if n is not None:
            raise ModelError("Give n or se, not both: the standard error of the estimate follows from n.")
        return [None]
    if n is None:
        raise ModelError(
            "How large is the next study? Write n=200 (patients per arm), or assurance=0.8 to have it found."
        )
    values = list(n) if isinstance(n, Sequence | np.ndarray) else [n]
    if not values:
        raise ModelError("n is empty: write n=200, or n=[50, 200, 1000].")
    for value in values:
        whole = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
        if not (whole and math.isfinite(value) and float(value).is_integer() and value >= 2):
            raise ModelError(f"n={value!r}: patients per arm are a whole number of at least 2, e.g. n=200.")
    return [int(value) for value in values]


def smallest_size(
    posterior: Posterior, designs: list[tuple[Design, float]], asked: Criterion, wanted: float, scale: Scale
) -> int:
    """Return the smallest number of patients per arm with the assurance wanted."""
    if not 0.0 < wanted < 1.0:
        raise ModelError(f"assurance={wanted!r}: a probability between 0 and 1, e.g. 0.8.")
    if asked.kind == "probability":
        raise ModelError(
            "A size for a wanted assurance is sought for success of the study alone: 'significant', or a bound."
        )
    ceiling = between(posterior.theta_new, *side_of_benefit(asked.bound, asked.benefit))
    low, high = 2, 4
    if assurance_of(posterior, designs, asked, low) >= wanted:
        return low
    while high <= LARGEST_STUDY and assurance_of(posterior, designs, asked, high) < wanted:
        low, high = high, 2 * high
    if high > LARGEST_STUDY:
        raise ModelError(
            f"No study has an assurance of {wanted:g}: however large it is, its true effect passes "
            f"{scale.to_natural(asked.bound):g} only with probability {probability_text(ceiling)}. Ask for less."
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if assurance_of(posterior, designs, asked, middle) < wanted else (low, middle)
    return high
