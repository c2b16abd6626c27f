"""Networks by quadrature: dense sums, identities, ranks, and NUTS once."""

from functools import cache

import numpy as np
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta.errors import ModelError

PRIORS = {"mu": "normal(0, 2)", "tau": "half_normal(0.8)"}


@cache
def contrasts_of(name, measure):
    return bm.contrasts(bm.read_network(bm.load_dataset(name)), measure)


def smoking():
    return contrasts_of("smoking_cessation_network_hasselblad1998", "OR")


@cache
def fitted():
    return bm.fit(smoking(), "network_consistency", priors=PRIORS)


def dense(c, x, sd=2.0, scale=0.8):
    """Return mean, SD and P(< 0) of a contrast, mean of tau and log evidence, by a dense sum written for this test."""
    T, X = len(c.treatments), c.design
    tau = np.linspace(0.0, 5.0, 1501)
    prior = np.eye(T) * sd**2 / 2.0
    logp, mean, var = np.empty(len(tau)), np.empty(len(tau)), np.empty(len(tau))
    for i, t in enumerate(tau):
        Sigma = c.V + t**2 * c.relation
        W = np.linalg.inv(Sigma)
        S = Sigma + X @ prior @ X.T
        logp[i] = stats.multivariate_normal(np.zeros(c.n), S).logpdf(c.yi) + stats.halfnorm(scale=scale).logpdf(t)
        cov = np.linalg.inv(X.T @ W @ X + np.linalg.inv(prior))
        mean[i], var[i] = x @ cov @ X.T @ W @ c.yi, x @ cov @ x
    h = tau[1] - tau[0]
    w = np.exp(logp - logp.max()) * h
    w[[0, -1]] *= 0.5
    total = w.sum()
    w /= total
    m = w @ mean
    return {
        "mean": m,
        "sd": np.sqrt(w @ (var + (mean - m) ** 2)),
        "below": w @ stats.norm.cdf(-mean / np.sqrt(var)),
        "tau": w @ tau,
        "evidence": logp.max() + np.log(total),
        "new_sd": np.sqrt(w @ (var + tau**2 + (mean - m) ** 2)),
    }


def test_the_posterior_is_that_of_a_dense_sum():
    """Contrast, new study, tau and evidence, with no code shared."""
    c, post = smoking(), fitted()
    b, a = "ind_counseling", "no_contact"
    x = np.zeros(len(c.treatments))
    x[c.treatments.index(b)], x[c.treatments.index(a)] = 1.0, -1.0
    expected, found = dense(c, x), post.relative(b, a)
    assert found.mean() == pytest.approx(expected["mean"], abs=1e-8)
    assert found.sd() == pytest.approx(expected["sd"], abs=1e-8)
    assert float(found.cdf(0.0)) == pytest.approx(expected["below"], abs=1e-8)
    assert post.tau.mean() == pytest.approx(expected["tau"], abs=1e-8)
    assert post.log_evidence == pytest.approx(expected["evidence"], abs=1e-8)
    assert post.relative_new(b, a).sd() == pytest.approx(expected["new_sd"], abs=1e-8)


def test_two_treatments_are_the_pairwise_model():
    """The same prior of the one effect and of tau: the posterior of normal_normal."""
    effects = bm.effect_sizes(bm.read_studies(bm.load_dataset("bcg_vaccine")), "RR")
    net = bm.NetworkTable(
        effects.study, (), {"yi": effects.yi, "sei": effects.sei}, ["vaccine"] * effects.k, ["none"] * effects.k
    )
    pairwise = bm.fit(effects, "normal_normal", priors=PRIORS)
    post = bm.fit(bm.contrasts(net, "RR"), "network_consistency", priors=PRIORS)
    found = post.relative("vaccine", "none")
    points = np.linspace(-1.5, 0.2, 9)
    assert found.cdf(points) == pytest.approx(pairwise.mu.cdf(points), abs=1e-9)
    assert post.relative_new("vaccine", "none").cdf(points) == pytest.approx(pairwise.theta_new.cdf(points), abs=1e-9)
    assert post.tau.ppf([0.1, 0.5, 0.9]) == pytest.approx(pairwise.tau.ppf([0.1, 0.5, 0.9]), abs=1e-7)
    assert post.log_evidence == pytest.approx(pairwise.log_evidence, abs=1e-9)
    ranks = post.ranks("lower").set_index("treatment")
    assert ranks.loc["vaccine", "p_best"] == pytest.approx(float(pairwise.mu.cdf(0.0)), abs=1e-9)


def test_names_reference_and_signs_change_nothing_but_labels():
    """Treatments renamed (another one is the reference), contrasts turned: the same posterior and ranks."""
    c, post = smoking(), fitted()
    names = dict(zip(c.treatments, ("delta", "alpha", "gamma", "beta"), strict=True))
    pairs = c.pairs()
    net = bm.NetworkTable(
        pairs["study"],
        (),
        {"yi": -pairs["yi"], "sei": pairs["sei"]},
        [names[t] for t in pairs["treat2"]],
        [names[t] for t in pairs["treat1"]],
    )
    other = bm.fit(bm.contrasts(net, "OR"), "network_consistency", priors=PRIORS)
    for b, a in (("self_help", "no_contact"), ("grp_counseling", "ind_counseling")):
        one, two = post.relative(b, a), other.relative(names[b], names[a])
        assert (one.mean(), one.sd()) == pytest.approx((two.mean(), two.sd()), abs=1e-10)
        back = post.relative(a, b)
        assert (back.mean(), back.sd()) == pytest.approx((-one.mean(), one.sd()), abs=1e-12)
    assert other.log_evidence == pytest.approx(post.log_evidence, abs=1e-9)
    first = post.ranks("higher").set_index("treatment").rename(index=names)
    second = other.ranks("higher").set_index("treatment").loc[first.index]
    assert first.to_numpy() == pytest.approx(second.to_numpy(), abs=1e-9)


def test_ranks_add_up():
    """Ranks of a treatment and treatments of a rank have probability 1; mean rank and SUCRA say the same."""
    frame = fitted().ranks("higher")
    ranks = frame[[f"rank_{r}" for r in range(1, 5)]].to_numpy()
    assert ranks.sum(axis=0) == pytest.approx(np.ones(4), abs=1e-12)
    assert ranks.sum(axis=1) == pytest.approx(np.ones(4), abs=1e-12)
    assert frame["sucra"].sum() == pytest.approx(2.0, abs=1e-12)
    assert frame["mean_rank"].sum() == pytest.approx(10.0, abs=1e-12)
    assert frame["mean_rank"].to_numpy() == pytest.approx(4.0 - 3.0 * frame["sucra"].to_numpy(), abs=1e-12)
    assert frame["mean_rank"].to_numpy() == pytest.approx(ranks @ np.arange(1, 5), abs=1e-12)
    assert frame.attrs["error"] == 0.0
    assert 0.0 < frame.attrs["poth"] < 1.0
    turned = fitted().ranks("lower").set_index("treatment")
    assert turned["sucra"].to_numpy() == pytest.approx(1.0 - frame.set_index("treatment").loc[turned.index, "sucra"])


def test_many_treatments_have_ranks_with_an_error(monkeypatch):
    """Beyond four treatments by points: sums and mean ranks are exact, four agree with orthants."""
    post = bm.fit(contrasts_of("diabetes_network_senn2013", "MD"), "network_consistency", priors=PRIORS)
    frame = post.ranks("lower")
    ranks = frame[[f"rank_{r}" for r in range(1, 11)]].to_numpy()
    assert ranks.sum(axis=0) == pytest.approx(np.ones(10), abs=1e-12)
    assert ranks.sum(axis=1) == pytest.approx(np.ones(10), abs=1e-12)
    assert 0.0 < frame.attrs["error"] < 3e-3
    assert frame["mean_rank"].to_numpy() == pytest.approx(ranks @ np.arange(1, 11), abs=1e-3)
    exact = fitted().ranks("higher")
    monkeypatch.setattr("bayesmeta.marginals.treatments.EXACT", 0)
    points = fitted().ranks("higher")
    assert 0.0 < points.attrs["error"] < 1e-3
    assert np.abs(points.filter(like="rank_") - exact.filter(like="rank_")).to_numpy().max() < 5 * points.attrs["error"]


def test_the_best_and_what_is_near_it():
    """Within no margin it is P(best), within a wide one certain."""
    best = fitted().ranks("higher").set_index("treatment")["p_best"]
    near = fitted().near_best(0.0, "higher").set_index("treatment")
    assert np.all(np.abs(near["probability"] - best[near.index]) < 5 * near["error"] + 1e-4)
    assert np.all(fitted().near_best(0.3, "higher")["probability"] > near["probability"].to_numpy())
    assert fitted().near_best(50.0, "higher")["probability"].to_numpy() == pytest.approx(np.ones(4))
    with pytest.raises(ModelError, match="margin is -1"):
        fitted().near_best(-1, "higher")


def test_rank_probabilities_are_those_of_draws():
    """Exact draws ranked: 40,000 of them agree within four standard errors."""
    post = fitted()
    beta = np.asarray(post.to_datatree(40_000, seed=3)["posterior"]["beta"]).reshape(-1, 4)
    rank = np.argsort(np.argsort(-beta, axis=1), axis=1)
    frame = post.ranks("higher").set_index("treatment").loc[list(post.data.treatments)]
    for r in range(4):
        share = (rank == r).mean(axis=0)
        error = np.sqrt(share * (1 - share) / len(rank)) + 2e-3
        assert np.all(np.abs(frame[f"rank_{r + 1}"].to_numpy() - share) < 4 * error)


def test_probabilities_beyond_a_threshold_and_the_league_table():
    """Each cell is its pair's own tail; the league is on the natural scale."""
    post = fitted()
    better = post.beyond(0.3, benefit="higher")
    m = post.relative("self_help", "no_contact")
    assert better.loc["self_help", "no_contact"] == pytest.approx(float(m.sf(0.3)), abs=1e-12)
    assert better.loc["no_contact", "self_help"] == pytest.approx(float(m.cdf(-0.3)), abs=1e-12)
    cell = post.league().loc["self_help", "no_contact"]
    assert cell.startswith(f"{np.exp(m.median()):.3g} [")
    frame = post.relatives().set_index(["treatment", "reference"])
    assert frame.loc[("self_help", "no_contact"), "mean"] == pytest.approx(m.mean())
    assert len(frame) == 12


def test_a_flat_prior_is_generalised_least_squares_given_tau():
    """With tau known the posterior mean and SD are the classical estimate and its standard error."""
    c = contrasts_of("diabetes_network_senn2013", "MD")
    fit = bm.frequentist.network(c, method="REML")
    post = bm.fit(c, "network_consistency", priors={"mu": "flat()", "tau": f"point({fit.tau!r})"})
    for b, a in (("metformin", "placebo"), ("acarbose", "sulfonylurea")):
        one, two = post.relative(b, a), fit.relative(b, a)
        assert (one.mean(), one.sd()) == pytest.approx((two.estimate, two.se), abs=1e-9)
    sucra = post.ranks("lower").set_index("treatment")["sucra"]
    assert dict(sucra) == pytest.approx(dict(fit.p_scores), abs=1e-9)


def test_nuts_agrees_with_quadrature():
    """Means of a network of five contrasts within four Monte Carlo errors."""
    net = bm.NetworkTable(
        ["s1", "s1", "s2", "s2", "s3", "s3", "s3", "s4", "s4"],
        ["A", "B", "B", "C", "A", "B", "C", "A", "C"],
        {"events": [10, 15, 22, 30, 8, 12, 19, 20, 33], "n": [50, 50, 80, 80, 40, 40, 40, 90, 90]},
    )
    c = bm.contrasts(net, "OR")
    exact = bm.fit(c, "network_consistency", priors=PRIORS)
    drawn = bm.fit(c, "network_consistency", priors=PRIORS, engine="nuts", seed=2, draws=1000, chains=2, progress=False)
    for b, a in (("B", "A"), ("C", "A"), ("C", "B")):
        one, two = exact.relative(b, a), drawn.relative(b, a)
        assert abs(one.mean() - two.mean()) < 4 * two.mcse("mean") + 1e-6
    assert abs(exact.tau.mean() - drawn.tau.mean()) < 4 * drawn.tau.mcse("mean")
    ranks = drawn.ranks("higher")
    assert ranks[["rank_1", "rank_2", "rank_3"]].to_numpy().sum(axis=1) == pytest.approx(np.ones(3), abs=1e-12)
    assert not any(name.startswith("d[") for name in drawn.marginals)


def test_what_is_no_network_has_no_treatments():
    """Relative effects of a pairwise posterior, and priors with a direction, are refused in words."""
    pairwise = bm.fit(bm.EffectSizes([0.1, 0.4], [0.2, 0.3], measure="OR"))
    with pytest.raises(ModelError, match="has no treatments to compare"):
        pairwise.relative("A", "B")
    with pytest.raises(ModelError, match="Unknown treatment"):
        fitted().relative("self_hlp", "no_contact")
    with pytest.raises(ModelError, match=r"b against a is minus a against b"):
        bm.fit(smoking(), "network_consistency", priors={"mu": "normal(0.3, 1)"})
    with pytest.raises(ModelError, match="benefit"):
        fitted().ranks("up")
