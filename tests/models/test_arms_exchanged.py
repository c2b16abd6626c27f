"""Models of counts that users are sent to lean on neither arm; those that lean say so."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

import bayesmeta as bm
from bayesmeta.model import list_models, load_model
from bayesmeta.studies import exact_model
from bayesmeta.studies.exact_models import NEUTRAL

SPARSE = {
    "events_treatment": [2, 3, 4] + [0] * 20,
    "n_treatment": [50, 60, 70] + [100] * 20,
    "events_control": [3, 2, 4] + [0] * 20,
    "n_control": [50, 60, 70] + [100] * 20,
}


@st.composite
def arms(draw):
    """Return two to four studies' events and sizes of two arms, studies without events among them."""
    k = draw(st.integers(2, 4))
    sizes = [[draw(st.integers(10, 60)) for _ in range(k)] for _ in range(2)]
    return [[draw(st.integers(0, min(n, 6))) for n in arm] for arm in sizes], sizes


def fits(model, events, sizes):
    """Return the effect of the mean with the arms as they are, and exchanged."""
    kind = bm.PersonTime if load_model(model).data_type is bm.PersonTime else bm.TwoByTwo
    return [bm.fit(kind(events[i], sizes[i], events[1 - i], sizes[1 - i]), model).mu for i in (0, 1)]


@pytest.mark.parametrize("model", sorted(set(NEUTRAL.values()) - {"binomial_normal_rd"}))
@settings(max_examples=6, deadline=None)
@given(arms())
def test_exchanging_the_arms_changes_the_sign_alone(model, data):
    """Of every model that advice names, the effect with the arms exchanged is the effect with its sign changed."""
    one, other = fits(model, *data)
    assert other.cdf(0.0) == pytest.approx(1.0 - one.cdf(0.0), abs=1e-8)
    assert [-other.ppf(q) for q in (0.975, 0.5, 0.025)] == pytest.approx(
        [one.ppf(q) for q in (0.025, 0.5, 0.975)], abs=1e-6
    )


def test_exchanging_the_arms_changes_the_sign_of_a_risk_difference():
    """The risk difference with the arms exchanged is the risk difference with its sign changed."""
    one, other = fits("binomial_normal_rd", [[3, 0], [5, 1]], [[30, 40], [32, 44]])
    assert other.cdf(0.0) == pytest.approx(1.0 - one.cdf(0.0), abs=1e-8)
    assert -other.median() == pytest.approx(one.median(), abs=1e-8)


@pytest.mark.parametrize("kind", [bm.TwoByTwo, bm.PersonTime])
@pytest.mark.parametrize("sizes", [(50, 50), (100, 50)])
def test_studies_without_events_say_nothing_about_the_direction(kind, sizes):
    """By default, ten studies without events leave the probability of a benefit at one half, whatever their sizes."""
    counts = kind([0] * 10, [sizes[0]] * 10, [0] * 10, [sizes[1]] * 10)
    post = bm.fit(counts)
    assert post.model.name == exact_model("OR" if kind is bm.TwoByTwo else "IRR")
    assert post.mu.cdf(0.0) == pytest.approx(0.5, abs=1e-6)


def test_balanced_and_empty_studies_leave_one_half():
    """Three studies in balance and twenty without events: the default says what the three say alone."""
    whole = bm.fit(bm.TwoByTwo(**SPARSE)).mu
    three = bm.fit(bm.TwoByTwo(**{name: values[:3] for name, values in SPARSE.items()})).mu
    assert whole.cdf(0.0) == pytest.approx(three.cdf(0.0), abs=1e-9)
    assert whole.cdf(0.0) == pytest.approx(0.5, abs=1e-3)


def test_a_conditional_rate_is_a_binomial_share():
    """One study of rates with tau known: the posterior is that of a binomial share, by scipy's own integration."""
    counts = bm.PersonTime([7], [120.0], [3], [80.0])
    post = bm.fit(counts, priors={"mu": "normal(0, 1)", "tau": "point(0.00001)"})

    def density(mu):
        ratio = 1.5 * np.exp(mu)
        return stats.binom.pmf(7, 10, ratio / (1.0 + ratio)) * stats.norm.pdf(mu)

    total = integrate.quad(density, -10, 10, epsabs=1e-13)[0]
    below = integrate.quad(density, -10, 0, epsabs=1e-13)[0]
    assert post.mu.cdf(0.0) == pytest.approx(below / total, abs=1e-7)
    assert post.log_evidence == pytest.approx(np.log(total), abs=1e-7)


def test_models_that_lean_say_so_and_the_others_do_not():
    """Every model with the prior on one arm names it; those that advice names lean on nothing."""
    leaning = {name for name in list_models() if load_model(name).leans_on}
    assert leaning == {"binomial_normal", "binomial_normal_random_baseline", "beta_binomial", "poisson_normal"}
    assert leaning.isdisjoint(NEUTRAL.values())
    assert load_model("binomial_normal").leans_on.startswith("the prior of the control arm's log odds")


def test_a_comparison_says_what_comes_from_studies_without_events():
    """The answers with and without studies without events stand in the caveats, equal to fits of both."""
    counts = bm.TwoByTwo(**SPARSE)
    found = bm.compare(counts, model="binomial_normal", benefit="lower")
    said = [c for c in found.caveats if "'binomial_normal'" in c]
    assert len(said) == 2
    assert "leans on the prior of the control arm's log odds" in said[0]
    without = bm.fit(counts.drop(counts.study[3:]), "binomial_normal").mu
    whole = bm.fit(counts, "binomial_normal").mu
    assert f"{np.exp(whole.median()):.3f} " in said[1]
    assert f"P(benefit) {whole.cdf(0.0):.3f}; without" in said[1]
    assert f"{np.exp(without.median()):.3f} " in said[1]
    assert f"P(benefit) {without.cdf(0.0):.3f}. Fit the 'hypergeometric_normal'" in said[1]
    neutral = bm.compare(counts, model="hypergeometric_normal", benefit="lower")
    assert any("say nothing in it" in c and "20 of 23" in c for c in neutral.caveats)
    assert not any("leans on" in c for c in neutral.caveats)


@pytest.mark.parametrize(("measure", "model"), sorted(NEUTRAL.items()))
def test_advice_names_a_model_of_the_same_measure(measure, model):
    """The model named for a measure estimates that measure (Peto's is an odds ratio)."""
    assert load_model(model).own_measure == ("OR" if measure == "PETO" else measure)
