"""Priors that depend on the standard errors, and improper ones: against golden posteriors and their formulas."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.special import logsumexp

import bayesmeta as bm
from bayesmeta.errors import ModelError
from bayesmeta.priors import min_studies, parse_prior

GOLDEN = Path(__file__).parents[1] / "golden"
FITS = {
    name: json.loads((GOLDEN / f"bayesmeta_nnhm_{name}.json").read_text())
    for name in ("stenting3", "crins_ar6", "rubin8")
}
TEXT = {
    "uniform": "uniform()",
    "Jeffreys": "jeffreys()",
    "half-t(df=4,scale=0.5)": "half_student_t(4, 0.5)",
    "exponential(mean 0.5)": "exponential(2)",
    "log-normal Turner all-cause mortality pharma/placebo": "log_normal(-1.975, 0.67)",
    "DuMouchel": "dumouchel()",
    "shrinkage": "shrinkage()",
    "I2": "i2()",
    "conventional": "conventional()",
}


def text_of(label):
    named = re.fullmatch(r"half-(normal|Cauchy)\((.*)\)", label)
    return f"half_{named[1].lower()}({named[2]})" if named else TEXT[label]


@pytest.mark.parametrize(("data", "key"), [(d, k) for d in FITS for k in FITS[d]["fits"]])
def test_evidence_and_moments_of_golden_fits(data, key):
    """With our prior density, a plain trapezoid over log tau gives the golden evidence and means."""
    golden = FITS[data]
    exact = golden["fits"][key]["exact"]
    y, s = np.array(golden["yi"]), np.array(golden["sei"])
    tau_label, mu_label = (part.split("~", 1)[1] for part in key.split(" | "))
    sd = None if mu_label == "flat" else float(mu_label.split("=")[1].rstrip(")"))
    u = np.linspace(-45, 45, 9001)
    tau = np.exp(u)
    v = s**2 + tau[:, None] ** 2
    precision = (1 / v).sum(1) + (0 if sd is None else sd**-2)
    mu = (y / v).sum(1) / precision
    misfit = ((y - mu[:, None]) ** 2 / v).sum(1) + (0 if sd is None else mu**2 / sd**2)
    log_lik = 0.5 * (-np.log(2 * np.pi * v).sum(1) - misfit - np.log(precision))
    log_lik += 0.5 * math.log(2 * math.pi) if sd is None else -math.log(sd)
    terms = log_lik + parse_prior(text_of(tau_label)).resolve(s).logpdf(tau) + u
    total = logsumexp(terms)
    weights = np.exp(terms - total)
    assert total + math.log(u[1] - u[0]) == pytest.approx(exact["log_marginal"], abs=1e-9)
    for found, name in ((weights @ tau, "tau"), (weights @ mu, "mu")):
        mean = exact[name]["stats"]["mean"]
        if mean != "Inf":
            assert found == pytest.approx(mean, rel=1e-8)


SEI = np.array([0.2, 0.7, 1.5])
X = np.array([0.01, 0.4, 3.0, 50.0])
V = SEI**2 + X[:, None] ** 2
# Up to a constant, written from the papers' formulas.
FORMULAS = {
    "sqrt()": X**-0.5,
    "jeffreys()": np.sqrt(((X[:, None] / V) ** 2).sum(1)),
    "overall_jeffreys()": np.sqrt((1 / V).sum(1) * ((X[:, None] / V) ** 2).sum(1)),
    "berger_deely()": np.prod((X[:, None] / V) ** (1 / 3), axis=1),
    "conventional()": np.prod((X[:, None] / V**1.5) ** (1 / 3), axis=1),
}


@pytest.mark.parametrize("text", sorted(FORMULAS))
def test_densities_are_the_published_formulas(text):
    """The density is proportional to the published formula."""
    ratio = np.exp(parse_prior(text).resolve(SEI).logpdf(X)) / FORMULAS[text]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-12)


@pytest.mark.parametrize(
    "text", ["dumouchel()", "shrinkage()", "i2()", "jeffreys()", "overall_jeffreys()", "conventional()"]
)
def test_data_dependent_priors_follow_the_unit(text):
    """Standard errors on another unit give the prior on that unit."""
    a, b = parse_prior(text).resolve(SEI), parse_prior(text).resolve(1e8 * SEI)
    np.testing.assert_allclose(np.diff(b.logpdf(1e8 * X)), np.diff(a.logpdf(X)), rtol=1e-9, atol=1e-9)
    if a.proper:
        np.testing.assert_allclose(b.ppf([0.1, 0.5, 0.9]), 1e8 * a.ppf([0.1, 0.5, 0.9]), rtol=1e-9)


def test_resolved_scales_are_printed():
    """A resolved scale prior prints its scale and reads back as the same prior."""
    prior = parse_prior("dumouchel()").resolve([0.3, 0.4])
    assert parse_prior(repr(prior)) == prior != parse_prior("dumouchel()")


def test_large_numbers_of_studies_stay_in_memory_bounds():
    """The density for 100,000 studies is the one for a single study with the common standard error."""
    many, one = (parse_prior("berger_deely()").resolve(np.full(k, 0.4)) for k in (100_000, 1))
    np.testing.assert_allclose(many.logpdf(X), one.logpdf(X), rtol=1e-9)


@pytest.mark.parametrize("text", ["conventional()", "overall_jeffreys()", "dumouchel()", "shrinkage()", "i2()"])
def test_data_dependent_priors_can_be_truncated(text):
    """Cut to (0.1, 2) and given the standard errors, the density is the whole one over its integral there."""
    cut = parse_prior(f"truncated({text}, 0.1, 2)")
    assert repr(cut) == f"truncated({text}, 0.1, 2)"
    cut, whole = cut.resolve(SEI), parse_prior(text).resolve(SEI)
    mass = quad(lambda x: float(whole.pdf(x)), 0.1, 2, epsrel=1e-12)[0]
    x = np.array([0.1, 0.3, 1.9])
    np.testing.assert_allclose(cut.pdf(x), whole.pdf(x) / mass, rtol=1e-9)
    np.testing.assert_array_equal(cut.pdf([0.05, 2.1]), 0.0)
    below = quad(lambda x: float(whole.pdf(x)), 0.1, 0.6, epsrel=1e-12)[0] / mass
    assert float(cut.ppf(below)) == pytest.approx(0.6, rel=1e-9)


def test_truncated_data_dependent_priors_reach_the_engine():
    """The evidence under a conventional prior cut to (0, 2) is a plain integral of prior times likelihood."""
    y = np.array([0.3, -0.2, 1.1])
    effects = bm.EffectSizes(yi=y, sei=SEI, measure="OR")
    post = bm.fit(effects, priors={"mu": "point(0)", "tau": "truncated(conventional(), 0, 2)"})
    whole = parse_prior("conventional()").resolve(SEI)

    def product(tau):
        return float(whole.pdf(tau)) * float(np.prod(stats.norm.pdf(y, scale=np.hypot(SEI, tau))))

    expected = quad(product, 0, 2, epsrel=1e-12)[0] / quad(lambda t: float(whole.pdf(t)), 0, 2, epsrel=1e-12)[0]
    assert post.log_evidence == pytest.approx(math.log(expected), abs=1e-9)


@pytest.mark.parametrize("text", ["jeffreys()", "dumouchel()", "truncated(i2(), 0, 1)", "0.5*shrinkage() + 0.5*i2()"])
def test_data_dependent_priors_are_those_of_tau(text):
    """They are stated for tau, so there is none to be set on tau2; one with a given scale is any distribution."""
    with pytest.raises(ModelError, match="without tau2~"):
        parse_prior(f"tau2~{text}")
    assert float(parse_prior("tau2~dumouchel(0.3)").ppf(0.5)) == pytest.approx(math.sqrt(0.3), rel=1e-12)


def test_jeffreys_prior_of_tau2_is_that_of_tau():
    """The square root of Fisher's information in tau2, carried over to tau, is the density of jeffreys()."""
    information_in_tau2 = 0.5 * (V**-2.0).sum(1)
    density = np.sqrt(information_in_tau2) * 2 * X
    ratio = np.exp(parse_prior("jeffreys()").resolve(SEI).logpdf(X)) / density
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-12)


@pytest.mark.parametrize("text", ["dumouchel()", "jeffreys()", "conventional()"])
def test_unresolved_priors_ask_for_standard_errors(text):
    """Without standard errors such a prior has no density, and says so."""
    with pytest.raises(ModelError, match="standard errors"):
        parse_prior(text).logpdf(1.0)
    with pytest.raises(ModelError, match="standard error"):
        parse_prior(text).resolve([0.1, -1])


def test_uniform_in_i2_needs_two_studies():
    """The typical variance of I2 is not defined for one study."""
    with pytest.raises(ModelError, match="at least 2"):
        parse_prior("i2()").resolve([0.3])


@pytest.mark.parametrize(
    ("text", "with_flat_mu", "with_proper_mu"),
    [("uniform()", 3, 2), ("sqrt()", 2, 1), ("jeffreys()", 2, 1), ("berger_deely()", 2, 1), ("conventional()", 1, 1),
     ("tau2~uniform()", 4, 3), ("half_cauchy(1)", 1, 1)],
)  # fmt: skip
def test_studies_needed_for_a_proper_posterior(text, with_flat_mu, with_proper_mu):
    """The least number of studies with which the posterior of tau is proper."""
    prior = parse_prior(text)
    assert (min_studies(prior), min_studies(prior, flat=0)) == (with_flat_mu, with_proper_mu)


@pytest.mark.parametrize("text", ["uniform()", "sqrt()", "jeffreys()", "berger_deely()", "tau2~uniform()"])
@pytest.mark.parametrize("flat", [0, 1])
def test_posterior_is_improper_with_one_study_fewer(text, flat):
    """The mass of prior times likelihood beyond a far point grows without end with one study fewer than needed."""
    for k, grows in (
        (min_studies(parse_prior(text), flat=flat), False),
        (min_studies(parse_prior(text), flat=flat) - 1, True),
    ):
        if k <= max(0, flat - 1):
            continue
        prior = parse_prior(text).resolve(np.full(max(k, 1), 0.3))
        u = np.linspace(math.log(1e3), math.log(1e9), 4001)
        terms = prior.logpdf(np.exp(u)) - (k - flat) * u + u
        assert (terms[-1] >= terms[0] - 1e-6) == grows
