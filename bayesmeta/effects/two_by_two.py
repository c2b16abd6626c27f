"""Effect measures of two-arm studies with 2x2 counts: OR, RR, RD, AS, PETO and their relatives.

Every formula takes the four cells ``a`` (events, treatment), ``b`` (no event, treatment), ``c``
(events, control), ``d`` (no event, control), after the zero-cell rule.
"""

from collections.abc import Callable
from math import pi, sqrt

import numpy as np
from scipy.special import ndtri

from bayesmeta.effects.measure import IDENTITY, LOG, Compute, Measure, Options, Scale, group_mean, register
from bayesmeta.values import Array

type Cells = Callable[[Array, Array, Array, Array], tuple[Array, Array]]

COLUMNS = ("events_treatment", "n_treatment", "events_control", "n_control")


def _measure(
    name: str, label: str, analysis_label: str, *, scale: Scale = IDENTITY, ratio: bool = False
) -> Callable[[Cells], Cells]:
    """Register a formula of four cells that has one sampling variance."""

    def decorate(formula: Cells) -> Cells:
        def compute(a: Array, b: Array, c: Array, d: Array, how: Options) -> tuple[Array, Array]:
            return formula(a, b, c, d)

        register(
            Measure(name, "two_by_two", COLUMNS, label, analysis_label, scale, compute, ratio=ratio, default_add=0.5)
        )
        return formula

    return decorate


def log_odds_ratio(a: Array, b: Array, c: Array, d: Array, how: Options) -> tuple[Array, Array]:
    """Log odds ratio, ``log(ad / bc)``.

    ``"LS"`` is Woolf's ``1/a + 1/b + 1/c + 1/d``; ``"AV"`` uses each arm's risk averaged over studies
    (weighted by arm size).

    References
    ----------
    Woolf (1955), Ann. Hum. Genet. 19:251-253.
    """
    # One log of the ratio: a sum of logs cancels when the odds ratio is near 1.
    yi = np.log(a * d / (b * c))
    if how.vtype == "AV":
        n1, n2 = a + b, c + d
        p1, p2 = _average_risks(a, b, c, d, how)
        return yi, 1 / (n1 * p1 * (1 - p1)) + 1 / (n2 * p2 * (1 - p2))
    return yi, 1 / a + 1 / b + 1 / c + 1 / d


def log_risk_ratio(a: Array, b: Array, c: Array, d: Array, how: Options) -> tuple[Array, Array]:
    """Log risk ratio, treatment over control.

    ``"LS"`` is ``1/a - 1/n1 + 1/c - 1/n2``; ``"AV"`` uses each arm's risk averaged over studies.

    References
    ----------
    Katz et al. (1978), Biometrics 34:469-474.
    """
    n1, n2 = a + b, c + d
    yi = np.log(a / n1 / (c / n2))
    if how.vtype == "AV":
        p1, p2 = _average_risks(a, b, c, d, how)
        return yi, (1 - p1) / (n1 * p1) + (1 - p2) / (n2 * p2)
    # b / (a n1) is 1/a - 1/n1 without its cancellation when nearly everybody has the event.
    return yi, b / (a * n1) + d / (c * n2)


def _average_risks(a: Array, b: Array, c: Array, d: Array, how: Options) -> tuple[Array, Array]:
    """Return each arm's risk averaged over the studies of a meta-analysis, weighted by arm size."""
    n1, n2 = a + b, c + d
    return group_mean(a / n1, n1, how.group), group_mean(c / n2, n2, how.group)


def risk_difference(a: Array, b: Array, c: Array, d: Array, how: Options) -> tuple[Array, Array]:
    """Risk difference, events per patient in the treatment arm minus the control arm.

    Sampling variances: ``"LS"`` is ``p1 q1 / n1 + p2 q2 / n2``, ``"UB"`` its unbiased version with
    ``n - 1``, ``"AV"`` uses each arm's risk averaged over studies (weighted by arm size).
    """
    n1, n2 = a + b, c + d
    p1, p2 = a / n1, c / n2
    if how.vtype == "AV":
        q1, q2 = _average_risks(a, b, c, d, how)
        return p1 - p2, q1 * (1 - q1) / n1 + q2 * (1 - q2) / n2
    m1, m2 = (n1 - 1, n2 - 1) if how.vtype == "UB" else (n1, n2)
    return p1 - p2, p1 * (b / n1) / m1 + p2 * (d / n2) / m2


def arcsine_difference(a: Array, b: Array, c: Array, d: Array, how: Options) -> tuple[Array, Array]:
    """Difference of arcsine square-root risks, which exists with zero cells.

    The variance ``1/(4 n1) + 1/(4 n2)`` is free of the risks, so every `vtype` is the same.

    References
    ----------
    Rücker et al. (2009), Stat. Med. 28:721-738.
    """
    n1, n2 = a + b, c + d
    return np.arcsin(np.sqrt(a / n1)) - np.arcsin(np.sqrt(c / n2)), 1 / (4 * n1) + 1 / (4 * n2)


def phi_coefficient(a: Array, b: Array, c: Array, d: Array, how: Options) -> tuple[Array, Array]:
    """Phi coefficient: the correlation of arm and event.

    ``"LS"`` (and ``"CS"``, the same) takes all four cells as multinomial, ``"ST"`` the arm sizes as fixed
    by design (delta method on two binomials).

    References
    ----------
    Yule (1912), J. R. Stat. Soc. 75:579-652; variance: Bishop, Fienberg & Holland (1975), Discrete
    Multivariate Analysis.
    """
    n1, n2 = a + b, c + d
    n, p = n1 + n2, (a + c) / (n1 + n2)
    spread = np.sqrt(n1 * n2 * p * (1 - p))
    phi = (a * d - b * c) / (n * spread)
    if how.vtype == "ST":
        p1, p2 = a / n1, c / n2
        slope = np.sqrt(n1 * n2 / (p * (1 - p))) / n
        common = (1 - 2 * p) / (2 * p * (1 - p)) * phi
        g1, g2 = slope - common * n1 / n, -slope - common * n2 / n
        return phi, g1**2 * p1 * (1 - p1) / n1 + g2**2 * p2 * (1 - p2) / n2
    rows, columns = (n1 - n2) / np.sqrt(n1 * n2), (2 * p - 1) / np.sqrt(p * (1 - p))
    vi = 1 - phi**2 + phi * (1 + phi**2 / 2) * rows * columns - 0.75 * phi**2 * (rows**2 + columns**2)
    # A perfect association has no variance; rounding would leave a tiny one, and with it a huge weight.
    perfect = ((b == 0) & (c == 0)) | ((a == 0) & (d == 0))
    return phi, np.where(perfect, 0.0, vi / n)


def _register(name: str, label: str, analysis_label: str, compute: Compute, scale: Scale, *vtypes: str) -> None:
    """Register a formula that takes options."""
    ratio = scale is LOG
    register(
        Measure(
            name,
            "two_by_two",
            COLUMNS,
            label,
            analysis_label,
            scale,
            compute,
            ratio=ratio,
            vtypes=vtypes,
            default_add=0.0 if name in ("AS", "PHI") else 0.5,
        )
    )


_register("OR", "Odds ratio", "log odds ratio", log_odds_ratio, LOG, "LS", "AV")
_register("RR", "Risk ratio", "log risk ratio", log_risk_ratio, LOG, "LS", "AV")
_register("RD", "Risk difference", "risk difference", risk_difference, IDENTITY, "LS", "UB", "AV")
_register(
    "AS", "Difference of arcsine risks", "arcsine risk difference", arcsine_difference, IDENTITY, "LS", "UB", "AV"
)
_register("PHI", "Phi coefficient", "phi coefficient", phi_coefficient, IDENTITY, "LS", "ST", "CS")


@_measure("PETO", "Odds ratio (Peto)", "log odds ratio (Peto)", scale=LOG, ratio=True)
def peto(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, Array]:
    """Peto's one-step log odds ratio ``(O - E) / V``; Yusuf et al. (1985), Prog. Cardiovasc. Dis. 27:335-371."""
    n1, n2 = a + b, c + d
    n, events = n1 + n2, a + c
    v = n1 * n2 * events * (b + d) / (n**2 * (n - 1))
    return (a - n1 * events / n) / v, 1 / v


@_measure("OR2DN", "Standardized mean difference from odds ratio (normal)", "standardized mean difference")
def odds_ratio_to_d_normal(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, Array]:
    """Log odds ratio divided by 1.65, for a dichotomized normal outcome (Cox & Snell 1989, Analysis of Binary Data)."""
    y, v = log_odds_ratio(a, b, c, d, Options())
    return y / 1.65, v / 1.65**2


@_measure("OR2DL", "Standardized mean difference from odds ratio (logistic)", "standardized mean difference")
def odds_ratio_to_d_logistic(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, Array]:
    """Log odds ratio times sqrt(3) / pi, for a dichotomized logistic outcome (Chinn 2000, Stat. Med. 19:3127-3131)."""
    y, v = log_odds_ratio(a, b, c, d, Options())
    return y * sqrt(3) / pi, v * 3 / pi**2


@_measure("PBIT", "Standardized mean difference from probits", "standardized mean difference")
def probit_difference(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, Array]:
    """Difference of probit-transformed risks (Sánchez-Meca et al. 2003, Psychol. Methods 8:448-467)."""
    n1, n2 = a + b, c + d
    z1, z2 = ndtri(a / n1), ndtri(c / n2)
    v1 = 2 * pi * (a / n1) * (b / n1) * np.exp(z1**2) / n1
    v2 = 2 * pi * (c / n2) * (d / n2) * np.exp(z2**2) / n2
    return z1 - z2, v1 + v2


@_measure("YUQ", "Yule's Q", "Yule's Q")
def yule_q(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, Array]:
    """Yule's Q, ``(OR - 1) / (OR + 1)`` (Yule 1912, J. R. Stat. Soc. 75:579-652)."""
    q = (a * d - b * c) / (a * d + b * c)
    return q, (1 - q**2) ** 2 / 4 * (1 / a + 1 / b + 1 / c + 1 / d)


@_measure("YUY", "Yule's Y", "Yule's Y")
def yule_y(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, Array]:
    """Yule's Y, ``(sqrt(OR) - 1) / (sqrt(OR) + 1)`` (Yule 1912, J. R. Stat. Soc. 75:579-652)."""
    s, t = np.sqrt(a * d), np.sqrt(b * c)
    y = (s - t) / (s + t)
    return y, (1 - y**2) ** 2 / 16 * (1 / a + 1 / b + 1 / c + 1 / d)
