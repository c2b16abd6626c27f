"""The next study: assurance, the updated analysis and its worth, each against what is worked out another way."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtr, ndtri
from scipy.stats import beta, norm

import bayesmeta as bm
from bayesmeta.errors import ModelError
from bayesmeta.marginals.draws import DrawsMarginal
from bayesmeta.planning import assurance_curve
from bayesmeta.planning.designs import Design
from bayesmeta.resources import data_dir

PRIORS = {"mu": "normal(0, 2.82)", "tau": "half_normal(0.5)"}
SIZES = (50, 200, 1000)
DRAWS = 20_000


@pytest.fixture(scope="module")
def effects():
    return bm.effect_sizes(bm.read_studies(data_dir() / "rescue_stenting.csv", outcome="mortality"), "OR")


@pytest.fixture(scope="module")
def post(effects):
    return bm.fit(effects, priors=PRIORS)


@pytest.fixture(scope="module")
def found(post):
    return bm.next_study(post, n=list(SIZES), control_risk=0.4, benefit="lower")


@pytest.fixture(scope="module")
def drawn(post):
    """Draws of mu, tau, a new study's true effect, and of standard normals for its estimate."""
    rng = np.random.default_rng(8)
    node = rng.choice(len(post.mu.weights), DRAWS, p=post.mu.weights / post.mu.weights.sum())
    tau = np.sqrt(post.theta_new.sds**2 - post.mu.sds**2)[node]
    mu = post.mu.origin + post.mu.means[node] + post.mu.sds[node] * rng.standard_normal(DRAWS)
    return mu, tau, mu + tau * rng.standard_normal(len(mu)), rng.standard_normal(len(mu))


def woolf(theta, n, risk=0.4):
    p = expit(logit(risk) + theta)
    return np.sqrt(1 / (n * p * (1 - p)) + 1 / (n * risk * (1 - risk)))


def known(mean, sd, measure="GEN"):
    """A mean effect known as one normal distribution, with no differences between studies."""
    data = bm.EffectSizes([mean], [sd], measure=measure)
    return bm.fit(data, "common_effect", priors={"mu": "flat()"})


def test_assurance_at_the_risks_of_both_arms(found):
    """Stenting mortality, control risk 0.4: to the digits that an independent integration gave."""
    assert found.assurance == pytest.approx([0.44621516, 0.76480459, 0.89294779], abs=5e-9)
    assert found.ceiling == pytest.approx(0.93964, abs=5e-6)
    assert np.all(found.assurance < found.ceiling)


def test_assurance_at_the_control_risk(post):
    """The textbook form, with the control risk in both arms, is an option by its name."""
    textbook = assurance_curve(post, SIZES, control_risk=0.4, benefit="lower", se_from="control risk")
    assert textbook.assurance == pytest.approx([0.50510789, 0.77923621, 0.89404981], abs=5e-9)


def test_assurance_against_simulated_studies(found, drawn):
    """The share of simulated studies that are significant in the direction of benefit."""
    _, _, theta, z = drawn
    for n, exact in zip(SIZES, found.assurance, strict=True):
        se = woolf(theta, n)
        share = np.mean((theta + se * z) / se < ndtri(0.025))
        assert abs(share - exact) < 4.5 * math.sqrt(exact * (1 - exact) / DRAWS)


def test_the_updated_analysis_against_simulated_studies(post, found, drawn):
    """Each simulated study's P(benefit) by weighting draws with its likelihood: mean, quantiles, other conclusion."""
    mu, _, theta, z = drawn
    take = slice(0, 800)
    se = woolf(theta, 200)
    y = (theta + se * z)[take]
    like = np.exp(-0.5 * ((y[:, None] - theta) / se) ** 2) / se
    p = (like * (mu < 0)).sum(axis=1) / like.sum(axis=1)
    row = found.outlooks[1]
    assert row.expected_probability == pytest.approx(float(post.mu.cdf(0.0)), abs=1e-9)
    assert abs(p.mean() - row.expected_probability) < 5 * p.std() / math.sqrt(len(p))
    assert np.quantile(p, 0.5) == pytest.approx(row.probability_median, abs=0.004)
    assert np.quantile(p, 0.025) == pytest.approx(row.probability_low, abs=0.02)
    assert np.mean(p <= 0.975) == pytest.approx(row.overturn, abs=0.035)
    gain = (like * -mu).sum(axis=1) / like.sum(axis=1)
    assert np.mean(gain < 0) == pytest.approx(row.change_of_side, abs=0.01)


@pytest.fixture(scope="module")
def refits(effects, post):
    """The analysis fitted anew with a study at each of a grid of estimates, and how probable each estimate is."""
    se = 0.4
    x, w = np.polynomial.legendre.leggauss(60)
    predicted = [float(q) for q in post.theta_new.ppf([1e-9, 1 - 1e-9])]
    low, high = predicted[0] - 4 * se, predicted[1] + 4 * se
    y = 0.5 * (low + high) + 0.5 * (high - low) * x
    mass = w * np.array([density(post, v, se) for v in y])
    fits = [
        bm.fit(
            bm.EffectSizes([*effects.yi, v], [*effects.sei, se], study=[*effects.study, "next"], measure="OR"),
            priors=PRIORS,
        )
        for v in y
    ]
    return se, y, mass / mass.sum(), fits


def density(post, y, se):
    new = post.theta_new
    return float(new.weights @ norm.pdf(y, new.origin + new.means, np.sqrt(new.sds**2 + se**2)))


def test_the_updated_analysis_is_the_one_that_would_be_fitted(post, refits):
    """With a given standard error: P(benefit), interval, and value of information from fits with the study in."""
    se, _, mass, fits = refits
    found = bm.next_study(post, se=se, benefit="lower")
    p = np.array([float(f.mu.cdf(0.0)) for f in fits])
    assert found.expected_probability == pytest.approx(float(mass @ p), abs=1e-6)
    limits = np.array([f.mu.eti(0.95) for f in fits])[:, :2].astype(float)
    assert found.interval == pytest.approx(mass @ limits, abs=2e-3)
    assert 0.0 <= found.evsi <= found.evpi


def test_value_of_information_against_fits(effects, refits):
    """An uncertain question: the expected gain of deciding after the study, from fits, where most is to be learned."""
    wide = bm.fit(bm.EffectSizes([-0.2, 0.3, 0.1], [0.4, 0.5, 0.6], measure="OR"), priors=PRIORS)
    se = 0.3
    new = wide.theta_new
    x, w = np.polynomial.legendre.leggauss(120)
    y = 4.0 * x
    mass = w * np.array([density(wide, v, se) for v in y])
    means = np.array(
        [
            bm.fit(bm.EffectSizes([-0.2, 0.3, 0.1, v], [0.4, 0.5, 0.6, se], measure="OR"), priors=PRIORS).mu.mean()
            for v in y
        ]
    )
    mass /= mass.sum()
    value = float(mass @ np.maximum(-means, 0.0)) - max(0.0, -wide.mu.mean())
    found = bm.next_study(wide, se=se, benefit="lower")
    assert found.evsi == pytest.approx(value, rel=5e-3)
    assert new.mean() == pytest.approx(wide.mu.mean())


def test_perfect_information(post, found, drawn):
    """The mean gain of knowing the mean effect before deciding: given figure, and simulated."""
    assert found.evpi == pytest.approx(0.0023745, abs=5e-8)
    mu = drawn[0]
    gain = np.maximum(mu, 0.0)
    assert abs(gain.mean() - found.evpi) < 4.5 * gain.std() / math.sqrt(DRAWS)
    assert np.all(found.evsi <= found.evpi)
    assert np.all(np.diff(found.evsi) > 0)


@pytest.mark.parametrize(("n", "value"), [(10, 0.0800843), (100, 0.1394845), (1000, 0.1519019)])
def test_sample_information_in_closed_form(n, value):
    """The normal case, prior N(0.1, 0.5^2), sigma 2: the published expression, given figures, and simulation."""
    m, s, se = 0.1, 0.5, 2.0 / math.sqrt(n)
    found = bm.next_study(known(m, s), se=se, benefit="higher")
    spread = s**2 / math.hypot(s, se)
    closed = spread * norm.pdf(m / spread) + m * ndtr(m / spread) - m
    assert found.evsi == pytest.approx(closed, abs=1e-9)
    assert found.evsi == pytest.approx(value, abs=5e-8)
    assert found.evpi == pytest.approx(0.1534473, abs=5e-8)
    rng = np.random.default_rng(3)
    theta = m + s * rng.standard_normal(400_000)
    y = theta + se * rng.standard_normal(400_000)
    mean = (m / s**2 + y / se**2) / (1 / s**2 + 1 / se**2)
    assert np.maximum(mean, 0.0).mean() - m == pytest.approx(closed, abs=0.003)


def test_predictive_power_of_a_bound():
    """The vignette of bpp (Rufibach, Jordan & Abt 2016): hazard ratio 0.85, SD 0.11, 1600 events at 4.9%."""
    bound = math.exp(ndtri(0.0245) * math.sqrt(4 / 1600))
    found = bm.next_study(known(math.log(0.85), 0.11, "HR"), se=0.05, benefit="lower", success=f"HR < {bound!r}")
    assert found.assurance == pytest.approx(0.7020852, abs=5e-8)
    rng = np.random.default_rng(4)
    y = math.log(0.85) + 0.11 * rng.standard_normal(200_000) + 0.05 * rng.standard_normal(200_000)
    assert np.mean(y < math.log(bound)) == pytest.approx(0.7020852, abs=0.005)


def test_success_of_the_updated_analysis(effects, post):
    """P(benefit) > 0.975 after the study: the probability of the estimates for which a fit says so."""
    se = 0.4

    def excess(y):
        data = bm.EffectSizes([*effects.yi, y], [*effects.sei, se], measure="OR")
        return float(bm.fit(data, priors=PRIORS).mu.cdf(0.0)) - 0.975

    edge = brentq(excess, -1.0, 1.0, xtol=1e-7)
    assert excess(-6.0) > 0
    found = bm.next_study(post, se=se, benefit="lower", success="P(benefit) > 0.975")
    new = post.theta_new
    exact = float(new.weights @ ndtr((edge - new.origin - new.means) / np.sqrt(new.sds**2 + se**2)))
    assert found.assurance == pytest.approx(exact, abs=1e-6)
    assert found.assurance == pytest.approx(found.outlooks[0].conclude_benefit, abs=1e-12)


def test_the_size_for_a_wanted_assurance(post):
    """The smallest size that has it: one patient fewer has less."""
    found = bm.next_study(post, assurance=0.8, control_risk=0.4, benefit="lower")
    around = assurance_curve(post, [found.n - 1, found.n], control_risk=0.4, benefit="lower").assurance
    assert around[0] < 0.8 <= around[1]
    assert found.assurance == pytest.approx(around[1], abs=1e-9)


def test_a_known_effect_needs_the_textbook_size():
    """Without uncertainty assurance is power: 63 a group detect half a standard deviation with 80% (Cohen: 64 by t)."""
    sure = known(0.5, 1e-6, "MD")
    found = bm.next_study(sure, assurance=0.8, sd=1.0, benefit="higher")
    assert found.n == math.ceil(2 * ((ndtri(0.975) + ndtri(0.8)) / 0.5) ** 2) == 63
    assert found.power == pytest.approx(found.assurance, abs=1e-6)


def test_standard_errors_of_every_kind_of_study():
    """The large-sample formulas, written out; two to one keeps the total."""
    theta = np.array([-0.3, 0.2])
    assert Design("OR", control=0.4).standard_error(theta, 80) == pytest.approx(woolf(theta, 80))
    p = 0.4 * np.exp(theta)
    each = (1 - p) / (100 * p) + 0.6 / (0.4 * 100)
    assert Design("RR", control=0.4).standard_error(theta, 100) == pytest.approx(np.sqrt(each))
    p = 0.4 + theta
    each = p * (1 - p) / 100 + 0.24 / 100
    assert Design("RD", control=0.4).standard_error(theta, 100) == pytest.approx(np.sqrt(each))
    p = 1 - 0.6 ** np.exp(theta)
    assert Design("HR", control=0.4).standard_error(theta, 100) == pytest.approx(np.sqrt(0.01 / p + 0.01 / 0.4))
    treated, control = Design("MD", allocation=2.0).arms(60)
    assert (treated, control) == (80.0, 40.0)
    two_to_one = Design("MD", allocation=2.0, sd=3.0).standard_error(theta, 60)
    assert two_to_one == pytest.approx([3 * math.sqrt(1 / 80 + 1 / 40)] * 2)
    smd = Design("SMD").standard_error(theta, 60)
    assert smd == pytest.approx(np.sqrt(2 / 60 + theta**2 / 240))
    rates = Design("IRR", control=0.2, follow_up=2.0).standard_error(theta, 100)
    assert rates == pytest.approx(np.sqrt(1 / (40 * np.exp(theta)) + 1 / 40))
    differences = Design("IRD", control=0.5).standard_error(theta, 100)
    assert differences == pytest.approx(np.sqrt((0.5 + theta) / 100 + 0.5 / 100))


def test_an_uncertain_control_risk(post):
    """Assurance is its mean over the control risk, by an independent rule; a narrow distribution is the number."""
    spread = bm.next_study(post, n=200, control_risk="beta(8, 12)", benefit="lower", patients=1000)
    levels, theta = (np.arange(40) + 0.5) / 40, post.theta_new.ppf((np.arange(400) + 0.5) / 400)
    each = [np.mean(ndtr(-theta / woolf(theta, 200, r) - ndtri(0.975))) for r in beta(8, 12).ppf(levels)]
    assert spread.assurance == pytest.approx(np.mean(each), abs=2e-3)
    narrow = assurance_curve(post, [200], control_risk="beta(400000, 600000)", benefit="lower")
    assert narrow.assurance == pytest.approx([0.76480459], abs=1e-5)


def test_events_avoided(post, drawn):
    """Perfect information in events among 1000 patients, by simulation; sample information is worth no more."""
    found = bm.next_study(post, n=200, control_risk=0.4, benefit="lower", patients=1000)
    mu = drawn[0]
    added = np.maximum(1000 * (expit(logit(0.4) + mu) - 0.4), 0.0)
    assert abs(added.mean() - found.evpi_events) < 4.5 * added.std() / math.sqrt(DRAWS)
    assert 0 <= found.evsi_events <= found.evpi_events


def test_the_directions_mirror_each_other(effects, post):
    """Arms exchanged and the direction of benefit turned: every figure stays."""
    turned = bm.fit(bm.EffectSizes(-effects.yi, effects.sei, study=effects.study, measure="GEN"), priors=PRIORS)
    one = bm.next_study(post, se=0.3, benefit="lower").outlooks[0]
    other = bm.next_study(turned, se=0.3, benefit="higher").outlooks[0]
    for name in ("assurance", "expected_probability", "probability_low", "overturn", "change_of_side", "evsi"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-7)
    assert one.interval == pytest.approx([-x for x in other.interval[::-1]], abs=1e-6)


def test_a_sampled_posterior(post, found):
    """From draws the same answers, within their error, and the text says where they come from."""
    sample = post.to_datatree(8000, seed=11)["posterior"]
    made = {name: DrawsMarginal(np.asarray(sample[name])) for name in ("mu", "theta_new")}
    sampled = dataclasses.replace(post, marginals={**post.marginals, **made})
    other = bm.next_study(sampled, n=200, control_risk=0.4, benefit="lower")
    assert other.assurance == pytest.approx(found.assurance[1], abs=0.02)
    assert other.outlooks[0].expected_probability == pytest.approx(found.outlooks[1].expected_probability, abs=0.015)
    assert other.interval == pytest.approx(found.outlooks[1].interval, abs=0.15)
    assert "draws" in str(other)
    assert "draws" not in str(found)


def test_it_prints_and_frames(found):
    """One block, one row a size; one size gives numbers, several give arrays."""
    text = str(found)
    assert text == repr(found)
    assert "0.765" in text
    assert "EVPI" in text
    frame = found.to_frame()
    assert list(frame["n"]) == list(SIZES)
    assert frame["assurance"].to_numpy() == pytest.approx(found.assurance)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n": 1, "control_risk": 0.4}, "whole number of at least 2"),
        ({"n": 20.5, "control_risk": 0.4}, "whole number"),
        ({"n": [], "control_risk": 0.4}, r"n=\[50, 200, 1000\]"),
        ({"control_risk": 0.4}, "assurance=0.8"),
        ({"n": 50}, "control_risk=0.4"),
        ({"n": 50, "control_risk": 1.4}, "between 0 and 1"),
        ({"n": 50, "control_risk": 0.4, "success": "OR > 0.9"}, "contradicts benefit='lower'.*'OR < 0.9'"),
        ({"n": 50, "control_risk": 0.4, "success": "RR < 0.9"}, "the estimate is a OR|the estimate is"),
        ({"n": 50, "control_risk": 0.4, "success": "P(benefit) < 0.9"}, "P\\(benefit\\) > 0.975"),
        ({"n": 50, "control_risk": 0.4, "success": "win"}, "'significant'"),
        ({"n": 50, "control_risk": 0.4, "allocation": 0}, "allocation"),
        ({"n": 50, "control_risk": 0.4, "certainty": 1.0}, "certainty"),
        ({"n": 50, "control_risk": 0.4, "level": 95}, "level"),
        ({"n": 50, "se": 0.2}, "not both"),
        ({"n": 50, "control_risk": 0.4, "se_from": "arms"}, "both arms"),
        ({"n": 50, "control_risk": 0.4, "benefit": None}, "benefit='lower'"),
        ({"assurance": 0.95, "control_risk": 0.4}, "0.940"),
        ({"assurance": 80, "control_risk": 0.4}, "between 0 and 1"),
        ({"se": 0.0}, "greater than 0"),
        ({"se": 0.2, "patients": 100}, "control_risk"),
    ],
)
def test_impossible_requests_say_what_to_write(post, options, said):
    """Each is an error in words, before anything is computed."""
    with pytest.raises(ModelError, match=said):
        bm.next_study(post, **{"benefit": "lower", **options})
