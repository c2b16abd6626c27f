"""How much the answer depends on the choices made: prior grids, multiverses, tipping points, local sensitivity."""

from bayesmeta.sensitivity.grid import prior_range, sensitivity
from bayesmeta.sensitivity.presets import (
    enthusiastic_prior,
    mu_ladder,
    mu_presets,
    prior_from_interval,
    sceptical_prior,
    tau_ladder,
    tau_presets,
)
from bayesmeta.sensitivity.universes import Multiverse, multiverse

__all__ = [
    "Multiverse",
    "enthusiastic_prior",
    "mu_ladder",
    "mu_presets",
    "multiverse",
    "prior_from_interval",
    "prior_range",
    "sceptical_prior",
    "sensitivity",
    "tau_ladder",
    "tau_presets",
]
