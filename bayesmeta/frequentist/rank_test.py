"""Begg and Mazumdar's rank correlation test, with the exact distribution of Kendall's S."""

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

from bayesmeta.errors import DataError
from bayesmeta.frequentist.printing import p_text
from bayesmeta.frequentist.small_study import ASYMMETRY_IS_NOT_BIAS, block, few_studies, require_one_mean
from bayesmeta.gaussian.weighted import mean_model
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array, frozen_array

if TYPE_CHECKING:
    import pandas as pd

EXACT_K = 170
"""Most studies for the exact p-value; beyond it the normal one differs by about 0.1% (metafor does the same)."""

REFERENCE = "Begg & Mazumdar (1994), Biometrics 50:1088-1101."


@dataclass(frozen=True, slots=True, eq=False)
class RankTest:
    """Rank correlation between standardised effects and their variances.

    Parameters
    ----------
    tau
        Kendall's tau-b.
    p_value
        Two-sided.
    exact
        Whether the p-value is exact; with ties, or more than 170 studies, it is the tie-corrected normal one.
    S
        Concordant minus discordant pairs.
    standardised
        ``(k,)`` effects less the common-effect mean, over the standard errors of those differences.
    """

    tau: float
    p_value: float
    exact: bool
    S: int
    standardised: Array
    study: tuple[str, ...]
    caution: str
    reference: str = REFERENCE

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(self.study)

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame with one row."""
        import pandas as pd

        row = {"test": "Begg-Mazumdar", "tau": self.tau, "S": self.S, "p_value": self.p_value, "exact": self.exact}
        return pd.DataFrame([{**row, "k": self.k}])

    def __str__(self) -> str:
        how = "exact" if self.exact else "normal approximation, corrected for ties"
        return block(
            f"Begg-Mazumdar rank test for funnel-plot asymmetry, k = {self.k}",
            [f"Kendall's tau = {self.tau:.4f}, p {p_text(self.p_value)} ({how})"],
            caution=self.caution,
            reference=self.reference,
        )


def begg(effects: EffectSizes) -> RankTest:
    r"""Test funnel asymmetry by Kendall's correlation of standardised effects with their variances.

    :math:`y_i^* = (y_i - \bar y) / \sqrt{v_i - 1 / \sum w_j}` with the common-effect mean :math:`\bar y`.

    Parameters
    ----------
    effects
        At least 3 effects on the analysis scale, without moderators.

    Returns
    -------
    RankTest
        Exact p-value without ties and up to 170 studies, else the tie-corrected normal one.

    Raises
    ------
    DataError
        With fewer than 3 studies, with moderators, or when all variances or all effects are equal.

    References
    ----------
    Begg & Mazumdar (1994), Biometrics 50:1088-1101.
    """
    require_one_mean(effects, "Begg's test")
    if effects.k < 3:
        raise DataError(
            f"Begg's test needs at least 3 studies to rank; there are {effects.k}. Asymmetry cannot be assessed."
        )
    vi = effects.vi
    for name, values in (("sampling variance", vi), ("effect", effects.yi)):
        if not np.ptp(values) > 0:
            raise DataError(
                f"Begg's test ranks the studies, but all {effects.k} have the same {name} ({values[0]:g}): "
                "there is nothing to correlate and asymmetry cannot be assessed."
            )
    standardised = _standardised(effects.yi, vi)
    tau, p, exact, S = kendall(standardised, vi)
    caution = few_studies(effects.k) + " Low power: prefer Egger's or a counts-based test. " + ASYMMETRY_IS_NOT_BIAS
    return RankTest(tau, p, exact, S, frozen_array(standardised), effects.study, caution)


def _standardised(yi: Array, vi: Array) -> Array:
    form = mean_model(yi, vi)
    w = 1.0 / form.v
    # v - 1/sum(w) = v * (weight of the others) / sum(w). For the heaviest study "total - w" cancels, so its others are
    # summed; all the rest share one expression, so that studies tied in y and v stay tied.
    others = w.sum() - w
    if w[0] > w[1]:
        others[0] = w[1:].sum()
    result = np.empty(len(yi))
    result[form.order] = (form.y - form.at(0.0).beta[0]) / np.sqrt(form.v * others / (others + w))
    return result


def kendall(x: Array, y: Array) -> tuple[float, float, bool, int]:
    """Return Kendall's tau-b, its two-sided p-value, whether that is exact, and S.

    References
    ----------
    Kendall (1970), Rank Correlation Methods, 4th ed., Griffin.
    """
    n = len(x)
    S = sum(int((np.sign(x[i] - x[i + 1 :]) * np.sign(y[i] - y[i + 1 :])).sum()) for i in range(n - 1))
    tx, ty = _tie_sizes(x), _tie_sizes(y)
    pairs = n * (n - 1) / 2.0
    tau = S / sqrt((pairs - (tx * (tx - 1) / 2).sum()) * (pairs - (ty * (ty - 1) / 2).sum()))
    if len(tx) == len(ty) == n and n <= EXACT_K:
        return tau, _exact_p(n, S), True, S
    return tau, min(1.0, 2.0 * float(ndtr(-abs(S) / sqrt(_tied_variance(n, tx, ty))))), False, S


def _tie_sizes(values: Array) -> Array:
    return np.unique(values, return_counts=True)[1].astype(float)


def _exact_p(n: int, S: int) -> float:
    pairs = n * (n - 1) // 2
    discordant = (pairs - abs(S)) // 2
    # Distribution of the number of inversions: a product of uniforms, all terms positive, so tails keep every digit.
    p = np.ones(1)
    for i in range(2, n + 1):
        p = np.convolve(p, np.full(i, 1.0 / i))[: discordant + 1]
    return min(1.0, 2.0 * float(p[: discordant + 1].sum()))


def _tied_variance(n: int, tx: Array, ty: Array) -> float:
    def term(t: Array) -> float:
        return float((t * (t - 1) * (2 * t + 5)).sum())

    def pair(t: Array) -> float:
        return float((t * (t - 1)).sum())

    def triple(t: Array) -> float:
        return float((t * (t - 1) * (t - 2)).sum())

    base = (n * (n - 1) * (2 * n + 5) - term(tx) - term(ty)) / 18.0
    return base + pair(tx) * pair(ty) / (2.0 * n * (n - 1)) + triple(tx) * triple(ty) / (9.0 * n * (n - 1) * (n - 2))
