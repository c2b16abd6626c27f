"""Posterior predictive check: is each study where the model, fitted to the others, expects it?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bayesmeta.errors import BayesMetaError
from bayesmeta.fit import fit
from bayesmeta.marginals.noisy import with_error
from bayesmeta.posterior import Posterior, check_single_fit
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Interval


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
    check_single_fit(posterior, "predictive_check")
    data = posterior.data
    if not isinstance(data, EffectSizes) or data.k < 2 or not posterior.model.abilities.closed_form:
        return ()
    if not data.independent:
        return ()
    return tuple(_predicted(posterior, data, i, level) for i in range(data.k))


def _predicted(posterior: Posterior, data: EffectSizes, i: int, level: float) -> PredictedStudy:
    study, observed, sei = data.study[i], float(data.yi[i]), float(data.sei[i])
    priors: Mapping[str, Any] = posterior.priors
    try:
        others = fit(data.drop([study]), posterior.model, priors=priors, engine="quadrature")
    except BayesMetaError as error:
        return PredictedStudy(study, observed, None, None, str(error))
    prediction = with_error(others.theta_new, sei)
    p = 2.0 * min(float(prediction.cdf(observed)), float(prediction.sf(observed)))
    return PredictedStudy(study, observed, prediction.eti(level), min(1.0, p))
