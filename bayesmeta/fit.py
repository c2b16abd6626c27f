"""The one door to a posterior: ``fit(data, model, priors, engine)``."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.effects import contrasts, effect_sizes, find_measure
from bayesmeta.engines import ENGINES
from bayesmeta.engines.own_files import check_copy
from bayesmeta.errors import DataError, ModelError, unknown
from bayesmeta.model import Gaussian, Model, load_model
from bayesmeta.posterior import Posterior
from bayesmeta.priors import Prior, fill_defaults, parse_prior
from bayesmeta.reading.frames import table_of_frame
from bayesmeta.reading.sources import FRAME
from bayesmeta.seeds import SeedLike, one_seed
from bayesmeta.studies import (
    Contrasts,
    DiagnosticTable,
    EffectSizes,
    NetworkTable,
    PersonTime,
    StudyTable,
    TwoByTwo,
    exact_model,
)
from bayesmeta.values import Array
from bayesmeta.words import joined

if TYPE_CHECKING:
    import xarray as xr


def fit(
    data: Any,
    model: str | Path | Model | None = None,
    *,
    priors: Mapping[str, Any] | None = None,
    engine: str = "auto",
    seed: SeedLike = None,
    random_seed: SeedLike = None,
    measure: str | None = None,
    **options: Any,
) -> Posterior:
    """Return the posterior of `model` given `data`.

    Parameters
    ----------
    data
        What the model takes: `EffectSizes` or `TwoByTwo`, ...; or a `StudyTable`, or a data frame (pandas, polars,
        pyarrow) that is read as one: it is turned into counts where the model takes counts, else into effect sizes.
        A frame may hold estimates as ``yi`` with ``sei`` or ``vi``, on the analysis scale.
    model
        Name of a model in ``models/``, path of a model file, or a loaded model. When not given: ``normal_normal`` for
        effect sizes; for counts the model that leans on neither arm, ``hypergeometric_normal`` for 2x2 tables and
        ``poisson_normal_conditional`` for events and person-time.
    priors
        Parameter name to prior (value, text form, or scipy.stats frozen distribution); the model's
        defaults otherwise, which off the log ratio scale are those of `priors.default_priors`.
    engine
        ``"quadrature"`` (deterministic), ``"nuts"`` (PyMC, sampled), or ``"auto"``: quadrature
        where the model offers it, else NUTS. The result says which was used.
    seed
        Of the draws; the same seed gives the same draws. A numpy Generator is asked for the next one.
    random_seed
        The same, as PyMC and ArviZ call it; give one of them.
    measure
        Effect measure, e.g. ``"OR"``, of a table or a data frame that becomes effect sizes; other data have their own.
        A frame of estimates without one is of a measure of its own, ``"GEN"``.
    **options
        Passed to the engine, e.g. ``draws``, ``chains``, ``progress``.

    Raises
    ------
    ModelError
        If a name or an option is unknown, the seed is no whole number, the engine cannot do the model, or a copied
        model file was edited in ``build`` and not in the functions that restate it.
    DataError
        If the data are not what the model takes, or have moderators that the model does not use.
    ConvergenceError
        If the answer was not reached with the accuracy asked for.
    """
    data = _read(data)
    loaded = load_model(_default_model(data) if model is None else model)
    seed = one_seed(seed, random_seed)
    if isinstance(data, NetworkTable) and loaded.data_type is Contrasts and measure is not None:
        data, measure = contrasts(data, measure), None
    data = _data_for(loaded, data, measure)
    chosen = _priors_for(loaded, data, priors)
    if engine == "auto":
        offers = loaded.abilities.deterministic
        engine = "quadrature" if offers else "nuts"
    if engine not in ENGINES:
        raise unknown("engine", engine, ["auto", *ENGINES])
    if engine == "quadrature" and not loaded.abilities.deterministic:
        raise ModelError(f"Model {loaded.name!r} offers no quadrature. Use engine='nuts'.")
    check_copy(loaded, data, chosen)
    return ENGINES[engine](loaded, data, chosen, seed=seed, **options)


def _priors_for(model: Model, data: Any, given: Mapping[str, Any] | None) -> Mapping[str, Prior]:
    chosen = model.with_priors(fill_defaults(data, model.priors, given))
    model.check_labelled(data, chosen)
    return chosen


def _default_model(data: Any) -> str:
    if isinstance(data, TwoByTwo | PersonTime):
        return exact_model("OR" if isinstance(data, TwoByTwo) else "IRR")
    return "normal_normal"


def _read(data: Any) -> Any:
    """Return data frames as the studies that they hold, and everything else as it is."""
    if isinstance(data, StudyTable | EffectSizes | TwoByTwo | PersonTime | NetworkTable | Contrasts):
        return data
    table = table_of_frame(data)
    return data if table is None else table


def _data_for(model: Model, data: Any, measure: str | None = None) -> Any:
    if isinstance(data, StudyTable) and model.data_type is EffectSizes:
        if measure is None and "yi" in data.columns and data.source == FRAME:
            measure = "GEN"
        if measure is not None:
            data, measure = effect_sizes(data, measure), None
    if measure is not None and measure != getattr(data, "measure", measure):
        raise DataError(f"measure={measure!r}, but the effect sizes are of measure {data.measure!r}: leave it out.")
    if measure is not None and not isinstance(data, EffectSizes):
        model.check_measure(measure)
    if isinstance(data, StudyTable) and model.data_type is TwoByTwo:
        return data.two_by_two()
    if isinstance(data, StudyTable) and model.data_type is PersonTime:
        return data.person_time()
    if isinstance(data, StudyTable) and model.data_type is DiagnosticTable:
        tp, fp, fn, tn = (data.column(name) for name in ("tp", "fp", "fn", "tn"))
        return DiagnosticTable(tp, fp, fn, tn, data.study)
    if not isinstance(data, model.data_type):
        raise DataError(
            f"Model {model.name!r} takes {model.data_type.__name__}, but was given {type(data).__name__}. "
            + (
                "Use bm.effect_sizes(table, measure=...) first, or say measure= here."
                if isinstance(data, StudyTable)
                else "Use bm.effect_sizes(table, measure=...) first."
                if model.data_type is EffectSizes
                else 'Use bm.contrasts(bm.read_network(...), measure="OR") first.'
                if model.data_type is Contrasts
                else "Use bm.read_network(...): it takes the arms themselves."
                if model.data_type is NetworkTable
                else "Use table.two_by_two() to get counts, or table.person_time() for events and person-time."
            )
        )
    if isinstance(data, EffectSizes):
        find_measure(data.measure)
        if data.moderators and not model.takes_moderators:
            raise DataError(
                f"The effects have moderators ({joined(data.moderators)}), and model {model.name!r} is about one mean "
                "effect without them: use model='meta_regression', or leave the moderators out of the effect sizes."
            )
        if not model.takes_dependent_rows:
            data.check_independent(f"Model {model.name!r}")
    return data


def fit_many(
    data: Any,
    model: str | Path | Model = "normal_normal",
    *,
    priors: Mapping[str, Any] | Sequence[Mapping[str, Any] | None] | None = None,
    quantiles: Sequence[float] = (0.025, 0.5, 0.975),
    above: ArrayLike = (0.0,),
    tau_above: ArrayLike = (),
    tolerance: float = 1e-9,
    progress: bool = False,
) -> "xr.Dataset":
    """Return summaries of many posteriors of a normal model, computed together by quadrature.

    Parameters
    ----------
    data
        One data set, or a sequence of them; or a pair of ``(m, k)`` arrays ``(yi, sei)``, one data set
        a row, nan in both where a row has fewer studies.
    model
        A model whose true effects integrate out analytically, without moderators.
    priors
        One set of priors, or a sequence of them. One of `data` and `priors` may be single: it is
        then used with each of the other.
    quantiles
        Probabilities of the quantiles reported.
    above, tau_above
        Thresholds of mu (and of a new study's effect) and of tau, analysis scale: the probability of
        exceeding each is reported. A two-dimensional array has a row of its own for every analysis.
    tolerance
        Largest error estimate accepted, relative to the scale of each posterior.
    progress
        Whether to show a progress bar for analyses that need the adaptive engine.

    Returns
    -------
    xarray.Dataset
        Along ``analysis``: ``mu_mean``, ``mu_sd``, ``mu_quantile``, ``mu_above`` (probability of exceeding
        each threshold), ``tau_mean``, ``tau_sd``, ``tau_quantile``, ``tau_exceeds``, ``theta_new_mean``,
        ``theta_new_sd``, ``theta_new_quantile``, ``theta_new_above``, ``log_evidence`` (nan with an improper prior),
        ``error_estimate`` and ``nodes``. Moments that do not exist are infinite.

    Raises
    ------
    ModelError
        If the model has moderators or no closed form, or an analysis has no proper posterior.
    DataError
        If the numbers of data sets and of priors do not match, or data are not what the model takes.
    ConvergenceError
        If an analysis does not reach the accuracy asked for.
    """
    from bayesmeta.engines.gaussian.batch.stacks import Wanted, solve_many

    loaded = load_model(model)
    if not loaded.abilities.batched:
        raise ModelError(f"Model {loaded.name!r} has no closed form given tau alone, so it cannot be batched. Use fit.")
    sets = _many_data(data)
    several = [priors] if priors is None or isinstance(priors, Mapping) else list(priors)
    # Read once: what many analyses share is one value, which the engine then asks once for all of them.
    several = [_parsed(p) for p in several]
    m = max(len(sets), len(several))
    if len(sets) not in (1, m) or len(several) not in (1, m):
        raise DataError(
            f"There are {len(sets)} data sets and {len(several)} sets of priors: give as many of each, or one."
        )
    pairs = zip(sets * (m // len(sets)), several * (m // len(several)), strict=True)
    given = [_marginal(loaded, d, p) for d, p in pairs]
    q = np.asarray(quantiles, dtype=float)
    if not np.all((q > 0.0) & (q < 1.0)):
        raise ModelError(f"quantiles={q.tolist()}: each must be a probability between 0 and 1, e.g. 0.975.")
    wanted = Wanted(q, _rows(above, m, "above"), _rows(tau_above, m, "tau_above"))
    found = solve_many(given, wanted, tolerance, progress)
    values = {f.name: getattr(found, f.name) for f in dataclasses.fields(found)}
    coords = {"quantile": q}
    coords |= {n: np.asarray(t) for n, t in (("above", above), ("tau_above", tau_above)) if np.ndim(t) == 1}
    attrs = {"model": loaded.name, "engine": "quadrature", "tolerance": tolerance}
    return _dataset(values, coords, attrs)


def _parsed(priors: Any) -> Any:
    """Return priors with their texts read; what is no mapping is refused where it is used."""
    return {n: parse_prior(p) for n, p in priors.items()} if isinstance(priors, Mapping) else priors


def _dataset(values: dict[str, Array], coords: dict[str, Array], attrs: dict[str, Any]) -> "xr.Dataset":
    """Return summaries with their dimensions."""
    import xarray as xr

    values["theta_new_mean"] = values["mu_mean"]
    # The thresholds of tau give their name to a coordinate, so the probabilities cannot have it too.
    values["tau_exceeds"] = values.pop("tau_above")
    second = {"mu_above": "above", "theta_new_above": "above", "tau_exceeds": "tau_above"}
    second |= dict.fromkeys(("mu_quantile", "tau_quantile", "theta_new_quantile"), "quantile")
    dims = {name: ("analysis", second[name]) if name in second else ("analysis",) for name in values}
    return xr.Dataset({name: (dims[name], value) for name, value in values.items()}, coords=coords, attrs=attrs)


def _rows(thresholds: ArrayLike, m: int, name: str) -> Array:
    """Return ``(m, a)`` thresholds from ``(a,)`` common ones or a row for each analysis."""
    values = np.asarray(thresholds, dtype=float)
    if np.isnan(values).any():
        raise DataError(f"{name} has a threshold that is no number (nan): give a value, inf or -inf.")
    if values.ndim == 1:
        return np.tile(values, (m, 1))
    if values.ndim != 2 or len(values) != m:
        raise DataError(
            f"{name} has shape {values.shape}: give one list of thresholds, or one row for each of {m} analyses."
        )
    return values


def _marginal(model: Model, data: Any, priors: Mapping[str, Any] | None) -> Gaussian:
    assert model.gaussian is not None
    checked = _data_for(model, data)
    given = model.gaussian(checked, _priors_for(model, checked, priors))
    if not given.independent:
        raise ModelError(f"Model {model.name!r} has dependent rows here, so it cannot be batched. Use fit.")
    return given


def _many_data(data: Any) -> list[Any]:
    """Return a list of data sets from one, several, or a pair of arrays."""
    if isinstance(data, tuple) and len(data) == 2 and np.ndim(data[0]) == 2:
        yi, sei = (np.asarray(x, dtype=float) for x in data)
        if yi.shape != sei.shape:
            raise DataError(f"yi has shape {yi.shape} and sei {sei.shape}: they must be equal.")
        there = ~(np.isnan(yi) & np.isnan(sei))
        return [EffectSizes(yi=y[t], sei=s[t]) for y, s, t in zip(yi, sei, there, strict=True)]
    sets = list(data) if isinstance(data, list | tuple) else [data]
    if not sets:
        raise DataError("There are no data sets: give at least one.")
    return sets
