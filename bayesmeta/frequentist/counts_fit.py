"""A pooled estimate from counts as a value: about a common effect, or DerSimonian-Laird about it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesmeta.frequentist.result import PooledFit
from bayesmeta.frequentist.significance import Test, chi2_p
from bayesmeta.gaussian.weighted import mean_model
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array

_MH = "Mantel & Haenszel (1959), J. Natl. Cancer Inst. 22:719-748"
REFERENCES: dict[str, str] = {
    "OR": f"{_MH}; variance: Robins, Breslow & Greenland (1986), Biometrics 42:311-323.",
    "RR": f"{_MH}; Greenland & Robins (1985), Biometrics 41:55-68.",
    "RD": "Greenland & Robins (1985), Biometrics 41:55-68; "
    "variance: Sato, Greenland & Robins (1989), Biometrics 45:1323-1324.",
    "IRR": "Rothman, Greenland & Lash (2008), Modern Epidemiology, 3rd ed., ch. 15.",
    "IRD": "Rothman, Greenland & Lash (2008), Modern Epidemiology, 3rd ed., ch. 15.",
}
_RANDOM = (
    "Review Manager's random effects: Q about the Mantel-Haenszel estimate; "
    "DerSimonian & Laird (1986), Control. Clin. Trials 7:177-188."
)


@dataclass(frozen=True, eq=False)
class TwoByTwoFit(PooledFit):
    """A pooled estimate from counts, with the tests that go with them.

    ``k`` and ``weights`` are for all tables; `effects` and ``Q`` rest on the studies whose own effect can be
    estimated. `tests` holds the tests of association and homogeneity that the measure has.
    """

    tests: tuple[Test, ...] = ()


def common_fit(
    method: str,
    measure: str,
    study: tuple[str, ...],
    b: float,
    variance: float,
    weights: Array,
    effects: EffectSizes,
    level: float,
    reference: str,
) -> TwoByTwoFit:
    """Return the result of a common-effect method from its estimate; Q is taken about `b`."""
    df = effects.k - 1
    # One study cannot disagree with itself: what is left of its Q is rounding.
    q = float(((effects.yi - b) ** 2 / effects.sei**2).sum()) if df > 0 else 0.0
    return TwoByTwoFit(
        method=method,
        ci_rule="wald",
        level=level,
        measure=measure,
        study=study,
        terms=("intercept",),
        beta=np.array([b]),
        vcov=np.array([[variance]]),
        df=None,
        tau2=None,
        Q=q,
        Q_df=df,
        Q_p=chi2_p(q, df),
        I2=max(0.0, 100.0 * (q - df) / q) if q > 0 else 0.0,
        H2=q / df if df > 0 else 1.0,
        weights=100.0 * weights / weights.sum(),
        effects=effects,
        reference=reference,
        predicts=False,
    )


def random_about(
    center: float, study: tuple[str, ...], used: NDArray[np.bool_], effects: EffectSizes, level: float
) -> TwoByTwoFit:
    """Return DerSimonian-Laird pooling with Q taken about `center` instead of the inverse-variance mean."""
    model = mean_model(effects.yi, effects.sei**2)
    df, null = model.df, model.at(0.0)
    q = float(((effects.yi - center) ** 2 / effects.sei**2).sum()) if df > 0 else 0.0
    tau2 = max(0.0, (q - df) / null.trP) * model.scale**2 if df > 0 else 0.0
    at = model.at(tau2 / model.scale**2)
    weights = np.zeros(len(study))
    weights[used] = 1.0 / (effects.sei**2 + tau2)
    return TwoByTwoFit(
        method="MH random",
        ci_rule="wald",
        level=level,
        measure=effects.measure,
        study=study,
        terms=("intercept",),
        beta=at.beta * model.scale + model.shift,
        vcov=at.bread * model.scale**2,
        df=None,
        tau2=tau2,
        Q=q,
        Q_df=df,
        Q_p=chi2_p(q, df),
        I2=max(0.0, 100.0 * (q - df) / q) if q > 0 else 0.0,
        H2=q / df if df > 0 else 1.0,
        weights=100.0 * weights / weights.sum(),
        effects=effects,
        reference=_RANDOM,
        predicts=df > 0,
        notes=() if df > 0 else ("A single study can be pooled: tau2 cannot be estimated and is taken as 0.",),
    )
