r"""The standard error that the next study's estimate will have, given its true effect.

By measure, with :math:`n_T, n_C` patients (or person-times) in the arms and risks (or rates) :math:`p_T(\theta), p_C`:

=====  ==========================================================================================
OR     :math:`1/n_T p_T q_T + 1/n_C p_C q_C` (Woolf)
RR     :math:`q_T/n_T p_T + q_C/n_C p_C`
RD     :math:`p_T q_T/n_T + p_C q_C/n_C`
HR     :math:`1/n_T p_T + 1/n_C p_C`, one over the expected events
MD     :math:`\sigma^2 (1/n_T + 1/n_C)`
SMD    :math:`1/n_T + 1/n_C + \theta^2 / 2 (n_T + n_C)`
IRR    :math:`1/n_T p_T + 1/n_C p_C`
IRD    :math:`p_T/n_T + p_C/n_C`
=====  ==========================================================================================
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bayesmeta.decisions.risk import RISK_MAPS, risk_map
from bayesmeta.errors import ModelError, unknown
from bayesmeta.values import Array

type Basis = Literal["both arms", "control risk"]
BASES: tuple[Basis, ...] = ("both arms", "control risk")
RISKS = tuple(RISK_MAPS)
RATES = ("IRR", "IRD")
MEANS = ("MD", "SMD")
# A relative effect that takes the treated risk beyond 0 and 1 is cut this far inside: no study there has no variance.
INSIDE = 1e-9

# What one arm of n patients with risk p adds to the variance.
VARIANCES: dict[str, Callable[[Any, float], Any]] = {
    "OR": lambda p, n: 1.0 / (n * p * (1.0 - p)),
    "PETO": lambda p, n: 1.0 / (n * p * (1.0 - p)),
    "RR": lambda p, n: (1.0 - p) / (n * p),
    "RD": lambda p, n: p * (1.0 - p) / n,
    "HR": lambda p, n: 1.0 / (n * p),
}


@dataclass(frozen=True, slots=True)
class Design:
    """The next study's design, apart from its size.

    Parameters
    ----------
    measure
        Effect measure.
    allocation
        Patients treated for each control; the total stays twice the number per arm.
    control
        Risk or rate in the control arm; None where the measure needs none.
    sd
        Standard deviation of one patient's outcome, for mean differences.
    follow_up
        Person-time of a patient, for rates.
    basis
        ``"both arms"``: the treated risk is what the control risk and the true effect imply. ``"control risk"``: that
        of the control arm in both.
    se
        Standard error, given outright; None where it follows from the rest.
    """

    measure: str
    allocation: float = 1.0
    control: float | None = None
    sd: float | None = None
    follow_up: float = 1.0
    basis: Basis = "both arms"
    se: float | None = None

    def arms(self, n: float) -> tuple[float, float]:
        """Return the patients under treatment and under control, of `n` an arm on average."""
        treated = 2.0 * n * self.allocation / (1.0 + self.allocation)
        return treated, 2.0 * n - treated

    def standard_error(self, theta: Array, n: float) -> Array:
        """Return the standard error of the estimate at each true effect, analysis scale."""
        if self.se is not None:
            return np.full(np.shape(theta), self.se)
        treated, control = self.arms(n)
        if self.measure in MEANS:
            each = 1.0 / treated + 1.0 / control
            if self.measure == "SMD":
                return np.asarray(np.sqrt(each + theta**2 / (2.0 * (treated + control))))
            assert self.sd is not None
            return np.full(np.shape(theta), self.sd * np.sqrt(each))
        assert self.control is not None
        if self.measure in RATES:
            return self._of_rates(theta, treated * self.follow_up, control * self.follow_up)
        return self._of_risks(theta, treated, control)

    def _of_risks(self, theta: Array, treated: float, control: float) -> Array:
        assert self.control is not None
        risks = np.clip(self.treated(theta), INSIDE, 1.0 - INSIDE), self.control
        arms = zip(risks, (treated, control), strict=True)
        return np.asarray(np.sqrt(sum(VARIANCES[self.measure](p, n) for p, n in arms)))

    def _of_rates(self, theta: Array, treated: float, control: float) -> Array:
        assert self.control is not None
        rate = np.maximum(self.treated(theta), INSIDE * self.control)
        if self.measure == "IRD":
            return np.asarray(np.sqrt(rate / treated + self.control / control))
        return np.asarray(np.sqrt(1.0 / (rate * treated) + 1.0 / (self.control * control)))

    def treated(self, theta: Array) -> Array:
        """Return the treated arm's risk or rate that the standard error takes, not cut to what is possible."""
        assert self.control is not None
        if self.basis == "control risk":
            return np.full(np.shape(theta), self.control)
        return self.control + self.difference(theta)

    def difference(self, theta: Array) -> Array:
        """Return the difference in risk, or in events per patient, that an effect makes."""
        b = np.asarray(self.control, dtype=float)
        if self.measure == "IRR":
            return np.asarray(b * np.expm1(np.minimum(theta, 700.0)))
        if self.measure == "IRD":
            return np.asarray(theta, dtype=float)
        return risk_map(self.measure).forward(np.asarray(theta, dtype=float), b)

    def events(self, theta: Array) -> Array:
        """Return the events of a patient that an effect adds, cut to what is possible."""
        assert self.control is not None
        if self.measure in RATES:
            return np.asarray(self.follow_up * np.maximum(self.difference(theta), -self.control))
        return np.clip(self.difference(theta), -self.control, 1.0 - self.control)


def check_design(design: Design) -> None:
    """Refuse a design from which no standard error follows.

    Raises
    ------
    ModelError
        With what to write.
    """
    measure = design.measure
    if not (np.isfinite(design.allocation) and design.allocation > 0.0):
        raise ModelError(
            f"allocation={design.allocation:g}: patients treated for each control, greater than 0: 1 for arms of one "
            "size, 2 for two to one."
        )
    if not (np.isfinite(design.follow_up) and design.follow_up > 0.0):
        raise ModelError(f"follow_up={design.follow_up:g}: the person-time of a patient is greater than 0.")
    if design.basis not in BASES:
        raise unknown("se_from", design.basis, BASES)
    if design.se is not None:
        if not (np.isfinite(design.se) and design.se > 0.0):
            raise ModelError(f"se={design.se:g}: a standard error is greater than 0, on the analysis scale.")
        return
    if measure in RISKS and design.control is None:
        raise ModelError(
            f"{measure} needs the risk in the control arm of the next study: write control_risk=0.4, a distribution "
            "such as 'beta(40, 60)', or bm.pooled_baseline(counts)."
        )
    if measure in RATES and not (design.control is not None and np.isfinite(design.control) and design.control > 0):
        raise ModelError(f"{measure} needs the control arm's events per unit of person-time: write control_rate=0.2.")
    if measure == "MD" and not (design.sd is not None and np.isfinite(design.sd) and design.sd > 0):
        raise ModelError("MD needs the standard deviation of one patient's outcome: write sd=12.")
    if measure not in (*RISKS, *RATES, *MEANS):
        raise ModelError(
            f"No standard error of a next study follows from a sample size for measure {measure}: write se=0.2, the "
            "standard error (analysis scale) that its estimate will have, in place of n."
        )
