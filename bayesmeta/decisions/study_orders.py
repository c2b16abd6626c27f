"""Studies that grow: in another order, the first few of them, and earlier ones joined by later ones."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bayesmeta.effects import effect_sizes
from bayesmeta.errors import DataError
from bayesmeta.model import Model
from bayesmeta.studies import EffectSizes, StudyTable, TwoByTwo
from bayesmeta.studies.effect_sizes import ONE_ROW_A_STUDY
from bayesmeta.values import Array

type Studies = EffectSizes | TwoByTwo


def studies_for(data: Studies | StudyTable, model: Model, measure: str | None) -> Studies:
    """Return what the model takes."""
    if isinstance(data, EffectSizes):
        if data.moderators:
            raise DataError("A sequence follows one mean effect, and these effects have moderators: leave them out.")
        return data
    if isinstance(data, TwoByTwo):
        return data if model.data_type is TwoByTwo else effect_sizes(data, measure or "OR")
    if isinstance(data, StudyTable):
        return data.two_by_two() if model.data_type is TwoByTwo else effect_sizes(data, measure or "OR")
    raise DataError(f"Give effect sizes, 2x2 counts or a study table, not {type(data).__name__}.")


def places(data: Studies | StudyTable, studies: Studies, order: str | Sequence[str]) -> list[int]:
    """Return the places of the studies in the order asked for."""
    if not isinstance(order, str):
        if sorted(order) != sorted(studies.study):
            raise DataError(f"order= must name every study once. Studies: {', '.join(studies.study)}.")
        return [studies.study.index(label) for label in order]
    if not isinstance(data, StudyTable):
        raise DataError(f"order={order!r} names a column, and only a study table has columns: give the labels.")
    key = dict(zip(data.study, data.column(order), strict=True))
    unknown_ = [s for s in studies.study if not np.isfinite(key[s])]
    if unknown_:
        raise DataError(f"Study {unknown_[0]!r} has no {order}: fill it in, or give order= as the list of labels.")
    return sorted(range(studies.k), key=lambda i: key[studies.study[i]])


def take(studies: Studies, where: Sequence[int]) -> Studies:
    """Return some of the studies, in that order."""
    index = list(where)
    labels = tuple(studies.study[i] for i in index)
    arrays: tuple[str, ...]
    if isinstance(studies, TwoByTwo):
        arrays = ("events_treatment", "n_treatment", "events_control", "n_control")
        status = tuple(studies.status[i] for i in index)
        return replace(studies, study=labels, status=status, **{a: getattr(studies, a)[index] for a in arrays})
    studies.check_independent("An analysis that grows study by study")
    counts = None if studies.counts is None else take(studies.counts, index)
    arrays = ("yi", "sei", "X", *(() if studies.ni is None else ("ni",)))
    return replace(
        studies,
        study=labels,
        **ONE_ROW_A_STUDY,
        counts=counts if isinstance(counts, TwoByTwo) else None,
        adjusted=tuple(a for a in studies.adjusted if a.study in labels),
        observed={name: values[index] for name, values in studies.observed.items()},
        **{a: getattr(studies, a)[index] for a in arrays},
    )


def joined(first: Any, later: Studies) -> Studies:
    """Return the earlier studies and then the later ones.

    Raises
    ------
    DataError
        If they are not of one kind and measure, or share a label.
    """
    both = sorted(set(first.study) & set(later.study))
    if both:
        raise DataError(
            f"Study {both[0]!r} is among the earlier and the later studies: a study counts once. Leave it out of one, "
            "or give it another label if it is another study."
        )
    labels = (*first.study, *later.study)
    if isinstance(first, TwoByTwo) and isinstance(later, TwoByTwo):
        names = ("events_treatment", "n_treatment", "events_control", "n_control")
        arrays = {a: np.concatenate([getattr(first, a), getattr(later, a)]) for a in names}
        return TwoByTwo(study=labels, status=(*first.status, *later.status), **arrays)
    if not (isinstance(first, EffectSizes) and isinstance(later, EffectSizes)) or first.measure != later.measure:
        kinds = " and ".join(f"{type(d).__name__} {getattr(d, 'measure', '')}".strip() for d in (first, later))
        raise DataError(f"The earlier and the later studies are {kinds}: give both the same way.")
    for part in (first, later):
        part.check_independent("An analysis that grows study by study")
    sizes = [d.ni for d in (first, later)]
    counts = joined(first.counts, later.counts) if first.counts is not None and later.counts is not None else None
    return replace(
        first,
        yi=np.concatenate([first.yi, later.yi]),
        sei=np.concatenate([first.sei, later.sei]),
        study=labels,
        **ONE_ROW_A_STUDY,
        X=None,
        terms=(),
        ni=None if any(n is None for n in sizes) else np.concatenate([n for n in sizes if n is not None]),
        counts=counts if isinstance(counts, TwoByTwo) else None,
        adjusted=(*first.adjusted, *later.adjusted),
        excluded=(*first.excluded, *later.excluded),
        observed=_both(first.observed, later.observed),
    )


def _both(first: Mapping[str, Array], later: Mapping[str, Array]) -> dict[str, Array]:
    """Return what was observed in the earlier and the later studies; nothing where not all were counted alike."""
    if set(first) != set(later):
        return {}
    return {name: np.concatenate([values, later[name]]) for name, values in first.items()}
