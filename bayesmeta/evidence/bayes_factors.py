"""What the data say between models: Bayes factors, model averaging and predictive checks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.errors import DataError, ModelError, unknown
from bayesmeta.fit import fit, fit_many
from bayesmeta.marginals import Known, known
from bayesmeta.marginals.average import Average
from bayesmeta.posterior import AVERAGE, Diagnostics, Marginal, Posterior, check_single_fit, fixed_at
from bayesmeta.priors import Point
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array, FrozenMap, IntervalKind, frozen_array
from bayesmeta.words import joined

if TYPE_CHECKING:
    import xarray as xr


def log_evidence(posterior: Posterior) -> float:
    """Return the log marginal likelihood of a fit.

    Raises
    ------
    ModelError
        If it has none: a prior is improper, or the engine does not compute it.
    """
    if posterior.log_evidence is None:
        improper = [f"{name} ~ {prior!r}" for name, prior in posterior.priors.items() if not prior.proper]
        why = f"the prior {', '.join(improper)} is improper" if improper else f"engine {posterior.engine!r} has none"
        raise ModelError(
            f"There is no marginal likelihood to compare models with: {why}. Use proper priors and engine='quadrature'."
        )
    return posterior.log_evidence


def bayes_factor(first: Posterior, second: Posterior) -> float:
    """Return the Bayes factor of one fit against another: how many times better it predicted the data.

    Infinite beyond the largest float (1.8e308), and 0 below the smallest; the difference of `log_evidence` is exact.

    Raises
    ------
    ModelError
        If a fit has no marginal likelihood.
    DataError
        If the two were fitted to different data.
    """
    if not isinstance(first, Posterior) or not isinstance(second, Posterior):
        raise ModelError("A Bayes factor compares two fits: give two results of bm.fit.")
    _check_same_data((first, second), "A Bayes factor compares")
    return ratio(log_evidence(first) - log_evidence(second))


def _check_same_data(fits: Sequence[Posterior], what: str) -> None:
    """Refuse fits whose evidences are densities of different data."""
    first = fits[0]
    for other in fits[1:]:
        if tuple(first.data.study) != tuple(other.data.study):
            raise DataError(f"{what} models of the same studies; these fits have different ones.")
        why = _difference(first, other)
        if why:
            raise DataError(f"{what} models of the same data, and {why}. Their evidences cannot be compared.")


def _difference(first: Posterior, other: Posterior) -> str:
    a, b = first.data, other.data
    if type(a) is not type(b):
        return f"these are {type(a).__name__} in one fit and {type(b).__name__} in the other"
    known = ("yi", "sei") if isinstance(a, EffectSizes) else tuple(f.name for f in fields(a))
    for name in known:
        x, y = getattr(a, name), getattr(b, name)
        if isinstance(x, np.ndarray) and not np.array_equal(x, y):
            return f"these differ between the fits ({name})"
    # The one is the probability of both arms' events, the other that of one arm's given their sum.
    if not isinstance(a, EffectSizes) and ("baseline" in first.priors) != ("baseline" in other.priors):
        return f"{first.model.name} and {other.model.name} do not state the probability of the same counts"
    return ""


def _measure(posterior: Posterior) -> str:
    """Return what mu is: the measure of estimates, or that of a model of counts."""
    return str(getattr(posterior.data, "measure", None) or posterior.model.own_measure or "not stated")


def ratio(log: float) -> float:
    """Return ``exp(log)``, infinity where that is beyond the largest float."""
    try:
        return math.exp(log)
    except OverflowError:
        return math.inf


@dataclass(frozen=True, slots=True, eq=False)
class Averaged:
    """How a model average was made.

    Parameters
    ----------
    posteriors
        The fits.
    prior_weights, weights
        ``(n,)`` probabilities of the models before and after the data.
    """

    posteriors: tuple[Posterior, ...]
    prior_weights: Array
    weights: Array

    def inclusion_bayes_factor(self, included: Sequence[bool]) -> float:
        """Return the Bayes factor of the models marked True against the others: posterior odds over prior odds.

        Raises
        ------
        ModelError
            If there is not one value per model, or all are the same.
        """
        mask = np.asarray(included, dtype=bool)
        if mask.shape != self.weights.shape or mask.all() or not mask.any():
            raise ModelError(f"included= needs {len(self.weights)} true/false values, some of each.")
        prior = self.prior_weights[mask].sum() / self.prior_weights[~mask].sum()
        # Infinite where the others are improbable beyond the floats.
        with np.errstate(divide="ignore"):
            return float(self.weights[mask].sum() / self.weights[~mask].sum() / prior)


def known_value(posterior: Posterior, name: str) -> float | None:
    """Return the value of mu, a coefficient, tau, tau2 or I2 (percent) where a fit knows it, else None."""
    if name in posterior.marginals:
        marginal = posterior[name]
        return marginal.value if isinstance(marginal, Known) else None
    if isinstance(posterior.details, Averaged):
        values = {known_value(fitted, name) for fitted in posterior.details.posteriors}
        return values.pop() if len(values) == 1 else None
    # Quadrature takes a model without a tau as one in which all studies share an effect.
    return 0.0 if name in ("tau", "tau2", "I2") and "tau" not in {*posterior.marginals, *posterior.priors} else None


def model_average(posteriors: Sequence[Posterior], weights: ArrayLike | None = None) -> Posterior:
    """Return the average of several fits to the same data, each weighted by how well it predicted them.

    Parameters
    ----------
    posteriors
        Fits with proper priors: other models, or other priors of the same model.
    weights
        ``(n,)`` prior probabilities of the models; equal when None.

    Returns
    -------
    Posterior
        Its ``details`` is an `Averaged` with the models' posterior probabilities.

    Raises
    ------
    ModelError
        If a fit has no marginal likelihood, or the weights are not probabilities.
    DataError
        If there are none, or they are of different data or effect measures.

    References
    ----------
    Hoeting, Madigan, Raftery & Volinsky (1999), Statistical Science 14:382-401.
    """
    fits = tuple(posteriors)
    if not fits:
        raise DataError("Give at least one fit to average.")
    _check_same_data(fits, "A model average weighs")
    if len(about := {_measure(f) for f in fits}) > 1:
        raise DataError(
            f"mu has not one meaning in these fits, which are about {joined(sorted(about))}: fit one measure."
        )
    prior = np.full(len(fits), 1.0 / len(fits)) if weights is None else np.asarray(weights, dtype=float)
    if prior.shape != (len(fits),) or not np.all(prior > 0) or not np.isfinite(prior).all():
        raise ModelError(f"weights= needs {len(fits)} numbers > 0, the prior probability of each model.")
    prior = prior / prior.sum()
    log = np.array([log_evidence(f) for f in fits]) + np.log(prior)
    peak = float(log.max())
    after = np.exp(log - peak)
    total = float(after.sum())
    details = Averaged(fits, frozen_array(prior), frozen_array(after / total))
    worst = max(f.diagnostics.figures.get("error_estimate", math.inf) for f in fits)
    shares = ", ".join(f"{f.model.name} {w:.4g}" for f, w in zip(fits, details.weights, strict=True))
    return Posterior(
        data=fits[0].data,
        model=fits[0].model,
        priors=fits[0].priors,
        engine=AVERAGE,
        marginals=FrozenMap(_marginals(details)),
        theta=FrozenMap({s: Average(details.weights, [f.theta[s] for f in fits]) for s in fits[0].theta}),
        diagnostics=Diagnostics(
            ok=all(f.diagnostics.ok for f in fits),
            verdict=f"Average over {len(fits)} fits with posterior probabilities {shares}.",
            figures={"error_estimate": worst},
        ),
        datatree=partial(_mixed_draws, details),
        log_evidence=peak + math.log(total),
        versions=fits[0].versions,
        details=details,
    )


def _marginals(averaged: Averaged) -> dict[str, Marginal]:
    """Return the average of every quantity that each fit has or knows; that of models without a tau has none."""
    fits = averaged.posteriors
    named = [name for fitted in fits for name in fitted.marginals]
    coefficients = [name for name in named if name.startswith("beta[")]
    found: dict[str, Marginal] = {}
    for name in dict.fromkeys(["mu", *coefficients, "tau", "tau2", "I2", "theta_new", *named]):
        values = [known_value(fitted, name) for fitted in fits]
        has = [name in fitted.marginals for fitted in fits]
        if not any(has) or not all(h or v is not None for h, v in zip(has, values, strict=True)):
            continue
        parts = [f.marginals[name] if v is None else known(v) for f, v in zip(fits, values, strict=True)]
        kind: IntervalKind = "posterior prediction" if name == "theta_new" else "credible"
        same = values[0] if _all_alike(values) else None
        found[name] = Average(averaged.weights, parts, kind=kind) if same is None else known(same, kind)
    return found


def _all_alike(values: Sequence[float | None]) -> bool:
    """Return whether every fit knows a quantity, and knows the same."""
    return None not in values and len(set(values)) == 1


def _mixed_draws(averaged: Averaged, draws: int, seed: int | None) -> "xr.DataTree":
    """Return draws of the average: a multinomial number from each fit, shuffled; what not every fit has is left out."""
    import xarray as xr

    rng = np.random.default_rng(seed)
    counts = rng.multinomial(draws, averaged.weights).tolist()
    sets = []
    for fitted, n in zip(averaged.posteriors, counts, strict=True):
        # One draw of a fit that has no share says which quantities it has.
        one = fitted.to_datatree(max(n, 1), int(rng.integers(2**31)))["posterior"].to_dataset()
        sets.append(one.stack(sample=("chain", "draw")).reset_index("sample", drop=True).isel(sample=slice(n)))
    full = _shared(averaged.posteriors, sets)
    mixed = xr.concat(full, dim="sample").isel(sample=rng.permutation(draws))
    mixed = mixed.rename(sample="draw").assign_coords(draw=np.arange(draws)).expand_dims(chain=[0])
    mixed = mixed.transpose("chain", "draw", ...)
    return xr.DataTree.from_dict({"/posterior": mixed.assign_attrs(engine=AVERAGE)})


def _shared(fits: Sequence[Posterior], sets: "Sequence[xr.Dataset]") -> "list[xr.Dataset]":
    """Return each fit's draws of the quantities that all fits have, or know without drawing."""
    kept: list[dict[str, Any]] = [{} for _ in sets]
    for name in dict.fromkeys(["mu", "tau", "tau2", *(str(name) for one in sets for name in one.data_vars)]):
        values = [None if name in one else known_value(f, name) for f, one in zip(fits, sets, strict=True)]
        if any(v is None and name not in one for v, one in zip(values, sets, strict=True)) or _all_alike(values):
            continue
        # Coefficients of other moderators are other quantities.
        if len({_labels(one[name]) for one in sets if name in one}) > 1:
            continue
        for own, one, value in zip(kept, sets, values, strict=True):
            own[name] = one[name] if value is None else ("sample", np.full(one.sizes["sample"], value))
    return [one[[]].assign(own) for one, own in zip(sets, kept, strict=True)]


def _labels(variable: "xr.DataArray") -> frozenset[tuple[str, frozenset[str]]]:
    return frozenset((str(dim), frozenset(map(str, index))) for dim, index in variable.indexes.items())


@dataclass(frozen=True, slots=True, eq=False)
class PredictiveP:
    """A posterior predictive p-value.

    Parameters
    ----------
    p
        The p-value.
    mcse
        Its Monte Carlo standard error.
    observed
        The statistic of the data.
    replicates
        ``(draws,)`` statistics of data sets predicted under the null hypothesis.
    """

    p: float
    mcse: float
    observed: float
    replicates: Array


def predictive_p(
    posterior: Posterior,
    parameter: str = "mu",
    value: float = 0.0,
    *,
    alternative: str | None = None,
    draws: int = 2000,
    seed: int,
    progress: bool = False,
) -> PredictiveP:
    """Return the posterior predictive p-value of ``mu = value`` or ``tau = value``.

    Data sets are drawn from the posterior predictive distribution under the null hypothesis and analysed
    again like the data; the p-value is how often the posterior median of the parameter is as extreme.

    Parameters
    ----------
    posterior
        A fit of a normal model. Of a meta-regression tau alone can be asked about: the heterogeneity that its
        moderators leave. Its data sets are analysed one by one, 2000 of ten studies in a minute or so.
    parameter, value
        The null hypothesis.
    alternative
        ``"two-sided"`` (default for mu), ``"greater"`` (default for tau) or ``"less"``.
    draws
        Number of predicted data sets.
    seed
        The same seed gives the same data sets.
    progress
        Whether to show a progress bar.

    Raises
    ------
    ModelError
        If a name is unknown, the model is not a normal one or does not have the parameter, a prior fixes it, or the
        posterior is an average of models.

    References
    ----------
    Meng (1994), Annals of Statistics 22:1142-1160; Roever (2020), J. Stat. Softw. 93(6), section on p-values.
    """
    check_single_fit(posterior, "predictive_p")
    _check_parameter(posterior, parameter)
    alternative = alternative or ("two-sided" if parameter == "mu" else "greater")
    if alternative not in ("two-sided", "greater", "less"):
        raise unknown("alternative", alternative, ("two-sided", "greater", "less"))
    rng = np.random.default_rng(seed)
    null = fit(
        posterior.data, posterior.model, priors={**posterior.priors, parameter: Point(value)}, engine="quadrature"
    )
    replicated = _replicates(null, draws, rng)
    statistic = _medians(posterior, parameter, replicated, progress)
    observed = posterior[parameter].median()
    above, below = float(np.mean(statistic >= observed)), float(np.mean(statistic <= observed))
    p = {"greater": above, "less": below, "two-sided": min(1.0, 2.0 * min(above, below))}[alternative]
    share = p / 2.0 if alternative == "two-sided" else p
    factor = 2.0 if alternative == "two-sided" else 1.0
    return PredictiveP(p, factor * math.sqrt(share * (1.0 - share) / draws), observed, frozen_array(statistic))


def _check_parameter(posterior: Posterior, parameter: str) -> None:
    if parameter not in ("mu", "tau"):
        raise unknown("parameter of a predictive p-value:", parameter, ("mu", "tau"))
    if fixed_at(posterior, parameter) is not None:
        raise ModelError(
            f"{parameter} is known: the prior {posterior.priors[parameter]!r} fixes it, and no data move its "
            "posterior. Give a posterior under a prior that lets it vary."
        )
    if parameter in posterior.priors:
        return
    name = posterior.model.name
    if parameter == "tau":
        raise ModelError(
            f"Model {name!r} has no tau (all studies share one effect): fit 'normal_normal' to ask for it."
        )
    raise ModelError(
        f"Model {name!r} has coefficients in place of one mean effect mu: ask for 'tau', the heterogeneity that the "
        "moderators leave, or read the posterior of a coefficient, e.g. bm.probability(post['beta[x]'], above=0)."
    )


def _replicates(null: Posterior, draws: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return ``(draws, k)`` predicted effects of the same studies, and their standard errors."""
    if null.model.gaussian is None:
        raise ModelError(f"Model {null.model.name!r} has no normal likelihood to predict data sets from.")
    given = null.model.gaussian(null.data, null.priors)
    sample = null.to_datatree(draws, int(rng.integers(2**31)))["posterior"].to_dataset().isel(chain=0)

    def drawn(name: str) -> Array:
        return np.asarray(sample[name]) if name in sample else np.full(draws, known_value(null, name))

    beta = drawn("mu")[:, None] if given.terms == ("mu",) else drawn("beta")
    spread = np.sqrt(given.v + (drawn("tau") ** 2)[:, None])
    means = beta @ given.X.T
    return means + spread * rng.standard_normal(means.shape), np.tile(np.sqrt(given.v), (draws, 1))


def _medians(posterior: Posterior, parameter: str, replicated: tuple[Array, Array], progress: bool) -> Array:
    """Return the posterior median of the parameter in every replicated data set, in blocks that a bar can count."""
    from rich.progress import track

    yi, sei = replicated
    data, model = posterior.data, posterior.model
    priors: Mapping[str, Any] = posterior.priors
    if model.takes_moderators:
        every = track(yi, "Predicted data sets", disable=not progress)
        fits = (
            fit(replace(data, yi=y, counts=None, observed={}), model, priors=priors, engine="quadrature") for y in every
        )
        return np.array([fitted[parameter].median() for fitted in fits])
    blocks = range(0, len(yi), 500)
    medians = [
        fit_many((yi[i : i + 500], sei[i : i + 500]), model, priors=priors, quantiles=[0.5])
        for i in track(blocks, "Predicted data sets", disable=not progress)
    ]
    return np.concatenate([np.asarray(m[f"{parameter}_quantile"])[:, 0] for m in medians])
