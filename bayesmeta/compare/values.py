"""What a comparison is made of: rows of one shape, whatever method filled them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bayesmeta.errors import ModelError, unknown
from bayesmeta.events import Benefit
from bayesmeta.frequentist.components import ComponentsFit
from bayesmeta.frequentist.result import PooledFit
from bayesmeta.posterior import Posterior
from bayesmeta.studies import EffectSizes, PublishedResult
from bayesmeta.values import Interval

if TYPE_CHECKING:
    import pandas as pd

type Kind = Literal["published", "classical", "bayesian"]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One answer to the question, on the analysis scale; what a method does not give is None.

    Parameters
    ----------
    method
        Name for the reader.
    kind
        ``"published"``, ``"classical"`` or ``"bayesian"``.
    k
        Number of studies, where known.
    mu
        Pooled estimate; the posterior median of a Bayesian row, so that it is the same on every scale.
    interval
        Of the mean effect: confidence or credible, as it says itself.
    tau, tau_interval
        Between-study standard deviation; the posterior median of a Bayesian row.
    I2
        Percent; the posterior median of a Bayesian row.
    prediction
        Interval of a new study's true effect.
    p_value
        Of no effect; classical rows only.
    p_benefit_mean, p_benefit_new
        Posterior probability that the mean effect, and that a new study's true effect, is a benefit.
    without
        Studies left out of this row.
    note
        What the reader must know to read the row.
    source
        What the row was made from.
    """

    method: str
    kind: Kind
    k: int | None = None
    mu: float | None = None
    interval: Interval | None = None
    tau: float | None = None
    tau_interval: Interval | None = None
    I2: float | None = None
    prediction: Interval | None = None
    p_value: float | None = None
    p_benefit_mean: float | None = None
    p_benefit_new: float | None = None
    without: tuple[str, ...] = ()
    note: str = ""
    source: PublishedResult | PooledFit | ComponentsFit | Posterior | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """A row that is not in the table, and why."""

    method: str
    reason: str
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Classical and Bayesian answers to one question.

    Parameters
    ----------
    rows
        The answers: published, classical, Bayesian; then the same without reconstructed studies.
    absent
        Rows a reader might look for, and why they are not there.
    measure, level, benefit, outcome
        What was asked: effect measure, level of every interval, the direction that is a benefit.
    effects
        The effect sizes behind every row, exclusions and adjustments included.
    caveats
        What the answer rests on when the data are thin or were reconstructed, in sentences.
    """

    rows: tuple[Row, ...]
    absent: tuple[Absent, ...]
    measure: str
    level: float
    benefit: Benefit | None
    outcome: str | None
    effects: EffectSizes
    caveats: tuple[str, ...] = ()

    def row(self, method: str, without: tuple[str, ...] = ()) -> Row:
        """Return the row of a method.

        Raises
        ------
        ModelError
            If there is none; the message says why where the reason is known.
        """
        for candidate in self.rows:
            if candidate.method == method and candidate.without == without:
                return candidate
        for absent in self.absent:
            if absent.method == method and absent.without == without:
                raise ModelError(f"{method} is not in this comparison: {absent.reason}")
        raise unknown("row of this comparison:", method, {r.method for r in self.rows})

    def posterior(self, engine: str) -> Posterior | None:
        """Return the primary posterior of an engine on all studies; None when it was not run."""
        for row in self.rows:
            if isinstance(row.source, Posterior) and row.source.engine == engine and not row.without:
                return row.source
        return None

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame, one row a method, on the analysis scale."""
        import pandas as pd

        return pd.DataFrame([_record(row) for row in self.rows])

    def __str__(self) -> str:
        from bayesmeta.compare.table import text_table

        return text_table(self)


def _record(row: Row) -> dict[str, Any]:
    def limits(name: str, interval: Interval | None) -> dict[str, float | None]:
        return {
            f"{name}_low": None if interval is None else interval.low,
            f"{name}_high": None if interval is None else interval.high,
        }

    return {
        "method": row.method,
        "kind": row.kind,
        "without": ", ".join(row.without),
        "k": row.k,
        "mu": row.mu,
        **limits("mu", row.interval),
        "interval": None if row.interval is None else row.interval.kind,
        "tau": row.tau,
        **limits("tau", row.tau_interval),
        "I2": row.I2,
        **limits("prediction", row.prediction),
        "p_value": row.p_value,
        "p_benefit_mean": row.p_benefit_mean,
        "p_benefit_new": row.p_benefit_new,
        "note": row.note,
    }
