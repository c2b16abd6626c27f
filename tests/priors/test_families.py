"""Every prior family: against scipy, the golden densities, its own text form, its integral and its limits."""

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from bayesmeta import priors
from bayesmeta.errors import ModelError
from bayesmeta.priors import PRIORS, Prior, parse_prior

GOLDEN = Path(__file__).parents[1] / "golden"
SEI = np.array([0.3, 0.5, 1.2, 0.1])

# The same distribution in scipy.stats, an independent implementation. Data-dependent scales written out by hand.
HARMONIC = math.sqrt(4 / np.sum(SEI**-2))
W = SEI**-2
TYPICAL = math.sqrt(3 * W.sum() / (W.sum() ** 2 - (W**2).sum()))
SCIPY = {
    "half_normal": stats.halfnorm(scale=0.5),
    "half_cauchy": stats.halfcauchy(scale=0.5),
    "half_logistic": stats.halflogistic(scale=0.3),
    "exponential": stats.expon(scale=0.5),
    "lomax": stats.lomax(2, scale=1),
    "log_normal": stats.lognorm(0.67, scale=math.exp(-1.97)),
    "gamma": stats.gamma(2, scale=0.2),
    "inverse_gamma": stats.invgamma(1.36, scale=0.21),
    "rayleigh": stats.rayleigh(scale=0.5),
    "uniform": stats.uniform(0, 4),
    "normal": stats.norm(0, 2.82),
    "student_t": stats.t(4, 0, 1),
    "cauchy": stats.cauchy(0, 1),
    "logistic": stats.logistic(0, 1),
    "beta": stats.beta(1, 1),
    "lkj": stats.beta(2, 2, loc=-1, scale=2),
    "dumouchel": stats.lomax(1, scale=HARMONIC),
    "shrinkage": stats.fisk(2, scale=HARMONIC),
    "i2": stats.fisk(2, scale=TYPICAL),
}
EXAMPLES = {name: parse_prior(family.example).resolve(SEI) for name, family in PRIORS.items()}
COMPOUND = {
    text: parse_prior(text)
    for text in (
        "tau2~inverse_gamma(1.5, 0.5)",
        "tau2~gamma(0.5, 2)",
        "truncated(normal(0, 1), 0, inf)",
        "truncated(normal(0, 1), 6, 9)",
        "truncated(student_t(3, 0.35, 0.102), -1, 2)",
        "0.5*half_normal(0.1) + 0.5*half_normal(1)",
        "0.2*uniform(0, 1) + 0.8*half_cauchy(0.5)",
    )
}
ALL = {**EXAMPLES, **COMPOUND}
PROPER = {name: prior for name, prior in ALL.items() if prior.proper and name != "point"}
Q = np.array([1e-6, 0.01, 0.2, 0.5, 0.8, 0.99, 1 - 1e-6])


@pytest.mark.parametrize("name", sorted(SCIPY))
def test_families_agree_with_scipy(name):
    """Density, distribution function and quantiles of a family are those of the same scipy distribution."""
    prior, reference = EXAMPLES[name], SCIPY[name]
    x = reference.ppf(Q)
    for ours, theirs in ((prior.logpdf, reference.logpdf), (prior.cdf, reference.cdf), (prior.sf, reference.sf)):
        np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(prior.ppf(Q), x, rtol=1e-9)
    np.testing.assert_allclose(prior.isf(Q), reference.isf(Q), rtol=1e-9)


MOMENTS = sorted(set(SCIPY) - {"cauchy", "half_cauchy", "dumouchel", "shrinkage", "i2", "inverse_gamma", "lomax"})


@pytest.mark.parametrize("name", MOMENTS)
def test_moments_agree_with_scipy(name):
    """Mean and standard deviation are those of the same scipy distribution where both exist."""
    assert EXAMPLES[name].mean() == pytest.approx(SCIPY[name].mean(), rel=1e-12, abs=1e-15)
    assert EXAMPLES[name].sd() == pytest.approx(SCIPY[name].std(), rel=1e-12)


GOLDEN_FAMILIES = {
    "halfnormal_0.5": "half_normal(0.5)",
    "halfcauchy_0.5": "half_cauchy(0.5)",
    "halft_df4_0.5": "half_student_t(4, 0.5)",
    "halflogistic_0.5": "half_logistic(0.5)",
    "lomax_shape2_scale1": "lomax(2, 1)",
    "rayleigh_0.5": "rayleigh(0.5)",
    "invchi_df3_1": "inverse_chi(3, 1)",
}


@pytest.mark.parametrize("name", sorted(GOLDEN_FAMILIES))
def test_families_agree_with_the_golden_densities(name):
    """Density, probabilities, quantiles and moments are those that the R package prints."""
    families = json.loads((GOLDEN / "bayesmeta_misc.json").read_text())["results"]["prior_families"]
    prior, golden = parse_prior(GOLDEN_FAMILIES[name]), families[name]
    np.testing.assert_allclose(prior.pdf(families["x"]), golden["d"], rtol=1e-12)
    np.testing.assert_allclose(prior.cdf(families["x"]), golden["p"], rtol=1e-12)
    np.testing.assert_allclose(prior.ppf(families["p"]), golden["q"], rtol=1e-12)
    if "mean" in golden:
        assert prior.mean() == pytest.approx(golden["mean"], rel=1e-12)
        assert prior.sd() ** 2 == pytest.approx(float(golden["var"]), rel=1e-12)


@pytest.mark.parametrize("name", sorted(ALL))
def test_repr_reads_back(name):
    """The repr of a prior is a text form of the same prior, and every family speaks the protocol."""
    prior = ALL[name]
    again = parse_prior(repr(prior)).resolve(SEI)
    assert again == prior
    assert isinstance(prior, Prior)
    assert parse_prior(prior) is prior


number = st.floats(-1e6, 1e6, allow_nan=False)
size = st.floats(1e-8, 1e8)


@examples(60)
@given(loc=number, scale=size, df=size, w=st.floats(0.01, 0.99))
def test_numbers_survive_the_text_form(loc, scale, df, w):
    """Any parameter values read back exactly from the text form, in combinations too."""
    for text in (
        f"normal({loc!r}, {scale!r})",
        f"half_student_t({df!r}, {scale!r})",
        f"truncated(normal({loc!r}, {scale!r}), {loc!r}, inf)",
        f"{w!r}*half_normal({scale!r}) + {1 - w!r}*tau2~x".replace("tau2~x", f"on_tau2(gamma({df!r}, {scale!r}))"),
    ):
        prior = parse_prior(text)
        assert parse_prior(repr(prior)) == prior


@pytest.mark.parametrize("name", sorted(PROPER))
def test_density_integrates_to_its_distribution_function(name):
    """The density of a proper prior integrates to the probability between any two quantiles."""
    prior = PROPER[name]
    points = np.unique(np.concatenate([prior.ppf([0.001, 0.05, 0.3, 0.5, 0.7, 0.95, 0.999]), prior.breaks]))
    for a, b in pairwise(points):
        area = integrate.quad(lambda x: float(prior.pdf(x)), a, b, epsabs=1e-13, epsrel=1e-11, limit=200)[0]
        assert area == pytest.approx(float(prior.cdf(b) - prior.cdf(a)), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("name", sorted(PROPER))
def test_quantiles_invert_probabilities(name):
    """cdf(ppf(q)) is q and sf(isf(q)) is q, and both tails add up to one."""
    prior = PROPER[name]
    np.testing.assert_allclose(prior.cdf(prior.ppf(Q)), Q, rtol=1e-8)
    np.testing.assert_allclose(prior.sf(prior.isf(Q)), Q, rtol=1e-8)
    np.testing.assert_allclose(prior.cdf(prior.ppf(Q)) + prior.sf(prior.ppf(Q)), 1.0, rtol=1e-12)


@pytest.mark.parametrize("name", sorted(n for n, p in ALL.items() if 0 < p.tail_exponent < 50 and n != "log_student_t"))
def test_density_falls_with_the_tail_exponent(name):
    """Far out the log density falls along log x with slope minus the tail exponent."""
    prior = ALL[name]
    x = np.array([1e6, 1e7])
    slope = np.diff(prior.logpdf(x))[0] / np.diff(np.log(x))[0]
    assert slope == pytest.approx(-prior.tail_exponent, rel=1e-4)


@pytest.mark.parametrize(
    "name", sorted(n for n, p in ALL.items() if p.support[0] == 0 and math.isfinite(p.origin_exponent))
)
def test_density_rises_with_the_origin_exponent(name):
    """Near 0 the log density rises along log x with slope the origin exponent (log_student_t: to a logarithm)."""
    prior = ALL[name]
    x = np.array([1e-9, 1e-8])
    slope = np.diff(prior.logpdf(x))[0] / np.diff(np.log(x))[0]
    assert slope == pytest.approx(prior.origin_exponent, abs=0.4 if name == "log_student_t" else 1e-6)


@pytest.mark.parametrize("name", sorted(PROPER))
def test_moments_agree_with_the_density(name):
    """Moments are the integrals of the density, and infinite or undefined exactly where its tail says so."""
    prior = PROPER[name]
    exists = {"mean": prior.tail_exponent > 2, "sd": prior.tail_exponent > 3}
    assert math.isfinite(prior.mean()) == exists["mean"]
    assert math.isfinite(prior.sd()) == exists["sd"]
    if not exists["sd"]:
        return
    edges = [prior.support[0], *prior.ppf([1e-6, 1e-3, 0.1, 0.5, 0.9, 0.999]), float(prior.isf(1e-6)), prior.support[1]]
    edges = np.unique(np.concatenate([edges, prior.breaks]))
    for power, value in ((1, prior.mean()), (2, prior.sd() ** 2 + prior.mean() ** 2)):
        options = {"args": (power,), "epsabs": 1e-14, "epsrel": 1e-10, "limit": 200}
        moment = sum(
            integrate.quad(lambda x, r: x**r * float(prior.pdf(x)), a, b, **options)[0] for a, b in pairwise(edges)
        )
        assert moment == pytest.approx(value, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("name", sorted(set(ALL) - {"beta", "point", "flat", "sqrt", "lkj", "fisher_z"}))
def test_rescaling_is_a_change_of_unit(name):
    """The prior of 1.7 times the quantity has the density of the quantity at x / 1.7, divided by 1.7."""
    prior = ALL[name]
    other = prior.rescale(1.7)
    x = prior.ppf([0.1, 0.5, 0.9]) if prior.proper else np.array([0.1, 0.5, 2.0])
    shift = np.log(1.7) if prior.proper else float(prior.logpdf(x[0]) - other.logpdf(1.7 * x[0]))
    np.testing.assert_allclose(other.logpdf(1.7 * x), prior.logpdf(x) - shift, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", sorted(ALL))
def test_density_is_nothing_outside_the_support(name):
    """The log density is minus infinity outside the support, and the shape of the argument is kept."""
    prior = ALL[name]
    low, high = prior.support
    outside = [x for x in (low - 1.0, high + 1.0) if math.isfinite(x)]
    assert np.all(prior.logpdf(np.array(outside)) == -np.inf)
    assert prior.logpdf(np.full((2, 3), max(low, 0.5))).shape == (2, 3)
    assert prior.logpdf(0.5).shape == ()


BAD = [
    ("half_normal(-1)", "scale must be greater than 0"),
    ("half_normal()", "takes 1 number"),
    ("half_normal(1, 2)", "takes 1 number"),
    ("half_norml(1)", "Did you mean 'half_normal'"),
    ("half_normal", "parentheses"),
    ("normal(0, inf)", "finite"),
    ("normal(0, x)", "Cannot read"),
    ("uniform(4, 0)", "lower must be less"),
    ("uniform(1, inf)", "finite"),
    ("uniform(0)", "both limits"),
    ("half_normal(0.5", "Cannot read"),
    ("half_normal(1/0)", "division by zero"),
    ("half_normal('a')", "must be a number"),
    ("__import__('os')", "Unknown prior"),
    ("half_normal(1) + half_normal(2)", "Cannot read"),
    ("0.5*half_normal(1) + 0.4*half_normal(2)", "add up to 1"),
    ("0.5*point(0) + 0.5*half_normal(1)", "compare the evidence"),
    ("0.5*flat() + 0.5*normal(0, 1)", "improper"),
    ("truncated(normal(0, 1), 50, 60)", "no probability"),
    ("truncated(flat(), 0, 1)", "improper"),
    ("tau2~normal(0, 1)", "cannot be negative"),
    ("robust(normal(0, 1), 1.5, normal(0, 2))", "between 0 and 1"),
    ("", "Cannot read"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_bad_text_says_what_is_wrong(text, message):
    """A prior that cannot be read is refused with the rule it breaks."""
    with pytest.raises(ModelError, match=message):
        parse_prior(text)


@pytest.mark.parametrize("value", [3, None, stats.poisson(3), stats.multivariate_normal([0, 0]), PRIORS["half_normal"]])
def test_other_objects_are_refused(value):
    """What is no continuous distribution is no prior."""
    with pytest.raises(ModelError):
        parse_prior(value)


@pytest.mark.parametrize(
    ("frozen", "text"),
    [
        (stats.halfnorm(scale=0.5), "half_normal(0.5)"),
        (stats.norm(0, 2), "normal(0, 2)"),
        (stats.t(4, 0, 1), "student_t(4, 0, 1)"),
        (stats.gamma(2, scale=0.25), "gamma(2, 4)"),
        (stats.uniform(0, 4), "uniform(0, 4)"),
        (stats.truncnorm(-1, 2, 0, 1), "truncated(normal(0, 1), -1, 2)"),
        (stats.weibull_min(2, scale=0.3), "scipy:weibull_min(2, 0, 0.3)"),
        (stats.gamma(2, loc=1), "scipy:gamma(2, 1, 1)"),
    ],
)
def test_scipy_distributions_are_priors(frozen, text):
    """A scipy frozen distribution becomes the same family here, or is wrapped under its own name."""
    prior = parse_prior(frozen)
    assert repr(prior) == text
    x = frozen.ppf([0.1, 0.5, 0.9])
    np.testing.assert_allclose(prior.logpdf(x), frozen.logpdf(x), rtol=1e-10)
    assert prior.sd() == pytest.approx(frozen.std(), rel=1e-7)


def test_tails_of_wrapped_distributions_are_estimated():
    """A wrapped Burr distribution with density x at 0 and x to the -3 far out is recognised as such."""
    prior = parse_prior(stats.burr12(2, 1))
    assert prior.tail_exponent == pytest.approx(3, abs=1e-3)
    assert prior.origin_exponent == pytest.approx(1, abs=1e-3)
    assert parse_prior(stats.invgauss(1.0, scale=0.5)).tail_exponent == math.inf


@pytest.mark.parametrize("name", sorted(PRIORS))
def test_the_text_form_is_also_python(name):
    """What a prior prints as can be typed after ``priors.``, and gives that prior."""
    prior = parse_prior(PRIORS[name].example)
    assert eval(f"priors.{prior!r}", {"priors": priors}) == prior


def test_an_unknown_name_is_not_a_prior():
    """Only the names of families are added to the module's own."""
    with pytest.raises(AttributeError, match="half_gamma"):
        priors.half_gamma  # noqa: B018


@pytest.mark.parametrize(("shape", "scale"), [(1.0, 0.1), (1.36, 0.21), (0.75, 2.0)])
def test_the_mean_of_tau_under_an_inverse_gamma_of_its_square_is_that_of_gamma_functions(shape, scale):
    """The mean of the root is ``sqrt(scale) Gamma(shape - 1/2) / Gamma(shape)``, however slowly its tail falls."""
    expected = math.sqrt(scale) * math.gamma(shape - 0.5) / math.gamma(shape)
    assert parse_prior(f"tau2~inverse_gamma({shape}, {scale})").mean() == pytest.approx(expected, rel=1e-10)


def test_fisher_z_is_a_normal_seen_through_tanh():
    """Quantiles of the correlation are those of its Fisher z, and its moments those of a Gauss-Hermite sum."""
    prior = parse_prior("fisher_z(0.3, 0.5)")
    normal = stats.norm(0.3, 0.5)
    np.testing.assert_allclose(prior.ppf(Q), np.tanh(normal.ppf(Q)), rtol=1e-12)
    rho = np.array([-0.9, -0.2, 0.4, 0.95])
    np.testing.assert_allclose(prior.cdf(rho), normal.cdf(np.arctanh(rho)), rtol=1e-12)
    np.testing.assert_allclose(prior.logpdf(rho), normal.logpdf(np.arctanh(rho)) - np.log(1 - rho**2), rtol=1e-12)
    x, w = np.polynomial.hermite_e.hermegauss(60)
    values = np.tanh(0.3 + 0.5 * x)
    assert prior.mean() == pytest.approx(w @ values / w.sum(), rel=1e-9)
    assert prior.sd() == pytest.approx(math.sqrt(w @ values**2 / w.sum() - (w @ values / w.sum()) ** 2), rel=1e-8)
