"""Posteriors of models with several variance parameters, on awkward data, against sums over plain dense matrices."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from scipy import stats

import bayesmeta as bm

LEVELS = [0.025, 0.5, 0.975]


def legendre(low, high, panels, order):
    """Return Gauss-Legendre nodes and weights on equal panels."""
    x, w = np.polynomial.legendre.leggauss(order)
    edges = np.linspace(low, high, panels + 1)
    half = 0.5 * np.diff(edges)[:, None]
    return (edges[:-1, None] + half * (1 + x)).ravel(), (half * w).ravel()


def graded(edges, order):
    """Return nodes and weights on panels between edges."""
    parts = [legendre(low, high, 1, order) for low, high in itertools.pairwise(edges)]
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


class Sums:
    """The posterior at all points of a product rule: mass, mean and covariance of the coefficients there."""

    def __init__(self, y, X, prior_sd, covariance, axes, logprior):
        self.y, self.X, self.covariance = y, X, covariance
        self.psi = np.stack([g.ravel() for g in np.meshgrid(*[a[0] for a in axes], indexing="ij")], axis=1)
        weight = np.ones(1)
        for _, w in axes:
            weight = np.multiply.outer(weight, w)
        B = np.diag(np.square(prior_sd))
        n = len(y)
        parts = []
        for psi in np.array_split(self.psi, max(1, len(self.psi) // 3000)):
            marginal = covariance(psi) + X @ B @ X.T
            solved = np.linalg.solve(marginal, np.tile(y[:, None], (len(psi), 1, 1)))[..., 0]
            log = -0.5 * (n * math.log(2 * math.pi) + np.linalg.slogdet(marginal)[1] + solved @ y) + logprior(psi)
            pull = np.linalg.solve(marginal, np.tile(X @ B, (len(psi), 1, 1)))
            parts.append((log, solved @ X @ B, B - (X @ B).T @ pull))
        log, self.mean, self.cov = (np.concatenate(part) for part in zip(*parts, strict=True))
        mass = np.exp(log - log.max()) * weight.ravel()
        self.log_evidence = log.max() + math.log(mass.sum())
        self.mass = mass / mass.sum()

    def effect(self, x, cross=None, variance=0.0):
        """Return mean and variance of ``x' beta + u``; u has `variance` and covariance `cross` to rows."""
        x, slope, base = np.asarray(x, dtype=float), np.tile(x, (len(self.psi), 1)).astype(float), 0.0
        if cross is not None:
            weight = np.linalg.solve(self.covariance(self.psi), cross[..., None])[..., 0]
            slope, base = slope - weight @ self.X, weight @ self.y
            variance = variance - np.sum(weight * cross, axis=1)
        mean = np.sum(slope * self.mean, axis=1) + base
        return mean, np.einsum("np,npq,nq->n", slope, self.cov, slope) + variance

    def check(self, marginal, mean, var, tolerance):
        """Assert that mean, SD and probabilities of a marginal are those of the mixture."""
        center = self.mass @ mean
        assert marginal.mean() == pytest.approx(center, abs=tolerance)
        assert marginal.sd() == pytest.approx(math.sqrt(self.mass @ (var + (mean - center) ** 2)), abs=tolerance)
        found = [self.mass @ stats.norm.cdf(q, mean, np.sqrt(var)) for q in marginal.ppf(LEVELS)]
        np.testing.assert_allclose(found, LEVELS, atol=tolerance)

    def check_parameter(self, marginal, j, tolerance):
        """Assert mean and SD of a variance parameter."""
        value = self.psi[:, j]
        center = self.mass @ value
        assert marginal.mean() == pytest.approx(center, abs=tolerance)
        assert marginal.sd() == pytest.approx(math.sqrt(self.mass @ (value - center) ** 2), abs=tolerance)


def test_unequal_clusters_with_moderator_and_known_covariance():
    """Clusters of one to four rows in any order, a moderator, correlated estimates: multilevel is the plain sums."""
    rng = np.random.default_rng(11)
    cluster = rng.permutation(np.repeat(range(5), [1, 4, 2, 1, 3]))
    n = len(cluster)
    same = np.equal.outer(cluster, cluster)
    sei, X = rng.uniform(0.1, 0.6, n), np.column_stack([np.ones(n), rng.normal(size=n)])
    V = np.outer(sei, sei) * (0.4 * same + 0.6 * np.eye(n)) * np.where(np.arange(n) % 3 == 0, -1, 1)
    V = np.where(np.eye(n, dtype=bool), sei**2, 0.5 * (V + V.T) * 0.8)
    y = rng.normal(size=n)
    labels = [f"c{c}" for c in cluster]
    data = bm.EffectSizes(y, V=V, study=labels, X=X, terms=("intercept", "dose"), measure="OR")
    priors = {"mu": "normal(0, 1.5)", "beta": "normal(0, 0.7)", "tau": "half_normal(0.6)", "omega": "half_normal(0.4)"}
    post = bm.fit(data, "multilevel", priors=priors)

    def covariance(psi):
        return V + psi[:, 0, None, None] ** 2 * same + psi[:, 1, None, None] ** 2 * np.eye(n)

    def logprior(psi):
        return stats.halfnorm(scale=0.6).logpdf(psi[:, 0]) + stats.halfnorm(scale=0.4).logpdf(psi[:, 1])

    sums = Sums(
        y,
        X,
        [1.5, 0.7],
        covariance,
        [graded([0, 0.2, 0.5, 1, 1.5, 2.5, 5], 14), graded([0, 0.2, 0.5, 1, 2, 3.5], 14)],
        logprior,
    )
    assert post.log_evidence == pytest.approx(sums.log_evidence, abs=1e-9)
    sums.check(post.beta["intercept"], *sums.effect([1, 0]), 1e-9)
    sums.check(post.beta["dose"], *sums.effect([0, 1]), 1e-9)
    sums.check(post.contrast({"dose": 2, "intercept": -1}), *sums.effect([-1, 2]), 1e-9)
    tau, omega = sums.psi.T
    sums.check(post.predicted([1, 0.7]), *sums.effect([1, 0.7], variance=tau**2 + omega**2), 1e-9)
    for c in (0, 1):
        at = X[cluster == c].mean(axis=0)
        effect = sums.effect(at, tau[:, None] ** 2 * (cluster == c), tau**2)
        sums.check(post.theta[f"c{c}"], *effect, 1e-9)
    sums.check_parameter(post.tau, 0, 1e-9)
    sums.check_parameter(post["omega"], 1, 1e-9)


@pytest.mark.parametrize("rho", ["lkj(2)", "lkj(0.5)"])
def test_missing_outcomes_with_sampling_covariances(rho):
    """Studies with one outcome or both, in any order, priors of each outcome: bivariate is the plain sums."""
    rng = np.random.default_rng(5)
    rows = [(s, o) for s, outcomes in zip("abcde", ["xy", "x", "yx", "y", "xy"], strict=True) for o in outcomes]
    study, outcome = (list(part) for part in zip(*rows, strict=True))
    n, Z = len(rows), (np.array(outcome)[:, None] == ["x", "y"]).astype(float)
    same = np.equal.outer(study, study)
    sei, y = rng.uniform(0.15, 0.5, n), rng.normal(0.4, 0.5, n)
    V = np.outer(sei, sei) * (0.5 * same + 0.5 * np.eye(n))
    priors = {"mu": "normal(0, 1)", "mu[y]": "normal(0, 0.8)", "tau": "half_normal(0.5)", "rho": rho}
    post = bm.fit(bm.EffectSizes(y, V=V, study=study, outcome=outcome, measure="OR"), "bivariate", priors=priors)
    first, second = np.outer(Z[:, 0], Z[:, 0]) * same, np.outer(Z[:, 1], Z[:, 1]) * same
    both = (np.outer(Z[:, 0], Z[:, 1]) + np.outer(Z[:, 1], Z[:, 0])) * same

    def covariance(psi):
        a, b, r = psi.T[:, :, None, None]
        return V + a**2 * first + b**2 * second + r * a * b * both

    def logprior(psi):
        return stats.halfnorm(scale=0.5).logpdf(psi[:, :2]).sum(axis=1)

    # rho = sin(t): Gauss-Legendre in t is smooth for both priors, (1 - rho^2)^(eta - 1) d rho.
    eta = float(rho[4:-1])
    t, w = legendre(-0.5 * math.pi, 0.5 * math.pi, 4, 8)
    weight = w * np.cos(t) ** (2 * eta - 1)
    scale = graded([0, 0.15, 0.4, 0.8, 1.5, 3.5], 9)
    sums = Sums(y, Z, [1, 0.8], covariance, [scale, scale, (np.sin(t), weight / weight.sum())], logprior)
    assert post.log_evidence == pytest.approx(sums.log_evidence, abs=1e-6)
    a, b, r = sums.psi.T
    for j, name in enumerate("xy"):
        sums.check(post.effects[name], *sums.effect(np.eye(2)[j]), 1e-6)
        sums.check_parameter(post[f"tau[{name}]"], j, 1e-6)
        sums.check(post[f"theta_new[{name}]"], *sums.effect(np.eye(2)[j], variance=(a, b)[j] ** 2), 1e-6)
    sums.check_parameter(post["rho"], 2, 1e-6)
    # Study b has outcome x alone, and d has y alone.
    for label, j in (("a, x", 0), ("b", 0), ("d", 1)):
        inside = np.array(study) == label[0]
        own, other = (a, b)[j], (a, b)[1 - j]
        cross = inside * (own[:, None] ** 2 * Z[:, j] + (r * own * other)[:, None] * Z[:, 1 - j])
        sums.check(post.theta[label], *sums.effect(np.eye(2)[j], cross, own**2), 1e-6)


def test_related_clusters_under_priors_without_an_even_density():
    """Clusters of unequal size with known correlations, log-normal and exponential scales: phylogenetic is the sums."""
    rng = np.random.default_rng(3)
    cluster = np.repeat(range(6), [1, 2, 1, 3, 1, 2])
    n = len(cluster)
    R = 0.7 ** np.abs(np.subtract.outer(range(6), range(6)))
    X, sei, y = np.column_stack([np.ones(n), rng.normal(size=n)]), rng.uniform(0.1, 0.4, n), rng.normal(0, 0.6, n)
    data = bm.EffectSizes(
        y, sei, study=[f"r{i}" for i in range(n)], cluster=[f"c{c}" for c in cluster], X=X, terms=("intercept", "x"),
        R=R, measure="OR",
    )  # fmt: skip
    priors = {"mu": "normal(0, 1)", "beta": "normal(0, 1)", "tau": "log_normal(-1, 0.7)", "omega": "exponential(2)"}
    post = bm.fit(data, "phylogenetic", priors=priors)
    B = R[np.ix_(cluster, cluster)]

    def covariance(psi):
        return np.diag(sei**2) + psi[:, 0, None, None] ** 2 * B + psi[:, 1, None, None] ** 2 * np.eye(n)

    def logprior(psi):
        return stats.lognorm(0.7, scale=math.exp(-1)).logpdf(psi[:, 0]) + stats.expon(scale=0.5).logpdf(psi[:, 1])

    u, w = legendre(-7, 3, 20, 8)
    sums = Sums(y, X, [1, 1], covariance, [(np.exp(u), w * np.exp(u)), graded([0, 0.2, 0.5, 1, 2, 4, 9], 12)], logprior)
    assert post.log_evidence == pytest.approx(sums.log_evidence, abs=1e-7)
    sums.check(post.beta["x"], *sums.effect([0, 1]), 1e-7)
    sums.check_parameter(post.tau, 0, 1e-7)
    sums.check_parameter(post["omega"], 1, 1e-7)
    for c in (0, 3):
        at, tau = X[cluster == c].mean(axis=0), sums.psi[:, 0]
        sums.check(post.theta[f"c{c}"], *sums.effect(at, tau[:, None] ** 2 * R[c, cluster], tau**2), 1e-7)


def test_one_scale_is_the_univariate_model():
    """Unrelated clusters of one row without omega, and slopes of studies with one dose, are normal_normal to 1e-10."""
    rng = np.random.default_rng(4)
    k = 7
    y, sei, dose = rng.normal(0.2, 0.5, k), rng.uniform(0.1, 0.5, k), rng.uniform(0.5, 4.0, k)
    priors = {"mu": "normal(0, 2)", "tau": "half_cauchy(0.4)"}
    effects = bm.EffectSizes(y, sei, study=[f"s{i}" for i in range(k)], measure="OR")
    plain = bm.fit(effects, priors=priors)
    related = bm.fit(dataclasses.replace(effects, R=np.eye(k)), "phylogenetic", priors={**priors, "omega": "point(0)"})
    doses, zero = np.column_stack([np.zeros(k), dose]).ravel(), np.zeros(k)
    slopes = bm.DoseResponse(
        np.repeat(effects.study, 2), doses, [50.0] * 2 * k, [1000.0] * 2 * k, "ir",
        np.column_stack([zero, y * dose]).ravel(), np.column_stack([zero * np.nan, sei * dose]).ravel(),
    )  # fmt: skip
    trend = bm.fit(slopes, "dose_response", priors=priors)
    for post, jacobian in ((related, 0.0), (trend, np.log(dose).sum())):
        assert post.log_evidence + jacobian == pytest.approx(plain.log_evidence, abs=1e-10)
        np.testing.assert_allclose(post.mu.ppf(LEVELS), plain.mu.ppf(LEVELS), atol=1e-10)
        np.testing.assert_allclose(post.tau.ppf(LEVELS), plain.tau.ppf(LEVELS), atol=1e-10)
        assert post.tau.mean() == pytest.approx(plain.tau.mean(), abs=1e-10)
        assert post.tau.sd() == pytest.approx(plain.tau.sd(), abs=1e-10)
        assert post.theta["s3"].sd() == pytest.approx(plain.theta["s3"].sd(), abs=1e-10)
    np.testing.assert_allclose(trend.theta_new.ppf(LEVELS), plain.theta_new.ppf(LEVELS), atol=1e-10)
