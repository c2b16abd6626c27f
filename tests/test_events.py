"""Events: a bound is read on the scale that was meant, or asked about."""

import math

import numpy as np
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta.events import bounds_words, check_benefit, event_for, known_benefit, opposite
from bayesmeta.marginals import DrawsMarginal

EFFECTS = bm.EffectSizes(yi=[0.9, 0.2, 0.6, -0.1], sei=[0.3, 0.25, 0.4, 0.5], study=["a", "b", "c", "d"], measure="OR")
POST = bm.fit(EFFECTS, priors={"mu": "normal(0, 1)", "tau": "point(0)"}, engine="quadrature")


def test_probability_on_both_scales():
    """P(OR > 1) is P(log OR > 0); a range is a difference; the normal case is the closed form."""
    frozen = stats.norm(POST.mu.mean(), POST.mu.sd())
    assert bm.probability(POST.mu, above=0.0) == pytest.approx(frozen.sf(0.0), rel=1e-12)
    assert bm.probability(POST.mu, or_=(1.0, None)) == pytest.approx(frozen.sf(0.0), rel=1e-12)
    assert bm.probability(POST.mu, below=0.5, natural=False) == pytest.approx(frozen.cdf(0.5), rel=1e-12)
    assert bm.probability(POST.mu, below=0.5, natural=True) == pytest.approx(frozen.cdf(math.log(0.5)), rel=1e-12)
    between = bm.probability(POST.mu, or_=(0.8, 1.25))
    assert between == pytest.approx(frozen.cdf(math.log(1.25)) - frozen.cdf(math.log(0.8)), abs=1e-12)


@pytest.mark.parametrize(
    "bounds",
    [{}, {"above": 1.0, "below": 0.0}, {"above": 0.0, "or_": (1.0, None)}, {"or_": (0.0, 2.0)}, {"or_": (None, None)}],
)
def test_probability_needs_sensible_bounds(bounds):
    """No bound, bounds out of order, mixed scales and odds ratios of 0 are refused."""
    with pytest.raises(bm.ModelError):
        bm.probability(POST.mu, **bounds)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"above": float("nan")}, "bound nan is no number"),
        ({"above": "0"}, "bound '0' is no number"),
        ({"or_": 1}, "give a pair"),
        ({"or_": "12"}, "give a pair"),
    ],
)
def test_probability_bounds_are_numbers(bounds, message):
    """NaN, texts and single numbers are no bounds: no probability is made of them."""
    with pytest.raises(bm.ModelError, match=message):
        bm.probability(POST.mu, **bounds)


def test_probability_is_of_one_quantity():
    """A whole posterior has no probability; the error names the quantities."""
    with pytest.raises(bm.ModelError, match=r"post\.mu"):
        bm.probability(POST, above=0.0)


@pytest.mark.parametrize("bounds", [{"below": 1.0}, {"below": 0.8}, {"above": 1.25}, {"above": 0.8, "below": 1.25}])
def test_a_bound_of_an_odds_ratio_that_could_be_its_log_is_refused_with_both_readings(bounds):
    """A positive bound may be a ratio or its log: the error says what each would mean, and its probability."""
    frozen = stats.norm(POST.mu.mean(), POST.mu.sd())
    low, high = bounds.get("above"), bounds.get("below")
    taken = frozen.cdf(math.inf if high is None else high) - frozen.cdf(-math.inf if low is None else low)
    meant = frozen.cdf(math.inf if high is None else math.log(high)) - frozen.cdf(math.log(low) if low else -math.inf)
    with pytest.raises(bm.ModelError) as error:
        bm.probability(POST.mu, **bounds)
    said = [">0.999" if p > 0.999 else "<0.001" if p < 0.001 else f"{p:.3f}" for p in (meant, taken)]
    assert f"natural=True: {bounds_words('OR')(low, high)}, probability {said[0]}" in str(error.value)
    assert "natural=False: " in str(error.value)
    assert f"{said[1]}. Say which" in str(error.value)
    assert bm.probability(POST.mu, **bounds, natural=True) == pytest.approx(meant, abs=1e-12)
    assert bm.probability(POST.mu, **bounds, natural=False) == pytest.approx(taken, abs=1e-12)


@pytest.mark.parametrize(
    "bounds", [{"above": 0.0}, {"below": -0.3}, {"above": -0.2, "below": 0.2}, {"below": math.inf}]
)
def test_a_bound_with_one_reading_needs_no_word(bounds):
    """No ratio is 0 or less, so such a bound is a log."""
    assert bm.probability(POST.mu, **bounds) == bm.probability(POST.mu, **bounds, natural=False)


def test_every_effect_of_a_posterior_knows_its_measure():
    """The mean, a new study and each study's true effect are asked about alike, sampled or not; tau has one scale."""
    counts = bm.TwoByTwo([3, 5, 9], [50, 60, 70], [6, 9, 12], [50, 60, 70])
    exact, normal = bm.fit(counts, "hypergeometric_normal"), bm.fit(EFFECTS)
    for effect in (exact.mu, exact.theta_new, exact.theta["Study 1"], normal.mu, normal.theta["a"], normal.theta_new):
        with pytest.raises(bm.ModelError, match="two scales"):
            bm.probability(effect, below=1.0)
    assert bm.probability(normal.tau, above=0.1) == pytest.approx(float(normal.tau.sf(0.1)))
    draws = DrawsMarginal(np.random.default_rng(1).normal(0.1, 0.2, (2, 500)), measure="OR")
    with pytest.raises(bm.ModelError, match="two scales"):
        bm.probability(draws, above=1.0)
    average = bm.model_average([normal, bm.fit(EFFECTS, "common_effect")])
    with pytest.raises(bm.ModelError, match="two scales"):
        bm.probability(average.mu, above=1.0)


@pytest.mark.parametrize(
    ("measure", "inside", "analysis"), [("PLO", 0.3, math.log(0.3 / 0.7)), ("ZCOR", 0.3, math.atanh(0.3))]
)
def test_proportions_and_correlations_are_asked_about_as_such(measure, inside, analysis):
    """A bound that could be a proportion or its logit, a correlation or its z, is refused unless its scale is said."""
    post = bm.fit(
        bm.EffectSizes(yi=[-0.5, 0.1, 0.4], sei=[0.2, 0.2, 0.3], measure=measure), priors={"mu": "normal(0, 1)"}
    )
    with pytest.raises(bm.ModelError, match="two scales"):
        bm.probability(post.mu, above=inside)
    assert bm.probability(post.mu, above=inside, natural=True) == pytest.approx(float(post.mu.sf(analysis)), rel=1e-12)
    assert bm.probability(post.mu, above=0.0) == pytest.approx(float(post.mu.sf(0.0)), rel=1e-12)


def test_a_difference_has_one_scale():
    """A mean difference is read as it is analysed, so no bound of it is refused."""
    post = bm.fit(bm.EffectSizes(yi=[1.0, 2.0], sei=[0.5, 0.5], measure="MD", ni=[40, 40]))
    assert bm.probability(post.mu, above=1.0) == bm.probability(post.mu, above=1.0, natural=True)


def test_a_bound_outside_the_natural_scale_is_refused():
    """No odds ratio is negative."""
    with pytest.raises(bm.ModelError, match="-1"):
        bm.probability(POST.mu, above=-1.0, natural=True)


def test_one_rule_says_what_a_direction_is():
    """Two directions, each the other's opposite; none is refused only where one is needed."""
    assert [opposite(d) for d in ("lower", "higher")] == ["higher", "lower"]
    assert known_benefit(None) is None
    with pytest.raises(bm.ModelError, match="No direction of benefit"):
        check_benefit(None)
    for ask in (check_benefit, known_benefit, lambda b: event_for("OR", b)):
        with pytest.raises(bm.ModelError, match="Known: higher, lower"):
            ask("smaller")
