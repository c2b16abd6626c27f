r"""How many patients a meta-analysis needs in all: the required information size, adjusted for diversity.

A meta-analysis of trials of one true effect needs as many patients as one trial would,

.. math:: N = 4 (z_{1 - \alpha/2} + z_{1 - \beta})^2 \nu / \delta^2,

in both arms together, with the difference :math:`\delta` to be detected and the variance :math:`\nu` of one patient's
outcome, for risks :math:`\bar p (1 - \bar p)` at the mean of both arms' risks. Differences between studies take more:
:math:`N / (1 - D^2)`, with the diversity :math:`D^2 = (V_R - V_F) / V_R`, the share of the random-effects estimate's
variance that they make.
"""

import math
from dataclasses import dataclass

from scipy.special import ndtri

from bayesmeta.errors import ModelError
from bayesmeta.frequentist.pool import pool
from bayesmeta.studies import EffectSizes
from bayesmeta.words import folded

RISKS = ("OR", "RR", "RD")


@dataclass(frozen=True, slots=True, repr=False)
class InformationSize:
    """Required information size of a meta-analysis, in patients of both arms together.

    Parameters
    ----------
    fixed
        Without differences between studies: the size of one trial.
    diversity
        D2, from 0 to 1.
    required
        Adjusted for diversity; infinite where that is 1.
    accrued
        Patients so far; None where they are not known.
    effect, alpha, power
        What is to be detected (natural scale), two-sided error, and power.
    measure
        Effect measure.
    """

    fixed: float
    diversity: float
    required: float
    accrued: float | None
    effect: float
    alpha: float
    power: float
    measure: str

    @property
    def fraction(self) -> float | None:
        """Share of the required patients that there are; None where they are not known."""
        return None if self.accrued is None else self.accrued / self.required

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        said = [
            f"Required information size (classical): {math.ceil(self.required):d} patients in both arms together, to "
            f"detect {self.measure} {self.effect:g} with power {self.power:g} at {100 * self.alpha:g}% (two-sided)."
            if math.isfinite(self.required)
            else "Required information size (classical): no number of patients suffices, as diversity is 1.",
            f"Without differences between studies {math.ceil(self.fixed):d}; diversity D2 {100 * self.diversity:.1f}%.",
        ]
        if self.accrued is not None and self.fraction is not None:
            said.append(f"There are {self.accrued:g} patients, {100 * self.fraction:.1f}% of them.")
        return "\n".join(line for s in said for line in folded(s))


def information_size(
    effects: EffectSizes,
    *,
    effect: float,
    control_risk: float | None = None,
    sd: float | None = None,
    alpha: float = 0.05,
    power: float = 0.8,
    method: str = "REML",
) -> InformationSize:
    """Return how many patients a meta-analysis needs to detect an effect, differences between studies considered.

    The classical companion of `bayesmeta.next_study`: it asks about a hypothesis, not about what is known.

    Parameters
    ----------
    effects
        Estimates so far: OR, RR or RD (then with `control_risk`), or MD (then with `sd`).
    effect
        Effect to be detected, natural scale, e.g. 0.8 for a relative risk.
    control_risk
        Risk in the control arm.
    sd
        Standard deviation of one patient's outcome.
    alpha, power
        Two-sided error of the first kind, and power.
    method
        Estimator of tau2 behind the random-effects variance; ``"DL"`` is that of the source.

    Raises
    ------
    ModelError
        If the measure has no such size, something is missing or impossible, or there is nothing to detect.

    References
    ----------
    Wetterslev, Thorlund, Brok & Gluud 2009, BMC Med. Res. Methodol. 9:86.
    """
    for name, value in (("alpha", alpha), ("power", power)):
        if not 0.0 < value < 1.0:
            raise ModelError(
                f"{name}={value!r}: a probability between 0 and 1, e.g. {'0.05' if name == 'alpha' else 0.8}."
            )
    variance, difference = _patient(effects.measure, effect, control_risk, sd)
    fixed = 4.0 * float(ndtri(1.0 - 0.5 * alpha) + ndtri(power)) ** 2 * variance / difference**2
    common = pool(effects, method="EE", ci="wald")
    random = pool(effects, method=method, ci="wald")
    # Written with the ratio, which is at most 1: more patients are never fewer by rounding.
    ratio = min(1.0, (common.se / random.se) ** 2)
    counts = effects.counts
    accrued: float | None = None
    if counts is not None:
        accrued = float(counts.n_treatment.sum() + counts.n_control.sum())
    elif effects.ni is not None:
        accrued = float(effects.ni.sum())
    required = fixed / ratio if ratio > 0.0 else math.inf
    return InformationSize(fixed, 1.0 - ratio, required, accrued, effect, alpha, power, effects.measure)


def _patient(measure: str, effect: float, control_risk: float | None, sd: float | None) -> tuple[float, float]:
    """Return the variance of one patient's outcome and the difference to be detected."""
    if measure == "MD":
        if sd is None or not (math.isfinite(sd) and sd > 0.0):
            raise ModelError("MD needs the standard deviation of one patient's outcome: write sd=12.")
        if effect == 0.0 or not math.isfinite(effect):
            raise ModelError(f"effect={effect!r}: write the difference that is to be detected, not 0.")
        return sd**2, effect
    if measure not in RISKS:
        raise ModelError(f"The required information size is for {', '.join(RISKS)} and MD, not for {measure}.")
    if control_risk is None or not 0.0 < control_risk < 1.0:
        raise ModelError(f"{measure} needs the risk in the control arm, between 0 and 1: write control_risk=0.4.")
    if measure != "RD" and not effect > 0.0:
        raise ModelError(f"effect={effect!r}: {measure} is greater than 0. Write it on the natural scale, e.g. 0.8.")
    odds = control_risk / (1.0 - control_risk) * effect
    treated = {"OR": odds / (1.0 + odds), "RR": control_risk * effect, "RD": control_risk + effect}[measure]
    if treated == control_risk:
        raise ModelError(f"effect={effect!r} is no effect: write the {measure} that is to be detected.")
    if not 0.0 <= treated <= 1.0:
        raise ModelError(f"effect={effect!r} takes the control risk {control_risk:g} to {treated:g}, which is no risk.")
    mean = 0.5 * (control_risk + treated)
    return mean * (1.0 - mean), treated - control_risk
