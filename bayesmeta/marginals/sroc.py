"""The summary receiver operating characteristic of a diagnostic test, from draws of the bivariate model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit

from bayesmeta.values import Array

if TYPE_CHECKING:
    import pandas as pd

# A scale of exactly 0 leaves the shape of the curve undefined; this one leaves it symmetric.
LEAST = 1e-9


def sroc(mu: Array, tau: Sequence[Array], fpr: Array, level: float, points: int) -> "pd.DataFrame":
    """Return false positive rates, and median and limits of the sensitivity there.

    With logit sensitivity A and logit specificity B the bivariate model is that of Rutter & Gatsonis with
    ``beta = log(tau_B / tau_A)`` and ``Lambda = sqrt(tau_B / tau_A) mu_A + sqrt(tau_A / tau_B) mu_B``: the curve is
    ``logit(sens) = Lambda exp(-beta / 2) + exp(-beta) logit(fpr)`` (Harbord et al. 2007, Biostatistics 8:239-251).

    Parameters
    ----------
    mu
        ``(draws, 2)`` mean logits of sensitivity and specificity.
    tau
        ``(draws,)`` standard deviations of both.
    fpr
        Observed false positive rates, whose range is covered.
    level
        Probability between the limits.
    points
        Number of rates.
    """
    import pandas as pd

    first, second = (np.maximum(t, LEAST) for t in tau)
    half = 0.5 * np.log(second / first)
    height = np.exp(half) * mu[:, 0] + np.exp(-half) * mu[:, 1]
    low, high = np.clip([fpr.min(), fpr.max()], 1e-3, 1.0 - 1e-3)
    rates = np.linspace(low, high, points)
    curves = expit(height[:, None] * np.exp(-half)[:, None] + np.exp(-2.0 * half)[:, None] * logit(rates))
    tail = 0.5 * (1.0 - level)
    lower, median, upper = np.quantile(curves, [tail, 0.5, 1.0 - tail], axis=0)
    return pd.DataFrame({"fpr": rates, "sensitivity": median, "low": lower, "high": upper})
