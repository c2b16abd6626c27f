"""Effect sizes from raw data: pure array functions, one per measure, under metafor's names.

A new measure is picked up by being in a file of this folder.
"""

import importlib
import pkgutil

from bayesmeta.effects.measure import MEASURES, Measure, is_ratio
from bayesmeta.effects.network_contrasts import contrasts
from bayesmeta.effects.sizes import RawEffects, compute_effects, effect_sizes, find_measure
from bayesmeta.effects.trust import PerStudy, allow_for_bias, discount

__all__ = [
    "MEASURES",
    "Measure",
    "PerStudy",
    "RawEffects",
    "allow_for_bias",
    "compute_effects",
    "contrasts",
    "discount",
    "effect_sizes",
    "find_measure",
    "is_ratio",
]

for _found in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_found.name}")
