"""Subgroups: each result is that of its own studies, and differences are what independent posteriors make them."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2, halfnorm, norm

import bayesmeta as bm
from bayesmeta.compare.subgroup_values import Subgroups
from bayesmeta.errors import DataError, ModelError
from bayesmeta.marginals import DrawsMarginal, NormalMixture, difference
from bayesmeta.marginals.known import known

TESTS = Path(__file__).parents[1]
GOLDEN = json.loads((TESTS / "golden/metafor_subgroups.json").read_text(encoding="utf-8"))
DATA = GOLDEN["data"]
EFFECTS = bm.EffectSizes(
    yi=DATA["yi"],
    sei=np.sqrt(DATA["vi"]),
    study=[f"{i} {name}" for i, name in enumerate(DATA["study"])],
    measure="RR",
)


@pytest.fixture(scope="module")
def revman() -> bm.StudyTable:
    return bm.read_studies(TESTS / "inputs/subgroups.rm5")


def by_allocation(**options) -> Subgroups:
    return bm.subgroups(EFFECTS, by=DATA["alloc"], **options)


@pytest.mark.parametrize("method", ["DL", "REML"])
@pytest.mark.parametrize(("ci", "test"), [("wald", "z"), ("hksj", "knha")])
def test_separate_fits_and_their_test_are_metafor_s(method, ci, test):
    """Pooled effects, intervals, tau2 and I2 of each subgroup, and Q between them, are metafor's."""
    golden = GOLDEN[f"separate|{method}|{test}"]
    found = by_allocation(method=method, ci=ci)
    assert [g.label for g in found.groups] == golden["groups"]
    rows = [g.classical for g in found.groups]
    assert [r.mu for r in rows] == pytest.approx(golden["b"], rel=1e-9)
    assert [g.se for g in found.groups] == pytest.approx(golden["se"], rel=1e-9)
    assert [r.interval.low for r in rows] == pytest.approx(golden["lo"], rel=1e-9)
    assert [r.interval.high for r in rows] == pytest.approx(golden["hi"], rel=1e-9)
    assert [r.tau**2 for r in rows] == pytest.approx(golden["tau2"], rel=1e-8)
    assert [r.I2 for r in rows] == pytest.approx(golden["I2"], rel=1e-8)
    assert (found.test.statistic, found.test.p_value) == pytest.approx((golden["Q"], golden["p"]), rel=1e-9)


@pytest.mark.parametrize("method", ["DL", "REML"])
@pytest.mark.parametrize(("ci", "test"), [("wald", "z"), ("hksj", "knha")])
def test_a_common_tau_is_metafor_s_regression(method, ci, test):
    """Means, intervals, tau2, the omnibus test and a contrast of a regression on the subgroup are metafor's."""
    golden = GOLDEN[f"common|{method}|{test}"]
    found = by_allocation(method=method, ci=ci, tau="common")
    rows = [g.classical for g in found.groups]
    assert [r.mu for r in rows] == pytest.approx(golden["b"], rel=1e-9)
    assert [r.interval.low for r in rows] == pytest.approx(golden["lo"], rel=1e-9)
    assert rows[0].tau ** 2 == pytest.approx(golden["tau2"], rel=1e-8)
    assert (found.test.statistic, found.test.p_value) == pytest.approx((golden["QM"], golden["QMp"]), rel=1e-8)
    first = found.differences[0]
    assert (first.first, first.second) == ("alternate", "random")
    assert (first.estimate, first.interval.low, first.interval.high, first.p_value) == pytest.approx(
        (golden["diff"], golden["diff_lo"], golden["diff_hi"], golden["diff_p"]), rel=1e-8
    )


def test_the_subgroups_of_a_revman_file_are_pooled_apart(revman):
    """The subgroups of a RevMan file give the figures of plain sums over their own studies, and Q between them."""
    found = bm.subgroups(revman, measure="RR", method="DL")
    assert (found.groups[0].label, found.groups[0].k) == ("Children", 2)
    sums = []
    for label in ("Children", "Adults"):
        rows = [i for i, name in enumerate(revman.columns["subgroup"]) if name == label]
        a, n1, c, n2 = (
            revman.column(name)[rows] for name in ("events_treatment", "n_treatment", "events_control", "n_control")
        )
        half = np.where((a == 0) | (c == 0), 0.5, 0.0)
        a, c, n1, n2 = a + half, c + half, n1 + 2 * half, n2 + 2 * half
        y, w = np.log(a / n1 / (c / n2)), 1 / (1 / a - 1 / n1 + 1 / c - 1 / n2)
        centre = np.sum(w * y) / np.sum(w)
        # These studies agree more closely than chance would have it, so tau2 is 0.
        assert np.sum(w * (y - centre) ** 2) < len(y) - 1
        sums.append((centre, np.sum(w)))
    assert [g.classical.mu for g in found.groups] == pytest.approx([m for m, _ in sums], rel=1e-12)
    (m1, w1), (m2, w2) = sums
    q = (m1 - m2) ** 2 / (1 / w1 + 1 / w2)
    assert (found.test.statistic, found.test.p_value) == pytest.approx((q, chi2.sf(q, 1)), rel=1e-10)


def marginal_of_mu(yi: list[float], vi: list[float], mu: np.ndarray) -> np.ndarray:
    """Return p(mu | y) on a grid, by sums over a fine grid of tau, for normal(0, 2.82) and half_normal(0.5)."""
    tau = np.linspace(0, 5, 4001)
    y, sd = np.array(yi), np.sqrt(np.array(vi) + tau[:, None] ** 2)
    density = np.array([np.exp(norm.logpdf(y, m, sd).sum(axis=1)) @ halfnorm.pdf(tau, scale=0.5) for m in mu])
    density *= norm.pdf(mu, 0, 2.82)
    return density / np.trapezoid(density, mu)


def test_the_difference_of_separate_posteriors_is_their_convolution():
    """P(difference < x) of separate fits equals a double sum over two grids made from the formulas alone."""
    found = by_allocation()
    mu = np.linspace(-5, 4, 1201)
    parts = {}
    for label in ("random", "systematic"):
        rows = [i for i, name in enumerate(DATA["alloc"]) if name == label]
        parts[label] = marginal_of_mu([DATA["yi"][i] for i in rows], [DATA["vi"][i] for i in rows], mu)
    step = mu[1] - mu[0]
    cdf = np.concatenate([[0], np.cumsum(0.5 * (parts["systematic"][1:] + parts["systematic"][:-1])) * step])
    for x in (-0.4, 0.0, 0.8):
        direct = np.trapezoid(parts["random"] * np.interp(mu + x, mu, cdf), mu)
        assert float(found.difference("systematic", "random").cdf(x)) == pytest.approx(direct, abs=2e-5)


def test_a_common_tau_couples_the_posteriors():
    """The posterior of a difference under one tau equals a sum over a grid of tau of normal differences."""
    found = by_allocation(tau="common")
    tau = np.linspace(0, 5, 20001)
    log_weight, means, variances = halfnorm.logpdf(tau, scale=0.5), {}, {}
    for label in ("random", "alternate", "systematic"):
        rows = [i for i, name in enumerate(DATA["alloc"]) if name == label]
        y, v = (np.array([DATA[name][i] for i in rows]) for name in ("yi", "vi"))
        w = 1 / (v + tau[:, None] ** 2)
        precision = w.sum(axis=1) + 1 / 2.82**2
        means[label], variances[label] = (w @ y) / precision, 1 / precision
        log_weight = log_weight + 0.5 * (
            np.log(w).sum(axis=1) - (w @ y**2) + means[label] ** 2 * precision - np.log(precision)
        )
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    sd = np.sqrt(variances["systematic"] + variances["random"])
    direct = weight @ norm.cdf((0.2 - means["systematic"] + means["random"]) / sd)
    assert float(found.difference("systematic", "random").cdf(0.2)) == pytest.approx(direct, abs=1e-6)
    assert found["random"].bayesian.tau == pytest.approx(found["systematic"].bayesian.tau)


@pytest.mark.parametrize("tau", ["separate", "common"])
def test_turning_a_difference_round_turns_its_posterior_round(tau):
    """The posterior of A minus B is that of B minus A mirrored at 0."""
    found = by_allocation(tau=tau)
    there, back = found.difference("random", "alternate"), found.difference("alternate", "random")
    assert there.mean() == pytest.approx(-back.mean(), rel=1e-12)
    assert float(there.cdf(0.3)) == pytest.approx(float(back.sf(-0.3)), rel=1e-10)
    assert there.eti().low == pytest.approx(-back.eti().high, rel=1e-9)


def test_counts_have_posteriors_of_their_own_by_subgroup(revman):
    """With an exact likelihood each subgroup's posterior is that of its counts alone, and the means differ by D."""
    found = bm.subgroups(revman, model="hypergeometric_normal", measure="OR", benefit="lower")
    adults = [s for s, name in zip(revman.study, revman.columns["subgroup"], strict=True) if name == "Adults"]
    alone = bm.fit(revman.drop(set(revman.study) - set(adults)).two_by_two(), "hypergeometric_normal")
    assert found["Adults"].bayesian.mu == pytest.approx(alone.mu.median(), rel=1e-9)
    assert found["Adults"].bayesian.p_benefit_mean == pytest.approx(float(alone.mu.cdf(0.0)), rel=1e-9)
    d = found.difference("Adults", "Children")
    assert d.mean() == pytest.approx(found["Adults"].mu.mean() - found["Children"].mu.mean(), rel=1e-12)
    grid = np.linspace(-15, 15, 6001)
    a, b = found["Adults"].mu.pdf(grid), found["Children"].mu.cdf(grid - 0.5)
    assert float(d.sf(0.5)) == pytest.approx(np.trapezoid(a * b, grid), abs=1e-8)


def test_priors_and_units_are_those_of_all_studies():
    """Where the default priors come from the data, every subgroup has those of all studies, not of its own."""
    effects = bm.EffectSizes(yi=[1, 2, 5, 7], sei=[1, 1, 2, 2], ni=[40, 50, 90, 20], measure="MD")
    found = bm.subgroups(effects, by=["a", "a", "b", "b"])
    stated = [g.bayesian.source.priors for g in (*found.groups, found.overall)]
    assert stated[0] == stated[1] == stated[2]


def test_sampled_subgroups_do_not_share_their_random_numbers():
    """Runs of subgroups with equal data differ, so that their difference has the variance of two posteriors."""
    effects = bm.EffectSizes(yi=[0.1, 0.4, 0.1, 0.4], sei=[0.2, 0.3, 0.2, 0.3], measure="OR")
    found = bm.subgroups(effects, by=["a", "a", "b", "b"], engine="nuts", seed=3, sampling={"draws": 500, "chains": 2})
    d = found.difference("b", "a")
    assert isinstance(d, DrawsMarginal)
    first, second = (found[label].mu for label in ("a", "b"))
    assert abs(np.corrcoef(first.draws.ravel(), second.draws.ravel())[0, 1]) < 0.2
    assert d.sd() == pytest.approx(np.hypot(first.sd(), second.sd()), rel=0.15)


def test_the_block_reads_as_one():
    """What prints has a line for each subgroup, the test, and each difference with both schools' figures."""
    said = str(by_allocation(benefit="lower", method="DL"))
    assert "random        7   0.366  0.180 to 0.745" in said
    assert "Test for subgroup differences: Q = 1.54, df = 2, p = 0.464, I² = 0.0%." in said
    assert "RR of alternate divided by RR of random: 1.59 (0.647 to 3.91, confidence), p = 0.312" in said
    assert "P(RR < 1)" in said


def test_a_subgroup_of_one_study_keeps_its_own_interval():
    """One study stands for its subgroup by its own Wald interval, also where Hartung-Knapp is asked for."""
    effects = bm.EffectSizes(yi=[0.1, 0.4, 0.7], sei=[0.2, 0.3, 0.2], measure="OR")
    found = bm.subgroups(effects, by=["a", "a", "b"], ci="hksj")
    assert tuple(found["b"].classical.interval) == pytest.approx((0.7 - 1.959963985 * 0.2, 0.7 + 1.959963985 * 0.2))
    assert any(note.startswith("b: one study") for note in found.notes)


def test_frames_hold_every_figure_on_the_analysis_scale():
    """One row a subgroup and one for all studies; one row a pair."""
    found = by_allocation(benefit="lower")
    frame, pairs = found.to_frame(), found.differences_frame()
    assert frame["subgroup"].tolist() == ["random", "alternate", "systematic", "All studies"]
    assert frame["mu"].tolist()[0] == found["random"].classical.mu
    assert len(pairs) == 3
    assert pairs["p_above_0"].tolist()[0] == pytest.approx(float(found.difference("alternate", "random").sf(0.0)))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"by": ["a"] * 13}, DataError, "needs two"),
        ({"by": ["a"] * 12 + [""]}, DataError, "No subgroup for '12 Comstock et al'"),
        ({"by": ["a", "b"]}, DataError, "2 labels for 13 studies"),
        ({}, DataError, "have no column 'subgroup'"),
        ({"by": DATA["alloc"], "tau": "both"}, ModelError, "separate"),
        ({"by": DATA["alloc"], "tau": "common", "model": "robust_t"}, ModelError, "tau='separate'"),
        ({"by": DATA["alloc"], "model": "hypergeometric_normal"}, ModelError, "OR"),
        ({"by": DATA["alloc"], "measure": "OR"}, DataError, "are RR, not OR"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_way_out(options, error, words):
    """Errors name the study or the option, and what to do."""
    with pytest.raises(error, match=words):
        bm.subgroups(EFFECTS, **options)


def test_a_difference_from_a_known_value_is_a_shift():
    """Mixtures, known values and draws are subtracted by rule; a sampled and an integrated one are not mixed."""
    mixture = NormalMixture(np.array([0.3, 0.7]), np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    shifted = difference(mixture, known(0.5))
    assert float(shifted.cdf(0.2)) == pytest.approx(float(mixture.cdf(0.7)), rel=1e-14)
    assert difference(known(2.0), known(0.5)).value == 1.5
    with pytest.raises(ModelError, match="same engine"):
        difference(mixture, DrawsMarginal(np.zeros((2, 10))))


PAIRS = [bm.EffectSizes(yi=y, sei=e, measure="OR") for y, e in (([0.1, 0.3], [0.1, 0.2]), ([0.8, 0.9], [0.2, 0.1]))]


def test_tails_that_no_table_holds_are_summed_pair_by_pair():
    """Under a flat mu and a half-Cauchy tau the difference of two posteriors is that of draws of both."""
    first, second = (bm.fit(e, priors={"mu": "flat()", "tau": "half_cauchy(0.5)"}).mu for e in PAIRS)
    d = difference(second, first)
    rng = np.random.default_rng(2)
    draws = np.asarray(second.ppf(rng.random(4_000))) - np.asarray(first.ppf(rng.random(4_000)))
    for x in (-0.5, 0.0, 0.6, 2.0):
        p = float(d.cdf(x))
        assert np.mean(draws <= x) == pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) / len(draws)))
    assert d.sd() == np.inf


def test_a_heavy_prior_of_mu_gives_the_convolution_too():
    """Under a Student-t prior of mu, a mixture of thousands of normals, P(difference < x) is the double sum."""
    first, second = (bm.fit(e, priors={"mu": "student_t(4, 0, 1)"}).mu for e in PAIRS)
    d = difference(second, first)
    grid = np.linspace(-8, 8, 2001)
    direct = np.trapezoid(first.pdf(grid) * second.cdf(grid + 0.3), grid)
    assert float(d.cdf(0.3)) == pytest.approx(direct, abs=1e-8)


def test_a_subgroup_without_an_answer_is_named():
    """Where the priors give one subgroup no proper posterior, the error says which."""
    effects = bm.EffectSizes(yi=[0.1, 0.3, 0.8], sei=[0.1, 0.2, 0.2], measure="OR")
    with pytest.raises(ModelError, match=r"^Subgroup 'b': "):
        bm.subgroups(effects, by=["a", "a", "b"], priors={"mu": "flat()", "tau": "jeffreys()"})


def test_proportions_of_subgroups_are_not_tested_against_one_half():
    """A proportion has no value for no effect, so no subgroup has a p-value; the difference between them has."""
    effects = bm.EffectSizes(yi=[-1.0, -0.5, 0.3, 0.4], sei=[0.2, 0.3, 0.2, 0.3], measure="PLO")
    for tau in ("separate", "common"):
        found = bm.subgroups(effects, by=["a", "a", "b", "b"], tau=tau)
        assert {g.classical.p_value for g in (*found.groups, found.overall)} == {None}
        assert 0.0 < found.differences[0].p_value < 1.0
    assert repr(found) == "<Subgroups by subgroup: 2 subgroups of 4 studies, common tau>"
