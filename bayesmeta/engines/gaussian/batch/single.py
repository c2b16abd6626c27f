"""One analysis of a batch by the adaptive engine, in the batch's words."""

import math

import numpy as np

from bayesmeta.engines.gaussian.integrate import integrate
from bayesmeta.errors import ModelError
from bayesmeta.model import Gaussian
from bayesmeta.values import Array


def single(given: Gaussian, quantiles: Array, above: Array, tau_above: Array) -> dict[str, float | Array]:
    """Return the summaries of one analysis, by name.

    Raises
    ------
    ModelError
        If it has moderators: a batch reports mu.
    """
    if given.terms != ("mu",):
        raise ModelError(
            f"fit_many reports mu, but this analysis has the coefficients {', '.join(given.terms)}. Use fit."
        )
    solved = integrate(given)
    mu, new = solved.linear([1.0]), solved.predicted([1.0])
    proper = (given.tau is None or given.tau.proper) and all(prior.proper for prior in given.beta)
    fixed = np.full(len(quantiles), solved.tau[0])
    tau = None if solved.rule is None else solved.density_tau()
    return {
        "mu_mean": mu.mean(),
        "mu_sd": mu.sd(),
        "mu_quantile": mu.ppf(quantiles),
        "mu_above": mu.sf(above),
        "tau_mean": float(solved.tau[0]) if tau is None else tau.mean(),
        "tau_sd": 0.0 if tau is None else tau.sd(),
        "tau_quantile": fixed if tau is None else tau.ppf(quantiles),
        "tau_above": (solved.tau[0] > tau_above).astype(float) if tau is None else tau.sf(tau_above),
        "theta_new_sd": new.sd(),
        "theta_new_quantile": new.ppf(quantiles),
        "theta_new_above": new.sf(above),
        "log_evidence": solved.log_normaliser if proper else math.nan,
        "error_estimate": solved.error_estimate,
        "nodes": float(len(solved.tau)),
    }
