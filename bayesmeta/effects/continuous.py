"""Effect measures of two-arm studies with means and standard deviations: MD, SMD, ROM, CVR and their relatives.

Every formula takes means ``m1, m2``, standard deviations ``s1, s2`` and sample sizes ``n1, n2``;
1 is the treatment arm.
"""

from math import pi, sqrt

import numpy as np
from scipy.special import gammaln

from bayesmeta.effects.measure import IDENTITY, LOG, Compute, Measure, Options, Scale, group_mean, register
from bayesmeta.values import Array

COLUMNS = ("mean_treatment", "sd_treatment", "n_treatment", "mean_control", "sd_control", "n_control")


def hedges_correction(df: Array) -> Array:
    """Return Hedges' exact small-sample factor ``J(df)``; 1 for very large `df`, NaN below 2.

    References
    ----------
    Hedges (1981), J. Educ. Stat. 6:107-128.

    Examples
    --------
    >>> float(hedges_correction(np.array([10.0]))[0])
    0.9227...
    """
    usable = np.where(df > 1, df, np.nan)
    # A difference of two large log gammas loses digits, 1e-12 at df = 2000 and growing. From there on the
    # asymptotic series of gamma(x + 1/2) / gamma(x) is exact to rounding; below, the direct form agrees with
    # other software to the last digit even where the unbiased variance subtracts nearly equal numbers.
    with np.errstate(invalid="ignore"):
        direct = np.exp(gammaln(usable / 2) - np.log(np.sqrt(usable / 2)) - gammaln((usable - 1) / 2))
        x = (usable - 1) / 2
        series = np.polynomial.polynomial.polyval(1 / x, _GAMMA_RATIO) * np.sqrt((usable - 1) / usable)
    return np.asarray(np.where(usable > 2000, series, direct))


_GAMMA_RATIO = (1.0, -1 / 8, 1 / 128, 5 / 1024, -21 / 32768, -399 / 262144, 869 / 4194304)


def pooled_variance(s1: Array, n1: Array, s2: Array, n2: Array) -> Array:
    """Return the variance pooled over both arms, with ``n1 + n2 - 2`` degrees of freedom."""
    return ((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / (n1 + n2 - 2)


def mean_difference(
    m1: Array, s1: Array, n1: Array, m2: Array, s2: Array, n2: Array, how: Options
) -> tuple[Array, Array]:
    """Mean difference.

    ``"LS"`` (and ``"UB"``, the same here) lets the arms' variances differ; ``"HO"`` pools them.
    """
    if how.vtype == "HO":
        return m1 - m2, pooled_variance(s1, n1, s2, n2) * (1 / n1 + 1 / n2)
    return m1 - m2, s1**2 / n1 + s2**2 / n2


def standardized_mean_difference(
    m1: Array, s1: Array, n1: Array, m2: Array, s2: Array, n2: Array, how: Options
) -> tuple[Array, Array]:
    """Mean difference in pooled standard deviations: Hedges' g, or Cohen's d with ``correct=False``.

    ``"LS"`` is the usual large-sample variance with g in it, ``"LS2"`` has d in it and the squared
    correction before it, ``"UB"`` is unbiased, ``"AV"`` is ``"LS"`` with g averaged over studies
    (weighted by sample size).

    References
    ----------
    Hedges (1981), J. Educ. Stat. 6:107-128; Hedges (1983), Psychol. Bull. 93:388-395 (UB).
    """
    d = (m1 - m2) / np.sqrt(pooled_variance(s1, n1, s2, n2))
    n = n1 + n2
    return _standardized(d, 1 / n1 + 1 / n2, n - 2, n, n, how)


def _standardized(d: Array, base: Array, df: Array, size: Array, weight: Array, how: Options) -> tuple[Array, Array]:
    """Return a standardized difference and its variance ``base + d^2 / (2 size)`` in the kind asked for."""
    j = hedges_correction(df) if how.correct else np.ones_like(d)
    g = j * d
    if how.vtype == "LS2":
        return g, j**2 * (base + d**2 / (2 * size))
    if how.vtype == "UB":
        return g, base + (1 - (df - 2) / (df * hedges_correction(df) ** 2)) * g**2
    at = group_mean(g, weight, how.group) if how.vtype == "AV" else g
    return g, base + at**2 / (2 * size)


def smd_heteroscedastic(
    m1: Array, s1: Array, n1: Array, m2: Array, s2: Array, n2: Array, how: Options
) -> tuple[Array, Array]:
    """Mean difference in units of the root mean of both variances, which may differ.

    References
    ----------
    Bonett (2008), Psychol. Methods 13:99-109; Bonett (2009), Psychol. Methods 14:225-238.
    """
    v = (s1**2 + s2**2) / 2
    d = (m1 - m2) / np.sqrt(v)
    df1, df2 = n1 - 1, n2 - 1
    g = hedges_correction(n1 + n2 - 2) * d if how.correct else d
    return g, g**2 * (s1**4 / df1 + s2**4 / df2) / (8 * v**2) + (s1**2 / df1 + s2**2 / df2) / v


def smd_control_sd(
    m1: Array, s1: Array, n1: Array, m2: Array, s2: Array, n2: Array, how: Options
) -> tuple[Array, Array]:
    """Mean difference in standard deviations of the control arm (Glass' delta).

    References
    ----------
    Hedges (1981), J. Educ. Stat. 6:107-128.
    """
    d = (m1 - m2) / s2
    return _standardized(d, 1 / n1 + 1 / n2, n2 - 1, n2, n1 + n2, how)


def log_ratio_of_means(
    m1: Array, s1: Array, n1: Array, m2: Array, s2: Array, n2: Array, how: Options
) -> tuple[Array, Array]:
    """Log ratio of means of one sign, with Lajeunesse's bias correction unless ``correct=False``.

    ``"LS"`` is first order, ``"LS2"`` second order, ``"HO"`` pools the variances, ``"AV"`` averages each
    arm's coefficient of variation over studies (weighted by size), ``"AVHO"`` both arms' together.

    References
    ----------
    Hedges, Gurevitch & Curtis (1999), Ecology 80:1150-1156; Lajeunesse (2015), Ecology 96:2056-2063.
    """
    c1, c2 = s1**2 / (n1 * m1**2), s2**2 / (n2 * m2**2)
    # The log of a ratio of means needs them to have one sign; NaN is reported as not estimable.
    yi = np.log(np.where(m1 / m2 > 0, m1 / m2, np.nan))
    yi = yi + (c1 - c2) / 2 if how.correct else yi
    if how.vtype == "LS2":
        return yi, c1 + c2 + (c1**2 + c2**2) / 2
    if how.vtype == "HO":
        v = pooled_variance(s1, n1, s2, n2)
        return yi, v / (n1 * m1**2) + v / (n2 * m2**2)
    if how.vtype in ("AV", "AVHO"):
        cv1, cv2 = (group_mean(np.abs(s / m), n, how.group) for s, m, n in ((s1, m1, n1), (s2, m2, n2)))
        if how.vtype == "AVHO":
            size1, size2 = (group_mean(n, np.ones_like(n), how.group) for n in (n1, n2))
            cv1 = cv2 = (size1 * cv1 + size2 * cv2) / (size1 + size2)
        return yi, cv1**2 / n1 + cv2**2 / n2
    return yi, c1 + c2


def log_variability_ratio(
    m1: Array, s1: Array, n1: Array, m2: Array, s2: Array, n2: Array, how: Options
) -> tuple[Array, Array]:
    """Log ratio of standard deviations.

    References
    ----------
    Nakagawa et al. (2015), Methods Ecol. Evol. 6:143-152.
    """
    h1, h2 = 1 / (2 * (n1 - 1)), 1 / (2 * (n2 - 1))
    yi = np.log(s1 / s2)
    return (yi + h1 - h2 if how.correct else yi), h1 + h2


def log_cv_ratio(m1: Array, s1: Array, n1: Array, m2: Array, s2: Array, n2: Array, how: Options) -> tuple[Array, Array]:
    """Log ratio of coefficients of variation.

    References
    ----------
    Nakagawa et al. (2015), Methods Ecol. Evol. 6:143-152; bias correction: Senior, Viechtbauer &
    Nakagawa (2020), Res. Synth. Methods 11:553-567.
    """
    # A coefficient of variation is a magnitude of ratio-scale data: negative means have none.
    m1, m2 = np.where(m1 > 0, m1, np.nan), np.where(m2 > 0, m2, np.nan)
    h1, h2 = 1 / (2 * (n1 - 1)), 1 / (2 * (n2 - 1))
    c1, c2 = s1**2 / (n1 * m1**2), s2**2 / (n2 * m2**2)
    yi = np.log(s1 / m1 / (s2 / m2))
    return (yi + h1 - h2 - (c1 - c2) / 2 if how.correct else yi), h1 + h2 + c1 + c2


def _log_odds_from_d(factor: float) -> Compute:
    def compute(m1: Array, s1: Array, n1: Array, m2: Array, s2: Array, n2: Array, how: Options) -> tuple[Array, Array]:
        d, v = standardized_mean_difference(m1, s1, n1, m2, s2, n2, Options(correct=False))
        return d * factor, v * factor**2

    return compute


_VTYPES = {
    "MD": ("LS", "UB", "HO"),
    "SMD": ("LS", "LS2", "UB", "AV"),
    "ROM": ("LS", "LS2", "HO", "AV", "AVHO"),
    "SMD1": ("LS", "LS2", "UB", "AV"),
}
_BIASED = {"SMD", "SMDH", "SMD1", "ROM", "VR", "CVR"}


def _register(name: str, label: str, analysis_label: str, compute: Compute, scale: Scale = IDENTITY) -> None:
    register(
        Measure(
            name,
            "means",
            COLUMNS,
            label,
            analysis_label,
            scale,
            compute,
            ratio=scale is LOG,
            vtypes=_VTYPES.get(name, ("LS",)),
            correctable=name in _BIASED,
        )
    )


_register("MD", "Mean difference", "mean difference", mean_difference)
_register("SMD", "Standardized mean difference", "standardized mean difference", standardized_mean_difference)
_register(
    "SMDH", "Standardized mean difference", "standardized mean difference (unequal variances)", smd_heteroscedastic
)
_register("SMD1", "Standardized mean difference", "standardized mean difference (SD of control)", smd_control_sd)
_register("ROM", "Ratio of means", "log ratio of means", log_ratio_of_means, LOG)
_register("CVR", "Coefficient of variation ratio", "log coefficient of variation ratio", log_cv_ratio, LOG)
_register("VR", "Variability ratio", "log variability ratio", log_variability_ratio, LOG)
# Cohen's d, times pi / sqrt(3) for a logistic outcome (Chinn 2000, Stat. Med. 19:3127-3131) or times 1.65
# for a normal one (Cox & Snell 1989, Analysis of Binary Data); D2OR is another name of the former.
_register("D2OR", "Odds ratio", "log odds ratio from means (logistic)", _log_odds_from_d(pi / sqrt(3)), LOG)
_register("D2ORL", "Odds ratio", "log odds ratio from means (logistic)", _log_odds_from_d(pi / sqrt(3)), LOG)
_register("D2ORN", "Odds ratio", "log odds ratio from means (normal)", _log_odds_from_d(1.65), LOG)
