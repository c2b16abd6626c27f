"""Miller 1978, Am Stat 32:138: the inverse of the Freeman-Tukey double arcsine transformation."""

import numpy as np
from as_printed import assert_printed

import bayesmeta as bm
from bayesmeta.effects import MEASURES, compute_effects

N = np.array([11.0, 17.0, 21.0, 6.0])
RAW = compute_effects("PFT", {"events": np.array([3.0, 6.0, 10.0, 1.0]), "n": N})


def test_transformed_proportions():
    """Transformed values and variances; the paper's transformation is twice ours, its variance four times."""
    assert_printed(2 * RAW.yi, "1.1391 1.2888 1.5253 0.9515")
    assert_printed(4 * RAW.vi, "0.0870 0.0571 0.0465 0.1538")


def test_the_mean_back_on_the_scale_of_proportions():
    """Unweighted and weighted means, and both as proportions through the harmonic mean of the sample sizes."""
    plain = float(RAW.yi.mean())
    weighted = bm.frequentist.pool(bm.EffectSizes(RAW.yi, vi=RAW.vi, measure="PFT", ni=N), method="EE").mu
    assert_printed([2 * plain, 2 * weighted], "1.2262 1.3093")
    harmonic = len(N) / (1 / N).sum()
    found = [float(MEASURES["PFT"].to_natural(value, harmonic)) for value in (plain, weighted)]
    assert_printed(found, "0.3164 0.3595")
