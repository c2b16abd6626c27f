"""Random inconsistency between designs, and moderators of a network."""

import dataclasses
from functools import cache

import numpy as np
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta.errors import DataError

PRIORS = {"mu": "normal(0, 2)", "tau": "half_normal(0.6)", "omega": "half_normal(0.5)"}
# Studies of one design name their arms in different orders.
STUDIES = ["ABC", "CBA", "AB", "BA", "BC", "AC", "CA", "BC"]


@cache
def network():
    rng = np.random.default_rng(5)
    study = [f"s{i}" for i, arms in enumerate(STUDIES) for _ in arms]
    numbers = {"events": rng.integers(8, 35, len(study)), "n": np.full(len(study), 80)}
    return bm.contrasts(bm.NetworkTable(study, list("".join(STUDIES)), numbers), "OR")


def shared(c, group, a, b):
    """Return the correlation of effects that arms of a group have, summed from arms: independent, variance 1/2 each."""
    if group[a] != group[b]:
        return 0.0
    one, two = ({c.treat1[i]: 1.0, c.treat2[i]: -1.0} for i in (a, b))
    return 0.5 * sum(one.get(t, 0.0) * two.get(t, 0.0) for t in "ABC")


def dense(c, x):
    """Return mean and SD of a contrast, mean of omega and log evidence by a dense sum written for this test."""
    designs = ["".join(sorted(STUDIES[int(s[1:])])) for s in c.study]
    R, S = (np.array([[shared(c, g, a, b) for b in range(c.n)] for a in range(c.n)]) for g in (c.study, designs))
    tau, omega = np.linspace(0.0, 4.5, 91), np.linspace(0.0, 4.0, 81)
    t, o = (grid.ravel() for grid in np.meshgrid(tau, omega, indexing="ij"))
    Sigma = c.V + t[:, None, None] ** 2 * R + o[:, None, None] ** 2 * S
    prior = np.eye(3) * 2.0
    L = np.linalg.cholesky(Sigma + c.design @ prior @ c.design.T)
    z = np.linalg.solve(L, np.broadcast_to(c.yi[:, None], (len(t), c.n, 1)))[..., 0]
    logp = -0.5 * (z**2).sum(1) - np.log(np.diagonal(L, axis1=1, axis2=2)).sum(1) - 0.5 * c.n * np.log(2 * np.pi)
    logp += stats.halfnorm(scale=0.6).logpdf(t) + stats.halfnorm(scale=0.5).logpdf(o)
    ends = np.where(t == 0.0, 0.5, 1.0) * np.where(o == 0.0, 0.5, 1.0)
    w = np.exp(logp - logp.max()) * ends * (tau[1] * omega[1])
    total, w = w.sum(), w / w.sum()
    W = np.linalg.inv(Sigma)
    cov = np.linalg.inv(c.design.T @ W @ c.design + np.linalg.inv(prior))
    mean, var = cov @ c.design.T @ W @ c.yi @ x, np.einsum("i,nij,j->n", x, cov, x)
    m = w @ mean
    return {
        "mean": m,
        "sd": np.sqrt(w @ (var + (mean - m) ** 2)),
        "new_sd": np.sqrt(w @ (var + t**2 + o**2 + (mean - m) ** 2)),
        "omega2": w @ o**2,
        "evidence": logp.max() + np.log(total),
    }


def test_the_posterior_is_that_of_a_dense_sum():
    """Two standard deviations, designs whose studies name their arms in any order, no code shared."""
    c = network()
    post = bm.fit(c, "network_inconsistency", priors=PRIORS)
    expected, found = dense(c, np.array([-1.0, 0.0, 1.0])), post.relative("C", "A")
    assert found.mean() == pytest.approx(expected["mean"], abs=1e-8)
    assert found.sd() == pytest.approx(expected["sd"], abs=1e-8)
    assert post.relative_new("C", "A").sd() == pytest.approx(expected["new_sd"], abs=1e-8)
    assert post["omega2"].mean() == pytest.approx(expected["omega2"], abs=1e-8)
    assert post.log_evidence == pytest.approx(expected["evidence"], abs=1e-8)
    assert set(post.heterogeneity) == {"tau", "omega"}


def test_without_inconsistency_it_is_the_consistent_model():
    """omega known to be 0: the posterior and the evidence of network_consistency."""
    one = bm.fit(network(), "network_inconsistency", priors={**PRIORS, "omega": "point(0)"})
    two = bm.fit(network(), "network_consistency", priors={"mu": PRIORS["mu"], "tau": PRIORS["tau"]})
    a, b = one.relative("C", "B"), two.relative("C", "B")
    assert (a.mean(), a.sd()) == pytest.approx((b.mean(), b.sd()), abs=1e-9)
    assert one.log_evidence == pytest.approx(two.log_evidence, abs=1e-9)


def test_designs_that_share_no_comparison_are_refused():
    """A tree of designs says nothing of inconsistency."""
    c = network().drop(["s0", "s1", "s5", "s6"])
    with pytest.raises(DataError, match="No two designs"):
        bm.fit(c, "network_inconsistency", priors=PRIORS)


def test_other_first_arms_are_the_same_contrasts():
    """Rebased contrasts have the same pairs, and all of a design's studies have the same first treatment."""
    c = network()
    one, two = c.pairs(), c.rebased().pairs()
    assert set(c.rebased().treat1) == {"A", "B"}
    for row in two.itertuples():
        here = one[(one["study"] == row.study) & one["treat1"].isin([row.treat1, row.treat2])]
        here = here[here["treat2"].isin([row.treat1, row.treat2])].iloc[0]
        sign = 1.0 if here["treat1"] == row.treat1 else -1.0
        assert (row.yi, row.sei) == pytest.approx((sign * here["yi"], here["sei"]), abs=1e-12)


def test_a_moderator_of_two_treatments_is_the_meta_regression():
    """One common interaction in a network of two treatments: slope and evidence of meta_regression."""
    e = bm.effect_sizes(bm.read_studies(bm.load_dataset("bcg_vaccine")), "RR")
    x = np.linspace(-1.0, 1.0, e.k) ** 3
    X = np.column_stack([np.ones(e.k), x])
    pairwise = bm.fit(
        dataclasses.replace(e, X=X, terms=("intercept", "x")),
        "meta_regression",
        priors={"intercept": "normal(0, 2)", "beta": "normal(0, 1)", "tau": "half_normal(0.6)"},
    )
    net = bm.NetworkTable(e.study, (), {"yi": e.yi, "sei": e.sei}, ["vaccine"] * e.k, ["none"] * e.k)
    c = bm.contrasts(net, "RR").with_moderator("x", dict(zip(e.study, x, strict=True)), center=False)
    post = bm.fit(
        c, "network_consistency", priors={"mu": "normal(0, 2)", "beta[x]": "normal(0, 1)", "tau": PRIORS["tau"]}
    )
    a, b = post["beta[x]"], pairwise["beta[x]"]
    assert (a.mean(), a.sd()) == pytest.approx((b.mean(), b.sd()), abs=1e-8)
    assert post.log_evidence == pytest.approx(pairwise.log_evidence, abs=1e-8)
    with pytest.raises(bm.ModelError, match="moderators"):
        bm.frequentist.network(c)
    with pytest.raises(DataError, match="x is not known of study"):
        bm.contrasts(net, "RR").with_moderator("x", {})
