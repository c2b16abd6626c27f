"""Rank plots of NUTS chains: chains that explored the same posterior have uniform ranks."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

from bayesmeta.errors import ModelError, unknown
from bayesmeta.marginals.draws import DrawsMarginal
from bayesmeta.plots._style import BAYESIAN, INK, MUTED, bare, new_axes
from bayesmeta.posterior import Posterior, fixed_at
from bayesmeta.values import Array, frozen_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True, eq=False)
class RanksData:
    """Counts of pooled ranks in equal bins, ``(chains, bins)``, and the count expected in each."""

    counts: Array
    expected: float


def ranks_data(posterior: Posterior, quantity: str = "mu", *, bins: int = 20) -> RanksData:
    """Return, for each chain, how many of its draws' pooled ranks fall in each of `bins` equal bins.

    Parameters
    ----------
    posterior
        Of the NUTS engine.
    quantity
        A quantity of its DataTree's posterior group.
    bins
        Number of bins.

    Raises
    ------
    ModelError
        If the posterior has no chains, or no such quantity, or its prior fixes the quantity.

    References
    ----------
    Vehtari et al. (2021), Bayesian Anal. 16:667-718.
    """
    if posterior.engine != "nuts":
        raise ModelError(f"Rank plots are about chains, and engine {posterior.engine!r} has none.")
    if fixed_at(posterior, quantity) is not None:
        raise ModelError(f"{quantity} is known: the prior {posterior.priors[quantity]!r} fixes it, so it has no ranks.")
    draws = _draws(posterior, quantity)
    ranks = rankdata(draws, method="average").reshape(draws.shape)
    edges = np.linspace(0.5, draws.size + 0.5, bins + 1)
    counts = np.array([np.histogram(chain, edges)[0] for chain in ranks], dtype=float)
    return RanksData(frozen_array(counts), draws.shape[1] / bins)


def _draws(posterior: Posterior, quantity: str) -> Array:
    marginal = posterior.marginals.get(quantity)
    if isinstance(marginal, DrawsMarginal):
        return marginal.draws
    # The tree has the vectors too, and takes longer to make.
    found = posterior.to_datatree().posterior
    if quantity not in found:
        raise unknown("quantity of this posterior:", quantity, map(str, found.data_vars))
    return np.asarray(found[quantity])


def ranks(posterior: Posterior, quantity: str = "mu", *, bins: int = 20, ax: "Axes | None" = None) -> "Axes":
    """Draw the rank histograms of all chains as step lines about the uniform expectation.

    Parameters
    ----------
    posterior
        Of the NUTS engine.
    quantity
        ``"mu"``, ``"tau"``, ...
    bins
        Number of bins.
    ax
        Axes to draw in; None makes a figure.
    """
    data = ranks_data(posterior, quantity, bins=bins)
    ax = new_axes(ax, 5.2, 2.4)
    edges = np.linspace(0, 1, bins + 1)
    for i, counts in enumerate(data.counts):
        ax.stairs(counts, edges, baseline=None, color=BAYESIAN, lw=1.0, alpha=0.45 + 0.5 * i / len(data.counts))
    ax.axhline(data.expected, color=MUTED, lw=0.9, ls="--")
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.25 * max(float(data.counts.max()), data.expected))
    bare(ax, left=True)
    ax.set_xlabel(f"rank of {quantity} among all draws", color=INK, fontsize=9)
    ax.set_ylabel("draws", color=INK, fontsize=9)
    return ax
