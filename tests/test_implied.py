"""What the priors imply for a new study: against closed forms and plain integrals."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.special import ndtr

from bayesmeta.priors import parse_prior
from bayesmeta.priors.predictive import implied


def new_study(mu, tau, level=0.95):
    facts = implied(parse_prior(mu), parse_prior(tau), level=level)
    return facts.new_low, facts.new_high


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
@pytest.mark.parametrize(
    ("mu", "tau", "law"),
    [
        ("normal(1, 3)", "point(4)", stats.norm(1, 5)),
        ("point(0.5)", "tau2~exponential(2)", stats.laplace(0.5, 0.5)),
        ("point(0)", "tau2~inverse_gamma(1.5, 6)", stats.t(3, 0, 2)),
        ("point(-2)", "tau2~inverse_gamma(0.5, 0.5)", stats.cauchy(-2, 1)),
        ("student_t(3, 1, 2)", "point(0)", stats.t(3, 1, 2)),
        ("cauchy(0, 1)", "half_normal(0.00001)", stats.cauchy(0, 1)),
        ("0.5*normal(0, 3) + 0.5*normal(0, 3)", "uniform(0.9999999, 1)", stats.norm(0, math.sqrt(10))),
    ],
)  # fmt: skip
def test_laws_with_a_closed_form(mu, tau, law, level):
    """Normals with an exponential variance are Laplace, with an inverse gamma one Student's t; tau = 0 adds nothing."""
    tail = 0.5 * (1 - level)
    expected = [law.ppf(tail), law.ppf(1 - tail)]
    assert new_study(mu, tau, level) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("tau", "law"),
    [
        ("half_cauchy(0.5)", stats.halfcauchy(scale=0.5)),
        ("half_normal(0.5)", stats.halfnorm(scale=0.5)),
        ("lomax(0.5, 0.1)", stats.lomax(0.5, scale=0.1)),
        ("log_normal(-2, 2)", stats.lognorm(2, scale=math.exp(-2))),
    ],
)
def test_a_normal_mean_with_any_tau(tau, law):
    """Below the upper quantile lies 97.5% of the normals averaged over tau, by adaptive quadrature."""
    low, high = new_study("normal(0, 2.82)", tau)
    ends = [0.0, *law.ppf([0.3, 0.6, 0.9, 0.99, 0.999, 1 - 1e-5, 1 - 1e-7])]
    share = sum(
        quad(lambda t: law.pdf(t) * ndtr(high / math.hypot(2.82, t)), a, b, epsabs=1e-13, limit=200)[0]
        for a, b in itertools.pairwise(ends)
    )
    # Beyond the last end, 1e-7 of probability counts a half.
    assert share + 0.5e-7 == pytest.approx(0.975, abs=6e-8)
    assert low == pytest.approx(-high, rel=1e-9)


def test_the_figure_of_a_half_cauchy():
    """A vague normal mean with half_cauchy(0.5) puts 97.5% of new studies below 7.398."""
    assert new_study("normal(0, 2.82)", "half_cauchy(0.5)")[1] == pytest.approx(7.398, abs=5e-4)


def test_a_uniform_mean_with_jumps_in_the_density_of_tau():
    """A uniform mean plus a normal has a closed form given tau, which is averaged over a prior of tau with a jump."""
    low, high = new_study("uniform(-1, 2)", "0.5*uniform(0, 0.2) + 0.5*half_cauchy(1)")

    def below(x, t):
        primitive = [z * ndtr(z) + stats.norm.pdf(z) for z in ((x + 1) / t, (x - 2) / t)]
        return t * (primitive[0] - primitive[1]) / 3

    cauchy = stats.halfcauchy()
    for x, p in ((low, 0.025), (high, 0.975)):
        uniform = quad(lambda t, x=x: below(x, t) / 0.2, 1e-9, 0.2, epsabs=1e-12)[0]
        # tau = tan(pi u / 2) has the half-Cauchy law for uniform u.
        wide = quad(lambda u, x=x: below(x, cauchy.ppf(u)), 1e-9, 1 - 1e-7, epsabs=1e-11, limit=300)[0]
        assert 0.5 * (uniform + wide + 0.5e-7) == pytest.approx(p, abs=1e-7)


@pytest.mark.parametrize(
    ("mu", "law"), [("student_t(3, 0.2, 1)", stats.t(3, 0.2, 1)), ("logistic(0, 1)", stats.logistic())]
)
def test_other_means_are_averaged_as_well(mu, law):
    """Both priors integrated by a plain two-dimensional rule give the same probability below the quantiles."""
    z, w = np.polynomial.hermite_e.hermegauss(60)
    w = w / w.sum()
    t, v = np.polynomial.legendre.leggauss(200)
    tau, mass = 2.0 * (1 + t), 2.0 * v * stats.halfnorm(scale=0.5).pdf(2.0 * (1 + t))
    for x, p in zip(new_study(mu, "half_normal(0.5)"), (0.025, 0.975), strict=True):
        assert float(mass @ law.cdf(x - tau[:, None] * z) @ w) == pytest.approx(p, abs=1e-8)


def test_what_no_float_holds_is_infinite():
    """Under an almost improper prior of tau2 the quantiles lie beyond the largest float."""
    assert new_study("point(0)", "tau2~inverse_gamma(0.001, 0.001)") == (-math.inf, math.inf)
