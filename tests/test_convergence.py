"""R-hat, effective sample sizes and Monte Carlo errors against ArviZ and against theory."""

import numpy as np
import pytest
from scipy import stats

from bayesmeta.marginals import convergence

# (chains, draws, autocorrelation)
SHAPES = [(4, 1000, 0.5), (4, 1001, -0.5), (4, 2000, 0.0), (3, 77, 0.3), (2, 500, 0.9)]


def autoregressive(chains: int, draws: int, phi: float, seed: int = 1) -> np.ndarray:
    """Return stationary AR(1) chains with unit variance."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(chains, draws)) * np.sqrt(1 - phi**2)
    x = np.empty((chains, draws))
    x[:, 0] = rng.normal(size=chains)
    for t in range(1, draws):
        x[:, t] = phi * x[:, t - 1] + noise[:, t]
    return x


@pytest.mark.parametrize(("chains", "draws", "phi"), SHAPES)
def test_figures_are_those_of_arviz(chains, draws, phi):
    """Every figure equals ArviZ's to rounding."""
    from arviz_stats.base import array_stats as arviz

    x = autoregressive(chains, draws, phi)
    pairs = {
        "bulk": (convergence.ess_bulk(x), arviz.ess(x, method="bulk")),
        "tail": (convergence.ess_tail(x), arviz.ess(x, method="tail", prob=convergence.TAIL)),
        "mean": (convergence.ess_mean(x), arviz.ess(x, method="mean")),
        "rhat": (convergence.rhat(x), arviz.rhat(x)),
        "mcse_mean": (convergence.mcse_mean(x), arviz.mcse(x, method="mean")),
        "mcse_sd": (convergence.mcse_sd(x), arviz.mcse(x, method="sd")),
        "mcse_quantile": (convergence.mcse_quantile(x, 0.975), arviz.mcse(x, method="quantile", prob=0.975)),
        "bfmi": (convergence.bfmi(x), arviz.bfmi(x)),
    }
    for name, (ours, theirs) in pairs.items():
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_effective_size_of_an_autoregression_is_known(phi):
    """An AR(1) chain of n draws is worth n (1 - phi) / (1 + phi) independent ones."""
    x = autoregressive(4, 20_000, phi)
    assert convergence.ess_mean(x) == pytest.approx(80_000 * (1 - phi) / (1 + phi), rel=0.1)


def test_rhat_sees_a_chain_elsewhere_and_a_chain_of_another_width():
    """A shifted chain and a wider chain both raise R-hat above 1.01, and good chains do not."""
    good = autoregressive(4, 1000, 0.2)
    shifted, wide = good.copy(), good.copy()
    shifted[0] += 1.0
    wide[0] *= 3.0
    assert convergence.rhat(good) < 1.01
    assert convergence.rhat(shifted) > 1.05
    assert convergence.rhat(wide) > 1.05


def test_a_constant_has_no_error_and_has_converged():
    """A quantity that never changes has R-hat 1, no Monte Carlo error, and a full effective sample."""
    x = np.full((4, 100), 2.5)
    assert convergence.rhat(x) == 1.0
    assert convergence.ess_bulk(x) == 400
    assert (convergence.mcse_mean(x), convergence.mcse_sd(x), convergence.mcse_quantile(x, 0.5)) == (0.0, 0.0, 0.0)


def test_chains_stuck_at_different_values_have_infinite_rhat():
    """Constant chains that disagree can never be pooled."""
    x = np.repeat([[0.0], [1.0]], 50, axis=1)
    assert convergence.plain_rhat(x) == np.inf


@pytest.mark.parametrize("kind", ["independent", "sticky", "constant", "few"])
def test_the_summary_is_what_the_single_figures_say(kind):
    """All figures at once equal each figure computed alone, for good, bad and constant chains."""
    rng = np.random.default_rng(5)
    draws = rng.standard_normal((4, 501 if kind != "few" else 8))
    if kind == "sticky":
        draws = np.repeat(np.cumsum(draws, axis=1) * 0.05, 2, axis=1)
    if kind == "constant":
        draws = np.full((4, 100), 2.5)
    found = convergence.summary(draws, (0.025, 0.5))
    alone = {
        "rhat": convergence.rhat(draws),
        "ess_bulk": convergence.ess_bulk(draws),
        "ess_tail": convergence.ess_tail(draws),
        "mcse_mean": convergence.mcse_mean(draws),
        "mcse_sd": convergence.mcse_sd(draws),
        "mcse_2.5%": convergence.mcse_quantile(draws, 0.025),
        "mcse_50%": convergence.mcse_quantile(draws, 0.5),
    }
    assert found == pytest.approx(alone, rel=1e-12)


def test_ranks_average_ties_as_scipy_does():
    """Normal scores of draws with ties, as folding about a median makes them, come from averaged ranks."""
    draws = np.round(np.random.default_rng(3).standard_normal((4, 60)), 1)
    rank = stats.rankdata(draws, method="average").reshape(draws.shape)
    assert convergence.rank_normalise(draws) == pytest.approx(stats.norm.ppf((rank - 0.375) / 240.25), rel=1e-12)


def test_a_draw_that_is_no_number_spoils_r_hat():
    """One missing draw leaves R-hat undefined, which the verdict counts as a fault, instead of ranking it last."""
    draws = np.random.default_rng(3).standard_normal((4, 60))
    draws[1, 7] = np.nan
    assert np.isnan(convergence.rhat(draws))
    assert np.isnan(convergence.ess_bulk(draws))
