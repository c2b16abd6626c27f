"""Made-up data that several tests fit."""

import numpy as np

import bayesmeta as bm


def effects(k: int, seed: int = 0) -> bm.EffectSizes:
    """Return `k` made-up log odds ratios."""
    rng = np.random.default_rng(seed)
    return bm.EffectSizes(yi=rng.normal(0.2, 0.5, k), sei=rng.uniform(0.1, 0.5, k), measure="OR")
