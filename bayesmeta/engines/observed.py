"""The data of a fit as groups of an ArviZ DataTree, the same for every engine."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

FIXED = ("sei", "n_treatment", "n_control", "time_treatment", "time_control")


def observed_groups(data: Any) -> "dict[str, xr.Dataset]":
    """Return ``observed_data``, what the model explains, and ``constant_data``, what it takes as given, by study."""
    import xarray as xr

    counts = ("events_treatment", "events_control")
    observed = ("yi",) if hasattr(data, "yi") else tuple(name for name in counts if hasattr(data, name))
    fixed = [name for name in FIXED if hasattr(data, name)]
    groups = {}
    for group, names in (("observed_data", observed), ("constant_data", fixed)):
        variables: dict[str, Any] = {name: (("study",), np.array(getattr(data, name))) for name in names}
        coords: dict[str, Any] = {"study": list(data.study)}
        if group == "constant_data" and getattr(data, "X", None) is not None:
            variables["X"], coords["term"] = (("study", "term"), np.array(data.X)), list(data.terms)
        groups[group] = xr.Dataset(variables, coords=coords)
    return groups
