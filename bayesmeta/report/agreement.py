"""Whether NUTS and quadrature tell the same story, as a table."""

from bayesmeta.analysis import OutcomeResult
from bayesmeta.report.values import Table


def agreement_table(result: OutcomeResult) -> Table | None:
    """Return every compared quantity of NUTS and quadrature; None when one of the two was not run."""
    return None


def agreement_words(result: OutcomeResult) -> str:
    """Return the agreement in one sentence; empty when one of the two was not run."""
    return ""
