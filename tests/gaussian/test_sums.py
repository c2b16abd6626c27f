"""Sums and predictions of a normal model, for every structure, against dense matrices written here."""

import numpy as np
import pytest

from bayesmeta.errors import ModelError
from bayesmeta.gaussian.blup import effects
from bayesmeta.gaussian.covariance import Covariance
from bayesmeta.gaussian.statement import Component, Correlation, Effect, Gaussian
from bayesmeta.gaussian.sums import sums
from bayesmeta.priors import HalfNormal, Normal, Uniform

N = 12
CLUSTER = tuple("aabbbcddddee")
ROW = tuple(map(str, range(N)))
FIRST = np.array([1.0, 0.0] * 6)
HALF = HalfNormal(1.0)


def _covariance(rng, size):
    A = rng.normal(size=(size, size))
    return A @ A.T / size + 0.1 * np.eye(size)


def _blocks(rng):
    V = np.zeros((N, N))
    for label in dict.fromkeys(CLUSTER):
        rows = np.flatnonzero(np.array(CLUSTER) == label)
        V[np.ix_(rows, rows)] = _covariance(rng, len(rows))
    return V


def _same():
    return (np.array(CLUSTER)[:, None] == np.array(CLUSTER)).astype(float)


def _structures():
    """Return by name V, components, correlations, and the covariance written out at psi."""
    rng = np.random.default_rng(1)
    v, V = rng.uniform(0.05, 0.4, N), _blocks(rng)
    D, same, eye, z = np.diag(v), _same(), np.eye(N), (FIRST, 1.0 - FIRST)
    relation = _covariance(rng, 5)
    relation = relation / np.sqrt(np.outer(np.diagonal(relation), np.diagonal(relation)))
    tau, omega = Component("tau", HALF, CLUSTER), Component("omega", HALF)
    pair = (Component("tau[0]", HALF, CLUSTER, z[0]), Component("tau[1]", HALF, CLUSTER, z[1]))
    rho = (Correlation("rho", Uniform(-1.0, 1.0), ("tau[0]", "tau[1]")),)
    related = Component("sigma", HALF, CLUSTER, None, relation)
    A = np.repeat(np.repeat(relation, [2, 3, 1, 4, 2], axis=0), [2, 3, 1, 4, 2], axis=1)
    cross = same * (np.outer(z[0], z[1]) + np.outer(z[1], z[0]))
    within = [same * np.outer(one, one) for one in z]
    return {
        "independent": (v, (omega,), (), lambda p: D + p[0] ** 2 * eye),
        "common": (v, (), (), lambda p: D),
        "nested": (v, (tau, omega), (), lambda p: D + p[0] ** 2 * same + p[1] ** 2 * eye),
        "clusters": (v, (tau,), (), lambda p: D + p[0] ** 2 * same),
        "correlated sampling": (V, (tau, omega), (), lambda p: V + p[0] ** 2 * same + p[1] ** 2 * eye),
        "one scale": (V, (omega,), (), lambda p: V + p[0] ** 2 * eye),
        "two outcomes": (
            V,
            pair,
            rho,
            lambda p: V + p[0] ** 2 * within[0] + p[1] ** 2 * within[1] + p[2] * p[0] * p[1] * cross,
        ),
        "two outcomes, independent errors": (
            v,
            pair,
            rho,
            lambda p: D + p[0] ** 2 * within[0] + p[1] ** 2 * within[1] + p[2] * p[0] * p[1] * cross,
        ),
        "related": (v, (omega, related), (), lambda p: D + p[0] ** 2 * eye + p[1] ** 2 * A),
    }


STRUCTURES = _structures()


def _model(name):
    V, components, correlations, written = STRUCTURES[name]
    rng = np.random.default_rng(2)
    X = np.column_stack([np.ones(N), rng.normal(size=N)])
    beta = (Normal(0.0, 1.0), Normal(0.0, 1.0))
    return Gaussian(ROW, rng.normal(size=N), V, X, ("intercept", "x"), beta, components, correlations), written


def _psi(given, n=4, seed=3):
    rng = np.random.default_rng(seed)
    psi = rng.uniform(0.1, 1.5, (n, len(given.parameters)))
    psi[:, len(given.components) :] = rng.uniform(-0.9, 0.9, (n, len(given.correlations)))
    return psi


@pytest.mark.parametrize("name", STRUCTURES)
def test_sums_are_those_of_the_dense_matrix(name):
    """Log determinant and weighted products equal those of the written-out covariance, for every structure."""
    given, written = _model(name)
    psi = _psi(given)
    logdet, M = sums(given, psi)
    W = np.column_stack([given.X, given.y])
    for i, at in enumerate(psi):
        Sigma = written(at)
        assert logdet[i] == pytest.approx(np.linalg.slogdet(Sigma)[1], rel=1e-12)
        np.testing.assert_allclose(M[i], W.T @ np.linalg.solve(Sigma, W), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", [name for name in STRUCTURES if name != "common"])
def test_predictions_are_conditional_normals(name):
    """A true effect given rows and coefficients has the mean and variance of the joint normal distribution."""
    given, written = _model(name)
    psi = _psi(given)
    labels = {c.name: (c.levels or ROW)[4] for c in given.components}
    found = effects(Covariance(given), psi, Effect(given.X[4], labels), given.X, given.y)
    beta = np.array([0.3, -0.2])
    tested = 0
    for i, at in enumerate(psi):
        Sigma, V = written(at), given.V if given.V.ndim == 2 else np.diag(given.V)
        # The row's own true effect has with the rows the covariance of their true effects.
        G = Sigma - V
        if name.startswith("two outcomes"):
            # Both outcomes' effects of the cluster are added up: their covariance with the rows is written out.
            z = (FIRST, 1.0 - FIRST)
            same = np.array(CLUSTER) == CLUSTER[4]
            cross = at[2] * at[0] * at[1]
            g = same * ((at[0] ** 2 + cross) * z[0] + (at[1] ** 2 + cross) * z[1])
            own = at[0] ** 2 + at[1] ** 2 + 2 * cross
        else:
            g, own = G[4], G[4, 4]
        mean = given.X[4] @ beta + g @ np.linalg.solve(Sigma, given.y - given.X @ beta)
        assert found.base[i] + found.slope[i] @ beta == pytest.approx(mean, rel=1e-10)
        assert found.variance[i] == pytest.approx(own - g @ np.linalg.solve(Sigma, g), rel=1e-9)
        tested += 1
    assert tested == 4


def test_a_new_level_has_the_variance_of_its_components():
    """What is new is predicted by the coefficients, with the variance of the random effects that it has."""
    given, _ = _model("two outcomes")
    psi = _psi(given)
    found = effects(Covariance(given), psi, Effect(np.ones(2), {"tau[0]": None, "tau[1]": None}), given.X, given.y)
    np.testing.assert_allclose(found.variance, psi[:, 0] ** 2 + psi[:, 1] ** 2 + 2 * psi[:, 2] * psi[:, 0] * psi[:, 1])
    np.testing.assert_array_equal(found.slope, np.ones((4, 2)))
    assert not found.base.any()


def test_nested_rows_stay_positive_definite_at_enormous_scales():
    """With random effects a hundred million times the standard errors the products are those of contrasts and means."""
    given, _ = _model("clusters")
    _, M = sums(given, np.array([[1e8]]))
    w = 1.0 / given.V
    expected = 0.0
    for label in dict.fromkeys(CLUSTER):
        rows = np.flatnonzero(np.array(CLUSTER) == label)
        mean = np.average(given.y[rows], weights=w[rows])
        expected += np.sum(w[rows] * (given.y[rows] - mean) ** 2)
    assert M[0, 2, 2] == pytest.approx(expected, rel=1e-9)
    assert np.linalg.eigvalsh(M[0])[0] > 0.0


def test_unknown_levels_and_shapes_are_named():
    """A level that no row has, a component that is not there, and arrays that do not fit are errors that say which."""
    given, _ = _model("nested")
    with pytest.raises(ModelError, match="tau has no level 'z'"):
        effects(Covariance(given), _psi(given), Effect(np.ones(2), {"tau": "z"}), given.X, given.y)
    with pytest.raises(ModelError, match="no component 'sigma': tau, omega"):
        effects(Covariance(given), _psi(given), Effect(np.ones(2), {"sigma": None}), given.X, given.y)
    with pytest.raises(ModelError, match="levels of tau of shape"):
        Gaussian(ROW, given.y, given.V, given.X, given.terms, given.beta, (Component("tau", HALF, ("a",)),))
