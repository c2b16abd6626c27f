"""The numbers of a funnel plot: points, pseudo-confidence region, significance contours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri

from bayesmeta.errors import ModelError
from bayesmeta.frequentist.pool import pool
from bayesmeta.frequentist.small_study import ASYMMETRY_IS_NOT_BIAS, block, check_level, few_studies, require_one_mean
from bayesmeta.frequentist.tau2 import DEFAULT_ESTIMATOR
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array, frozen_array

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = (
    "Sterne & Egger (2001), J. Clin. Epidemiol. 54:1046-1055; contours: Peters et al. (2008), "
    "J. Clin. Epidemiol. 61:991-996."
)


@dataclass(frozen=True, slots=True, eq=False)
class Funnel:
    """A funnel plot as plain arrays, analysis scale.

    Parameters
    ----------
    yi, sei
        ``(k,)`` the points: effect across, standard error down.
    p_value
        ``(k,)`` two-sided p-value of each study against `null`.
    mu
        Centre of the region.
    grid
        ``(n,)`` standard errors from 0 to beyond the largest study's.
    region_low, region_high
        ``(n,)`` limits within which `level` of studies fall when all estimate `mu` and (with `tau2`) spread by it.
    level
        Of the region.
    tau2
        Heterogeneity in the region; 0 when it shows sampling error alone.
    null
        Centre of the contours.
    contour_levels
        ``(c,)`` ascending, e.g. 0.90, 0.95, 0.99.
    contour_low, contour_high
        ``(c, n)`` outside of which a study is significant at ``1 - level``.
    """

    study: tuple[str, ...]
    yi: Array
    sei: Array
    p_value: Array
    mu: float
    method: str
    grid: Array
    region_low: Array
    region_high: Array
    level: float
    tau2: float
    null: float
    contour_levels: tuple[float, ...]
    contour_low: Array
    contour_high: Array
    caution: str
    reference: str = REFERENCE

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(self.study)

    @property
    def inside(self) -> "np.typing.NDArray[np.bool_]":
        """``(k,)`` whether each study lies in the pseudo-confidence region."""
        half = ndtri(0.5 + self.level / 2.0) * np.sqrt(self.sei**2 + self.tau2)
        inside: np.typing.NDArray[np.bool_] = np.abs(self.yi - self.mu) <= half
        return inside

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row a study."""
        import pandas as pd

        columns = {"yi": self.yi, "sei": self.sei, "p_value": self.p_value, "inside": self.inside}
        return pd.DataFrame({"study": self.study, **columns})

    def __str__(self) -> str:
        lines = [
            f"centre {self.mu:.4g} ({self.method}), tau2 in the region {self.tau2:.4g}",
            f"inside the {100 * self.level:g}% pseudo-confidence region: {int(self.inside.sum())} of {self.k}",
        ]
        for level in self.contour_levels:
            alpha = 1.0 - level
            count = int((self.p_value < alpha).sum())
            lines.append(f"p < {alpha:.3g} against {self.null:g}: {count} of {self.k}")
        return block(f"Funnel plot, k = {self.k}", lines, caution=self.caution, reference=self.reference)


def funnel(
    effects: EffectSizes,
    *,
    method: str = DEFAULT_ESTIMATOR,
    level: float = 0.95,
    contours: Sequence[float] = (0.90, 0.95, 0.99),
    null: float = 0.0,
    add_tau2: bool = False,
    points: int = 201,
) -> Funnel:
    """Return what a (contour-enhanced) funnel plot draws.

    Parameters
    ----------
    effects
        ``k`` effects on the analysis scale, without moderators.
    method
        tau2 estimator of the centre, as in :func:`pool`.
    level
        Of the pseudo-confidence region ``mu +- z sqrt(sei^2)``.
    contours
        Levels of the significance contours ``null +- z sei``.
    null
        Value of no effect (0 on the log scale of ratio measures).
    add_tau2
        Widen the region by the heterogeneity: ``mu +- z sqrt(sei^2 + tau2)``.
    points
        Length of the grid of standard errors, from 0 to 1.05 times the largest.

    Raises
    ------
    DataError
        With moderators.
    ModelError
        If an option is unknown or impossible.

    References
    ----------
    Sterne & Egger (2001), J. Clin. Epidemiol. 54:1046-1055. Peters et al. (2008), J. Clin. Epidemiol. 61:991-996.
    """
    require_one_mean(effects, "The funnel plot")
    levels = tuple(sorted(float(c) for c in contours))
    for value in (level, *levels):
        check_level(value)
    if points < 2:
        raise ModelError(f"points is {points}; a line needs at least 2.")
    if not np.isfinite(null):
        raise ModelError(f"null is {null!r}; it is the finite value of no effect, e.g. 0.")
    fit = pool(effects, method=method, level=level)
    tau2 = (fit.tau2 or 0.0) if add_tau2 else 0.0
    grid = np.linspace(0.0, 1.05 * float(effects.sei.max()), points)
    half = ndtri(0.5 + level / 2.0) * np.sqrt(grid**2 + tau2)
    reach = ndtri(0.5 + np.array(levels).reshape(-1, 1) / 2.0) * grid
    return Funnel(
        study=effects.study,
        yi=effects.yi,
        sei=effects.sei,
        p_value=frozen_array(2.0 * ndtr(-np.abs(effects.yi - null) / effects.sei)),
        mu=fit.mu,
        method=method,
        grid=frozen_array(grid),
        region_low=frozen_array(fit.mu - half),
        region_high=frozen_array(fit.mu + half),
        level=level,
        tau2=tau2,
        null=null,
        contour_levels=levels,
        contour_low=frozen_array(null - reach),
        contour_high=frozen_array(null + reach),
        caution=few_studies(effects.k) + " Judging a funnel by eye is unreliable. " + ASYMMETRY_IS_NOT_BIAS,
    )
