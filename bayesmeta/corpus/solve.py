"""One piece of a corpus: rows of studies in, a table with one row a meta-analysis out."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.corpus.recipe import Recipe
from bayesmeta.effects import compute_effects, find_measure
from bayesmeta.effects.checks import check_columns
from bayesmeta.effects.medians import with_means
from bayesmeta.effects.ready import ready_estimates, refuse_another_measure, source_of
from bayesmeta.errors import BayesMetaError, DataError, DataWarning
from bayesmeta.frequentist.batch import pool_many
from bayesmeta.model import load_model
from bayesmeta.reading.corpus_rows import CorpusRows
from bayesmeta.reading.many import ManyStudies
from bayesmeta.sensitivity.many import QUANTITIES, SIDES, Job, answers
from bayesmeta.studies import EffectSizes, PersonTime, TwoByTwo
from bayesmeta.values import Array

type Columns = dict[str, NDArray[Any]]


def solve(recipe: Recipe, rows: CorpusRows) -> Columns:
    """Return the columns of results, one row a meta-analysis in the order of the piece.

    A meta-analysis that cannot be analysed has its reason in ``error``, and nan in the columns that it lacks.
    """
    m = len(rows.groups)
    errors: dict[int, str] = {}
    with warnings.catch_warnings():
        # What a warning says of one interval of one study would be said thousands of times.
        warnings.simplefilter("ignore", DataWarning)
        studies = _studies(recipe, rows, errors)
        out: Columns = {"analysis": np.array(rows.groups, dtype=object)}
        data: list[Any] = list(studies)
        if recipe.model is not None and load_model(recipe.model).data_type is not EffectSizes:
            data = _counts(recipe, rows, errors)
        used = [d if s is None else s for d, s in zip(data, studies, strict=True)]
        out["k"] = np.array([0 if s is None else s.k for s in used], dtype=np.int64)
        out["excluded"] = np.where(out["k"] > 0, np.bincount(rows.group, minlength=m) - out["k"], 0)
        out |= _classical(recipe, studies, errors)
        if recipe.model is not None:
            out |= _bayesian(recipe, data, errors)
    out["error"] = np.array([errors.get(g, "") for g in range(m)], dtype=object)
    return out


def _studies(recipe: Recipe, rows: CorpusRows, errors: dict[int, str]) -> list[EffectSizes | None]:
    """Return the effects of each meta-analysis; all are computed together, and one by one where that cannot be."""
    try:
        return _effects(recipe, rows.checked(recipe.reading), len(rows.groups))
    except BayesMetaError:
        pass
    found: list[EffectSizes | None] = []
    for g in range(len(rows.groups)):
        try:
            one = rows.one(g)
            found += _effects(recipe, one.checked(recipe.reading), 1)
        except BayesMetaError as error:
            errors[g] = str(error)
            found.append(None)
    return found


def _effects(recipe: Recipe, many: ManyStudies, m: int) -> list[EffectSizes | None]:
    measure = find_measure(recipe.measure)
    columns = dict(many.columns)
    if measure.family == "means":
        columns, _ = with_means(columns)
    raw = measure.compute is not None and all(name in columns for name in measure.columns)
    options = dict(recipe.zero_cells)
    inestimable = options.pop("inestimable", "raise")
    labels = tuple(str(s) for s in many.study)
    if raw:
        used = {name: np.asarray(columns[name], dtype=float) for name in measure.columns}
        check_columns(measure, used, labels)
        done = compute_effects(recipe.measure, used, group=many.group, **options)
        yi, sei = done.yi, np.sqrt(done.vi)
        bad = ~done.dropped & ~(np.isfinite(yi) & (done.vi > 0))
        if bad.any() and inestimable == "raise":
            i = int(np.argmax(bad))
            raise DataError(
                f"{recipe.measure} is not estimable in study {labels[i]!r} of {many.groups[many.group[i]]!r}. "
                "To set such studies aside, say inestimable='exclude'."
            )
        keep = ~done.dropped & ~bad
    else:
        if source_of(columns, measure) is None:
            raise DataError(
                f"{recipe.measure} needs {', '.join(measure.columns)}, or estimates: yi with sei or vi, or estimate "
                f"with its limits. Columns: {', '.join(columns) or 'none'}."
            )
        refuse_another_measure(measure, columns, many.mapping, many.holds)
        yi, sei, _ = ready_estimates(measure, columns, labels, level=many.ci_level)
        keep = np.ones(len(yi), dtype=bool)
    ni = next((columns[n] for n in ("n",) if n in columns), None)
    if "n_treatment" in columns and "n_control" in columns:
        ni = columns["n_treatment"] + columns["n_control"]
    return [_one(recipe, many, g, yi, sei, keep, ni, labels) for g in range(m)]


def _one(
    recipe: Recipe,
    many: ManyStudies,
    g: int,
    yi: Array,
    sei: Array,
    keep: NDArray[np.bool_],
    ni: Array | None,
    labels: tuple[str, ...],
) -> EffectSizes:
    at = np.flatnonzero((many.group == g) & keep)
    if not at.size:
        raise DataError(f"{many.groups[g]!r} has no study with the numbers that {recipe.measure} needs.")
    # A row without its numbers was left out before; which meta-analysis it was of is told by its row alone.
    n = None if ni is None or not np.isfinite(ni[at]).all() else ni[at]
    return EffectSizes(yi[at], sei[at], study=tuple(labels[i] for i in at), measure=recipe.measure, ni=n)


def _classical(recipe: Recipe, studies: list[EffectSizes | None], errors: dict[int, str]) -> Columns:
    there = [g for g, s in enumerate(studies) if s is not None]
    out: Columns = {}
    if not recipe.classical:
        return out
    sizes = [studies[g] for g in there]
    width = max((s.k for s in sizes if s is not None), default=1)
    y, v = np.full((len(there), width), np.nan), np.full((len(there), width), np.nan)
    for row, s in enumerate(sizes):
        assert s is not None
        y[row, : s.k], v[row, : s.k] = s.yi, s.vi
    for method in recipe.classical:
        for rule in recipe.ci:
            done = _pooled(y, v, there, errors, method=method, ci=rule, level=recipe.level)
            names = {"mu": f"{method}_mu", "tau2": f"{method}_tau2", "I2": f"{method}_I2", "Q": "Q", "Q_p": "Q_p"}
            names |= {"se": f"{method}_{rule}_se", "ci_low": f"{method}_{rule}_low", "ci_high": f"{method}_{rule}_high"}
            names |= {"p_value": f"{method}_{rule}_p"}
            for name, column in names.items():
                out[column] = _spread(len(studies), there, done[name])
    return out


def _pooled(y: Array, v: Array, there: list[int], errors: dict[int, str], **options: Any) -> dict[str, Array]:
    """Return what `pool_many` says; where it has no answer for all, row by row."""
    names = ("mu", "se", "ci_low", "ci_high", "p_value", "tau2", "Q", "Q_p", "I2")
    if not there:
        return {name: np.empty(0) for name in names}
    try:
        batch = pool_many(y, v, **options)
        return {name: np.asarray(getattr(batch, name), dtype=float) for name in names}
    except BayesMetaError as error:
        if len(y) == 1:
            errors.setdefault(there[0], str(error))
            return {name: np.full(1, np.nan) for name in names}
    parts = [_pooled(y[i : i + 1], v[i : i + 1], [g], errors, **options) for i, g in enumerate(there)]
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def _bayesian(recipe: Recipe, data: list[Any], errors: dict[int, str]) -> Columns:
    there = [g for g, d in enumerate(data) if d is not None]
    jobs = [Job(data[g], recipe.priors, recipe.above) for g in there]
    found = answers(load_model(recipe.model or "normal_normal"), jobs, level=recipe.level)
    for i, reason in found.reasons.items():
        errors.setdefault(there[i], reason)
    return {name: _spread(len(data), there, found.values[name]) for name in (*QUANTITIES, *SIDES, "log_evidence")}


def _counts(recipe: Recipe, rows: CorpusRows, errors: dict[int, str]) -> list[TwoByTwo | PersonTime | None]:
    """Return what a model of counts takes, of each meta-analysis: also of those whose effects are not estimable."""
    two_arms = load_model(recipe.model or "").data_type is TwoByTwo
    found: list[TwoByTwo | PersonTime | None] = []
    for g, name in enumerate(rows.groups):
        try:
            table = rows.one(g).checked(recipe.reading).table(name)
            found.append(table.two_by_two() if two_arms else table.person_time())
        except BayesMetaError as error:
            errors.setdefault(g, str(error))
            found.append(None)
    return found


def _spread(m: int, there: list[int], values: Array) -> Array:
    out = np.full(m, np.nan)
    out[there] = values
    return out
