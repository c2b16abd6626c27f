"""Many analyses at once: batched quadrature where the model allows it, else one after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesmeta.errors import BayesMetaError, DataError, ModelError
from bayesmeta.fit import fit, fit_many
from bayesmeta.model import Model
from bayesmeta.posterior import Marginal
from bayesmeta.priors import fixed_value
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array

# What is reported of mu, tau and a new study's effect.
STATISTICS = ("mean", "sd", "median", "low", "high")
QUANTITIES = tuple(f"{name}_{what}" for name in ("mu", "tau", "theta_new") for what in STATISTICS)
# Probabilities about the threshold.
SIDES = tuple(f"{name}_{what}" for name in ("mu", "theta_new") for what in ("above", "exactly"))


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One analysis: data, priors by parameter, and the threshold (analysis scale) it is asked about."""

    data: Any
    priors: Mapping[str, Any]
    threshold: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What ``m`` analyses said.

    Parameters
    ----------
    values
        ``mu_mean``, ``tau_low``, ..., ``mu_above``, ``theta_new_above``, ``mu_exactly`` and ``theta_new_exactly`` (the
        probability of the threshold itself), ``log_evidence``: ``(m,)`` each, on the analysis scale, nan where an
        analysis has no answer.
    reasons
        Index of an analysis without an answer to the reason.
    """

    values: Mapping[str, Array]
    reasons: Mapping[int, str]


def batched(model: Model) -> bool:
    """Return whether the model's analyses are computed together."""
    return model.abilities.batched


def known_at(priors: Mapping[str, Any], value: float) -> tuple[float, float]:
    """Return the probabilities that mu and that a new study's true effect is exactly one value: that of a known mu.

    Parameters
    ----------
    priors
        All priors of a model; one without tau has tau = 0.
    value
        On the analysis scale.
    """
    at = float(fixed_value(priors.get("mu")) == value)
    return at, at * float("tau" not in priors or fixed_value(priors["tau"]) == 0.0)


def answers(model: Model, jobs: Sequence[Job], *, level: float = 0.95, progress: bool = False) -> Answers:
    """Return the summaries of many analyses of one model, each with its own data and priors.

    Parameters
    ----------
    model
        A model with quadrature.
    jobs
        The analyses.
    level
        Of the equal-tailed intervals.
    progress
        Whether to show a progress bar.

    Raises
    ------
    ModelError
        If the model has no quadrature, the data have moderators, or `level` is no probability.
    """
    if not 0.0 < level < 1.0:
        raise ModelError(f"level is {level!r}; it is a probability strictly between 0 and 1, e.g. 0.95.")
    if not model.abilities.deterministic:
        raise ModelError(
            f"Model {model.name!r} offers no quadrature, and sampling it for every choice would take hours: "
            "use 'normal_normal' or 'hypergeometric_normal', or fit it yourself for the few choices that matter."
        )
    if any(isinstance(job.data, EffectSizes) and job.data.moderators for job in jobs):
        raise DataError("Sensitivity over many analyses is about one mean effect: leave the moderators out.")
    values = {name: np.full(len(jobs), np.nan) for name in (*QUANTITIES, *SIDES, "log_evidence")}
    reasons: dict[int, str] = {}
    # Analyses with the same priors stand together, so that priors without an answer are split off quickly.
    order = sorted(range(len(jobs)), key=lambda i: repr(jobs[i].priors))
    step = len(jobs) if batched(model) else 1
    for i in range(0, len(jobs), max(1, step)):
        _fill(model, jobs, order[i : i + step], level, values, reasons, progress)
    return Answers(values, reasons)


def _fill(
    model: Model,
    jobs: Sequence[Job],
    index: list[int],
    level: float,
    values: dict[str, Array],
    reasons: dict[int, str],
    progress: bool,
) -> None:
    """Fill `values` at `index`; where the whole has no answer, its halves are tried, down to the analysis at fault."""
    try:
        found = _together(model, [jobs[i] for i in index], level, progress)
    except BayesMetaError as error:
        if len(index) == 1:
            reasons[index[0]] = str(error)
            return
        half = len(index) // 2
        _fill(model, jobs, index[:half], level, values, reasons, progress)
        _fill(model, jobs, index[half:], level, values, reasons, progress)
        return
    for name, value in found.items():
        values[name][index] = value


def _together(model: Model, jobs: list[Job], level: float, progress: bool) -> dict[str, Array]:
    if not batched(model):
        return _alone(model, jobs[0], level)
    tail = (1.0 - level) / 2.0
    done = fit_many(
        [job.data for job in jobs],
        model,
        priors=[job.priors for job in jobs],
        quantiles=(tail, 0.5, 1.0 - tail),
        above=np.array([[job.threshold] for job in jobs]),
        progress=progress,
    )
    exact = np.array([known_at({**model.priors, **job.priors}, job.threshold) for job in jobs])
    out = {
        "log_evidence": np.asarray(done["log_evidence"]),
        "mu_exactly": exact[:, 0],
        "theta_new_exactly": exact[:, 1],
    }
    for name in ("mu", "tau", "theta_new"):
        out[f"{name}_mean"], out[f"{name}_sd"] = np.asarray(done[f"{name}_mean"]), np.asarray(done[f"{name}_sd"])
        quantile = np.asarray(done[f"{name}_quantile"])
        out |= {f"{name}_{what}": quantile[:, j] for j, what in enumerate(("low", "median", "high"))}
        if name != "tau":
            out[f"{name}_above"] = np.asarray(done[f"{name}_above"])[:, 0]
    return out


def _alone(model: Model, job: Job, level: float) -> dict[str, Array]:
    posterior = fit(job.data, model, priors=job.priors, engine="quadrature")
    out: dict[str, float] = {}
    for name in ("mu", "tau", "theta_new"):
        if name not in posterior.marginals:
            # A common-effect model has tau = 0 by definition.
            out |= dict.fromkeys((f"{name}_{what}" for what in STATISTICS), 0.0)
            continue
        out |= _summary(name, posterior[name], level)
        if name != "tau":
            out[f"{name}_above"] = float(posterior[name].sf(job.threshold))
    out["mu_exactly"], out["theta_new_exactly"] = known_at(posterior.priors, job.threshold)
    out["log_evidence"] = np.nan if posterior.log_evidence is None else posterior.log_evidence
    return {name: np.array([value]) for name, value in out.items()}


def _summary(name: str, marginal: Marginal, level: float) -> dict[str, float]:
    inside = marginal.eti(level)
    found = (marginal.mean(), marginal.sd(), marginal.median(), inside.low, inside.high)
    return {f"{name}_{what}": float(value) for what, value in zip(STATISTICS, found, strict=True)}
