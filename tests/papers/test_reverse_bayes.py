"""Published worked examples of reverse-Bayes and of sceptical priors, at the precision they were printed with."""

import math

import numpy as np
import pytest
from scipy.stats import norm

import bayesmeta as bm
from bayesmeta.errors import ModelError
from bayesmeta.sensitivity import (
    critical_prior,
    enthusiastic_prior,
    intrinsic_credibility_p,
    prior_from_interval,
    sceptical_p,
    sceptical_prior,
    sceptical_z,
    sufficiently_sceptical_sd,
)

# Spiegelhalter, Abrams & Myles 2004, Bayesian Approaches to Clinical Trials and Health-Care Evaluation, chapter 3:
# the GREAT trial, 13 deaths of 163 with home thrombolysis and 23 of 148 without, log odds ratio -0.74 (SE 0.36).
GREAT = bm.EffectSizes(yi=[-0.736], sei=[0.362], measure="OR")


@pytest.mark.parametrize(
    ("low", "high", "limit", "digits"),
    [
        (0.24, 0.97, 0.10, 2),  # GREAT trial: Spiegelhalter, Abrams & Myles 2004, section 3.11
        (1 / 21.5, 1 / 6.0, 0.84, 2),  # sumatriptan: Matthews 2001, Drug Inf J 35:1469-1478, inverted
        (6.0, 21.5, 1.19, 2),  # the same trial, as odds ratio of improvement
        (1.03, 4.00, 10, 0),  # Salmonella: Matthews 2019, Am Stat 73(sup1):202-212
    ],
)
def test_critical_prior_intervals_are_the_published_ones(low, high, limit, digits):
    """The end of Matthews' critical prior interval on the side of the estimate is the one printed."""
    found = critical_prior(math.log(low), math.log(high))
    assert found.kind == "sceptical"
    assert round(math.exp(found.limit), digits) == limit
    assert found.low == -found.high


def test_expert_prior_of_the_great_trial():
    """The expert's prior, posterior odds ratio, interval and P(benefit) are those of the book."""
    prior = prior_from_interval(0.6, 1.0)
    assert (round(prior.loc, 2), round(prior.scale, 2)) == (-0.26, 0.13)
    post = bm.fit(GREAT, model="common_effect", priors={"mu": prior}, engine="quadrature").mu
    low, high = post.eti(0.95)
    assert round(post.mean(), 2) == -0.31
    assert round(post.sd(), 2) == 0.12
    assert round(math.exp(post.mean()), 2) == 0.73
    assert (round(math.exp(low), 2), round(math.exp(high), 2)) == (0.58, 0.93)
    assert round(float(post.cdf(0.0)), 3) == 0.994  # the book has 0.995, from the rounded -0.31 / 0.122 = -2.54


def test_sceptical_prior_of_the_great_trial():
    """Under the book's sceptical prior (odds ratio 0.5 to 2) the posterior has P(harm) 8%."""
    prior = prior_from_interval(0.5, 2.0)
    assert round(prior.scale, 2) == 0.35
    post = bm.fit(GREAT, model="common_effect", priors={"mu": prior}, engine="quadrature").mu
    assert round(post.mean(), 2) == -0.36
    assert round(post.sd(), 2) == 0.25
    assert round(math.exp(post.mean()), 2) == 0.70
    assert round(float(post.sf(0.0)), 2) == 0.08


def test_sceptical_p_value_of_the_paper():
    """Held 2020, J R Stat Soc A 183:431-448: z_o^2 = 12.19 and z_r^2 = 3.99 with c = 1 give p_S = 0.083."""
    assert round(float(sceptical_p(math.sqrt(12.19), math.sqrt(3.99), 1.0, sides=2)), 3) == 0.083


@pytest.mark.parametrize(
    ("zo", "zr", "expected"),
    [
        (-4, -4, 0.000149544079762546),
        (-2, -4, 0.0236343314115514),
        (-2, -2, 0.0352998069509419),
        (0, -2, 0.5),
        (4, -2, 0.976365668588449),
        (4, -4, 0.999850455920237),
    ],
)
def test_sceptical_p_values_are_those_of_replication_success(zo, zr, expected):
    """One-sided nominal sceptical p-values at c = 0.05 are those of the R package ReplicationSuccess."""
    assert float(sceptical_p(zo, zr, 0.05)) == pytest.approx(expected, rel=1e-10)


def test_sceptical_p_value_is_where_prior_and_new_data_disagree():
    """At level p_S the sufficiently sceptical prior's predictive tail area of the new estimate is p_S itself."""
    so, sr, zo, zr = 0.4, 0.3, 3.1, 2.4
    z = float(sceptical_z(zo, zr, so**2 / sr**2))
    level = 1.0 - 2.0 * norm.sf(z)
    g = sufficiently_sceptical_sd(zo * so, so, level=level)
    assert norm.sf(zr * sr / math.hypot(g, sr)) == pytest.approx(norm.sf(z), rel=1e-9)


def test_intrinsic_credibility_takes_p_below_0_0056():
    """Held 2019, R Soc Open Sci 6:181534: the threshold is 0.0056, and the credibility ratio there 5.8."""
    z = math.sqrt(2.0) * norm.isf(0.025)
    assert float(intrinsic_credibility_p(z)) == pytest.approx(0.05, rel=1e-12)
    assert round(2 * norm.sf(z), 4) == 0.0056
    low, high = (z + side * norm.isf(0.025) for side in (-1, 1))
    assert round(high / low, 1) == 5.8


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("estimate", "se"), [(0.9, 0.2), (-1.3, 0.3), (4.0, 0.1)])
def test_critical_prior_just_touches_no_effect(estimate, se, level):
    """Combined with its critical prior, by exact updating, an estimate's credible interval ends at no effect."""
    z = norm.isf((1 - level) / 2)
    prior = critical_prior(estimate - z * se, estimate + z * se, level=level)
    assert prior.sd == pytest.approx(sufficiently_sceptical_sd(estimate, se, level=level), rel=1e-10)
    w = 1 / se**2 + 1 / prior.sd**2
    mean = estimate / se**2 / w
    assert abs(mean) - z / math.sqrt(w) == pytest.approx(0.0, abs=1e-12 * abs(estimate))


def test_advocates_prior_just_makes_a_finding_credible():
    """Combined with the advocate's prior, whose interval ends at no effect, a non-significant estimate touches it."""
    prior = critical_prior(-0.2, 0.9)
    assert prior.kind == "advocate"
    assert prior.low == 0.0
    assert prior.mean - norm.isf(0.025) * prior.sd == pytest.approx(0.0, abs=1e-12)
    y, se = 0.35, 1.1 / 2 / norm.isf(0.025)
    w = 1 / se**2 + 1 / prior.sd**2
    mean = (y / se**2 + prior.mean / prior.sd**2) / w
    assert mean - norm.isf(0.025) / math.sqrt(w) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("alternative", [math.log(0.5), 0.3])
def test_sceptic_and_enthusiast_doubt_each_other_equally(alternative):
    """Spiegelhalter et al. 1994: 5% beyond the alternative for the sceptic, 5% no effect or harm for the enthusiast."""
    sceptic, enthusiast = sceptical_prior(alternative), enthusiastic_prior(alternative)
    side = np.sign(alternative)
    assert norm.sf(side * alternative, 0, sceptic.scale) == pytest.approx(0.05, rel=1e-12)
    assert norm.cdf(0, side * enthusiast.loc, enthusiast.scale) == pytest.approx(0.05, rel=1e-12)
    assert sceptic.loc == 0


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: critical_prior(0.5, 0.1), "lower confidence limit first"),
        (lambda: critical_prior(0.0, 0.4), "exactly at no effect"),
        (lambda: critical_prior(-1.0, 1.0), "centred on no effect"),
        (lambda: sufficiently_sceptical_sd(0.1, 0.2), "includes no effect already"),
        (lambda: sufficiently_sceptical_sd(1.0, 0.0), "finite number > 0"),
        (lambda: sceptical_p(2.0, 2.0, -1.0), "variances is >= 0"),
        (lambda: sceptical_prior(0.0), "other than no effect"),
        (lambda: sceptical_prior(0.5, chance=0.7), "between 0 and 0.5"),
        (lambda: prior_from_interval(1.0, 0.6), "lower one first"),
        (lambda: prior_from_interval(-1.0, 0.6), "greater than 0"),
    ],
)
def test_impossible_requests_say_what_to_write(call, says):
    """An impossible request is an error that says what to write."""
    with pytest.raises(ModelError, match=says):
        call()
