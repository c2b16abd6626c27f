"""Test of excess significance: more significant studies than their power allows."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri

from bayesmeta.errors import ModelError
from bayesmeta.frequentist.pool import pool
from bayesmeta.frequentist.printing import p_text
from bayesmeta.frequentist.small_study import block, require_one_mean
from bayesmeta.studies import EffectSizes
from bayesmeta.values import Array, frozen_array

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = "Ioannidis & Trikalinos (2007), Clin. Trials 4:245-253."


@dataclass(frozen=True, slots=True, eq=False)
class ExcessSignificance:
    """Observed and expected numbers of significant studies.

    Parameters
    ----------
    observed, expected
        Numbers of studies with a two-sided p-value at most `p`; expected is the sum of `power`.
    power
        ``(k,)`` each study's power when the true effect is `mu`.
    p_value
        Exact probability of at least `observed` significant studies.
    mu
        The true effect supposed, analysis scale.
    """

    observed: int
    expected: float
    power: Array
    p_value: float
    mu: float
    p: float
    study: tuple[str, ...]
    caution: str = (
        "Not when effects are heterogeneous: the expected number supposes one true effect for all studies. Low power "
        "with fewer than 10 studies; an excess can also come from selective analysis of published studies."
    )
    reference: str = REFERENCE

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(self.study)

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas DataFrame with one row."""
        import pandas as pd

        names = ("observed", "expected", "p_value", "mu", "p", "k")
        return pd.DataFrame([{name: getattr(self, name) for name in names}])

    def __str__(self) -> str:
        lines = [
            f"significant at p <= {self.p:g}: {self.observed} observed, {self.expected:.2f} expected "
            f"if mu = {self.mu:.4g}",
            f"at least as many by chance: p {p_text(self.p_value)} (exact)",
        ]
        title = f"Test of excess significance, k = {self.k}"
        return block(title, lines, caution=self.caution, reference=self.reference)


def excess_significance(effects: EffectSizes, *, p: float = 0.05, mu: float | None = None) -> ExcessSignificance:
    """Test whether more studies are significant than their power at the common effect predicts.

    Parameters
    ----------
    effects
        ``k`` effects on the analysis scale, without moderators.
    p
        Two-sided significance level of the single studies.
    mu
        True effect supposed; the common-effect estimate when not given.

    Raises
    ------
    DataError
        With moderators.
    ModelError
        If `p` or `mu` is impossible.

    References
    ----------
    Ioannidis & Trikalinos (2007), Clin. Trials 4:245-253.
    """
    require_one_mean(effects, "The test of excess significance")
    if not 0.0 < p < 1.0:
        raise ModelError(f"p is {p!r}; it is a significance level between 0 and 1, e.g. 0.05.")
    true = pool(effects, method="EE").mu if mu is None else float(mu)
    if not np.isfinite(true):
        raise ModelError(f"mu is {mu!r}; it is a finite effect on the analysis scale.")
    z = float(ndtri(1.0 - p / 2.0))
    power = ndtr(true / effects.sei - z) + ndtr(-true / effects.sei - z)
    observed = int((2.0 * ndtr(-np.abs(effects.yi) / effects.sei) <= p).sum())
    return ExcessSignificance(
        observed=observed,
        expected=float(power.sum()),
        power=frozen_array(power),
        p_value=min(1.0, float(_number_significant(power)[observed:].sum())),
        mu=true,
        p=p,
        study=effects.study,
    )


def _number_significant(power: Array) -> Array:
    """Return the distribution of the number of significant studies: a convolution of Bernoullis, all terms positive."""
    distribution = np.ones(1)
    for chance in power:
        distribution = np.convolve(distribution, [1.0 - chance, chance])
    return distribution
