"""What one size of the next study leads to, and the sizes side by side."""

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.events import Benefit, measure_scale
from bayesmeta.words import aligned, folded, interval_text, level_text, number, probability_text

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a next study of one size would show.

    Parameters
    ----------
    n
        Patients per arm (the mean of both); None where the standard error was given.
    n_treatment, n_control
        Patients in each arm.
    se
        Standard error of its estimate if its true effect were the mean of mu, analysis scale.
    power
        Probability of success if its true effect were the mean of mu: the classical figure.
    assurance
        Probability of success, over all that is known of its true effect.
    expected_probability
        Mean, over its possible results, of P(benefit) of the mean effect in the updated analysis. It equals P(benefit)
        before the study: no study can be expected to change a mind in a known direction.
    probability_low, probability_median, probability_high
        Quantiles (2.5%, 50%, 97.5%) of that P(benefit).
    conclude_benefit, conclude_harm, remain_open
        Probabilities that the updated P(benefit) passes the certainty asked for, that of harm does, neither does.
    overturn
        Probability that the conclusion is then another one than now.
    change_of_side
        Probability that the updated mean effect lies on the other side of no effect.
    interval
        Expected ends of the updated credible interval of mu, analysis scale.
    evsi
        Expected value of sample information for adopting the treatment where the mean effect is a benefit: analysis
        scale. None where the mean of mu does not exist.
    evsi_events
        The same in events avoided among the patients stated; None without them.
    """

    n: int | None
    n_treatment: float | None
    n_control: float | None
    se: float
    power: float
    assurance: float
    expected_probability: float
    probability_low: float
    probability_median: float
    probability_high: float
    conclude_benefit: float
    conclude_harm: float
    remain_open: float
    overturn: float
    change_of_side: float
    interval: tuple[float, float]
    evsi: float | None
    evsi_events: float | None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class NextStudy:
    """What the next study would show, for one size or several.

    ``assurance``, ``expected_probability``, ``overturn``, ``evsi`` and the other names of `Outlook` give a number where
    one size was asked for and a ``(m,)`` array where several were.

    Parameters
    ----------
    outlooks
        One of each size.
    single
        Whether one size was asked for.
    measure, benefit, level, certainty
        As asked for.
    success, design
        In words.
    p_benefit
        P(benefit) of the mean effect now.
    ceiling
        P(benefit) of the true effect of a new study: assurance of significance comes no nearer to one however large the
        study is.
    evpi, evpi_events
        Expected value of perfect information about the mean effect: analysis scale, and events avoided.
    patients
        Over which events are counted; None without.
    notes
        What a reader has to know.
    """

    outlooks: tuple[Outlook, ...]
    single: bool
    measure: str
    benefit: Benefit
    level: float
    certainty: float
    success: str
    design: str
    p_benefit: float
    ceiling: float
    evpi: float | None
    evpi_events: float | None
    patients: float | None
    notes: tuple[str, ...] = ()

    def _of(self, name: str) -> Any:
        values = [getattr(outlook, name) for outlook in self.outlooks]
        if self.single:
            return values[0]
        return np.array([math.nan if v is None else v for v in values], dtype=float)

    @property
    def n(self) -> Any:
        """Patients per arm."""
        return self._of("n")

    @property
    def se(self) -> Any:
        """Standard error at the mean effect, analysis scale."""
        return self._of("se")

    @property
    def power(self) -> Any:
        """Probability of success at the mean effect."""
        return self._of("power")

    @property
    def assurance(self) -> Any:
        """Probability of success, over all that is known of the study's true effect."""
        return self._of("assurance")

    @property
    def expected_probability(self) -> Any:
        """Expected P(benefit) of the updated analysis."""
        return self._of("expected_probability")

    @property
    def overturn(self) -> Any:
        """Probability of another conclusion than now."""
        return self._of("overturn")

    @property
    def change_of_side(self) -> Any:
        """Probability that the updated mean effect lies on the other side of no effect."""
        return self._of("change_of_side")

    @property
    def evsi(self) -> Any:
        """Expected value of sample information, analysis scale."""
        return self._of("evsi")

    @property
    def evsi_events(self) -> Any:
        """Expected value of sample information in events avoided."""
        return self._of("evsi_events")

    @property
    def interval(self) -> Any:
        """Expected ends of the updated credible interval of mu, analysis scale: a pair, or ``(m, 2)``."""
        found = [outlook.interval for outlook in self.outlooks]
        return found[0] if self.single else np.array(found)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        scale = measure_scale(self.measure)
        p = probability_text
        heads = ["n per arm", "power at mean", "assurance", "updated P(benefit) [95%]", "overturn"]
        heads += [f"expected {scale.label} [{level_text(self.level)}]", "EVSI"]
        if self.patients is not None:
            heads.append("events avoided")
        rows = []
        for o in self.outlooks:
            low, high = (scale.to_natural(x) for x in o.interval)
            spread = f"{p(o.expected_probability)} [{p(o.probability_low)} to {p(o.probability_high)}]"
            cells = ["as given" if o.n is None else str(o.n), p(o.power), p(o.assurance), spread, p(o.overturn)]
            cells += [interval_text(low, high), number(o.evsi)]
            rows.append([*cells, number(o.evsi_events)] if self.patients is not None else cells)
        said = [
            f"Success: {self.success}. {self.design}.",
            f"Now: P(benefit) {p(self.p_benefit)} for the mean effect and {p(self.ceiling)} for the true effect of a "
            f"new study. EVPI {number(self.evpi)} on the analysis scale"
            + (
                ""
                if self.patients is None
                else f", {number(self.evpi_events)} events avoided among {self.patients:g} patients"
            )
            + ".",
            f"Overturn: the conclusion (benefit or harm above a probability of {self.certainty:g}, else open) changes.",
            *self.notes,
        ]
        return "\n".join(["The next study", *aligned(heads, rows), *(line for s in said for line in folded(s))])

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row a size, effects on the analysis scale."""
        import pandas as pd

        names = [f.name for f in fields(Outlook) if f.name != "interval"]
        rows = [
            {name: getattr(o, name) for name in names} | {"interval_low": o.interval[0], "interval_high": o.interval[1]}
            for o in self.outlooks
        ]
        return pd.DataFrame(rows)
