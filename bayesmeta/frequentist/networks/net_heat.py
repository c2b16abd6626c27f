"""Net heat: which design's inconsistency goes away when another design is given effects of its own."""

from collections.abc import Sequence

import numpy as np

from bayesmeta.frequentist.networks.inconsistency import detached, interaction
from bayesmeta.frequentist.networks.least_squares import Network, solved
from bayesmeta.values import Array


def design_inconsistency(net: Network, own: Network, designs: Sequence[str], tau2: float) -> dict[str, float]:
    """Return each design's part of Q between designs under a model of the effects.

    Studies are independent, so that a quadratic form of residuals is a sum over designs; what a design's residuals
    would be with effects of its own is its heterogeneity, and is taken off.

    Parameters
    ----------
    net
        The network with the columns of the model.
    own
        The same with effects of each design's own.
    designs
        ``(n,)`` design of each contrast.
    tau2
        Heterogeneity.
    """
    parts = []
    for model in (net, own):
        at = solved(model, tau2)
        residual = model.y - model.X @ at.d
        parts.append(residual * (at.precision @ residual))
    names = np.array(designs)
    return {name: float((parts[0] - parts[1])[names == name].sum()) for name in dict.fromkeys(designs)}


def net_heat_matrix(
    net: Network, full: Array, designs: Sequence[str], tau2: float
) -> tuple[Array, tuple[str, ...], tuple[str, ...]]:
    """Return by how much each design's inconsistency (rows) falls when another design (columns) is detached.

    Parameters
    ----------
    net
        The consistent network.
    full
        ``(n, T)`` design with a column for each treatment.
    designs
        ``(n,)`` design of each contrast.
    tau2
        Heterogeneity.

    Returns
    -------
    tuple
        The matrix; its rows, all designs; its columns, those whose detachment frees a degree of freedom.

    References
    ----------
    Krahn, Binder & König (2013), BMC Med. Res. Methodol. 13:35.
    """
    own, names = interaction(net, full, designs), tuple(sorted(dict.fromkeys(designs)))
    consistent = design_inconsistency(net, own, designs, tau2)
    columns, found = [], []
    for name in names:
        apart = detached(net, full, [i for i, d in enumerate(designs) if d == name])
        if apart.X.shape[1] == net.X.shape[1]:
            continue
        left = design_inconsistency(apart, own, designs, tau2)
        columns.append(name)
        found.append([consistent[c] - left[c] for c in names])
    return np.array(found).reshape(len(columns), len(names)).T, names, tuple(columns)
