"""Both answers without each study: those of the other studies alone."""

import numpy as np
import pytest
from scipy.stats import norm
from typer.testing import CliRunner

import bayesmeta as bm
from bayesmeta.cli import app
from bayesmeta.errors import DataError
from bayesmeta.resources import data_dir

STENTING = data_dir() / "rescue_stenting.csv"
EFFECTS = bm.effect_sizes(bm.read_studies(STENTING, outcome="mortality"), "OR")
FOUND = bm.single_studies(EFFECTS, benefit="lower")


@pytest.mark.parametrize("i", range(EFFECTS.k))
def test_each_row_is_the_analysis_of_the_others(i):
    """Posterior and P(OR < 1) by plain sums over a grid of mu and tau, and the pooled estimate by its formula."""
    keep = np.arange(EFFECTS.k) != i
    y, v = EFFECTS.yi[keep], EFFECTS.sei[keep] ** 2
    mu, tau = np.linspace(-8.0, 6.0, 1401), np.linspace(0.0, 4.0, 801)
    total = v[:, None, None] + tau[None, :, None] ** 2
    loglik = (-0.5 * np.log(total) - 0.5 * (y[:, None, None] - mu) ** 2 / total).sum(axis=0)
    density = np.exp(loglik + norm.logpdf(mu, 0, 2.82) - 0.5 * (tau[:, None] / 0.5) ** 2)
    density[0] /= 2.0
    of_mu = density.sum(axis=0) / density.sum()
    row = FOUND.rows[i]
    assert row.study == EFFECTS.study[i]
    assert row.posterior.mu.mean() == pytest.approx(of_mu @ mu, abs=1e-5)
    at_zero = of_mu[np.isclose(mu, 0.0)][0]
    assert row.p_benefit == pytest.approx(of_mu[mu < -1e-9].sum() + at_zero / 2.0, abs=1e-5)
    w = 1.0 / (v + row.classical.tau**2)
    assert row.classical.mu == pytest.approx((w @ y) / w.sum(), rel=1e-12)


def test_the_last_row_is_of_all_studies():
    """It is what pool and fit give."""
    assert FOUND.full.classical.mu == bm.frequentist.pool(EFFECTS).mu
    assert FOUND.full.posterior.mu.median() == bm.fit(EFFECTS).mu.median()
    assert FOUND.influential == ("Chang 2018", "Peng 2020 (matched)")
    assert "no reason to leave one out" in str(FOUND)
    frame = FOUND.to_frame()
    assert len(frame) == EFFECTS.k + 1
    assert frame["influential"].sum() == 2


def test_counts_are_left_out_of_models_of_counts():
    """Every likelihood that has quadrature can be asked."""
    found = bm.single_studies(EFFECTS, model="hypergeometric_normal", benefit="lower")
    others = EFFECTS.counts.drop([EFFECTS.study[1]])
    assert found.rows[1].posterior.mu.median() == bm.fit(others, "hypergeometric_normal").mu.median()


def test_a_measure_without_a_null_has_no_probability():
    """A proportion of one half means nothing in particular."""
    table = bm.effect_sizes(bm.StudyTable(("A", "B", "C"), {"events": [3, 4, 9], "n": [20, 30, 40]}), "PLO")
    assert bm.single_studies(table, benefit="lower").full.p_benefit is None


def test_one_study_has_none_to_spare():
    """It is refused in words."""
    with pytest.raises(DataError, match="2 studies"):
        bm.single_studies(EFFECTS.drop(EFFECTS.study[1:]))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["influence", "-m", "OR", "--benefit", "lower"], ["none of them", "0.521", "0.970", "no reason to leave"]),
        (["subgroups", "-m", "OR", "--by", "status"], ["Test for subgroup differences", "reconstructed"]),
        (["regress", "-m", "OR", "--moderator", "n_control"], ["beta[n_control]", "Test of moderators"]),
    ],
)
def test_the_commands_print_both_schools_in_80_columns(words, said):
    """Tables fit a terminal; sentences are folded."""
    words = [words[0], str(STENTING), "--outcome", "mortality", *words[1:]]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert all(text in result.stdout for text in said)


def test_a_prior_that_is_no_prior_is_said_to_be_none():
    """In the words of the command line."""
    words = ["influence", str(STENTING), "--outcome", "mortality", "-m", "OR", "--prior", "tau"]
    with pytest.raises(DataError, match="--prior 'tau'"):
        CliRunner().invoke(app, words, catch_exceptions=False)
