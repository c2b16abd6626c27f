"""What a report may be made from, as a protocol and, where data are already in memory, tables."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesmeta.analysis import protocol_for
from bayesmeta.errors import ModelError
from bayesmeta.protocol import Benefit, Outcome, Protocol, read_protocol
from bayesmeta.studies import EffectSizes, StudyTable, TwoByTwo

if TYPE_CHECKING:
    from bayesmeta.compare.run import Data


def plan_for(
    source: "str | Path | Protocol | Data",
    *,
    measure: str | None = None,
    benefit: Benefit | None = None,
    outcomes: tuple[str, ...] = (),
    priors: Mapping[str, str] | None = None,
    level: float | None = None,
    seed: int | None = None,
    title: str = "",
    reading: Mapping[str, Any] | None = None,
    zero_cells: Mapping[str, Any] | None = None,
    models: tuple[str, ...] = (),
) -> "tuple[Protocol, dict[str, Data] | None]":
    """Return the protocol to carry out, and its tables when the data are already in memory.

    Parameters
    ----------
    source
        Protocol, path, or data; the other arguments are for a source that is not a protocol.
    reading, zero_cells
        Keys of the sections [data] and [zero_cells] of a protocol.
    models
        Names of models, the first the primary one; the protocol's default when empty.

    Raises
    ------
    ModelError
        If options are given that a protocol states itself.
    """
    given: dict[str, Any] = {
        "measure": measure,
        "benefit": benefit,
        "priors": priors,
        "level": level,
        "title": title or None,
    }
    given["models"] = models or None
    if isinstance(source, Protocol) or (isinstance(source, str | Path) and Path(source).suffix.lower() == ".toml"):
        said = [name for name, value in given.items() if value is not None] + [*(reading or {}), *(zero_cells or {})]
        if said:
            raise ModelError(
                f"{', '.join(said)}: a protocol states these itself. Change the protocol, or leave them out."
            )
        return (source if isinstance(source, Protocol) else read_protocol(source)), None
    extra = {
        "level": level,
        "seed": seed,
        "priors": None if priors is None else _priors(priors),
        "title": title or None,
        "models": models or None,
    }
    update = {name: value for name, value in extra.items() if value is not None}
    if isinstance(source, StudyTable | TwoByTwo | EffectSizes):
        known = source.measure if isinstance(source, EffectSizes) else "OR"
        name = (source.outcome if isinstance(source, StudyTable) else None) or "outcome"
        plan = Outcome(benefit=benefit, label=name if name != "outcome" else "All studies")
        file = source.source if isinstance(source, StudyTable) else ""
        made = Protocol.checked(
            {"data": file or "data in memory", "measure": measure or known, "outcomes": {name: plan}}
        )
        return Protocol.checked({**dict(made), **update}), {name: source}
    if len(outcomes) > 1:
        raise ModelError("Without a protocol a report has one outcome: name one, or write a protocol.")
    chosen = outcomes[0] if outcomes else None
    made = protocol_for(
        Path(source), measure=measure or "OR", benefit=benefit, outcome=chosen, reading=reading, zero_cells=zero_cells
    )
    return Protocol.checked({**dict(made), **update}), None


def _priors(priors: Mapping[str, str]) -> dict[str, dict[str, str]]:
    return {name: {"prior": str(text)} for name, text in priors.items()}
