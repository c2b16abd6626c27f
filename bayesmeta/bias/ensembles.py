"""Ensembles of models of reporting: readable tables, ours and a user's own."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from bayesmeta.errors import DataError, ModelError, unknown
from bayesmeta.priors import Prior, mirrored, parse_prior
from bayesmeta.resources import data_dir

COLUMNS = ("effect", "heterogeneity", "bias", "model", "mu", "tau", "reporting", "probability")
GROUPS = ("effect", "heterogeneity", "bias")
_STATES = ("null", "alternative")


@dataclass(frozen=True, slots=True)
class Member:
    """One model of an ensemble.

    Parameters
    ----------
    effect, heterogeneity
        ``"null"`` or ``"alternative"``.
    bias
        Family of the model of reporting; ``"none"`` for none.
    model
        Name of the model file.
    priors
        By parameter.
    probability
        Before the data.
    """

    effect: str
    heterogeneity: str
    bias: str
    model: str
    priors: dict[str, Prior]
    probability: float

    def has(self, group: str) -> bool:
        """Return whether the model has an effect, heterogeneity, or reporting bias."""
        state = getattr(self, group)
        return bool(state not in ("null", "none"))


def list_ensembles() -> list[str]:
    """Return the names of the ensembles that ship with bayesmeta."""
    return sorted(path.stem for path in (data_dir() / "ensembles").glob("*.csv"))


def read_ensemble(
    ensemble: str | Path, direction: str, *, scale: float = 1.0, critical: str = "z"
) -> tuple[Member, ...]:
    """Return the models of an ensemble.

    Parameters
    ----------
    ensemble
        A name, or the path of a CSV file with the same columns.
    direction
        ``"greater"`` or ``"less"``: which results are favoured.
    scale
        What the priors of effect and heterogeneity are multiplied with, e.g. 1.81 from standardised mean differences
        to log odds ratios. A slope on the standard error has no unit, one on the variance its inverse.
    critical
        How cut points become effects, where the table leaves it open.

    Raises
    ------
    DataError
        If the file cannot be read or lacks a column.
    ModelError
        If the name is unknown or a row says something impossible.
    """
    path = Path(ensemble)
    if path.suffix.lower() != ".csv":
        path = data_dir() / "ensembles" / f"{ensemble}.csv"
        if str(ensemble) not in list_ensembles():
            raise unknown("ensemble", str(ensemble), list_ensembles())
    if not path.is_file():
        raise DataError(f"Ensemble file {str(path)!r} does not exist.")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise DataError(
                f"{path.name} lacks {', '.join(missing)}: an ensemble has the columns {', '.join(COLUMNS)}."
            )
        rows = [(line, row) for line, row in enumerate(reader, start=2)]
    members = [_member(f"{path.name}, line {line}", row, direction, scale, critical) for line, row in rows]
    _check(path.name, members)
    return tuple(members)


def _member(place: str, row: dict[str, str], direction: str, scale: float, critical: str) -> Member:
    for name in ("effect", "heterogeneity"):
        if row[name] not in _STATES:
            raise ModelError(f"{place}: {name} is {row[name]!r}; it is null or alternative.")
    priors = {name: parse_prior(row[name]) for name in ("mu", "tau")}
    if scale != 1.0:
        priors = {name: p if p.support[0] == p.support[1] else p.rescale(scale) for name, p in priors.items()}
    model, stated = row["model"], row["reporting"].replace("DIRECTION", direction).replace("CRITICAL", critical)
    if model == "selection_stepfun":
        priors["omega"] = parse_prior(stated)
    elif model in ("pet", "peese"):
        slope = parse_prior(stated)
        if model == "peese" and scale != 1.0:
            slope = slope.rescale(1.0 / scale)
        priors["bias"] = mirrored(slope) if direction == "less" else slope
    try:
        probability = float(Fraction(row["probability"]))
    except (ValueError, ZeroDivisionError):
        raise ModelError(f"{place}: probability is {row['probability']!r}; write 0.125 or 1/8.") from None
    if not probability > 0.0:
        raise ModelError(f"{place}: probability is {row['probability']}; it must be above 0, or delete the row.")
    return Member(row["effect"], row["heterogeneity"], row["bias"], model, priors, probability)


def _check(name: str, members: Sequence[Member]) -> None:
    if len(members) < 2:
        raise DataError(f"{name} has {len(members)} models: an average needs two at least.")
