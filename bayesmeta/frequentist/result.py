"""The result of a classical pooled analysis."""

from dataclasses import dataclass

from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array, Interval


@dataclass(frozen=True, slots=True, eq=False)
class PooledFit:
    """A classical pooled estimate, on the analysis scale, with its heterogeneity.

    ``I2`` is in percent. Absent quantities are None, never 0 or NaN.
    """

    method: str
    mu: float
    se: float
    ci: Interval
    p_value: float
    tau2: float | None
    Q: float
    Q_df: int
    Q_p: float
    I2: float
    H2: float
    weights: Array
    prediction: Interval | None
    tau2_ci: Interval | None
    beta: Array
    effects: EffectSizes
    reference: str

    @property
    def k(self) -> int:
        """Number of studies."""
        return self.effects.k

    @property
    def tau(self) -> float | None:
        """Between-study standard deviation."""
        return None if self.tau2 is None else float(self.tau2**0.5)
