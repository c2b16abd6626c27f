"""The data sets of a multiverse: effect measure, zero-cell rule and choice of studies."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from bayesmeta.effects import effect_sizes, find_measure
from bayesmeta.effects.zero_cells import ZeroRule
from bayesmeta.errors import BayesMetaError, DataError, ModelError, unknown
from bayesmeta.studies import EffectSizes, PersonTime, StudyTable, TwoByTwo

type Data = StudyTable | TwoByTwo | PersonTime | EffectSizes

EVERY = "all studies"
EXACT = "not needed (exact counts)"
NOTHING = "none"
WHERE = {
    "only0": "studies with a zero cell",
    "all": "all studies",
    "if0all": "all studies if one has a zero",
    "none": "",
}
# More subsets than this are no help to a reader, and their number doubles with every study.
MOST_SUBSETS = 4096


@dataclass(frozen=True, slots=True, eq=False)
class DataSet:
    """One data set, and the choices that made it (choice to level)."""

    choices: Mapping[str, str]
    data: Any
    measure: str


def counts_of(data: Data) -> TwoByTwo | None:
    """Return the 2x2 counts behind the data; None where there are none."""
    if isinstance(data, TwoByTwo):
        return data
    if isinstance(data, EffectSizes):
        return data.counts
    if isinstance(data, StudyTable) and "events_treatment" in data.columns and "n_treatment" in data.columns:
        return data.two_by_two()
    return None


def subsets_of(data: Data, subsets: "str | Mapping[str, Iterable[str]]") -> dict[str, tuple[str, ...]]:
    """Return label to the studies left out.

    Parameters
    ----------
    data
        The studies, with the status of their counts where known.
    subsets
        ``"all"`` (all studies only), ``"leave_one_out"`` (also without each study, and without all whose counts
        are reconstructed), ``"every"`` (every choice of at least two studies), or label to the studies left out.

    Raises
    ------
    ModelError
        If the name is unknown, or there would be more than 4096 subsets.
    DataError
        If no study would be left.
    """
    study = data.study
    found: dict[str, tuple[str, ...]] = {EVERY: ()}
    if isinstance(subsets, Mapping):
        found |= {str(label): tuple(names) for label, names in subsets.items()}
    elif subsets == "every":
        k = len(study)
        if 2**k - k - 1 > MOST_SUBSETS:
            raise ModelError(
                f"{k} studies have {2**k - k - 1} subsets of at least two, more than {MOST_SUBSETS}: "
                "use subsets='leave_one_out', or a mapping from a label to the studies left out."
            )
        out = [names for r in range(1, k - 1) for names in combinations(study, r)]
        found |= {f"without {', '.join(names)}": names for names in out}
    elif subsets == "leave_one_out":
        if len(study) > 1:
            found |= {f"without {name}": (name,) for name in study}
        doubtful = _reconstructed(data)
        if 1 < len(doubtful) < len(study):
            found["without reconstructed counts"] = doubtful
    elif subsets != "all":
        raise unknown("subsets =", subsets, ["all", "leave_one_out", "every"])
    for label, names in found.items():
        if len(set(names)) >= len(study):
            raise DataError(f"Subset {label!r} leaves no study: leave out fewer.")
    return found


def _reconstructed(data: Data) -> tuple[str, ...]:
    status: Sequence[Any] = ()
    if isinstance(data, StudyTable):
        status = data.columns.get("status", np.array([], dtype=object)).tolist()
    elif isinstance(data, TwoByTwo | PersonTime):
        status = data.status
    elif data.counts is not None:
        status = data.counts.status
    return tuple(s for s, how in zip(data.study, status, strict=False) if how == "reconstructed")


def rules_of(data: Data, zero_cells: "Sequence[tuple[float, str]] | None") -> dict[str, tuple[float | None, str]]:
    """Return label to the rule for zero cells: what is added, and to which studies.

    Without rules of the user: the measure's own where nothing has a zero cell, else 0.5 to the studies with a zero
    cell, 0.5 to all studies, and nothing, which leaves out the studies whose effect then does not exist.
    """
    if zero_cells is not None:
        for add, to in zero_cells:
            # Making the rule checks it.
            ZeroRule(add, to)
        return {_rule(add, to): (add, to) for add, to in zero_cells}
    counts = counts_of(data)
    if isinstance(data, EffectSizes) or counts is None or not _any_zero(counts):
        return {NOTHING: (None, "only0")}
    return {_rule(add, to): (add, to) for add, to in ((0.5, "only0"), (0.5, "all"), (0.0, "none"))}


def _rule(add: float, to: str) -> str:
    return "nothing added" if to == "none" or add == 0 else f"{add:g} to {WHERE[to]}"


def _any_zero(counts: TwoByTwo) -> bool:
    t, c = counts.events_treatment, counts.events_control
    return bool(np.any((t == 0) | (c == 0) | (t == counts.n_treatment) | (c == counts.n_control)))


def data_sets(
    data: Data,
    measures: Sequence[str],
    subsets: Mapping[str, tuple[str, ...]],
    rules: Mapping[str, tuple[float | None, str]],
) -> tuple[list[DataSet], list[str]]:
    """Return the data sets of every combination, and why a combination has none."""
    found, missing = [], []
    for measure in measures:
        for label, (add, to) in rules.items():
            for subset, names in subsets.items():
                choices = {"measure": measure, "zero cells": label, "studies": subset}
                try:
                    effects = _effects(data, measure, names, add, to)
                except BayesMetaError as error:
                    missing.append(f"{', '.join(choices.values())}: {error}")
                    continue
                found.append(DataSet(choices, effects, measure))
    return found, missing


def _effects(data: Data, measure: str, without: tuple[str, ...], add: float | None, to: str) -> EffectSizes:
    part = data.drop(without) if without else data
    if isinstance(part, EffectSizes):
        if measure != part.measure:
            raise ModelError(f"The effect sizes are {part.measure}, not {measure}: give the study table or counts.")
        return part
    find_measure(measure)
    return effect_sizes(part, measure, add=add, to=to, inestimable="exclude" if to == "none" else "raise")


def exact_sets(data: Data, subsets: Mapping[str, tuple[str, ...]]) -> list[DataSet]:
    """Return the counts of every subset, for likelihoods that need no zero-cell rule."""
    counts = counts_of(data)
    if counts is None:
        raise DataError("An exact likelihood needs the 2x2 counts, and the data are ready estimates: leave it out.")
    choices = {"measure": "OR", "zero cells": EXACT}
    return [DataSet({**choices, "studies": s}, counts.drop(n) if n else counts, "OR") for s, n in subsets.items()]
