"""The one door to a posterior: ``fit(data, model, priors, engine)``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayesmeta.engines import ENGINES
from bayesmeta.errors import DataError, ModelError, unknown
from bayesmeta.model import Model, load_model
from bayesmeta.posterior import Posterior
from bayesmeta.priors import fill_defaults
from bayesmeta.studies import StudyTable, TwoByTwo


def fit(
    data: Any,
    model: str | Path | Model = "normal_normal",
    *,
    priors: Mapping[str, Any] | None = None,
    engine: str = "auto",
    seed: int | None = None,
    **options: Any,
) -> Posterior:
    """Return the posterior of `model` given `data`.

    Parameters
    ----------
    data
        What the model takes: `EffectSizes` or `TwoByTwo`, ...; a `StudyTable` is turned into counts
        where the model takes counts.
    model
        Name of a model in ``models/``, path of a model file, or a loaded model.
    priors
        Parameter name to prior (value, text form, or scipy.stats frozen distribution); the model's
        defaults otherwise, which off the log ratio scale are those of `priors.default_priors`.
    engine
        ``"quadrature"`` (deterministic), ``"nuts"`` (PyMC, sampled), or ``"auto"``: quadrature
        where the model offers it, else NUTS. The result says which was used.
    seed
        Of the draws; the same seed gives the same draws.
    **options
        Passed to the engine, e.g. ``draws``, ``chains``, ``progress``.

    Raises
    ------
    ModelError
        If a name is unknown, or the engine cannot do the model.
    DataError
        If the data are not what the model takes.
    ConvergenceError
        If the answer was not reached with the accuracy asked for.
    """
    loaded = load_model(model)
    data = _data_for(loaded, data)
    chosen = loaded.with_priors(fill_defaults(data, loaded.priors, priors))
    if engine == "auto":
        offers = loaded.gaussian_marginal is not None or loaded.study_likelihoods is not None
        engine = "quadrature" if offers else "nuts"
    if engine not in ENGINES:
        raise unknown("engine", engine, ["auto", *ENGINES])
    if engine == "quadrature" and loaded.gaussian_marginal is None and loaded.study_likelihoods is None:
        raise ModelError(f"Model {loaded.name!r} offers no quadrature. Use engine='nuts'.")
    return ENGINES[engine](loaded, data, chosen, seed=seed, **options)


def _data_for(model: Model, data: Any) -> Any:
    if isinstance(data, StudyTable) and model.data_type is TwoByTwo:
        return data.two_by_two()
    if not isinstance(data, model.data_type):
        raise DataError(
            f"Model {model.name!r} takes {model.data_type.__name__}, but was given {type(data).__name__}. "
            + (
                "Use bm.effect_sizes(table, measure=...) first."
                if model.data_type.__name__ == "EffectSizes"
                else "Use table.two_by_two() to get counts."
            )
        )
    return data
