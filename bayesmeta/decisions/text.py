"""Plain text for the terminal: aligned columns and folded notes."""

import textwrap
from collections.abc import Sequence

WIDTH = 118


def aligned(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines of a table: the first column to the left, the others to the right.

    Examples
    --------
    >>> for line in aligned(("event", "p"), [("OR < 1", "0.98"), ("OR < 0.8", "0.9")]):
    ...     print(line)
    event        p
    OR < 1    0.98
    OR < 0.8   0.9
    """
    table = [heads, *rows]
    widths = [max(len(row[j]) for row in table) for j in range(len(heads))]
    lines = []
    for row in table:
        cells = [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]).rstrip())
    return lines


def folded(sentence: str) -> list[str]:
    """Return a sentence in lines that fit the terminal."""
    return textwrap.wrap(sentence, WIDTH) or [""]
