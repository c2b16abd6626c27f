"""Moments of pooled effects whose own priors have heavy tails: which exist, and how large they are."""

import math

import numpy as np
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta.studies import EffectSizes


def normal_fit(y, s, mu, tau):
    return bm.fit(EffectSizes(y, s, measure="OR"), priors={"mu": mu, "tau": tau}, engine="quadrature")


@pytest.mark.parametrize(
    ("k", "mu", "tau"),
    [
        (2, "cauchy(0, 1)", "uniform()"),
        (2, "student_t(1.2, 0, 1)", "uniform()"),
        (3, "cauchy(0, 1)", "uniform()"),
        (1, "cauchy(0, 1)", "half_cauchy(1)"),
        (2, "student_t(0.4, 0, 1)", "half_student_t(0.5, 1)"),
        (2, "student_t(0.3, 0, 1)", "uniform()"),
        (2, "0.5*normal(0, 1) + 0.5*cauchy(0, 1)", "uniform()"),
    ],
)
def test_a_variance_exists_where_the_density_falls_faster_than_the_third_power(k, mu, tau):
    """The slope of the density between 1e4 and 1e6 SDs of the prior tells which moments there are."""
    found = normal_fit([0.1, 0.8, 0.5][:k], [0.2, 0.5, 0.3][:k], mu, tau).mu
    near, far = found.logpdf(np.array([1e4, 1e6]))
    slope = float(near - far) / math.log(1e2)
    assert math.isinf(found.sd()) == (slope < 3.0 + 1e-3)
    assert math.isinf(found.sd()) == bool(found.notes)
    if found.notes:
        assert float(found.notes[0].split("|x|^-")[1].rstrip(".")) == pytest.approx(slope, abs=5e-3)


def test_a_variance_that_just_exists_counts_what_no_component_of_the_prior_holds():
    """With 1.2 degrees of freedom 5% of the variance lies beyond 1e9; plain sums over logs of mu and tau count it."""
    y, s = np.array([0.1, 0.8]), np.array([0.2, 0.5])
    u = np.linspace(-80.0, 80.0, 4001)
    mu, sums = np.sinh(u), np.zeros(3)
    prior = stats.t.logpdf(mu, 1.2) + np.log(np.cosh(u))
    for tau in np.exp(np.linspace(-16.0, 80.0, 2001)):
        log = stats.norm.logpdf(y[:, None], mu, np.hypot(s, tau)[:, None]).sum(axis=0)
        weight = np.exp(prior + log) * tau
        sums += [weight.sum(), weight @ mu, weight @ mu**2]
    mean, second = sums[1:] / sums[0]
    found = normal_fit(y, s, "student_t(1.2, 0, 1)", "uniform()").mu
    assert found.mean() == pytest.approx(mean, rel=1e-6)
    assert found.sd() == pytest.approx(math.sqrt(second - mean**2), rel=1e-5)
