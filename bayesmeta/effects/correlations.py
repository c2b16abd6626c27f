"""Effect measures of association: COR, UCOR, ZCOR from correlations, RPB and RBIS from two groups' means."""

import numpy as np
from scipy.special import hyp2f1, ndtri

from bayesmeta.effects.continuous import COLUMNS as MEANS
from bayesmeta.effects.continuous import pooled_variance
from bayesmeta.effects.measure import Compute, Measure, Options, Scale, group_mean, register
from bayesmeta.values import Array

COLUMNS = ("ri", "n")


def correlation(r: Array, n: Array, how: Options) -> tuple[Array, Array]:
    """Raw correlation; variance ``(1 - r^2)^2 / (n - 1)`` (``"AV"``: r averaged over studies)."""
    at = group_mean(r, n, how.group) if how.vtype == "AV" else r
    return r, (1 - at**2) ** 2 / (n - 1)


def unbiased_correlation(r: Array, n: Array, how: Options) -> tuple[Array, Array]:
    """Correlation without its small-sample bias.

    ``"LS"`` and ``"AV"`` as for the raw correlation; ``"UB"`` is the unbiased variance.

    References
    ----------
    Olkin & Pratt (1958), Ann. Math. Stat. 29:201-211; Hedges (1989), J. Appl. Psychol. 74:469-477 (UB).
    """
    # The series needs n > 4 to converge at r = 0.
    size = np.where(n > 4, n, np.nan)
    g = r * hyp2f1(0.5, 0.5, (size - 2) / 2, 1 - r**2)
    if how.vtype == "UB":
        squared = 1 - (size - 3) / (size - 2) * (1 - r**2) * hyp2f1(1.0, 1.0, size / 2, 1 - r**2)
        return g, g**2 - squared
    at = group_mean(g, n, how.group) if how.vtype == "AV" else g
    return g, (1 - at**2) ** 2 / (n - 1)


def fisher_z(r: Array, n: Array, how: Options) -> tuple[Array, Array]:
    """Fisher's z; variance ``1 / (n - 3)`` (Fisher 1921, Metron 1:3-32)."""
    return np.arctanh(r), np.where(n > 3, 1 / (n - 3), np.nan)


def point_biserial(
    m1: Array, s1: Array, n1: Array, m2: Array, s2: Array, n2: Array, how: Options
) -> tuple[Array, Array]:
    """Point-biserial correlation of group and outcome.

    ``"ST"`` takes the group sizes as fixed by design, ``"CS"`` as observed in a cross-section.

    References
    ----------
    Jacobs & Viechtbauer (2017), Res. Synth. Methods 8:161-180; Tate (1954), Ann. Math. Stat. 25:603-607.
    """
    n = n1 + n2
    d = (m1 - m2) / np.sqrt(pooled_variance(s1, n1, s2, n2))
    h = (n - 2) / n1 + (n - 2) / n2
    r = d / np.sqrt(d**2 + h)
    if how.vtype == "CS":
        p = n1 / n
        return r, (1 - r**2) ** 2 * (p * (1 - p) - 0.25 * r**2 * (6 * p * (1 - p) - 1)) / (n * p * (1 - p))
    return r, h**2 / (h + d**2) ** 3 * (1 / n1 + 1 / n2 + d**2 / (2 * n))


def biserial(m1: Array, s1: Array, n1: Array, m2: Array, s2: Array, n2: Array, how: Options) -> tuple[Array, Array]:
    """Biserial correlation: the two groups are a dichotomized normal variable.

    References
    ----------
    Soper (1914), Biometrika 10:384-390; Jacobs & Viechtbauer (2017), Res. Synth. Methods 8:161-180.
    """
    n = n1 + n2
    p = n1 / n
    q = 1 - p
    z = ndtri(q)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    r = point_biserial(m1, s1, n1, m2, s2, n2, Options())[0] * np.sqrt(p * q) / density
    # The estimate can lie beyond 1, where the formula of the variance would turn negative; it is used at 1.
    inside = np.clip(r, -1.0, 1.0)
    shape = p * q / density**2 - (1.5 + (1 - p * z / density) * (1 + q * z / density)) * inside**2
    return r, (shape + inside**4) / (n - 1)


_RAW = Scale(lambda y, n: y, lambda x, n: x, 0.0, low=-1, high=1)
_Z = Scale(lambda y, n: np.tanh(y), lambda x, n: np.arctanh(x), 0.0, low=-1, high=1)


def _register(
    name: str, analysis_label: str, compute: Compute, *vtypes: str, scale: Scale = _RAW, columns: tuple[str, ...]
) -> None:
    family = "correlation" if columns == COLUMNS else "means"
    register(Measure(name, family, columns, "Correlation", analysis_label, scale, compute, vtypes=vtypes or ("LS",)))


_register("COR", "correlation", correlation, "LS", "AV", columns=COLUMNS)
_register("UCOR", "unbiased correlation", unbiased_correlation, "LS", "UB", "AV", columns=COLUMNS)
_register("ZCOR", "Fisher's z of the correlation", fisher_z, scale=_Z, columns=COLUMNS)
_register("RPB", "point-biserial correlation", point_biserial, "ST", "CS", columns=MEANS)
_register("RBIS", "biserial correlation", biserial, columns=MEANS)
