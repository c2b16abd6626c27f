"""Whether our classical figures equal the published ones at the precision they were printed with."""

from dataclasses import dataclass

from bayesmeta.compare.rows import DL_WALD, MH_RANDOM
from bayesmeta.compare.values import Comparison, Row
from bayesmeta.effects import MEASURES, Measure
from bayesmeta.frequentist.result import PooledFit
from bayesmeta.studies import PublishedResult
from bayesmeta.words import number, percent, round_like


@dataclass(frozen=True, slots=True)
class FigureCheck:
    """One published figure beside ours.

    ``ours`` is rounded as `published` was printed; ``exact`` has more digits.
    """

    figure: str
    published: str
    ours: str
    exact: str
    equal: bool


def check_published(row: Row, published: PublishedResult, measure: str) -> tuple[FigureCheck, ...]:
    """Return each published figure with ours beside it, judged at the printed precision.

    Parameters
    ----------
    row
        A classical row, on the analysis scale of `measure`.
    published
        Figures as printed; the ones that were not printed are left out.
    measure
        Effect measure of both.
    """
    scale = MEASURES[measure]
    ours = {
        scale.label: (published.estimate, _natural(scale, row.mu)),
        "lower limit": (published.low, None if row.interval is None else _natural(scale, row.interval.low)),
        "upper limit": (published.high, None if row.interval is None else _natural(scale, row.interval.high)),
        "I² (%)": (published.i2, row.I2),
        "tau²": (published.tau2, None if row.tau is None else row.tau**2),
    }
    checks = [_figure(name, printed, value) for name, (printed, value) in ours.items() if printed is not None]
    if published.p is not None:
        checks.append(_p_figure(published.p, row.p_value))
    return tuple(checks)


def _natural(scale: Measure, value: float | None) -> float | None:
    return None if value is None else float(scale.to_natural(value))


def _figure(name: str, printed: str, value: float | None) -> FigureCheck:
    if value is None:
        return FigureCheck(name, printed, number(None), number(None), equal=False)
    rounded = round_like(value, printed)
    # As numbers: "-0.0" and "0.0", or "43" and "43.0", are the same figure.
    return FigureCheck(name, printed, rounded, number(value, 5), equal=float(rounded) == float(printed))


def _p_figure(printed: str, value: float | None) -> FigureCheck:
    if value is None:
        return FigureCheck("p", printed, number(None), number(None), equal=False)
    bare = printed.lstrip("<>= ")
    if printed.startswith("<"):
        ours, equal = (printed if value < float(bare) else round_like(value, bare)), value < float(bare)
    elif printed.startswith(">"):
        ours, equal = (printed if value > float(bare) else round_like(value, bare)), value > float(bare)
    else:
        ours = round_like(value, bare)
        equal = float(ours) == float(bare)
    return FigureCheck("p", printed, ours, number(value, 4), equal=equal)


def why_q_differs(comparison: Comparison) -> str:
    """Return why the Mantel-Haenszel and the DerSimonian-Laird rows differ; empty when they do not.

    Both weigh studies by inverse variance; RevMan's Mantel-Haenszel random effects takes Q about the
    Mantel-Haenszel estimate instead of the inverse-variance mean.
    """
    fits = {row.method: row.source for row in comparison.rows if not row.without}
    mh, dl = fits.get(MH_RANDOM), fits.get(DL_WALD)
    if not isinstance(mh, PooledFit) or not isinstance(dl, PooledFit):
        return ""
    if percent(mh.I2) == percent(dl.I2) and number(mh.mu) == number(dl.mu):
        return ""
    scale = MEASURES[comparison.measure]
    return (
        f"I² is {percent(mh.I2)} in the Mantel-Haenszel row and {percent(dl.I2)} in the DerSimonian-Laird row because "
        f"Q is taken about different centres: Q = {number(mh.Q, 4)} about the Mantel-Haenszel {scale.label.lower()}, "
        f"Q = {number(dl.Q, 4)} about the inverse-variance mean, both on {dl.Q_df} degrees of freedom. I² = "
        "max(0, (Q - df) / Q), and tau² follows from the same Q, so the weights and the pooled estimate differ "
        "slightly too. The inverse-variance mean makes Q as small as it can be, so the Mantel-Haenszel Q is never "
        "smaller when both use the same study estimates. Neither is wrong: they are two definitions."
    )
