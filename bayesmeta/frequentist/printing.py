"""The text printed for each classical result: one readable block."""

from math import exp
from typing import TYPE_CHECKING

from bayesmeta.effects import find_measure, is_ratio
from bayesmeta.frequentist.prediction import PREDICTION_REFERENCES
from bayesmeta.values import Interval

if TYPE_CHECKING:
    from bayesmeta.frequentist.result import PooledFit

_CI_TEXT = {"wald": "Wald", "hksj": "Hartung-Knapp-Sidik-Jonkman", "adhoc": "Hartung-Knapp, never below Wald", "t": "t"}


OUTSIDE = (
    "tau2 lies outside its own interval, which is not built round this estimator: it holds the values that the "
    "generalised Q statistic does not contradict, and where a few effects lie far out the two disagree (the "
    "Paule-Mandel estimator uses the same statistic)."
)


def p_text(p: float) -> str:
    """Return a p-value as a reader expects it: ``"< 0.0001"`` or four decimals."""
    return "< 0.0001" if p < 1e-4 else f"= {p:.4f}"


def fit_text(fit: "PooledFit") -> str:
    """Return the block that ``print(fit)`` shows."""
    kind = "Meta-regression" if fit.p > 1 or not fit.intercept else "Pooled effect"
    scale = " (log scale; natural scale in brackets)" if is_ratio(fit.measure) else ""
    lines = [
        f"{kind} by {fit.method}: k = {fit.k}, measure {fit.measure}{scale}",
        *_coefficients(fit),
        *_heterogeneity(fit),
    ]
    if fit.p > 1:
        lines.append(_moderators(fit))
    lines += [f"  {test}" for test in getattr(fit, "tests", ())]
    if fit.tau2 is not None and fit.tau2_ci is not None and not fit.tau2_ci.low <= fit.tau2 <= fit.tau2_ci.high:
        lines.append(f"  Note: {OUTSIDE}")
    lines += [f"  Note: {note}" for note in fit.notes]
    lines.append(f"  Reference: {fit.reference}")
    return "\n".join(lines)


def _pair(fit: "PooledFit", interval: Interval) -> str:
    text = f"{interval.low:.4f} to {interval.high:.4f}"
    if is_ratio(fit.measure):
        text += f" [{natural(fit.measure, interval.low):.3f} to {natural(fit.measure, interval.high):.3f}]"
    return text


def _coefficients(fit: "PooledFit") -> list[str]:
    lines = []
    # Against no effect; a proportion or a rate has none, and is not tested against 0.5 or 1.
    tested = find_measure(fit.measure).null is not None or not fit.intercept
    letter = "z" if fit.df is None else f"t({fit.df})"
    for term, b, se, interval, statistic, p in zip(
        fit.terms, fit.beta, fit.beta_se, fit.beta_ci, fit.beta_statistic, fit.beta_p, strict=True
    ):
        name = "mu" if fit.p == 1 and fit.intercept else term
        shown = f" [{natural(fit.measure, b):.3f}]" if is_ratio(fit.measure) else ""
        interval_text = f"{100 * fit.level:g}% confidence interval ({_CI_TEXT[fit.ci_rule]}) {_pair(fit, interval)}"
        lines.append(
            f"  {name} = {b:.4f}{shown}, SE {se:.4f}, {interval_text}"
            + (f", {letter} = {statistic:.3f}, p {p_text(p)}" if tested or term != fit.terms[0] else "")
        )
    if fit.prediction is not None and fit.p == 1:
        lines.append(
            f"  {100 * fit.level:g}% prediction interval {_pair(fit, fit.prediction)}; rule {fit.prediction.rule}: "
            f"{PREDICTION_REFERENCES[fit.prediction_rule]}"
        )
    return lines


def _heterogeneity(fit: "PooledFit") -> list[str]:
    residual = "residual " if fit.p > 1 else ""
    lines = []
    if fit.tau2 is None or not fit.predicts:
        lines.append("  tau2 is not estimated: one common effect" if fit.k > 1 else "  tau2 cannot be estimated")
    else:
        details = [] if fit.tau2_se is None else [f"SE {fit.tau2_se:.4f}"]
        if fit.tau2_ci is not None:
            low, high = fit.tau2_ci
            details.append(f"{100 * fit.level:g}% {fit.tau2_ci.rule} confidence interval {low:.4f} to {high:.4f}")
        lines.append(f"  {residual}tau2 = {fit.tau2:.4f} ({', '.join(details)}); tau = {fit.tau2**0.5:.4f}")
    lines.append(
        f"  {residual}heterogeneity: Q({fit.Q_df}) = {fit.Q:.4f}, p {p_text(fit.Q_p)}; "
        f"I2 = {fit.I2:.1f}%, H2 = {fit.H2:.2f}"
    )
    return lines


def _moderators(fit: "PooledFit") -> str:
    test = f"chi-squared({fit.QM_df})" if fit.df is None else f"F({fit.QM_df}, {fit.df})"
    explained = "" if fit.R2 is None else f"; R2 = {fit.R2:.1f}%"
    return f"  Test of moderators: {test} = {fit.QM:.4f}, p {p_text(fit.QM_p)}{explained}"


def natural(measure: str, value: float) -> float:
    """Return `value` on the natural scale: exponentiated for ratio measures, unchanged otherwise."""
    return exp(value) if is_ratio(measure) else value
