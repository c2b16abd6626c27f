"""Effect measures of one group measured twice, or of matched pairs: MC, SMCC, SMCR, SMCRH, ROMC.

Every formula takes means ``m1, m2``, standard deviations ``s1, s2``, the number of pairs ``n`` and the
correlation ``r`` of the two measurements. 1 is the treatment (or later) measurement, 2 the control (or
earlier) one; a positive effect means that 1 is larger.
"""

import numpy as np

from bayesmeta.effects.continuous import hedges_correction
from bayesmeta.effects.measure import IDENTITY, LOG, Compute, Measure, Options, Scale, register
from bayesmeta.values import Array

COLUMNS = ("mean_treatment", "mean_control", "sd_treatment", "sd_control", "n", "ri")


def change_variance(s1: Array, s2: Array, r: Array) -> Array:
    """Return the variance of the difference of two correlated measurements."""
    return s1**2 + s2**2 - 2 * r * s1 * s2


def mean_change(m1: Array, m2: Array, s1: Array, s2: Array, n: Array, r: Array, how: Options) -> tuple[Array, Array]:
    """Mean change ``m1 - m2``."""
    return m1 - m2, change_variance(s1, s2, r) / n


def smc_change_sd(m1: Array, m2: Array, s1: Array, s2: Array, n: Array, r: Array, how: Options) -> tuple[Array, Array]:
    """Mean change in standard deviations of the change scores.

    References
    ----------
    Gibbons, Hedeker & Davis (1993), J. Educ. Stat. 18:271-279; Morris & DeShon (2002), Psychol. Methods
    7:105-125.
    """
    d = (m1 - m2) / np.sqrt(change_variance(s1, s2, r))
    j = hedges_correction(n - 1) if how.correct else np.ones_like(d)
    if how.vtype == "LS2":
        return j * d, j**2 * (1 / n + d**2 / (2 * n))
    return j * d, 1 / n + (j * d) ** 2 / (2 * n)


def smc_raw_sd(m1: Array, m2: Array, s1: Array, s2: Array, n: Array, r: Array, how: Options) -> tuple[Array, Array]:
    """Mean change in raw-score standard deviations of measurement 1.

    References
    ----------
    Becker (1988), Br. J. Math. Stat. Psychol. 41:257-278.
    """
    d = (m1 - m2) / s1
    j = hedges_correction(n - 1) if how.correct else np.ones_like(d)
    if how.vtype == "LS2":
        return j * d, j**2 * (2 * (1 - r) / n + d**2 / (2 * n))
    return j * d, 2 * (1 - r) / n + (j * d) ** 2 / (2 * n)


def smc_raw_sd_heteroscedastic(
    m1: Array, m2: Array, s1: Array, s2: Array, n: Array, r: Array, how: Options
) -> tuple[Array, Array]:
    """Mean change in standard deviations of measurement 1, the two variances allowed to differ.

    References
    ----------
    Bonett (2008), Psychol. Methods 13:99-109.
    """
    d = (m1 - m2) / s1
    g = hedges_correction(n - 1) * d if how.correct else d
    return g, change_variance(s1, s2, r) / (s1**2 * (n - 1)) + g**2 / (2 * (n - 1))


def log_ratio_of_paired_means(
    m1: Array, m2: Array, s1: Array, s2: Array, n: Array, r: Array, how: Options
) -> tuple[Array, Array]:
    """Log ratio of two correlated means of one sign, bias-corrected unless ``correct=False``.

    References
    ----------
    Lajeunesse (2011), Ecology 92:2049-2055; Lajeunesse (2015), Ecology 96:2056-2063.
    """
    c1, c2 = s1**2 / (n * m1**2), s2**2 / (n * m2**2)
    ratio = np.where(m1 / m2 > 0, m1 / m2, np.nan)
    bias = (c1 - c2) / 2 if how.correct else 0.0
    return np.log(ratio) + bias, c1 + c2 - 2 * r * s1 * s2 / (m1 * m2 * n)


def _register(
    name: str, label: str, analysis_label: str, compute: Compute, *vtypes: str, scale: Scale = IDENTITY
) -> None:
    register(
        Measure(
            name,
            "paired",
            COLUMNS,
            label,
            analysis_label,
            scale,
            compute,
            ratio=scale is LOG,
            vtypes=vtypes or ("LS",),
            correctable=name != "MC",
        )
    )


_register("MC", "Mean change", "mean change", mean_change)
_register("SMCC", "Standardized mean change", "standardized mean change (SD of change)", smc_change_sd, "LS", "LS2")
_register("SMCR", "Standardized mean change", "standardized mean change (raw SD)", smc_raw_sd, "LS", "LS2")
_register(
    "SMCRH",
    "Standardized mean change",
    "standardized mean change (raw SD, unequal variances)",
    smc_raw_sd_heteroscedastic,
)
_register("ROMC", "Ratio of means", "log ratio of paired means", log_ratio_of_paired_means, scale=LOG)
