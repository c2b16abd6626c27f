"""Fail-safe N: Rosenthal, Orwin, Rosenberg."""

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri

from bayesmeta.errors import DataError, ModelError, unknown
from bayesmeta.frequentist.printing import p_text
from bayesmeta.frequentist.small_study import block, require_one_mean
from bayesmeta.gaussian.weighted import mean_model
from bayesmeta.studies import EffectSizes

if TYPE_CHECKING:
    import pandas as pd

REFERENCES = {
    "Rosenthal": "Rosenthal (1979), Psychol. Bull. 86:638-641.",
    "Orwin": "Orwin (1983), J. Educ. Stat. 8:157-159.",
    "Rosenberg": "Rosenberg (2005), Evolution 59:464-468.",
}


@dataclass(frozen=True, slots=True)
class FailSafeN:
    """How many unpublished null results would undo the finding.

    Parameters
    ----------
    N
        Number of studies, rounded up.
    p_value
        Observed significance (Rosenthal: one-sided Stouffer; Rosenberg: two-sided); None for Orwin.
    target
        The p-value (Rosenthal, Rosenberg) or the effect (Orwin) aimed at.
    """

    kind: str
    N: int
    k: int
    p_value: float | None
    target: float
    reference: str
    caution: str = (
        "Not recommended: it supposes that hidden studies average exactly zero, ignores heterogeneity, and the three "
        "versions disagree (Becker 2005, in Publication Bias in Meta-Analysis, Wiley, ch. 7)."
    )

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame with one row."""
        import pandas as pd

        names = ("kind", "N", "k", "p_value", "target")
        return pd.DataFrame([{name: getattr(self, name) for name in names}])

    def __str__(self) -> str:
        aim = "effect" if self.kind == "Orwin" else "p"
        lines = [f"N = {self.N} to reach {aim} = {self.target:.4g}"]
        if self.p_value is not None:
            lines.append(f"observed p {p_text(self.p_value)}")
        title = f"Fail-safe N by {self.kind}, k = {self.k}"
        return block(title, lines, caution=self.caution, reference=self.reference)


def fail_safe_n(
    effects: EffectSizes, *, kind: str = "Rosenthal", p: float = 0.05, target: float | None = None
) -> FailSafeN:
    """Return the number of null studies that would bring the result to a target.

    Parameters
    ----------
    effects
        ``k`` effects on the analysis scale, without moderators.
    kind
        ``"Rosenthal"`` (Stouffer's one-sided p), ``"Orwin"`` (weighted mean effect) or ``"Rosenberg"`` (common-effect
        two-sided p).
    p
        Target p-value of Rosenthal and Rosenberg.
    target
        Size of the target effect of Orwin, on the side of the observed mean; half the mean when not given.

    Raises
    ------
    ModelError
        If `kind`, `p` or `target` is unknown or impossible.
    DataError
        With moderators, or for Orwin when the mean effect is 0.

    References
    ----------
    Rosenthal (1979), Psychol. Bull. 86:638-641. Orwin (1983), J. Educ. Stat. 8:157-159. Rosenberg (2005), Evolution
    59:464-468.
    """
    require_one_mean(effects, "Fail-safe N")
    if kind not in REFERENCES:
        raise unknown("fail-safe N", kind, REFERENCES)
    if not 0.0 < p < 1.0:
        raise ModelError(f"p is {p!r}; it is a significance level between 0 and 1, e.g. 0.05.")
    if kind == "Rosenthal":
        return _rosenthal(effects, p)
    return _orwin(effects, target) if kind == "Orwin" else _rosenberg(effects, p)


def _rosenthal(effects: EffectSizes, p: float) -> FailSafeN:
    total = abs(float((effects.yi / effects.sei).sum()))
    k = effects.k
    observed = float(ndtr(-total / np.sqrt(k)))
    N = max(0, ceil((total / float(ndtri(1.0 - p))) ** 2 - k)) if observed < p else 0
    return FailSafeN("Rosenthal", N, k, observed, p, REFERENCES["Rosenthal"])


def _mean(effects: EffectSizes) -> float:
    form = mean_model(effects.yi, effects.vi)
    return float(form.at(0.0).beta[0]) * form.scale + form.shift


def _orwin(effects: EffectSizes, target: float | None) -> FailSafeN:
    mean = _mean(effects)
    if mean == 0:
        raise DataError("Orwin's fail-safe N has no meaning for a mean effect of exactly 0: there is nothing to undo.")
    if target is not None and not 0.0 < abs(target) < float("inf"):
        raise ModelError(f"target is {target!r}; it is the size of an effect, finite and not 0.")
    aim = mean / 2.0 if target is None else float(np.copysign(target, mean))
    # A ratio that is whole but for rounding must not be rounded up to the next study.
    N = effects.k * (mean - aim) / aim
    whole = round(N)
    N = whole if abs(N - whole) <= 1e-12 * max(1.0, abs(N)) else ceil(N)
    return FailSafeN("Orwin", max(0, int(N)), effects.k, None, aim, REFERENCES["Orwin"])


def _rosenberg(effects: EffectSizes, p: float) -> FailSafeN:
    w = 1.0 / effects.vi
    total, score = float(w.sum()), float((w * effects.yi).sum())
    z = float(ndtri(1.0 - p / 2.0))
    observed = 2.0 * float(ndtr(-abs(score) / np.sqrt(total)))
    N = max(0, ceil(((score / z) ** 2 - total) / (total / effects.k))) if observed < p else 0
    return FailSafeN("Rosenberg", N, effects.k, observed, p, REFERENCES["Rosenberg"])
