"""How many examples property tests draw, and whether they are the same each time."""

import os

from hypothesis import settings

SEARCH = int(os.environ.get("BAYESMETA_SEARCH", "1"))
"""How many times as many examples property tests draw; above 1 they are drawn anew, and what fails prints its seed."""


def examples(number: int) -> settings:
    """Return how many examples a property test draws."""
    return settings(max_examples=number * SEARCH)
