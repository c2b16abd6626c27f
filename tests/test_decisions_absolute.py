"""Absolute effects per 1000 and numbers needed to treat, against closed forms, quadrature and brute force."""

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit, logit, ndtr
from scipy.stats import beta, norm, uniform

import bayesmeta as bm
from bayesmeta.decisions.quantities import MEAN
from bayesmeta.decisions.risk import RISK_MAPS
from bayesmeta.errors import ModelError
from bayesmeta.marginals.draws import DrawsMarginal
from bayesmeta.resources import data_dir

# From an effect on the analysis scale and a baseline risk to the risk with treatment, in textbook form.
TREATED = {
    "OR": lambda theta, b: expit(logit(b) + theta),
    "PETO": lambda theta, b: expit(logit(b) + theta),
    "RR": lambda theta, b: b * np.exp(theta),
    "HR": lambda theta, b: 1 - (1 - b) ** np.exp(theta),
    "RD": lambda theta, b: b + theta,
}


@pytest.fixture(scope="module")
def table():
    return bm.read_studies(data_dir() / "rescue_stenting.csv", outcome="mortality")


@pytest.fixture(scope="module")
def post(table):
    return bm.fit(bm.effect_sizes(table, "OR"), seed=3)


def posterior(measure, centre, sd):
    """Return a posterior whose mean effect is normal."""
    effects = bm.EffectSizes(yi=[centre], sei=[sd], measure=measure)
    return bm.fit(effects, "common_effect", priors={"mu": "flat()"})


@pytest.mark.parametrize("measure", sorted(RISK_MAPS))
@pytest.mark.parametrize("risk", [1e-5, 0.04, 0.5, 0.9])
def test_a_fixed_baseline_is_an_exact_change_of_variable(measure, risk):
    """Quantiles are the transformed quantiles, the cdf their inverse, the density its derivative."""
    sd = 0.01 * risk * (1 - risk) if measure == "RD" else 0.02
    centre = -2 * sd
    effect = bm.absolute_effect(posterior(measure, centre, sd), risk)
    q = np.array([0.001, 0.2, 0.5, 0.9, 0.999])
    exact = TREATED[measure](centre + sd * norm.ppf(q), risk) - risk
    assert effect.risk_difference.ppf(q) == pytest.approx(exact, rel=1e-6, abs=1e-16)
    assert effect.risk_difference.cdf(exact) == pytest.approx(q, rel=1e-6)
    assert effect.risk_difference.sf(exact) == pytest.approx(1 - q, rel=1e-5)
    step = 1e-4 * (exact[3] - exact[1])
    slope = np.diff(effect.risk_difference.cdf([exact[2] - step, exact[2] + step]))[0] / (2 * step)
    assert float(effect.risk_difference.pdf(exact[2])) == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("measure", sorted(RISK_MAPS))
def test_the_risk_maps_are_inverse_to_each_other(measure):
    """From effect to difference and back, to twelve digits; no effect is no difference."""
    mapping, risk = RISK_MAPS[measure], np.array([1e-6, 0.1, 0.6])[:, None]
    theta = np.array([-1.5, -0.01, 0.0, 0.02, 0.3]) * (0.05 if measure == "RD" else 1.0)
    there = mapping.forward(theta, risk)
    assert mapping.inverse(there, risk) == pytest.approx(np.broadcast_to(theta, there.shape), rel=1e-9, abs=1e-12)
    assert np.all(there[:, 2] == 0)


def test_mean_and_sd_of_the_difference():
    """The moments equal an adaptive quadrature over the normal effect."""
    found = bm.absolute_effect(posterior("OR", -0.7, 0.4), 0.3).risk_difference
    integrand = [
        quad(lambda z, p=p: (TREATED["OR"](-0.7 + 0.4 * z, 0.3) - 0.3) ** p * norm.pdf(z), -9, 9, epsabs=1e-13)[0]
        for p in (1, 2)
    ]
    assert found.mean() == pytest.approx(integrand[0], rel=1e-8)
    assert found.sd() == pytest.approx(math.sqrt(integrand[1] - integrand[0] ** 2), rel=1e-7)


@pytest.mark.parametrize("risk", [beta(30, 70), beta(0.8, 3.0), uniform(0.1, 0.3)])
def test_an_uncertain_baseline_is_integrated(risk):
    """The cdf over a beta or uniform baseline equals adaptive quadrature; the quantile is its inverse."""
    found = bm.absolute_effect(posterior("OR", -0.7, 0.4), risk).risk_difference
    for d in (-0.2, -0.05, 0.0, 0.01):

        def given(b, d=d):
            if not 0 < b + d < 1:
                return 0.0 if b + d <= 0 else risk.pdf(b)
            return float(ndtr((logit(b + d) - logit(b) + 0.7) / 0.4)) * risk.pdf(b)

        ends = risk.ppf([1e-14, 1 - 1e-14])
        cuts = sorted({ends[0], *(c for c in (-d, *risk.ppf([0.01, 0.3, 0.7])) if ends[0] < c < ends[1]), ends[1]})
        exact = sum(quad(given, a, b, epsabs=1e-12, limit=200)[0] for a, b in pairwise(cuts))
        assert float(found.cdf(d)) == pytest.approx(exact, abs=2e-6)
    q = np.array([0.025, 0.5, 0.975])
    assert found.cdf(found.ppf(q)) == pytest.approx(q, abs=1e-9)


def test_brute_force_agrees_for_mean_and_new_study(post, table):
    """Draws pushed through the textbook formula give the same medians, limits, P(benefit) and NNT, within error."""
    rng = np.random.default_rng(5)
    n = 40000
    sample = post.to_datatree(n, seed=11)["posterior"]
    for estimand, name in (("mean", "mu"), ("new", "theta_new")):
        theta = np.asarray(sample[name]).ravel()
        for risk, at in ((0.3, np.full(n, 0.3)), (beta(30, 70), beta(30, 70).rvs(n, random_state=rng))):
            effect = bm.absolute_effect(post, risk, estimand=estimand, benefit="lower")
            difference = TREATED["OR"](theta, at) - at
            for q in (0.025, 0.5, 0.975):
                exact = float(effect.risk_difference.ppf(q))
                share = float(np.mean(difference <= exact))
                assert abs(share - q) < 4.5 * math.sqrt(q * (1 - q) / n)
            needed = effect.number_needed()
            for share, exact in (
                (np.mean(difference < 0), needed.p_benefit),
                (np.mean(difference <= -1 / 12), needed.probability(12)),
            ):
                assert abs(share - exact) < 4.5 * math.sqrt(exact * (1 - exact) / n)


def test_draws_stay_draws(post):
    """A sampled posterior gives draws with Monte Carlo errors, near the quadrature's answer."""
    sample = post.to_datatree(8000, seed=2)["posterior"]
    made = dataclasses.replace(post, marginals={**post.marginals, "mu": DrawsMarginal(np.asarray(sample["mu"]))})
    for risk in (0.3, beta(30, 70)):
        sampled = bm.absolute_effect(made, risk, seed=1).risk_difference
        exact = bm.absolute_effect(post, risk).risk_difference
        assert isinstance(sampled, DrawsMarginal)
        assert abs(sampled.mean() - exact.mean()) < 4.5 * sampled.mcse()


def test_pooled_control_arms_are_a_meta_analysis_of_their_log_odds(table, post):
    """The pooled baseline is the normal-normal posterior of the control arms' logits, on the risk scale."""
    counts = table.two_by_two()
    x, n = counts.events_control, counts.n_control
    logits = bm.EffectSizes(yi=np.log(x / (n - x)), sei=np.sqrt(1 / x + 1 / (n - x)), measure="PLO", ni=n)
    own = bm.fit(logits)
    for of, marginal in (("new", own.theta_new), ("mean", own.mu)):
        found = bm.pooled_baseline(counts, of=of)
        q = np.cumsum(found.weight)
        middle = float(np.interp(0.5, q - found.weight / 2, found.risk))
        assert middle == pytest.approx(float(expit(marginal.median())), rel=2e-3)
        assert found.mean == pytest.approx(
            float(np.mean(expit(marginal.ppf((np.arange(2000) + 0.5) / 2000)))), rel=1e-3
        )
    both = bm.absolute_table(post, [table], benefit="lower")
    assert "4 control arms" in str(both)
    assert "independent" in str(both)


def test_control_arms_without_events_are_pooled():
    """A control arm without events gets half an event added; the risk stays inside (0, 1)."""
    counts = bm.TwoByTwo([1, 2, 3], [20, 30, 40], [0, 4, 40], [20, 30, 40])
    found = bm.pooled_baseline(counts)
    assert np.all((found.risk > 0) & (found.risk < 1))


def test_a_risk_ratio_that_cannot_hold_is_cut_and_said():
    """At a baseline of 0.9 a risk ratio of 1.2 would be a risk above 1: it is cut, and the text says so."""
    effect = bm.absolute_effect(posterior("RR", math.log(1.2), 0.1), 0.9)
    exact = float(ndtr((math.log(1.2) - math.log(1 / 0.9)) / 0.1))
    assert effect.cut == pytest.approx(exact, rel=1e-9)
    assert float(effect.risk_difference.ppf(0.999)) == pytest.approx(0.1)
    assert float(effect.risk_difference.cdf(0.1)) == 1.0
    assert "beyond 0 or 1" in str(effect)
    assert "beyond 0 or 1" not in str(bm.absolute_effect(posterior("RR", math.log(1.2), 0.1), 0.1))


def test_the_direction_of_benefit_decides_who_is_needed(post):
    """The same difference is NNTB where the event is a harm, NNTH where it is a good."""
    lower = bm.absolute_effect(post, 0.3, benefit="lower").number_needed()
    higher = bm.absolute_effect(post, 0.3, benefit="higher").number_needed()
    assert (lower.direction, higher.direction) == ("NNTB", "NNTH")
    assert lower.value == higher.value
    assert lower.p_benefit + higher.p_benefit == pytest.approx(1.0, abs=1e-12)


def test_nnt_is_that_of_the_absolute_effect(post):
    """bm.nnt is the shorter way to the same number, for mean effect and new study."""
    for estimand in ("mean", "new"):
        found = bm.nnt(post, 0.3, benefit="lower", estimand=estimand)
        whole = bm.absolute_effect(post, 0.3, estimand=estimand, benefit="lower").number_needed()
        assert str(found) == str(whole)


def test_ranges_of_an_absolute_effect(post):
    """Sizes per 1000 are the probabilities of the risk difference, in words of fewer and more."""
    effect = bm.absolute_effect(post, 0.3, benefit="lower")
    found = bm.ranges(effect, [-20, -50, -100], benefit="lower")
    assert found["large benefit"].probability[MEAN].value == float(effect.risk_difference.cdf(-0.1))
    assert found["large benefit"].words == "more than 100 fewer per 1000"
    assert sum(e.probability[MEAN].value for e in found.events) == pytest.approx(1.0, abs=1e-12)


def test_counts_models_know_their_measure(table):
    """A posterior of an exact-likelihood model is about the log odds ratio."""
    counts = bm.fit(table.two_by_two(), "binomial_normal")
    found = bm.absolute_effect(counts, 0.3)
    assert found.measure == "OR"
    assert float(found.risk_difference.median()) == pytest.approx(
        TREATED["OR"](counts.mu.median(), 0.3) - 0.3, rel=1e-9
    )


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda p: bm.absolute_effect(p, 0.0), "strictly between 0 and 1"),
        (lambda p: bm.absolute_effect(p, 1.0), "strictly between 0 and 1"),
        (lambda p: bm.absolute_effect(p, 30), "For 30% write 0.3"),
        (lambda p: bm.absolute_effect(p, math.nan), "strictly between"),
        (lambda p: bm.absolute_effect(p, "many"), "probability such as 0.3"),
        (lambda p: bm.absolute_effect(p, norm(0.3, 0.1)), "lies between 0 and 1"),
        (lambda p: bm.absolute_effect(p, 0.3, estimand="median"), "Known: mean, new"),
        (lambda p: bm.absolute_effect(p, 0.3).number_needed(), "benefit='lower'"),
        (lambda p: bm.absolute_effect(p, 0.3, benefit="lower").number_needed().probability(0.5), "at least 1"),
        (lambda p: bm.nnt(p, 0.3, benefit=None), "benefit='lower'"),
        (lambda p: bm.absolute_table(p, []), "no baseline risk"),
        (lambda p: bm.pooled_baseline(p.data.counts, of="median"), "Known: mean, new"),
        (lambda p: bm.absolute_effect(posterior("SMD", 0.2, 0.1), 0.3), "Known: HR, OR, PETO, RD, RR"),
    ],
)
def test_impossible_questions_say_what_to_write(post, ask, words):
    """Risks outside (0, 1), no direction of benefit, a measure that is not about risks."""
    with pytest.raises(ModelError, match=words):
        ask(post)


def test_a_cut_risk_at_an_uncertain_baseline_has_quantiles_and_no_density():
    """Where a risk is cut the difference is 1 minus the baseline: a density of the others alone integrates to less."""
    cut = bm.absolute_effect(posterior("RR", 0.7, 0.4), beta(30, 30)).risk_difference
    for ask in (lambda: cut.pdf(0.1), cut.mode, cut.hdi):
        with pytest.raises(ModelError, match=r"cut at 0 or 1 with probability 0\.\d+.*eti\(\)"):
            ask()
    assert math.isfinite(cut.eti().low)
    whole = bm.absolute_effect(posterior("RR", -0.7, 0.1), beta(30, 30)).risk_difference
    x = np.linspace(-0.6, 0.1, 20_001)
    assert np.sum(whole.pdf(x)) * (x[1] - x[0]) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("sd", [1e-2, 1e-3, 1e-4])
def test_a_precise_effect_over_an_uncertain_baseline_is_integrated(sd):
    """Between the steps of the baseline's nodes probabilities are those of adaptive quadrature over the baseline."""
    risk = beta(30, 70)
    difference = bm.absolute_effect(posterior("OR", -0.5, sd), risk).risk_difference
    x = np.array([-0.109, -0.0987, -0.0931, -0.0862, -0.0751])

    def below(at):
        def given(b):
            return risk.pdf(b) * ndtr((logit(b + at) - logit(b) + 0.5) / sd)

        # A difference larger than the baseline is impossible.
        edges = np.linspace(-at + 1e-9, 0.8, 200)
        return sum(quad(given, a, c, epsabs=1e-11, limit=400)[0] for a, c in pairwise(edges))

    assert difference.cdf(x) == pytest.approx([below(at) for at in x], abs=1e-7)


def test_a_known_effect_has_the_spread_of_the_baseline():
    """The difference falls as the baseline rises here, so its quantiles are those of the baseline, mapped."""
    effects = bm.EffectSizes(yi=[0.3, -0.4], sei=[0.3, 0.2], measure="OR")
    known = bm.fit(effects, priors={"mu": "point(-0.5)", "tau": "half_normal(0.5)"})
    found = bm.absolute_effect(known, beta(30, 70)).risk_difference
    q = np.array([0.025, 0.25, 0.5, 0.75, 0.975])
    b = beta(30, 70).ppf(1 - q)
    exact = TREATED["OR"](-0.5, b) - b
    assert found.ppf(q) == pytest.approx(exact, abs=2e-6)


@pytest.mark.parametrize("risk", [0.3, beta(30, 70)])
def test_an_average_with_no_effect_has_no_difference_at_its_median(risk):
    """Nine tenths of the probability is at exactly no difference, and so are the median and the upper limit."""
    effects = bm.EffectSizes(yi=[0.3, -0.4, -0.9, 0.1], sei=[0.3, 0.25, 0.4, 0.2], measure="OR")
    fits = [bm.fit(effects), bm.fit(effects, priors={"mu": "point(0)", "tau": "half_normal(0.5)"})]
    average = bm.model_average(fits)
    effect = bm.absolute_effect(average, risk, benefit="lower")
    difference = effect.risk_difference
    assert difference.atoms[0.0] == pytest.approx(average.details.weights[1], rel=1e-12)
    assert difference.ppf(np.array([0.5, 0.975])).tolist() == [0.0, 0.0]
    # Below no difference only the fit with an effect counts, whose own quantile it is.
    own = bm.absolute_effect(fits[0], risk).risk_difference
    assert difference.ppf(0.03) == pytest.approx(own.ppf(0.03 / average.details.weights[0]), rel=1e-8)
    assert "no difference per 1000" in str(effect)
    assert effect.number_needed().words().startswith("NNTB ∞ (")
    assert "NNTH" not in effect.number_needed().words()
    assert difference.mode() == 0.0
    with pytest.raises(ModelError, match=r"a probability of exactly 0: .* Use eti"):
        difference.hdi()


@pytest.mark.parametrize(
    ("centre", "sd", "risk"),
    [
        (-0.08, 0.05, beta(2, 18)),
        (-0.08, 0.01, beta(10, 90)),
        (-0.1, 0.02, uniform(0.05, 0.1)),
        (0.1, 0.05, beta(18, 2)),
    ],
)
def test_a_cut_risk_difference_is_no_larger_than_the_risk_there_is(centre, sd, risk):
    """Below 0 P(d <= x) = P(RD <= x) P(b >= -x), above it P(d > x) = P(RD > x) P(b <= 1 - x)."""
    found = bm.absolute_effect(posterior("RD", centre, sd), risk).risk_difference
    x = np.array([-0.14, -0.1, -0.0725, -0.03, 0.02, 0.06, 0.12])
    exact = np.where(x < 0, ndtr((x - centre) / sd) * risk.sf(-x), 1 - ndtr((centre - x) / sd) * risk.cdf(1 - x))
    assert found.cdf(x) == pytest.approx(exact, abs=1e-6)
    assert found.sf(x) == pytest.approx(1 - exact, abs=1e-6)


@pytest.mark.parametrize(("centre", "sd", "risk"), [(0.3, 0.1, beta(17, 3)), (0.2, 0.01, beta(80, 20))])
def test_a_cut_risk_ratio_is_averaged_over_the_baseline(centre, sd, risk):
    """A sum over a million baseline risks says the same, on both sides of where a risk of 1 is reached."""
    found = bm.absolute_effect(posterior("RR", centre, sd), risk).risk_difference
    b = risk.ppf((np.arange(1_000_000) + 0.5) / 1_000_000)
    for x in (0.05, 0.1244, 0.165, 0.2):
        exact = np.mean(np.where(b + x >= 1, 1.0, ndtr((np.log1p(x / b) - centre) / sd)))
        assert found.cdf(x) == pytest.approx(exact, abs=1e-6)


def test_moments_of_an_average_with_no_effect_are_those_of_its_parts():
    """Mean and SD of the mixture follow from the parts' own, the one of no effect having none."""
    effects = bm.EffectSizes(yi=[-1.2, -0.8, -1.1], sei=[0.5, 0.45, 0.6], measure="OR")
    free = bm.fit(effects, "common_effect", priors={"mu": "normal(0, 2)"})
    average = bm.model_average([free, bm.fit(effects, "common_effect", priors={"mu": "point(0)"})])
    share = average.details.weights[0]
    mu = free.mu.ppf((np.arange(400_000) + 0.5) / 400_000)
    d = TREATED["OR"](mu, 0.3) - 0.3
    found = bm.absolute_effect(average, 0.3).risk_difference
    assert found.mean() == pytest.approx(share * d.mean(), abs=1e-7)
    assert found.sd() == pytest.approx(math.sqrt(share * np.mean(d**2) - (share * d.mean()) ** 2), abs=1e-6)
