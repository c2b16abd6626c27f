"""The ArviZ 1 / xarray DataTree of a NUTS run."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayesmeta.engines.chains import Run
from bayesmeta.engines.quantities import Quantities
from bayesmeta.model import Model
from bayesmeta.priors import Prior

if TYPE_CHECKING:
    import xarray as xr


def datatree(
    model: Model,
    data: Any,
    priors: Mapping[str, Prior],
    run: Run,
    quantities: Quantities,
    options: Mapping[str, Any],
    draws: int | None = None,
    seed: int | None = None,
) -> "xr.DataTree":
    """Return the run as a DataTree."""
    import xarray as xr

    posterior: dict[str, Any] = {name: (("chain", "draw"), value) for name, value in quantities.scalars.items()}
    if quantities.theta is not None:
        posterior["theta"] = (("chain", "draw", "study"), quantities.theta)
    stats = {name: (("chain", "draw"), value) for name, value in run.stats.items()}
    return xr.DataTree.from_dict(
        {
            "/posterior": xr.Dataset(posterior, coords={"study": list(data.study)}),
            "/sample_stats": xr.Dataset(stats),
        }
    )
