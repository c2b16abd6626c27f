"""Clusters with a known correlation: identities with the multilevel model, and what is refused."""

import dataclasses
import math

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.errors import DataError


@pytest.fixture(scope="module")
def effects():
    """Return schools in districts."""
    frame = bm.load_dataset("school_calendar_konstantopoulos2011")
    return bm.EffectSizes(frame["yi"], vi=frame["vi"], study=frame["study"], cluster=frame["cluster"], measure="SMD")


PRIORS = {"mu": "flat()", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}


def test_unrelated_clusters_are_those_of_the_multilevel_model(effects):
    """With the identity as correlation the posterior is that of multilevel."""
    related = bm.fit(dataclasses.replace(effects, R=np.eye(effects.k)), "phylogenetic", priors=PRIORS)
    plain = bm.fit(effects, "multilevel", priors=PRIORS)
    np.testing.assert_allclose(related.mu.ppf([0.025, 0.5, 0.975]), plain.mu.ppf([0.025, 0.5, 0.975]), atol=1e-8)
    assert related.tau.median() == pytest.approx(plain.tau.median(), abs=1e-7)
    assert related.theta["11"].mean() == pytest.approx(plain.theta["11"].mean(), abs=1e-8)


def test_a_common_correlation_goes_into_the_mean(effects):
    """Clusters that all correlate by r differ by tau sqrt(1 - r): under a flat mean only that can be seen."""
    r, k = 0.6, effects.k
    R = (1 - r) * np.eye(k) + r * np.ones((k, k))
    wider = {**PRIORS, "tau": f"half_normal({0.5 / math.sqrt(1 - r)!r})"}
    related = bm.fit(dataclasses.replace(effects, R=R), "phylogenetic", priors=wider)
    plain = bm.fit(effects, "multilevel", priors=PRIORS)
    assert related.tau.median() * math.sqrt(1 - r) == pytest.approx(plain.tau.median(), abs=1e-7)
    assert related["omega"].mean() == pytest.approx(plain["omega"].mean(), abs=1e-7)
    # The mean of all such clusters is as uncertain as their common part, which no data reduce.
    assert related.mu.sd() > plain.mu.sd()
    found = bm.frequentist.components(dataclasses.replace(effects, R=R), model="phylogenetic")
    expected = bm.frequentist.components(effects)
    assert found.tau2 * (1 - r) == pytest.approx(expected.tau2, rel=1e-6)
    assert found.loglik == pytest.approx(expected.loglik, abs=1e-9)


def test_dropped_clusters_leave_the_correlation_of_the_rest(effects):
    """Rows and columns of clusters that go are taken out of R, in the order in which the others appear."""
    R = 0.5 ** np.abs(np.subtract.outer(np.arange(effects.k), np.arange(effects.k)))
    related = dataclasses.replace(effects, R=R)
    first = related.cluster[0]
    left = related.drop([label for label, c in zip(related.study, related.cluster, strict=True) if c == first])
    np.testing.assert_array_equal(left.R, R[1:, 1:])


def test_bad_correlations_are_named(effects):
    """No matrix, another size, a diagonal that is not one, and an impossible one are errors."""
    with pytest.raises(DataError, match="correlation of the clusters is missing"):
        bm.fit(effects, "phylogenetic")
    with pytest.raises(DataError, match="R has 3 rows for 11 clusters"):
        dataclasses.replace(effects, R=np.eye(3))
    with pytest.raises(DataError, match="R has 2 for 11 with itself"):
        dataclasses.replace(effects, R=2 * np.eye(11))
    with pytest.raises(DataError, match="R is not positive definite"):
        dataclasses.replace(effects, R=np.ones((11, 11)))
