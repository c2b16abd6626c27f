"""Predictions of the next 2x2 table under risk ratios and risk differences, against brute force and Fisher's law."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binom, norm

import bayesmeta as bm
from bayesmeta.decisions.next_table import check_table
from bayesmeta.decisions.predictive import check_events
from bayesmeta.marginals.draws import DrawsMarginal
from bayesmeta.studies import TwoByTwo

# Half the risk in every study.
HALVED = TwoByTwo([10, 30, 40], [100] * 3, [20, 60, 80], [100] * 3)
NARROW = {"mu": "normal(0, 0.7)", "tau": "half_normal(0.05)"}
MODELS = {"binomial_normal_rr": {}, "binomial_normal_rd": NARROW}


def risks(model, theta):
    """Return both arms' risks (treatment, control) over a line of risks, and the baseline's prior measure on it."""
    # As far as the prior of the baseline reaches where one risk is 0 or 1 and the likelihood does not fall.
    u = 4.0 * np.sinh(np.linspace(-4.0, 4.0, 1601))
    if model == "binomial_normal_rr":
        larger = expit(u)
        smaller = larger * np.exp(-abs(theta))
    else:
        smaller = (1.0 - abs(theta)) * expit(u)
        larger = smaller + abs(theta)
    treatment, control = (larger, smaller) if theta > 0 else (smaller, larger)
    # 1 - larger without cancellation, so that the log odds are right near 1.
    rest = expit(-u) if model == "binomial_normal_rr" else (1.0 - abs(theta)) * expit(-u)
    alpha = 0.5 * (np.log(larger) - np.log(rest) + np.log(smaller) - np.log1p(-smaller))
    return treatment, control, norm.pdf(alpha, 0.0, 10.0) * np.gradient(alpha)


def brute_force(model, theta_new, table):
    """Return the chances of every table with the same totals by sums over theta and over the baseline."""
    e1, n1, e2, n2 = table
    total = e1 + e2
    x = np.arange(max(0, total - n2), min(n1, total) + 1)
    edges = np.linspace(*theta_new.ppf([1e-5, 1 - 1e-5]), 301)
    weight, middle = np.diff(theta_new.cdf(edges)), 0.5 * (edges[1:] + edges[:-1])
    chance = np.zeros(len(x))
    for theta, w in zip(middle, weight, strict=True):
        treatment, control, prior = risks(model, theta)
        likely = (binom.pmf(x[:, None], n1, treatment) * binom.pmf(total - x[:, None], n2, control)) @ prior
        chance += w * likely / likely.sum()
    return x, chance / chance.sum()


def mid_p(x, chance, observed):
    below = float(((x < observed) + 0.5 * (x == observed)) @ chance)
    return 2.0 * min(below, 1.0 - below)


@pytest.mark.parametrize("table", [(40, 100, 80, 100), (3, 40, 9, 35), (0, 30, 4, 25)])
@pytest.mark.parametrize("model", sorted(MODELS))
def test_the_prediction_is_the_models_own(model, table):
    """The p-value is that of a sum over effects and baselines with each model's risks written out."""
    before = bm.fit(HALVED.drop(["Study 3"]), model, priors=MODELS[model])
    x, chance = brute_force(model, before.theta_new, table)
    found, reason = check_table(before, TwoByTwo(*([value] for value in table)))
    assert reason == ""
    assert found.p == pytest.approx(mid_p(x, chance, table[0]), abs=2e-3)
    low, high = (x[np.searchsorted(np.cumsum(chance), q)] for q in (0.025, 0.975))
    assert abs(found.low - low) <= 1
    assert abs(found.high - high) <= 1


def test_equal_risk_ratios_do_not_surprise():
    """Where every study halves the risk, each is in the middle of what those before it predict."""
    steps = bm.sequential(HALVED, "binomial_normal_rr").steps[1:]
    assert [step.check.what for step in steps] == ["events under treatment"] * 2
    assert min(step.check.p for step in steps) > 0.9


def test_equal_risk_differences_do_not_surprise():
    """The same for differences, where the risk is 0.1 less in every study."""
    less = TwoByTwo([10, 30, 50], [100] * 3, [20, 40, 60], [100] * 3)
    assert min(s.check.p for s in bm.sequential(less, "binomial_normal_rd", priors=NARROW).steps[1:]) > 0.9


@pytest.mark.parametrize("table", [(40, 100, 80, 100), (100, 2000, 210, 1900)])
def test_under_the_hypergeometric_model_it_is_fishers_law(table):
    """That model's likelihood is conditional on the totals, so both ways of checking give one p-value."""
    before = bm.fit(HALVED, "hypergeometric_normal")
    found, _ = check_table(before, TwoByTwo(*([value] for value in table)))
    fisher = check_events(before.theta_new, table)
    assert (found.low, found.high) == (fisher.low, fisher.high)
    assert found.p == pytest.approx(fisher.p, abs=1e-9)


@pytest.mark.parametrize("model", sorted(MODELS))
def test_draws_give_the_same_with_their_error(model):
    """From draws of a new study's effect the p-value is the same within Monte Carlo error."""
    before, table = bm.fit(HALVED, model, priors=MODELS[model]), TwoByTwo([30], [90], [70], [110])
    draws = np.asarray(before.theta_new.ppf(np.random.default_rng(3).uniform(size=(4, 1000))))
    sampled = replace(before, marginals={**before.marginals, "theta_new": DrawsMarginal(draws)})
    exact, _ = check_table(before, table)
    found, _ = check_table(sampled, table)
    assert 0.0 < found.p_error < 0.03
    assert abs(found.p - exact.p) < 4.5 * found.p_error


def test_a_model_that_does_not_state_its_likelihood_is_not_checked(tmp_path):
    """Without study_likelihoods there is no check under risk ratios, and the table says why."""
    path = bm.model.load_model("binomial_normal_rr").path
    before = bm.fit(HALVED, path)
    blind = replace(before, model=replace(before.model, study_likelihoods=None))
    found, reason = check_table(blind, HALVED.drop(["Study 1", "Study 2"]))
    assert found is None
    assert "study_likelihoods" in reason
    path = bm.sequential(HALVED, "binomial_normal_rr")
    first, second, third = path.steps
    told = replace(path, steps=(first, second, replace(third, check=None, no_check=reason)))
    assert only_dashes(str(told))
    assert "Study 3 is not checked: model 'binomial_normal_rr' does not state" in " ".join(str(told).split())


def only_dashes(text):
    """Return whether the line of study 3 among the checks holds dashes alone."""
    line = text.split("Each study against")[1].split("Study 3")[1].splitlines()[0]
    return set(line.split()) == {"–"}


def test_a_study_with_one_possible_table_is_not_checked():
    """No events in all leave one possible table: nothing to check, and nothing to explain."""
    assert check_table(bm.fit(HALVED, "binomial_normal_rr"), TwoByTwo([0], [20], [0], [20])) == (None, "")


def test_the_brute_force_has_the_risks_it_says():
    """Its risks have the ratio or the difference theta."""
    treatment, control, _ = risks("binomial_normal_rr", -0.7)
    assert np.log(treatment / control) == pytest.approx(np.full(1601, -0.7))
    treatment, control, _ = risks("binomial_normal_rd", 0.3)
    assert treatment - control == pytest.approx(np.full(1601, 0.3))
