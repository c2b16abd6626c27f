"""Random effects, rows and true effects drawn from a normal model have the moments that the model states."""

import numpy as np

from bayesmeta.gaussian.covariance import Covariance
from bayesmeta.gaussian.simulate import draw_effects, simulate
from bayesmeta.gaussian.statement import Component, Correlation, Effect, Gaussian
from bayesmeta.priors import HalfNormal, Normal, Uniform

DRAWS = 60_000
LABELS = ("a", "a", "b", "b")
Z = np.array([[1.0, 0.0], [0.0, 1.0]] * 2)
PSI = np.array([0.6, 0.9, -0.5])


def two_outcomes() -> Gaussian:
    """Return two studies with two correlated outcomes each."""
    V = np.kron(np.eye(2), np.array([[0.2, 0.05], [0.05, 0.3]]))
    parts = tuple(Component(f"tau[{j}]", HalfNormal(1.0), LABELS, Z[:, j]) for j in (0, 1))
    rho = (Correlation("rho", Uniform(-1.0, 1.0), ("tau[0]", "tau[1]")),)
    y = np.array([0.5, -0.2, 1.0, 0.3])
    return Gaussian(tuple("wxyz"), y, V, Z, ("mu[0]", "mu[1]"), (Normal(0.0, 1.0),) * 2, parts, rho)


def written() -> np.ndarray:
    """Return the covariance of the rows at `PSI`, written out."""
    T = np.array([[0.36, -0.5 * 0.54], [-0.5 * 0.54, 0.81]])
    return np.kron(np.eye(2), T) + two_outcomes().V


def test_rows_have_the_stated_covariance():
    """Sample covariances of simulated rows equal the model's within five standard errors."""
    made = simulate(Covariance(two_outcomes()), np.tile(PSI, (DRAWS, 1)), np.random.default_rng(1))
    Sigma = written()
    error = np.sqrt((np.outer(np.diag(Sigma), np.diag(Sigma)) + Sigma**2) / DRAWS)
    assert np.all(np.abs(np.cov(made.rows.T) - Sigma) < 5 * error)
    np.testing.assert_allclose(np.corrcoef(made.levels[0][:, 0], made.levels[1][:, 0])[0, 1], -0.5, atol=0.02)


def test_true_effects_given_rows_have_the_conditional_distribution():
    """Draws given the rows have the mean and covariance of the joint normal distribution, new effects among them."""
    given = two_outcomes()
    wanted = {
        "first": Effect(np.array([1.0, 0.0]), {"tau[0]": "a"}),
        "second": Effect(np.array([0.0, 1.0]), {"tau[1]": "a"}),
        "new first": Effect(np.array([1.0, 0.0]), {"tau[0]": None}),
        "new second": Effect(np.array([0.0, 1.0]), {"tau[1]": None}),
    }
    beta = np.array([0.1, 0.2])
    fixed = {label: (effect, np.full(DRAWS, effect.x @ beta)) for label, effect in wanted.items()}
    psi, mean = np.tile(PSI, (DRAWS, 1)), np.tile(Z @ beta, (DRAWS, 1))
    drawn = draw_effects(Covariance(given), psi, mean, given.y, fixed, np.random.default_rng(2))
    T = (written() - given.V)[:2, :2]
    weight = T @ np.linalg.inv(written()[:2, :2])
    expected = beta + weight @ (given.y[:2] - beta)
    left = T - weight @ T
    pair = np.column_stack([drawn["first"], drawn["second"]])
    assert np.all(np.abs(pair.mean(axis=0) - expected) < 5 * np.sqrt(np.diag(left) / DRAWS))
    np.testing.assert_allclose(np.cov(pair.T), left, atol=0.02)
    new = np.column_stack([drawn["new first"], drawn["new second"]])
    np.testing.assert_allclose(np.cov(new.T), T, atol=0.03)
    assert abs(np.corrcoef(new[:, 0], pair[:, 0])[0, 1]) < 0.02
