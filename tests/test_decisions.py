"""Probabilities beyond thresholds, of equivalence and of sizes of effect."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.special import ndtr

import bayesmeta as bm
from bayesmeta.decisions.quantities import MEAN, NEW
from bayesmeta.errors import ModelError
from bayesmeta.events import between
from bayesmeta.marginals.draws import DrawsMarginal
from bayesmeta.resources import data_dir


@pytest.fixture(scope="module")
def effects():
    return bm.effect_sizes(bm.read_studies(data_dir() / "rescue_stenting.csv", outcome="mortality"), "OR")


@pytest.fixture(scope="module")
def post(effects):
    return bm.fit(effects, seed=3)


@pytest.fixture(scope="module")
def draws(post):
    """The posterior as draws, the way a sampler would hand it over."""
    sample = post.to_datatree(20000, seed=11)["posterior"]
    made = {name: DrawsMarginal(np.asarray(sample[name])) for name in ("mu", "theta_new")}
    return dataclasses.replace(post, marginals={**post.marginals, **made})


def near(estimate, exact, n=20000):
    """Whether a share of n independent draws is within 4.5 standard errors of a probability."""
    return abs(estimate - exact) <= 4.5 * math.sqrt(max(exact * (1 - exact), 1 / n) / n)


def test_closed_form_of_a_common_effect():
    """With a flat prior and no heterogeneity, P(OR < t) is the normal cdf of the pooled estimate's z."""
    yi, sei = np.array([-0.5, 0.1, -0.9]), np.array([0.3, 0.4, 0.5])
    common = bm.fit(bm.EffectSizes(yi=yi, sei=sei, measure="OR"), "common_effect", priors={"mu": "flat()"})
    w = 1 / sei**2
    z = [(math.log(t) - (w @ yi) / w.sum()) * math.sqrt(w.sum()) for t in (0.8, 0.5)]
    found = bm.threshold_table(common, [0.8, 0.5], benefit="lower")
    assert [e.probability[MEAN].value for e in found.events] == pytest.approx(list(ndtr(z)), rel=1e-12)


def test_probabilities_are_those_of_the_posterior_in_the_direction_of_benefit(post):
    """Lower: the cdf at the log threshold; higher: the survival function; for mean and new study."""
    for benefit, word in (("lower", "cdf"), ("higher", "sf")):
        table = bm.threshold_table(post, [0.8], benefit=benefit)
        for name, marginal in ((MEAN, post.mu), (NEW, post.theta_new)):
            assert table.events[0].probability[name].value == float(getattr(marginal, word)(math.log(0.8)))


def test_every_table_agrees_with_brute_force(post, draws):
    """Shares of draws, counted without any of our functions, agree with every probability within Monte Carlo error."""
    tables = [
        bm.threshold_table(post, [0.8, 0.5], benefit="lower"),
        bm.rope(post, 0.9, 1.11),
        bm.three_way(post, 0.9, 1.11, benefit="lower"),
        bm.ranges(post, [0.9, 0.75, 0.5], benefit="lower"),
    ]
    for table in tables:
        for event in table.events:
            low = -math.inf if event.low is None else event.low
            high = math.inf if event.high is None else event.high
            for name, marginal in ((MEAN, draws.mu), (NEW, draws.theta_new)):
                ratio = np.exp(marginal.draws)
                share = float(np.mean((ratio > low) & (ratio < high)))
                assert near(share, event.probability[name].value)


def test_draws_carry_their_monte_carlo_error(draws):
    """From draws each probability has a standard error near sqrt(p (1 - p) / n), and prints no finer."""
    found = bm.threshold_table(draws, [0.8], benefit="lower").events[0].probability[MEAN]
    assert found.error == pytest.approx(math.sqrt(found.value * (1 - found.value) / 20000), rel=0.1)
    assert len(str(found)) == len("0.95")


@pytest.mark.parametrize("benefit", ["lower", "higher"])
def test_sizes_add_up_and_mirror(post, benefit):
    """The ranges share out all probability; turning the benefit round swaps benefit and harm."""
    cuts = [0.9, 0.75, 0.5] if benefit == "lower" else [1 / 0.9, 1 / 0.75, 1 / 0.5]
    table = bm.ranges(post, cuts, benefit=benefit)
    other = bm.ranges(post, [1 / c for c in cuts], benefit="higher" if benefit == "lower" else "lower")
    for name in (MEAN, NEW):
        values = [e.probability[name].value for e in table.events]
        assert sum(values) == pytest.approx(1.0, abs=1e-12)
        assert values == pytest.approx([e.probability[name].value for e in other.events][::-1], abs=1e-12)
    assert [e.label for e in table.events] == [
        "large benefit", "moderate benefit", "small benefit", "trivial", "small harm", "moderate harm", "large harm",
    ]  # fmt: skip


def test_three_way_adds_up(post):
    """Benefit, equivalence and harm add up to one and are labelled by the direction of benefit."""
    lower = bm.three_way(post, 0.9, 1.11, benefit="lower")
    higher = bm.three_way(post, 0.9, 1.11, benefit="higher")
    assert sum(e.probability[MEAN].value for e in lower.events) == pytest.approx(1.0, abs=1e-12)
    assert lower["benefit"].words == "OR < 0.9" == higher["harm"].words


def test_the_text_names_direction_threshold_and_estimand_and_caps(effects):
    """Each probability is printed with its event and estimand; near 1 it is printed as >0.999."""
    sure = bm.fit(bm.EffectSizes(yi=[-3.0, -3.1], sei=[0.1, 0.1], measure="OR"), priors={"tau": "half_normal(0.1)"})
    said = str(bm.threshold_table(sure, [0.8], benefit="lower"))
    assert "OR < 0.8" in said
    assert f"P, {MEAN}" in said
    assert f"P, {NEW}" in said
    assert said.count(">0.999") == 2
    assert "A benefit is a smaller OR." in said
    assert "not a verdict" in " ".join(str(bm.ranges(sure, [0.9], benefit="lower")).split())


def test_the_range_over_priors_stands_beside_each_figure(effects, post):
    """With other posteriors the smallest and largest value are given, the primary one's included."""
    others = [bm.fit(effects, priors={"mu": f"normal(0, {s})"}) for s in (0.3, 10)]
    found = bm.threshold_table(post, [0.8], benefit="lower", others=others).events[0].probability[MEAN]
    values = [float(p.mu.cdf(math.log(0.8))) for p in (post, *others)]
    assert (found.low, found.high) == (min(values), max(values))
    # The priors move the first decimal, so the third would say nothing.
    assert max(values) - min(values) > 0.1
    assert str(found) == f"{values[0]:.2f} ({min(values):.2f} to {max(values):.2f})"


def test_a_range_far_in_the_tail_keeps_its_digits():
    """P(9 < x < 10) of a standard normal is not lost in 1 - 1."""
    from bayesmeta.marginals import NormalMixture

    normal = NormalMixture(np.ones(1), np.zeros(1), np.ones(1))
    assert between(normal, 9.0, 10.0) == pytest.approx(ndtr(-9.0) - ndtr(-10.0), rel=1e-12)


def test_a_contrast_of_a_meta_regression_can_be_asked_about():
    """Any marginal will do when its measure is named; a meta-regression itself says what to ask."""
    X = np.column_stack([np.ones(5), [0.0, 1.0, 2.0, 3.0, 4.0]])
    effects = bm.EffectSizes(yi=[-0.1, -0.3, -0.2, -0.6, -0.7], sei=[0.2] * 5, measure="OR", X=X)
    regression = bm.fit(effects, "meta_regression")
    at = regression.linear([1.0, 2.0])
    found = bm.threshold_table(at, [0.8], benefit="lower", measure="OR").events[0].probability["effect"].value
    assert found == float(at.cdf(math.log(0.8)))
    with pytest.raises(ModelError, match="linear"):
        bm.threshold_table(regression, [0.8], benefit="lower")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda p: bm.threshold_table(p, [0.8], benefit=None), "benefit='lower'"),
        (lambda p: bm.threshold_table(p, [0.8], benefit="down"), "Known: higher, lower"),
        (lambda p: bm.threshold_table(p, [], benefit="lower"), "at least one"),
        (lambda p: bm.threshold_table(p, [-0.2], benefit="lower"), "greater than 0"),
        (lambda p: bm.threshold_table(p, [math.nan], benefit="lower"), "finite"),
        (lambda p: bm.threshold_table(p, [0.8], benefit="lower", measure="RR"), "about OR, not RR"),
        (lambda p: bm.threshold_table(p.mu, [0.8], benefit="lower"), "measure="),
        (lambda p: bm.threshold_table(3.0, [0.8], benefit="lower"), "posterior"),
        (lambda p: bm.rope(p, 1.1, 0.9), "lower bound first"),
        (lambda p: bm.three_way(p, 1.1, 1.2, benefit="lower"), "must include no effect"),
        (lambda p: bm.ranges(p, [0.5, 0.9], benefit="lower"), "falling numbers below 1"),
        (lambda p: bm.ranges(p, [1.1, 1.5], benefit="lower"), "falling numbers below 1"),
        (lambda p: bm.ranges(p, [0.9, 0.9], benefit="lower"), "outwards"),
        (lambda p: bm.ranges(p, [0.9, 0.8], benefit="lower", harm=[1.1]), "as many of each"),
        (lambda p: bm.ranges(p, [0.9, 0.8, 0.7, 0.6], benefit="lower"), "names="),
        (lambda p: bm.ranges(p, [0.9], benefit="higher"), "rising numbers above 1"),
        (lambda p: bm.decide(p, benefit="lower"), "Nothing was asked"),
        (lambda p: bm.decide(p, equivalence=[0.9]), "two ends"),
    ],
)
def test_impossible_questions_say_what_to_write(post, ask, words):
    """Thresholds out of order, no direction of benefit, a wrong scale: each message holds the remedy."""
    with pytest.raises(ModelError, match=words):
        ask(post)


def test_a_frame_has_every_digit(post):
    """The frame holds one row an event and estimand, unrounded."""
    table = bm.three_way(post, 0.9, 1.11, benefit="lower")
    frame = table.to_frame()
    assert len(frame) == 6
    assert frame["probability"].iloc[0] == table.events[0].probability[MEAN].value


def test_decide_is_its_parts(post):
    """Asking for all at once gives the same tables; equivalence without a direction is below, inside, above."""
    found = bm.decide(post, benefit="lower", thresholds=[0.8], equivalence=(0.9, 1.11), sizes=[0.9], baselines=[0.3])
    assert len(found.parts) == 4
    assert str(found.thresholds) == str(bm.threshold_table(post, [0.8], benefit="lower"))
    undirected = bm.decide(post, equivalence=(0.9, 1.11), baselines=[0.3])
    assert [e.label for e in undirected.equivalence.events] == ["below", "inside", "above"]
    assert "NNT" not in str(undirected)
