"""Plots: each file has a pure ``NAME_data(...)`` and ``NAME(..., ax=None)``, which returns matplotlib Axes.

``PLOTS`` finds them by name; a new file in this folder is picked up by being there.
"""

import importlib
import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayesmeta.plots.agreement import agreement as agreement
    from bayesmeta.plots.assurance import assurance as assurance
    from bayesmeta.plots.baujat import baujat as baujat
    from bayesmeta.plots.bubble import bubble as bubble
    from bayesmeta.plots.cumulative import cumulative as cumulative
    from bayesmeta.plots.decisions import decisions as decisions
    from bayesmeta.plots.forest import forest as forest
    from bayesmeta.plots.funnel import funnel as funnel
    from bayesmeta.plots.joint import joint as joint
    from bayesmeta.plots.labbe import labbe as labbe
    from bayesmeta.plots.league_heat import league_heat as league_heat
    from bayesmeta.plots.net_heat import net_heat as net_heat
    from bayesmeta.plots.network_forest import network_forest as network_forest
    from bayesmeta.plots.network_funnel import network_funnel as network_funnel
    from bayesmeta.plots.network_graph import network_graph as network_graph
    from bayesmeta.plots.node_splits import node_splits as node_splits
    from bayesmeta.plots.prior_posterior import prior_posterior as prior_posterior
    from bayesmeta.plots.prior_sets import prior_sets as prior_sets
    from bayesmeta.plots.radial import radial as radial
    from bayesmeta.plots.rankogram import rankogram as rankogram
    from bayesmeta.plots.ranks import ranks as ranks
    from bayesmeta.plots.sensitivity import sensitivity as sensitivity
    from bayesmeta.plots.shrinkage import shrinkage as shrinkage
    from bayesmeta.plots.specification_curve import specification_curve as specification_curve
    from bayesmeta.plots.updating import updating as updating

PLOTS: dict[str, Callable[..., Any]] = {}

for _found in pkgutil.iter_modules(__path__):
    if not _found.name.startswith("_"):
        # Importing the module binds it under its name; the plot of that name takes its place.
        _module = importlib.import_module(f"{__name__}.{_found.name}")
        PLOTS[_found.name] = globals()[_found.name] = getattr(_module, _found.name)


def __dir__() -> list[str]:
    """Return the plots: what a user who asks what is here is looking for."""
    return sorted(PLOTS)


__all__ = ["PLOTS", *sorted(PLOTS)]  # noqa: PLE0604  (names are strings, from the folder)
