"""The answer over a grid of priors, as an xarray Dataset."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.effects import MEASURES
from bayesmeta.errors import DataError, ModelError
from bayesmeta.events import Event, event_for
from bayesmeta.model import Model, load_model
from bayesmeta.sensitivity.many import QUANTITIES, Job, answers
from bayesmeta.sensitivity.presets import labelled, mu_presets, tau_presets
from bayesmeta.studies import EffectSizes, PersonTime, StudyTable, TwoByTwo

if TYPE_CHECKING:
    import xarray as xr


def sensitivity(
    data: Any,
    *,
    mu: Any = None,
    tau: Any = None,
    model: "str | Path | Model" = "normal_normal",
    benefit: str | None = None,
    threshold: float | None = None,
    level: float = 0.95,
    progress: bool = False,
) -> "xr.Dataset":
    """Return every quantity of interest over a grid of priors of mu and tau.

    Parameters
    ----------
    data
        What the model takes: `EffectSizes`, or counts for a model of counts.
    mu, tau
        Priors to compare: values or text forms, one or several, or a mapping from label to prior. Presets from
        vague to sceptical (and, with `benefit`, to enthusiastic) when not given.
    model
        A model with quadrature.
    benefit
        Direction that is a benefit, ``"higher"`` or ``"lower"``; when not given the probabilities are of effects
        above the threshold.
    threshold
        On the natural scale of the measure (that of the effect sizes, or the one a model of counts is about); no
        effect when not given.
    level
        Of the credible and the posterior prediction intervals (equal-tailed).
    progress
        Whether to show a progress bar.

    Returns
    -------
    xarray.Dataset
        Dimensions ``mu_prior`` and ``tau_prior``, with the priors' text forms (or labels) as coordinates and
        the text forms always in ``mu_prior_text`` and ``tau_prior_text``. Variables: ``mu_*``, ``tau_*`` and
        ``theta_new_*`` for mean, sd, median, low and high (analysis scale); ``p_mu`` and ``p_theta_new``, the
        probabilities that the mean effect and that a new study's true effect lie beyond the threshold, and
        ``p_mu_exactly`` and ``p_theta_new_exactly``, that they are the threshold, as under ``mu = "point(0)"``;
        ``log_evidence`` (nan under improper priors). nan where priors give no answer, with the reason in the
        attribute ``not_computed``.

    Raises
    ------
    ModelError
        If a prior or the model is unknown or the model has no quadrature, or no prior pair gives an answer.
    DataError
        If the data are not what the model takes, or have moderators that it does not use.

    Examples
    --------
    >>> effects = EffectSizes(yi=[0.1, 0.5, 0.3], sei=[0.2, 0.3, 0.2], measure="OR")
    >>> grid = sensitivity(effects, mu=["normal(0, 1)", "normal(0, 10)"], tau="half_normal(0.5)")
    >>> dict(grid.sizes), grid.p_mu.attrs["event"]
    ({'mu_prior': 2, 'tau_prior': 1}, 'OR > 1, mean effect')
    """
    loaded = load_model(model)
    data, measure = _data(loaded, data)
    event = None if _eventless(measure, benefit, threshold) else event_for(measure, benefit, threshold)
    mus = labelled(mu_presets(measure, benefit) if mu is None else mu, "mu")
    taus = _taus(loaded, tau, measure)
    at = 0.0 if event is None else event.threshold
    jobs = [Job(data, {"mu": m, **({} if t is None else {"tau": t})}, at) for m in mus.values() for t in taus.values()]
    done = answers(loaded, jobs, level=level, progress=progress)
    if len(done.reasons) == len(jobs):
        raise ModelError(f"No pair of priors gives an answer. {next(iter(done.reasons.values()))}")
    return _dataset(mus, taus, done.values, done.reasons, event, measure, loaded, level)


def _eventless(measure: str, benefit: str | None, threshold: float | None) -> bool:
    return benefit is None and threshold is None and MEASURES[measure].null is None


def _data(model: Model, data: Any) -> tuple[Any, str]:
    """Return what the model takes and the measure of its effects."""
    if isinstance(data, StudyTable) and model.data_type is TwoByTwo:
        data = data.two_by_two()
    elif isinstance(data, StudyTable) and model.data_type is PersonTime:
        data = data.person_time()
    elif isinstance(data, EffectSizes) and model.data_type is TwoByTwo and data.counts is not None:
        model.check_measure(data.measure)
        data = data.counts
    if not isinstance(data, model.data_type):
        raise DataError(
            f"Model {model.name!r} takes {model.data_type.__name__}, but was given {type(data).__name__}. "
            "Use bm.effect_sizes(table, measure=...) for effects, or table.two_by_two() for counts."
        )
    measure = data.measure if isinstance(data, EffectSizes) else model.own_measure
    if measure is None:
        raise ModelError(f"What mu of model {model.name!r} measures is not known: state MEASURE in the model file.")
    return data, measure


def _taus(model: Model, tau: Any, measure: str) -> dict[str, Any]:
    if "tau" in model.priors:
        return labelled(tau_presets(measure) if tau is None else tau, "tau")
    if tau is not None:
        raise ModelError(f"Model {model.name!r} has no tau (all studies share one effect): leave tau= out.")
    return {"tau = 0": None}


def _dataset(
    mus: dict[str, Any],
    taus: dict[str, Any],
    values: Any,
    reasons: Any,
    event: Event | None,
    measure: str,
    model: Model,
    level: float,
) -> "xr.Dataset":
    import xarray as xr

    shape, dims = (len(mus), len(taus)), ("mu_prior", "tau_prior")
    names = (*QUANTITIES, "log_evidence")
    variables: dict[str, Any] = {name: (dims, values[name].reshape(shape)) for name in names}
    attrs: dict[str, Any] = {"measure": measure, "scale": "analysis", "model": model.name, "level": level}
    if event is not None:
        for name, estimand in (("mu", "mean effect"), ("theta_new", "true effect of a new study")):
            exact = values[f"{name}_exactly"]
            found = event.probability(values[f"{name}_above"], exact).reshape(shape)
            variables[f"p_{name}"] = (dims, found, {"event": event.said(estimand)})
            variables[f"p_{name}_exactly"] = (dims, exact.reshape(shape), {"event": f"{event.edge}, {estimand}"})
        attrs |= {
            "direction": "above" if event.direction == "higher" else "below",
            "threshold": event.threshold,
            "threshold_natural": event.natural,
            "event": event.text,
        }
    pairs = [f"mu ~ {m}, tau ~ {t}" for m in mus for t in taus]
    attrs["not_computed"] = [f"{pairs[i]}: {reason}" for i, reason in sorted(reasons.items())]
    coords = {
        "mu_prior": list(mus),
        "tau_prior": list(taus),
        "mu_prior_text": ("mu_prior", [repr(p) for p in mus.values()]),
        "tau_prior_text": ("tau_prior", ["tau = 0" if p is None else repr(p) for p in taus.values()]),
    }
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def prior_range(grid: "xr.Dataset", name: str = "p_mu") -> tuple[float, float]:
    """Return the smallest and largest value of one quantity over the priors that gave an answer.

    Raises
    ------
    ModelError
        If the grid has no such quantity.
    """
    if name not in grid:
        raise ModelError(f"The grid has no {name!r}. It has: {', '.join(map(str, grid.data_vars))}.")
    found = np.asarray(grid[name])
    return float(np.nanmin(found)), float(np.nanmax(found))
