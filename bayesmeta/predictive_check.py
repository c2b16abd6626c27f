"""Posterior predictive check: is each study where the model, fitted to the others, expects it?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq

from bayesmeta.errors import BayesMetaError
from bayesmeta.fit import fit
from bayesmeta.posterior import Marginal, Posterior, single_fit
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Interval

POINTS, _weights = np.polynomial.hermite_e.hermegauss(61)
"""Gauss-Hermite nodes for the sampling error: exact to far more digits than are printed."""
WEIGHTS = _weights / _weights.sum()


@dataclass(frozen=True, slots=True)
class PredictedStudy:
    """One study beside what the other studies predict for it, on the analysis scale.

    Parameters
    ----------
    study, observed
        Label and observed effect.
    predicted
        Central interval of the effect predicted for a study of this precision; None without one.
    p
        Two-sided probability of an effect at least as far out; None where the others predict nothing.
    reason
        Why there is no prediction.
    """

    study: str
    observed: float
    predicted: Interval | None
    p: float | None
    reason: str = ""


def predictive_check(posterior: Posterior, *, level: float = 0.95) -> tuple[PredictedStudy, ...]:
    """Return each study beside its prediction from the others; empty for models on counts and for one study.

    The prediction for study i is that of a new study with its standard error, from the posterior
    given the others: the cross-validated form of the posterior predictive check, which does not use a study to
    predict itself.

    Parameters
    ----------
    posterior
        A fit to effect sizes whose model quadrature can do.
    level
        Of the predicted intervals.

    Raises
    ------
    ModelError
        If the posterior is an average of models.

    References
    ----------
    Marshall & Spiegelhalter (2007), Bayesian Anal. 2:409-444.
    """
    single_fit(posterior, "predictive_check")
    data = posterior.data
    if not isinstance(data, EffectSizes) or data.k < 2 or posterior.model.gaussian_marginal is None:
        return ()
    return tuple(_predicted(posterior, data, i, level) for i in range(data.k))


def _predicted(posterior: Posterior, data: EffectSizes, i: int, level: float) -> PredictedStudy:
    study, observed, sei = data.study[i], float(data.yi[i]), float(data.sei[i])
    priors: Mapping[str, Any] = posterior.priors
    try:
        others = fit(data.drop([study]), posterior.model, priors=priors, engine="quadrature")
    except BayesMetaError as error:
        return PredictedStudy(study, observed, None, None, str(error))
    below = predictive_cdf(others.theta_new, sei, observed)
    low, high = (_quantile(others.theta_new, sei, p) for p in ((1.0 - level) / 2.0, (1.0 + level) / 2.0))
    interval = Interval(low, high, level, "posterior prediction", "eti")
    return PredictedStudy(study, observed, interval, min(1.0, 2.0 * min(below, 1.0 - below)))


def predictive_cdf(theta: Marginal, sei: float, x: float) -> float:
    """Return P(theta + error <= x) for a normal error with standard deviation `sei`."""
    return float(np.sum(WEIGHTS * theta.cdf(x - sei * POINTS)))


def _quantile(theta: Marginal, sei: float, p: float) -> float:
    # The sum lies beyond p only if theta or the error does: twice the tail of each brackets it.
    low, high = float(theta.ppf(p / 4.0)) - 6.0 * sei, float(theta.ppf(1.0 - (1.0 - p) / 4.0)) + 6.0 * sei
    return float(brentq(lambda x: predictive_cdf(theta, sei, x) - p, low, high, xtol=1e-8 * (high - low)))
