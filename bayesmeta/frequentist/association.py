"""Tests on stratified 2x2 tables: association (Cochran-Mantel-Haenszel) and homogeneity of the odds ratio."""

import numpy as np

from bayesmeta.frequentist.significance import Test, chi2_p
from bayesmeta.values import Array


def _test(name: str, statistic: float, df: int, reference: str) -> Test:
    return Test(name, statistic, df, chi2_p(statistic, df), reference)


def _margins(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, Array, Array, Array, Array]:
    return a + b, c + d, a + c, b + d, a + b + c + d


def mantel_haenszel_test(a: Array, b: Array, c: Array, d: Array, *, correct: bool = True) -> Test | None:
    """Return the Cochran-Mantel-Haenszel test of no association, `correct` for continuity.

    ``a, b`` are events and non-events under treatment, ``c, d`` under control, each ``(k,)``. None when
    no study has both events and non-events.

    References
    ----------
    Mantel & Haenszel (1959), J. Natl. Cancer Inst. 22:719-748.
    """
    n1, n2, m1, m0, n = _margins(a, b, c, d)
    variance = float((n1 * n2 * m1 * m0 / (n**2 * (n - 1.0))).sum())
    if not variance > 0:
        return None
    excess = abs(float((a - n1 * m1 / n).sum())) - (0.5 if correct else 0.0)
    name = "Cochran-Mantel-Haenszel" + (" with continuity correction" if correct else "")
    return _test(name, excess**2 / variance, 1, "Mantel & Haenszel (1959), J. Natl. Cancer Inst. 22:719-748.")


def cochran_test(a: Array, b: Array, c: Array, d: Array, *, correct: bool = True) -> Test | None:
    """Return Cochran's version of the test of no association, with binomial instead of hypergeometric variances.

    References
    ----------
    Cochran (1954), Biometrics 10:417-451.
    """
    n1, n2, m1, m0, n = _margins(a, b, c, d)
    variance = float((n1 * n2 * m1 * m0 / n**3).sum())
    if not variance > 0:
        return None
    excess = abs(float((a - n1 * m1 / n).sum())) - (0.5 if correct else 0.0)
    name = "Cochran" + (" with continuity correction" if correct else "")
    return _test(name, excess**2 / variance, 1, "Cochran (1954), Biometrics 10:417-451.")


def fitted_events(odds_ratio: float, n1: Array, n2: Array, m1: Array) -> Array:
    """Return the treatment events expected in each table with margins `n1`, `n2`, `m1` and the odds ratio given.

    The root of ``(1 - psi) A^2 + (n2 - m1 + psi (n1 + m1)) A - psi n1 m1 = 0`` that lies inside the table,
    in the form that does not cancel as psi approaches 1.
    """
    q = n2 - m1 + odds_ratio * (n1 + m1)
    discriminant = np.sqrt(np.maximum(q * q + 4.0 * (1.0 - odds_ratio) * odds_ratio * n1 * m1, 0.0))
    return np.asarray(2.0 * odds_ratio * n1 * m1 / (q + discriminant))


def homogeneity_tests(a: Array, b: Array, c: Array, d: Array, log_or: float) -> tuple[Test | None, Test | None]:
    """Return Breslow-Day's and Tarone's tests that all studies share the odds ratio ``exp(log_or)``.

    Only studies with events and non-events carry information; None when fewer than two do.

    References
    ----------
    Breslow & Day (1980), Statistical Methods in Cancer Research I, IARC.
    Tarone (1985), Biometrika 72:91-95.
    """
    n1, n2, m1, m0, _ = _margins(a, b, c, d)
    use = (m1 > 0) & (m0 > 0)
    df = int(use.sum()) - 1
    if df < 1:
        return None, None
    a, n1, n2, m1 = a[use], n1[use], n2[use], m1[use]
    fitted = fitted_events(float(np.exp(log_or)), n1, n2, m1)
    variance = 1.0 / (1.0 / fitted + 1.0 / (n1 - fitted) + 1.0 / (m1 - fitted) + 1.0 / (n2 - m1 + fitted))
    breslow_day = float(((a - fitted) ** 2 / variance).sum())
    tarone = breslow_day - float((a - fitted).sum()) ** 2 / float(variance.sum())
    return (
        _test("Breslow-Day", breslow_day, df, "Breslow & Day (1980), Statistical Methods in Cancer Research I, IARC."),
        _test("Tarone", tarone, df, "Tarone (1985), Biometrika 72:91-95."),
    )
