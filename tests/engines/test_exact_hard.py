"""Posteriors of exact likelihoods that are easy to get wrong: two modes, outliers, moments that do not exist."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import special, stats

import bayesmeta as bm
from bayesmeta.engines.counts.random_effects import StudentEffects
from bayesmeta.engines.counts.random_effects_cut import check_limited
from bayesmeta.engines.sampling.compiled import program_cache
from bayesmeta.errors import ModelError
from bayesmeta.model import load_model
from bayesmeta.priors import parse_prior
from bayesmeta.studies import TwoByTwo


def tables(*rows):
    return TwoByTwo(*np.array(rows, float).T)


@pytest.mark.parametrize(
    ("data", "half"),
    [
        (tables((3, 20, 9, 21), (10, 23, 14, 23)), "1"),
        (tables((0, 30, 0, 28)), "3"),
    ],
    ids=["data that prefer one mode", "data that prefer none"],
)
def test_a_prior_with_two_modes_keeps_both(data, half):
    """The posterior under a mixture prior is the components' posteriors, weighted by their evidence."""
    low, high, both = (
        bm.fit(data, "binomial_normal", priors={"mu": text}, engine="quadrature")
        for text in (
            f"normal(-{half}, 0.1)",
            f"normal({half}, 0.1)",
            f"0.5*normal(-{half}, 0.1) + 0.5*normal({half}, 0.1)",
        )
    )
    evidence = np.logaddexp(low.log_evidence, high.log_evidence) - math.log(2.0)
    share = 0.5 * math.exp(high.log_evidence - evidence)
    assert both.log_evidence == pytest.approx(evidence, abs=1e-9)
    assert float(both.mu.sf(0.0)) == pytest.approx(share, rel=1e-7)
    assert both.mu.mean() == pytest.approx(share * high.mu.mean() + (1 - share) * low.mu.mean(), abs=1e-8)


def test_a_true_effect_without_events_has_the_tail_of_tau():
    """Where an arm without events leaves theta unbounded below and tau falls as tau^-2, the mean is minus infinity."""
    data = tables((0, 30, 5, 28))
    post = bm.fit(data, "binomial_normal", priors={"tau": "half_cauchy(0.5)"}, engine="quadrature")
    theta = next(iter(post.theta.values()))
    assert theta.mean() == -math.inf
    assert theta.sd() == math.inf
    assert any("does not exist" in note for note in theta.notes)
    far = theta.ppf([1e-4, 1e-5])
    assert far[1] / far[0] == pytest.approx(10.0, rel=0.01)


def test_a_true_effect_with_events_in_both_arms_has_its_moments():
    """A study that bounds its own effect keeps a finite mean and SD, whatever the tail of tau."""
    data = tables((3, 20, 9, 21), (0, 23, 4, 23))
    post = bm.fit(data, "binomial_normal", priors={"tau": "half_cauchy(0.5)"}, engine="quadrature")
    first = next(iter(post.theta.values()))
    assert math.isfinite(first.mean())
    assert math.isfinite(first.sd())
    assert first.notes == ()


def test_an_improper_prior_of_the_baseline_leaves_no_evidence():
    """A flat baseline multiplies the evidence by an arbitrary constant, so none is given."""
    data = tables((3, 20, 9, 21), (2, 23, 4, 23))
    flat = bm.fit(data, "binomial_normal", priors={"baseline": "flat()"}, engine="quadrature")
    assert flat.log_evidence is None


@pytest.mark.parametrize("tau", [1e-5, 3e-4, 1e-3, 0.05, 2.0])
def test_a_student_t_average_of_an_outlier_is_the_integral_over_its_effect(tau):
    """A study 50 standard errors away is averaged over the tail of t, however small tau is."""
    y, s, df, mu = 5.0, 0.1, 4.0, 0.0
    found = StudentEffects(np.array([y]), np.array([s]), df, parse_prior("normal(0, 1)")).each(
        np.array([mu]), np.array([tau])
    )[0, 0]
    # Two stretches of theta: about the centre of t and about the study, each on nodes that suit it.
    parts = []
    for at, unit, low, high in ((mu, tau, -30.0, 2.5), (y, s, 2.5, 30.0)):
        u = np.linspace(math.asinh((low - at) / unit), math.asinh((high - at) / unit), 200_001)
        theta = at + unit * np.sinh(u)
        log = stats.t.logpdf(theta, df, mu, tau) + stats.norm.logpdf(y, theta, s) + np.log(unit * np.cosh(u))
        log[[0, -1]] -= math.log(2.0)
        parts.append(special.logsumexp(log) + math.log(u[1] - u[0]))
    assert found == pytest.approx(np.logaddexp(*parts), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("tau", ["half_normal(0.5)", "log_student_t(5, -1.7, 1.3)"])
def test_a_risk_ratio_of_only_events_is_answered_beside_an_ordinary_one(tau):
    """With a prior of tau that reaches to 0 the posterior adds up to one and to its own draws' mean."""
    data = tables((3, 20, 6, 21), (17, 17, 16, 16))
    post = bm.fit(data, "binomial_normal_rr", priors={"tau": tau}, engine="quadrature", seed=1)
    assert float(post.mu.cdf(50.0)) == pytest.approx(1.0, abs=1e-8)
    draws = post.to_datatree(draws=4000, seed=2).posterior["mu"].values.ravel()
    assert np.mean(draws < post.mu.median()) == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(4000))


def test_a_proper_log_student_t_prior_of_tau_is_not_called_improper_for_risk_differences():
    """Its density falls as 1 / tau but for a slower factor, and still adds up to one; a uniform prior's does not."""
    model = load_model("binomial_normal_rd")
    given = model.study_likelihoods(tables((13, 40, 19, 41), (10, 33, 14, 33)), model.priors)
    assert check_limited(replace(given, tau=parse_prior("log_student_t(3, -1.7, 1.3)"))) == 1.0
    with pytest.raises(bm.ModelError, match="improper"):
        check_limited(replace(given, tau=parse_prior("uniform()")))


def test_stored_programs_depend_on_all_code_that_model_files_import(monkeypatch):
    """A change of the code of likelihoods, or of the truncated normal, gives programs another key."""
    before = program_cache._package_hash.__wrapped__()
    changed = {"cut_normal.py", "baselines.py", "relative_effects.py", "values.py"}
    real = type(program_cache.PACKAGE).read_bytes
    for name in changed:
        monkeypatch.setattr(
            type(program_cache.PACKAGE),
            "read_bytes",
            lambda path, name=name: real(path) + (b"#" if path.name == name else b""),
        )
        assert program_cache._package_hash.__wrapped__() != before


@pytest.mark.parametrize("prior", ["uniform(-1, 1)", "truncated(normal(0, 1), -inf, 0)"])
def test_a_prior_of_mu_that_ends_cuts_the_posterior_of_one_that_does_not(prior):
    """Evidence, mean and probabilities follow from the posterior under a normal prior, reweighted by the prior."""
    data = TwoByTwo([12, 8, 15], [100, 80, 120], [10, 9, 12], [100, 80, 120])
    smooth, cut = (
        bm.fit(data, "binomial_normal", priors={"mu": mu, "tau": "half_normal(0.5)"}, engine="quadrature")
        for mu in ("normal(0, 1)", prior)
    )
    density = parse_prior(prior)
    nodes, weights = np.polynomial.legendre.leggauss(200)
    low, high = max(density.support[0], -6.0), min(density.support[1], 6.0)
    x = low + 0.5 * (high - low) * (nodes + 1.0)
    mass = 0.5 * (high - low) * weights * smooth.mu.pdf(x) * density.pdf(x) / stats.norm.pdf(x)
    assert cut.log_evidence == pytest.approx(smooth.log_evidence + math.log(mass.sum()), abs=1e-8)
    assert cut.mu.mean() == pytest.approx(mass @ x / mass.sum(), abs=1e-8)
    assert cut.mu.cdf(high) == pytest.approx(1.0, abs=1e-12)
    assert cut.theta_new.sd() == pytest.approx(math.sqrt(cut.mu.sd() ** 2 + cut["tau2"].mean()), rel=1e-8)


def test_a_fixed_mu_is_refused_by_name():
    """Quadrature of exact likelihoods says which prior it does not take."""
    data = TwoByTwo([12, 8], [100, 80], [10, 9], [100, 80])
    with pytest.raises(ModelError, match=r"the prior point\(0.2\) fixes it"):
        bm.fit(data, "binomial_normal", priors={"mu": "point(0.2)", "tau": "half_normal(0.5)"}, engine="quadrature")
