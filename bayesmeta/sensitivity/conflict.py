r"""Prior-data conflict: how surprising the data are under the priors, as tail areas.

The prior predictive distribution of a statistic says where it was expected before the data; a small tail area
says that prior and data disagree (Box 1980, J R Stat Soc A 143:383-430). Following Evans & Moshonov (2006, Bayesian
Anal 1:893-914) the prior of tau is checked by a statistic that does not depend on mu, and that of mu by an
estimate of mu.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr

from bayesmeta.errors import DataError, ModelError
from bayesmeta.frequentist.quadratic_forms import cdf as quadratic_cdf
from bayesmeta.model import load_model
from bayesmeta.priors import Normal, fixed_value
from bayesmeta.sensitivity.question import all_priors
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array

SUSPICIOUS = 0.05
# Midpoints of as many equally probable slices of the prior of tau; the tail area changes by less than 1e-4 beyond.
SLICES = 400


@dataclass(frozen=True, slots=True)
class Conflict:
    """The tail areas of one statistic under the priors.

    Parameters
    ----------
    parameter
        Whose prior is checked.
    statistic
        What is compared, in words.
    observed
        Its value.
    below, above
        Prior predictive probabilities of a value at most, and at least, as large.
    p
        Twice the smaller of both.
    """

    parameter: str
    statistic: str
    observed: float
    below: float
    above: float

    @property
    def p(self) -> float:
        """Two-sided tail area."""
        return min(1.0, 2.0 * min(self.below, self.above))

    @property
    def text(self) -> str:
        """In a sentence."""
        verdict = "prior and data disagree" if self.p < SUSPICIOUS else "no sign of conflict"
        return f"{self.parameter}: {self.statistic} = {self.observed:.3g}, two-sided tail area {self.p:.3f}: {verdict}."


def prior_data_conflict(effects: EffectSizes, *, priors: Mapping[str, Any] | None = None) -> tuple[Conflict, ...]:
    """Return the conflict checks of the priors of tau and mu in the normal model.

    Parameters
    ----------
    effects
        Effect sizes without moderators.
    priors
        Of ``"mu"`` (normal or flat) and ``"tau"``; the defaults otherwise. Improper priors predict nothing: the
        check they belong to is left out.

    Raises
    ------
    DataError
        If `effects` are not effect sizes, or have moderators.
    ModelError
        If the prior of mu is neither normal nor flat.

    Notes
    -----
    For tau the statistic is Cochran's Q, whose distribution given tau is a weighted sum of chi-squares; it takes two
    studies. For mu it is the mean weighted by inverse sampling variances, normal given tau. Both are averaged over the
    prior of tau.
    """
    if not isinstance(effects, EffectSizes):
        raise DataError(f"Conflict checks take EffectSizes, not {type(effects).__name__}: use bm.effect_sizes first.")
    if effects.moderators:
        raise DataError("Conflict checks are about one mean effect, and these effects have moderators: leave them out.")
    chosen = all_priors(load_model("normal_normal"), effects, priors)
    mu, tau = (chosen[name].resolve(effects.sei) for name in ("mu", "tau"))
    if mu.proper and not isinstance(mu, Normal):
        raise ModelError(f"Conflict checks take a normal or a flat prior of mu, not {mu!r}.")
    if not tau.proper:
        return ()
    known = fixed_value(tau)
    values = np.array([known]) if known is not None else np.asarray(tau.ppf((np.arange(SLICES) + 0.5) / SLICES))
    found = [_heterogeneity(effects, values)] if effects.k > 1 else []
    return (*found, *([_mean(effects, mu, values)] if mu.proper else []))


def _heterogeneity(effects: EffectSizes, tau: Array) -> Conflict:
    w = 1.0 / effects.vi
    mean = float(w @ effects.yi / w.sum())
    q = float(w @ (effects.yi - mean) ** 2)
    # Q = z' S^1/2 P S^1/2 z with P = W - w w' / sum(w); its weights are the eigenvalues of S^1/2 P S^1/2.
    P = np.diag(w) - np.outer(w, w) / w.sum()
    below = 0.0
    for t in tau:
        spread = np.sqrt(effects.vi + t * t)
        weights = np.linalg.eigvalsh(spread[:, None] * P * spread[None, :])
        # One eigenvalue is 0, up to rounding.
        below += quadratic_cdf(q, np.sort(weights)[1:]) / len(tau)
    return Conflict("tau", "Cochran's Q", q, below, 1.0 - below)


def _mean(effects: EffectSizes, mu: Normal, tau: Array) -> Conflict:
    w = 1.0 / effects.vi
    w = w / w.sum()
    mean = float(w @ effects.yi)
    sd = np.sqrt(mu.scale**2 + np.square(w) @ (effects.vi[:, None] + np.square(tau)[None, :]))
    z = (mean - mu.loc) / sd
    return Conflict("mu", "inverse-variance mean", mean, float(ndtr(z).mean()), float(ndtr(-z).mean()))
