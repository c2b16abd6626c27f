"""Posteriors of models with several variance parameters, against dense grids and plain sums written here."""

import math

import numpy as np
import pytest
from scipy import stats

from bayesmeta.engines.gaussian.cubature import integrated
from bayesmeta.errors import ConvergenceError, ModelError
from bayesmeta.gaussian.statement import Component, Correlation, Effect, Gaussian
from bayesmeta.priors import (
    Exponential,
    Flat,
    HalfCauchy,
    HalfNormal,
    HalfStudentT,
    LogNormal,
    Normal,
    Point,
    StudentT,
    Uniform,
    mixture,
)

CLUSTER = np.array([0, 0, 0, 1, 1, 2, 2, 2, 3, 4, 4, 5, 5, 5])
Y = np.array([0.1, 0.3, -0.2, 0.8, 0.6, 0.2, 0.0, 0.5, -0.4, 0.9, 1.1, 0.3, 0.35, -0.1])
V = np.array([0.04, 0.09, 0.06, 0.05, 0.1, 0.02, 0.08, 0.07, 0.05, 0.06, 0.12, 0.03, 0.09, 0.04])
SAME = (CLUSTER[:, None] == CLUSTER).astype(float)


UNIT = Normal(0.0, 1.0)


def nested(tau, omega, mu=UNIT):
    """Return a three-level model of the rows above."""
    labels = tuple(map(str, CLUSTER))
    return Gaussian(
        tuple(map(str, range(len(Y)))),
        Y,
        V,
        np.ones((len(Y), 1)),
        ("mu",),
        (mu,),
        (Component("tau", tau, labels), Component("omega", omega)),
        effects={label: Effect(np.ones(1), {"tau": label}) for label in dict.fromkeys(labels)},
    )


def legendre(low, high, panels, order=20):
    """Return Gauss-Legendre nodes and weights on equal panels."""
    x, w = np.polynomial.legendre.leggauss(order)
    edges = np.linspace(low, high, panels + 1)
    half = 0.5 * np.diff(edges)[:, None]
    return (edges[:-1, None] + half * (1 + x)).ravel(), (half * w).ravel()


def dense(prior_tau, prior_omega, mu_sd=1.0, top=6.0):
    """Return nodes (tau, omega), masses, and mean and variance of mu at each, by plain matrices and a product rule."""
    tau, wt = legendre(0.0, top, 14)
    omega, wo = legendre(0.0, top, 14)
    grid = np.array(np.meshgrid(tau, omega, indexing="ij")).reshape(2, -1)
    weight = np.outer(wt, wo).ravel()
    one = np.ones(len(Y))
    log, mean, var = (np.empty(grid.shape[1]) for _ in range(3))
    for i, (t, o) in enumerate(grid.T):
        Sigma = np.diag(V) + t**2 * SAME + o**2 * np.eye(len(Y))
        inverse = np.linalg.inv(Sigma)
        precision = one @ inverse @ one + mu_sd**-2
        var[i], mean[i] = 1 / precision, one @ inverse @ Y / precision
        marginal = Sigma + mu_sd**2 * np.outer(one, one)
        log[i] = -0.5 * (np.linalg.slogdet(2 * math.pi * marginal)[1] + Y @ np.linalg.solve(marginal, Y))
    log += prior_tau.logpdf(grid[0]) + prior_omega.logpdf(grid[1])
    mass = weight * np.exp(log)
    return grid, mass / mass.sum(), mean, var, math.log(mass.sum())


@pytest.fixture(scope="module")
def grid():
    """Return the dense posterior under half-normal priors."""
    return dense(stats.halfnorm(scale=0.6), stats.halfnorm(scale=0.4))


def test_three_levels_equal_a_dense_grid(grid):
    """Evidence, mu, tau, omega and a new cluster agree with a product rule over plain matrices to 1e-8."""
    psi, mass, mean, var, log_evidence = grid
    found = integrated(nested(HalfNormal(0.6), HalfNormal(0.4)))
    assert found.log_normaliser == pytest.approx(log_evidence, abs=1e-8)
    mu = found.linear([1.0])
    assert mu.mean() == pytest.approx(mass @ mean, abs=1e-8)
    assert mu.sd() == pytest.approx(math.sqrt(mass @ (var + mean**2) - (mass @ mean) ** 2), abs=1e-8)
    for x in (-0.2, 0.0, 0.3, 0.9):
        assert mu.cdf(x) == pytest.approx(mass @ stats.norm.cdf(x, mean, np.sqrt(var)), abs=1e-8)
        new = mass @ stats.norm.cdf(x, mean, np.sqrt(var + psi[0] ** 2))
        assert found.effect(Effect(np.ones(1), {"tau": None})).cdf(x) == pytest.approx(new, abs=1e-8)
        row = mass @ stats.norm.cdf(x, mean, np.sqrt(var + psi[0] ** 2 + psi[1] ** 2))
        assert found.predicted([1.0]).cdf(x) == pytest.approx(row, abs=1e-8)
    for i, name in enumerate(("tau", "omega")):
        parameter = found.parameter(name)
        assert parameter.mean() == pytest.approx(mass @ psi[i], abs=1e-8)
        assert parameter.sd() == pytest.approx(math.sqrt(mass @ psi[i] ** 2 - (mass @ psi[i]) ** 2), abs=1e-8)
        assert found.squared(name).mean() == pytest.approx(mass @ psi[i] ** 2, abs=1e-8)


def test_distribution_functions_of_scales_equal_one_dimensional_integrals(grid):
    """P(tau < x) agrees with a rule whose panels end at x."""
    found = integrated(nested(HalfNormal(0.6), HalfNormal(0.4))).parameter("tau")
    tau, _ = legendre(0.0, 6.0, 14)
    psi, mass = grid[0], grid[1]
    per_tau = np.array([mass[psi[0] == t].sum() for t in tau])
    # The marginal density is smooth: its polynomial on each panel is exact to 1e-12.
    x, w = np.polynomial.legendre.leggauss(20)
    half = 6.0 / 28
    density = per_tau.reshape(14, 20) / (half * w)
    fits = [np.polynomial.legendre.Legendre.fit(x, row, 19, domain=[-1, 1]) for row in density]
    for at in (0.05, 0.2, 0.5, 0.9):
        panel = int(at / (2 * half))
        place = at / half - 2 * panel - 1
        expected = per_tau[: 20 * panel].sum() + half * (fits[panel].integ()(place) - fits[panel].integ()(-1.0))
        assert found.cdf(at) == pytest.approx(expected, abs=1e-8)
        assert found.pdf(at) == pytest.approx(fits[panel](place), abs=1e-7)
        assert found.sf(at) == pytest.approx(1.0 - expected, abs=1e-8)
        assert found.ppf(expected) == pytest.approx(at, abs=1e-7)


def test_true_effects_equal_the_dense_grid(grid):
    """A cluster's true effect has the mean and SD of the joint normal distribution, averaged over the grid."""
    psi, mass, mean, var, _ = grid
    found = integrated(nested(HalfNormal(0.6), HalfNormal(0.4)))
    effect = found.effect(found.given.reported["1"])
    one, first = np.ones(len(Y)), np.full(psi.shape[1], 0.0)
    second = first.copy()
    rows = (CLUSTER == 1).astype(float)
    for i, (t, o) in enumerate(psi.T):
        Sigma = np.diag(V) + t**2 * SAME + o**2 * np.eye(len(Y))
        weight = np.linalg.solve(Sigma, t**2 * rows)
        share = 1.0 - weight @ one
        first[i] = weight @ Y + share * mean[i]
        second[i] = t**2 - weight @ (t**2 * rows) + share**2 * var[i]
    assert effect.mean() == pytest.approx(mass @ first, abs=1e-8)
    assert effect.sd() == pytest.approx(math.sqrt(mass @ (second + first**2) - (mass @ first) ** 2), abs=1e-8)


PRIORS = {
    "half-t and exponential": (
        HalfStudentT(4.0, 0.5),
        Exponential(3.0),
        stats.t(4, scale=0.5),
        stats.expon(scale=1 / 3),
    ),
    "uniform and log-normal": (
        Uniform(0.0, 3.0),
        LogNormal(-1.5, 0.6),
        stats.uniform(0, 3),
        stats.lognorm(0.6, scale=math.exp(-1.5)),
    ),
}


@pytest.mark.parametrize("name", PRIORS)
def test_axes_of_all_kinds_give_the_same_integral(name):
    """The evidence and mu under priors of every kind of axis equal those of a product rule."""
    tau, omega, scipy_tau, scipy_omega = PRIORS[name]
    folded = 2.0 if name.startswith("half") else 1.0
    top = 3.0 if name.startswith("uniform") else 12.0
    psi, mass, mean, _, log_evidence = dense(scipy_tau, scipy_omega, top=top)
    assert psi.shape[1] == mass.size
    found = integrated(nested(tau, omega))
    assert found.log_normaliser == pytest.approx(log_evidence + math.log(folded), abs=3e-6)
    assert found.linear([1.0]).mean() == pytest.approx(mass @ mean, abs=3e-6)


def test_one_scale_equals_the_panels_of_tau():
    """With omega fixed at 0 and clusters of one row the lattice gives what the engine for independent studies gives."""
    import bayesmeta as bm

    data = bm.EffectSizes(Y, np.sqrt(V), measure="OR")
    priors = {"mu": "normal(0, 1)", "tau": "half_cauchy(0.5)"}
    post = bm.fit(data, priors=priors, engine="quadrature")
    labels = tuple(map(str, range(len(Y))))
    given = Gaussian(
        labels, Y, V, np.ones((len(Y), 1)), ("mu",), (Normal(0.0, 1.0),), (Component("tau", HalfCauchy(0.5), labels),)
    )
    found = integrated(given)
    assert found.log_normaliser == pytest.approx(post.log_evidence, abs=1e-9)
    np.testing.assert_allclose(
        found.linear([1.0]).ppf([0.025, 0.5, 0.975]), post.mu.ppf([0.025, 0.5, 0.975]), atol=1e-9
    )
    np.testing.assert_allclose(
        found.parameter("tau").ppf([0.05, 0.5, 0.95]), post.tau.ppf([0.05, 0.5, 0.95]), atol=1e-8
    )
    assert found.parameter("tau").mean() == pytest.approx(post.tau.mean(), abs=1e-8)
    assert found.effect(found.given.reported["3"]).mean() == pytest.approx(post.theta["Study 4"].mean(), abs=1e-9)


def test_a_known_scale_is_a_value():
    """A scale that its prior fixes is reported as that value, and everything else is given it."""
    found = integrated(nested(HalfNormal(0.6), Point(0.3)))
    assert found.parameter("omega").mean() == 0.3
    assert found.parameter("omega").sd() == 0.0
    both = integrated(nested(Point(0.2), Point(0.3)))
    Sigma = np.diag(V) + 0.04 * SAME + 0.09 * np.eye(len(Y)) + np.ones((len(Y), len(Y)))
    expected = stats.multivariate_normal(np.zeros(len(Y)), Sigma).logpdf(Y)
    assert both.log_normaliser == pytest.approx(expected, abs=1e-10)


def test_flat_and_student_t_priors_of_the_mean():
    """A flat prior is the limit of wide normal ones; a Student-t prior is its mixture of normals."""
    flat = integrated(nested(HalfNormal(0.6), HalfNormal(0.4), Flat())).linear([1.0])
    wide = integrated(nested(HalfNormal(0.6), HalfNormal(0.4), Normal(0.0, 1e5))).linear([1.0])
    np.testing.assert_allclose(flat.ppf([0.025, 0.5, 0.975]), wide.ppf([0.025, 0.5, 0.975]), atol=1e-8)
    heavy = integrated(nested(HalfNormal(0.6), HalfNormal(0.4), StudentT(300.0, 0.0, 1.0))).linear([1.0])
    normal = integrated(nested(HalfNormal(0.6), HalfNormal(0.4))).linear([1.0])
    np.testing.assert_allclose(heavy.ppf([0.025, 0.975]), normal.ppf([0.025, 0.975]), atol=1e-3)


def test_draws_have_the_distribution_of_the_marginals():
    """Draws of scales, mu, clusters and what is new are spread as the marginals say, by Kolmogorov-Smirnov."""
    from bayesmeta.engines.gaussian.node_draws import draw

    found = integrated(nested(HalfNormal(0.6), HalfNormal(0.4)))
    drawn = draw(found, 4000, np.random.default_rng(5))
    p = {
        "tau": stats.kstest(drawn["tau"], found.parameter("tau").cdf).pvalue,
        "omega": stats.kstest(drawn["omega"], found.parameter("omega").cdf).pvalue,
        "mu": stats.kstest(drawn["beta"][:, 0], found.linear([1.0]).cdf).pvalue,
        "theta": stats.kstest(drawn["effects"][:, 1], found.effect(found.given.reported["1"]).cdf).pvalue,
        "theta_new": stats.kstest(drawn["theta_new"], found.predicted([1.0]).cdf).pvalue,
    }
    assert min(p.values()) > 1e-3, p


def test_what_cannot_be_integrated_is_refused_in_words():
    """Improper priors, kinks, too many parameters: errors that name the parameter and NUTS or what to do."""
    with pytest.raises(ModelError, match="uniform\\(\\) of tau is improper"):
        integrated(nested(Uniform(), HalfNormal(1.0)))
    kinked = mixture([(0.5, Uniform(0.0, 0.5)), (0.5, HalfNormal(1.0))])
    with pytest.raises(ModelError, match=r"of omega has a density that jumps.*engine='nuts'"):
        integrated(nested(HalfNormal(1.0), kinked))
    labels = tuple(map(str, CLUSTER))
    many = tuple(Component(f"s{i}", HalfNormal(1.0), labels) for i in range(5))
    given = Gaussian(labels, Y, V, np.ones((len(Y), 1)), ("mu",), (Flat(),), many)
    with pytest.raises(ModelError, match=r"5 variance parameters.*engine='nuts'"):
        integrated(given)


def test_moments_that_do_not_exist_are_not_printed():
    """Two clusters, half-Cauchy scales and a flat mean: tau has no SD, a new effect no variance; quantiles stay."""
    keep = CLUSTER < 2
    labels = tuple(map(str, CLUSTER[keep]))
    given = Gaussian(
        tuple(map(str, np.flatnonzero(keep))), Y[keep], V[keep], np.ones((keep.sum(), 1)), ("mu",), (Flat(),),
        (Component("tau", HalfCauchy(0.5), labels), Component("omega", HalfNormal(0.5))),
    )  # fmt: skip
    found = integrated(given)
    assert math.isinf(found.parameter("tau").sd())
    assert math.isinf(found.predicted([1.0]).sd())
    assert 0.0 < found.parameter("tau").median() < 3.0
    # One cluster under a flat mean says nothing of tau, whose prior is then its posterior's tail.
    assert found.notes()


def test_moments_of_heavy_tails_equal_plain_sums():
    """Under half-Cauchy priors means and SDs of tau, omega and their squares agree with sums out to a million."""
    u, w = legendre(math.log(1e-10), math.log(1e6), 36, 10)
    scale, weight = np.exp(u), w * np.exp(u)
    tau, omega = np.array(np.meshgrid(scale, scale, indexing="ij")).reshape(2, -1)
    v = V + omega[:, None] ** 2
    # Sums within and between clusters, by the textbook's formula for one cluster's inverse.
    log, q11, q12, q22 = (np.zeros(tau.size) for _ in range(4))
    for label in np.unique(CLUSTER):
        rows = label == CLUSTER
        inv = 1 / v[:, rows]
        one, y1, y2 = inv.sum(1), inv @ Y[rows], inv @ Y[rows] ** 2
        shrink = tau**2 / (1 + tau**2 * one)
        log -= 0.5 * (np.log(v[:, rows]).sum(1) + np.log1p(tau**2 * one))
        q11, q12, q22 = q11 + one - shrink * one**2, q12 + y1 - shrink * one * y1, q22 + y2 - shrink * y1**2
    log -= 0.5 * (np.log(q11 + 1.0) + q22 - q12**2 / (q11 + 1.0))
    log += stats.halfcauchy(scale=0.4).logpdf(tau) + stats.halfcauchy(scale=0.3).logpdf(omega)
    mass = np.outer(weight, weight).ravel() * np.exp(log - log.max())
    mass /= mass.sum()
    found = integrated(nested(HalfCauchy(0.4), HalfCauchy(0.3)))
    for name, value in (("tau", tau), ("omega", omega)):
        for power, marginal in ((1, found.parameter(name)), (2, found.squared(name))):
            mean = mass @ value**power
            assert marginal.mean() == pytest.approx(mean, rel=1e-7)
            sd = math.sqrt(mass @ (value**power - mean) ** 2)
            assert marginal.sd() == pytest.approx(sd, rel=1e-6)


def test_two_outcomes_equal_a_dense_grid():
    """Two correlated outcomes: evidence, difference of means and correlation agree with a product rule to 1e-7."""
    rng = np.random.default_rng(3)
    k = 5
    outcome, study = np.tile([0, 1], k), np.repeat(np.arange(k), 2)
    y = rng.normal([0.2, 0.5] * k, 0.4)
    blocks = [np.array([[0.05, 0.02], [0.02, 0.06]]) * rng.uniform(0.5, 2.0) for _ in range(k)]
    W = np.zeros((2 * k, 2 * k))
    for i, block in enumerate(blocks):
        W[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = block
    X = (outcome[:, None] == [0, 1]).astype(float)
    labels = tuple(map(str, study))
    components = tuple(Component(f"tau[{j}]", HalfNormal(0.5), labels, X[:, j]) for j in (0, 1))
    given = Gaussian(
        tuple(map(str, range(2 * k))), y, W, X, ("mu[0]", "mu[1]"), (Normal(0.0, 1.0),) * 2, components,
        (Correlation("rho", Uniform(-1.0, 1.0), ("tau[0]", "tau[1]")),),
    )  # fmt: skip
    found = integrated(given)
    t, wt = legendre(0.0, 3.0, 5, 12)
    u, wu = legendre(-1.0, 1.0, 2, 14)
    first, second, rho = np.meshgrid(t, t, u, indexing="ij")
    weight = (wt[:, None, None] * wt[:, None] * wu).ravel()
    a, b, r = first.ravel(), second.ravel(), rho.ravel()
    T = np.stack([np.stack([a**2, r * a * b], -1), np.stack([r * a * b, b**2], -1)], -1)
    precision = np.tile(np.eye(2), (a.size, 1, 1))
    shift, quad, logdet = np.zeros((a.size, 2)), np.zeros(a.size), np.zeros(a.size)
    for i, block in enumerate(blocks):
        inverse = np.linalg.inv(block + T)
        pair = y[2 * i : 2 * i + 2]
        precision += inverse
        shift += inverse @ pair
        quad += np.einsum("i,nij,j->n", pair, inverse, pair)
        logdet += np.linalg.slogdet(2 * math.pi * (block + T))[1]
    mean = np.linalg.solve(precision, shift[..., None])[..., 0]
    log = -0.5 * (logdet + np.linalg.slogdet(precision)[1] + quad - np.einsum("ni,ni->n", mean, shift))
    log += stats.halfnorm(scale=0.5).logpdf(a) + stats.halfnorm(scale=0.5).logpdf(b) - math.log(2.0)
    mass = weight * np.exp(log)
    assert found.log_normaliser == pytest.approx(math.log(mass.sum()), abs=1e-7)
    mass /= mass.sum()
    assert found.linear([1.0, -1.0]).mean() == pytest.approx(mass @ (mean[:, 0] - mean[:, 1]), abs=1e-7)
    assert found.parameter("rho").mean() == pytest.approx(mass @ r, abs=1e-7)
    assert found.parameter("tau[0]").mean() == pytest.approx(mass @ a, abs=1e-7)


def test_three_parameters_take_half_cauchy_scales():
    """Two outcomes of six studies under half-Cauchy scales are answered at the usual tolerance."""
    rng = np.random.default_rng(12)
    y, sei = rng.normal([0.2, 0.5] * 6, 0.4), rng.uniform(0.15, 0.5, 12)
    labels, X = tuple(map(str, np.repeat(range(6), 2))), np.tile(np.eye(2), (6, 1))
    parts = tuple(Component(f"tau[{j}]", HalfCauchy(0.3), labels, X[:, j]) for j in (0, 1))
    rho = (Correlation("rho", Uniform(-1.0, 1.0), ("tau[0]", "tau[1]")),)
    given = Gaussian(tuple(map(str, range(12))), y, sei**2, X, ("mu[0]", "mu[1]"), (UNIT, UNIT), parts, rho)
    found = integrated(given)
    assert found.error_estimate < 3e-8
    assert 0.0 < found.parameter("tau[0]").sd() < 1.0


@pytest.mark.parametrize("seed", range(12))
def test_stated_errors_are_honest(seed):
    """On random data (outliers, wide ranges of standard errors, heavy priors) a much finer lattice differs by less."""
    rng = np.random.default_rng([seed, 8])
    k = int(rng.integers(2, 20))
    cluster = np.repeat(np.arange(k), rng.integers(1, 5, k))
    n = len(cluster)
    sei = np.exp(rng.uniform(-4.0, 1.0, n))
    y = rng.normal(0.0, rng.uniform(0.0, 1.0), k)[cluster] + sei * rng.standard_t(2, n)
    labels = tuple(map(str, cluster))
    family = (HalfNormal, HalfCauchy)[seed % 2]
    given = Gaussian(
        tuple(map(str, range(n))), y, sei**2, np.ones((n, 1)), ("mu",), (Normal(0.0, 2.0),),
        (Component("tau", family(0.5), labels), Component("omega", family(0.5))),
    )  # fmt: skip
    rough, fine = integrated(given, tolerance=1e-4), integrated(given, tolerance=1e-11)
    assert rough.error_estimate < 2e-4
    quantities = [lambda s: math.exp(s.log_normaliser - fine.log_normaliser)]
    for q in (0.05, 0.5, 0.95):
        at = float(fine.linear([1.0]).ppf(q))
        quantities.append(lambda s, at=at: s.linear([1.0]).cdf(at))
        for name in ("tau", "omega"):
            where = float(fine.parameter(name).ppf(q))
            quantities.append(lambda s, name=name, where=where: s.parameter(name).cdf(where))
    assert len(quantities) == 10
    for quantity in quantities:
        assert abs(quantity(rough) - quantity(fine)) < 2.0 * rough.error_estimate + 1e-8


def test_too_costly_posteriors_are_refused():
    """Where a lattice would take too long the error says so and names what to do."""
    rng = np.random.default_rng(1)
    labels = tuple("abcdefgh")
    parts = tuple(Component(f"s{i}", HalfCauchy(1.0), labels, rng.normal(size=8)) for i in range(4))
    given = Gaussian(labels, np.zeros(8), np.ones(8), np.ones((8, 1)), ("mu",), (UNIT,), parts)
    with pytest.raises(ConvergenceError, match=r"tolerance=.*engine='nuts'"):
        integrated(given, tolerance=1e-12)
