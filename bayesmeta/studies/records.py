"""Small records kept beside the data: what was left out, what was changed, what the source had pooled."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A study that was read but is not analysed, and why."""

    study: str
    reason: str
    row: int | None = None


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A change made to a study's counts before its effect size was computed."""

    study: str
    what: str


@dataclass(frozen=True, slots=True)
class PublishedResult:
    """A pooled result as its source printed it, on the natural scale.

    Numbers stay strings, because how many digits were printed is part of the fact:
    agreement is judged at the printed precision.
    """

    source: str
    measure: str = "OR"
    method: str = ""
    estimate: str | None = None
    low: str | None = None
    high: str | None = None
    p: str | None = None
    i2: str | None = None
    tau2: str | None = None
    level: float = 0.95
    outcome: str = ""
