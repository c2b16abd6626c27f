"""Middle and width of a prior, from quantiles that heavy-tailed ones have too."""

import numpy as np

from bayesmeta.priors.base import Prior

# Distance between the quartiles of the standard normal distribution.
IQR = 1.349


def middle_and_width(prior: Prior) -> tuple[float, float]:
    """Return the median of a proper prior, and the SD of a normal distribution whose quartiles are as far apart."""
    first, middle, third = (float(q) for q in prior.ppf(np.array([0.25, 0.5, 0.75])))
    return middle, (third - first) / IQR
