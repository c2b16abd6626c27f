"""Sequential and living meta-analysis: the chain rule of evidence, predictive checks, the later stenting cohorts."""

import math
import re
from itertools import pairwise, permutations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import gammaln, ndtr
from scipy.stats import norm

import bayesmeta as bm
from bayesmeta.decisions.predictive import check_estimate, check_events, predicted_estimate, predicted_events
from bayesmeta.errors import BayesMetaError, ModelError
from bayesmeta.marginals.draws import DrawsMarginal
from bayesmeta.resources import data_dir

FIRST, LATER = data_dir() / "rescue_stenting.csv", data_dir() / "rescue_stenting_later_cohorts.csv"
OUTCOMES = {"favourable_outcome": "higher", "mortality": "lower", "symptomatic_ich": "lower"}


def studies(path, outcome):
    return bm.effect_sizes(bm.read_studies(path, outcome=outcome), "OR")


@pytest.fixture(scope="module")
def effects():
    return studies(FIRST, "mortality")


@pytest.mark.parametrize("outcome", sorted(OUTCOMES))
def test_the_product_of_predictive_densities_is_the_evidence(outcome):
    """Each study's density under the prediction from those before multiplies up to the marginal likelihood."""
    effects = studies(FIRST, outcome)
    steps = bm.sequential(effects).steps
    whole = bm.fit(effects).log_evidence
    assert sum(s.log_predictive for s in steps) == pytest.approx(whole, rel=1e-10)


@pytest.mark.parametrize(
    ("model", "priors", "yi", "sei"),
    [
        ("robust_t", {}, [0.1, 0.5, 0.3, 0.9], [0.3, 0.4, 0.01, 0.005]),
        ("normal_normal", {"mu": "logistic(0, 1)", "tau": "half_cauchy(0.5)"}, [0.1, 1.0], [1.0, 0.001]),
        ("normal_normal", {"mu": "logistic(0, 1)", "tau": "half_normal(0.01)"}, [0.1, 0.1, 1.0], [0.01, 0.01, 3.0]),
    ],
)
def test_a_prediction_known_on_a_grid_keeps_the_chain_rule(model, priors, yi, sei):
    """The predictive density is the ratio of evidences, be the prediction much wider or narrower than the error."""
    steps = bm.sequential(bm.EffectSizes(yi, sei, measure="OR"), model, priors=priors).steps
    for before, step, y, se in zip(steps, steps[1:], yi[1:], sei[1:], strict=False):
        difference = step.posterior.log_evidence - before.posterior.log_evidence
        predicted = predicted_estimate(before.posterior.theta_new, se)
        assert float(predicted.logpdf(y)) == pytest.approx(difference, abs=1e-8)
        assert float(predicted.cdf(y)) + float(predicted.sf(y)) == pytest.approx(1.0, abs=1e-12)
        assert predicted.cdf(step.check.low) == pytest.approx(0.025, abs=1e-9)


def test_the_prediction_of_an_average_counts_known_effects(effects):
    """A model in which no effect is certain adds its normal to the other's, with its weight."""
    random, null = bm.fit(effects), bm.fit(effects, priors={"mu": "point(0)", "tau": "point(0)"})
    averaged = bm.model_average([random, null])
    w = averaged.details.weights
    predicted = predicted_estimate(averaged.theta_new, 0.3)
    for y in (-0.4, 0.1):
        expected = w[0] * float(predicted_estimate(random.theta_new, 0.3).cdf(y)) + w[1] * norm.cdf(y / 0.3)
        assert float(predicted.cdf(y)) == pytest.approx(expected, abs=1e-12)


def test_the_order_of_the_studies_changes_the_path_but_not_its_end(effects):
    """Over all orders the evidence and the last posterior are one; the first steps differ."""
    paths = [bm.sequential(effects, order=order) for order in permutations(effects.study)][::5]
    totals = [sum(s.log_predictive for s in path.steps) for path in paths]
    assert totals == pytest.approx([totals[0]] * len(paths), rel=1e-10)
    ends = [path.posterior.mu.mean() for path in paths]
    assert ends == pytest.approx([ends[0]] * len(paths), rel=1e-9)
    assert len({round(path.steps[1].posterior.mu.mean(), 6) for path in paths}) > 1


@pytest.mark.parametrize("outcome", sorted(OUTCOMES))
def test_the_later_stenting_cohorts_update_the_four_studies(outcome):
    """Updating study by study ends where fitting all at once does; each P(benefit) is its posterior's."""
    first, later = studies(FIRST, outcome), studies(LATER, outcome)
    before = bm.fit(first)
    path = bm.update(before, later, benefit=OUTCOMES[outcome])
    assert [s.posterior.k for s in path.steps] == list(range(first.k, first.k + later.k + 1))
    both = bm.EffectSizes(
        yi=[*first.yi, *later.yi], sei=[*first.sei, *later.sei], study=[*first.study, *later.study], measure="OR"
    )
    whole = bm.fit(both)
    assert path.posterior.mu.eti() == pytest.approx(tuple(whole.mu.eti()), rel=1e-9)
    assert path.log_predictive == pytest.approx(whole.log_evidence - before.log_evidence, rel=1e-10)
    word = "cdf" if OUTCOMES[outcome] == "lower" else "sf"
    for step in path.steps:
        assert step.p_mean == float(getattr(step.posterior.mu, word)(0.0))
        assert step.p_new == float(getattr(step.posterior.theta_new, word)(0.0))
    said = str(path)
    assert all(study in said for study in later.study)
    assert ("P(OR < 1), mean" if word == "cdf" else "P(OR > 1), mean") in said


def test_a_predictive_check_agrees_with_brute_force(effects):
    """Predicted estimates drawn from the posterior give the same interval and tail probabilities, within error."""
    before = bm.fit(effects.drop(["Fourth study"]))
    path = bm.sequential(effects)
    check = path.steps[-1].check
    n = 40000
    theta = np.asarray(before.to_datatree(n, seed=4)["posterior"]["theta_new"]).ravel()
    y = theta + float(effects.sei[-1]) * np.random.default_rng(8).standard_normal(n)
    tail = min(np.mean(y <= effects.yi[-1]), np.mean(y >= effects.yi[-1]))
    assert abs(tail - check.p / 2) < 4.5 * math.sqrt(check.p / 2 / n)
    for share, limit in ((0.025, check.low), (0.975, check.high)):
        assert abs(np.mean(y <= limit) - share) < 4.5 * math.sqrt(share * (1 - share) / n)


def test_any_marginal_is_convolved_with_the_sampling_error(effects):
    """For exact models and for draws the prediction is the integral of the true effect's density times the normal's."""
    counts = bm.fit(effects.counts, "binomial_normal")
    for se in (0.05, 0.4, 3.0):
        predicted = predicted_estimate(counts.theta_new, se)
        ends = counts.theta_new.ppf([1e-11, 1e-4, 0.02, 0.3, 0.7, 0.98, 1 - 1e-4, 1 - 1e-11])
        for y in (-2.0, -0.5, 1.0):

            def integrand(theta, y=y, se=se):
                return float(counts.theta_new.pdf(theta)) * float(ndtr((y - theta) / se))

            cuts = sorted({*ends, *(c for c in (y - 6 * se, y, y + 6 * se) if ends[0] < c < ends[-1])})
            exact = sum(quad(integrand, a, b, epsabs=1e-10)[0] for a, b in pairwise(cuts))
            assert float(predicted.cdf(y)) == pytest.approx(exact, abs=1e-7)
    draws = DrawsMarginal(np.random.default_rng(3).standard_normal((4, 2000)))
    assert float(predicted_estimate(draws, 1.0).sf(1.0)) == pytest.approx(norm.sf(1 / math.sqrt(2)), abs=0.01)


def test_predicted_events_are_fishers_noncentral_hypergeometric():
    """At a known odds ratio the predictive of the events under treatment is scipy's distribution, to 1e-9."""
    from scipy.stats import nchypergeom_fisher

    theta = -0.4
    sure = DrawsMarginal(np.full((1, 4), theta) + np.array([[0, 1e-15, 0, 1e-15]]))
    x, chance = predicted_events(sure, (6.0, 48.0, 19.0, 100.0))
    assert chance == pytest.approx(nchypergeom_fisher(148, 25, 48, math.exp(theta)).pmf(x), abs=1e-9)
    assert chance.sum() == pytest.approx(1.0, abs=1e-12)
    found = check_events(sure, (6.0, 48.0, 19.0, 100.0))
    lower = nchypergeom_fisher(148, 25, 48, math.exp(theta)).cdf(6) - 0.5 * chance[x == 6][0]
    assert found.p == pytest.approx(2 * min(lower, 1 - lower), abs=1e-9)


def test_predicted_events_average_over_the_posterior(effects):
    """Averaged over a quadrature posterior the chances are those averaged over its draws, within Monte Carlo error."""
    post = bm.fit(effects)
    table = (20.0, 400.0, 30.0, 390.0)
    _, chance = predicted_events(post.theta_new, table)
    draws = np.asarray(post.to_datatree(4000, seed=4)["posterior"]["theta_new"])
    x, sampled = predicted_events(DrawsMarginal(draws), table)
    assert chance.sum() == pytest.approx(1.0, abs=1e-12)
    assert chance @ x == pytest.approx(sampled @ x, abs=4.5 * math.sqrt(chance @ x**2 - (chance @ x) ** 2) / 60)


HEAVY = [
    {"mu": "cauchy(0, 1)", "tau": "half_cauchy(1)"},
    {"mu": "normal(0, 2)", "tau": "uniform(0, 50)"},
    {"mu": "normal(0, 0.3)", "tau": "half_normal(0.1)"},
]


TENS, NONE, THOUSANDS = (20.0, 40.0, 9.0, 40.0), (0.0, 30.0, 4.0, 25.0), (300.0, 4000.0, 380.0, 4100.0)


@pytest.mark.parametrize(
    ("priors", "table"),
    [(HEAVY[0], TENS), (HEAVY[0], NONE), (HEAVY[1], NONE), (HEAVY[1], TENS), (HEAVY[2], THOUSANDS)],
)
def test_predicted_events_are_sums_over_a_fine_grid(priors, table):
    """Under heavy and light tails, for tens and thousands of patients, chances are those of small steps."""
    new = bm.fit(bm.EffectSizes(yi=[-0.5, 0.3], sei=[0.3, 0.4], measure="OR"), priors=priors).theta_new
    x, chance = predicted_events(new, table)
    assert chance.sum() == pytest.approx(1.0, abs=1e-12)
    # Beyond 40 only the last table on either side is possible.
    edges = 40.0 * np.sinh(np.linspace(-6.0, 6.0, 2001)) / math.sinh(6.0)
    weight, middle = np.diff(new.cdf(edges)), 0.5 * (edges[1:] + edges[:-1])
    e1, n1, e2, n2 = table
    log = -(gammaln(x + 1) + gammaln(n1 - x + 1) + gammaln(e1 + e2 - x + 1) + gammaln(n2 - e1 - e2 + x + 1))
    summed = np.zeros(len(x))
    for i in range(0, len(middle), 500):
        each = log[:, None] + x[:, None] * middle[i : i + 500]
        each = np.exp(each - each.max(axis=0))
        summed += (each / each.sum(axis=0)) @ weight[i : i + 500]
    summed[0] += float(new.cdf(-40.0))
    summed[-1] += float(new.sf(40.0))
    assert chance == pytest.approx(summed, rel=1e-4, abs=1e-6)


def test_a_study_without_events_cannot_surprise():
    """Where the totals leave only one possible count there is no check."""
    sure = DrawsMarginal(np.zeros((1, 4)))
    assert check_events(sure, (0.0, 20.0, 0.0, 20.0)) is None


def test_counts_are_updated_under_the_exact_model(effects):
    """An exact model takes later counts; evidence differences are the predictive densities."""
    counts = effects.counts
    later = bm.read_studies(LATER, outcome="mortality").two_by_two()
    before = bm.fit(counts, "binomial_normal")
    path = bm.update(before, later.drop(later.study[1:]), benefit="lower")
    assert path.posterior.k == counts.k + 1
    assert path.steps[-1].check.what == "events under treatment"
    assert path.log_predictive == pytest.approx(path.posterior.log_evidence - before.log_evidence)
    assert "events under treatment" in str(path)


def test_a_table_can_be_sorted_by_a_column():
    """order="year" adds the studies by year; a missing year is an error that names the study."""
    table = bm.read_studies(data_dir() / "bcg_vaccine.csv")
    path = bm.sequential(table, order="year", measure="RR", benefit="lower", start=10)
    years = dict(zip(table.study, table.column("year"), strict=True))
    order = [years[s] for step in path.steps for s in step.added]
    assert order == sorted(years.values())


def test_flat_priors_need_a_start(effects):
    """With a flat prior one study has no evidence; the predictive densities of the others exist."""
    path = bm.sequential(effects, priors={"mu": "flat()"})
    assert path.steps[0].log_predictive is None
    assert all(math.isfinite(s.log_predictive) for s in path.steps[1:])


@pytest.mark.parametrize("prior", ["on_tau2(uniform(0, 1))", "0.5 * half_normal(0.5) + 0.5 * half_normal(1)"])
def test_composed_priors_keep_the_chain_rule(effects, prior):
    """A prior on tau2 or a mixture does not depend on the data: the predictive densities still multiply up."""
    path = bm.sequential(effects, priors={"tau": prior})
    assert sum(s.log_predictive for s in path.steps) == pytest.approx(path.posterior.log_evidence, rel=1e-9)


@pytest.mark.parametrize("prior", ["dumouchel()", "i2()", "jeffreys()"])
def test_priors_that_depend_on_the_data_have_no_chain_rule(effects, prior):
    """With such a prior each step is another model, so no predictive density is claimed."""
    path = bm.sequential(effects, priors={"tau": prior}, start=2)
    assert [s.log_predictive for s in path.steps] == [None] * 3
    assert path.log_predictive is None
    assert path.steps[-1].check is not None


def test_the_frame_and_the_reconstructed_mark(effects):
    """The frame has a row a step; studies with reconstructed counts are marked in the text."""
    path = bm.sequential(effects, benefit="lower")
    frame = path.to_frame()
    assert list(frame["k"]) == [1, 2, 3, 4]
    assert frame["p_mean"].iloc[-1] == path.steps[-1].p_mean
    assert "Fourth study †" in str(path)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda e: bm.sequential(e, order=["Chang 2018"]), "every study once"),
        (lambda e: bm.sequential(e, order="year"), "only a study table has columns"),
        (lambda e: bm.sequential(e, start=0), "from 1 to 4"),
        (lambda e: bm.sequential(e, start=5), "from 1 to 4"),
        (lambda e: bm.sequential(e, benefit="down"), "Known: higher, lower"),
        (lambda e: bm.sequential(e, benefit="lower", threshold=-1.0), "greater than 0"),
        (lambda e: bm.sequential(e, priors={"mu": "flat()", "tau": "flat()"}), "start="),
        (lambda e: bm.sequential([1, 2]), "effect sizes, 2x2 counts or a study table"),
        (lambda e: bm.update(bm.fit(e), e), "counts once"),
        (lambda e: bm.update(bm.model_average([bm.fit(e), bm.fit(e, "common_effect")]), e), "average again"),
        (lambda e: bm.update(bm.fit(e), bm.EffectSizes([0.1], [0.2], ("new",), measure="SMD")), "both the same way"),
    ],
)
def test_impossible_requests_say_what_to_write(effects, ask, words):
    """A wrong order or start, a study that is there already, another measure."""
    with pytest.raises(BayesMetaError, match=words):
        ask(effects)


def test_generic_effects_need_a_threshold_for_a_probability():
    """Log odds of one group have no null: without a threshold there is nothing to follow."""
    effects = bm.EffectSizes([-1.0, -0.8], [0.2, 0.3], measure="PLO")
    with pytest.raises(ModelError, match="give a threshold"):
        bm.sequential(effects, benefit="lower", start=2)
    assert bm.sequential(effects, benefit="lower", threshold=0.4, start=2).event == "proportion < 0.4"


@pytest.mark.parametrize("what", ["estimate", "events"])
def test_errors_of_a_sampled_prediction_are_the_spread_over_runs(what):
    """Against what repeated sampling of theta does to the interval and the p-value of one check."""
    rng = np.random.default_rng(5)
    runs = [DrawsMarginal(rng.normal(-0.5, 0.6, (4, 250))) for _ in range(150)]
    if what == "estimate":
        checks = [check_estimate(run, 0.9, 0.4) for run in runs]
        figures = ("low", "high", "p")
    else:
        checks = [check_events(run, (11.0, 40.0, 7.0, 40.0)) for run in runs]
        figures = ("p",)
        assert checks[0].low_error is None
    for figure in figures:
        spread = np.std([getattr(check, figure) for check in checks], ddof=1)
        # The SD of 150 runs has an error of 6%.
        assert np.mean([getattr(check, f"{figure}_error") for check in checks]) == pytest.approx(spread, rel=0.2)


@pytest.mark.nuts
def test_a_sampled_check_is_printed_as_finely_as_its_errors_allow(effects):
    path = bm.sequential(effects, start=3, benefit="lower", engine="nuts", seed=3, draws=300, tune=300, chains=2)
    (cells,) = path.checks()[1]
    check = path.steps[-1].check
    for said, value, error in zip(
        re.findall(r"\d+\.?\d*", cells[2]), (check.low, check.high), (check.low_error, check.high_error), strict=True
    ):
        assert 10.0 ** -len(said.partition(".")[2]) >= error * math.exp(value)
