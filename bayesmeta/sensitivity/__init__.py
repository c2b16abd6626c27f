"""How much the answer depends on the choices made: prior grids, multiverses, tipping points, local sensitivity."""

from bayesmeta.sensitivity.conflict import Conflict, prior_data_conflict
from bayesmeta.sensitivity.grid import prior_range, sensitivity
from bayesmeta.sensitivity.multiverse import Multiverse, multiverse
from bayesmeta.sensitivity.power import PowerScaling, power_scaling
from bayesmeta.sensitivity.presets import (
    enthusiastic_prior,
    mu_ladder,
    mu_presets,
    prior_from_interval,
    sceptical_prior,
    tau_ladder,
    tau_presets,
)
from bayesmeta.sensitivity.reverse_bayes import (
    CriticalPrior,
    critical_prior,
    intrinsic_credibility_p,
    sceptical_p,
    sceptical_z,
    sufficiently_sceptical_sd,
)
from bayesmeta.sensitivity.sentences import priors_in_words
from bayesmeta.sensitivity.tipping import TippingPoints, tipping_point

__all__ = [
    "Conflict",
    "CriticalPrior",
    "Multiverse",
    "PowerScaling",
    "TippingPoints",
    "critical_prior",
    "enthusiastic_prior",
    "intrinsic_credibility_p",
    "mu_ladder",
    "mu_presets",
    "multiverse",
    "power_scaling",
    "prior_data_conflict",
    "prior_from_interval",
    "prior_range",
    "priors_in_words",
    "sceptical_p",
    "sceptical_prior",
    "sceptical_z",
    "sensitivity",
    "sufficiently_sceptical_sd",
    "tau_ladder",
    "tau_presets",
    "tipping_point",
]
