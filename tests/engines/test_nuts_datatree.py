"""The DataTree of a NUTS run, as ArviZ and xarray use it."""

import numpy as np
import pytest
import xarray as xr
from scipy import integrate, special, stats

import bayesmeta as bm
from bayesmeta.engines.sampling.results.datatree import _integrated_loglik, by_draws, marginal_loglik
from bayesmeta.errors import ModelError
from bayesmeta.model import StudyLikelihoods, load_model
from bayesmeta.priors import parse_prior

pytestmark = pytest.mark.nuts
GROUPS = {
    "posterior",
    "sample_stats",
    "log_likelihood",
    "log_prior",
    "posterior_predictive",
    "prior",
    "prior_predictive",
    "observed_data",
    "constant_data",
}


@pytest.fixture(scope="module")
def post():
    """Return a NUTS posterior of six made-up studies."""
    rng = np.random.default_rng(2)
    data = bm.EffectSizes(yi=rng.normal(0.2, 0.5, 6), sei=rng.uniform(0.1, 0.5, 6), study=list("abcdef"), measure="OR")
    return bm.fit(data, engine="nuts", seed=1)


@pytest.fixture(scope="module")
def tree(post):
    """Return its DataTree."""
    return post.to_datatree()


def test_groups_and_study_coordinates(post, tree):
    """Every group ArviZ looks for is there, with the studies' labels as coordinates."""
    assert set(tree.children) == GROUPS
    for group in ("posterior", "log_likelihood", "posterior_predictive", "observed_data", "constant_data"):
        assert list(tree[group].coords["study"].values) == list(post.data.study)
    assert tree["posterior"]["theta"].dims == ("chain", "draw", "study")
    np.testing.assert_array_equal(tree["posterior"]["mu"], post.mu.draws)
    np.testing.assert_array_equal(tree["observed_data"]["yi"], post.data.yi)
    np.testing.assert_array_equal(tree["posterior"]["theta"].sel(study="c"), post.theta["c"].draws)


def test_log_likelihood_is_marginal(post, tree):
    """The log likelihood of a study is N(y; mu, v + tau^2) at every draw."""
    mu, tau = (tree["posterior"][name].values[..., None] for name in ("mu", "tau"))
    expected = stats.norm.logpdf(post.data.yi, mu, np.sqrt(post.data.vi + tau**2))
    np.testing.assert_allclose(tree["log_likelihood"]["y"], expected, rtol=1e-10)


def test_predictive_draws_have_the_predicted_moments(post, tree):
    """Replicates of study i have mean E(mu) and variance E(v_i + tau^2) + Var(mu)."""
    replicates = tree["posterior_predictive"]["yi"].values.reshape(-1, post.k)
    expected = post.data.vi + np.mean(post.tau.draws**2) + post.mu.sd() ** 2
    error = 5 * np.sqrt(expected / 5000)
    assert np.all(np.abs(replicates.mean(axis=0) - post.mu.mean()) < error)
    np.testing.assert_allclose(replicates.var(axis=0), expected, rtol=0.15)


def test_prior_draws_are_from_the_priors(post, tree):
    """The prior group follows the priors (Kolmogorov-Smirnov)."""
    for name in ("mu", "tau"):
        assert stats.kstest(tree["prior"][name].values.ravel(), post.priors[name].cdf).pvalue > 1e-4


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("form", ["netcdf", "zarr"])
def test_round_trip(tree, tmp_path, form):
    """What is written to netCDF or zarr is read back the same."""
    path = tmp_path / f"post.{form}"
    getattr(tree, f"to_{form}")(path)
    with xr.open_datatree(path, engine="h5netcdf" if form == "netcdf" else "zarr") as back:
        for group in GROUPS:
            xr.testing.assert_equal(back[group].to_dataset().load(), tree[group].to_dataset())


def test_loo_is_reliable_on_the_marginal_likelihood(tree):
    """PSIS-LOO has no bad Pareto k on the marginal likelihood."""
    import arviz_stats

    loo = arviz_stats.loo(tree, pointwise=True)
    assert np.all(loo.pareto_k < 0.7)
    assert loo.elpd < 0


def test_power_scaling_sensitivity_works(tree):
    """ArviZ's prior sensitivity finds its log prior and log likelihood, with a component a prior."""
    import arviz_stats

    summary = arviz_stats.psense_summary(tree, var_names=["mu", "tau"])
    assert list(summary.index) == ["mu", "tau"]
    assert set(tree["log_prior"].data_vars) == {"mu", "tau"}


def test_our_intervals_are_at_95_percent(post):
    """ArviZ's default of 89% does not reach our summary."""
    summary = post.summary()
    low, high = post.mu.ppf([0.025, 0.975])
    assert summary.loc["mu", "eti_low"] == pytest.approx(low)
    assert summary.loc["mu", "eti_high"] == pytest.approx(high)


@pytest.mark.parametrize("name", ["binomial_normal", "robust_t"])
def test_marginal_likelihood_of_study_likelihoods_is_the_integral(name):
    """The tabulated marginal log likelihood equals scipy's integral over theta."""
    model = load_model(name)
    if name == "robust_t":
        data = bm.EffectSizes(yi=[0.1, 0.9, -0.4], sei=[0.2, 0.3, 0.25], measure="OR")
    else:
        data = bm.TwoByTwo([3, 0, 12], [30, 25, 60], [6, 4, 15], [31, 25, 58])
    rng = np.random.default_rng(1)
    draws = {"mu": rng.normal(0, 0.5, (1, 4)), "tau": rng.uniform(0.05, 0.8, (1, 4))}
    found = marginal_loglik(model, data, model.priors, draws)
    offered = model.study_likelihoods(data, model.priors)
    law = stats.norm() if name == "binomial_normal" else stats.t(offered.df)
    for j in range(4):
        mu, tau = draws["mu"][0, j], draws["tau"][0, j]
        theta = mu + tau * np.linspace(-40, 40, 16_001)
        weight = law.pdf((theta - mu) / tau) / tau
        values = np.exp(offered.loglik(np.tile(theta, (3, 1)))) * weight
        expected = np.log(integrate.simpson(values, x=theta, axis=1))
        np.testing.assert_allclose(found[0, j], expected, atol=1e-4)


def test_marginal_likelihood_of_risk_differences_is_that_of_the_cut_normal():
    """Where effects lie between limits, the likelihood is averaged over the normal distribution cut to them."""
    model = load_model("binomial_normal_rd")
    data = bm.TwoByTwo([3, 12, 30, 0, 0], [30, 60, 30, 30, 300], [6, 15, 0, 0, 0], [31, 58, 29, 28, 290])
    draws = {"mu": np.array([[0.0, -0.2, 0.3, 1.4]]), "tau": np.array([[0.02, 0.3, 0.6, 0.5]])}
    found = marginal_loglik(model, data, model.priors, draws)
    z, weight = special.roots_legendre(10)
    # The third study's likelihood is highest next to the limit, those of the last two have a spike at 0.
    spike = np.geomspace(1e-7, 0.1, 40)
    edges = np.unique(np.concatenate([np.linspace(-1, 1, 61), np.tanh(np.linspace(-7, 7, 21)), [0.0], spike, -spike]))
    theta = (0.5 * (edges[1:] + edges[:-1])[:, None] + 0.5 * np.diff(edges)[:, None] * z).ravel()
    weights = (0.5 * np.diff(edges)[:, None] * weight).ravel()
    likelihood = np.exp(model.study_likelihoods(data, model.priors).loglik(np.tile(theta, (5, 1))))
    for j, (mu, tau) in enumerate(zip(draws["mu"][0], draws["tau"][0], strict=True)):
        law = stats.truncnorm((-1 - mu) / tau, (1 - mu) / tau, mu, tau)
        np.testing.assert_allclose(found[0, j], np.log(likelihood @ (law.pdf(theta) * weights)), atol=1e-4)


def _averaged(loglik, mu, tau, edges):
    """Average likelihoods over N(mu, tau) by Gauss-Legendre between the edges; log, one a study."""
    z, weight = special.roots_legendre(16)
    theta = (0.5 * (edges[1:] + edges[:-1])[:, None] + 0.5 * np.diff(edges)[:, None] * z).ravel()
    weights = (0.5 * np.diff(edges)[:, None] * weight).ravel() * stats.norm.pdf(theta, mu, tau)
    return special.logsumexp(loglik(theta), b=weights, axis=1)


def test_marginal_likelihood_of_risk_ratios_of_studies_with_only_events():
    """Everybody has the event in both arms, or all but one: a kink at no effect, and no limits to the effect."""
    model = load_model("binomial_normal_rr")
    data = bm.TwoByTwo([25, 59, 3], [25, 60, 30], [22, 60, 5], [22, 60, 28])
    draws = {"mu": np.array([[0.0, -0.2, 1.0]]), "tau": np.array([[0.1, 0.4, 0.7]])}
    found = marginal_loglik(model, data, model.priors, draws)
    likelihoods = model.study_likelihoods(data, model.priors)
    beside = np.geomspace(1e-7, 0.5, 40)
    edges = np.unique(np.concatenate([np.linspace(-9, 9, 301), beside, -beside]))
    for j, (mu, tau) in enumerate(zip(draws["mu"][0], draws["tau"][0], strict=True)):
        expected = _averaged(lambda theta: likelihoods.loglik(np.tile(theta, (3, 1))), mu, tau, edges)
        np.testing.assert_allclose(found[0, j], expected, atol=1e-4)


@pytest.mark.parametrize("creases", [(), (0.0,), (0.3, -0.1)])
def test_marginal_likelihood_is_cut_at_every_crease(creases):
    """Likelihoods with kinks wherever the model says, or with none, on the whole line."""
    kinks = np.array(creases)

    def loglik(theta):
        return -0.5 * (theta / 0.5) ** 2 - 8.0 * np.abs(theta[..., None] - kinks).sum(axis=-1)

    given = StudyLikelihoods(
        ("A",), loglik, np.zeros(1), np.array([0.5]), parse_prior("normal(0, 1)"), parse_prior("half_normal(1)"),
        creases=creases,
    )  # fmt: skip
    mu, tau = np.array([[0.1, -0.4]]), np.array([[0.3, 0.8]])
    found = _integrated_loglik(given, {"mu": mu, "tau": tau})
    edges = np.unique(np.concatenate([np.linspace(-8, 8, 321), kinks]))
    expected = [_averaged(lambda x: loglik(x[None]), m, t, edges)[0] for m, t in zip(mu[0], tau[0], strict=True)]
    np.testing.assert_allclose(found[0, :, 0], expected, atol=1e-4)


COUNTS = bm.TwoByTwo([3, 4, 0], [20, 30, 11], [5, 6, 2], [22, 31, 9], study=("a", "b", "c"))


def test_log_likelihood_without_true_effects_is_that_of_the_program():
    """For beta-binomial arms it is the sum of two log probabilities at every draw, and sensitivity works on it."""
    import arviz_stats

    post = bm.fit(COUNTS, model="beta_binomial", engine="nuts", seed=1, draws=250, remedies=False)
    tree = post.to_datatree()
    mu, alpha, rho = (tree["posterior"][name].values[..., None] for name in ("mu", "baseline", "rho"))
    size = (1 - rho) / rho

    def arm(events, n, logit):
        return stats.betabinom.logpmf(events, n, size * special.expit(logit), size * special.expit(-logit))

    expected = arm(COUNTS.events_control, COUNTS.n_control, alpha)
    expected += arm(COUNTS.events_treatment, COUNTS.n_treatment, alpha + mu)
    np.testing.assert_allclose(tree["log_likelihood"]["y"], expected, rtol=1e-9)
    assert list(arviz_stats.psense_summary(tree, var_names=["mu"]).index) == ["mu"]


def made_up_draws(k, *more):
    """Return two chains of five draws of mu, tau, other scalars, and k true effects."""
    rng = np.random.default_rng(3)
    return {"theta": rng.normal(size=(2, 5, k))} | {
        name: rng.uniform(0.1, 0.9, (2, 5)) for name in ("mu", "tau", *more)
    }


def test_without_a_marginal_likelihood_the_tree_says_what_to_do_instead():
    """Random baselines and true effects are both sampled: no log likelihood to mislead LOO, all else is there."""
    model = load_model("binomial_normal_random_baseline")
    draws = made_up_draws(3, "baseline", "baseline_sd")
    with pytest.warns(
        UserWarning, match="no log_likelihood: model .*random_baseline' .* marginal_loglik.*binomial_normal"
    ):
        groups = by_draws(model, COUNTS, model.priors, draws, 1)
    assert set(groups) == {"log_prior", "posterior_predictive", "prior", "prior_predictive"}


OWN = """'''My model: normal effects.'''
from bayesmeta.priors import HalfNormal, Normal
from bayesmeta.studies import EffectSizes

DATA = EffectSizes
PRIORS = {"mu": Normal(0, 1), "tau": HalfNormal(0.5)}


def build(data, priors):
    import pymc as pm

    with pm.Model(coords={"study": data.study}) as model:
        theta = pm.Normal("theta", priors["mu"].rv("mu"), priors["tau"].rv("tau"), dims="study")
        pm.Normal("y", theta, data.sei, observed=data.yi, dims="study")
    return model
"""


def test_a_conditional_log_likelihood_is_not_offered(tmp_path):
    """Where true effects are sampled and the file integrates nothing out, no log likelihood is there to mislead."""
    path = tmp_path / "own.py"
    path.write_text(OWN, encoding="utf-8")
    data = bm.EffectSizes(yi=[0.1, 0.9, -0.4], sei=[0.2, 0.3, 0.25], measure="OR")
    model = load_model(path)
    with pytest.warns(UserWarning, match="no log_likelihood: model 'own' samples"):
        groups = by_draws(model, data, model.priors, made_up_draws(3), 1)
    assert "log_prior" in groups
    assert "log_likelihood" not in groups


def test_a_likelihood_that_is_not_reached_makes_a_tree_without_it(tmp_path):
    """The tree says in a warning why it has no log likelihood; the draws are as good as they were."""
    path = tmp_path / "hard.py"
    fails = "\n\ndef marginal_loglik(data, p):\n    raise ConvergenceError('Study A: use lighter tails.')\n"
    path.write_text(OWN + "\nfrom bayesmeta.errors import ConvergenceError\n" + fails, encoding="utf-8")
    data = bm.EffectSizes(yi=[0.1, 0.9, -0.4], sei=[0.2, 0.3, 0.25], measure="OR")
    model = load_model(path)
    with pytest.warns(UserWarning, match="no log_likelihood. Study A.*lighter tails"):
        groups = by_draws(model, data, model.priors, made_up_draws(3), 1)
    assert "log_prior" in groups
    assert "log_likelihood" not in groups


def test_a_marginal_log_likelihood_of_another_shape_is_refused(tmp_path):
    """A file that returns the sum over studies is told what shape is wanted."""
    path = tmp_path / "summed.py"
    path.write_text(OWN + "\n\ndef marginal_loglik(data, p):\n    return 0.0 * p['mu']\n", encoding="utf-8")
    data = bm.EffectSizes(yi=[0.1, 0.9, -0.4], sei=[0.2, 0.3, 0.25], measure="OR")
    draws = {"mu": np.zeros((2, 5)), "tau": np.ones((2, 5))}
    with pytest.raises(ModelError, match=r"\(2, 5\), not \(chains, draws, studies\) = \(2, 5, 3\)"):
        marginal_loglik(load_model(path), data, {}, draws)
