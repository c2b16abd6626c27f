"""What all tests share: property tests draw the same examples on every machine, or, on request, search widely."""

from drawn import SEARCH
from hypothesis import settings

settings.register_profile(
    "bayesmeta", max_examples=25 * SEARCH, deadline=None, derandomize=SEARCH == 1, database=None, print_blob=True
)
settings.load_profile("bayesmeta")
