"""Per-study likelihoods of theta against scipy's adaptive integration and distributions."""

from decimal import Decimal, localcontext
from itertools import pairwise
from math import comb

import numpy as np
import pytest
from scipy import integrate, special, stats

import bayesmeta as bm
from bayesmeta.errors import ConvergenceError, ModelError
from bayesmeta.likelihoods import baselines as likelihoods
from bayesmeta.likelihoods import counts as log_probabilities
from bayesmeta.model import load_model
from bayesmeta.priors import parse_prior
from bayesmeta.studies import PersonTime, TwoByTwo

THETA = np.array([-6.0, -1.3, 0.0, 0.7, 5.0])
# Ordinary, no events in one arm, none at all, all in one arm, very large, very unequal.
TABLES = TwoByTwo(
    [12, 0, 0, 30, 21_000, 1], [40, 25, 30, 30, 100_000, 5_000], [19, 4, 0, 12, 20_000, 3], [42, 25, 28, 31, 100_000, 9]
)
RATES = PersonTime([12, 0, 0, 21_000], [80.5, 25.0, 30.0, 1e5], [19, 4, 0, 20_000], [90.0, 31.0, 28.5, 1e5])


def _integral(log_integrand, places):
    """Integrate exp(log_integrand) with scipy, in pieces that are short where it changes quickly."""
    # Out to 1e7, because a heavy-tailed prior puts mass far out where a study says little.
    grid = np.unique(
        np.concatenate([np.sinh(np.linspace(-17, 17, 40_001)), *[p + np.linspace(-1, 1, 4001) for p in places]])
    )
    values = log_integrand(grid)
    peak = values.max()
    # Between neighbouring cuts the integrand changes by a bounded factor or the grid step is large.
    inside = np.flatnonzero(values > peak - 50)
    cuts = grid[np.unique(np.append(inside[:: max(1, len(inside) // 80)], inside[[0, -1]]))]
    pieces = [
        integrate.quad(lambda a: np.exp(log_integrand(np.array([a]))[0] - peak), low, high, epsabs=0, epsrel=1e-11)[0]
        for low, high in pairwise(cuts)
    ]
    return peak + np.log(np.sum(pieces))


@pytest.mark.filterwarnings("ignore::scipy.integrate.IntegrationWarning")
@pytest.mark.parametrize(("model", "shifts"), [("binomial_normal", (0, 1)), ("binomial_normal_symmetric", (-0.5, 0.5))])
@pytest.mark.parametrize("prior", ["normal(0, 10)", "normal(-2, 0.5)", "student_t(4, 0, 2.5)"])
def test_binomial_baseline_is_integrated_out(model, shifts, prior):
    """log L_i(theta) equals scipy's adaptive integral of the two binomials over the baseline."""
    loaded = load_model(model)
    chosen = loaded.with_priors({"baseline": prior})
    offered = loaded.study_likelihoods(TABLES, chosen).loglik(np.tile(THETA, (TABLES.k, 1)))
    density = parse_prior(prior).logpdf
    for i in range(TABLES.k):
        events = (TABLES.events_control[i], TABLES.events_treatment[i])
        n = (TABLES.n_control[i], TABLES.n_treatment[i])
        for j in (1, 3) if i else range(len(THETA)):
            offsets = [shift * THETA[j] for shift in shifts]

            def log_integrand(a, events=events, n=n, offsets=offsets):
                arms = [
                    stats.binom.logpmf(e, m, special.expit(a + o)) for e, m, o in zip(events, n, offsets, strict=True)
                ]
                return np.sum(arms, axis=0) + density(a)

            places = [special.logit((e + 0.5) / (m + 1)) - o for e, m, o in zip(events, n, offsets, strict=True)]
            expected = _integral(log_integrand, [*places, sum(places) / 2])
            assert offered[i, j] == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.filterwarnings("ignore::scipy.integrate.IntegrationWarning")
def test_poisson_baseline_is_integrated_out():
    """log L_i(theta) equals scipy's adaptive integral of the two Poisson counts over the baseline."""
    model = load_model("poisson_normal")
    offered = model.study_likelihoods(RATES, model.priors).loglik(np.tile(THETA, (RATES.k, 1)))
    for i in range(RATES.k):
        for j in (1, 3):

            def log_integrand(a, i=i, j=j):
                control = stats.poisson.logpmf(
                    RATES.events_control[i], RATES.time_control[i] * np.exp(np.minimum(a, 600))
                )
                mean = RATES.time_treatment[i] * np.exp(np.minimum(a, 600) + THETA[j])
                return control + stats.poisson.logpmf(RATES.events_treatment[i], mean) + stats.norm.logpdf(a, 0, 10)

            both = RATES.events_control[i] + RATES.events_treatment[i] + 0.5
            place = np.log(both / (RATES.time_control[i] + RATES.time_treatment[i] * np.exp(THETA[j])))
            assert offered[i, j] == pytest.approx(_integral(log_integrand, [place]), rel=1e-9, abs=1e-9)


def test_more_tables_than_can_be_summed_are_refused():
    """Tables of a billion patients took all memory there is; the study is shown, and a model that takes them."""
    billion = TwoByTwo([1.2e8, 3.0], [1e9, 10.0], [1.5e8, 4.0], [1e9, 10.0], study=("huge", "small"))
    with pytest.raises(ModelError, match=r"120000000 of 1000000000 .* has 270000001 possible tables.*binomial_normal"):
        bm.fit(billion, "hypergeometric_normal")
    assert bm.fit(billion, "binomial_normal").mu.mean() < 0.0


def test_conditional_likelihood_is_fishers_noncentral_hypergeometric():
    """The hypergeometric likelihood is scipy's noncentral distribution, and sums to one over the tables."""
    model = load_model("hypergeometric_normal")
    small = TABLES.drop(["Study 5", "Study 6"])
    offered = model.study_likelihoods(small, model.priors).loglik(np.tile(THETA, (small.k, 1)))
    for i in range(small.k):
        events, n = small.events_treatment[i] + small.events_control[i], small.n_treatment[i] + small.n_control[i]
        for j, theta in enumerate(THETA):
            law = stats.nchypergeom_fisher(int(n), int(small.n_treatment[i]), int(events), np.exp(theta))
            assert offered[i, j] == pytest.approx(law.logpmf(int(small.events_treatment[i])), rel=1e-9, abs=1e-9)


def test_conditional_likelihood_of_large_counts_is_nearly_normal():
    """With many events the conditional likelihood peaks at the sample log odds ratio with Woolf's width."""
    model = load_model("hypergeometric_normal")
    table = TwoByTwo([21_000], [100_000], [20_000], [100_000])
    offered = model.study_likelihoods(table, model.priors)
    center, scale = offered.center[0], offered.scale[0]
    l0, l1 = offered.loglik(np.array([[center, center + scale]]))[0]
    assert l0 - l1 == pytest.approx(0.5, abs=2e-3)


def test_improper_baseline_without_events_is_refused():
    """A flat baseline in a study without events has no posterior, and the error names the study."""
    model = load_model("binomial_normal")
    offered = model.study_likelihoods(TABLES, model.with_priors({"baseline": "flat()"}))
    with pytest.raises(ModelError, match="Study 3"):
        offered.loglik(np.zeros((TABLES.k, 1)))


def test_a_proper_prior_with_endless_tails_is_not_called_improper():
    """A baseline whose tails go on for orders of magnitude is a matter of quadrature, not of the model."""
    model = load_model("binomial_normal")
    offered = model.study_likelihoods(TABLES, model.with_priors({"baseline": "student_t(0.2, 0, 1)"}))
    with pytest.raises(ConvergenceError, match=r"Study 3.*lighter tails"):
        offered.loglik(np.zeros((TABLES.k, 1)))


def test_columns_are_computed_independently(monkeypatch):
    """Computing theta in small pieces of memory changes nothing."""
    model = load_model("binomial_normal")
    theta = np.tile(np.linspace(-3, 3, 11), (TABLES.k, 1))
    offered = model.study_likelihoods(TABLES, model.priors)
    whole = offered.loglik(theta)
    monkeypatch.setattr(likelihoods, "CHUNK", 3000)
    np.testing.assert_allclose(offered.loglik(theta), whole, rtol=1e-13)


@pytest.mark.parametrize("name", ["binomial_normal", "binomial_normal_symmetric"])
def test_far_from_the_data_the_log_likelihood_falls_by_the_events_contradicted(name):
    """At a log odds ratio of -1000 each event among the treated costs one more per unit; without any, nothing."""
    model = load_model(name)
    counts = TwoByTwo([0, 6, 21], [12, 48, 66], [5, 19, 29], [14, 100, 66])
    likelihoods = model.study_likelihoods(counts, model.priors)
    near, far = likelihoods.loglik(np.full((3, 1), -1000.0)), likelihoods.loglik(np.full((3, 1), -1001.0))
    if name == "binomial_normal":
        assert (near - far)[:, 0] == pytest.approx([0.0, 6.0, 21.0], abs=1e-3)
    assert np.isfinite(near).all()
    assert (near >= far - 1e-9).all()


@pytest.mark.parametrize(
    ("events", "n"), [(0, 30), (17, 20), (0, 10_000), (1, 10_000), (1000, 10_000), (9_999, 10_000), (25_000, 50_000)]
)
def test_a_binomial_probability_keeps_its_digits_however_many_patients(events, n):
    """Logs of binomial probabilities equal those in sixty digits to a few units in the last place."""
    observed = np.log((events + 0.5) / (n - events + 0.5))
    logit = observed + np.array([-400.0, -50.0, -5.0, -1.0, -0.1, -1e-3, 0.0, 1e-3, 0.1, 1.0, 5.0, 50.0, 400.0])
    found = log_probabilities.binomial_logpmf(np.array([float(events)]), np.array([float(n)]), logit)
    with localcontext() as context:
        context.prec = 60
        exact = [
            float(
                Decimal(comb(n, events)).ln() - n * (1 + (-abs(x)).exp()).ln() - (n - events if x > 0 else -events) * x
            )
            for x in map(Decimal, logit.tolist())
        ]
    np.testing.assert_allclose(found, exact, rtol=1e-14, atol=1e-14)


def log_factorial(n):
    """Return log n! in the digits of the context: a sum, or Stirling's series where n is so large that few terms do."""
    if n < 1000:
        return sum((Decimal(j).ln() for j in range(2, n + 1)), Decimal(0))
    x, pi = Decimal(n), Decimal("3.14159265358979323846264338327950288419716939937510582097494")
    series = sum(
        Decimal(a) / (b * x**p) for a, b, p in ((1, 12, 1), (-1, 360, 3), (1, 1260, 5), (-1, 1680, 7), (1, 1188, 9))
    )
    return x * x.ln() - x + (2 * pi * x).ln() / 2 + series


@pytest.mark.parametrize(("events", "time"), [(0, 30.0), (3, 20.5), (17, 3.0), (100_000, 1e6)])
def test_a_poisson_probability_keeps_its_digits_however_many_events(events, time):
    """Logs of Poisson probabilities equal those in sixty digits."""
    log_rate = np.log((events + 0.5) / time) + np.array([-300.0, -5.0, -0.1, -1e-3, 0.0, 1e-3, 0.1, 5.0, 20.0])
    found = log_probabilities.poisson_logpmf(np.array([float(events)]), np.array([time]), log_rate)
    with localcontext() as context:
        context.prec = 60
        factorial = log_factorial(events)
        logs = [Decimal(x) + Decimal(time).ln() for x in log_rate.tolist()]
        exact = np.array([float(events * x - x.exp() - factorial) for x in logs])
    np.testing.assert_allclose(found, exact, rtol=1e-14, atol=1e-13 if events < 1000 else 1e-9)
