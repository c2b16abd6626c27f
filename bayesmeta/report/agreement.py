"""Whether NUTS and quadrature tell the same story, as a table and a figure."""

from dataclasses import replace

from bayesmeta import plots
from bayesmeta.analysis import OutcomeResult
from bayesmeta.compare.caveats import reconstructed
from bayesmeta.compare.table import daggered
from bayesmeta.evidence.agreement import LIMIT, AgreementRow, agreement
from bayesmeta.report.values import Figure, Line, Table
from bayesmeta.words import number, supported


def agreement_rows(result: OutcomeResult) -> tuple[AgreementRow, ...]:
    """Return every figure of NUTS beside quadrature's; none when one of the two was not run."""
    nuts, quadrature = result.comparison.posterior("nuts"), result.comparison.posterior("quadrature")
    if nuts is None or quadrature is None or nuts.model.source_hash != quadrature.model.source_hash:
        return ()
    marked = reconstructed(result.comparison.effects)

    def labelled(row: AgreementRow) -> AgreementRow:
        if not row.quantity.startswith("theta["):
            return row
        return replace(row, quantity=f"theta, {daggered(row.quantity[len('theta[') : -1], marked)}")

    return tuple(labelled(row) for row in agreement(nuts, quadrature))


def agreement_table(rows: tuple[AgreementRow, ...]) -> Table | None:
    """Return one line a quantity: NUTS, quadrature and their difference in Monte Carlo standard errors."""
    if not rows:
        return None
    figures = tuple(dict.fromkeys(row.figure for row in rows))
    lines = []
    for quantity in dict.fromkeys(row.quantity for row in rows):
        found = {row.figure: row for row in rows if row.quantity == quantity}
        agrees = all(row.agrees for row in found.values())
        lines.append(Line((quantity, *(_cell(found.get(figure)) for figure in figures)), "" if agrees else "differs"))
    notes = ("NUTS / quadrature, on the analysis scale; in brackets the difference in Monte Carlo standard errors.",)
    return Table(("Quantity", *figures), tuple(lines), notes=notes)


def _cell(row: AgreementRow | None) -> str:
    if row is None:
        return ""
    return f"{supported(row.sampled, row.mcse)} / {number(row.computed)} ({row.z:+.1f})"


def agreement_words(rows: tuple[AgreementRow, ...]) -> str:
    """Return the agreement in one sentence; empty without rows."""
    if not rows:
        return ""
    inside, worst = sum(row.agrees for row in rows), max(rows, key=lambda row: abs(row.z))
    return (
        f"{inside} of {len(rows)} figures are within {LIMIT:g} Monte Carlo standard errors of quadrature; the largest "
        f"difference is {abs(worst.z):.1f} ({worst.figure} of {worst.quantity})."
    )


def agreement_figure(rows: tuple[AgreementRow, ...], name: str) -> Figure | None:
    """Return the differences as a figure; None without rows."""
    if not rows:
        return None
    quantities = len({row.quantity for row in rows})
    height = 0.75 + 0.22 * quantities
    return Figure(
        draw=lambda ax: plots.agreement(rows, ax=ax),
        width=8.0,
        height=height,
        position=(0.32, 0.52 / height, 0.64, 1 - 0.56 / height),
        label="Differences between NUTS and quadrature in Monte Carlo standard errors",
        name=name,
        wide=True,
    )
