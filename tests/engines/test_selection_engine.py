"""Selection models, PET and PEESE by quadrature: dense sums on the raw parameters, identities, PyMC programs."""

import numpy as np
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta.engines.selection.interval_chances import gauss_rule
from bayesmeta.errors import ModelError
from bayesmeta.model import load_model
from bayesmeta.priors import parse_prior

Y, S = np.array([0.62, 0.31, 0.48, 0.05, 0.9]), np.array([0.21, 0.12, 0.3, 0.1, 0.4])
EFFECTS = bm.EffectSizes(Y, S, measure="SMD")
PRIORS = {"mu": "normal(0, 1)", "tau": "half_normal(0.4)"}


def legendre(low, high, n):
    x, w = np.polynomial.legendre.leggauss(n)
    return low + 0.5 * (high - low) * (x + 1.0), 0.5 * (high - low) * w


def outer(n=80):
    """Return nodes of mu and tau, with the prior's weights, far beyond where anything is."""
    mu, wm = legendre(-2.6, 2.2, 2 * n)
    tau, wt = legendre(0.0, 2.4, n)
    M, T = (a.ravel() for a in np.meshgrid(mu, tau, indexing="ij"))
    weight = np.outer(wm * stats.norm.pdf(mu), wt * stats.halfnorm(scale=0.4).pdf(tau)).ravel()
    return M, T, weight


def test_one_step_is_a_dense_sum():
    """Evidence, mu, tau and the weight of a model with one cut point, one-sided."""
    post = bm.fit(EFFECTS, "selection_stepfun", priors=PRIORS | {"omega": "step_weights(0.025, side='greater')"})
    M, T, weight = outer()
    omega, wo = legendre(0.0, 1.0, 100)
    sd = np.sqrt(S**2 + T[:, None] ** 2)
    beyond = stats.norm.sf((1.959963984540054 * S - M[:, None]) / sd)
    plain = stats.norm.pdf(Y, M[:, None], sd).prod(axis=1)
    low = int((Y / S < 1.959963984540054).sum())
    joint = np.empty((len(M), len(omega)))
    for j, w in enumerate(omega):
        joint[:, j] = weight * plain * wo[j] * w**low / (beyond + w * (1.0 - beyond)).prod(axis=1)
    total = joint.sum()
    share = joint.sum(axis=1) / total
    assert post.log_evidence == pytest.approx(np.log(total), abs=1e-6)
    assert post.mu.mean() == pytest.approx(share @ M, abs=1e-6)
    assert post.mu.sd() == pytest.approx(np.sqrt(share @ (M - share @ M) ** 2), abs=1e-6)
    assert post.tau.mean() == pytest.approx(share @ T, abs=1e-6)
    assert post.tau.sd() == pytest.approx(np.sqrt(share @ (T - share @ T) ** 2), abs=1e-6)
    weights = joint.sum(axis=0) / total
    name = "omega[p > 0.025]"
    assert post[name].mean() == pytest.approx(weights @ omega, abs=1e-6)
    assert post[name].sd() == pytest.approx(np.sqrt(weights @ (omega - weights @ omega) ** 2), abs=1e-6)
    assert post.theta_new.mean() == pytest.approx(share @ M, abs=1e-6)
    spread = share @ (T**2 + M**2) - (share @ M) ** 2
    assert post.theta_new.sd() == pytest.approx(np.sqrt(spread), abs=1e-6)
    drawn = np.random.default_rng(1).choice(len(M), 400_000, p=share)
    jitter = np.random.default_rng(2).standard_normal((2, len(drawn)))
    below = np.mean(M[drawn] + 0.012 * jitter[0] + T[drawn] * jitter[1] < 0.2)
    assert float(post.theta_new.cdf(0.2)) == pytest.approx(below, abs=4e-3)


def test_two_sided_steps_are_a_dense_sum():
    """Two cut points of the two-sided p: evidence, mean of mu, and means of both weights."""
    stated = "step_weights(0.05, 0.1, side='two-sided')"
    post = bm.fit(EFFECTS, "selection_stepfun", priors=PRIORS | {"omega": stated})
    M, T, weight = outer(80)
    u, wu = legendre(0.0, 1.0, 24)
    v, wv = u**3, 3.0 * u**2 * wu
    sd = np.sqrt(S**2 + T[:, None] ** 2)
    cuts = stats.norm.isf(np.array([0.05, 0.025]))
    inside = [stats.norm.cdf((c * S - M[:, None]) / sd) - stats.norm.cdf((-c * S - M[:, None]) / sd) for c in cuts]
    chance = [inside[0], inside[1] - inside[0], 1.0 - inside[1]]
    place = (np.abs(Y / S)[:, None] >= cuts).sum(axis=1)
    plain = stats.norm.pdf(Y, M[:, None], sd).prod(axis=1)
    total, mean, first, second = 0.0, 0.0, 0.0, 0.0
    for a, wa in zip(v, wv, strict=True):
        for b, wb in zip(v, wv, strict=True):
            # 0 < w0 < w1 < 1, uniform: w1 = b, w0 = a b, with density 2 and Jacobian b.
            w = np.array([a * b, b, 1.0])
            reported = sum(w[j] * chance[j] for j in range(3))
            part = weight * plain * w[place].prod() / reported.prod(axis=1) * wa * wb * 2.0 * b
            total += part.sum()
            mean += part @ M
            first += part.sum() * w[0]
            second += part.sum() * w[1]
    assert post.log_evidence == pytest.approx(np.log(total), abs=1e-6)
    assert post.mu.mean() == pytest.approx(mean / total, abs=1e-6)
    assert post["omega[p > 0.1]"].mean() == pytest.approx(first / total, abs=1e-6)
    assert post["omega[0.05 < p <= 0.1]"].mean() == pytest.approx(second / total, abs=1e-6)


@pytest.mark.parametrize("name", ["pet", "peese"])
def test_slopes_are_a_dense_sum(name):
    """Evidence, mu, tau and the slope, its half-Cauchy prior mapped to (0, 1)."""
    post = bm.fit(EFFECTS, name, priors=PRIORS | {"bias": "half_cauchy(1)"})
    x = S if name == "pet" else S**2
    M, T, weight = outer(80)
    q, wq = legendre(0.0, 1.0, 240)
    slope = np.tan(0.5 * np.pi * q)
    sd = np.sqrt(S**2 + T[:, None] ** 2)
    total = mean = slopes = 0.0
    for b, w in zip(slope, wq, strict=True):
        part = weight * w * stats.norm.pdf(Y - b * x, M[:, None], sd).prod(axis=1)
        total += part.sum()
        mean += part @ M
        slopes += part.sum() * b
    assert post.log_evidence == pytest.approx(np.log(total), abs=2e-6)
    assert post.mu.mean() == pytest.approx(mean / total, abs=2e-6)
    assert post["bias"].mean() == pytest.approx(slopes / total, abs=1e-5)


def test_no_selection_and_no_slope_are_the_plain_model():
    """A slope fixed at 0 is normal_normal."""
    plain = bm.fit(EFFECTS, "normal_normal", priors=PRIORS)
    flat = bm.fit(EFFECTS, "pet", priors=PRIORS | {"bias": "point(0)"})
    assert flat.log_evidence == pytest.approx(plain.log_evidence, abs=1e-8)
    for name in ("mu", "tau", "theta_new"):
        assert flat[name].ppf([0.1, 0.5, 0.9]) == pytest.approx(plain[name].ppf([0.1, 0.5, 0.9]), abs=1e-6)
    study = EFFECTS.study[2]
    assert flat.theta[study].mean() == pytest.approx(plain.theta[study].mean(), abs=1e-7)


def test_the_sum_of_normals_is_the_density_of_mu():
    """Quantiles of mu agree with a dense sum, into the tails."""
    post = bm.fit(EFFECTS, "selection_stepfun", priors=PRIORS | {"omega": "step_weights(0.025, side='greater')"})
    mu = np.linspace(-3.0, 2.0, 1001)
    tau, wt = legendre(0.0, 2.6, 80)
    u, wu = legendre(0.0, 1.0, 40)
    omega, wo = u**3, 3.0 * u**2 * wu
    low = int((Y / S < 1.959963984540054).sum())
    density = np.zeros(len(mu))
    for t, w in zip(tau, wt * stats.halfnorm(scale=0.4).pdf(tau), strict=True):
        sd = np.sqrt(S**2 + t**2)
        beyond = stats.norm.sf((1.959963984540054 * S - mu[:, None]) / sd)
        inner = sum(b * o**low / (beyond + o * (1.0 - beyond)).prod(axis=1) for o, b in zip(omega, wo, strict=True))
        density += w * stats.norm.pdf(Y, mu[:, None], sd).prod(axis=1) * inner
    density *= stats.norm.pdf(mu)
    density /= density.sum() * (mu[1] - mu[0])
    found = post.mu.pdf(mu)
    assert found == pytest.approx(density, abs=3e-6 * density.max())


@pytest.mark.parametrize("side", ["greater", "less", "two-sided"])
def test_the_program_has_the_stated_density(side):
    """PyMC's log density at a point is the prior, the normal likelihood and the chance of being reported."""
    model = load_model("selection_stepfun")
    priors = model.with_priors(PRIORS | {"omega": f"step_weights(0.025, 0.2, side={side!r})"})
    logp = model.build(EFFECTS, priors).compile_logp(mode="FAST_COMPILE", jacobian=False)
    mu, tau, share = 0.2, 0.3, np.array([0.4, 0.7])
    omega = np.array([0.28, 0.7, 1.0])
    sd = np.sqrt(S**2 + tau**2)
    sign = -1.0 if side == "less" else 1.0
    p = np.array([0.2, 0.025]) / (2.0 if side == "two-sided" else 1.0)
    cuts = stats.norm.isf(p)
    z = np.abs(Y / S) if side == "two-sided" else sign * Y / S
    tails = stats.norm.sf((cuts[:, None] * S - sign * mu) / sd)
    if side == "two-sided":
        tails = tails + stats.norm.sf((cuts[:, None] * S + mu) / sd)
    chance = np.array([1.0 - tails[0], tails[0] - tails[1], tails[1]])
    expected = stats.norm.logpdf(mu) + stats.halfnorm(scale=0.4).logpdf(tau)
    expected += stats.beta(1, 1).logpdf(0.4) + stats.beta(2, 1).logpdf(0.7)
    expected += stats.norm.logpdf(Y, mu, sd).sum() + np.log(omega[(z[:, None] >= cuts).sum(axis=1)]).sum()
    expected -= np.log(omega @ chance).sum()
    found = logp({"mu": mu, "tau_log__": np.log(tau), "omega_share_logodds__": np.log(share / (1 - share))})
    assert float(found) == pytest.approx(expected, abs=1e-8)


def test_many_studies_cost_no_exactness():
    """At k = 60 the rule in log standard errors gives the evidence of the sum over all studies."""
    from bayesmeta.engines.selection import interval_chances

    rng = np.random.default_rng(3)
    sei = np.exp(rng.uniform(np.log(0.05), np.log(0.5), 60))
    effects = bm.EffectSizes(rng.normal(0.2, np.hypot(sei, 0.1)), sei, measure="SMD")
    priors = PRIORS | {"omega": "step_weights(0.025, side='greater')"}
    short = bm.fit(effects, "selection_stepfun", priors=priors).log_evidence
    many = interval_chances.MANY
    interval_chances.MANY = 100
    try:
        whole = bm.fit(effects, "selection_stepfun", priors=priors).log_evidence
    finally:
        interval_chances.MANY = many
    assert short == pytest.approx(whole, abs=1e-6)


def test_a_gauss_rule_sums_polynomials_exactly():
    """Twelve nodes sum powers up to 23 over a sample of 200."""
    x = np.random.default_rng(1).normal(size=200)
    nodes, weight = gauss_rule(x, 12)
    assert weight.sum() == pytest.approx(200.0)
    for power in (1, 5, 12, 23):
        t, u = (2.0 * (z - x.min()) / np.ptp(x) - 1.0 for z in (x, nodes))
        assert weight @ u**power == pytest.approx((t**power).sum(), abs=1e-9)


def test_draws_are_those_of_the_posterior():
    """Means of 20,000 draws within five standard errors."""
    post = bm.fit(EFFECTS, "selection_stepfun", priors=PRIORS | {"omega": "step_weights(0.025, side='greater')"})
    drawn = post.to_datatree(20_000, seed=1)["posterior"]
    for name in ("mu", "tau", "theta_new"):
        values = np.asarray(drawn[name]).ravel()
        assert abs(values.mean() - post[name].mean()) < 5 * values.std() / np.sqrt(values.size)


def test_nuts_agrees_with_quadrature():
    """Means of a sampled selection model within four Monte Carlo errors, a study's own among them."""
    priors = PRIORS | {"omega": "step_weights(0.025, side='greater')"}
    exact = bm.fit(EFFECTS, "selection_stepfun", priors=priors)
    drawn = bm.fit(EFFECTS, "selection_stepfun", priors=priors, engine="nuts", seed=4, draws=1000, chains=2)
    for name in ("mu", "tau", "theta_new"):
        assert abs(exact[name].mean() - drawn[name].mean()) < 4 * drawn[name].mcse("mean")
    study = EFFECTS.study[0]
    assert abs(exact.theta[study].mean() - drawn.theta[study].mean()) < 4 * drawn.theta[study].mcse("mean")


def test_priors_of_weights_read_and_refuse():
    """The text form reads back; cut points and sides that cannot be are refused in words."""
    prior = parse_prior("step_weights(0.05, 0.025, side='less')")
    assert repr(prior) == "step_weights(0.025, 0.05, side='less')"
    assert parse_prior(repr(prior)).steps == prior.steps == (0.05, 0.025)
    for text, words in (
        ("step_weights(0.025, 1.2, side='less')", "strictly between 0 and 1"),
        ("step_weights(0.025, side='up')", "side of step_weights"),
        ("step_weights(0.025)", "step_weights"),
    ):
        with pytest.raises(ModelError, match=words):
            parse_prior(text)
    with pytest.raises(ModelError, match="no prior of weights"):
        bm.fit(EFFECTS, "selection_stepfun", priors={"omega": "beta(1, 1)"})
    turned = parse_prior("mirrored(half_cauchy(1))")
    assert (turned.support[1], float(turned.cdf(-1.0))) == (0.0, 0.5)
