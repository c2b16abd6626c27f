"""Arms of counts in a network, sampled."""

import dataclasses

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.errors import DataError, ModelError
from bayesmeta.model import load_model


@pytest.mark.nuts
def test_two_treatments_are_the_pairwise_model():
    """NUTS agrees with the quadrature of binomial_normal within four Monte Carlo errors, in sparse tables."""
    events_treatment, events_control = [3, 0, 7, 12], [6, 2, 9, 20]
    n = [40, 30, 60, 90]
    study = [f"s{i}" for i in range(4)]
    arms = np.ravel(np.column_stack([events_control, events_treatment]))
    net = bm.NetworkTable(np.repeat(study, 2), ["control", "drug"] * 4, {"events": arms, "n": np.repeat(n, 2)})
    priors = {"mu": "normal(0, 2)", "tau": "half_normal(0.6)", "baseline": "normal(0, 5)"}
    pairwise = bm.fit(bm.TwoByTwo(events_treatment, n, events_control, n), "binomial_normal", priors=priors)
    post = bm.fit(net, "network_binomial", priors=priors, seed=3, draws=1000, chains=2, tune=500, thin=2)
    found = post.relative("drug", "control")
    assert abs(found.mean() - pairwise.mu.mean()) < 4 * found.mcse("mean")
    assert abs(found.sd() - pairwise.mu.sd()) < 4 * found.mcse("sd")
    assert abs(post.tau.mean() - pairwise.tau.mean()) < 4 * post.tau.mcse("mean")
    assert post.measure == "OR"
    assert post.relative("control", "drug").mean() == pytest.approx(-found.mean(), abs=1e-12)
    assert "mu[drug]" in str(post)
    with pytest.warns(UserWarning, match="no log_likelihood"):
        tree = post.to_datatree()
    assert {"posterior", "prior"} <= set(tree.children)


def test_every_relative_effect_has_the_prior():
    """Independent draws of the prior, combined: variance s^2 and correlation one half against one reference."""
    net = bm.NetworkTable(list("aabbcc"), list("ABBCCD"), {"events": [3] * 6, "n": [9] * 6})
    draws = {"mu": np.random.default_rng(1).normal(size=(4, 50_000, 3))}
    named = load_model("network_binomial").reported(net, draws)
    assert list(named) == ["mu[B]", "mu[C]", "mu[D]"]
    covariance = np.cov(np.stack([value.ravel() for value in named.values()]))
    # The largest of nine errors of covariances of 200,000 draws.
    assert np.abs(covariance - 0.5 * (np.eye(3) + np.ones((3, 3)))).max() < 5 * np.sqrt(2 / 200_000)


def test_what_it_cannot_take_is_refused():
    """Means, one study, parts that nothing connects, contrasts, priors with a direction."""
    counts = {"events": [3, 4, 5, 6], "n": [20] * 4}
    net = bm.NetworkTable(list("aabb"), list("ABBC"), counts)
    for bad, words in (
        (bm.NetworkTable(list("aa"), list("AB"), {"events": [3, 4], "n": [9, 9]}), "One study"),
        (dataclasses.replace(net, treatment=list("ABCD")), r"not connected.*\(A, B; C, D\)"),
        (dataclasses.replace(net, columns={"events": [3, 4, 5, 6], "time": [9.0] * 4}), "events and n"),
        (bm.contrasts(net, "OR"), "takes the arms themselves"),
    ):
        with pytest.raises(DataError, match=words):
            bm.fit(bad, "network_binomial")
    with pytest.raises(ModelError, match="b against a is minus a against b"):
        bm.fit(net, "network_binomial", priors={"mu": "normal(1, 1)"})
    with pytest.raises(DataError, match=r"Use bm\.contrasts"):
        bm.fit(net, "network_consistency")
    assert bm.fit(net, "network_consistency", measure="OR").data.measure == "OR"
