"""The DataTree of a posterior by quadrature: four chains of exact draws, and every group that ArviZ asks for."""

import warnings

import arviz as az
import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

import bayesmeta as bm
from bayesmeta.model import load_model
from bayesmeta.resources import data_dir

TABLE = bm.read_studies(data_dir() / "rescue_stenting.csv", outcome="mortality")
COUNTS = TABLE.two_by_two()
EFFECTS = bm.effect_sizes(TABLE, measure="OR")
TIMES = bm.PersonTime([3, 0, 7], [100, 80, 210], [6, 2, 9], [95, 90, 200])
X = np.column_stack([np.ones(EFFECTS.k), np.arange(EFFECTS.k)])
GROUPS = {
    "posterior",
    "log_likelihood",
    "log_prior",
    "posterior_predictive",
    "prior",
    "prior_predictive",
    "observed_data",
    "constant_data",
}
FITS = {
    "normal_normal": EFFECTS,
    "common_effect": EFFECTS,
    "robust_t": EFFECTS,
    "meta_regression": bm.EffectSizes(yi=EFFECTS.yi, sei=EFFECTS.sei, X=X, measure="OR"),
    "hypergeometric_normal": COUNTS,
    "binomial_normal": COUNTS,
    "binomial_normal_symmetric": COUNTS,
    "binomial_normal_rr": COUNTS,
    "binomial_normal_rd": COUNTS,
    "poisson_normal": TIMES,
    "poisson_normal_conditional": TIMES,
}


@pytest.mark.parametrize("model", sorted(FITS))
def test_every_model_has_every_group(model):
    """All groups are there, four chains each, and leave-one-out, R-hat and prior sensitivity work on them."""
    tree = bm.fit(FITS[model], model, seed=1).to_datatree(draws=2000)
    assert set(tree.children) >= GROUPS
    assert dict(tree["posterior"].sizes)["chain"] == 4
    assert tree["log_likelihood"]["y"].shape == (4, 500, len(tree["observed_data"]["study"]))
    for name, values in tree["observed_data"].data_vars.items():
        assert tree["posterior_predictive"][name].shape == (4, 500, *values.shape)
    with warnings.catch_warnings():
        # Four studies and a regression: one of them decides its slope, as ArviZ says.
        warnings.filterwarnings("ignore", "Estimated shape parameter of Pareto")
        assert np.isfinite(az.loo(tree).elpd)
    assert float(np.max([v.max() for v in az.rhat(tree).data_vars.values()])) < 1.02
    assert len(az.psense_summary(tree)) > 0


def test_plots_that_need_priors_and_replicates_are_drawn():
    """ArviZ draws prior against posterior, and replicates against data, from the default engine."""
    tree = bm.fit(COUNTS, seed=1).to_datatree(draws=400)
    assert set(tree["prior"].data_vars) == set(tree["posterior"].data_vars)
    for plotted in (az.plot_prior_posterior(tree, backend="none"), az.plot_ppc_dist(tree, backend="none")):
        assert plotted is not None


def test_the_log_likelihood_of_a_normal_model_is_the_marginal_one():
    """Each study's log likelihood is that of N(mu, sei^2 + tau^2), its true effect integrated out."""
    tree = bm.fit(EFFECTS, seed=1).to_datatree(draws=200)
    mu, tau = (tree["posterior"][name].values[..., None] for name in ("mu", "tau"))
    expected = stats.norm.logpdf(EFFECTS.yi, mu, np.sqrt(EFFECTS.vi + tau**2))
    np.testing.assert_allclose(tree["log_likelihood"]["y"].values, expected, rtol=1e-12)
    priors = tree["log_prior"]
    np.testing.assert_allclose(priors["mu"].values, stats.norm.logpdf(mu[..., 0], 0, 2.82), rtol=1e-12)
    np.testing.assert_allclose(priors["tau"].values, stats.halfnorm.logpdf(tau[..., 0], 0, 0.5), rtol=1e-12)


def test_the_log_likelihood_of_counts_is_the_marginal_one():
    """Averaged over the random effect by plain sums, Fisher's noncentral hypergeometric gives the same."""
    tree = bm.fit(COUNTS, seed=1).to_datatree(draws=8)
    z = np.linspace(-8.0, 8.0, 2001)
    for chain, draw in ((0, 0), (3, 1)):
        mu, tau = (float(tree["posterior"][name][chain, draw]) for name in ("mu", "tau"))
        for i in range(COUNTS.k):
            a, n1, b, n2 = (
                int(getattr(COUNTS, name)[i])
                for name in ("events_treatment", "n_treatment", "events_control", "n_control")
            )
            pmf = [stats.nchypergeom_fisher.pmf(a, n1 + n2, n1, a + b, np.exp(mu + tau * x)) for x in z[::20]]
            expected = float(np.log(np.sum(np.array(pmf) * stats.norm.pdf(z[::20])) * (z[20] - z[0])))
            assert float(tree["log_likelihood"]["y"][chain, draw, i]) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize(("model", "shift"), [("binomial_normal", 0.0), ("binomial_normal_symmetric", 0.5)])
def test_baselines_are_drawn_from_their_distribution_given_the_effect(model, shift):
    """Quantiles of the baseline given a true effect are those of a plain sum over a grid of baselines."""
    loaded = load_model(model)
    theta, uniform = np.full((1, 3, COUNTS.k), -0.7), np.tile([[0.1], [0.5], [0.9]], (1, 1, COUNTS.k))
    found = loaded.baseline_given(COUNTS, loaded.priors, {"theta": theta}, uniform)
    grid = np.linspace(-12.0, 12.0, 200_001)
    prior = loaded.priors["baseline"].logpdf(grid)
    for i in range(COUNTS.k):
        control = stats.binom.logpmf(COUNTS.events_control[i], COUNTS.n_control[i], expit(grid + 0.7 * shift))
        treated = stats.binom.logpmf(
            COUNTS.events_treatment[i], COUNTS.n_treatment[i], expit(grid - 0.7 * (1.0 - shift))
        )
        mass = np.exp(control + treated + prior - np.max(control + treated + prior))
        expected = np.interp([0.1, 0.5, 0.9], np.cumsum(mass) / mass.sum(), grid)
        np.testing.assert_allclose(found[0, :, i], expected, atol=3e-3)


def test_draws_are_laid_out_in_four_chains():
    """A number of draws that four does not divide is rounded up."""
    tree = bm.fit(EFFECTS, seed=1).to_datatree(draws=5)
    assert (tree["posterior"].sizes["chain"], tree["posterior"].sizes["draw"]) == (4, 2)


def test_an_improper_prior_predicts_nothing():
    """With a flat prior there are no groups of prior draws, and everything else is there."""
    tree = bm.fit(EFFECTS, priors={"mu": "flat()"}, seed=1).to_datatree(draws=40)
    assert set(tree.children) == GROUPS - {"prior", "prior_predictive"}
