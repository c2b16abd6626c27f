"""Probabilities of pairs of binomial counts with normal log odds, against scipy's integration and identities."""

import math

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from bayesmeta.errors import ConvergenceError
from bayesmeta.likelihoods import pairs as binomial_pairs
from bayesmeta.likelihoods.pairs import binomial_pair_loglik
from bayesmeta.model import load_model
from bayesmeta.studies import TwoByTwo

# Ordinary, no events in one arm, none in either, only events, nearly none of many, many, one patient, very unequal.
TABLES = TwoByTwo(
    [12, 0, 0, 30, 1, 21_000, 0, 1], [40, 25, 30, 30, 5000, 100_000, 2, 5000],
    [19, 4, 0, 12, 0, 20_000, 1, 3], [42, 25, 30, 12, 5000, 100_000, 1, 9],
)  # fmt: skip
# mu, tau, baseline and its standard deviation: ordinary, nearly no variation, much of it, far from most tables.
DRAWS = np.array([[0.2, 0.4, -1.5, 0.9], [-0.4, 1e-4, -2.0, 0.01], [0.5, 1.6, -4.0, 5.0], [-1.0, 0.3, -6.5, 1.2]])


def pairs(table, mean, factor):
    """Return the log probabilities of a list of tables at one draw."""
    one = [np.array([float(x)]) for x in (*mean, *factor)]
    counts = [np.asarray(c, dtype=float) for c in table]
    names = tuple(str(i) for i in range(len(counts[0])))
    return binomial_pair_loglik(tuple(counts[:2]), tuple(counts[2:]), tuple(one[:2]), tuple(one[2:]), names)[0]


def by_dblquad(y, n, mu, tau, center, spread):
    """Return the log of scipy's integral over the log odds of the control arm and of the treatment arm."""
    first, second = (stats.binom(size, 0.5) for size in n)
    choose = [law.logpmf(e) + size * math.log(2.0) for law, e, size in zip((first, second), y, n, strict=True)]
    constant = sum(choose) - math.log(2.0 * math.pi * tau * spread)

    def log(t, c):
        arms = y[0] * c - n[0] * np.logaddexp(0.0, c) + y[1] * t - n[1] * np.logaddexp(0.0, t)
        return constant + arms - 0.5 * ((c - center) / spread) ** 2 - 0.5 * ((t - c - mu) / tau) ** 2

    # From the peak outwards at all scales, to find the place where there is anything to integrate.
    start = [np.log((e + 0.5) / (size - e + 0.5)) for e, size in zip(y, n, strict=True)]
    options = {"xatol": 1e-9, "fatol": 1e-9, "maxiter": 4000}
    top = optimize.minimize(lambda x: -log(x[0] + x[1], x[0]), [start[0], mu], method="Nelder-Mead", options=options)
    steps = np.append(-np.logspace(2, -7, 400), np.append(0.0, np.logspace(-7, 2, 400)))
    c, d = top.x[0] + spread * steps, top.x[1] + tau * steps
    inside = np.argwhere(log(c[:, None] + d, c[:, None]) > -top.fun - 45.0)
    (i, j), (k, m) = inside.min(axis=0) - 1, inside.max(axis=0) + 1
    low, high, peak = [c[i], d[j]], [c[k], d[m]], -top.fun

    def scaled(d, c):
        t = c + d
        wide = [x if x > 40 else math.log1p(math.exp(x)) for x in (c, t)]
        arms = y[0] * c - n[0] * wide[0] + y[1] * t - n[1] * wide[1]
        return math.exp(constant - peak + arms - 0.5 * ((c - center) / spread) ** 2 - 0.5 * ((d - mu) / tau) ** 2)

    value = integrate.dblquad(scaled, low[0], high[0], low[1], high[1], epsabs=0.0, epsrel=1e-9)[0]
    return peak + math.log(value)


@pytest.mark.parametrize(
    "i",
    range(TABLES.k),
    ids=[f"{t:g}of{n:g}" for t, n in zip(TABLES.events_treatment, TABLES.n_treatment, strict=True)],
)
def test_both_random_effects_are_integrated_out(i):
    """The random-baseline model's marginal log likelihood is scipy's double integral."""
    model = load_model("binomial_normal_random_baseline")
    names = ("mu", "tau", "baseline", "baseline_sd")
    draws = {name: column[None] for name, column in zip(names, DRAWS.T, strict=True)}
    found = model.marginal_loglik(TABLES, draws)
    assert found.shape == (1, len(DRAWS), TABLES.k)
    y = (TABLES.events_control[i], TABLES.events_treatment[i])
    n = (TABLES.n_control[i], TABLES.n_treatment[i])
    for j, draw in enumerate(DRAWS):
        assert found[0, j, i] == pytest.approx(by_dblquad(y, n, *draw), rel=1e-11, abs=2e-8)


FACTORS = [
    ((-1.0, -0.5), (1.0, 0.5, 0.3)), ((-30.0, -29.0), (50.0, 50.0, 0.5)), ((0.0, 0.0), (1e-8, 1e-8, 1e-9)),
    ((3.0, 4.0), (0.0, 0.0, 0.0)), ((-8.0, -9.0), (5.0, 5.0, 10.0)), ((0.0, 0.0), (20.0, -20.0, 1.0)),
    ((-2.0, 6.0), (0.3, -2.5, 0.0)),
]  # fmt: skip


@pytest.mark.parametrize(("mean", "factor"), FACTORS)
def test_probabilities_of_all_tables_add_up_to_one(mean, factor):
    """Whatever the log odds' distribution, some table is observed."""
    first, second = (grid.ravel() for grid in np.mgrid[:8, :13])
    table = (first, second, np.full(first.size, 7), np.full(first.size, 12))
    assert np.exp(pairs(table, mean, factor)).sum() == pytest.approx(1.0, abs=1e-7)


def test_without_variation_arms_are_binomial():
    """With standard deviations of 0 the two log probabilities add up."""
    found = pairs(([3], [10], [20], [31]), (-1.2, -0.4), (0.0, 0.0, 0.0))[0]
    expected = stats.binom.logpmf([3, 10], [20, 31], 1.0 / (1.0 + np.exp([1.2, 0.4]))).sum()
    assert found == pytest.approx(expected, rel=1e-12)


def test_one_arm_alone_is_a_single_integral():
    """A second arm without patients says nothing, and the first is the integral over its own log odds."""
    mean, sd = -2.0, 1.7
    found = pairs(([2], [0], [15], [0]), (mean, 0.0), (sd, 0.4, 0.9))[0]

    def density(x):
        return stats.binom.pmf(2, 15, 1.0 / (1.0 + np.exp(-x))) * stats.norm.pdf(x, mean, sd)

    assert found == pytest.approx(np.log(integrate.quad(density, -20, 15, epsrel=1e-11)[0]), abs=1e-8)


def test_arms_may_change_places():
    """Log odds with the same joint distribution give the same probability, whichever arm comes first."""
    covariance = np.array([[1.3, -0.8], [-0.8, 2.1]])
    one, other = np.linalg.cholesky(covariance), np.linalg.cholesky(covariance[::-1, ::-1])
    factors = [(low[0, 0], low[1, 0], low[1, 1]) for low in (one, other)]
    found = pairs(([0, 9], [7, 2], [12, 30], [9, 400]), (-2.0, 1.0), factors[0])
    swapped = pairs(([7, 2], [0, 9], [9, 400], [12, 30]), (1.0, -2.0), factors[1])
    np.testing.assert_allclose(found, swapped, atol=2e-7)


def test_pieces_of_memory_change_nothing(monkeypatch):
    """Draws and nodes taken in small pieces give the same probabilities."""
    rng = np.random.default_rng(3)
    mean, factor = rng.normal(-2, 1, (2, 3, 5)), np.abs(rng.normal(0, 1, (3, 3, 5)))
    counts = (TABLES.events_control, TABLES.events_treatment), (TABLES.n_control, TABLES.n_treatment)
    whole = binomial_pair_loglik(*counts, tuple(mean), tuple(factor), TABLES.study)
    assert whole.shape == (3, 5, TABLES.k)
    monkeypatch.setattr(binomial_pairs, "BLOCK", 10)
    monkeypatch.setattr(binomial_pairs, "CHUNK", 2000)
    np.testing.assert_allclose(
        binomial_pair_loglik(*counts, tuple(mean), tuple(factor), TABLES.study), whole, rtol=1e-12
    )


def test_what_takes_too_many_nodes_is_refused_by_name():
    """Log odds that vary by a thousand have likelihoods like steps, and the error names the study."""
    with pytest.raises(ConvergenceError, match=r"'1'.*vary by 1.41e\+03.*half_normal"):
        pairs(([2, 0], [2, 4], [4, 3], [4, 4]), (0.0, 0.0), (1000.0, 1000.0, 1000.0))
