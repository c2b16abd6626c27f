"""The posterior predictive p-value of a parameter."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.errors import ModelError, unknown
from bayesmeta.evidence.averaging import known_value
from bayesmeta.fit import fit, fit_many
from bayesmeta.posterior import Posterior, check_single_fit, fixed_at
from bayesmeta.priors import Point
from bayesmeta.values import Array, frozen_array

if TYPE_CHECKING:
    pass


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
    if not given.independent:
        raise ModelError(f"Model {null.model.name!r} has dependent rows: predictive p-values take one row a study.")
    sample = null.to_datatree(draws, int(rng.integers(2**31)))["posterior"].to_dataset()

    def drawn(name: str) -> Array:
        if name not in sample:
            return np.full(draws, known_value(null, name))
        value = np.asarray(sample[name])
        return value.reshape(-1, *value.shape[2:])[:draws]

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
