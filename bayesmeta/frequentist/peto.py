"""Peto's one-step odds ratio."""

from dataclasses import replace

import numpy as np

from bayesmeta.errors import DataError, ModelError
from bayesmeta.frequentist.counts_fit import TwoByTwoFit, common_fit
from bayesmeta.frequentist.two_by_two import UNINFORMATIVE, cells_of, chosen, contribution_note, exclusions
from bayesmeta.studies import EffectSizes, StudyTable, TwoByTwo, fit_the_counts

_PETO = "Yusuf, Peto, Lewis, Collins & Sleight (1985), Prog. Cardiovasc. Dis. 27:335-371."


def peto(counts: TwoByTwo | StudyTable, *, level: float = 0.95) -> TwoByTwoFit:
    r"""Pool odds ratios by Peto's one-step method: ``sum(O - E) / sum(V)``, hypergeometric E and V.

    Needs no zero-cell correction. Biased when arms are very unequal or effects are large.

    Parameters
    ----------
    counts
        2x2 counts.
    level
        Coverage of the interval.

    Raises
    ------
    DataError
        If no study has both events and non-events.

    References
    ----------
    Yusuf, Peto, Lewis, Collins & Sleight (1985), Prog. Cardiovasc. Dis. 27:335-371.
    """
    if not 0.0 < level < 1.0:
        raise ModelError(f"level is {level!r}; it is a coverage strictly between 0 and 1, e.g. 0.95 for 95%.")
    if isinstance(counts, StudyTable):
        counts = counts.two_by_two()
    a, b, c, d = cells_of(counts)
    n1, n2, m1, m0, n = a + b, c + d, a + c, b + d, a + b + c + d
    difference, variance = a - n1 * m1 / n, n1 * n2 * m1 * m0 / (n**2 * (n - 1.0))
    used = variance > 0
    if not used.any():
        raise DataError(
            f"Peto's odds ratio does not exist: every study is {UNINFORMATIVE}. {fit_the_counts('PETO').capitalize()}."
        )
    effects = EffectSizes(
        yi=difference[used] / variance[used],
        sei=1.0 / np.sqrt(variance[used]),
        study=chosen(counts.study, used),
        measure="PETO",
        excluded=exclusions(counts.study, used),
    )
    total = float(variance.sum())
    log_or = float(difference.sum()) / total
    fit = common_fit("Peto", "PETO", counts.study, log_or, 1.0 / total, variance, effects, level, _PETO)
    return fit if used.all() else replace(fit, notes=(contribution_note(counts, ~used, "PETO"),))
