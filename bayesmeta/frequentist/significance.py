"""Critical values, p-values, and a test as a value."""

from dataclasses import dataclass

from scipy.special import chdtrc, ndtr, ndtri, stdtr, stdtrit


def quantile(level: float, df: int | None) -> float:
    """Return the two-sided critical value at `level`: normal when `df` is None, else Student's t."""
    upper = 0.5 + level / 2.0
    return float(ndtri(upper) if df is None else stdtrit(df, upper))


def two_sided(statistic: float, df: int | None) -> float:
    """Return the two-sided p-value of a normal (`df` None) or t statistic."""
    return float(2.0 * (ndtr(-abs(statistic)) if df is None else stdtr(df, -abs(statistic))))


def chi2_p(statistic: float, df: int) -> float:
    """Return the upper tail of chi-squared; 1 when there are no degrees of freedom."""
    return float(chdtrc(df, max(statistic, 0.0))) if df > 0 else 1.0


@dataclass(frozen=True, slots=True)
class Test:
    """A test: chi-squared with `df` degrees of freedom, or F with `df` and `df2`."""

    name: str
    statistic: float
    df: int
    p_value: float
    reference: str
    df2: int | None = None

    def __str__(self) -> str:
        df = f"chi-squared({self.df})" if self.df2 is None else f"F({self.df}, {self.df2})"
        p = "< 0.0001" if self.p_value < 1e-4 else f"= {self.p_value:.4f}"
        return f"{self.name}: {df} = {self.statistic:.4f}, p {p}"
