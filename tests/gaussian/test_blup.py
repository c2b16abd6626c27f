"""True effects given rows are those of the joint normal distribution, whatever random effects are multiplied with."""

import numpy as np
import pytest

from bayesmeta.errors import ModelError
from bayesmeta.gaussian.blup import effects
from bayesmeta.gaussian.covariance import Covariance
from bayesmeta.gaussian.simulate import draw_effects
from bayesmeta.gaussian.statement import Component, Correlation, Effect, Gaussian
from bayesmeta.priors import HalfNormal, Normal, Uniform

DOSE = np.array([1.0, 2.0, 3.0, 0.5, 2.5])
LABELS = ("a", "a", "a", "b", "b")
V = np.diag([0.2, 0.3, 0.1, 0.2, 0.15]) + 0.05
Y = np.array([0.3, 0.8, 0.9, -0.1, 0.7])
# Intercepts and slopes of the studies, and their correlation.
PSI = np.array([0.4, 0.7, -0.3])
T = np.array([[0.16, -0.084], [-0.084, 0.49]])


def slopes() -> Gaussian:
    """Return studies with an intercept and a slope of their own, effects of rows reported."""
    X = np.column_stack([np.ones(5), DOSE])
    parts = (Component("tau[1]", HalfNormal(1.0), LABELS), Component("tau[2]", HalfNormal(1.0), LABELS, DOSE))
    rho = (Correlation("rho", Uniform(-1.0, 1.0), ("tau[1]", "tau[2]")),)
    return Gaussian(tuple("vwxyz"), Y, V, X, ("intercept", "dose"), (Normal(0.0, 1.0),) * 2, parts, rho)


def joint(z: np.ndarray, study: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the rows' covariance, that with ``z' u`` of a study, and its variance, written out."""
    rows = [np.array([1.0, d]) for d in DOSE]
    same = np.equal.outer(np.array(LABELS), np.array(LABELS))
    Sigma = V + same * np.array([[a @ T @ b for b in rows] for a in rows])
    cross = np.array([(label == study) * (z @ T @ row) for label, row in zip(LABELS, rows, strict=True)])
    return Sigma, cross, float(z @ T @ z)


def test_a_rows_true_effect_has_its_multipliers():
    """What is reported of a row with slopes has mean and variance given the rows of the joint normal distribution."""
    given = slopes()
    for i, (label, effect) in enumerate(given.reported.items()):
        z = np.array([1.0, DOSE[i]])
        Sigma, cross, own = joint(z, LABELS[i])
        weight = np.linalg.solve(Sigma, cross)
        found = effects(Covariance(given), PSI[None], effect, given.X, Y)
        assert label == "vwxyz"[i]
        assert found.variance[0] == pytest.approx(own - weight @ cross, rel=1e-12)
        np.testing.assert_allclose(found.slope[0], z - weight @ given.X, rtol=1e-12, atol=1e-14)
        assert found.base[0] == pytest.approx(weight @ Y, rel=1e-12)


def test_draws_have_the_multipliers_too():
    """Draws of a row's effect given the rows, and of a new study's at a dose, have those moments within five errors."""
    given, draws, beta = slopes(), 60_000, np.array([0.1, 0.2])
    wanted = {"row": given.reported["x"], "new": given.new_at([1.0, 4.0])}
    fixed = {label: (effect, np.full(draws, effect.x @ beta)) for label, effect in wanted.items()}
    psi, mean = np.tile(PSI, (draws, 1)), np.tile(given.X @ beta, (draws, 1))
    drawn = draw_effects(Covariance(given), psi, mean, Y, fixed, np.random.default_rng(5))
    z = np.array([1.0, 3.0])
    Sigma, cross, own = joint(z, "a")
    weight = np.linalg.solve(Sigma, cross)
    mean_row, var_row = z @ beta + weight @ (Y - given.X @ beta), own - weight @ cross
    new = np.array([1.0, 4.0])
    for label, (m, v) in {"row": (mean_row, var_row), "new": (new @ beta, new @ T @ new)}.items():
        assert abs(drawn[label].mean() - m) < 5 * np.sqrt(v / draws)
        assert abs(drawn[label].var() - v) < 5 * v * np.sqrt(2 / draws)


def test_a_new_studys_effect_that_is_not_known_is_refused():
    """Multipliers that are no column of the design, and levels related to those observed, say nothing of a new one."""
    given = slopes()
    found = effects(Covariance(given), PSI[None], given.new_at([1.0, 4.0]), given.X, Y)
    new = np.array([1.0, 4.0])
    assert found.variance[0] == pytest.approx(new @ T @ new, rel=1e-12)
    other = (Component("tau", HalfNormal(1.0), LABELS, DOSE**2),)
    strange = Gaussian(given.study, Y, V, given.X, given.terms, given.beta, other)
    with pytest.raises(ModelError, match="tau is multiplied with is no column"):
        strange.new_at([1.0, 4.0])
    related = (Component("tau", HalfNormal(1.0), LABELS, relation=np.array([[1.0, 0.3], [0.3, 1.0]])),)
    with pytest.raises(ModelError, match="new level of tau is related"):
        Gaussian(given.study, Y, V, given.X, given.terms, given.beta, related).new_at([1.0, 4.0])
    with pytest.raises(ModelError, match="2 finite value"):
        given.new_at([1.0])
    assert Effect(new).times == {}
