"""The keys of a protocol file, and the reader that turns one into a frozen value."""

import hashlib
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from bayesmeta.effects import MEASURES, is_ratio
from bayesmeta.errors import DataError, unknown
from bayesmeta.protocol.messages import reworded
from bayesmeta.protocol.sections import (
    Alternative,
    DataSource,
    Level,
    Outcome,
    Priors,
    Question,
    Section,
    ZeroCells,
)
from bayesmeta.studies import PublishedResult


class Protocol(Section):
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
