"""Fitted values of a sampled regression: coefficients at any place of the moderators."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.engines.sampling.results.hierarchical import beta_of, predicted
from bayesmeta.engines.sampling.results.quantities import Draws, stratified_normal
from bayesmeta.marginals.draws import DrawsMarginal
from bayesmeta.model import Gaussian


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What a sampled posterior of a normal model says at design rows.

    Parameters
    ----------
    given
        The normal model.
    draws
        Name to ``(chains, draws, *shape)``.
    seed
        Of the true effects of new studies.
    """

    given: Gaussian
    draws: Draws
    seed: int

    def linear(self, x: ArrayLike) -> DrawsMarginal:
        """Return the posterior of ``x' beta``."""
        return DrawsMarginal(beta_of(self.given, self.draws) @ self.given.row(x))

    def predicted(self, x: ArrayLike) -> DrawsMarginal:
        """Return the posterior predictive distribution of a new study's true effect at design row `x`."""
        row = self.given.row(x)
        noise = stratified_normal(beta_of(self.given, self.draws).shape[:2], np.random.default_rng([self.seed, 4]))
        return DrawsMarginal(predicted(self.given, self.draws, row, noise), kind="posterior prediction")
