"""The keys of a protocol file, and the reader that turns one into a frozen value."""

import hashlib
import math
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bayesmeta.effects import MEASURES, is_ratio
from bayesmeta.errors import DataError, unknown
from bayesmeta.priors import parse_prior
from bayesmeta.protocol.messages import reworded
from bayesmeta.reading.options import ReadingOptions
from bayesmeta.studies import PublishedResult

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


class _Section(BaseModel):
    """A table of the file: no unknown keys, no silent conversion, no change afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, str_strip_whitespace=True)


class Question(_Section):
    """Who was treated, with what, and against what."""

    population: str = ""
    intervention: str = ""
    comparator: str = ""


class DataSource(_Section):
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

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        self.options()
        return self

    def options(self, outcome: str | None = None) -> ReadingOptions:
        """Return how the file is read."""
        said = self.model_dump(exclude={"file", "number_duplicates"})
        said["duplicates"] = "number" if self.number_duplicates else self.duplicates
        return ReadingOptions(outcome=outcome, **said)


class ZeroCells(_Section):
    """What is added to 2x2 tables with a zero cell before a log ratio is computed, and which studies are left out."""

    add: Annotated[float, Field(ge=0.0)] = 0.5
    to: Literal["only0", "all", "if0all", "none"] = "only0"
    drop00: bool = False
    inestimable: Literal["raise", "exclude"] = "raise"


class PriorChoice(_Section):
    """A prior in its text form, and why it was chosen."""

    prior: Text
    justification: str = ""


class Alternative(_Section):
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


class Published(_Section):
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


class Outcome(_Section):
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


class Priors(_Section):
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


class Protocol(_Section):
    """An analysis plan: the content of a protocol file, key by key.

    Parameters
    ----------
    title, registration, reason
        For the report: a heading, where the plan is registered, why a Bayesian analysis is made.
    data
        File of the studies, relative to the protocol file.
    measure
        One of ``effects.MEASURES``.
    models
        Model names or paths of model files; the first is the primary one.
    level
        Of every confidence, credible and prediction interval.
    seed
        Of the sampler and of every draw.
    question, zero_cells, priors, sensitivity
        What is asked, how zero cells are treated, the priors, and sets of priors to repeat the analysis with.
    outcomes
        Name of the outcome in the data file to what is asked of it.
    """

    _path: Path = PrivateAttr(default=Path())
    _sha256: str = PrivateAttr(default="")

    title: str = ""
    data: DataSource
    measure: str = "OR"
    models: Annotated[tuple[str, ...], Field(min_length=1)] = ("normal_normal",)
    level: Level = 0.95
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 1
    registration: str = ""
    reason: str = ""
    question: Question = Question()
    zero_cells: ZeroCells = ZeroCells()
    priors: Priors = Priors()
    sensitivity: tuple[Alternative, ...] = ()
    outcomes: Annotated[dict[str, Outcome], Field(min_length=1)]

    @field_validator("data", mode="before")
    @classmethod
    def _a_file_alone(cls, value: Any) -> Any:
        return {"file": value} if isinstance(value, str) else value

    @field_validator("models", "sensitivity", mode="before")
    @classmethod
    def _as_tuple(cls, values: Any) -> Any:
        return tuple(values) if isinstance(values, list) else values

    @field_validator("measure")
    @classmethod
    def _known_measure(cls, name: str) -> str:
        if name not in MEASURES:
            raise unknown("measure", name, MEASURES)
        return name

    @field_validator("models")
    @classmethod
    def _known_models(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        from bayesmeta.model import list_models

        for name in names:
            if not name.endswith(".py") and name not in list_models():
                raise unknown("model", name, list_models())
        return names

    @field_validator("sensitivity")
    @classmethod
    def _labels_differ(cls, sets: tuple[Alternative, ...]) -> tuple[Alternative, ...]:
        labels = [s.label for s in sets]
        if len(set(labels)) < len(labels):
            raise ValueError(f"two prior sets have one label among {labels}: give each its own")
        return sets

    @model_validator(mode="after")
    def _thresholds_possible(self) -> Self:
        for key, outcome in self.outcomes.items():
            for name in ("thresholds", "equivalence", "ranges"):
                bad = [t for t in getattr(outcome, name) if is_ratio(self.measure) and t <= 0]
                if bad:
                    raise ValueError(
                        f"outcomes.{key}.{name} has {bad[0]:g}: thresholds of a ratio ({self.measure}) are on the "
                        "natural scale and greater than 0"
                    )
            null = 1.0 if is_ratio(self.measure) else 0.0
            sign = -1.0 if outcome.benefit == "lower" else 1.0
            if not all(sign * (b - a) > 0 for a, b in pairwise((null, *outcome.ranges))):
                way = "falling numbers below" if outcome.benefit == "lower" else "rising numbers above"
                raise ValueError(
                    f"outcomes.{key}.ranges is {list(outcome.ranges)}: write {way} {null:g} (benefit = "
                    f"{outcome.benefit!r}), the beginning of a small, a moderate and a large benefit"
                )
        return self

    @model_validator(mode="after")
    def _risks_possible(self) -> Self:
        from bayesmeta.decisions.risk import RISK_MAPS

        for key, outcome in self.outcomes.items():
            if outcome.baseline_risk and self.measure not in RISK_MAPS:
                raise ValueError(
                    f"outcomes.{key}.baseline_risk needs an effect on risks, and {self.measure} is none: use one of "
                    f"{', '.join(sorted(RISK_MAPS))}, or leave it out"
                )
        return self

    @property
    def path(self) -> Path:
        """The protocol file; an empty path when the protocol was made in Python."""
        return self._path

    @property
    def sha256(self) -> str:
        """Of the protocol file's bytes; empty when the protocol was made in Python."""
        return self._sha256

    @property
    def data_path(self) -> Path:
        """The data file, found relative to the protocol file."""
        return self._path.parent / self.data.file

    @property
    def model_sources(self) -> tuple[str, ...]:
        """The models: names, and model files of one's own found relative to the protocol file."""
        return tuple(str(self._path.parent / name) if name.endswith(".py") else name for name in self.models)

    def published(self, outcome: str) -> PublishedResult | None:
        """Return the published result of an outcome, or None when the plan names none."""
        section = self.outcomes[outcome].published
        if section is None:
            return None
        return PublishedResult(measure=self.measure, outcome=outcome, **section.model_dump())

    @classmethod
    def checked(cls, keys: dict[str, Any], name: str = "the analysis") -> Self:
        """Return the protocol with these keys, or raise the errors of `read_protocol`; `name` stands in messages."""
        try:
            return cls.model_validate(keys)
        except ValidationError as error:
            raise reworded(error, name, cls) from None

    @classmethod
    def from_bytes(cls, content: bytes, path: Path) -> Self:
        """Return the protocol written in `content`; `path` names it in messages and finds its data."""
        try:
            keys = tomllib.loads(content.decode())
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not a UTF-8 text file (byte {error.start}). Save it as UTF-8.") from None
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise DataError(
                f"{path}: not valid TOML: {error}. Correct that line; https://toml.io has the format."
            ) from None
        protocol = cls.checked(keys, str(path))
        protocol._path, protocol._sha256 = path, hashlib.sha256(content).hexdigest()
        return protocol


def read_protocol(path: str | Path) -> Protocol:
    """Return the analysis plan in a TOML file.

    Raises
    ------
    DataError
        If the file cannot be read, is not TOML, or has an unknown key, a wrong type or an impossible
        value; the message names file, key, value and what is allowed.
    ModelError
        If it names an unknown measure, model or prior.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read the protocol {str(path)!r}: {error.strerror}. Check the path.") from None
    if not content.strip():
        raise DataError(f"{path}: the protocol is empty. It needs at least data and one [outcomes.NAME] table.")
    return Protocol.from_bytes(content, path)
