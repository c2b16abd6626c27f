"""NUTS against quadrature: every figure's difference in Monte Carlo standard errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bayesmeta.evidence.agreement import LIMIT, AgreementRow
from bayesmeta.plots._style import BAYESIAN, FAINT, INK, MUTED, bare, new_axes, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True)
class AgreementLine:
    """One quantity's differences, one a figure, in Monte Carlo standard errors."""

    quantity: str
    z: tuple[float, ...]


def agreement_data(rows: Sequence[AgreementRow]) -> tuple[AgreementLine, ...]:
    """Return the differences by quantity, in the order of `rows`.

    Parameters
    ----------
    rows
        From `bayesmeta.evidence.agreement.agreement`.
    """
    names = dict.fromkeys(row.quantity for row in rows)
    return tuple(AgreementLine(name, tuple(r.z for r in rows if r.quantity == name)) for name in names)


def agreement(rows: Sequence[AgreementRow], *, ax: "Axes | None" = None) -> "Axes":
    """Draw every figure's difference as a point; the band is where sampling error alone would put them.

    Parameters
    ----------
    rows
        From `bayesmeta.evidence.agreement.agreement`.
    ax
        Axes to draw in; None makes a figure.
    """
    lines = agreement_data(rows)
    ax = new_axes(ax, 6.0, 0.8 + 0.24 * len(lines))
    ax.axvspan(-LIMIT, LIMIT, color=FAINT, alpha=0.35, lw=0)
    ax.axvline(0.0, color=MUTED, lw=0.8)
    for i, line in enumerate(lines):
        ax.scatter(line.z, [-i] * len(line.z), s=18, color=BAYESIAN, alpha=0.8, linewidths=0, zorder=3)
        text(
            ax, -0.02, -i, line.quantity, transform=ax.get_yaxis_transform(), ha="right", va="center", fontsize=8.5,
            color=INK,
        )  # fmt: skip
    widest = max([LIMIT, *(abs(z) for line in lines for z in line.z)])
    ax.set_xlim(-1.15 * widest, 1.15 * widest)
    ax.set_ylim(-len(lines) + 0.4, 0.6)
    bare(ax)
    ax.set_xlabel("NUTS minus quadrature, in Monte Carlo standard errors", color=INK, fontsize=9)
    return ax
