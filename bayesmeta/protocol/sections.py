"""The sections of a protocol file, key by key."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bayesmeta.priors import parse_prior
from bayesmeta.reading.options import ReadingOptions

Benefit = Literal["higher", "lower"]


Text = Annotated[str, Field(min_length=1)]


Level = Annotated[float, Field(gt=0.0, lt=1.0)]


def _check_prior(parameter: str, text: str) -> None:
    prior = parse_prior(text)
    if parameter == "tau" and prior.support[0] < 0:
        raise ValueError(
            f"is {text!r}, which allows negative values; tau is a standard deviation. Give a prior on "
            "(0, inf), e.g. half_normal(0.5)"
        )


def _plain_number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not math.isfinite(number):
        raise ValueError(f'is {text!r}; it must be a number as printed, in quotes, e.g. "0.39"')
    return number


class Section(BaseModel):
    """A table of the file: no unknown keys, no silent conversion, no change afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, str_strip_whitespace=True)


class Question(Section):
    """Who was treated, with what, and against what."""

    population: str = ""
    intervention: str = ""
    comparator: str = ""


class DataSource(Section):
    """The data file, and what `read_studies` is to know about it."""

    file: Text
    subgroup: str | None = None
    columns: dict[str, str] = {}
    sheet: str | None = None
    header_row: int | str | None = None
    decimal: str | None = None
    thousands: str | None = None
    duplicates: Literal["error", "number", "cluster"] = "error"
    number_duplicates: bool = False
    total_rows: Literal["refuse", "exclude", "study"] = "refuse"
    ci_level: float | None = None

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        self.options()
        return self

    def options(self, outcome: str | None = None) -> ReadingOptions:
        """Return how the file is read."""
        said = self.model_dump(exclude={"file", "number_duplicates"})
        said["duplicates"] = "number" if self.number_duplicates else self.duplicates
        return ReadingOptions(outcome=outcome, **said)


class ZeroCells(Section):
    """What is added to 2x2 tables with a zero cell before a log ratio is computed, and which studies are left out."""

    add: Annotated[float, Field(ge=0.0)] = 0.5
    to: Literal["only0", "all", "if0all", "none"] = "only0"
    drop00: bool = False
    inestimable: Literal["raise", "exclude"] = "raise"


class PriorChoice(Section):
    """A prior in its text form, and why it was chosen."""

    prior: Text
    justification: str = ""


class Alternative(Section):
    """A set of priors to repeat the analysis with; what it does not name stays as planned."""

    label: Text
    mu: str | None = None
    tau: str | None = None
    justification: str = ""

    @field_validator("mu", "tau")
    @classmethod
    def _readable(cls, text: str | None, info: ValidationInfo) -> str | None:
        if text is not None:
            _check_prior(str(info.field_name), text)
        return text

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.mu is None and self.tau is None:
            raise ValueError('names no prior: give mu, tau or both, e.g. tau = "half_normal(1)"')
        return self

    def priors(self) -> dict[str, str]:
        """Return parameter to prior text, the ones named only."""
        return {name: text for name in ("mu", "tau") if (text := getattr(self, name)) is not None}


class Published(Section):
    """A pooled result as printed by its source: strings, so that the printed digits are kept."""

    estimate: str | None = None
    low: str | None = None
    high: str | None = None
    p: str | None = None
    i2: str | None = None
    tau2: str | None = None
    level: Level = 0.95
    method: str = ""
    source: Text

    @field_validator("estimate", "low", "high", "i2", "tau2")
    @classmethod
    def _number(cls, text: str | None) -> str | None:
        if text is not None:
            _plain_number(text)
        return text

    @field_validator("p")
    @classmethod
    def _p_value(cls, text: str | None) -> str | None:
        if text is not None and not 0 <= _plain_number(text.lstrip("<>= ")) <= 1:
            raise ValueError(f'is {text!r}; it must be a p-value as printed, from 0 to 1, e.g. "0.03" or "<0.001"')
        return text

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        limits = [float(v) for v in (self.low, self.estimate, self.high) if v is not None]
        if limits != sorted(limits):
            raise ValueError("low <= estimate <= high does not hold: check for a swapped or mistyped figure")
        return self


class Outcome(Section):
    """One question asked of the data: what counts as a benefit, and how much would matter.

    `rows` is the value in the data's outcome column that picks this outcome's rows: its own name when
    not given, and ``""`` when the data have no such column. A file must state `benefit`; only a
    protocol made in Python may leave it None, and then no probability of benefit is computed. `equivalence`
    holds the two ends of the effects that count as none; `ranges` where a small, a moderate and a large benefit
    begin; `baseline_risk` the risks without treatment over which absolute effects are given.
    """

    rows: str | None = None
    label: str = ""
    benefit: Benefit | None
    thresholds: tuple[float, ...] = ()
    thresholds_source: str = ""
    equivalence: tuple[float, ...] = ()
    ranges: tuple[float, ...] = ()
    baseline_risk: tuple[float, ...] = ()
    baseline_source: str = ""
    published: Published | None = None

    @field_validator("thresholds", "equivalence", "ranges", "baseline_risk", mode="before")
    @classmethod
    def _as_tuple(cls, values: Any) -> Any:
        # TOML integers are numbers of a threshold too; strict mode would refuse the list itself.
        if isinstance(values, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            return tuple(float(v) for v in values)
        return values

    @field_validator("thresholds", "equivalence", "ranges")
    @classmethod
    def _finite(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not all(math.isfinite(v) for v in values):
            raise ValueError(
                f"is {list(values)}; thresholds must be finite numbers on the natural scale of the measure"
            )
        return values

    @field_validator("equivalence")
    @classmethod
    def _two_in_order(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if values and (len(values) != 2 or not values[0] < values[1]):
            raise ValueError(f"is {list(values)}; write the two ends of the range, the lower one first: [0.9, 1.11]")
        return values

    @field_validator("baseline_risk")
    @classmethod
    def _probabilities(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        bad = [v for v in values if not 0.0 < v < 1.0]
        if bad:
            raise ValueError(f"has {bad[0]:g}; a risk is a probability between 0 and 1, such as 0.3 for 300 per 1000")
        return values


class Priors(Section):
    """The priors of the primary analysis; the model's own defaults where a parameter is not named."""

    mu: PriorChoice | None = None
    tau: PriorChoice | None = None

    @field_validator("mu", "tau")
    @classmethod
    def _readable(cls, choice: PriorChoice | None, info: ValidationInfo) -> PriorChoice | None:
        if choice is not None:
            _check_prior(str(info.field_name), choice.prior)
        return choice

    def texts(self) -> dict[str, str]:
        """Return parameter to prior text, the ones named only."""
        return {name: c.prior for name in ("mu", "tau") if (c := getattr(self, name)) is not None}

    def justification(self, name: str) -> str:
        """Return why the prior of `name` was chosen; empty when the plan does not say."""
        choice = getattr(self, name, None)
        return "" if choice is None else choice.justification
