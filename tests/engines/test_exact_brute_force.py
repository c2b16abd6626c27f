"""Exact-likelihood posteriors against composite Gauss-Legendre sums in every dimension, written without the engine.

The baseline, theta, mu and tau are each cut into panels of 12 nodes, fine where something happens and growing
outwards. The engine's answer only says where to put edges: at the quantiles that are tested, so that
probabilities below them are sums of whole panels.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import special, stats

import bayesmeta as bm
from bayesmeta.model import load_model
from bayesmeta.studies import PersonTime, TwoByTwo

NODES, WEIGHTS = np.polynomial.legendre.leggauss(12)
QUANTILES = np.array([0.025, 0.5, 0.975])


def panels(edges):
    """Return nodes and weights of Gauss-Legendre panels between edges."""
    half = 0.5 * np.diff(edges)
    return ((edges[:-1] + half)[:, None] + half[:, None] * NODES).ravel(), (half[:, None] * WEIGHTS).ravel()


def log_binomial(y, n, logit):
    choose = special.gammaln(n + 1) - special.gammaln(y + 1) - special.gammaln(n - y + 1)
    return choose + y * special.log_expit(logit) + (n - y) * special.log_expit(-logit)


def log_poisson(y, time, log_rate):
    return y * (np.log(time) + log_rate) - time * np.exp(np.minimum(log_rate, 600.0)) - special.gammaln(y + 1)


def control_arms(row, alpha, theta):
    return log_binomial(row[2], row[3], alpha) + log_binomial(row[0], row[1], alpha + theta)


def symmetric_arms(row, alpha, theta):
    return log_binomial(row[2], row[3], alpha - theta / 2) + log_binomial(row[0], row[1], alpha + theta / 2)


def ratio_arms(row, alpha, theta):
    half = theta / 2 + np.arcsinh(np.exp(np.minimum(alpha, 300.0)) * np.sinh(theta / 2))
    return log_binomial(row[2], row[3], alpha - half) + log_binomial(row[0], row[1], alpha + half)


def rate_arms(row, alpha, theta):
    return log_poisson(row[2], row[3], alpha) + log_poisson(row[0], row[1], alpha + theta)


ARMS = {
    "binomial_normal": control_arms,
    "binomial_normal_symmetric": symmetric_arms,
    "binomial_normal_rr": ratio_arms,
    "poisson_normal": rate_arms,
}


def log_likelihood(model, row, theta, baseline):
    """Return log p(row | theta), the baseline summed out; Fisher's noncentral distribution without one."""
    if model == "hypergeometric_normal":
        a, n1, c, n0 = row
        j = np.arange(max(0, a + c - n0), min(n1, a + c) + 1)
        log_tables = log_binomial(j, n1, 0.0) + log_binomial(a + c - j, n0, 0.0)
        at = int(np.flatnonzero(j == a)[0])
        return log_tables[at] + theta * a - special.logsumexp(log_tables + theta[:, None] * j, axis=1)
    row = np.array(row, dtype=float)
    peak = np.full_like(theta, -400.0), np.full_like(theta, 400.0)
    log_joint = lambda alpha, t: ARMS[model](row, alpha, t) + baseline.logpdf(alpha)  # noqa: E731
    for _ in range(60):
        third = (peak[1] - peak[0]) / 3
        rising = log_joint(peak[0] + third, theta) < log_joint(peak[1] - third, theta)
        peak = np.where(rising, peak[0] + third, peak[0]), np.where(rising, peak[1], peak[1] - third)
    # Unit steps of log odds resolve the logistic function; narrower ones where the counts are large.
    step = min(1.0, 3.0 / np.sqrt(row[0] + row[2] + 1.0))
    out = [0.0]
    while out[-1] < 1e4:
        out.append(out[-1] + max(step, min(2.5, 0.3 * out[-1]) if out[-1] < 60.0 else 0.3 * out[-1]))
    x, w = panels(np.concatenate([-np.array(out[:0:-1]), out]))
    value = log_joint(0.5 * (peak[0] + peak[1])[:, None] + x, theta[:, None])
    return special.logsumexp(value, b=w, axis=1)


@dataclass
class Curve:
    """A study's likelihood on panels of theta, and between their nodes by Legendre series of its log."""

    edges: np.ndarray
    theta: np.ndarray
    weight: np.ndarray
    log: np.ndarray
    width: float
    places: np.ndarray

    @classmethod
    def of(cls, model, row, baseline, places):
        a, n1, c, n0 = (float(v) for v in row)
        if model == "poisson_normal":
            center, width = np.log((a + 0.5) / n1) - np.log((c + 0.5) / n0), np.sqrt(1 / (a + 0.5) + 1 / (c + 0.5))
        else:
            cells = np.array([a, n1 - a, c, n0 - c]) + 0.5
            center, width = np.log(cells[0] * cells[3] / (cells[1] * cells[2])), np.sqrt((1 / cells).sum())
        width = min(width, 0.8)
        out = [0.0]
        while out[-1] < 45.0:
            out.append(out[-1] + max(0.6 * width, min(1.5, 0.2 * (out[-1] - 8.0))))
        edges = np.concatenate([center - np.array(out[:0:-1]), center + np.array(out)])
        # The risk ratio's arms exchange their roles at 0.
        edges = np.union1d(edges, [0.0, *places])
        theta, weight = panels(edges)
        return cls(edges, theta, weight, log_likelihood(model, row, theta, baseline), width, np.append(np.inf, places))

    def at(self, theta):
        """Return the log likelihood anywhere; beyond the panels it is what it is at their end."""
        series = np.linalg.solve(np.polynomial.legendre.legvander(NODES, 11), self.log.reshape(-1, 12).T)
        panel = np.clip(np.searchsorted(self.edges, theta, side="right") - 1, 0, len(self.edges) - 2)
        left, right = self.edges[panel], self.edges[panel + 1]
        place = np.clip((theta - left) / (right - left) * 2 - 1, -1, 1)
        return np.polynomial.legendre.legval(place, series[:, panel], tensor=False)

    def average(self, mu, tau):
        """Return ``(1 + places, M)`` integrals of likelihood times N(theta; mu, tau^2): whole, and below each place."""
        if tau < 0.25 * self.width:
            x, w = panels(np.linspace(0.0, 1.0, 7))
            span = np.clip((self.places[:, None] - mu) / tau, -9.0, 9.0) + 9.0
            z = span[..., None] * x - 9.0
            return np.exp(self.at(mu[:, None] + tau * z)) * stats.norm.pdf(z) @ w * span
        kernel = np.exp(-0.5 * ((self.theta - mu[:, None]) / tau) ** 2) / (tau * np.sqrt(2 * np.pi))
        value = (np.exp(self.log) * self.weight * (self.theta < self.places[:, None])) @ kernel.T
        # Beyond the panels the likelihood is what it is at their ends.
        value += np.exp(self.at(self.edges[:1])) * special.ndtr((self.edges[0] - mu) / tau)
        value[0] += np.exp(self.at(self.edges[-1:])) * special.ndtr((mu - self.edges[-1]) / tau)
        return value


def edges_of_mu(post, first, places):
    """Return edges for mu: even ones over the bulk, growing ones beyond, and a fan about each place that is tested."""
    low, high = post.mu.ppf([1e-4, 1 - 1e-4])
    step = (high - low) / 24
    ends = post.mu.ppf([1e-13, 1 - 1e-13])
    out = step * np.cumsum(1.4 ** np.arange(60))
    out = out[: np.searchsorted(out, 1.3 * max(low - ends[0], ends[1] - high)) + 1]
    fan = step * 5.0 ** -np.arange(4)
    fans = [np.concatenate([x - fan, x + fan]) for x in (*places, *first)]
    return np.unique(np.concatenate([low - out, np.arange(low, high, step), high + out, places, first, *fans]))


def brute(model, rows, priors, post, top):
    """Return log evidence, mean and SD of mu, mean of tau, and the probabilities below the quantiles of `post`."""
    theta = next(iter(post.theta.values()))
    quantiles = post.mu.ppf(QUANTILES), post.theta_new.ppf(QUANTILES), theta.ppf(QUANTILES)
    curves = [Curve.of(model, row, priors.get("baseline"), [] if i else quantiles[2]) for i, row in enumerate(rows)]
    width = min(c.width for c in curves)
    tested = [post.tau.ppf(QUANTILES)]
    edges = [0.0, *(width * np.array([0.05, 0.2, 0.6]))]
    while edges[-1] < top:
        edges.append(edges[-1] * 2.0)
    tau, tau_weight = panels(np.union1d(edges, tested[0]))
    mu, mu_weight = panels(edges_of_mu(post, quantiles[0], np.concatenate(quantiles[1:])))
    averages = [[c.average(mu, t) for c in curves] for t in tau]
    mass = np.array([np.prod([each[0] for each in row], axis=0) for row in averages]) * priors["mu"].pdf(mu) * mu_weight
    mass *= (priors["tau"].pdf(tau) * tau_weight)[:, None]
    evidence = mass.sum()
    mass /= evidence
    of_mu, of_tau = mass.sum(axis=0), mass.sum(axis=1)
    mean = of_mu @ mu
    found = {"mu": [of_mu[mu < x].sum() for x in quantiles[0]], "tau": [of_tau[tau < x].sum() for x in tested[0]]}
    found["theta_new"] = [np.sum(mass * special.ndtr((x - mu) / tau[:, None])) for x in quantiles[1]]
    first = np.array([row[0] for row in averages])
    found["theta"] = np.sum(first[:, 1:] / np.maximum(first[:, :1], 1e-300) * mass[:, None], axis=(0, 2))
    return np.log(evidence), mean, np.sqrt(of_mu @ (mu - mean) ** 2), of_tau @ tau, found


SCIPY = {
    "normal(0, 1)": stats.norm(0, 1),
    "normal(0, 10)": stats.norm(0, 10),
    "normal(-1.5, 0.3)": stats.norm(-1.5, 0.3),
    "cauchy(0, 1)": stats.cauchy(0, 1),
    "student_t(4, 0, 2.5)": stats.t(4, 0, 2.5),
    "logistic(0, 1)": stats.logistic(0, 1),
    "half_normal(0.5)": stats.halfnorm(scale=0.5),
    "log_normal(-1.97, 0.67)": stats.lognorm(0.67, scale=np.exp(-1.97)),
}
SPARSE = [(0, 12, 5, 14), (1, 23, 9, 23)]
CASES = [
    ("binomial_normal", [(12, 12, 9, 14), (0, 30, 0, 28)], "normal(0, 1)", "half_normal(0.5)", "student_t(4, 0, 2.5)"),
    ("binomial_normal_symmetric", SPARSE, "logistic(0, 1)", "log_normal(-1.97, 0.67)", "normal(-1.5, 0.3)"),
    ("binomial_normal_rr", [(4, 20, 9, 21), (1, 23, 9, 23)], "normal(0, 1)", "half_normal(0.5)", "normal(0, 10)"),
    ("poisson_normal", [(0, 40.5, 4, 38.0)], "normal(0, 1)", "half_normal(0.5)", "logistic(0, 1)"),
    ("hypergeometric_normal", [(4, 20, 9, 21), (1, 23, 9, 23)], "cauchy(0, 1)", "half_normal(0.5)", None),
]
TOP = {"half_normal(0.5)": 4.5, "log_normal(-1.97, 0.67)": 20.0}


@pytest.mark.parametrize("model", ["binomial_normal", "binomial_normal_symmetric"])
@pytest.mark.parametrize("row", [(1, 1, 0, 1), (1, 1, 1, 1), (1, 2, 0, 2), (0, 3, 1, 2), (0, 30, 0, 28)])
def test_likelihoods_of_a_few_patients_are_exact_however_large_the_effect(model, row):
    """With one patient an arm the baseline's integrand has edges far from its peak; its integral has none."""
    theta = np.linspace(-80.0, 80.0, 321)
    loaded = load_model(model)
    given = loaded.study_likelihoods(TwoByTwo(*[[cell] for cell in row]), loaded.priors)
    exact = log_likelihood(model, row, theta, stats.norm(0, 10))
    np.testing.assert_allclose(given.loglik(theta[None])[0], exact, atol=2e-10)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_the_posterior_equals_sums_over_panels_in_every_dimension(case):
    """Evidence, moments, and quantiles of mu, tau, a true and a new effect agree under priors of many kinds."""
    model, rows, mu, tau, baseline = case
    texts = {"mu": mu, "tau": tau} | ({} if baseline is None else {"baseline": baseline})
    data = (PersonTime if model == "poisson_normal" else TwoByTwo)(*zip(*rows, strict=True))
    post = bm.fit(data, model, priors=texts, engine="quadrature")
    priors = {name: SCIPY[text] for name, text in texts.items()}
    evidence, mean, sd, tau_mean, below = brute(model, rows, priors, post, TOP[tau])
    assert post.log_evidence == pytest.approx(evidence, abs=1e-8)
    for name, probabilities in below.items():
        assert probabilities == pytest.approx(QUANTILES, abs=1e-8), name
    assert post.tau.mean() == pytest.approx(tau_mean, rel=1e-8)
    # The panels of mu end where its probabilities do; a Cauchy prior's share of the moments lies beyond.
    if mu != "cauchy(0, 1)":
        assert post.mu.mean() == pytest.approx(mean, abs=1e-8)
        assert post.mu.sd() == pytest.approx(sd, rel=2e-8)


def test_an_effect_beside_a_study_of_a_million_equals_plain_sums():
    """A small study's effect, which may be all but the same as a huge one's, is the sum over both and tau.

    Given tau both effects and mu are normal a priori, so that mu needs no sum.
    """
    huge, small = (500_000, 1_000_000, 501_000, 1_000_000), (3, 20, 9, 21)
    post = bm.fit(TwoByTwo(*zip(huge, small, strict=True)), "binomial_normal", engine="quadrature")
    quantiles = post.theta["Study 2"].ppf(QUANTILES)
    baseline, spread = stats.norm(0, 10), 2.82**2
    first, weight = panels(-0.004 + 0.0028 * np.linspace(-9.0, 9.0, 13))
    log_first = log_likelihood("binomial_normal", huge, first, baseline)
    second = Curve.of("binomial_normal", small, baseline, [])
    tau, tau_weight = panels(np.concatenate([[0.0], np.geomspace(1e-4, 4.5, 24)]))
    variance = spread + tau[:, None] ** 2
    weight = weight * np.exp(log_first - log_first.max()) * stats.norm.pdf(first, 0.0, np.sqrt(variance))
    weight *= (stats.halfnorm(scale=0.5).pdf(tau) * tau_weight)[:, None]
    middle, sd = spread / variance * first, np.sqrt(variance - spread**2 / variance) + 0.0 * first
    x, w = panels(np.linspace(0.0, 1.0, 10))
    below = []
    for place in (*quantiles, np.inf):
        span = np.clip((place - middle) / sd, -9.0, 9.0) + 9.0
        z = span[..., None] * x - 9.0
        below.append(
            np.sum(weight * span * ((np.exp(second.at(middle[..., None] + sd[..., None] * z)) * stats.norm.pdf(z)) @ w))
        )
    assert np.array(below[:3]) / below[3] == pytest.approx(QUANTILES, abs=1e-8)
    assert post.log_evidence == pytest.approx(np.log(below[3]) + log_first.max(), abs=1e-8)
