"""Effect sizes from raw data: pure array functions, one per measure, under metafor's names."""

from bayesmeta.effects import continuous, correlations, paired, person_time, ready, single_arm, two_by_two
from bayesmeta.effects.measure import MEASURES, Measure
from bayesmeta.effects.sizes import RawEffects, compute_effects, effect_sizes, find_measure

__all__ = ["MEASURES", "Measure", "RawEffects", "compute_effects", "effect_sizes", "find_measure"]
del continuous, correlations, paired, person_time, ready, single_arm, two_by_two
