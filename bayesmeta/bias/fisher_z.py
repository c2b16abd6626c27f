"""Effects as RoBMA 3 analyses them: Fisher's z, with the sample size that the standard error implies."""

from dataclasses import replace

import numpy as np

from bayesmeta.errors import DataError
from bayesmeta.studies import EffectSizes
from bayesmeta.studies.effect_sizes import ONE_ROW_A_STUDY


def as_fisher_z(effects: EffectSizes) -> tuple[EffectSizes, str]:
    """Return standardised mean differences or correlations as Fisher's z, and how results were judged.

    ``n = (d^2 + 8) / (2 se^2)``, ``z = atanh(d / sqrt(d^2 + 4))`` with variance ``1 / (n - 3)``.

    Raises
    ------
    DataError
        If the effects are of another measure.
    """
    if effects.measure == "ZCOR":
        return effects, "r"
    if effects.measure != "SMD":
        raise DataError(
            f"The ensemble robma3 is for standardised mean differences and correlations (ZCOR), not {effects.measure}: "
            "use ensemble='psma', with scale= for the unit of the effects."
        )
    d = effects.yi
    n = (d**2 + 8.0) / (2.0 * effects.vi)
    if np.any(n <= 3.0):
        i = int(np.argmax(n <= 3.0))
        raise DataError(f"Study {effects.study[i]!r}: its standard error implies {n[i]:.1f} people, fewer than four.")
    z = np.arctanh(d / np.sqrt(d**2 + 4.0))
    sei = 1.0 / np.sqrt(n - 3.0)
    return replace(effects, yi=z, sei=sei, measure="ZCOR", counts=None, observed={}, **ONE_ROW_A_STUDY), "d"
