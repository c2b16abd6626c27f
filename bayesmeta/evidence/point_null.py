"""Bayes factors of one value of a parameter against a fit that leaves it open, or against an average of fits."""

import math
from collections.abc import Mapping

import numpy as np

from bayesmeta.errors import ConvergenceError, ModelError, unknown
from bayesmeta.evidence.averaging import Averaged, known_value
from bayesmeta.evidence.bayes_factors import log_evidence, ratio
from bayesmeta.evidence.divergence import log_density, tabulated
from bayesmeta.fit import fit
from bayesmeta.posterior import Posterior
from bayesmeta.priors import Point
from bayesmeta.words import joined


def bayes_factor_null(posterior: Posterior, *, mu: float | None = None, tau: float | None = None) -> float:
    """Return the Bayes factor of a fixed value, ``mu = 0`` or ``tau = 0``, against the fit.

    The evidence of the fixed value over that of the fit. For mu in a model without a closed form given tau it is the
    same ratio as posterior over prior density at the value (Dickey 1971, Ann Math Stat 42:204-223), and so it is
    for an average of models, which is one model whose prior is the mixture of theirs.

    Parameters
    ----------
    posterior
        A fit with proper priors by quadrature, or an average of such fits.
    mu, tau
        The value that is tested; one of them, or both.

    Raises
    ------
    ModelError
        If the fit has no marginal likelihood, no value is given, its prior has no density there, or one of the fits
        of an average knows the parameter.
    ConvergenceError
        If the value lies so far in the tail that a density does not tell the ratio.

    Examples
    --------
    ``bayes_factor_null(post, mu=0.0)`` above 1 says the data favour no effect.
    """
    fixed = {name: value for name, value in (("mu", mu), ("tau", tau)) if value is not None}
    if not fixed:
        raise ModelError("Give the value that is tested: mu=0.0 or tau=0.0.")
    return ratio(_log_null(posterior, fixed))


def _log_null(posterior: Posterior, fixed: Mapping[str, float]) -> float:
    """Return the log Bayes factor of fixed values against a fit or an average."""
    if isinstance(posterior.details, Averaged):
        return _log_null_of_average(posterior.details, fixed)
    _check_named(posterior, fixed)
    against = log_evidence(posterior)
    # Without a closed form given tau, engines need a density of mu.
    by_density = {n: v for n, v in fixed.items() if n == "mu" and not posterior.model.abilities.closed_form}
    points = {name: Point(value) for name, value in fixed.items() if name not in by_density}
    null = posterior
    if points:
        priors = {**posterior.priors, **points}
        null = fit(posterior.data, posterior.model, priors=priors, engine="quadrature")
    rest = math.fsum(_log_density_ratio(null, name, value) for name, value in by_density.items())
    return log_evidence(null) - against + rest


def _check_named(posterior: Posterior, fixed: Mapping[str, float]) -> None:
    for name in fixed:
        if name not in posterior.priors:
            raise unknown(f"parameter of model {posterior.model.name!r}:", name, posterior.priors)


def _log_null_of_average(averaged: Averaged, fixed: Mapping[str, float]) -> float:
    """Return the log of posterior over prior density of an average at fixed values.

    Each model's evidence of the values counts with the model's probability given them, before the data.
    """
    known = [(n, f.model.name) for n in fixed for f in averaged.posteriors if known_value(f, n) is not None]
    if known:
        name = known[0][0]
        models = sorted({model for n, model in known if n == name})
        raise ModelError(
            f"In {joined(models)} {name} is known, so the value has a probability of its "
            "own beforehand: ask average.details.inclusion_bayes_factor([...]), marking the models you mean."
        )
    weights, evidence = np.log(averaged.prior_weights), np.array([log_evidence(f) for f in averaged.posteriors])
    given = weights + np.array([_log_prior(f, fixed) for f in averaged.posteriors])
    before = float(np.logaddexp.reduce(given))
    if not math.isfinite(before):
        said = joined([f"{name} = {value:g}" for name, value in fixed.items()])
        raise ModelError(
            f"{said} cannot be tested: the average of its densities under the models' priors is {ratio(before):g}. "
            "Use priors with a density greater than 0 there."
        )
    null = np.array(
        [_log_null(f, fixed) if at > -math.inf else 0.0 for f, at in zip(averaged.posteriors, given, strict=True)]
    )
    return float(np.logaddexp.reduce(given + evidence + null) - before - np.logaddexp.reduce(weights + evidence))


def _log_prior(posterior: Posterior, fixed: Mapping[str, float]) -> float:
    """Return the log prior density of a fit or an average at fixed values."""
    if isinstance(posterior.details, Averaged):
        each = [_log_prior(f, fixed) for f in posterior.details.posteriors]
        return float(np.logaddexp.reduce(np.log(posterior.details.prior_weights) + each))
    _check_named(posterior, fixed)
    sei = getattr(posterior.data, "sei", None)
    own = {n: posterior.priors[n] if sei is None else posterior.priors[n].resolve(sei) for n in fixed}
    return math.fsum(float(own[name].logpdf(value)) for name, value in fixed.items())


# A tabulated density errs by about 1e-15 of its peak.
_LEAST_DENSITY = 1e-9


def _log_density_ratio(posterior: Posterior, name: str, value: float) -> float:
    """Return the log of posterior over prior density at a value: the log Bayes factor of that value against the fit."""
    prior, marginal = posterior.priors[name], posterior[name]
    before = float(prior.logpdf(value))
    if not math.isfinite(before):
        raise ModelError(
            f"{name} = {value:g} cannot be tested: its density under the prior {prior!r} is {math.exp(before):g}. "
            "Use a prior with a density greater than 0 there."
        )
    after = float(log_density(marginal, np.array(float(value))))
    if tabulated(marginal):
        peak = float(log_density(marginal, np.array(marginal.mode())))
        if not after > peak + math.log(_LEAST_DENSITY):
            raise ConvergenceError(
                f"The Bayes factor of {name} = {value:g} is below {ratio(peak - before) * _LEAST_DENSITY:.2g}: how "
                "far was not reached, because the posterior density there is lost beside its peak."
            )
    return after - before
