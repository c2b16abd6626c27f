"""A quantity of either sign whose density was integrated on panels between cuts."""

import math
from dataclasses import dataclass

from bayesmeta.marginals.density import Density


@dataclass(frozen=True, slots=True, eq=False)
class LineDensity(Density):
    """A `Density` on a line, not only on its positive half: an effect whose density has creases, or ends at limits.

    Parameters
    ----------
    extra_variance
        Share of the variance beyond the panels; ``extra_second`` has no part in it.
    """

    extra_variance: float = 0.0

    def sd(self) -> float:
        """Return the standard deviation; infinite where the notes say so."""
        if self.infinite_sd:
            return math.inf
        return math.sqrt(float(self.mass @ (self.x - float(self.mass @ self.x)) ** 2) + self.extra_variance)
