"""The axis of mu under priors that leave it on many scales at once: Cauchy priors beside a heavy-tailed tau."""

from functools import cache

import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.interpolate import CubicSpline
from scipy.special import log_expit, logsumexp

import bayesmeta as bm
from bayesmeta.engines.counts.draws import draw
from bayesmeta.engines.counts.grid.mu_axis import Stretched
from bayesmeta.engines.counts.solve import integrate
from bayesmeta.model import StudyLikelihoods
from bayesmeta.priors import parse_prior

Y, S = np.array([0.3, 0.8, 0.1, 0.5]), np.array([0.2, 0.4, 0.3, 0.35])
STUDIES = ("Study 1", "Study 2", "Study 3", "Study 4")


@cache
def solved(mu, tau):
    """Return the posterior of four normal studies by the engine of exact likelihoods."""

    def loglik(theta):
        return stats.norm.logpdf(Y[:, None], theta, S[:, None])

    return integrate(StudyLikelihoods(STUDIES, loglik, Y, S, parse_prior(mu), parse_prior(tau)))


@examples(200)
@given(
    place=st.floats(-1e3, 1e3),
    width=st.floats(1e-3, 1e3),
    center=st.floats(-1e3, 1e3),
    scale=st.floats(1e-3, 1e6),
    u=st.floats(-30.0, 30.0),
)
def test_the_axis_and_its_inverse_undo_each_other(place, width, center, scale, u):
    """The mu of a u has that u, whichever two places the axis is fine about, and its slope is the derivative."""
    axis, placed = Stretched(place, width), (np.array([center]), np.array([scale]))
    mu = axis.mu(np.array([u]), *placed)
    assert axis.u(mu, *placed)[0] == pytest.approx(u, abs=1e-9)
    h = 1e-4
    ends = axis.mu(np.array([u - h]), *placed)[0], axis.mu(np.array([u + h]), *placed)[0]
    assert (ends[1] - ends[0]) / (2.0 * h) == pytest.approx(float(axis.slope(mu, *placed)[0]), rel=1e-3)


def test_an_axis_of_a_flat_prior_is_that_of_the_studies():
    """A prior of infinite width takes no nodes: u is the inverse hyperbolic sine of the distance."""
    axis, mu = Stretched(0.0, np.inf), np.array([-7.0, 1.0, 300.0])
    assert axis.u(mu, np.array([1.0]), np.array([2.0])) == pytest.approx(np.arcsinh((mu - 1.0) / 2.0))


def agree(ours, theirs):
    """Check distribution functions to 1e-9, mean and SD to 1e-8."""
    x = theirs.ppf(np.array([1e-4, 0.025, 0.5, 0.975, 1.0 - 1e-4]))
    assert ours.cdf(x) == pytest.approx(theirs.cdf(x), abs=1e-9)
    assert ours.mean() == pytest.approx(theirs.mean(), abs=1e-8)
    assert ours.sd() == pytest.approx(theirs.sd(), rel=1e-8)


@pytest.mark.parametrize(
    ("mu", "tau", "effect"),
    [
        ("cauchy(0, 0.1)", "half_cauchy(0.5)", "theta_new"),
        ("cauchy(-2, 0.2)", "inverse_gamma(1, 0.15)", "Study 2"),
        ("student_t(2, 0, 0.1)", "half_cauchy(2)", "Study 1"),
    ],
)
def test_marginals_are_those_of_the_normal_engine(mu, tau, effect):
    """Evidence and marginals agree with those of the one-dimensional engine, which writes a t prior as a mixture."""
    exact = solved(mu, tau)
    normal = bm.fit(bm.EffectSizes(Y, S), priors={"mu": mu, "tau": tau}, engine="quadrature")
    assert isinstance(exact.plane.axis, Stretched)
    assert exact.log_evidence == pytest.approx(normal.log_evidence, abs=1e-10)
    agree(exact.mu(), normal["mu"])
    agree(exact.tau(), normal.tau)
    if effect == "theta_new":
        agree(exact.theta_new(), normal["theta_new"])
    else:
        agree(exact.true_effect(STUDIES.index(effect)), normal.theta[effect])


def test_draws_follow_the_marginals():
    """Kolmogorov-Smirnov tests of draws of mu and tau against their distributions."""
    exact = solved("cauchy(-2, 0.2)", "inverse_gamma(1, 0.15)")
    drawn = draw(exact, 4000, np.random.default_rng(11))
    assert stats.kstest(drawn["mu"], exact.mu().cdf).pvalue > 1e-3
    assert stats.kstest(drawn["tau"], exact.tau().cdf).pvalue > 1e-3


@pytest.mark.parametrize("model", ["hypergeometric_normal", "binomial_normal"])
def test_a_cauchy_prior_is_a_reweighted_normal_one(model):
    """Evidence and probabilities under a Cauchy prior are averages of prior ratios over the posterior of a flatter one.

    The wide normal prior's grid is uniform; a tau that is bounded leaves both posteriors where it still resolves them.
    """
    data = bm.TwoByTwo([12, 3, 7], [60, 40, 55], [18, 9, 8], [58, 41, 60])
    narrow, wide = "cauchy(1, 0.02)", "normal(0, 3)"
    tau = "truncated(half_cauchy(0.5), 0, 1)"
    cauchy, normal = (bm.fit(data, model, priors={"mu": m, "tau": tau}, engine="quadrature") for m in (narrow, wide))
    assert isinstance(cauchy.details.plane.axis, Stretched)
    assert not isinstance(normal.details.plane.axis, Stretched)
    near = np.sinh(np.linspace(-9.0, 9.0, 40_001))
    mu = 1.0 + 0.02 * near
    slope = 0.02 * np.sqrt(1.0 + near**2) * 18.0 / 40_000
    weight = np.zeros(len(mu))
    inside = np.abs(mu) < 15.0
    ratio = stats.cauchy.logpdf(mu[inside], 1.0, 0.02) - stats.norm.logpdf(mu[inside], 0.0, 3.0)
    weight[inside] = normal["mu"].pdf(mu[inside]) * np.exp(ratio) * slope[inside]
    total = weight.sum()
    assert cauchy.log_evidence == pytest.approx(normal.log_evidence + np.log(total), abs=1e-7)
    assert cauchy["mu"].mean() == pytest.approx(weight @ mu / total, abs=1e-7)
    assert cauchy["mu"].sd() == pytest.approx(np.sqrt(weight @ (mu - cauchy["mu"].mean()) ** 2 / total), rel=1e-6)


def test_what_is_next_to_nothing_far_out_does_not_reach_the_moments():
    """One precise study beside vague ones: the SD of mu, whose axis reaches to 1e7, is that of the normal engine."""
    y, s = np.array([0.2, 0.9, 0.35]), np.array([0.005, 1.5, 0.3])

    def loglik(theta):
        return stats.norm.logpdf(y[:, None], theta, s[:, None])

    priors = {"mu": "cauchy(0, 0.01)", "tau": "half_cauchy(0.5)"}
    given = StudyLikelihoods(STUDIES[:3], loglik, y, s, parse_prior(priors["mu"]), parse_prior(priors["tau"]))
    agree(integrate(given).mu(), bm.fit(bm.EffectSizes(y, s), priors=priors, engine="quadrature")["mu"])


@pytest.mark.parametrize(
    ("spike", "tau"),
    [("normal(0, 0.003)", "point(0)"), ("normal(0.1, 0.0005)", "point(0)"), ("normal(0, 0.001)", "point(0.2)")],
)
def test_a_narrow_part_of_a_mixture_is_not_missed(spike, tau):
    """Evidence under a mixture is the mean of those under its parts, probabilities are means weighted by them."""
    data = bm.TwoByTwo([12, 3, 7], [60, 40, 55], [18, 9, 8], [58, 41, 60])
    mixture, part, other = (
        bm.fit(data, "hypergeometric_normal", priors={"mu": mu, "tau": tau}, engine="quadrature")
        for mu in (f"0.5*{spike} + 0.5*normal(0, 1)", spike, "normal(0, 1)")
    )
    evidence = np.logaddexp(part.log_evidence, other.log_evidence) - np.log(2.0)
    assert mixture.log_evidence == pytest.approx(evidence, abs=1e-10)
    share = np.exp(part.log_evidence - np.log(2.0) - evidence)
    for x in (0.002, 0.1):
        expected = share * part["mu"].cdf(x) + (1.0 - share) * other["mu"].cdf(x)
        assert mixture["mu"].cdf(x) == pytest.approx(expected, abs=1e-9)


def one_sided(theta, treated, control):
    """Return the log likelihood of no events among the treated, over a standard normal baseline about -1."""
    z, weight = np.polynomial.hermite_e.hermegauss(80)
    baseline, events = z - 1.0, control[0]
    patients = treated * log_expit(-baseline - theta[:, None])
    known = events * log_expit(baseline) + (control[1] - events) * log_expit(-baseline)
    return logsumexp(patients + known + np.log(weight), axis=1)


@pytest.mark.parametrize(("df", "scale"), [(5.0, 1.0), (4.0, 2.5)])
def test_true_effects_far_out_equal_plain_sums(df, scale):
    """No study holds mu from below: mu and true effects go as far as the prior's tail, thousands of tau away.

    Sums over 60 values of tau, 4000 of mu and 150 of the random effect give the same mean.
    """
    data = bm.TwoByTwo([0, 0], [10, 20], [3, 2], [12, 22])
    priors = {"mu": f"student_t({df}, 0, {scale})", "tau": "half_normal(0.5)", "baseline": "normal(-1, 1)"}
    u = np.linspace(-11.0, 5.0, 4001)
    mu, z = np.sinh(u), np.polynomial.hermite_e.hermegauss(150)
    first, second = (CubicSpline(u, one_sided(mu, *arms)) for arms in ((10, (3, 12)), (20, (2, 22))))
    node, weight = np.polynomial.legendre.leggauss(60)
    parts = np.zeros(2)
    for tau, w in zip(2.25 * (node + 1.0), weight, strict=True):
        theta = mu[:, None] + tau * z[0]
        own, other = (np.exp(log(np.clip(np.arcsinh(theta), u[0], u[-1]))) for log in (first, second))
        mass = w * stats.halfnorm.pdf(tau, scale=0.5) * stats.t.pdf(mu, df, 0.0, scale) * np.cosh(u) * (other @ z[1])
        parts += mass @ (own @ z[1]), mass @ ((own * theta) @ z[1])
    found = bm.fit(data, "binomial_normal", priors=priors).theta["Study 1"].mean()
    assert found == pytest.approx(parts[1] / parts[0], abs=1e-9)
