"""The text printed for each classical result: one readable block."""

from bayesmeta.frequentist.result import PooledFit, natural
from bayesmeta.studies import RATIO_MEASURES


def p_text(p: float) -> str:
    """Return a p-value as a reader expects it: ``"< 0.0001"`` or four decimals."""
    return "< 0.0001" if p < 1e-4 else f"= {p:.4f}"


def fit_text(fit: PooledFit) -> str:
    """Return the block that ``print(fit)`` shows."""
    lines = [f"{fit.method}, k = {fit.k}, measure {fit.measure}, {100 * fit.level:g}% intervals ({fit.ci_rule})"]
    for term, b, se, (low, high), p in zip(fit.terms, fit.beta, fit.beta_se, fit.beta_ci, fit.beta_p, strict=True):
        lines.append(f"  {term}: {b:.4f} (SE {se:.4f}), confidence interval {low:.4f} to {high:.4f}, p {p_text(p)}")
    if fit.measure in RATIO_MEASURES and fit.p == 1:
        low, high = fit.ci
        lines.append(
            f"  {fit.measure}: {natural(fit.measure, fit.mu):.3f} "
            f"({natural(fit.measure, low):.3f} to {natural(fit.measure, high):.3f})"
        )
    lines.extend(f"  Note: {note}" for note in fit.notes)
    lines.append(f"  Reference: {fit.reference}")
    return "\n".join(lines)
